#pragma once

#include "daemon/hub.hpp"
#include "daemon/shard_services.hpp"
#include "protocol/feed_fsm.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace pgcast {

/// The channel of a feed: what carries its frames and speaks to the client. Outlives the feed;
/// coroutines of a feed are run by spawn(), which keeps both alive.
class feed_owner {
 public:
  virtual ~feed_owner() = default;
  virtual wire_version version() const = 0;
  virtual const std::string& wire_topic() const = 0;
  /// `feed_number` 0: not to be dropped when the client is parked.
  virtual void send(shared_frame frame, std::uint32_t feed_number) = 0;
  /// Takes the place of what still waits of the feed: see outbound_queue::push_newest().
  virtual void send_newest(shared_frame frame, std::uint32_t feed_number) = 0;
  /// Rows of the feed that wait stay there, whatever happens: it goes on behind them.
  virtual void keep_rows(std::uint32_t feed_number) = 0;
  /// False while more than half of the client's queue is taken.
  virtual bool has_room() const = 0;
  /// Its rows were dropped and what is left still waits: nobody goes live on it now.
  virtual bool is_parked() const = 0;
  /// Tells the client that a cursor cannot be honoured, and why.
  virtual void refuse_cursor(const error& e) = 0;
  /// The client may not read this any more: the channel ends, the client joins again.
  virtual void lose_permission() = 0;
  virtual void on_broadcast(const shared_frame& frame) = 0;
  virtual void on_presence(std::span<const shared_frame> frames) = 0;
  virtual void on_kept(delivery& d) = 0;
  virtual void spawn(boost::asio::awaitable<void> work) = 0;
};

/// A stream of row events into one channel, at the place that feed_fsm keeps: reads what the
/// client has not had out of the outbox in pages, then lives on the hub. What is read and how a row
/// is written is the derived class' matter. Lives in its shard.
class feed : public subscriber {
 public:
  /// `number` is unique among the client's feeds, not 0.
  feed(shard_services& services, feed_owner& owner, std::uint32_t number,
       std::shared_ptr<viewer_class> viewer);

  /// Nothing is sent any more.
  virtual void end();
  /// The client's queue is full: forget what waits, keep the place.
  void park(const outbound_queue& waiting);
  /// The client's queue is empty again.
  void unpark();
  /// Up to where the client has been handed everything (not: has received); nullopt before that is
  /// known.
  std::optional<position> place() const;
  /// True while its client has what all live feeds have: the cursor of an event stands for them.
  bool is_level() const { return fsm_.is_level(services_.topics.published().start); }

  void on_event(delivery& d) override;
  void on_broadcast(const shared_frame& frame) override { owner_.on_broadcast(frame); }
  void on_presence(std::span<const shared_frame> f) override { owner_.on_presence(f); }
  void on_kept(delivery& d) override { owner_.on_kept(d); }
  void on_number_moved(const event&, const batch_span&) override {}

 protected:
  /// How far reading back has come beside the place.
  struct reading {
    std::unique_ptr<replay_stream> stream;
    unsigned pages = 0;
    unsigned pages_before_stream = 1;
  };
  /// What it reads out of the outbox.
  virtual replay_query query() const = 0;
  /// False for what query() gives beside that, and nobody need decide about.
  virtual bool wants(const event&) const { return true; }
  /// What the client gets of an item whose sides it may see.
  virtual event_sides sides_of(const replay_page::item& item, visibility seen) const = 0;
  /// Sends one event in the batch as this feed sees it. `feed_number` as in feed_owner::send().
  virtual void send_row(const std::shared_ptr<const batch_span>& span, const event& e,
                        event_sides sides, std::uint32_t feed_number) = 0;
  /// The place cannot be continued from (told to the client already): where to go on; nullopt if
  /// the channel has ended.
  virtual boost::asio::awaitable<std::optional<position>> start_afresh() = 0;
  /// What a decision found out about the tables.
  virtual void learn(const visibility_map&) {}
  /// Live again (or parked); the last word about the channel's state.
  virtual boost::asio::awaitable<void> has_caught_up(position at);

  /// Reads everything after `from`, then goes live; tries again while the database is away.
  boost::asio::awaitable<void> catch_up(position from);
  /// The way back of a parked client.
  virtual boost::asio::awaitable<void> come_back(position from);
  /// After a renewal: what is being decided right now is decided for the old class only, so it is
  /// read (again), also where a join's own snapshot is older than that.
  boost::asio::awaitable<void> read_again();
  /// Until the source has said where it begins: what is committed between an earlier snapshot and
  /// that place would never come through the hub.
  boost::asio::awaitable<void> wait_for_source();
  boost::asio::awaitable<result<replay_page>> next_page(reading& r, position from);
  /// Sends the events of a page that the viewer may see, of those only what `end` covers (nullptr:
  /// all); tries again while the database cannot decide.
  boost::asio::awaitable<void> send_page(const replay_page& page, const position* end);
  /// False if there was none for that long.
  boost::asio::awaitable<bool> wait_for_room(std::chrono::milliseconds longest);
  boost::asio::awaitable<void> wait_for_room();
  boost::asio::awaitable<void> pause(std::chrono::milliseconds delay);
  /// Reading begins: what waits of this feed stays in the queue, new events are held. `place` as in
  /// feed_fsm.
  void start_reading(std::optional<position> place);
  void go_live(position read_up_to);
  bool has_ended() const { return fsm_.has_ended(); }

  static constexpr std::chrono::milliseconds k_first_retry{100};
  static constexpr std::chrono::milliseconds k_longest_retry{2'000};
  static constexpr unsigned k_page_events = 512;

  shard_services& services_;
  feed_owner& owner_;
  std::uint32_t number_;
  std::shared_ptr<viewer_class> viewer_;
  feed_fsm fsm_;
};

}  // namespace pgcast
