#include "daemon/event_rendering.hpp"

#include "daemon/json_members.hpp"
#include "protocol/json_document.hpp"
#include "protocol/ticker_rows.hpp"
#include "protocol/topic.hpp"

#include <algorithm>

namespace pgcast {
namespace {

constexpr std::string_view k_dim = "2";
constexpr std::string_view k_red = "31";
constexpr std::string_view k_green = "32";
constexpr std::string_view k_yellow = "33";
constexpr std::string_view k_blue = "34";
constexpr std::string_view k_cyan = "36";
constexpr std::size_t k_name_columns = 10;
constexpr std::size_t k_most_bytes = 400;  // of a text

/// C0, DEL and, as UTF-8, C1 are what terminals obey.
std::string harmless(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size() && out.size() < k_most_bytes; ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool is_c1 = c == 0xC2 && i + 1 < text.size() &&
                       static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
                       static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (is_c1) ++i;
    if (c == '\n' || c == '\t') {
      out += ' ';
    } else if (c < 0x20 || c == 0x7F || is_c1) {
      out += '.';
    } else {
      out += text[i];
    }
  }
  if (text.size() > k_most_bytes) out += "...";
  return out;
}

/// A value as people read it: a text without its quotes.
std::string shown(std::string_view json) {
  if (json.empty() || json == "null") return "-";
  return harmless(json.starts_with('"') ? scalar_text(json).value_or("-") : std::string{json});
}

class rendering {
 public:
  rendering(std::string_view time, color_use colors) : colors_(colors) {
    out_ = paint(time, k_dim) + ' ';
  }

  std::string line(std::string_view name, std::string_view color, std::string_view text) {
    std::string padded{name};
    padded.resize(std::max(padded.size(), k_name_columns), ' ');
    return out_ + paint(padded, color) + ' ' + std::string{text};
  }

 private:
  std::string paint(std::string_view text, std::string_view code) const {
    if (colors_ == color_use::plain) return std::string{text};
    return "\x1b[" + std::string{code} + 'm' + std::string{text} + "\x1b[0m";
  }

  color_use colors_;
  std::string out_;
};

/// "" of a change that needs no word.
std::string_view word_of(std::string_view operation) {
  if (operation == "UPDATE") return " (changed)";
  if (operation == "DELETE") return " (deleted)";
  return "";
}

std::string message_line(rendering& r, std::string_view row, std::string_view operation) {
  const auto message = json_of(row, "message");
  const auto side = side_of_message(message);
  auto text = text_of(message, "text");
  if (text.empty()) text = text_of(message, "content");
  if (text.empty()) text = text_of(json_of(message, "data"), "content");
  const bool is_known = side != message_side::other && !text.empty();
  const std::string_view name = side == message_side::user    ? "user"
                                : side == message_side::agent ? "agent"
                                                              : "message";
  const auto color = side == message_side::user ? k_green : k_blue;
  return r.line(name, color,
                (is_known ? harmless(text) : shown(message)) + std::string{word_of(operation)});
}

std::string call_line(rendering& r, std::string_view row, std::string_view operation) {
  return r.line("call", k_yellow,
                shown(json_of(row, "status")) + ", " + shown(json_of(row, "duration")) + ", " +
                    shown(json_of(row, "call_id")) + std::string{word_of(operation)});
}

std::string objective_line(rendering& r, std::string_view row, std::string_view operation) {
  return r.line("objective", k_cyan,
                shown(json_of(row, "objective")) + ": " + shown(json_of(row, "old_value")) +
                    " -> " + shown(json_of(row, "new_value")) + " (" +
                    shown(json_of(row, "source")) + ")" + std::string{word_of(operation)});
}

/// Which columns an UPDATE changed, or the row's name.
std::string row_line(rendering& r, std::string_view event, std::string_view payload,
                     std::string_view operation) {
  const auto record = json_of(payload, "record");
  const auto old_record = json_of(payload, "old_record");
  std::string text;
  if (operation == "UPDATE") {
    json_document document(old_record);
    if (document.is_valid()) {
      for_each_member(document.root(), [&](std::string_view column, json_value value) {
        const std::string name{column};
        text += (text.empty() ? "" : ", ") + harmless(name) + ' ' + shown(raw_json(value)) +
                " -> " + shown(json_of(record, name.c_str()));
      });
    }
  } else {
    text = shown(record.empty() || record == "null" ? old_record : record) +
           std::string{word_of(operation)};
  }
  return r.line(harmless(event), k_yellow, text);
}

std::string stats_line(rendering& r, std::string_view payload) {
  const auto messages = json_of(payload, "messages");
  const auto calls = json_of(payload, "calls");
  return r.line("stats", k_cyan,
                json_of(payload, "sessions") + " sessions (" + json_of(payload, "active") +
                    " active), " + json_of(messages, "total") + " messages (" +
                    json_of(messages, "user") + " user, " + json_of(messages, "agent") +
                    " agent), " + json_of(calls, "total") + " calls (" + json_of(calls, "seconds") +
                    " s), objectives " + shown(json_of(payload, "objectives")));
}

std::string snapshot_line(rendering& r, std::string_view payload) {
  std::string text;
  for (const auto* list : {"sessions", "messages", "calls", "objectives"}) {
    const auto json = json_of(payload, list);
    if (!json.starts_with('[')) continue;
    json_document document(json);
    std::size_t count = 0;
    for_each_element(document.root(), [&](json_value) { ++count; });
    text += (text.empty() ? "" : ", ") + std::to_string(count) + ' ' + list;
  }
  return r.line("snapshot", k_dim, text);
}

}  // namespace

std::string render_event(std::string_view line, std::string_view time, color_use colors) {
  rendering r(time, colors);
  const auto event = text_of(line, "event");
  const auto payload = json_of(line, "payload");
  if (event == "stats") return stats_line(r, payload);
  if (event == "snapshot") return snapshot_line(r, payload);
  const auto operation = text_of(payload, "operation");
  if (operation == "TRUNCATE") return r.line(harmless(event), k_red, "all rows are deleted");
  const auto* table =
      recruiting_description().find(text_of(payload, "schema"), text_of(payload, "table"));
  if (operation.empty() || table == nullptr) {
    return r.line(harmless(event), k_cyan, shown(payload.empty() ? line : payload));
  }
  const auto row = json_of(payload, operation == "DELETE" ? "old_record" : "record");
  switch (table->counts) {
    case counted_as::message:
      return message_line(r, row, operation);
    case counted_as::call:
      return call_line(r, row, operation);
    case counted_as::objective_change:
      return objective_line(r, row, operation);
    default:
      return row_line(r, event, payload, operation);
  }
}

}  // namespace pgcast
