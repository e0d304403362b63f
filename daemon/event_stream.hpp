#pragma once

#include "daemon/connection.hpp"
#include "protocol/join.hpp"
#include "protocol/topic.hpp"

#include <cstddef>
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
/// answer begins when all have been joined; if one is refused, that is the answer. It ends with the
/// first channel that ends.
///
/// The id of an event is good for all topics: while one of them lags, what is sent of another
/// carries the place of the one that is furthest behind. A client that resumes may be sent
/// something twice, with the same `id` in its data. With several topics it can also miss
/// something: see docs/decisions/0015.
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
  void on_channel_joined(channel& c) override;
  void on_channel_refused(channel& c, const error& e) override;

 private:
  struct early_frame {
    shared_frame frame;
    std::uint32_t feed_number;
  };
  std::string ping_text() const override;
  std::string close_text(std::uint16_t, std::string_view) const override { return {}; }
  void take_in(std::span<char>) override {}
  bool is_alive_by_sending() const override { return true; }
  clock::duration ping_after() const override;

  void begin();
  void answer_refused(const error& e);
  bool hold_back(const shared_frame& frame, std::uint32_t feed_number);
  shared_frame with_safe_id(shared_frame frame) const;

  std::string head_;
  refusal_writer refuse_;
  std::size_t topics_ = 0;
  std::size_t joined_ = 0;
  bool has_begun_ = false;
  bool is_refused_ = false;
  std::vector<early_frame> early_;  ///< before all have been joined
  std::size_t early_bytes_ = 0;
};

}  // namespace pgcast
