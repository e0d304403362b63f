#include "protocol/sql_type.hpp"

#include "protocol/lower_case.hpp"
#include "protocol/sql_key.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace pgcast {
namespace {

constexpr std::pair<std::string_view, sql_kind> k_kinds[] = {
    {"bool", sql_kind::boolean},
    {"int2", sql_kind::int2},
    {"int4", sql_kind::int4},
    {"int8", sql_kind::int8},
    {"oid", sql_kind::oid},
    {"numeric", sql_kind::numeric},
    {"float4", sql_kind::float4},
    {"float8", sql_kind::float8},
    {"text", sql_kind::text},
    {"varchar", sql_kind::text},
    {"bpchar", sql_kind::bpchar},
    {"name", sql_kind::name},
    {"citext", sql_kind::citext},
    {"uuid", sql_kind::uuid},
    {"date", sql_kind::date},
    {"timestamp", sql_kind::timestamp},
    {"timestamptz", sql_kind::timestamptz},
    {"time", sql_kind::time},
    {"timetz", sql_kind::timetz},
    {"interval", sql_kind::interval},
    {"bytea", sql_kind::bytea},
    {"inet", sql_kind::inet},
    {"cidr", sql_kind::cidr},
    {"macaddr", sql_kind::macaddr},
    {"macaddr8", sql_kind::macaddr8},
    {"bit", sql_kind::bits},
    {"varbit", sql_kind::bits},
    {"jsonb", sql_kind::jsonb},
};

sql_kind kind_of(std::string_view name) {
  const auto* const found =
      std::ranges::find(k_kinds, name, &std::pair<std::string_view, sql_kind>::first);
  return found == std::end(k_kinds) ? sql_kind::opaque : found->second;
}

constexpr std::size_t k_name_bytes = 63;  // Postgres: NAMEDATALEN - 1

/// What a text becomes when it is cast to name.
std::string_view cut_to_name(std::string_view text) {
  if (text.size() <= k_name_bytes) return text;
  std::size_t end = 0;
  while (end + utf8_length(text[end]) <= k_name_bytes) end += utf8_length(text[end]);
  return text.substr(0, end);
}

template <class Integer>
sql_key integer_of(std::string_view text) {
  return integer_key(text, std::numeric_limits<Integer>::min(),
                     std::numeric_limits<Integer>::max());
}

}  // namespace

std::string sql_type::identity_of(const table_column& column) {
  std::string out = column.type;
  for (const auto& label : column.labels) out.append("\n").append(label);
  return out;
}

sql_type::sql_type(const table_column& column)
    : name_(column.type), identity_(identity_of(column)), labels_(column.labels) {
  is_array_ = name_.starts_with('_');
  kind_ = labels_.empty() ? kind_of(std::string_view(name_).substr(is_array_ ? 1 : 0))
                          : sql_kind::enumeration;
  // An array in a jsonb array cannot be told from an array of one more dimension.
  if (is_array_ && kind_ == sql_kind::jsonb) kind_ = sql_kind::opaque;
}

bool sql_type::is_text() const {
  return !is_array_ && (has_text_key() || kind_ == sql_kind::bpchar || kind_ == sql_kind::citext);
}

std::optional<std::string> sql_type::label_key(std::string_view label) const {
  const auto found = std::ranges::find(labels_, label);
  if (found == labels_.end()) return std::nullopt;
  std::string key;
  append_ordered(key, found - labels_.begin());
  return key;
}

