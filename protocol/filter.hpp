#pragma once

#include "protocol/error.hpp"
#include "protocol/row_values.hpp"
#include "protocol/sql_type.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

struct filter_condition;

/// A condition on the rows of one table, as a client writes it in a `postgres_changes` filter:
/// `price=gt.10,state=in.(open,"on hold"),name=not.ilike.a%`. All conditions must hold.
///
/// Semantics are those of Postgres' operators for the column's type, text in collation C; see
/// docs/decisions/0005-filters.md. Immutable, cheap to copy; copies may be used by several threads.
class filter {
 public:
  /// Every row matches.
  filter() = default;

  /// "" is a filter without conditions. Fails with filter_malformed and a sentence for the client.
  static result<filter> parse(std::string_view text, const std::vector<table_column>& columns);

  /// SQL's WHERE: false where a comparison with NULL leaves it open, and where the row lacks a
  /// column.
  bool matches(row_values& row) const;

  /// The columns that it asks for, as often as it does; a client must be allowed to read them.
  std::vector<std::string> columns() const;

  /// One equality that must hold, to find the filters of an event by a hash table: `value` equals
  /// canonical_value() of the rows that fulfil it, and of no others. nullopt if there is none.
  struct equality {
    std::string column;
    std::string value;  ///< bytes, not text
  };
  std::optional<equality> indexed_equality() const;

 private:
  std::shared_ptr<const std::vector<filter_condition>> conditions_;
};

}  // namespace pgcast
