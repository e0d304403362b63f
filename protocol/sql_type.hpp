#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// A column of a table as a filter needs it. `type` is the base type by pg_type.typname ("int8",
/// "_text", "timestamptz", an enum's own name); a domain stands as the type it is made of.
struct table_column {
  std::string name;
  std::string type;
  std::vector<std::string> labels;  ///< of an enum, or of an array of it, in its order; else empty

  bool operator==(const table_column&) const = default;
};

enum class sql_kind : std::uint8_t {
  boolean,
  int2,
  int4,
  int8,
  oid,
  numeric,
  float4,
  float8,
  text,    ///< also varchar
  bpchar,  ///< trailing blanks do not count
  name,
  citext,
  uuid,
  date,
  timestamp,
  timestamptz,
  time,
  timetz,
  interval,
  bytea,
  inet,
  cidr,
  macaddr,
  macaddr8,
  bits,
  enumeration,
  jsonb,
  opaque,  ///< no comparison here: json, xml, points, types of extensions
};

/// What a filter may ask of a type, and its values as **keys**: bytes that are equal exactly when
/// Postgres' `=` calls the values equal and, where the type has an order, that stand in its order
/// under memcmp (text: collation C). NaN, infinities, 1.0 and 1, enums and arrays included.
///
/// Literals without a time zone are read in UTC, intervals in the style "postgres".
class sql_type {
 public:
  explicit sql_type(const table_column& column);

  const std::string& name() const { return name_; }
  /// The name, and an enum's labels: types with equal ones read values alike.
  const std::string& identity() const { return identity_; }
  static std::string identity_of(const table_column& column);
  bool is_array() const { return is_array_; }

  bool has_equality() const { return kind_ != sql_kind::opaque; }
  bool has_order() const { return has_equality() && kind_ != sql_kind::jsonb; }
  bool is_boolean() const { return !is_array_ && kind_ == sql_kind::boolean; }
  /// LIKE and regular expressions are defined for it.
  bool is_text() const;
  /// They take no notice of case for it.
  bool ignores_case() const { return kind_ == sql_kind::citext; }
  /// The key is the text itself.
  bool has_text_key() const { return kind_ == sql_kind::text || kind_ == sql_kind::name; }

  /// The key of what stands in a filter; nullopt for what is no value of the type, and for
  /// spellings that only Postgres knows (accepted_forms() says what to write).
  std::optional<std::string> key_of_literal(std::string_view literal) const;

  /// The key of a column in a record, from its JSON token (not null); nullopt if it cannot be read.
  std::optional<std::string> key_of_json(std::string_view token) const;

  /// For people: how a value of the type is written in a filter.
  std::string_view accepted_forms() const;

 private:
  /// An enum may have a name like that of an array: then the value tells which it is.
  bool is_enumeration() const { return kind_ == sql_kind::enumeration; }
  std::optional<std::string> element_key(std::string_view text) const;
  std::optional<std::string> element_key_of_json(std::string_view token) const;
  std::optional<std::string> label_key(std::string_view label) const;

  std::string name_;
  std::string identity_;
  sql_kind kind_ = sql_kind::opaque;
  bool is_array_ = false;
  std::vector<std::string> labels_;
};

}  // namespace pgcast