std::optional<std::string> sql_type::element_key(std::string_view text) const {
  switch (kind_) {
    case sql_kind::boolean:
      return boolean_key(text);
    case sql_kind::int2:
      return integer_of<std::int16_t>(text);
    case sql_kind::int4:
      return integer_of<std::int32_t>(text);
    case sql_kind::int8:
      return integer_of<std::int64_t>(text);
    case sql_kind::oid:
      return integer_of<std::uint32_t>(text);
    case sql_kind::numeric:
      return numeric_key(text);
    case sql_kind::float4:
      return float_key(text, float_width::single_precision);
    case sql_kind::float8:
      return float_key(text, float_width::double_precision);
    case sql_kind::text:
      return std::string(text);
    case sql_kind::bpchar:
      return std::string(text.substr(0, text.find_last_not_of(' ') + 1));
    case sql_kind::name:
      return std::string(cut_to_name(text));
    case sql_kind::citext:
      return to_lower(text);
    case sql_kind::uuid:
      return uuid_key(text);
    case sql_kind::date:
      return date_key(text);
    case sql_kind::timestamp:
      return timestamp_key(text, zone_rule::ignored);
    case sql_kind::timestamptz:
      return timestamp_key(text, zone_rule::applied);
    case sql_kind::time:
      return time_key(text);
    case sql_kind::timetz:
      return timetz_key(text);
    case sql_kind::interval:
      return interval_key(text);
    case sql_kind::bytea:
      return bytea_key(text);
    case sql_kind::inet:
      return network_key(text, host_bits::allowed);
    case sql_kind::cidr:
      return network_key(text, host_bits::refused);
    case sql_kind::macaddr:
      return macaddr_key(text, 6);
    case sql_kind::macaddr8:
      return macaddr_key(text, 8);
    case sql_kind::bits:
      return bits_key(text);
    case sql_kind::enumeration:
      return label_key(text);
    case sql_kind::jsonb:
      return json_key(text);
    case sql_kind::opaque:
      break;
  }
  return std::nullopt;
}

std::optional<std::string> sql_type::element_key_of_json(std::string_view token) const {
  if (kind_ == sql_kind::jsonb) return json_key(token);
  if (!token.starts_with('"')) {
    const bool is_nested = token.starts_with('{') || token.starts_with('[');
    return is_nested ? std::nullopt : element_key(token);
  }
  if (token.find('\\') == token.npos && token.size() >= 2) {
    return element_key(token.substr(1, token.size() - 2));
  }
  const auto text = unquote_json(token);
  return text ? element_key(*text) : std::nullopt;
}

std::optional<std::string> sql_type::key_of_literal(std::string_view literal) const {
  if (!is_array_ || (is_enumeration() && !trim_blanks(literal).starts_with('{'))) {
    return element_key(literal);
  }
  if (kind_ == sql_kind::opaque) return std::nullopt;
  return array_key(literal, [this](std::string_view text) { return element_key(text); });
}

std::optional<std::string> sql_type::key_of_json(std::string_view token) const {
  if (!is_array_ || (is_enumeration() && !token.starts_with('['))) {
    return element_key_of_json(token);
  }
  if (kind_ == sql_kind::opaque) return std::nullopt;
  return array_key_of_json(token,
                           [this](std::string_view text) { return element_key_of_json(text); });
}

std::string_view sql_type::accepted_forms() const {
  if (is_array_) return "write it as {a,b}, quoted where it holds a comma, without bounds";
  switch (kind_) {
    case sql_kind::boolean:
      return "write true or false";
    case sql_kind::int2:
    case sql_kind::int4:
    case sql_kind::int8:
    case sql_kind::oid:
      return "write a whole number in its range";
    case sql_kind::numeric:
    case sql_kind::float4:
    case sql_kind::float8:
      return "write a decimal number, NaN or Infinity";
    case sql_kind::uuid:
      return "write 32 hexadecimal digits with the usual hyphens";
    case sql_kind::date:
      return "write 2026-01-31 or infinity";
    case sql_kind::timestamp:
      return "write 2026-01-31T12:30:00 or infinity";
    case sql_kind::timestamptz:
      return "write 2026-01-31T12:30:00Z, an offset for Z, or infinity";
    case sql_kind::time:
      return "write 12:30:00";
    case sql_kind::timetz:
      return "write 12:30:00+01:00";
    case sql_kind::interval:
      return "write whole numbers with units and a time: 1 day 04:05:06";
    case sql_kind::bytea:
      return "write \\x and hexadecimal digits";
    case sql_kind::inet:
      return "write a whole address, with /bits for a network";
    case sql_kind::cidr:
      return "write a whole address with /bits and no bits set behind them";
    case sql_kind::macaddr:
      return "write 08:00:2b:01:02:03";
    case sql_kind::macaddr8:
      return "write 08:00:2b:01:02:03:04:05";
    case sql_kind::bits:
      return "write zeros and ones";
    case sql_kind::enumeration:
      return "write one of the type's labels";
    case sql_kind::jsonb:
      return "write JSON, in quotes where it holds a comma or begins with one";
    case sql_kind::text:
    case sql_kind::bpchar:
    case sql_kind::name:
    case sql_kind::citext:
    case sql_kind::opaque:
      break;
  }
  return "write text";
}

}  // namespace pgcast
