#include "protocol/event.hpp"

#include "protocol/codec.hpp"
#include "protocol/json_document.hpp"

#include <simdjson.h>

#include <charconv>

namespace pgcast {
namespace {

using namespace simdjson;

result<std::uint64_t> parse_number(std::string_view text, const char* what) {
  std::uint64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size()) {
    return error{errc::row_malformed, std::string{"outbox row with a bad "} + what};
  }
  return value;
}

result<operation> parse_operation(std::string_view text) {
  if (text == "I") return operation::insert;
  if (text == "U") return operation::update;
  if (text == "D") return operation::remove;
  if (text == "T") return operation::truncate;
  if (text == "B") return operation::broadcast;
  return error{errc::row_malformed, "outbox row with a bad operation"};
}

/// One parser a thread: its buffers grow to the largest record once.
ondemand::parser& thread_parser() {
  thread_local ondemand::parser parser;
  return parser;
}

/// The raw JSON text of one column; nullopt if the record has none or is not readable.
std::optional<std::string_view> raw_column(ondemand::object& object, std::string_view column) {
  const std::string quoted = json_quote(column);  // simdjson compares names as they stand
  const auto name = std::string_view{quoted}.substr(1, quoted.size() - 2);
  ondemand::value value;
  if (object.find_field_unordered(name).get(value) != SUCCESS) return std::nullopt;
  std::string_view raw;
  if (to_json_string(value).get(raw) != SUCCESS) return std::nullopt;
  while (!raw.empty() && (raw.back() == ' ' || raw.back() == '\n')) raw.remove_suffix(1);
  return raw;
}

struct found_column {
  bool is_there = false;
  std::optional<std::string> value;
};

/// `record` keeps SIMDJSON_PADDING spare bytes behind its end (see padded_copy).
found_column find_column(const std::string& record, std::string_view column) {
  if (record.empty()) return {};
  ondemand::document document;
  ondemand::object object;
  const padded_string_view padded{record.data(), record.size(), record.capacity()};
  if (thread_parser().iterate(padded).get(document) != SUCCESS) return {};
  if (document.get_object().get(object) != SUCCESS) return {};
  const auto raw = raw_column(object, column);
  if (!raw) return {};
  return {true, scalar_text(*raw)};
}

std::string padded_copy(std::string_view text) {
  std::string out;
  out.reserve(text.size() + SIMDJSON_PADDING);
  out = text;
  return out;
}

bool is_json_object(const std::string& record) {
  if (record.empty()) return true;
  ondemand::document document;
  ondemand::object object;
  const padded_string_view padded{record.data(), record.size(), record.capacity()};
  return thread_parser().iterate(padded).get(document) == SUCCESS &&
         document.get_object().get(object) == SUCCESS;
}

}  // namespace

result<event> parse_outbox_row(const outbox_row& row, const relay_description& description) {
  const auto id = parse_number(row.id, "id");
  if (!id) return id.error();
  const auto xid = parse_number(row.xid, "xid");
  if (!xid) return xid.error();
  const auto op = parse_operation(row.operation);
  if (!op) return op.error();
  event e;
  e.id = *id;
  e.xid = *xid;
  e.op = *op;
  e.schema = row.schema;
  e.table = row.table;
  e.commit_timestamp = row.commit_timestamp;
  if (e.op == operation::broadcast) {
    auto said =
        parse_kept_broadcast(row.record.value_or(""), row.old_record.value_or(""), description);
    if (!said) return said.error();
    e.broadcast = std::make_unique<const kept_broadcast>(*std::move(said));
    return e;
  }
  e.description = description.find(row.schema, row.table);
  if (row.record) e.record = padded_copy(*row.record);
  if (row.old_record) e.old_record = padded_copy(*row.old_record);
  e.is_parsable = is_json_object(e.record) && is_json_object(e.old_record);
  return e;
}

column_values values_of(const event& e, std::string_view column) {
  column_values out;
  const auto now = find_column(e.record, column);
  const auto old = find_column(e.old_record, column);
  if (e.op == operation::insert || e.op == operation::update) out.after = now.value;
  if (e.op == operation::remove) out.before = old.value;
  if (e.op == operation::update) out.before = old.is_there ? old.value : now.value;
  return out;
}

