#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

namespace pgcast {

/// How late things came: the newest, and the longest of about the last minute (60 to 70 s). O(1),
/// a few numbers. Not thread-safe.
class lag_window {
 public:
  using clock = std::chrono::steady_clock;
  using microseconds = std::chrono::microseconds;

  void add(microseconds lag, clock::time_point now);
  /// Nothing before the first one.
  std::optional<microseconds> newest() const { return newest_; }
  /// Nothing if there was none in the last minute.
  std::optional<microseconds> longest(clock::time_point now) const;

 private:
  /// The longest of ten seconds.
  struct span {
    std::int64_t number = -1;
    microseconds longest{0};
  };
  std::array<span, 7> spans_;
  std::optional<microseconds> newest_;
};

}  // namespace pgcast
