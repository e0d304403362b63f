#pragma once

#include "daemon/hub.hpp"
#include "daemon/shard_services.hpp"
#include "protocol/claims.hpp"
#include "protocol/codec.hpp"
#include "protocol/join.hpp"
#include "protocol/seam.hpp"
#include "protocol/topic.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgcast {

class channel;

/// The client's side of a channel: what carries its frames.
class channel_owner {
 public:
  virtual ~channel_owner() = default;
  virtual wire_version version() const = 0;
  /// `channel_number` 0: not to be dropped when the client is parked.
  virtual void send(shared_frame frame, std::uint32_t channel_number) = 0;
  /// Rows of the channel that wait stay there, whatever happens: it goes on behind them.
  virtual void keep_rows(std::uint32_t channel_number) = 0;
  /// False while more than half of the client's queue is taken.
  virtual bool has_room() const = 0;
  /// Its rows were dropped and what is left still waits: nobody goes live on it now.
  virtual bool is_parked() const = 0;
  /// The channel has ended by itself (join refused); it is destroyed after this returns.
  virtual void on_channel_ended(channel& c) = 0;
};

/// One client's joined topic.
///
/// | state       | means                                   | an event of the hub is     | next |
/// |-------------|-----------------------------------------|----------------------------|-------------------|
/// | joining     | registered, permission and rows asked   | held                       | live,
/// catching up, ended | | catching up | reads pages of events after a place     | held | live | |
/// live        | gets what the hub publishes             | sent (the seam may drop it)| parked,
/// catching up | | parked      | the client was too slow; a place kept   | ignored, read again
/// later  | catching up       | | ended       | left, refused or the client is gone     | ignored
/// |                   |
///
/// Held events are few (k_held_events); what is over that is read from the outbox instead. Lives
/// in its shard; a coroutine that outlives the owner finds it ended and stops.
class channel : public subscriber, public std::enable_shared_from_this<channel> {
 public:
  struct identity {
    std::uint32_t number = 0;  ///< unique among the client's channels, not 0
    topic name;
    std::string wire_topic;         ///< "realtime:session:abc"
    std::string join_ref = "null";  ///< JSON
  };

  channel(shard_services& services, channel_owner& owner, identity id, claims who);
  ~channel() override;

  /// Registers with the hub, answers the join and starts delivery.
  /// `running` counts the client's joins that still ask the database.
  void join(join_request request, std::string ref, std::shared_ptr<unsigned> running);
  /// Nothing is sent any more.
  void end();

  /// The client's queue is full: forget what waits, keep the place (`before` is the first row
  /// event that waits, or nullptr).
  void park(const position* before);
  /// The client's queue is empty again.
  void unpark();

  /// A new token: same rights, other rights (asked again), or none (the channel closes).
  void renew(claims who);
  /// Tells the client why and makes it rejoin (phx_error).
  void expire(wall_time now);

  const identity& id() const { return id_; }
  const claims& who() const { return who_; }
  bool wants_own_broadcasts() const { return request_.broadcast_self; }
  bool wants_broadcast_acks() const { return request_.broadcast_ack; }
  bool is_joined() const { return state_ != state::joining && state_ != state::ended; }

  void on_event(delivery& d) override;
  void on_broadcast(const shared_frame& frame) override;
  void on_number_moved(const event& e, const batch_span& span) override;

  void push(std::string_view event, std::string_view payload_json);
  /// phx_close (the client does not come back) or phx_error (it joins again): both carry the join
  /// ref as their ref, which clients of vsn 1.0.0 compare.
  void push_end(std::string_view event, std::string_view payload_json);
  void reply(std::string_view ref, std::string_view status, std::string_view response_json);
  /// A `system` message of the protocol, or with `extension` "pgcast" and a code one of our own.
  struct system_message {
    std::string_view extension;
    std::string_view status;  ///< "ok" or "error"
    std::string_view code;    ///< "" = none
    std::string message;
  };
  void tell(const system_message& m);

 private:
  enum class state { joining, live, catching_up, parked, ended };
  struct held_event {
    std::shared_ptr<const event_chunk> chunk;
    const event* e;
    event_view view;
  };

  boost::asio::awaitable<void> run_join(std::string ref, std::shared_ptr<unsigned> running);
  boost::asio::awaitable<void> answer_join(std::string ref);
  boost::asio::awaitable<void> run_catch_up(position from);
  boost::asio::awaitable<void> run_follow(position from);
  boost::asio::awaitable<void> run_renew(std::shared_ptr<viewer_class> viewer);
  boost::asio::awaitable<void> catch_up(position from);
  boost::asio::awaitable<std::optional<topic_snapshot>> take_snapshot();
  boost::asio::awaitable<void> start_from_snapshot();
  boost::asio::awaitable<void> resume_number(position from);
  boost::asio::awaitable<void> replay_until(position from, position end);
  /// Sends the events of a page, of those only what `end` covers (nullptr: all).
  boost::asio::awaitable<bool> send_page(const replay_page& page, const position* end);
  boost::asio::awaitable<void> wait_for_room();
  boost::asio::awaitable<result<position>> resume_place();
  boost::asio::awaitable<void> pause(std::chrono::milliseconds delay);

  void spawn(boost::asio::awaitable<void> work);
  void register_member();
  void follow(const std::string& session);
  void answer_joined(const std::string& ref);
  void refuse(const std::string& ref, const error& e);
  void refuse_cursor(const error& e);
  void send_snapshot(const topic_snapshot& s);
  void go_live(position read_up_to);
  void hold(delivery& d);
  void forget_held();
  void start_holding();
  void lose_permission();
  void leave_live();
  std::shared_ptr<const batch_span> own_span(const std::shared_ptr<const batch_span>& span);
  void send_row(const std::shared_ptr<const batch_span>& span, const event& e, event_view view,
                std::uint32_t channel_number);
  bool has_ended() const { return state_ == state::ended; }

  shard_services& services_;
  channel_owner* owner_;
  identity id_;
  claims who_;
  std::shared_ptr<viewer_class> viewer_;
  join_request request_;
  state state_ = state::joining;
  subscription membership_;
  subscription following_;  ///< of `phone:`: its session
  std::string followed_session_;
  bool must_look_again_ = false;
  seam seam_;
  std::vector<held_event> held_;
  std::size_t held_chunks_ = 0;
  bool has_overflowed_ = false;
  unsigned renewals_ = 0;
  position parked_at_;
};

}  // namespace pgcast
