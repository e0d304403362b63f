#include "protocol/error.hpp"

#include <stdexcept>

namespace pgcast {

std::string_view text_code(errc code) {
  switch (code) {
    case errc::frame_malformed:
      return "frame_malformed";
    case errc::frame_too_large:
      return "frame_too_large";
    case errc::frame_bad_utf8:
      return "frame_bad_utf8";
    case errc::message_malformed:
      return "message_malformed";
    case errc::payload_malformed:
      return "payload_malformed";
    case errc::topic_missing:
      return "topic_missing";
    case errc::filter_malformed:
      return "filter_malformed";
    case errc::topic_not_joined:
      return "topic_not_joined";
    case errc::event_unknown:
      return "event_unknown";
    case errc::binding_malformed:
      return "binding_malformed";
    case errc::presence_refused:
      return "presence_refused";
    case errc::replay_refused:
      return "replay_refused";
    case errc::payload_too_large:
      return "payload_too_large";
    case errc::token_missing:
      return "token_missing";
    case errc::token_malformed:
      return "token_malformed";
    case errc::token_bad_signature:
      return "token_bad_signature";
    case errc::token_expired:
      return "token_expired";
    case errc::token_not_yet_valid:
      return "token_not_yet_valid";
    case errc::token_claims_missing:
      return "token_claims_missing";
    case errc::token_role_refused:
      return "token_role_refused";
    case errc::token_key_unknown:
      return "token_key_unknown";
    case errc::cursor_invalid:
      return "cursor_invalid";
    case errc::cursor_foreign:
      return "cursor_foreign";
    case errc::cursor_too_old:
      return "cursor_too_old";
    case errc::cursor_ahead:
      return "cursor_ahead";
    case errc::unauthorized:
      return "unauthorized";
    case errc::reserved_event:
      return "reserved_event";
    case errc::too_many_channels:
      return "too_many_channels";
    case errc::source_unavailable:
      return "source_unavailable";
    case errc::subscribe_timeout:
      return "subscribe_timeout";
    case errc::origin_refused:
      return "origin_refused";
    case errc::campaign_too_large:
      return "campaign_too_large";
    case errc::too_many_connections:
      return "too_many_connections";
    case errc::host_refused:
      return "host_refused";
    case errc::row_malformed:
      return "row_malformed";
    case errc::config_invalid:
      return "config_invalid";
    case errc::database_unreachable:
      return "database_unreachable";
    case errc::database_unsuitable:
      return "database_unsuitable";
    case errc::not_installed:
      return "not_installed";
    case errc::query_failed:
      return "query_failed";
    case errc::address_unusable:
      return "address_unusable";
    case errc::keys_unreachable:
      return "keys_unreachable";
  }
  return "unknown";
}

bool is_cursor_error(errc code) {
  return code == errc::cursor_invalid || code == errc::cursor_foreign ||
         code == errc::cursor_too_old || code == errc::cursor_ahead;
}

void throw_exception_from_error(const error& e, const boost::source_location&) {
  throw std::runtime_error(std::string(text_code(e.code)) + ": " + e.detail);
}

}  // namespace pgcast
