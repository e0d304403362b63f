#pragma once

#include "protocol/codec.hpp"
#include "protocol/topic.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgcast {

/// A broadcast that came through the database: a row of realtime.messages (deploy/sql/005).
struct kept_broadcast {
  std::string id;  ///< a UUID
  topic to;
  std::string key;  ///< of the topic in the hub
  std::string event;
  std::string payload;  ///< JSON, or the bytes themselves
  payload_encoding encoding = payload_encoding::json;
  std::optional<std::int64_t> expires_at;  ///< ms since 1970: not replayed from then on
};

/// Reads an outbox row of operation B: its envelope and its payload. Fails with row_malformed, and
/// with reserved_event for a name under which only the daemon speaks on that topic.
result<kept_broadcast> parse_kept_broadcast(std::string_view envelope, std::string_view payload,
                                            const relay_description& description);

/// Whether a client gets a broadcast when it is committed, or afterwards.
enum class broadcast_origin { live, replayed };

/// The frame of a broadcast with its metadata, {"id":..} or {"id":..,"replayed":true}; empty where
/// the version has no form for it (bytes with vsn 1.0.0, or behind names longer than 255 bytes).
std::string encode_kept(const kept_broadcast& b, wire_version version, std::string_view wire_topic,
                        broadcast_origin origin);

}  // namespace pgcast
