#include "protocol/codec.hpp"

#include "protocol/json_document.hpp"
#include "protocol/sent_event.hpp"

#include <array>
#include <optional>

namespace pgcast {
namespace {

constexpr std::uint8_t k_user_broadcast_push = 3;  // client -> server
constexpr std::uint8_t k_user_broadcast = 4;       // server -> client
constexpr std::size_t k_push_head_bytes = 7;
constexpr std::size_t k_broadcast_head_bytes = 5;
constexpr std::size_t k_max_field_bytes = 255;  // lengths are one byte
constexpr std::size_t k_max_frame_header_bytes = 10;

error malformed(std::string detail) { return {errc::message_malformed, std::move(detail)}; }

// ---- from a client

/// A ref as its JSON token; nothing if it is neither text, number nor null.
std::optional<std::string> ref_token(json_value value) {
  const auto token = raw_scalar(value);
  if (token.empty() || token == "true" || token == "false") return std::nullopt;
  return std::string(token);
}

/// The five fields of a text message as they are found; of duplicates the last one counts.
struct text_fields {
  std::optional<std::string> join_ref = "null";
  std::optional<std::string> ref = "null";
  std::optional<std::string> topic;
  std::optional<std::string> event;
  std::string payload = "{}";

  void take_payload(json_value value) {
    if (!is_null(value)) payload = raw_json(value);
  }

  result<client_message> finish() && {
    if (!join_ref || !ref) return malformed("a ref is neither text nor number");
    if (!topic || !event) return malformed("topic or event is missing");
    client_message message;
    message.join_ref = std::move(*join_ref);
    message.ref = std::move(*ref);
    message.topic = std::move(*topic);
    message.event = std::move(*event);
    message.payload = std::move(payload);
    return message;
  }
};

result<client_message> decode_object(json_value root) {
  text_fields fields;
  const bool is_object = for_each_member(root, [&](std::string_view key, json_value value) {
    if (key == "topic") fields.topic = string_of(value);
    if (key == "event") fields.event = string_of(value);
    if (key == "payload") fields.take_payload(value);
    if (key == "ref") fields.ref = ref_token(value);
    if (key == "join_ref") fields.join_ref = ref_token(value);
  });
  if (!is_object) return malformed("message is not a JSON object");
  return std::move(fields).finish();
}

result<client_message> decode_array(json_value root) {
  text_fields fields;
  int count = 0;
  const bool is_array = for_each_element(root, [&](json_value value) {
    switch (count++) {
      case 0:
        fields.join_ref = ref_token(value);
        break;
      case 1:
        fields.ref = ref_token(value);
        break;
      case 2:
        fields.topic = string_of(value);
        break;
      case 3:
        fields.event = string_of(value);
        break;
      case 4:
        fields.take_payload(value);
        break;
      default:
        break;
    }
  });
  if (!is_array || count != 5) return malformed("message is not a JSON array of five");
  return std::move(fields).finish();
}

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

std::string quoted_ref(std::string_view ref) { return ref.empty() ? "null" : json_quote(ref); }

/// Kind 3: kind, five lengths, encoding, then the five texts and the payload. Old clients count
/// UTF-16 units, so their lengths may cut a character or reach beyond the end.
result<client_message> decode_push(std::string_view bytes) {
  if (bytes.size() < k_push_head_bytes || bytes[0] != k_user_broadcast_push) {
    return malformed("binary message is not of kind 3");
  }
  std::string_view rest = bytes.substr(k_push_head_bytes);
  std::array<std::string_view, 5> texts;  // join_ref, ref, topic, event, metadata
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::size_t length = static_cast<std::uint8_t>(bytes[1 + i]);
    if (length > rest.size()) return malformed("a length reaches beyond the message");
    texts[i] = rest.substr(0, length);
    rest.remove_prefix(length);
    if (!is_utf8(texts[i])) return malformed("a text is not UTF-8");
  }
  const auto encoding = static_cast<std::uint8_t>(bytes[6]);
  if (encoding > 1) return malformed("unknown payload encoding");
  const auto& [join_ref, ref, topic, event, metadata] = texts;
  if (!metadata.empty() && !is_json(metadata)) {
    return malformed("metadata is not JSON");
  }
  client_message message;
  message.encoding = static_cast<payload_encoding>(encoding);
  if (message.encoding == payload_encoding::json) {
    if (rest.empty()) rest = "{}";
    if (!is_json(rest)) return malformed("payload is not JSON");
  }
  message.is_push = true;
  message.join_ref = quoted_ref(join_ref);
  message.ref = quoted_ref(ref);
  message.topic = topic;
  message.event = "broadcast";
  message.user_event = event;
  message.metadata = metadata;
  message.payload = rest;
  return message;
}

// ---- to a client

/// How `c` is written in a JSON string: empty means as it is.
std::string_view escape_of(char c) {
  static constexpr std::array<std::string_view, 32> controls = {
      "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007",
      "\\b",     "\\t",     "\\n",     "\\u000b", "\\f",     "\\r",     "\\u000e", "\\u000f",
      "\\u0010", "\\u0011", "\\u0012", "\\u0013", "\\u0014", "\\u0015", "\\u0016", "\\u0017",
      "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f"};
  if (c == '"') return "\\\"";
  if (c == '\\') return "\\\\";
  const auto code = static_cast<std::uint8_t>(c);
  return code < controls.size() ? controls[code] : std::string_view{};
}

std::size_t quoted_bytes(std::string_view text) {
  std::size_t bytes = 2;
  for (const char c : text) {
    const auto escape = escape_of(c);
    bytes += escape.empty() ? 1 : escape.size();
  }
  return bytes;
}

/// Text that goes out as it is, or as a JSON string.
struct piece {
  piece(std::string_view raw) : text(raw) {}  // NOLINT: pieces are listed
  piece(const char* raw) : text(raw) {}       // NOLINT
  piece(std::string_view raw, bool quote) : text(raw), is_quoted(quote) {}

