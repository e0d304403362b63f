#include "protocol/table_shape.hpp"

#include <algorithm>

namespace pgcast {

bool table_shape::is_selectable() const {
  return std::any_of(columns.begin(), columns.end(), [](const auto& c) { return c.is_selectable; });
}

const shape_column* table_shape::find(std::string_view column) const {
  for (const auto& c : columns) {
    if (c.of.name == column) return &c;
  }
  return nullptr;
}

std::vector<table_column> table_shape::filter_columns() const {
  std::vector<table_column> out;
  for (const auto& c : columns) {
    if (c.is_selectable) out.push_back(c.of);
  }
  return out;
}

const table_shape* table_shapes::find(std::string_view schema, std::string_view name) const {
  for (const auto& t : tables) {
    if (t.name == name && t.schema == schema) return &t;
  }
  return nullptr;
}

}  // namespace pgcast
