// Keys of dates and times: microseconds, as Postgres stores them.

#include "protocol/sql_key.hpp"
#include "protocol/sql_time.hpp"
#include "protocol/time_reader.hpp"

#include <array>
#include <limits>

namespace pgcast {
namespace {

using wide = __int128;

constexpr std::int64_t k_day_us = 86'400'000'000;

/// Days from 2000-01-01 in the Gregorian calendar; year 0 is 1 BC.
std::int64_t days_since_2000(std::int64_t year, std::int64_t month, std::int64_t day) {
  // Years that begin in March, so that a leap day is their last: 400 of them are one period.
  const std::int64_t shifted = month > 2 ? year : year - 1;
  const std::int64_t period = (shifted >= 0 ? shifted : shifted - 399) / 400;
  const std::int64_t in_period = shifted - period * 400;
  const std::int64_t month_from_march = (month + 9) % 12;
  const std::int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
  const std::int64_t day_of_period =
      in_period * 365 + in_period / 4 - in_period / 100 + day_of_year;
  constexpr std::int64_t k_2000_01_01 = 730'425;  // from 0000-03-01
  return period * 146'097 + day_of_period - k_2000_01_01;
}

bool is_leap(std::int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

bool is_in_month(std::int64_t year, std::int64_t month, std::int64_t day) {
  constexpr std::array<int, 12> k_days{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || day < 1) return false;
  const int days = k_days[static_cast<std::size_t>(month - 1)];
  return day <= days + (month == 2 && is_leap(year) ? 1 : 0);
}

struct moment {
  std::int64_t days = 0;
  std::int64_t us = 0;      ///< of the day
  std::int64_t offset = 0;  ///< seconds east of UTC
};

/// `2026-01-31`, with ` 12:00` or `T12:00:00.5` behind it, then an offset, then ` BC`.
std::optional<moment> read_moment(std::string_view text) {
  time_reader reader(text);
  moment out;
  const auto year = reader.digits(4, 7);
  if (!year || !reader.take('-')) return std::nullopt;
  const auto month = reader.digits(1, 2);
  if (!month || !reader.take('-')) return std::nullopt;
  const auto day = reader.digits(1, 2);
  if (!day) return std::nullopt;
  const bool has_blank = reader.skip_blanks();
  if (has_blank ? reader.is_at_digit() : reader.take_word("t")) {
    const auto us = reader.time_of_day();
    if (!us) return std::nullopt;
    out.us = *us;
    reader.skip_blanks();
    const auto offset = reader.offset();
    if (!offset) return std::nullopt;
    out.offset = *offset;
    reader.skip_blanks();
  }
  const bool is_before_christ = reader.take_word("bc");
  if (*year == 0 || !reader.is_at_end()) return std::nullopt;
  const std::int64_t astronomical = is_before_christ ? 1 - *year : *year;
  if (!is_in_month(astronomical, *month, *day)) return std::nullopt;
  out.days = days_since_2000(astronomical, *month, *day);
  return out;
}

/// For the words that both dates and timestamps know.
std::optional<std::int64_t> special_value(std::string_view text, std::int64_t epoch) {
  if (text.size() > 9) return std::nullopt;
  const std::string word = ascii_lower(text);
  if (word == "infinity") return std::numeric_limits<std::int64_t>::max();
  if (word == "-infinity") return std::numeric_limits<std::int64_t>::min();
  if (word == "epoch") return epoch;
  return std::nullopt;
}

sql_key ordered(std::int64_t number) {
  std::string key;
  append_ordered(key, number);
  return key;
}

constexpr std::int64_t k_epoch_days = -10'957;             // 1970-01-01
constexpr std::int64_t k_first_day = -2'451'545;           // Postgres: 4714-11-24 BC is the first,
constexpr std::int64_t k_end_of_dates = 2'145'031'949;     // the last ones are those of 5874897
constexpr std::int64_t k_end_of_timestamps = 106'751'983;  // and of 294276

/// Microseconds since 2000.
std::optional<std::int64_t> stored_timestamp(std::string_view text, zone_rule rule) {
  text = trim_blanks(text);
  if (const auto special = special_value(text, k_epoch_days * k_day_us)) return special;
  const auto read = read_moment(text);
  if (!read) return std::nullopt;
  wide us = static_cast<wide>(read->days) * k_day_us + read->us;
  if (rule == zone_rule::applied) us -= static_cast<wide>(read->offset) * 1'000'000;
  if (us < static_cast<wide>(k_first_day) * k_day_us ||
      us >= static_cast<wide>(k_end_of_timestamps) * k_day_us) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(us);
}

}  // namespace

sql_key date_key(std::string_view text) {
  text = trim_blanks(text);
  if (const auto special = special_value(text, k_epoch_days)) return ordered(*special);
  const auto read = read_moment(text);
  if (!read || read->days < k_first_day || read->days >= k_end_of_dates) return std::nullopt;
  return ordered(read->days);
}

std::optional<std::int64_t> timestamp_us(std::string_view text) {
  return stored_timestamp(text, zone_rule::applied);
}

sql_key timestamp_key(std::string_view text, zone_rule rule) {
  const auto stored = stored_timestamp(text, rule);
  return stored ? ordered(*stored) : sql_key{};
}

sql_key time_key(std::string_view text) {
  time_reader reader(trim_blanks(text));
  const auto us = reader.time_of_day();
  if (!us || *us > k_day_us || !reader.is_at_end()) return std::nullopt;
  return ordered(*us);
}

sql_key timetz_key(std::string_view text) {
  time_reader reader(trim_blanks(text));
  const auto us = reader.time_of_day();
  if (!us || *us > k_day_us) return std::nullopt;
  reader.skip_blanks();
  const auto offset = reader.offset();
  if (!offset || !reader.is_at_end()) return std::nullopt;
  std::string key;
  append_ordered(key, *us - *offset * 1'000'000);
  append_ordered(key, -*offset);  // of one moment, the more western zone is the greater
  return key;
}

}  // namespace pgcast
