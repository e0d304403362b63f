#pragma once

#include "protocol/position.hpp"

#include <chrono>
#include <cstdint>
#include <vector>

namespace pgcast {

/// When the reader reads, when it may sleep, and when it has proved that nobody needs to ring.
///
/// A writer rings only if it finds the reader's shared advisory lock. A writer that looked before
/// the lock was there does not ring, so after taking it the reader keeps reading until every
/// transaction that existed then has ended: `settling`. Those are all xids below the one that the
/// reader itself drew right after the lock (not only the xip of a snapshot: a running transaction
/// above the newest finished one is in no xip list). The read that finds them all ended has read
/// their rows too; then it sleeps.
///
/// | state    | read, rows   | read, none                          | lock taken | lock refused |
/// rung  |
/// |----------|--------------|-------------------------------------|------------|--------------|-------|
/// | awake    | read again   | quiet for long? lock : read later   | settling   | read later   | -
/// | | settling | awake: read  | all older ended? asleep: read later | -          | -            |
/// awake | | asleep   | awake: read  | asleep (safety read)                | -          | - | awake
/// |
///
/// Leaving settling or asleep always gives the lock back, so that busy writers do not ring.
/// In poll-only mode (a transaction pooler, prepared transactions allowed) it never takes the lock.
/// Pure: time is given; one object a reader.
class reader_fsm {
 public:
  using clock = std::chrono::steady_clock;
  enum class mode { doorbell, poll_only };

  struct action {
    enum class what { read, take_lock, wait_for_doorbell, release_lock_and_read };
    what next = what::read;
    std::chrono::milliseconds delay{0};  ///< before a read; of a wait: until the safety read
  };

  explicit reader_fsm(mode m) : mode_(m) {}

  action start(clock::time_point now);
  action after_read(std::size_t rows, const pg_snapshot& seen, clock::time_point now);
  /// `xid` was drawn right after the lock.
  action after_lock(std::uint64_t xid);
  action after_lock_refused();
  action after_doorbell(clock::time_point now);
  action after_silence();

 private:
  enum class state { awake, settling, asleep };
  action read_later();
  bool all_older_ended(const pg_snapshot& seen) const;

  mode mode_;
  state state_ = state::awake;
  clock::time_point quiet_since_{};
  std::chrono::milliseconds pause_{};
  std::uint64_t lock_xid_ = 0;
};

}  // namespace pgcast
