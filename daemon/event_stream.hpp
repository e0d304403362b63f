#pragma once

#include "daemon/connection.hpp"
#include "protocol/join.hpp"
#include "protocol/topic.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pgcast {

/// What GET /events asks for.
struct event_stream_request {
  claims who;
  std::vector<topic> topics;  ///< one at least, each once
  join_request options;       ///< of all that carry rows
};

/// A client of server-sent events: a connection that only listens, on a channel for each topic. Its
/// answer begins when all have been joined, and what is sent waits for that; if one is refused, or
/// it takes longer than limits.handshake, that is the answer. It ends with the first channel that
/// ends.
///
/// The id of an event is good for all topics: who resumes with the last one he has had misses
/// nothing of any, wherever the stream was cut, and may be sent something twice, with the same `id`
/// in its data. So an event's own cursor is its id only
/// - while no topic lags; else it is the place of the one that is furthest behind;
/// - on the last of the topics that it is sent on;
/// - if it is of a row: numbers may overtake rows that wait, and have nothing to resume;
/// - as long as no row in front of it has been dropped from the queue.
class event_stream : public connection {
 public:
  /// `refuse` writes the HTTP response that says why.
  using refusal_writer = std::function<std::string(const error&)>;

  /// `head`: the HTTP response's header.
  event_stream(shard_services& services, client_socket socket, claims who, std::string head,
               refusal_writer refuse);

  /// Joins the topics. Once.
  void open(event_stream_request request);

  void tick(clock::time_point now, wall_time wall) override;
  void send(shared_frame frame, std::uint32_t feed_number) override;
  void send_newest(shared_frame frame, std::uint32_t feed_number) override;
  void keep_rows(std::uint32_t feed_number) override;
  void close(std::uint16_t code, std::string_view reason) override;
  void on_channel_joined(channel& c) override;
  void on_channel_refused(channel& c, const error& e) override;

 private:
  std::string ping_text() const override;
  std::string close_text(std::uint16_t, std::string_view) const override { return {}; }
  void take_in(std::span<char>) override {}
  bool is_alive_by_sending() const override { return true; }
  clock::duration ping_after() const override;
  void on_rows_dropped(outbound_queue& left) override;
  bool may_send() const override { return has_begun_ || is_refused_; }

  void answer_refused(const error& e);
  bool has_rows() const;
  shared_frame with_safe_id(shared_frame frame) const;
  std::string place_of_all(const outbound_frame& frame) const;
  void take_newest_id();

  std::string head_;
  refusal_writer refuse_;
  clock::time_point opened_at_;
  std::size_t topics_ = 0;
  std::size_t joined_ = 0;
  bool has_begun_ = false;
  bool is_refused_ = false;
  std::uint64_t last_event_id_ = 0;  ///< of a row
};

}  // namespace pgcast
