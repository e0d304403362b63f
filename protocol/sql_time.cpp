#include "protocol/sql_time.hpp"

#include <array>
#include <cstdio>
#include <limits>

namespace pgcast {
namespace {

constexpr std::int64_t k_second_us = 1'000'000;
constexpr std::int64_t k_day_s = 86'400;
constexpr std::chrono::seconds k_2000{946'684'800};  // since 1970

struct civil_date {
  std::int64_t year;
  int month;
  int day;
};

/// Of the proleptic Gregorian calendar. Years that begin in March, so that a leap day is their
/// last: 400 of them are one period.
civil_date date_of(std::int64_t days_since_2000) {
  constexpr std::int64_t k_2000_01_01 = 730'425;  // from 0000-03-01
  constexpr std::int64_t k_period_days = 146'097;
  const std::int64_t days = days_since_2000 + k_2000_01_01;
  const std::int64_t period = (days >= 0 ? days : days - (k_period_days - 1)) / k_period_days;
  const std::int64_t in_period = days - period * k_period_days;
  const std::int64_t year_of_period =
      (in_period - in_period / 1'460 + in_period / 36'524 - in_period / 146'096) / 365;
  const std::int64_t in_year =
      in_period - (365 * year_of_period + year_of_period / 4 - year_of_period / 100);
  const auto month_from_march = static_cast<int>((5 * in_year + 2) / 153);
  const auto day = static_cast<int>(in_year) - (153 * month_from_march + 2) / 5 + 1;
  const int month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  return {year_of_period + period * 400 + (month <= 2 ? 1 : 0), month, day};
}

/// ".25" of 250,000, "" of 0.
std::string fraction_text(std::int64_t us) {
  if (us == 0) return {};
  std::array<char, 16> digits{};
  std::snprintf(digits.data(), digits.size(), ".%06d", static_cast<int>(us));
  std::string out{digits.data()};
  out.erase(out.find_last_not_of('0') + 1);
  return out;
}

}  // namespace

std::string timestamp_text(std::int64_t us) {
  if (us == std::numeric_limits<std::int64_t>::max()) return "infinity";
  if (us == std::numeric_limits<std::int64_t>::min()) return "-infinity";
  std::int64_t seconds = us / k_second_us;
  if (us % k_second_us < 0) --seconds;
  std::int64_t days = seconds / k_day_s;
  if (seconds % k_day_s < 0) --days;
  const auto in_day = static_cast<int>(seconds - days * k_day_s);
  const auto date = date_of(days);
  const bool is_before_christ = date.year <= 0;
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d",
                static_cast<int>(is_before_christ ? 1 - date.year : date.year), date.month,
                date.day, in_day / 3600, in_day / 60 % 60, in_day % 60);
  return text.data() + fraction_text(us - seconds * k_second_us) +
         (is_before_christ ? "+00:00 BC" : "+00:00");
}

std::int64_t timestamp_us_of(std::chrono::system_clock::time_point at) {
  const auto since_2000 = at.time_since_epoch() - k_2000;
  return std::chrono::floor<std::chrono::microseconds>(since_2000).count();
}

std::string time_text(std::chrono::system_clock::time_point at) {
  return timestamp_text(timestamp_us_of(at));
}

std::string seconds_text(wide_us us) {
  const bool is_negative = us < 0;
  if (is_negative) us = -us;
  std::string digits;
  for (auto whole = us / k_second_us; whole > 0 || digits.empty(); whole /= 10) {
    digits += static_cast<char>('0' + static_cast<int>(whole % 10));
  }
  if (is_negative) digits += '-';
  return std::string{digits.rbegin(), digits.rend()} +
         fraction_text(static_cast<std::int64_t>(us % k_second_us));
}

wide_us wide_us_of(std::string_view digits) {
  const bool is_negative = digits.starts_with('-');
  wide_us us = 0;
  for (const char digit : digits.substr(is_negative ? 1 : 0)) us = us * 10 + (digit - '0');
  return is_negative ? -us : us;
}

}  // namespace pgcast
