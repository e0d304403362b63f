#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

// Server-sent events (HTML Living Standard, section 9.2): the wire form of GET /events. An event is
// "id: <cursor>", "event: <name>" and one line "data: <JSON>", which carries `topic`.

namespace pgcast {

/// An event of the daemon: its payload, an object in parts, with `topic` as its first member. The
/// id is the payload's cursor, if it has one.
std::string encode_sent_event(std::string_view topic, std::string_view event,
                              std::initializer_list<std::string_view> payload_parts);

/// Of somebody else, whose payload may be anything: {"topic":..,"payload":..}, without an id.
std::string encode_sent_broadcast(std::string_view topic, std::string_view event,
                                  std::initializer_list<std::string_view> payload_parts);

/// The same event with another id, "" = none. What has no id gets none.
std::string with_event_id(std::string_view sent_event, std::string_view id);

/// A line that means nothing and keeps the connection from being taken for dead.
constexpr std::string_view k_keep_alive_comment = ": keep-alive\n\n";

}  // namespace pgcast
