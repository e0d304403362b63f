// Keys of numbers.

#include "protocol/sql_key.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

namespace pgcast {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Takes a sign off `text`; true for a minus.
bool take_sign(std::string_view& text) {
  if (text.empty() || (text.front() != '-' && text.front() != '+')) return false;
  const bool is_minus = text.front() == '-';
  text.remove_prefix(1);
  return is_minus;
}

bool is_infinity(std::string_view text) {
  const auto word = text.size() > 8 ? std::string{} : ascii_lower(text);
  return word == "infinity" || word == "inf";
}

bool is_nan(std::string_view text) { return text.size() == 3 && ascii_lower(text) == "nan"; }

/// A decimal number without its sign: 0.DIGITS x 10^magnitude, no zeros at either end of `digits`.
struct decimal {
  std::string digits;
  std::int64_t magnitude = 0;
};

// Postgres, numeric.c: what does not fit into the storage format is refused.
constexpr std::int64_t k_digits_before_point = 131072;
constexpr std::int64_t k_digits_behind_point = 16383;
constexpr std::int64_t k_exponent_limit = std::numeric_limits<int>::max() / 2;

std::optional<std::int64_t> parse_exponent(std::string_view text) {
  if (text.empty()) return 0;
  text.remove_prefix(1);  // the e
  const bool is_minus = take_sign(text);
  std::int64_t exponent = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), exponent);
  if (text.empty() || !is_digit(text.front()) || failed != std::errc{} ||
      end != text.data() + text.size() || exponent >= k_exponent_limit) {
    return std::nullopt;
  }
  return is_minus ? -exponent : exponent;
}

std::optional<decimal> parse_decimal(std::string_view text) {
  const auto mantissa = text.substr(0, std::min(text.find_first_of("eE"), text.size()));
  const auto exponent = parse_exponent(text.substr(mantissa.size()));
  const auto point = std::min(mantissa.find('.'), mantissa.size());
  const auto whole = mantissa.substr(0, point);
  const auto fraction = point < mantissa.size() ? mantissa.substr(point + 1) : std::string_view{};
  decimal out;
  out.digits.append(whole).append(fraction);
  if (!exponent || out.digits.empty() || !std::ranges::all_of(out.digits, is_digit)) {
    return std::nullopt;
  }
  if (static_cast<std::int64_t>(fraction.size()) - *exponent > k_digits_behind_point) {
    return std::nullopt;
  }
  const auto zeros = std::min(out.digits.find_first_not_of('0'), out.digits.size());
  out.magnitude =
      static_cast<std::int64_t>(whole.size()) - static_cast<std::int64_t>(zeros) + *exponent;
  out.digits.erase(0, zeros);
  out.digits.erase(out.digits.find_last_not_of('0') + 1);
  if (!out.digits.empty() && out.magnitude > k_digits_before_point) return std::nullopt;
  return out;
}

enum numeric_class : char {
  minus_infinity = 1,
  negative,
  zero,
  positive,
  plus_infinity,
  not_a_number
};

}  // namespace

void append_ordered(std::string& key, std::int64_t number) {
  const auto bits = static_cast<std::uint64_t>(number) ^ (std::uint64_t{1} << 63);
  for (int shift = 56; shift >= 0; shift -= 8) key += static_cast<char>(bits >> shift & 0xFF);
}

sql_key integer_key(std::string_view text, std::int64_t least, std::int64_t greatest) {
  text = trim_blanks(text);
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  std::int64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc{} || end != text.data() + text.size() || number < least ||
      number > greatest) {
    return std::nullopt;
  }
  std::string key;
  append_ordered(key, number);
  return key;
}

sql_key numeric_key(std::string_view text) {
  text = trim_blanks(text);
  if (is_nan(text)) return std::string{not_a_number};
  const bool is_minus = take_sign(text);
  if (is_infinity(text)) return std::string{is_minus ? minus_infinity : plus_infinity};
  auto number = parse_decimal(text);
  if (!number) return std::nullopt;
  if (number->digits.empty()) return std::string{zero};
  std::string key{is_minus ? negative : positive};
  append_ordered(key, is_minus ? -number->magnitude : number->magnitude);
  if (!is_minus) return key += number->digits;
  for (char& digit : number->digits) digit = static_cast<char>('0' + '9' - digit);
  return key.append(number->digits) += '\xFF';  // of two negative numbers the longer is less
}

sql_key float_key(std::string_view text, float_width width) {
  text = trim_blanks(text);
  const bool is_minus = take_sign(text);
  double number = 0;
  if (is_nan(text)) {
    number = std::numeric_limits<double>::quiet_NaN();
  } else if (is_infinity(text)) {
    number = std::numeric_limits<double>::infinity();
  } else {
    if (text.empty() || !(is_digit(text.front()) || text.front() == '.')) return std::nullopt;
    const char* const end = text.data() + text.size();
    std::from_chars_result read{};
    if (width == float_width::single_precision) {
      float single = 0;
      read = std::from_chars(text.data(), end, single);
      number = static_cast<double>(single);
    } else {
      read = std::from_chars(text.data(), end, number);
    }
    if (read.ec != std::errc{} || read.ptr != end || std::isinf(number)) return std::nullopt;
    const auto mantissa = text.substr(0, text.find_first_of("eE"));
    if (number == 0 && mantissa.find_first_of("123456789") != mantissa.npos) return std::nullopt;
  }
  if (is_minus && number != 0 && !std::isnan(number)) number = -number;
  const auto bits = std::bit_cast<std::int64_t>(number);
  std::string key;
  append_ordered(key, bits >= 0 ? bits : std::numeric_limits<std::int64_t>::min() - bits - 1);
  return key;
}

}  // namespace pgcast
