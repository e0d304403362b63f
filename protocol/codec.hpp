#pragma once

#include "protocol/error.hpp"
#include "protocol/frame.hpp"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace pgcast {

/// Phoenix serializer: `vsn` 1.0.0 (JSON objects) or 2.0.0 (JSON arrays and binary broadcasts).
/// `events`: server-sent events over HTTP, which nobody answers (protocol/sent_event.hpp).
enum class wire_version : std::uint8_t { v1, v2, events };

/// "1.0.0" and absence -> v1, "2.0.0" -> v2, anything else -> message_malformed.
result<wire_version> parse_wire_version(std::string_view vsn);

/// How the payload of a broadcast is encoded (fourth byte from the end of a kind 3 / 4 header).
enum class payload_encoding : std::uint8_t { binary = 0, json = 1 };

/// One message of a client. Refs are kept as the JSON token that came (`"6"` or `null`), so that
/// a reply echoes them exactly.
struct client_message {
  std::string join_ref = "null";
  std::string ref = "null";
  std::string topic;       ///< as sent, with its "realtime:" prefix
  std::string event;       ///< "phx_join", "heartbeat", "broadcast", ...
  std::string payload;     ///< raw JSON of the payload; of a kind 3 push the user payload
  bool is_push = false;    ///< came as binary kind 3 (always event "broadcast")
  std::string user_event;  ///< kind 3 only
  std::string metadata;    ///< kind 3 only: JSON or empty
  payload_encoding encoding = payload_encoding::json;  ///< kind 3 only
};

/// Parses one WebSocket message. Text: JSON by `version` (v2 also accepts nothing but arrays, v1
/// nothing but objects); binary: kind 3 of v2. Every length is checked. Fails with
/// message_malformed; the connection stays open (supabase/realtime drops such messages).
result<client_message> decode_message(wire_version version, opcode op, std::string_view bytes);

/// Each encode function returns a whole WebSocket frame, ready to send; of `events` a whole event,
/// or "" where there is none: replies and the end of a channel. `*_json` arguments are
/// spliced as they are; `topic` and `event` are escaped here. v1 frames carry no join_ref.

/// phx_reply with {"status":..,"response":..}; `response_json` is never null ("{}" at least).
std::string encode_reply(wire_version version, std::string_view join_ref_json,
                         std::string_view ref_json, std::string_view topic, std::string_view status,
                         std::string_view response_json);

/// A server push of `event` ("system", "presence_state", "phx_error", ...).
std::string encode_push(wire_version version, std::string_view join_ref_json,
                        std::string_view ref_json, std::string_view topic, std::string_view event,
                        std::string_view payload_json);

/// A broadcast with a JSON payload given in parts. v2: binary kind 4, or text where topic or event
/// are longer than 255 bytes; v1: text {"type":"broadcast","event":..,"payload":..}. `meta_json`
/// (at most 255 bytes, "" = none) is its metadata, in text the member "meta".
std::string encode_broadcast(wire_version version, std::string_view topic, std::string_view event,
                             std::initializer_list<std::string_view> payload_json_parts,
                             std::string_view meta_json = "");

/// A broadcast by the daemon itself: its payload is an object that begins with its id or cursor.
std::string encode_event_of_daemon(wire_version version, std::string_view topic,
                                   std::string_view event,
                                   std::initializer_list<std::string_view> payload_json_parts);

/// A broadcast of raw bytes, v2 only (kind 4, encoding 0). Empty where topic or event are longer
/// than 255 bytes: raw bytes have no text form.
std::string encode_binary_broadcast(std::string_view topic, std::string_view event,
                                    std::string_view payload, std::string_view meta_json = "");

/// `text` as a JSON string with its quotes; control characters escaped, bytes >= 0x80 untouched.
std::string json_quote(std::string_view text);
void append_json_quoted(std::string& out, std::string_view text);

}  // namespace pgcast
