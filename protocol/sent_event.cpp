#include "protocol/sent_event.hpp"

#include "protocol/codec.hpp"

#include <algorithm>

namespace pgcast {
namespace {

constexpr std::string_view k_id = "id: ";

/// The name in one line: an event's name may be any text.
void append_name(std::string& out, std::string_view event) {
  out += "event: ";
  for (const char c : event) out += c == '\n' || c == '\r' ? ' ' : c;
}

/// JSON in one line: between tokens a line break is as good as a blank, and within strings there is
/// none.
void append_json(std::string& out, std::string_view json) {
  const auto begin = out.size();
  out += json;
  std::replace(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(), '\n', ' ');
  std::replace(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(), '\r', ' ');
}

/// Of a payload that begins with its id or cursor; "" of others.
std::string_view cursor_of(std::string_view payload) {
  constexpr std::string_view k_cursor = R"("cursor":")";
  if (!payload.starts_with(R"({"cursor":")") && !payload.starts_with(R"({"id":")")) return {};
  const auto at = payload.find(k_cursor);
  if (at == std::string_view::npos) return {};
  const auto begin = at + k_cursor.size();
  return payload.substr(begin, payload.find('"', begin) - begin);
}

}  // namespace

std::string encode_sent_event(std::string_view topic, std::string_view event,
                              std::initializer_list<std::string_view> payload_parts) {
  std::string out;
  const auto cursor = payload_parts.size() == 0 ? "" : cursor_of(*payload_parts.begin());
  if (!cursor.empty()) out.append(k_id).append(cursor).append("\n");
  append_name(out, event);
  out += "\ndata: {\"topic\":";
  append_json_quoted(out, topic);
  bool is_first = true;
  for (auto part : payload_parts) {
    if (is_first) {
      part.remove_prefix(1);
      if (!part.starts_with('}')) out += ',';
    }
    append_json(out, part);
    is_first = false;
  }
  return out += "\n\n";
}

std::string encode_sent_broadcast(std::string_view topic, std::string_view event,
                                  std::initializer_list<std::string_view> payload_parts) {
  std::string out;
  append_name(out, event);
  out += "\ndata: {\"topic\":";
  append_json_quoted(out, topic);
  out += ",\"payload\":";
  for (const auto part : payload_parts) append_json(out, part);
  return out += "}\n\n";
}

std::string with_event_id(std::string_view sent_event, std::string_view id) {
  if (!sent_event.starts_with(k_id)) return std::string{sent_event};
  std::string out;
  if (!id.empty()) out.append(k_id).append(id).append("\n");
  return out.append(sent_event.substr(sent_event.find('\n') + 1));
}

}  // namespace pgcast
