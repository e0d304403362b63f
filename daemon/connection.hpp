#pragma once

#include "daemon/channel.hpp"
#include "daemon/client_socket.hpp"
#include "daemon/shard_services.hpp"
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

  connection(shard_services& services, client_socket socket, wire_version version, claims who);
  ~connection() override;

  /// `early` are bytes that came behind the upgrade request.
  void start(std::string early);
  /// Sends what waits. Called once a turn for every dirty connection.
  void flush();
  /// Deadlines: silent peer, expired tokens, full queue. Called about ten times a second.
  void tick(clock::time_point now, wall_time wall);
  /// Sends a close frame and closes when the rest is out.
  void close(std::uint16_t code, std::string_view reason);
  /// A `system` message to every channel that carries rows.
  void tell(const channel::system_message& m);
  /// Makes every channel's client join again (the source's history is a new one).
  void start_over();
  bool is_closed() const { return !socket_.is_open(); }

  wire_version version() const override { return version_; }
  void send(shared_frame frame, std::uint32_t feed_number) override;
  bool has_room() const override;
  void keep_rows(std::uint32_t feed_number) override;
  bool is_parked() const override { return is_parked_; }
  std::uint32_t next_feed_number() override { return next_feed_++; }
  void on_channel_ended(channel& c) override;

 private:
  void wait_for_input();
  void resume_input();
  bool must_pause_input() const;
  void on_readable();
  void take_in(std::span<char> bytes);
  void on_message(const frame_parser::step& s);
  void on_client_message(const client_message& m);
  void on_channel_message(channel& c, const client_message& m);
  void on_join(const client_message& m);
  void on_leave(const client_message& m);
  void on_broadcast(channel& c, const client_message& m);
  void on_access_token(channel& c, const client_message& m);
  void reply(const client_message& m, std::string_view status, std::string_view response_json);
  void reply_error(const client_message& m, std::string_view reason);
  channel* find(std::string_view wire_topic);
  void remove(channel& c);
  void park();
  void end();
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
  bool is_input_paused_ = false;  ///< its answers or joins wait: nothing more is read from it
  std::uint32_t next_feed_ = 1;
  claims who_;
  frame_parser parser_;
  outbound_queue queue_;
  std::size_t counted_bytes_ = 0;
  clock::time_point heard_at_;
  clock::time_point full_since_{};
  clock::time_point closing_since_{};
  std::vector<std::shared_ptr<channel>> channels_;
  std::shared_ptr<unsigned> running_joins_ = std::make_shared<unsigned>(0);
  std::string unread_;  ///< came before the input was paused
};

}  // namespace pgcast
