#pragma once

#include "protocol/sql_type.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// One column as a role may see it.
struct shape_column {
  table_column of;        ///< name and base type, as filters compare it
  std::string type_name;  ///< as it is announced to clients: pg_type.typname
  bool is_selectable = false;
  bool is_key = false;  ///< part of the primary key

  bool operator==(const shape_column&) const = default;
};

/// A relayed table as a role may see it.
struct table_shape {
  std::string schema;
  std::string name;
  std::vector<shape_column> columns;  ///< in their order
  bool is_relayed = false;            ///< its changes are written into the outbox
  bool has_table_grant = false;       ///< SELECT on the table, so on columns to come too
  bool is_selectable() const;

  const shape_column* find(std::string_view column) const;
  /// Those that a filter may ask for.
  std::vector<table_column> filter_columns() const;
  bool operator==(const table_shape&) const = default;
};

/// All tables, for one role. Immutable once shared.
struct table_shapes {
  std::vector<table_shape> tables;

  const table_shape* find(std::string_view schema, std::string_view name) const;
  bool operator==(const table_shapes&) const = default;
};

}  // namespace pgcast
