#pragma once

#include "daemon/broadcast_feed.hpp"
#include "daemon/changes_feed.hpp"
#include "daemon/channel_presence.hpp"
#include "daemon/feed.hpp"
#include "daemon/stats_feed.hpp"
#include "daemon/topic_feed.hpp"
#include "protocol/broadcast_request.hpp"
#include "protocol/claims.hpp"
#include "protocol/codec.hpp"
#include "protocol/held_places.hpp"
#include "protocol/join.hpp"
#include "protocol/topic.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace pgcast {

class channel;

/// The client's side of a channel: what carries its frames.
class channel_owner {
 public:
  virtual ~channel_owner() = default;
  virtual wire_version version() const = 0;
  /// See feed_owner for these.
  virtual void send(shared_frame frame, std::uint32_t feed_number) = 0;
  virtual void send_newest(shared_frame frame, std::uint32_t feed_number) = 0;
  virtual void keep_rows(std::uint32_t feed_number) = 0;
  virtual bool has_room() const = 0;
  virtual bool is_parked() const = 0;
  /// A number for a feed, unique among the client's.
  virtual std::uint32_t next_feed_number() = 0;
  /// Returns when it is certain that nobody else is where `key` names a place.
  virtual boost::asio::awaitable<void> settle_place(place_key key) = 0;
  /// The place that was kept; it is the channel's now.
  virtual std::optional<held_place> take_place(const place_key& key) = 0;
  /// The join is answered, or refused: then on_channel_ended() follows.
  virtual void on_channel_joined(channel&) {}
  virtual void on_channel_refused(channel&, const error&) {}
  /// The channel has ended by itself (join refused); it is destroyed after this returns.
  virtual void on_channel_ended(channel& c) = 0;
};

/// One client's joined topic: who joined it under which name, its answers, its broadcasts, and the
/// feeds of events that run in it: rows, changes, kept broadcasts. Many channels have none.
///
/// Lives in its shard; a coroutine that outlives the owner finds the channel ended and stops.
class channel : public subscriber, public feed_owner, public std::enable_shared_from_this<channel> {
 public:
  struct identity {
    topic name;
    std::string wire_topic;         ///< "realtime:session:abc"
    std::string join_ref = "null";  ///< JSON
  };

  channel(shard_services& services, channel_owner& owner, identity id, claims who);
  ~channel() override;

  /// Registers with the hub, answers the join and starts delivery.
  /// `running` counts the client's joins that still ask the database.
  /// `place` names the client's place, if one is to be kept for it; "" as client id: none.
  void join(join_request request, std::vector<change_binding> bindings, std::string ref,
            std::shared_ptr<unsigned> running, place_key place);
  /// Nothing is sent any more.
  void end(departure how);

  /// The client's queue is full: its rows are about to be dropped.
  void park(const outbound_queue& waiting);
  /// The client's queue is empty again.
  void unpark();

  /// What the client has been handed by now is what the next acknowledge_place() is about.
  void mark_place();
  /// The client has received all that it had been handed at the last mark_place().
  void acknowledge_place();
  /// Rows that were handed over before the mark have been dropped: it means nothing.
  void forget_mark() { marked_ = {}; }
  const held_place& acknowledged() const { return acknowledged_; }
  const place_key* key() const { return key_.get(); }

  /// A new token: same rights, other rights (asked again), or none (the channel closes).
  void renew(claims who);
  /// Tells the client why and makes it rejoin (phx_error).
  void expire(wall_time now);

  const identity& id() const { return id_; }
  const claims& who() const { return who_; }
  /// As whom the hub knows this channel's broadcasts.
  const subscriber* listener() const;
  bool wants_own_broadcasts() const { return wants_own_broadcasts_; }
  bool wants_broadcast_acks() const { return wants_broadcast_acks_; }
  /// The client's track or untrack; why it cannot have it so, or "". Tracking makes the channel
  /// hear of the others. `pace` is the client's, nullptr: no limit.
  result<void> change_presence(presence_request request, allowance* pace);
  /// Sends presence_state to a client that has not been told of every change, if there is room.
  void refresh_presence();
  bool is_joined() const { return is_joined_ && owner_ != nullptr; }
  /// True if something of it is read from the source.
  bool has_feeds() const { return rows_ || changes_ || kept_ || numbers_; }
  /// What may be done on it, as far as it is known.
  const channel_rights& rights() const { return rights_; }
  /// The feed of the topic's rows, nullptr = none.
  const feed* rows() const { return rows_.get(); }
  bool carries_rows() const { return rows_ != nullptr || changes_ != nullptr; }
  /// Keeps what the client said, from where it is sent, and tells its id to who wants an answer.
  /// `running` as in join().
  void keep(requested_broadcast said, std::string ref, std::shared_ptr<unsigned> running);
  /// Called about four times a second; tells once that the token expires within a minute.
  void tick(wall_time now);
  /// The rights are those of the connection and nobody's own: a channel with rows says so when it
  /// has joined. `why`: "the join carried no access_token".
  void note_fallback(std::string why) { fallback_ = std::move(why); }

