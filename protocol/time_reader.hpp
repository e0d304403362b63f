#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pgcast {

/// Reads the parts of which dates, times and intervals are written, from left to right.
class time_reader {
 public:
  explicit time_reader(std::string_view text) : rest_(text) {}

  bool is_at_end() const { return rest_.empty(); }
  bool is_at_digit() const;
  bool take(char c);
  bool skip_blanks();  ///< true if there was one

  /// Takes `word` (lower case) in any case, if no letter follows it.
  bool take_word(std::string_view word);
  /// The letters that come next.
  std::string_view letters();

  /// A number of `least` to `most` digits (18 at most); takes nothing if there are more or fewer.
  std::optional<std::int64_t> digits(std::size_t least, std::size_t most);

  /// Microseconds of `.25`, 0 where no point comes next; rounded to whole ones.
  std::optional<std::int64_t> fraction();

  /// Microseconds of `12:30`, `12:30:15` or `12:30:15.25`; up to 24:00, a second 60 is allowed.
  std::optional<std::int64_t> time_of_day();

  /// Seconds east of UTC: `Z`, `UTC`, `+01`, `+0130`, `-01:30`, `+01:30:15`; 0 where none comes.
  std::optional<std::int64_t> offset();

 private:
  std::string_view rest_;
};

}  // namespace pgcast