result<std::vector<std::string>> raw_values(std::string_view record,
                                            const std::vector<std::string>& columns) {
  const padded_string padded{record};
  ondemand::document document;
  ondemand::object object;
  if (thread_parser().iterate(padded).get(document) != SUCCESS ||
      document.get_object().get(object) != SUCCESS) {
    return error{errc::row_malformed, "a record is no JSON object"};
  }
  std::vector<std::string> out;
  for (const auto& column : columns) {
    const auto raw = raw_column(object, column);
    out.emplace_back(raw ? *raw : "null");
  }
  return out;
}

result<std::string> whole_old_record(const event& e) {
  if (e.op == operation::remove) return e.old_record;
  if (e.op != operation::update) return std::string{};
  const error unreadable{errc::row_malformed,
                         "the old row of event " + std::to_string(e.id) + " cannot be read"};
  ondemand::parser old_parser;
  ondemand::document old_document;
  ondemand::object old_values;
  const padded_string_view old_json{e.old_record.data(), e.old_record.size(),
                                    e.old_record.capacity()};
  if (old_parser.iterate(old_json).get(old_document) != SUCCESS ||
      old_document.get_object().get(old_values) != SUCCESS) {
    return unreadable;
  }
  ondemand::document document;
  ondemand::object object;
  const padded_string_view json{e.record.data(), e.record.size(), e.record.capacity()};
  if (thread_parser().iterate(json).get(document) != SUCCESS ||
      document.get_object().get(object) != SUCCESS) {
    return unreadable;
  }
  std::string out = "{";
  for (auto field : object) {
    std::string_view name;
    std::string_view raw;
    ondemand::value value;
    if (field.unescaped_key().get(name) != SUCCESS || field.value().get(value) != SUCCESS ||
        to_json_string(value).get(raw) != SUCCESS) {
      return unreadable;
    }
    const auto old = raw_column(old_values, name);
    if (out.size() > 1) out += ", ";
    append_json_quoted(out, name);
    out.append(": ").append(old ? *old : raw);
  }
  return out + '}';
}

position batch_span::at(std::uint64_t id) const {
  position p = start;
  p.id = id;
  return p;
}

event_view view_of(operation op, event_sides sees) {
  switch (op) {
    case operation::truncate:
      return sees.old_row || sees.new_row ? event_view::truncate : event_view::hidden;
    case operation::insert:
      return sees.new_row ? event_view::insert : event_view::hidden;
    case operation::remove:
      return sees.old_row ? event_view::remove : event_view::hidden;
    case operation::broadcast:
      return event_view::hidden;
    case operation::update:
      break;
  }
  if (sees.old_row && sees.new_row) return event_view::update;
  if (sees.new_row) return event_view::insert;
  return sees.old_row ? event_view::remove : event_view::hidden;
}

result<std::string> encode_event(const event& e, event_view view, std::string_view cursor) {
  std::string_view record;  // "" = null: none, or too large for the outbox
  std::string_view old_record;
  std::string whole_old;
  std::string_view name;
  switch (view) {
    case event_view::hidden:
      return error{errc::row_malformed, "a hidden event has no payload"};
    case event_view::insert:
      name = "INSERT", record = e.record;
      break;
    case event_view::update:
      name = "UPDATE", record = e.record, old_record = e.old_record;
      break;
    case event_view::truncate:
      name = "TRUNCATE";
      break;
    case event_view::remove: {
      auto built = whole_old_record(e);
      if (!built) return built.error();
      whole_old = *std::move(built);
      name = "DELETE";
      old_record = whole_old;
      break;
    }
  }
  std::string out;
  out.reserve(192 + cursor.size() + e.schema.size() + e.table.size() + record.size() +
              old_record.size());
  out.append(R"({"id":")").append(std::to_string(e.id));
  out.append(R"(","cursor":")").append(cursor);
  out.append(R"(","schema":)");
  append_json_quoted(out, e.schema);
  out.append(R"(,"table":)");
  append_json_quoted(out, e.table);
  out.append(R"(,"operation":")").append(name);
  out.append(R"(","commit_timestamp":")").append(e.commit_timestamp);
  out.append(R"(","record":)").append(record.empty() ? "null" : record);
  out.append(R"(,"old_record":)").append(old_record.empty() ? "null" : old_record).append("}");
  return out;
}

}  // namespace pgcast
