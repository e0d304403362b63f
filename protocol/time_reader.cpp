#include "protocol/time_reader.hpp"

#include "protocol/sql_key.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace pgcast {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

constexpr std::int64_t k_second_us = 1'000'000;
constexpr std::int64_t k_greatest_offset_hour = 15;  // Postgres: MAX_TZDISP_HOUR

}  // namespace

bool time_reader::is_at_digit() const { return !rest_.empty() && is_digit(rest_.front()); }

bool time_reader::take(char c) {
  if (!rest_.starts_with(c)) return false;
  rest_.remove_prefix(1);
  return true;
}

bool time_reader::skip_blanks() {
  const auto kept = trim_blanks(rest_);
  const bool had_blanks = !rest_.empty() && (kept.empty() || kept.data() != rest_.data());
  rest_ = kept;
  return had_blanks;
}

std::string_view time_reader::letters() {
  const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_letter);
  const auto word = rest_.substr(0, static_cast<std::size_t>(end - rest_.begin()));
  rest_.remove_prefix(word.size());
  return word;
}

bool time_reader::take_word(std::string_view word) {
  const auto before = rest_;
  if (ascii_lower(letters()) == word) return true;
  rest_ = before;
  return false;
}

std::optional<std::int64_t> time_reader::digits(std::size_t least, std::size_t most) {
  const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_digit);
  const auto count = static_cast<std::size_t>(end - rest_.begin());
  if (count < least || count > most) return std::nullopt;
  std::int64_t number = 0;
  std::from_chars(rest_.data(), rest_.data() + count, number);
  rest_.remove_prefix(count);
  return number;
}

std::optional<std::int64_t> time_reader::fraction() {
  if (!rest_.starts_with('.')) return 0;
  const auto end = std::find_if_not(rest_.begin() + 1, rest_.end(), is_digit);
  const auto count = static_cast<std::size_t>(end - rest_.begin());
  if (count == 1) return std::nullopt;
  double seconds = 0;
  std::from_chars(rest_.data(), rest_.data() + count, seconds);
  rest_.remove_prefix(count);
  return static_cast<std::int64_t>(std::rint(seconds * static_cast<double>(k_second_us)));
}

std::optional<std::int64_t> time_reader::time_of_day() {
  const auto hour = digits(1, 2);
  if (!hour || !take(':')) return std::nullopt;
  const auto minute = digits(2, 2);
  if (!minute || *minute > 59) return std::nullopt;
  std::int64_t second_us = 0;
  if (take(':')) {
    const auto second = digits(2, 2);
    const auto part = fraction();
    if (!second || !part || *second > 60 || (*second == 60 && *part > 0)) return std::nullopt;
    second_us = *second * k_second_us + *part;
  }
  if (*hour > 24 || (*hour == 24 && (*minute > 0 || second_us > 0))) return std::nullopt;
  return (*hour * 60 + *minute) * 60 * k_second_us + second_us;
}

std::optional<std::int64_t> time_reader::offset() {
  if (take_word("z") || take_word("utc")) return 0;
  if (!rest_.starts_with('+') && !rest_.starts_with('-')) return 0;
  const int sign = take('-') ? -1 : 1;
  if (sign == 1) take('+');
  std::int64_t hour = 0;
  std::int64_t minute = 0;
  std::int64_t second = 0;
  if (const auto joined = digits(4, 4)) {
    hour = *joined / 100;
    minute = *joined % 100;
  } else {
    const auto hours = digits(1, 2);
    if (!hours) return std::nullopt;
    hour = *hours;
    for (auto* const part : {&minute, &second}) {
      if (!take(':')) break;
      const auto number = digits(2, 2);
      if (!number) return std::nullopt;
      *part = *number;
    }
  }
  if (hour > k_greatest_offset_hour || minute > 59 || second > 59) return std::nullopt;
  return sign * ((hour * 60 + minute) * 60 + second);
}

}  // namespace pgcast
