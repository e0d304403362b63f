#pragma once

#include "daemon/config.hpp"
#include "daemon/event_sink.hpp"
#include "daemon/pg_connection.hpp"
#include "daemon/source_session.hpp"
#include "protocol/reader_fsm.hpp"
#include "protocol/router.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <optional>
#include <random>

namespace pgcast {

/// Reads committed changes from Postgres and hands them, routed, to an event_sink.
///
/// Two connections: one only listens and holds the sleep lock, never inside a transaction (that
/// would hold the notification queue); the other reads. reader_fsm says when; the position says
/// what is next, also after a connection was lost in the middle of a batch. A position behind which
/// events were dropped unread is given up: clients start over, and it is counted. The folded
/// directory belongs to the position: both are loaded together once and then only advance.
class reader {
 public:
  reader(boost::asio::any_io_executor executor, const config& c, event_sink& sink,
         const relay_description& description);

  /// Connects, reads and reconnects with back-off and jitter until stop(); never throws.
  boost::asio::awaitable<void> run();
  /// Thread rule: on the reader's executor.
  void stop();

 private:
  boost::asio::awaitable<result<void>> connect();
  boost::asio::awaitable<result<void>> take_place(std::shared_ptr<const source_history> history);
  boost::asio::awaitable<result<void>> listen();
  boost::asio::awaitable<result<void>> prepare_reads();
  boost::asio::awaitable<result<void>> follow();
  boost::asio::awaitable<result<std::size_t>> read_batch(pg_snapshot& seen);
  boost::asio::awaitable<result<std::size_t>> stream_rows(const event_spans& spans);
  boost::asio::awaitable<result<void>> ask_about_silence(std::chrono::milliseconds silent_for);
  boost::asio::awaitable<result<void>> ask(pg_statement question,
                                           std::chrono::milliseconds silent_for);
  boost::asio::awaitable<result<void>> wait_for_room();
  boost::asio::awaitable<void> pause(std::chrono::milliseconds delay);
  boost::asio::awaitable<result<reader_fsm::action>> take_lock();
  boost::asio::awaitable<result<reader_fsm::action>> wait_for_doorbell(
      std::chrono::milliseconds until_safety_read);
  boost::asio::awaitable<result<void>> release_lock();
  void announce_place();
  error lose_place();
  void give_up_place();
  void deliver(const std::vector<pg_rows>& rows, const event_spans& spans);
  std::optional<event> to_event(const pg_rows& row);
  std::chrono::milliseconds back_off();

  boost::asio::any_io_executor executor_;
  const config& config_;
  event_sink& sink_;
  const relay_description& description_;
  pg_connection reading_;
  pg_connection listening_;
  boost::asio::steady_timer timer_;
  reader_fsm fsm_{reader_fsm::mode::doorbell};
  std::shared_ptr<const source_history> history_;
  std::optional<position> position_;
  directory directory_;
  std::minstd_rand random_{std::random_device{}()};
  pooling pooler_ = pooling::none;
  std::string backend_;  ///< the server's process that reads
  std::string how_;      ///< "live", and why it only polls
  std::string newest_;   ///< commit timestamp of the last event handed over
  unsigned failures_ = 0;
  unsigned silences_ = 0;
  bool is_prepared_ = false;  ///< the read's statements are, on this connection
  bool is_live_ = false;
  bool must_start_over_ = false;  ///< clients hold places of a history that is gone
  bool is_stopped_ = false;
};

}  // namespace pgcast
