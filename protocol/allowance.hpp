#pragma once

#include <algorithm>
#include <chrono>

namespace pgcast {

/// How many things a client may still do: so many a second, and as many at once. Pure: time is
/// given.
class allowance {
 public:
  using clock = std::chrono::steady_clock;

  /// True if one more is allowed at `now`, and counts it.
  bool take(clock::time_point now, unsigned per_second) {
    const double gained = std::chrono::duration<double>(now - since_).count() * per_second;
    left_ = std::min(left_ + gained, static_cast<double>(per_second));
    since_ = now;
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
  }

 private:
  double left_ = 0;
  clock::time_point since_{};  ///< long ago: the first take() finds it full
};

}  // namespace pgcast
