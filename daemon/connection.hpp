#pragma once

#include "daemon/census.hpp"
#include "daemon/channel.hpp"
#include "daemon/client_socket.hpp"
#include "daemon/shard_services.hpp"
#include "protocol/allowance.hpp"
#include "protocol/claims.hpp"
#include "protocol/codec.hpp"
#include "protocol/frame.hpp"
#include "protocol/outbound_queue.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// One WebSocket client after its upgrade: what it said, what waits for it, its channels.
///
/// Input is handled as it comes; output is corked: everything queued in one turn of the thread
/// leaves in one call. Lives and dies in its shard.
class connection : public channel_owner, public std::enable_shared_from_this<connection> {
 public:
  using clock = std::chrono::steady_clock;

  /// `client_id` "": no places are kept for it.
  connection(shard_services& services, client_socket socket, wire_version version, claims who,
             std::string client_id);
  ~connection() override;

  /// It counts among the clients of its address and user as long as it lives.
  void take(census::seat seat) { seat_ = std::move(seat); }
  /// `early` are bytes that came behind the upgrade request.
  void start(std::string early);
  /// Sends what waits. Called once a turn for every dirty connection.
  void flush();
  /// Deadlines: silent peer, expired tokens, full queue. Called about ten times a second.
  virtual void tick(clock::time_point now, wall_time wall);
  /// Sends a close frame and closes when the rest is out.
  virtual void close(std::uint16_t code, std::string_view reason);
  /// A `system` message to every channel that carries rows.
  void tell(const channel::system_message& m);
  /// Makes every channel's client join again (the source's history is a new one).
  void start_over();
  /// Closes at once, without a word.
  void end();
  bool is_closed() const { return !socket_.is_open(); }

  wire_version version() const override { return version_; }
  void send(shared_frame frame, std::uint32_t feed_number) override;
  void send_newest(shared_frame frame, std::uint32_t feed_number) override;
  bool has_room() const override;
  void keep_rows(std::uint32_t feed_number) override;
  bool is_parked() const override { return is_parked_; }
  std::uint32_t next_feed_number() override { return next_feed_++; }
  void on_channel_ended(channel& c) override;
  boost::asio::awaitable<void> settle_place(place_key key) override;
  std::optional<held_place> take_place(const place_key& key) override;

 protected:
  // What is said without a channel: of a WebSocket, frames.
  virtual std::string ping_text() const;
  virtual std::string close_text(std::uint16_t code, std::string_view reason) const;
  virtual void take_in(std::span<char> bytes);
  /// What it sends is a sign of life as well: it has no way to answer a ping.
  virtual bool is_alive_by_sending() const { return is_input_paused_; }
  /// False while what is sent has to wait.
  virtual bool may_send() const { return true; }
  /// Rows that waited have been dropped; what is left is behind them.
  virtual void on_rows_dropped(outbound_queue&) {}
  /// Of limits.idle; then it is pinged.
  virtual clock::duration ping_after() const;

  /// Makes a channel and joins it; `ref` names the join in its answer.
  void open_channel(channel::identity id, claims who, join_request request,
                    std::vector<change_binding> bindings, const std::string& ref);
  const std::vector<std::shared_ptr<channel>>& channels() const { return channels_; }
  outbound_queue& waiting() { return queue_; }
  void flush_soon();
  shard_services& services() const { return services_; }
  const claims& who() const { return who_; }

 private:
  /// What this connection has asked its client to acknowledge. A pong comes behind everything that
  /// was sent before its ping, so the client has received that.
  struct place_keeping {
    std::string client_id;
    std::uint64_t pings = 0;
    std::uint64_t pongs = 0;                       ///< number of the last ping that was answered
    std::optional<clock::time_point> waits_since;  ///< when the first unanswered ping was sent
    clock::time_point marked_at{};
  };
  void wait_for_input();
  void resume_input();
  bool must_pause_input() const;
  bool has_rates() const;
  bool is_over_rate() const;
  void note_pause();
  void on_readable();
  void on_message(const frame_parser::step& s);
  void on_client_message(const client_message& m);
  void on_pong(std::string_view payload);
  void on_channel_message(channel& c, const client_message& m);
  void on_join(const client_message& m);
  void on_leave(const client_message& m);
  void on_broadcast(channel& c, const client_message& m);
  void on_presence(channel& c, const client_message& m);
  void on_access_token(channel& c, const client_message& m);
  std::optional<std::string> fallback_of(const join_request& request, const claims& who) const;
  bool waits_for_key(std::string_view token, const client_message& m);
  boost::asio::awaitable<void> find_key(std::string kid, client_message m);
  void reply(const client_message& m, std::string_view status, std::string_view response_json);
  void reply_error(const client_message& m, const error& e);
  channel* find(std::string_view wire_topic);
  void remove(channel& c, departure how);
  bool is_too_slow(clock::time_point now) const;
  void drop_rows();
  void park();
  place_key key_of(const channel& c, const join_request& request) const;
  bool is_at(const place_key& key) const;
  boost::asio::awaitable<bool> prove_alive();
  void ping_for_places();
  void refresh_places(clock::time_point now);
  void void_marks();
  void hold_place(const channel& c);
  void start_places(std::string client_id);
  void end_places();
  void update_pressure();

  shard_services& services_;
  client_socket socket_;
  wire_version version_;
  bool is_closing_ = false;
  bool is_dirty_ = false;
  bool is_waiting_to_write_ = false;
  bool is_full_ = false;  ///< counted in queue_pressure::full_clients
  bool is_parked_ = false;
  bool is_pinged_ = false;
  bool has_news_ = false;         ///< something was sent since the last ping_for_places()
  bool is_input_paused_ = false;  ///< its answers or joins wait: nothing more is read from it
  bool is_key_wanted_ = false;    ///< the key of a token is looked for
  std::uint32_t next_feed_ = 1;
  claims who_;
  census::seat seat_;
  allowance presence_pace_;
  allowance message_pace_;
  allowance join_pace_;
  frame_parser parser_;
  outbound_queue queue_;
  std::size_t counted_bytes_ = 0;
  clock::time_point heard_at_;
  std::optional<clock::time_point> slow_since_;  ///< full then, and never half empty since
  clock::time_point closing_since_{};
  std::vector<std::shared_ptr<channel>> channels_;
  std::shared_ptr<unsigned> running_joins_ = std::make_shared<unsigned>(0);
  std::string unread_;                     ///< came before the input was paused
  std::unique_ptr<place_keeping> places_;  ///< of a client with an id
};

}  // namespace pgcast