  std::string_view text;
  bool is_quoted = false;

  std::size_t bytes() const { return is_quoted ? quoted_bytes(text) : text.size(); }
};

piece quoted(std::string_view text) { return {text, true}; }

std::size_t header_bytes(std::size_t payload) {
  return payload < 126 ? 2 : payload <= 0xffff ? 4 : k_max_frame_header_bytes;
}

using pieces = std::initializer_list<piece>;
using texts = std::initializer_list<std::string_view>;

void append(std::string& out, pieces parts) {
  for (const auto& part : parts) {
    if (part.is_quoted) {
      append_json_quoted(out, part.text);
    } else {
      out += part.text;
    }
  }
}

/// A text frame of all parts in this order, made with one allocation.
std::string text_frame(pieces head, texts body, pieces tail) {
  std::size_t bytes = 0;
  for (const auto& part : head) bytes += part.bytes();
  for (const auto part : body) bytes += part.size();
  for (const auto& part : tail) bytes += part.bytes();
  std::string frame;
  frame.reserve(header_bytes(bytes) + bytes);
  append_frame_header(frame, opcode::text, bytes);
  append(frame, head);
  for (const auto part : body) frame += part;
  append(frame, tail);
  return frame;
}

/// Kind 4: kind, three lengths, encoding, topic, event, metadata, payload.
std::string binary_frame(std::string_view topic, std::string_view event, std::string_view meta,
                         payload_encoding encoding, texts body) {
  std::size_t bytes = k_broadcast_head_bytes + topic.size() + event.size() + meta.size();
  for (const auto part : body) bytes += part.size();
  std::string frame;
  frame.reserve(header_bytes(bytes) + bytes);
  append_frame_header(frame, opcode::binary, bytes);
  frame += static_cast<char>(k_user_broadcast);
  frame += static_cast<char>(topic.size());
  frame += static_cast<char>(event.size());
  frame += static_cast<char>(meta.size());
  frame += static_cast<char>(encoding);
  frame += topic;
  frame += event;
  frame += meta;
  for (const auto part : body) frame += part;
  return frame;
}

}  // namespace

result<wire_version> parse_wire_version(std::string_view vsn) {
  if (vsn.empty() || vsn == "1.0.0") return wire_version::v1;
  if (vsn == "2.0.0") return wire_version::v2;
  return malformed("vsn is neither 1.0.0 nor 2.0.0");
}

