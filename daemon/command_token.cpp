#include "daemon/commands.hpp"
#include "daemon/config_text.hpp"
#include "protocol/claims.hpp"
#include "protocol/codec.hpp"

#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include <sysexits.h>

namespace pgcast {
namespace {

error malformed(std::string sentence) { return {errc::payload_malformed, std::move(sentence)}; }

/// `text` itself if it is JSON, else as a JSON string.
std::string as_json(const std::string& text) {
  simdjson::dom::parser parser;
  simdjson::dom::element ignored;
  const bool is_json = parser.parse(text).get(ignored) == simdjson::SUCCESS;
  return is_json ? text : json_quote(text);
}

result<void> check_role(const std::vector<std::string>& roles, const std::string& role) {
  if (std::find(roles.begin(), roles.end(), role) != roles.end()) return {};
  return malformed("--role " + role + " is not in auth.roles; it takes one of " +
                   format_list(roles));
}

}  // namespace

result<std::string> make_claims(const token_options& options, std::chrono::milliseconds ttl,
                                std::chrono::system_clock::time_point now) {
  const auto seconds = [](auto time) {
    return std::to_string(
        std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count());
  };
  std::string json = "{\"role\":" + json_quote(options.role);
  if (!options.sub.empty()) json += ",\"sub\":" + json_quote(options.sub);
  json += ",\"iat\":" + seconds(now) + ",\"exp\":" + seconds(now + ttl);
  std::set<std::string> names{"role", "sub", "iat", "exp"};
  for (const auto& claim : options.claims) {
    const auto equals = claim.find('=');
    if (equals == std::string::npos || equals == 0) {
      return malformed("--claim " + claim + " is not accepted; it takes name=value");
    }
    const auto name = claim.substr(0, equals);
    if (!names.insert(name).second) {
      return malformed("--claim " + name +
                       " is given twice or has a flag of its own; use --role, "
                       "--sub or --ttl");
    }
    json += "," + json_quote(name) + ":" + as_json(claim.substr(equals + 1));
  }
  return json + "}";
}

int run_token(const loaded_config& loaded, const token_options& options) {
  const auto& rules = loaded.values.tokens;
  if (rules.secrets.empty()) {
    return report_failure(EX_CONFIG,
                          "auth.jwt_secret is not set, so no token can be signed; put "
                          "it into PGCAST_JWT_SECRET or the configuration file");
  }
  const auto ttl = parse_duration(options.ttl);
  if (!ttl || *ttl < std::chrono::seconds(1)) {
    return report_failure(EX_USAGE, "--ttl " + options.ttl +
                                        " is not accepted; it takes a "
                                        "duration of at least 1s, such as 10m, 1h or 30d");
  }
  if (const auto good = check_role(rules.roles, options.role); !good) {
    return report_failure(EX_USAGE, good.error().detail);
  }
  const auto claims = make_claims(options, *ttl, std::chrono::system_clock::now());
  if (!claims) return report_failure(EX_USAGE, claims.error().detail);
  std::printf("%s\n", mint_token(*claims, rules.secrets.front()).c_str());
  return EX_OK;
}

}  // namespace pgcast
