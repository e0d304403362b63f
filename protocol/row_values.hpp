#pragma once

#include "protocol/sql_type.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgcast {

enum class value_state : std::uint8_t {
  unknown,  ///< the record has no such column, or its value is not of the type
  null,     ///< SQL NULL; also a jsonb column that holds the JSON null, which looks the same
  known,
};

/// One column of one row as a type reads it.
class column_value {
 public:
  value_state state() const { return state_; }

  /// The record has the column, be its value readable or not.
  bool is_present() const { return is_present_; }

  /// sql_type::key_of_json(); only of a known value.
  const std::string& key() const { return key_; }

  /// The text of a known value of a type that is text, and its to_lower().
  const std::string& text() const { return has_text_key_ ? key_ : text_; }
  const std::string& lower_text();

 private:
  friend class row_values;

  std::string column_;
  std::string type_;
  value_state state_ = value_state::unknown;
  bool is_present_ = false;
  bool has_text_key_ = true;
  std::string key_;
  std::string text_;
  std::optional<std::string> lower_text_;
};

/// The columns of one row, out of its record: to_jsonb or row_to_json of it as text, made with
/// TimeZone UTC, IntervalStyle postgres. The record is read when the first column is asked for, a
/// column once for each type; later questions cost a comparison of names.
///
/// Never fails: what cannot be read is unknown. Not thread-safe.
class row_values {
 public:
  /// `record` must outlive it. "" is a row without columns.
  explicit row_values(std::string_view record) : record_(record) {}
  row_values(const row_values&) = delete;
  row_values& operator=(const row_values&) = delete;

  /// The value stays in place as long as the row.
  column_value& value(const std::string& column, const sql_type& type);

 private:
  friend std::optional<std::string> canonical_value(row_values& row, const table_column& column);

  column_value* find(std::string_view column, std::string_view type);
  void read_record();

  std::string_view record_;
  std::string padded_;  ///< the record, with the spare bytes that simdjson wants
  bool is_read_ = false;
  std::vector<std::pair<std::string, std::string_view>> tokens_;  ///< of all columns
  std::deque<column_value> values_;                               ///< of those asked for
};

/// The bytes of a row's column that filter::indexed_equality() has of a literal: equal exactly when
/// `=` says so. nullopt where nothing can be equal: NULL, unknown, a type without `=`.
std::optional<std::string> canonical_value(row_values& row, const table_column& column);

}  // namespace pgcast
