#pragma once

#include "protocol/json_scanner.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

// How sql_type makes keys, one function a family of types. Text in, as Postgres' input functions
// take it (blanks around it where they allow them); nullopt: no value of the type.

namespace pgcast {

using sql_key = std::optional<std::string>;

/// Eight bytes in the order of the numbers.
void append_ordered(std::string& key, std::int64_t number);

/// Without the blanks that Postgres skips around a value.
std::string_view trim_blanks(std::string_view text);
std::string ascii_lower(std::string_view text);

enum class float_width : std::uint8_t { single_precision, double_precision };

sql_key integer_key(std::string_view text, std::int64_t least, std::int64_t greatest);
sql_key numeric_key(std::string_view text);
sql_key float_key(std::string_view text, float_width width);

sql_key boolean_key(std::string_view text);
sql_key uuid_key(std::string_view text);
sql_key bytea_key(std::string_view text);
sql_key bits_key(std::string_view text);
/// `bytes` is 6 or 8.
sql_key macaddr_key(std::string_view text, std::size_t bytes);

enum class host_bits : std::uint8_t { allowed, refused };
sql_key network_key(std::string_view text, host_bits rule);

sql_key date_key(std::string_view text);
enum class zone_rule : std::uint8_t { ignored, applied };
sql_key timestamp_key(std::string_view text, zone_rule rule);
sql_key time_key(std::string_view text);
sql_key timetz_key(std::string_view text);
sql_key interval_key(std::string_view text);

/// Numbers of a JSON text: as jsonb compares them, or as those who read them into a double do.
enum class json_numbers : std::uint8_t { exact, as_doubles };

/// Equal for equal jsonb values: order of members, repeated members, blanks and scale of numbers
/// do not count. Nested at most 512 deep. Not in the order of jsonb.
sql_key json_key(std::string_view text, json_numbers numbers = json_numbers::exact);

/// The key of an element from its text or its JSON token.
using element_key_function = std::function<sql_key(std::string_view)>;
/// From a literal `{a,"b c",NULL}`, without bounds.
sql_key array_key(std::string_view literal, const element_key_function& element);
/// From a JSON array.
sql_key array_key_of_json(std::string_view text, const element_key_function& element);

}  // namespace pgcast
