// Keys of intervals, which Postgres compares as lengths: a month has 30 days, a day 24 hours.

#include "protocol/sql_key.hpp"
#include "protocol/sql_time.hpp"
#include "protocol/time_reader.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace pgcast {
namespace {

using wide = __int128;

constexpr std::int64_t k_second_us = 1'000'000;
constexpr wide k_day_us = wide{86'400} * k_second_us;

enum part : std::uint8_t { year, month, week, day, hour, minute, second };

struct unit {
  part what;
  std::string_view names;  ///< in blanks
};

constexpr std::array k_units{
    unit{year, " year years yr yrs y "},
    unit{month, " mon mons month months "},
    unit{week, " week weeks w "},
    unit{day, " day days d "},
    unit{hour, " hour hours hr hrs h "},
    unit{minute, " minute minutes min mins m "},
    unit{second, " second seconds sec secs s "},
};

std::optional<part> part_of(std::string_view name) {
  if (name.empty()) return std::nullopt;
  const std::string word = ' ' + ascii_lower(name) + ' ';
  for (const auto& [what, names] : k_units) {
    if (names.find(word) != names.npos) return what;
  }
  return std::nullopt;
}

class interval_literal {
 public:
  explicit interval_literal(std::string_view text) : reader_(text) {}

  /// False for what is no interval.
  bool read() {
    while (!reader_.is_at_end()) {
      if (reader_.take_word("ago")) {
        months_ = -months_, days_ = -days_, time_us_ = -time_us_;
        break;
      }
      if (!read_part()) return false;
      reader_.skip_blanks();
    }
    reader_.skip_blanks();
    constexpr wide k_most = std::numeric_limits<std::int32_t>::max();
    const auto is_stored = [](wide n, wide most) { return n <= most && n >= -most; };
    return seen_ != 0 && reader_.is_at_end() && is_stored(months_, k_most) &&
           is_stored(days_, k_most) &&
           is_stored(time_us_, std::numeric_limits<std::int64_t>::max());
  }

  /// As it is compared.
  wide length_us() const { return (months_ * 30 + days_) * k_day_us + time_us_; }

  /// As it is counted, extract(epoch).
  wide epoch_us() const {
    constexpr wide k_year_us = k_day_us * 365 + k_day_us / 4;
    return months_ / 12 * k_year_us + (months_ % 12 * 30 + days_) * k_day_us + time_us_;
  }

 private:
  /// `-2 days`, `1.5 seconds` or `+04:05:06.7`.
  bool read_part() {
    const int sign = reader_.take('-') ? -1 : 1;
    if (sign == 1) reader_.take('+');
    const auto number = reader_.digits(1, 10);
    if (!number) return false;
    if (reader_.take(':')) return read_time(sign, *number);
    if (*number > std::numeric_limits<std::int32_t>::max()) return false;
    const auto fraction = reader_.fraction();
    reader_.skip_blanks();
    const auto what = part_of(reader_.letters());
    if (!fraction || !what || reader_.is_at_digit() || (*fraction > 0 && *what != second) ||
        !mark(*what))
      return false;
    add(*what, wide{sign} * *number);
    time_us_ += sign * *fraction;
    return true;
  }

  bool read_time(int sign, std::int64_t hours) {
    const auto minutes = reader_.digits(1, 2);
    std::int64_t seconds_us = 0;
    if (reader_.take(':')) {
      const auto seconds = reader_.digits(1, 2);
      const auto fraction = reader_.fraction();
      if (!seconds || !fraction || *seconds > 59) return false;
      seconds_us = *seconds * k_second_us + *fraction;
    }
    if (!minutes || *minutes > 59 || !mark(hour) || !mark(minute) || !mark(second)) return false;
    time_us_ += sign * ((wide{hours} * 60 + *minutes) * 60 * k_second_us + seconds_us);
    return true;
  }

  /// False if `what` was there before.
  bool mark(part what) {
    const unsigned bit = 1U << what;
    if ((seen_ & bit) != 0) return false;
    seen_ |= bit;
    return true;
  }

  void add(part what, wide number) {
    switch (what) {
      case year:
        months_ += number * 12;
        break;
      case month:
        months_ += number;
        break;
      case week:
        days_ += number * 7;
        break;
      case day:
        days_ += number;
        break;
      case hour:
        time_us_ += number * 3600 * k_second_us;
        break;
      case minute:
        time_us_ += number * 60 * k_second_us;
        break;
      case second:
        time_us_ += number * k_second_us;
        break;
    }
  }

  time_reader reader_;
  wide months_ = 0;
  wide days_ = 0;
  wide time_us_ = 0;
  unsigned seen_ = 0;
};

}  // namespace

sql_key interval_key(std::string_view text) {
  text = trim_blanks(text);
  std::string key;
  if (text == "infinity" || text == "-infinity") {  // PostgreSQL 17 and later
    return key.append(16, text.front() == '-' ? '\0' : '\xFF');
  }
  interval_literal literal(text);
  if (!literal.read()) return std::nullopt;
  const auto us = literal.length_us();
  append_ordered(key, static_cast<std::int64_t>(us >> 64));
  for (int shift = 56; shift >= 0; shift -= 8) key += static_cast<char>(us >> shift & 0xFF);
  return key;
}

std::optional<wide_us> interval_us(std::string_view text) {
  interval_literal literal(trim_blanks(text));
  if (!literal.read()) return std::nullopt;
  return literal.epoch_us();
}

}  // namespace pgcast
