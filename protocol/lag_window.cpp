#include "protocol/lag_window.hpp"

#include <algorithm>

namespace pgcast {
namespace {

constexpr std::chrono::seconds k_span{10};

std::int64_t span_number(lag_window::clock::time_point at) {
  return at.time_since_epoch() / k_span;
}

}  // namespace

void lag_window::add(microseconds lag, clock::time_point now) {
  newest_ = lag;
  const auto number = span_number(now);
  auto& s = spans_[static_cast<std::size_t>(number) % spans_.size()];
  if (s.number != number) s = {number, microseconds{0}};
  s.longest = std::max(s.longest, lag);
}

std::optional<lag_window::microseconds> lag_window::longest(clock::time_point now) const {
  std::optional<microseconds> out;
  const auto oldest = span_number(now) - static_cast<std::int64_t>(spans_.size());
  for (const auto& s : spans_) {
    if (s.number > oldest && s.number >= 0) out = std::max(out.value_or(s.longest), s.longest);
  }
  return out;
}

}  // namespace pgcast