  // subscriber, of a topic without rows

  void on_event(delivery&) override {}
  void on_broadcast(const shared_frame& frame) override;
  void on_presence(std::span<const shared_frame> frames) override;
  void on_kept(delivery& d) override;
  void on_number_moved(const event&, const batch_span&) override {}

  // feed_owner

  wire_version version() const override { return version_; }
  const std::string& wire_topic() const override { return id_.wire_topic; }
  void send(shared_frame frame, std::uint32_t feed_number) override;
  void send_newest(shared_frame frame, std::uint32_t feed_number) override;
  void keep_rows(std::uint32_t feed_number) override;
  bool has_room() const override;
  bool is_parked() const override;
  void refuse_cursor(const error& e) override;
  void lose_permission() override;
  void spawn(boost::asio::awaitable<void> work) override;

  void push(std::string_view event, std::string_view payload_json);
  /// phx_close (the client does not come back) or phx_error (it joins again): both carry the join
  /// ref as their ref, which clients of vsn 1.0.0 compare.
  void push_end(std::string_view event, std::string_view payload_json);
  void reply(std::string_view ref, std::string_view status, std::string_view response_json);
  void reply_error(std::string_view ref, const error& e);
  /// A `system` message of the protocol, or with `extension` "pgcast" and a code one of our own.
  struct system_message {
    std::string_view extension;
    std::string_view status;  ///< "ok" or "error"
    std::string_view code;    ///< "" = none
    std::string message;
    std::string cursor = "";  ///< where the rows of the channel begin, "" = not told
  };
  void tell(const system_message& m);

 private:
  boost::asio::awaitable<void> run_join(std::string ref, std::shared_ptr<unsigned> running);
  boost::asio::awaitable<void> answer_join(std::string ref);
  boost::asio::awaitable<result<void>> ask_rights();
  error may_not_read() const;
  boost::asio::awaitable<void> review_rights();
  void refresh_rights();
  boost::asio::awaitable<void> run_keep(requested_broadcast said, std::string id, std::string ref,
                                        std::shared_ptr<unsigned> running);
  void answer_joined(const std::string& ref);
  void begin();
  void tell_when_ready();
  boost::asio::awaitable<void> refuse_late(std::string ref, std::chrono::milliseconds timeout);
  void refuse(const std::string& ref, const error& e);
  bool has_ended() const { return owner_ == nullptr; }
  void enable_presence();
  void push_presence_state();

  shard_services& services_;
  channel_owner* owner_;  ///< nullptr: ended
  identity id_;
  claims who_;
  std::shared_ptr<viewer_class> viewer_;
  wire_version version_;
  channel_rights rights_ = channel_rights::all();
  std::chrono::steady_clock::time_point review_at_{};
  bool is_in_review_ = false;
  bool is_joined_ = false;
  bool wants_own_broadcasts_ = false;
  bool wants_broadcast_acks_ = false;
  bool wants_replication_ready_ = false;   ///< and has not been told yet
  std::vector<std::string> own_messages_;  ///< being kept, not to be echoed: their ids
  std::string presence_key_;
  bool is_expiry_told_ = false;
  std::string fallback_;            ///< see note_fallback()
  std::unique_ptr<place_key> key_;  ///< nullptr: no place is kept
  held_place marked_;
  held_place acknowledged_;
  subscription membership_;                          ///< of a topic without rows
  std::unique_ptr<boost::asio::steady_timer> late_;  ///< of a join that wants to be refused then
  std::unique_ptr<topic_feed> rows_;
  std::unique_ptr<changes_feed> changes_;
  std::unique_ptr<channel_presence> presence_;  ///< nullptr: does not hear of it
  std::unique_ptr<broadcast_feed> kept_;        ///< of a join with a replay
  std::unique_ptr<stats_feed> numbers_;         ///< of a campaign's
};

}  // namespace pgcast
