#pragma once

#include <algorithm>
#include <chrono>

namespace pgcast {

/// How many things a client may still do: so many a second, and as many at once. Pure: time is
/// given.
class allowance {
 public:
  using clock = std::chrono::steady_clock;

  /// True if one more is allowed at `now`.
  bool has(clock::time_point now, unsigned per_second) const {
    return left_at(now, per_second) >= 1;
  }

  /// The same, and counts it.
  bool take(clock::time_point now, unsigned per_second) {
    left_ = left_at(now, per_second);
    since_ = now;
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
  }

 private:
  double left_at(clock::time_point now, unsigned per_second) const {
    const double gained = std::chrono::duration<double>(now - since_).count() * per_second;
    return std::min(left_ + gained, static_cast<double>(per_second));
  }

  double left_ = 0;
  clock::time_point since_{};  ///< long ago: the first take() finds it full
};

}  // namespace pgcast
