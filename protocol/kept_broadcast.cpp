#include "protocol/kept_broadcast.hpp"

#include "protocol/base64url.hpp"
#include "protocol/json_document.hpp"

namespace pgcast {

result<kept_broadcast> parse_kept_broadcast(std::string_view envelope, std::string_view payload,
                                            const relay_description& description) {
  kept_broadcast b;
  std::string name;
  std::string encoding;
  bool is_private = false;
  json_document document(envelope);
  if (!document.is_valid()) return error{errc::row_malformed, "a broadcast without an envelope"};
  for_each_member(document.root(), [&](std::string_view key, json_value value) {
    if (key == "id") b.id = string_of(value).value_or("");
    if (key == "topic") name = string_of(value).value_or("");
    if (key == "event") b.event = string_of(value).value_or("");
    if (key == "private") is_private = raw_scalar(value) == "true";
    if (key == "encoding") encoding = string_of(value).value_or("");
    if (key == "expires_at") {
      if (const auto ms = number_of(value)) b.expires_at = static_cast<std::int64_t>(*ms);
    }
  });
  auto to = parse_topic(name);
  if (!to) return error{errc::row_malformed, "a broadcast to the topic \"" + name + "\""};
  b.to = *std::move(to);
  b.to.is_private = is_private;
  b.key = topic_key(b.to);
  if (description.reserves(b.to, b.event)) {
    return error{errc::reserved_event,
                 "only the server sends \"" + b.event + "\" on the topic " + name};
  }
  if (encoding == "json") {
    b.payload = payload;
    return b;
  }
  auto bytes = base64url_decode(payload);
  if (encoding != "base64url" || !bytes) {
    return error{errc::row_malformed, "a broadcast with an unknown encoding"};
  }
  b.payload = *std::move(bytes);
  b.encoding = payload_encoding::binary;
  return b;
}

namespace {

std::string meta_of(const kept_broadcast& b, broadcast_origin origin) {
  std::string out = R"({"id":)" + json_quote(b.id);
  if (origin == broadcast_origin::replayed) out += R"(,"replayed":true)";
  return out + '}';
}

}  // namespace

std::string encode_kept(const kept_broadcast& b, wire_version version, std::string_view wire_topic,
                        broadcast_origin origin) {
  const auto meta = meta_of(b, origin);
  if (b.encoding == payload_encoding::json) {
    return encode_broadcast(version, wire_topic, b.event, {b.payload}, meta);
  }
  if (version != wire_version::v2) return {};
  return encode_binary_broadcast(wire_topic, b.event, b.payload, meta);
}

}  // namespace pgcast