result<client_message> decode_message(wire_version version, opcode op, std::string_view bytes) {
  if (op == opcode::binary) {
    if (version == wire_version::v2) return decode_push(bytes);
    return malformed("binary message with vsn 1.0.0");
  }
  if (op != opcode::text) return malformed("not a text or binary message");
  json_document document(bytes);
  if (!document.is_valid()) return malformed("message is not JSON");
  return version == wire_version::v1 ? decode_object(document.root())
                                     : decode_array(document.root());
}

std::string encode_reply(wire_version version, std::string_view join_ref_json,
                         std::string_view ref_json, std::string_view topic, std::string_view status,
                         std::string_view response_json) {
  if (version == wire_version::events) return {};
  if (version == wire_version::v1) {
    return text_frame(
        {"{\"ref\":", ref_json, ",\"topic\":", quoted(topic),
         ",\"event\":\"phx_reply\",\"payload\":{\"status\":", quoted(status), ",\"response\":"},
        {response_json}, {"}}"});
  }
  return text_frame({"[", join_ref_json, ",", ref_json, ",", quoted(topic),
                     ",\"phx_reply\",{\"status\":", quoted(status), ",\"response\":"},
                    {response_json}, {"}]"});
}

std::string encode_push(wire_version version, std::string_view join_ref_json,
                        std::string_view ref_json, std::string_view topic, std::string_view event,
                        std::string_view payload_json) {
  if (version == wire_version::events) {
    if (event.starts_with("phx_")) return {};
    return event == "system" ? encode_sent_event(topic, event, {payload_json})
                             : encode_sent_broadcast(topic, event, {payload_json});
  }
  if (version == wire_version::v1) {
    return text_frame({"{\"ref\":", ref_json, ",\"topic\":", quoted(topic),
                       ",\"event\":", quoted(event), ",\"payload\":"},
                      {payload_json}, {"}"});
  }
  return text_frame(
      {"[", join_ref_json, ",", ref_json, ",", quoted(topic), ",", quoted(event), ","},
      {payload_json}, {"]"});
}

std::string encode_broadcast(wire_version version, std::string_view topic, std::string_view event,
                             std::initializer_list<std::string_view> payload_json_parts,
                             std::string_view meta_json) {
  if (version == wire_version::events) {
    return encode_sent_broadcast(topic, event, payload_json_parts);
  }
  const std::string_view meta_key = meta_json.empty() ? "" : ",\"meta\":";
  if (version == wire_version::v1) {
    return text_frame({"{\"ref\":null,\"topic\":", quoted(topic),
                       ",\"event\":\"broadcast\",\"payload\":{\"type\":\"broadcast\",\"event\":",
                       quoted(event), ",\"payload\":"},
                      payload_json_parts, {meta_key, meta_json, "}}"});
  }
  if (topic.size() <= k_max_field_bytes && event.size() <= k_max_field_bytes) {
    return binary_frame(topic, event, meta_json, payload_encoding::json, payload_json_parts);
  }
  return text_frame(
      {"[null,null,", quoted(topic),
       ",\"broadcast\",{\"type\":\"broadcast\",\"event\":", quoted(event), ",\"payload\":"},
      payload_json_parts, {meta_key, meta_json, "}]"});
}

std::string encode_event_of_daemon(wire_version version, std::string_view topic,
                                   std::string_view event,
                                   std::initializer_list<std::string_view> payload_json_parts) {
  return version == wire_version::events
             ? encode_sent_event(topic, event, payload_json_parts)
             : encode_broadcast(version, topic, event, payload_json_parts);
}

std::string encode_binary_broadcast(std::string_view topic, std::string_view event,
                                    std::string_view payload, std::string_view meta_json) {
  if (topic.size() > k_max_field_bytes || event.size() > k_max_field_bytes) return {};
  return binary_frame(topic, event, meta_json, payload_encoding::binary, {payload});
}

std::string json_quote(std::string_view text) {
  std::string out;
  out.reserve(quoted_bytes(text));
  append_json_quoted(out, text);
  return out;
}

void append_json_quoted(std::string& out, std::string_view text) {
  out += '"';
  std::size_t begin = 0;  // of the run that needs no escape
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto escape = escape_of(text[i]);
    if (escape.empty()) continue;
    out += text.substr(begin, i - begin);
    out += escape;
    begin = i + 1;
  }
  out += text.substr(begin);
  out += '"';
}

}  // namespace pgcast
