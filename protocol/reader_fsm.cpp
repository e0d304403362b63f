#include "protocol/reader_fsm.hpp"

#include <algorithm>

namespace pgcast {
namespace {

using namespace std::chrono_literals;

constexpr auto k_first_pause = 2ms;
constexpr std::chrono::milliseconds k_longest_awake_pause{5};
constexpr auto k_longest_pause = 20ms;  // while transactions of before the lock are open
constexpr auto k_first_poll_only_pause = 20ms;
constexpr auto k_longest_poll_only_pause = 250ms;
constexpr auto k_awake_after_rows = 8ms;  // asleep, a ring is heard at once (docs/performance.md)
constexpr auto k_safety_read = 1'000ms;

}  // namespace

reader_fsm::action reader_fsm::start(clock::time_point now) {
  state_ = state::awake;
  quiet_since_ = now;
  pause_ = mode_ == mode::poll_only ? k_first_poll_only_pause : k_first_pause;
  return {action::what::read, 0ms};
}

reader_fsm::action reader_fsm::read_later() {
  const auto longest = mode_ == mode::poll_only ? k_longest_poll_only_pause : k_longest_pause;
  const auto delay = pause_;
  pause_ = std::min<std::chrono::milliseconds>(pause_ + pause_ / 4 + 1ms, longest);
  return {action::what::read, delay};
}

bool reader_fsm::all_older_ended(const pg_snapshot& seen) const {
  if (seen.xmax() <= lock_xid_) return false;
  return seen.running().empty() || seen.running().front() > lock_xid_;
}

reader_fsm::action reader_fsm::after_read(std::size_t rows, const pg_snapshot& seen,
                                          clock::time_point now) {
  if (rows > 0) {
    quiet_since_ = now;
    pause_ = mode_ == mode::poll_only ? k_first_poll_only_pause : k_first_pause;
    if (state_ == state::awake) return {action::what::read, 0ms};
    state_ = state::awake;
    return {action::what::release_lock_and_read, 0ms};
  }
  switch (state_) {
    case state::asleep:
      return {action::what::wait_for_doorbell, k_safety_read};
    case state::settling:
      if (!all_older_ended(seen)) return read_later();
      state_ = state::asleep;
      return {action::what::wait_for_doorbell, k_safety_read};
    case state::awake:
      break;
  }
  if (mode_ == mode::poll_only || now - quiet_since_ < k_awake_after_rows) {
    auto later = read_later();
    if (mode_ == mode::doorbell) later.delay = std::min(later.delay, k_longest_awake_pause);
    return later;
  }
  return {action::what::take_lock, 0ms};
}

reader_fsm::action reader_fsm::after_lock(std::uint64_t xid) {
  state_ = state::settling;
  lock_xid_ = xid;
  pause_ = k_first_pause;
  return {action::what::read, 0ms};
}

reader_fsm::action reader_fsm::after_lock_refused() { return read_later(); }

reader_fsm::action reader_fsm::after_doorbell(clock::time_point now) {
  const bool was_asleep = state_ != state::awake;
  const auto read = start(now);
  if (!was_asleep) return read;
  return {action::what::release_lock_and_read, 0ms};
}

reader_fsm::action reader_fsm::after_silence() { return {action::what::read, 0ms}; }

}  // namespace pgcast
