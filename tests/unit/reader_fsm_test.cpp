#include "protocol/reader_fsm.hpp"

#include <gtest/gtest.h>

#include <random>

namespace pgcast {
namespace {

using namespace std::chrono_literals;
using what = reader_fsm::action::what;
using mode = reader_fsm::mode;

const reader_fsm::clock::time_point k_start{1'000s};
constexpr std::uint64_t k_lock_xid = 100;

pg_snapshot snapshot(std::uint64_t xmax, std::vector<std::uint64_t> running = {}) {
  const auto xmin = running.empty() ? xmax : running.front();
  return {xmin, xmax, std::move(running)};
}
const pg_snapshot k_all_ended = snapshot(k_lock_xid + 1);
const pg_snapshot k_some_open = snapshot(k_lock_xid + 1, {k_lock_xid - 1});

enum class in_state { awake, settling, asleep };
enum class input {
  rows,
  none,
  none_and_quiet,
  none_and_all_ended,
  lock_taken,
  refused,
  rung,
  silent
};

reader_fsm machine_in(in_state s) {
  reader_fsm fsm(mode::doorbell);
  fsm.start(k_start);
  if (s == in_state::awake) return fsm;
  fsm.after_read(0, k_some_open, k_start + 1s);
  fsm.after_lock(k_lock_xid);
  if (s == in_state::asleep) fsm.after_read(0, k_all_ended, k_start + 1s);
  return fsm;
}

reader_fsm::action give(reader_fsm& fsm, input i) {
  switch (i) {
    case input::rows:
      return fsm.after_read(3, k_some_open, k_start + 1s);
    case input::none:
      return fsm.after_read(0, k_some_open, k_start + 1ms);
    case input::none_and_quiet:
      return fsm.after_read(0, k_some_open, k_start + 50ms);
    case input::none_and_all_ended:
      return fsm.after_read(0, k_all_ended, k_start + 1ms);
    case input::lock_taken:
      return fsm.after_lock(k_lock_xid);
    case input::refused:
      return fsm.after_lock_refused();
    case input::rung:
      return fsm.after_doorbell(k_start + 1s);
    case input::silent:
      return fsm.after_silence();
  }
  return {};
}

enum class pause { none, some, until_safety_read };

TEST(ReaderFsm, EveryInput_LeadsWhereTheTableSays) {
  using enum in_state;
  using i = input;
  struct row {
    in_state from;
    input given;
    what next;
    pause delay;
  };
  for (const auto& r : {
           row{awake, i::rows, what::read, pause::none},
           row{awake, i::none, what::read, pause::some},
           row{awake, i::none_and_quiet, what::take_lock, pause::none},
           row{awake, i::lock_taken, what::read, pause::none},
           row{awake, i::refused, what::read, pause::some},
           row{awake, i::rung, what::read, pause::none},
           row{settling, i::rows, what::release_lock_and_read, pause::none},
           row{settling, i::none, what::read, pause::some},
           row{settling, i::none_and_quiet, what::read, pause::some},
           row{settling, i::none_and_all_ended, what::wait_for_doorbell, pause::until_safety_read},
           row{settling, i::rung, what::release_lock_and_read, pause::none},
           row{asleep, i::rows, what::release_lock_and_read, pause::none},
           row{asleep, i::none, what::wait_for_doorbell, pause::until_safety_read},
           row{asleep, i::none_and_all_ended, what::wait_for_doorbell, pause::until_safety_read},
           row{asleep, i::rung, what::release_lock_and_read, pause::none},
           row{asleep, i::silent, what::read, pause::none},
       }) {
    auto fsm = machine_in(r.from);
    const auto action = give(fsm, r.given);
    const auto name = std::to_string(static_cast<int>(r.from)) + " x " +
                      std::to_string(static_cast<int>(r.given));
    EXPECT_EQ(action.next, r.next) << name;
    const auto delay = action.delay == 0ms     ? pause::none
                       : action.delay <= 250ms ? pause::some
                                               : pause::until_safety_read;
    EXPECT_EQ(delay, r.delay) << name;
  }
}

TEST(ReaderFsm, LeavingTheLock_LeadsBackToAwake) {
  for (const auto s : {in_state::settling, in_state::asleep}) {
    for (const auto given : {input::rows, input::rung}) {
      auto fsm = machine_in(s);
      give(fsm, given);
      EXPECT_EQ(fsm.after_read(1, k_all_ended, k_start + 2s).next, what::read);
      EXPECT_EQ(fsm.after_read(0, k_all_ended, k_start + 2s).next, what::read);
      EXPECT_EQ(fsm.after_read(0, k_all_ended, k_start + 3s).next, what::take_lock);
    }
  }
}

TEST(ReaderFsm, Settling_LastsUntilEveryOlderTransactionHasEnded) {
  struct row {
    pg_snapshot seen;
    bool sleeps;
  };
  for (const auto& [seen, sleeps] : {
           row{snapshot(k_lock_xid), false},  // a running one may be above the newest that ended
           row{snapshot(50), false},
           row{snapshot(k_lock_xid + 1), true},
           row{snapshot(k_lock_xid + 9, {k_lock_xid - 1}), false},
           row{snapshot(k_lock_xid + 9, {k_lock_xid}), false},
           row{snapshot(k_lock_xid + 9, {k_lock_xid + 1}), true},
           row{snapshot(k_lock_xid + 9, {3, k_lock_xid + 1}), false},
       }) {
    auto fsm = machine_in(in_state::settling);
    EXPECT_EQ(fsm.after_read(0, seen, k_start + 2s).next == what::wait_for_doorbell, sleeps)
        << seen.text();
  }
}

TEST(ReaderFsm, Pauses_GrowToALimitAndStartOverWithRows) {
  for (const auto m : {mode::doorbell, mode::poll_only}) {
    reader_fsm fsm(m);
    fsm.start(k_start);
    const auto first = fsm.after_read(0, k_some_open, k_start).delay;
    auto last = first;
    for (int n = 0; n < 100; ++n) {
      const auto next = fsm.after_read(0, k_some_open, k_start).delay;
      EXPECT_GE(next, last);
      last = next;
    }
    EXPECT_EQ(last, m == mode::doorbell ? 5ms : 250ms);
    EXPECT_EQ(fsm.after_read(1, k_some_open, k_start).delay, 0ms);
    EXPECT_EQ(fsm.after_read(0, k_some_open, k_start).delay, first);
  }
}

TEST(ReaderFsm, PollOnly_NeverLocksAndNeverSleeps) {
  std::mt19937 random(5);
  reader_fsm fsm(mode::poll_only);
  auto now = k_start;
  EXPECT_EQ(fsm.start(now).next, what::read);
  for (int n = 0; n < 2'000; ++n) {
    now += std::chrono::milliseconds{random() % 5'000};
    const auto action = fsm.after_read(random() % 4 == 0 ? 1 : 0, k_all_ended, now);
    ASSERT_EQ(action.next, what::read);
    ASSERT_LE(action.delay, 250ms);
  }
}

/// Writers that begin, look for the lock, ring if they see it, and commit later, in any order.
TEST(ReaderFsm, RandomWriters_WhoDoNotRing_AreReadBeforeItSleeps) {
  struct writer {
    std::uint64_t xid;
    bool has_looked = false;
    bool rings = false;
  };
  std::mt19937 random(6);
  reader_fsm fsm(mode::doorbell);
  auto now = k_start;
  auto action = fsm.start(now);
  std::vector<writer> open;
  std::uint64_t next_xid = 3;
  std::uint64_t first_unended = 3;
  std::size_t unread = 0;
  bool is_locked = false;
  bool is_rung = false;
  int sleeps = 0;
  for (int n = 0; n < 50'000; ++n) {
    if (random() % 8 == 0 && open.size() < 3 && n / 200 % 2 == 0) open.push_back({next_xid++});
    if (!open.empty() && random() % 4 == 0) {
      auto& w = open[random() % open.size()];
      if (!w.has_looked) {
        w.has_looked = true;
        w.rings = is_locked;
      } else {
        ++unread;
        is_rung = is_rung || w.rings;
        first_unended = std::max(first_unended, w.xid + 1);
        open.erase(open.begin() + (&w - open.data()));
      }
    }
    if (random() % 2 == 0) continue;
    now += action.delay + 10ms;
    switch (action.next) {
      case what::release_lock_and_read:
        is_locked = false;
        [[fallthrough]];
      case what::read: {
        std::vector<std::uint64_t> running;
        for (const auto& w : open) {
          if (w.xid < first_unended) running.push_back(w.xid);
        }
        const auto rows = std::exchange(unread, 0);
        action = fsm.after_read(rows, snapshot(first_unended, running), now);
        break;
      }
      case what::take_lock:
        is_locked = true;
        action = fsm.after_lock(next_xid);
        first_unended = ++next_xid;
        break;
      case what::wait_for_doorbell:
        ++sleeps;
        for (const auto& w : open) ASSERT_TRUE(!w.has_looked || w.rings) << "would not ring";
        ASSERT_TRUE(unread == 0 || is_rung) << "sleeps on a row";
        if (is_rung) action = fsm.after_doorbell(now);
        is_rung = false;
        break;
    }
  }
  EXPECT_GT(sleeps, 100);
}

}  // namespace
}  // namespace pgcast
