#include "protocol/ticker_rows.hpp"

#include "protocol/json_document.hpp"

#include <simdjson.h>

#include <algorithm>

namespace pgcast {
namespace {

using namespace simdjson;

bool is_true(json_value value) { return raw_scalar(value) == "true"; }

/// As `->>` gives it, if it is a string or null; other values are words that nobody knows.
std::optional<std::string> word_of(json_value value) {
  if (is_null(value)) return std::nullopt;
  return string_of(value).value_or("");
}

message_side side_of(json_value message) {
  std::optional<std::string> sender;
  std::optional<std::string> type;
  if (!is_object(message)) return message_side::other;
  for_each_member(message, [&](std::string_view key, json_value value) {
    if (key == "sender") sender = word_of(value);
    if (key == "type") type = word_of(value);
  });
  const auto said = sender ? *sender : type.value_or("");
  if (said == "user" || said == "human") return message_side::user;
  if (said == "agent" || said == "ai" || said == "assistant") return message_side::agent;
  return message_side::other;
}

/// JSON true, or an object whose `value` or `met` is.
bool is_met(json_value objective) {
  if (!is_object(objective)) return is_true(objective);
  bool met = false;
  for_each_member(objective, [&](std::string_view key, json_value value) {
    if (key == "value" || key == "met") met = is_true(value) || met;
  });
  return met;
}

std::optional<std::int64_t> time_of(json_value value) {
  const auto text = string_of(value);
  return text ? timestamp_us(*text) : std::nullopt;
}

/// Takes over one column of a row.
void read_column(counted_as kind, std::string_view column, json_value value, counted_row& into) {
  if (column == "session_id") {
    into.session = scalar_text(raw_scalar(value));
    return;
  }
  const auto read_time = [&](std::string_view name, std::size_t slot) {
    if (column == name) into.times[slot] = time_of(value);
  };
  switch (kind) {
    case counted_as::nothing:
      return;
    case counted_as::message:
      if (column == "message") into.side = side_of(value);
      return;
    case counted_as::call:
      if (column == "duration") {
        const auto text = string_of(value);
        into.call_us = (text ? interval_us(*text) : std::nullopt).value_or(0);
      }
      return read_time("called_at", 0);
    case counted_as::objective_change:
      return read_time("occurred_at", 0);
    case counted_as::session:
      break;
  }
  if (column == "session_status") into.is_active = string_of(value) == "active";
  if (column == "objectives") into.objectives = met_objectives(value);
  read_time("last_user_msg_at", 0);
  read_time("last_agent_msg_at", 1);
  read_time("last_outbound_at", 2);
  read_time("user_updated", 3);
  read_time("agent_updated", 4);
}

/// Lays the columns of a record, of whose text event keeps spare bytes, over a row.
bool read_record(counted_as kind, const std::string& record, counted_row& into) {
  thread_local ondemand::parser parser;
  ondemand::document document;
  ondemand::value root;
  const padded_string_view padded{record.data(), record.size(), record.capacity()};
  if (parser.iterate(padded).get(document) != SUCCESS) return false;
  if (document.get_value().get(root) != SUCCESS) return false;
  return for_each_member(root, [&](std::string_view column, json_value value) {
    read_column(kind, column, value, into);
  });
}

}  // namespace

std::optional<std::int64_t> counted_row::last_activity_us() const {
  return *std::max_element(times.begin(), times.end());  // nullopt is the least
}

std::vector<std::string> met_objectives(json_value objectives) {
  std::vector<std::string> out;
  if (!is_object(objectives)) return out;
  for_each_member(objectives, [&](std::string_view name, json_value value) {
    if (is_met(value)) out.emplace_back(name);
  });
  std::sort(out.begin(), out.end());
  return out;
}

message_side side_of_message(std::string_view json) {
  json_document document(json);
  return document.is_valid() ? side_of(document.root()) : message_side::other;
}

std::vector<std::string> met_objectives(std::string_view json) {
  thread_local ondemand::parser parser;  // ten thousand sessions in a row are asked for
  const padded_string padded{json};
  ondemand::document document;
  ondemand::value root;
  if (parser.iterate(padded).get(document) != SUCCESS) return {};
  if (document.get_value().get(root) != SUCCESS) return {};
  return met_objectives(root);
}

std::optional<counted_rows> read_counted_rows(const event& e) {
  const auto kind = e.description->counts;
  counted_rows out;
  if (e.op == operation::insert || e.op == operation::update) {
    if (!read_record(kind, e.record, out.after.emplace())) return std::nullopt;
  }
  if (e.op == operation::update) out.before = out.after;  // but for the columns that changed
  if (e.op == operation::remove) out.before.emplace();
  if (out.before && !read_record(kind, e.old_record, *out.before)) return std::nullopt;
  return out;
}

}  // namespace pgcast
