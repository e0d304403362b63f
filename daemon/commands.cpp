#include "daemon/commands.hpp"

#include "daemon/log.hpp"

#include <cstdio>

#include <sysexits.h>

namespace pgcast {

int exit_code(errc code) {
  switch (code) {
    case errc::config_invalid:
    case errc::database_unsuitable:
    case errc::not_installed:
      return EX_CONFIG;
    case errc::database_unreachable:
    case errc::source_unavailable:
    case errc::address_unusable:
      return EX_UNAVAILABLE;
    case errc::unauthorized:
    case errc::token_role_refused:
    case errc::token_expired:
    case errc::token_bad_signature:
      return EX_NOPERM;
    case errc::payload_malformed:
    case errc::message_malformed:
    case errc::token_malformed:
      return EX_DATAERR;
    default:
      return EX_SOFTWARE;
  }
}

int report_failure(const error& failure) {
  return report_failure(exit_code(failure.code), failure.detail);
}

int report_failure(int exit_code, const std::string& sentence) {
  std::fprintf(stderr, "pgcast: %s\n", escape_control_characters(sentence).c_str());
  return exit_code;
}

int run_config(const loaded_config& loaded) {
  for (const auto& entry : loaded.entries) {
    const auto value = escape_control_characters(entry.value);
    const auto origin = escape_control_characters(entry.origin);
    std::printf("%s = %s  # %s\n", entry.key.c_str(), value.c_str(), origin.c_str());
  }
  return EX_OK;
}

}  // namespace pgcast
