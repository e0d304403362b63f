#include "protocol/change_spec.hpp"

#include <algorithm>

namespace pgcast {

row_values& event_rows::compared() {
  if (!compared_) {
    const bool is_removed = event_.op == operation::remove;
    compared_.emplace(is_removed ? event_.old_record : event_.record);
  }
  return *compared_;
}

row_values& event_rows::compared_old() {
  if (!compared_old_) compared_old_.emplace(whole_old());
  return *compared_old_;
}

row_values& event_rows::replaced() {
  const bool is_update = event_.op == operation::update;
  if (!replaced_) replaced_.emplace(is_update ? std::string_view{event_.old_record} : "");
  return *replaced_;
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
      return error{errc::binding_malformed, "select: table " + name + " has no column \"" + column +
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

std::optional<operation> change_spec::match(std::size_t binding, const table_shape& shape,
                                            const event& e, event_rows& rows) const {
  const auto& b = bindings_[binding];
  const bool may_leave =
      b.wants_leaving && e.op == operation::update && b.is_for(e, operation::remove);
  if (!b.is_for(e) && !may_leave) return std::nullopt;
  const auto& read = filter_for(binding, shape);
  if (!read) return std::nullopt;
  if (read->matches(rows.compared())) return b.is_for(e) ? std::optional{e.op} : std::nullopt;
  if (may_leave && read->matches(rows.compared_old())) return operation::remove;
  return std::nullopt;
}

bool change_spec::may_match(const event& e, event_rows& rows) const {
  if (e.op == operation::truncate) return false;
  const auto* shape = shapes_->find(e.schema, e.table);
  for (std::size_t i = 0; i < bindings_.size(); ++i) {
    const auto& b = bindings_[i];
    if (shape != nullptr && filter_for(i, *shape)) {
      if (match(i, *shape, e, rows)) return true;
    } else if (b.is_for(e) || (b.wants_leaving && b.is_for(e, operation::remove))) {
      return true;
    }
  }
  return false;
}

std::vector<change_message> change_spec::write(const event& e, event_rows& rows, event_sides sides,
                                               const std::vector<bool>& wanted,
                                               std::string_view cursor) const {
  std::vector<change_message> out;
  const auto* shape = shapes_->find(e.schema, e.table);
  const bool is_seen = e.op == operation::remove ? sides.old_row : sides.new_row;
  if (shape == nullptr || !is_seen || e.op == operation::truncate) return out;
  std::vector<std::pair<std::size_t, operation>> matching;
  for (std::size_t i = 0; i < bindings_.size(); ++i) {
    if (!wanted.empty() && !wanted[i]) continue;
    const auto as = match(i, *shape, e, rows);
    const bool is_leaving = as && *as != e.op;
    if (as && (!is_leaving || sides.old_row)) matching.emplace_back(i, *as);
  }
  while (!matching.empty()) {
    const auto [first, as] = matching.front();
    const auto& b = bindings_[first];
    std::vector<std::uint32_t> ids;
    std::erase_if(matching, [&](const auto& other) {
      const bool is_alike = other.second == as && b.looks_like(bindings_[other.first]);
      if (is_alike) ids.push_back(bindings_[other.first].id);
      return is_alike;
    });
    const bool has_old = e.op != operation::insert && sides.old_row;
    const std::string_view old = has_old ? std::string_view{rows.whole_old()} : "";
    out.push_back(write_change_message({e, *shape, b, ids, as, old, cursor}));
  }
  return out;
}

}  // namespace pgcast
