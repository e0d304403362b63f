#pragma once

#include "protocol/error.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// What one Postgres snapshot sees, in 64-bit transaction ids (type pg_snapshot).
class pg_snapshot {
 public:
  pg_snapshot() = default;
  /// `running` (the xip list) ascending, each in [xmin, xmax).
  pg_snapshot(std::uint64_t xmin, std::uint64_t xmax, std::vector<std::uint64_t> running);

  /// From Postgres' text, "xmin:xmax:xip,xip". Fails with cursor_invalid.
  static result<pg_snapshot> parse(std::string_view text);
  std::string text() const;
  /// The xip list as a Postgres array literal, "{5,9}".
  std::string running_array() const;

  bool sees(std::uint64_t xid) const;
  /// True when everything that `other` sees is seen here too. O(n).
  bool covers(const pg_snapshot& other) const;
  /// The same with every xid from `first_xid` on unseen.
  pg_snapshot clamped(std::uint64_t first_xid) const;

  std::uint64_t xmin() const { return xmin_; }
  std::uint64_t xmax() const { return xmax_; }
  const std::vector<std::uint64_t>& running() const { return running_; }
  bool operator==(const pg_snapshot&) const = default;

 private:
  std::uint64_t xmin_ = 0;
  std::uint64_t xmax_ = 0;
  std::vector<std::uint64_t> running_;
};

/// One life of a Postgres cluster between crash recoveries: transaction ids from `first_xid` on
/// were given out in it (again, perhaps: ids of rolled-back work before a crash are reused).
struct incarnation {
  std::uint32_t number = 0;
  std::uint64_t first_xid = 0;
};

/// What makes cursors of a database verifiable: read once per connection, immutable.
struct source_history {
  std::uint64_t epoch = 0;
  std::vector<incarnation> incarnations;  ///< ascending, the last one lives
  std::string cursor_key;                 ///< 32 random bytes of pgcast.meta
  std::uint64_t dropped_xid = 0;          ///< highest xid in dropped partitions, 0 = none

  std::uint32_t current() const { return incarnations.empty() ? 0 : incarnations.back().number; }
};

/// A place in the stream of events: covers what is visible in `s1`, and what is visible in `s2`
/// with an id up to `id`. Partly ordered; compare with covers().
struct position {
  std::uint32_t incarnation = 0;
  std::shared_ptr<const pg_snapshot> s1 = std::make_shared<pg_snapshot>();
  std::shared_ptr<const pg_snapshot> s2 = s1;
  std::uint64_t id = 0;

  /// Just after everything that `s` sees.
  static position at(std::uint32_t incarnation, std::shared_ptr<const pg_snapshot> s);
  bool covers(std::uint64_t xid, std::uint64_t event_id) const;
  /// Whether all that was dropped from the outbox had been seen here. `dropped_xid`: the highest
  /// that was dropped, 0 = none; `now`: a snapshot later than the place.
  bool is_kept(std::uint64_t dropped_xid, const pg_snapshot& now) const;
  /// The same place as the newest incarnation of `history` sees it: xids that were given out
  /// again since count as unseen. Only repeats, never loses.
  position in(const source_history& history) const;
};

/// A place that covers only what each of `places` (one at least) covers: reading from there gives
/// what any of them lacks.
position earliest(const std::vector<position>& places);

/// The cursor that clients hold: opaque, base64url, at most 1,024 characters. With so many open
/// transactions that it would be longer it points a little earlier.
std::string encode_cursor(const position& p, const source_history& history);

/// Reads a cursor back, already moved into the newest incarnation. Fails with cursor_foreign
/// (another epoch), cursor_ahead (an incarnation to come), cursor_too_old (events after it were
/// dropped) or cursor_invalid (anything else, a wrong check value included).
result<position> decode_cursor(std::string_view text, const source_history& history);

}  // namespace pgcast
