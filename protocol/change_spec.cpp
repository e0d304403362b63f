#include "protocol/change_spec.hpp"

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

std::string columns_json(const column_list& columns) {
  std::string out = "[";
  for (const auto* c : columns) {
    if (out.size() > 1) out += ',';
    out.append(R"({"name":)").append(json_quote(c->of.name));
    out.append(R"(,"type":)").append(json_quote(c->type_name)).append("}");
  }
  return out + ']';
}

/// The record with those columns only; as it came where that is all of them.
std::string record_json(std::string_view record, const table_shape& shape,
                        const std::vector<std::string>& select, const column_list& columns) {
  if (record.empty()) return "{}";
  if (shape.has_table_grant && select.empty()) return std::string{record};
  std::vector<std::string> names;
  for (const auto* c : columns) names.push_back(c->of.name);
  const auto values = raw_values(record, names);
  if (!values) return "{}";
  std::string out = "{";
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (out.size() > 1) out += ", ";
    out.append(json_quote(names[i])).append(": ").append((*values)[i]);
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

row_values& event_rows::compared() {
  if (!compared_) {
    const bool is_removed = event_.op == operation::remove;
    compared_.emplace(is_removed ? event_.old_record : event_.record);
  }
  return *compared_;
}

const std::string& event_rows::whole_old() {
  if (!whole_old_) {
    auto built = whole_old_record(event_);
    whole_old_ = built ? *std::move(built) : std::string{};
  }
  return *whole_old_;
}

change_spec::change_spec(std::vector<change_binding> bindings) : bindings_(std::move(bindings)) {
  for (const auto& b : bindings_) {
    identity_.append(std::to_string(b.id)).append(b.identity()).append("\n\n");
  }
}

bool change_spec::use(std::shared_ptr<const table_shapes> shapes) {
  if (shapes == shapes_) return false;
  shapes_ = std::move(shapes);
  filters_.clear();
  return true;
}

const change_spec::parsed_filter& change_spec::filter_for(std::size_t binding,
                                                          const table_shape& shape) const {
  auto [at, is_new] = filters_.try_emplace({binding, &shape});
  if (is_new) {
    auto read = filter::parse(bindings_[binding].filter, shape.filter_columns());
    if (read) at->second = *std::move(read);
  }
  return at->second;
}

result<void> change_spec::check(std::string_view role) const {
  for (const auto& b : bindings_) {
    if (b.table == "*" || b.schema == "*") continue;
    const auto name = b.schema + "." + b.table;
    const auto* shape = shapes_->find(b.schema, b.table);
    // One sentence for both: a role does not learn which tables there are.
    if (shape == nullptr || !shape->is_relayed || !shape->is_selectable()) {
      return error{errc::unauthorized,
                   "table " + name + " is not relayed, or role " + std::string{role} +
                       " may not read it: pgcast install --table " + name + ", GRANT SELECT ON " +
                       name + " TO " + std::string{role}};
    }
    for (const auto& column : b.select) {
      const auto* c = shape->find(column);
      if (c != nullptr && c->is_selectable) continue;
      return error{errc::payload_malformed, "select: table " + name + " has no column \"" + column +
                                                "\" that role " + std::string{role} + " may read"};
    }
    const auto read = filter::parse(b.filter, shape->filter_columns());
    if (!read) return read.error();
  }
  return {};
}

std::vector<change_spec::key> change_spec::keys() const {
  std::vector<key> out;
  for (std::size_t i = 0; i < bindings_.size(); ++i) {
    const auto& b = bindings_[i];
    key k{b.schema, b.table, std::nullopt, {}};
    const auto* shape = shapes_->find(b.schema, b.table);
    if (shape != nullptr) {
      const auto& read = filter_for(i, *shape);
      if (read) k.equality = read->indexed_equality();
      if (k.equality) k.column = shape->find(k.equality->column)->of;
    }
    const bool is_known = std::any_of(out.begin(), out.end(), [&](const key& other) {
      const bool is_same_place = other.schema == k.schema && other.table == k.table;
      if (!is_same_place || other.equality.has_value() != k.equality.has_value()) return false;
      return !k.equality || (other.equality->column == k.equality->column &&
                             other.equality->value == k.equality->value);
    });
    if (!is_known) out.push_back(std::move(k));
  }
  return out;
}

bool change_spec::may_match(const event& e, event_rows& rows) const {
  if (e.op == operation::truncate) return false;
  const auto* shape = shapes_->find(e.schema, e.table);
  for (std::size_t i = 0; i < bindings_.size(); ++i) {
    if (!bindings_[i].is_for(e)) continue;
    if (shape == nullptr) return true;
    const auto& read = filter_for(i, *shape);
    if (!read || read->matches(rows.compared())) return true;
  }
  return false;
}

std::vector<std::string> change_spec::write(const event& e, event_rows& rows, event_sides sides,
                                            const std::vector<bool>& wanted,
                                            std::string_view cursor) const {
  std::vector<std::string> out;
  const auto* shape = shapes_->find(e.schema, e.table);
  const bool is_seen = e.op == operation::remove ? sides.old_row : sides.new_row;
  if (shape == nullptr || !is_seen || e.op == operation::truncate) return out;
  std::vector<std::size_t> matching;
  for (std::size_t i = 0; i < bindings_.size(); ++i) {
    if (!bindings_[i].is_for(e) || (!wanted.empty() && !wanted[i])) continue;
    const auto& read = filter_for(i, *shape);
    if (read && read->matches(rows.compared())) matching.push_back(i);
  }
  while (!matching.empty()) {  // one message for those that look alike
    const auto& b = bindings_[matching.front()];
    const auto is_alike = [&](std::size_t i) {
      return bindings_[i].select == b.select &&
             bindings_[i].resume.has_value() == b.resume.has_value();
    };
    std::string ids;
    for (const auto i : matching) {
      if (is_alike(i)) ids.append(ids.empty() ? "" : ",").append(std::to_string(bindings_[i].id));
    }
    const auto columns = columns_for(*shape, b.select);
    const bool has_new = e.op != operation::remove;
    const bool has_old = e.op != operation::insert;
    std::string record = record_json(e.record, *shape, b.select, columns);
    std::string old_record = "{}";
    if (has_old && sides.old_row) {
      old_record = record_json(rows.whole_old(), *shape, b.select, columns);
    }
    if (b.resume) {
      const std::string place = R"("_pgcast_id": ")" + std::to_string(e.id) +
                                R"(", "_pgcast_cursor": ")" + std::string{cursor} + '"';
      add_members(record, place);
      add_members(old_record, place);
    }
    std::string text = R"({"ids":[)" + ids + R"(],"data":{"schema":)" + json_quote(e.schema);
    text.append(R"(,"table":)").append(json_quote(e.table));
    text.append(R"(,"type":")").append(name_of(e.op));
    text.append(R"(","commit_timestamp":")").append(milliseconds_of(e.commit_timestamp));
    text.append(R"(","columns":)").append(columns_json(columns));
    if (has_new) text.append(R"(,"record":)").append(record);
    if (has_old) text.append(R"(,"old_record":)").append(old_record);
    text.append(R"(,"errors":null}})");
    out.push_back(std::move(text));
    std::erase_if(matching, is_alike);
  }
  return out;
}

}  // namespace pgcast
