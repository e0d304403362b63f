#pragma once

#include "daemon/pg_pool.hpp"
#include "daemon/source_session.hpp"
#include "protocol/event.hpp"
#include "protocol/position.hpp"
#include "protocol/topic.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace pgcast {

/// Events that were read after a place, and up to where.
struct found_events {
  std::vector<event> events;   ///< without routes
  std::vector<bool> in_first;  ///< of each event: visible in after.s2
  std::shared_ptr<const source_history> history;
  position after;                           ///< in the newest incarnation
  std::shared_ptr<const pg_snapshot> seen;  ///< the snapshot of the read
  bool is_end = false;
  bool is_last_in_first = false;  ///< the last row, also where it could not be parsed
  std::uint64_t last_id = 0;
  position from;  ///< where these events begin: `after`, or further on in a stream

  /// Where the events that follow begin.
  position next() const;
  /// From the answer of begin_read(). Fails with cursor_ahead or cursor_too_old.
  result<void> begin(const pg_rows& header);
  /// Takes one row of select_events(); one that cannot be parsed is logged and counted.
  void take(const pg_rows& rows, int i, const relay_description& description);
  event_spans spans() const;
};

/// One row of the outbox, as select_events() gives it. Fails with row_malformed.
result<event> event_of(const pg_rows& rows, int i, const relay_description& description);

/// A long gap read in one go: each row is looked for once, where pages look for all that are left
/// again and again. It holds a database connection and its snapshot while it lives; ended early, it
/// closes the connection.
class replay_stream {
 public:
  using clock = std::chrono::steady_clock;

  /// `filter` without a limit. Fails as replay::read() does.
  /// `is_wanted` is asked when a connection is free: fails with source_unavailable if it says no.
  static boost::asio::awaitable<result<std::unique_ptr<replay_stream>>> open(
      pg_pool& pool, const relay_description& description, outbox_filter filter,
      std::function<bool()> is_wanted);
  ~replay_stream();

  /// The next events, a few hundred or half a megabyte.
  boost::asio::awaitable<result<found_events>> next();
  /// It has been open for long enough: others wait for the connection.
  bool is_due() const { return due_at_ && clock::now() > *due_at_; }

 private:
  replay_stream(pg_pool::lease lease, const relay_description& description)
      : lease_(std::move(lease)), description_(description) {}

  pg_pool::lease lease_;
  const relay_description& description_;
  found_events place_;  ///< without events: what the next page starts with
  bool is_ended_ = false;
  clock::time_point began_at_ = clock::now();
  std::optional<clock::time_point> due_at_;  ///< known with the first row
};

}  // namespace pgcast
