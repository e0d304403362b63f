#pragma once

#include "daemon/connection.hpp"
#include "daemon/http.hpp"
#include "daemon/operations_report.hpp"
#include "daemon/pg_pool.hpp"
#include "daemon/shard_services.hpp"
#include "protocol/lag_window.hpp"

#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace pgcast {

/// One thread with its io_context, hub and connections. Wiring only. Everything public is called
/// from other threads, after start().
class shard {
 public:
  /// The way to the other shards.
  struct siblings {
    std::function<void(client_broadcast)> broadcast;                       ///< to every shard
    std::function<void(std::shared_ptr<const presence_change>)> announce;  ///< to every shard
    /// The shard of all clients with that id: there they find their places.
    std::function<shard&(const std::string& client_id)> home_of;
    /// The state of the whole daemon, and of one event.
    std::function<boost::asio::awaitable<std::string>()> report_operations;
    std::function<boost::asio::awaitable<std::string>(std::uint64_t event_id)> follow_event;
    const hold_up& held;
    key_source& keys;
    census& clients;
    const trusted_networks& proxies;
  };
  shard(const config& c, const relay_description& description, siblings others);
  ~shard();

  void start();
  /// Ends the thread at once; connections are closed without a word.
  void stop();

  /// A new client of the public listener.
  void adopt(int descriptor, int family);
  /// A client after its upgrade, from another shard.
  void welcome(int descriptor, int family, upgrade_request upgrade, std::string early,
               census::seat seat);
  void deliver(std::shared_ptr<const event_chunk> chunk);
  void broadcast(std::shared_ptr<const client_broadcast> b);
  void announce(std::shared_ptr<const presence_change> change);
  void start_over();
  /// Tokens are verified with these from now on.
  void use_keys(key_source::keys keys);
  /// The source was lost: for a while statements that wait for long are taken for lost as well.
  void suspect_source();
  /// A `system` message to all channels that carry rows; its texts are constants.
  void tell(channel::system_message m);
  /// Closes all clients with 1012, spread over `duration`.
  void drain(std::chrono::milliseconds duration);

  /// False while chunks wait here or queues are too full.
  bool has_room() const;
  /// Chunks that deliver() took, and those of them that are queued for the clients.
  std::size_t delivered_chunks() const { return delivered_chunks_; }
  std::size_t published_chunks() const { return published_chunks_.load(std::memory_order_relaxed); }
  bool has_full_clients() const {
    return pressure_.full_clients.load(std::memory_order_relaxed) > 0;
  }
  std::size_t queued_bytes() const {
    return pressure_.queued_bytes.load(std::memory_order_relaxed);
  }
  std::size_t connections() const { return count_.load(std::memory_order_relaxed); }

  /// The shard as it is now. The walk over its topics lets others take their turns.
  boost::asio::awaitable<thread_report> report();
  /// How many have joined each of these topics here.
  boost::asio::awaitable<std::vector<std::size_t>> count_members(std::vector<std::string> topics);
  /// Nothing if it has not been published here, or is not among the newest.
  boost::asio::awaitable<std::optional<handed_event>> find_handed(std::uint64_t event_id);

 private:
  boost::asio::awaitable<thread_report> survey();
  boost::asio::awaitable<std::vector<std::size_t>> count_here(std::vector<std::string> topics);
  boost::asio::awaitable<std::optional<handed_event>> find_here(std::uint64_t event_id);

  boost::asio::awaitable<void> serve(int descriptor, int family);
  client_socket::stream open_stream(int descriptor, int family);
  void start_client(upgraded_client client);
  void start_stream(stream_client client);
  void keep(std::shared_ptr<connection> c);
  boost::asio::awaitable<void> publish_chunks();
  boost::asio::awaitable<void> publish_chunk(std::shared_ptr<const event_chunk> chunk);
  boost::asio::awaitable<void> tick();
  void flush();

  config settings_;  ///< the shard's own: what changes live changes on its thread
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  queue_pressure pressure_;
  pg_pool pool_;      ///< joins and replays
  pg_pool deciding_;  ///< decisions do not queue behind joins
  pg_pool streams_;   ///< nor do joins behind long gaps that are read,
  pg_pool counting_;  ///< or behind the sessions of a large campaign,
  pg_pool serving_;   ///< or behind the snapshot API
  authorizer policies_;
  channel_policy rights_;
  stats_policy watchers_;
  snapshot_reader snapshots_;
  api_reader snapshot_api_;
  ticker_reader numbers_;
  replay past_;
  message_store store_;
  hub topics_;
  held_places places_;
  presence_board board_;
  ticker_board tickers_;
  siblings others_;
  shard_services services_;
  boost::asio::experimental::channel<void(boost::system::error_code,
                                          std::shared_ptr<const event_chunk>)>
      chunks_;
  std::vector<std::shared_ptr<connection>> connections_;
  std::atomic<std::size_t> count_{0};
  std::atomic<std::size_t> waiting_chunks_{0};
  std::atomic<std::size_t> published_chunks_{0};
  std::size_t delivered_chunks_ = 0;  ///< of the source's thread
  std::chrono::steady_clock::time_point drain_start_{};
  std::chrono::milliseconds drain_duration_{0};
  std::size_t drain_total_ = 0;
  std::int64_t counted_places_ = 0;
  std::chrono::steady_clock::time_point suspect_until_{};
  lag_window publish_lag_;
  bool awaits_place_ = false;  ///< after start_over(), until the new history has begun
  std::thread thread_;
};

}  // namespace pgcast
