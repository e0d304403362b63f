#include "protocol/change_message.hpp"

#include "protocol/codec.hpp"

#include <algorithm>

namespace pgcast {
namespace {

constexpr std::string_view name_of(operation op) {
  switch (op) {
    case operation::insert:
      return "INSERT";
    case operation::update:
      return "UPDATE";
    case operation::remove:
      return "DELETE";
    case operation::truncate:
    case operation::broadcast:  // no change of a table
      break;
  }
  return "TRUNCATE";
}

/// "2026-01-02T03:04:05.678901Z" with milliseconds, as Supabase Realtime has it.
std::string milliseconds_of(const std::string& commit_timestamp) {
  const auto dot = commit_timestamp.find('.');
  if (dot == std::string::npos || commit_timestamp.size() < dot + 4) return commit_timestamp;
  return commit_timestamp.substr(0, dot + 4) + "Z";
}

using column_list = std::vector<const shape_column*>;

column_list columns_for(const table_shape& shape, const std::vector<std::string>& select) {
  column_list out;
  for (const auto& c : shape.columns) {
    const bool is_chosen = select.empty() || c.is_key ||
                           std::find(select.begin(), select.end(), c.of.name) != select.end();
    if (c.is_selectable && is_chosen) out.push_back(&c);
  }
  return out;
}

bool is_text_of_number(const change_binding& b, const shape_column& c) {
  return b.int8_as_text && c.of.type == "int8";
}

std::string columns_json(const change_binding& b, const column_list& columns) {
  std::string out = "[";
  for (const auto* c : columns) {
    if (out.size() > 1) out += ',';
    out.append(R"({"name":)").append(json_quote(c->of.name));
    out.append(R"(,"type":)")
        .append(json_quote(is_text_of_number(b, *c) ? "text" : c->type_name))
        .append("}");
  }
  return out + ']';
}

/// The record with those columns only; as it came where that is all of them.
std::string record_json(std::string_view record, const change_to_write& what,
                        const column_list& columns) {
  const auto& b = what.binding;
  if (record.empty()) return "{}";
  if (what.shape.has_table_grant && b.select.empty() && !b.int8_as_text) return std::string{record};
  std::vector<std::string> names;
  for (const auto* c : columns) names.push_back(c->of.name);
  const auto values = raw_values(record, names);
  if (!values) return "{}";
  std::string out = "{";
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto& value = (*values)[i];
    const bool is_text = is_text_of_number(b, *columns[i]) && value != "null";
    if (out.size() > 1) out += ", ";
    out.append(json_quote(names[i])).append(": ").append(is_text ? json_quote(value) : value);
  }
  return out + '}';
}

/// Puts members in front of the closing brace.
void add_members(std::string& object, const std::string& members) {
  const auto end = object.find_last_of('}');
  const bool is_empty = object.find_last_not_of(" \t\r\n", end - 1) == object.find('{');
  object.replace(end, std::string::npos, (is_empty ? "" : ", ") + members + "}");
}

}  // namespace

change_message write_change_message(const change_to_write& what) {
  const auto& [e, shape, b, ids, as, old_row, cursor] = what;
  const auto columns = columns_for(shape, b.select);
  const bool has_new = as != operation::remove;
  const bool has_old = as != operation::insert;
  std::string record = has_new ? record_json(e.record, what, columns) : "{}";
  std::string old_record = has_old ? record_json(old_row, what, columns) : "{}";
  if (b.resume) {
    const std::string place = R"("_pgcast_id": ")" + std::to_string(e.id) +
                              R"(", "_pgcast_cursor": ")" + std::string{cursor} + '"';
    add_members(record, place);
    add_members(old_record, place);
  }
  std::string data = R"({"schema":)" + json_quote(e.schema);
  data.append(R"(,"table":)").append(json_quote(e.table));
  data.append(R"(,"type":")").append(name_of(as));
  data.append(R"(","commit_timestamp":")").append(milliseconds_of(e.commit_timestamp));
  data.append(R"(","columns":)").append(columns_json(b, columns));
  if (has_new) data.append(R"(,"record":)").append(record);
  if (has_old) data.append(R"(,"old_record":)").append(old_record);
  data.append(R"(,"errors":null})");
  if (b.is_bare) return {std::string{name_of(as)}, std::move(data)};
  std::string text = R"({"ids":[)";
  for (const auto id : ids) text.append(id == ids.front() ? "" : ",").append(std::to_string(id));
  text.append(R"(],"data":)").append(data).append("}");
  return {"postgres_changes", std::move(text)};
}

}  // namespace pgcast
