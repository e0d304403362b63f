#pragma once

#include "daemon/pg_pool.hpp"
#include "daemon/replay_stream.hpp"
#include "protocol/event.hpp"
#include "protocol/position.hpp"
#include "protocol/topic.hpp"

#include <boost/asio/awaitable.hpp>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgcast {

/// Events of one topic after a place, oldest first.
struct replay_page {
  struct item {
    event e;  ///< its routes are those to the asked topic only
    std::shared_ptr<const batch_span> span;
  };
  std::vector<item> items;
  position next;        ///< where the following page starts
  bool is_end = false;  ///< nothing was left at the page's snapshot; then `next` is that snapshot
  std::shared_ptr<const source_history> history;
};

/// Which events to read.
struct replay_query {
  struct changed_table {
    std::string schema;                  ///< "*": all
    std::string table;                   ///< "*": all
    std::optional<std::string> session;  ///< rows that are or were of it
  };
  struct kept_messages {
    std::string key;                           ///< of the topic in the hub
    std::vector<std::uint64_t> ids;            ///< of events before `begun`: only these
    std::shared_ptr<const pg_snapshot> begun;  ///< all that it does not see
  };
  topic_kind kind = topic_kind::plain;               ///< session, campaign; plain: the others
  std::string key;                                   ///< of session and campaign, as in topic
  std::vector<changed_table> tables;                 ///< without TRUNCATE
  std::optional<kept_messages> kept = std::nullopt;  ///< broadcasts, and no rows
};

/// The newest broadcasts of a topic that are kept.
struct kept_broadcasts {
  std::vector<std::uint64_t> ids;            ///< oldest first
  position before;                           ///< all of them are after it
  std::shared_ptr<const pg_snapshot> begun;  ///< where they were looked for
};

/// What a number did after a place.
struct number_history {
  std::optional<position> first_move;  ///< just after the first event that moved it; nullopt: none
  std::string session_before;          ///< whom it led to until then, "" = nobody
};

/// "Events of topic T after position P" out of the outbox, in pages (docs/decisions/0001). Resume,
/// and the way back of a parked client.
///
/// A campaign's events are those of the sessions that were in it at the time: membership at P is
/// today's with the moves since P undone, then moves are folded forward. Fails with the cursor_*
/// codes when P is not covered by what is kept, with database_unreachable or query_failed. One a
/// shard.
class replay {
 public:
  /// `streams` has the connections of long gaps, which may be taken for seconds.
  replay(pg_pool& pool, pg_pool& streams, const relay_description& description)
      : pool_(pool), streams_(streams), description_(description) {}

  /// The next page, `limit` events at most.
  boost::asio::awaitable<result<replay_page>> read(replay_query what, position after,
                                                   unsigned limit);
  /// The same events in one go, for a gap of more than a page.
  boost::asio::awaitable<result<std::unique_ptr<replay_stream>>> open(
      replay_query what, position after, std::function<bool()> is_wanted);
  /// The next page of a stream that was opened for `what`.
  boost::asio::awaitable<result<replay_page>> next(replay_stream& stream, replay_query what);

  /// The newest `limit` broadcasts of a topic since a time (ms since 1970) that have not expired.
  boost::asio::awaitable<result<kept_broadcasts>> newest_kept(std::string key,
                                                              std::int64_t since_ms,
                                                              unsigned limit);

  /// Whether a canonical number got another session after a place.
  boost::asio::awaitable<result<number_history>> number_since(std::string number, position after);

  /// The place that a client's cursor names. Fails with the cursor_* codes.
  boost::asio::awaitable<result<position>> place_of_cursor(std::string cursor);
  /// A place from which all events of statements at or after an ISO time come (and perhaps a few
  /// older ones). Fails with cursor_invalid or cursor_too_old.
  boost::asio::awaitable<result<position>> place_of_time(std::string iso_time);

 private:
  struct membership;
  boost::asio::awaitable<result<found_events>> find(pg_connection& pg,
                                                    std::shared_ptr<const source_history> history,
                                                    outbox_filter filter);
  static boost::asio::awaitable<result<void>> commit(pg_connection& pg);
  static replay_page to_page(const replay_query& what, found_events found);
  boost::asio::awaitable<result<membership>> read_membership(pg_connection& pg,
                                                             std::string campaign, position after,
                                                             const std::vector<event>& events);
  boost::asio::awaitable<result<void>> route(pg_connection& pg, const replay_query& what,
                                             found_events& found);
  void route_events(std::vector<event>& events, const replay_query& what, membership& m);

  pg_pool& pool_;
  pg_pool& streams_;
  const relay_description& description_;
};

}  // namespace pgcast
