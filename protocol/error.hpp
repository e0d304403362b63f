#pragma once

#include <boost/system/result.hpp>

#include <string>
#include <string_view>

namespace pgcast {

/// Everything that can go wrong in an expected way. Numbers are never reused.
enum class errc {
  // frames (RFC 6455)
  frame_malformed = 1,
  frame_too_large = 2,
  frame_bad_utf8 = 3,
  // Phoenix messages
  message_malformed = 10,
  payload_malformed = 11,
  topic_missing = 12,
  filter_malformed = 13,
  topic_not_joined = 14,
  event_unknown = 15,
  payload_too_large = 16,
  binding_malformed = 17,
  presence_refused = 18,
  replay_refused = 19,
  // tokens
  token_missing = 20,
  token_malformed = 21,
  token_bad_signature = 22,
  token_expired = 23,
  token_not_yet_valid = 24,
  token_claims_missing = 25,
  token_role_refused = 26,
  token_key_unknown = 27,
  // cursors; the text codes of these four go to clients (contract, section 4)
  cursor_invalid = 30,
  cursor_foreign = 31,
  cursor_too_old = 32,
  cursor_ahead = 33,
  // joins
  unauthorized = 40,
  reserved_event = 41,
  too_many_channels = 42,
  source_unavailable = 44,
  subscribe_timeout = 45,
  origin_refused = 46,
  host_refused = 47,
  campaign_too_large = 48,
  too_many_connections = 49,
  // rows
  row_malformed = 50,
  // configuration and set-up
  config_invalid = 60,
  database_unreachable = 61,
  database_unsuitable = 62,
  not_installed = 63,
  query_failed = 64,
  address_unusable = 65,
  keys_unreachable = 66,
};

/// The stable text code of `code`, as clients, logs and metrics see it ("cursor_too_old").
/// Never empty; the view is valid for ever.
std::string_view text_code(errc code);

/// One of the four that say why a client's cursor cannot be honoured.
bool is_cursor_error(errc code);

/// An expected failure: which one, and what was tried (topic, table, peer, file and line).
struct error {
  errc code;
  std::string detail;
};

/// Called by result<T>::value() when there is none; throws std::runtime_error("code: detail").
[[noreturn]] void throw_exception_from_error(const error& e, const boost::source_location& where);

template <class T>
using result = boost::system::result<T, error>;

}  // namespace pgcast
