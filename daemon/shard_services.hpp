#pragma once

#include "daemon/api_reader.hpp"
#include "daemon/authorizer.hpp"
#include "daemon/census.hpp"
#include "daemon/channel_policy.hpp"
#include "daemon/client_address.hpp"
#include "daemon/config.hpp"
#include "daemon/hub.hpp"
#include "daemon/key_source.hpp"
#include "daemon/message_store.hpp"
#include "daemon/presence_board.hpp"
#include "daemon/replay.hpp"
#include "daemon/snapshot.hpp"
#include "daemon/stats_policy.hpp"
#include "daemon/ticker_board.hpp"
#include "protocol/allowance.hpp"
#include "protocol/held_places.hpp"
#include "protocol/presence_message.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace pgcast {

class connection;

/// How full the queues of a shard's clients are. Written by the shard, read by the source.
struct queue_pressure {
  std::atomic<std::size_t> queued_bytes{0};
  std::atomic<std::size_t> full_clients{0};  ///< over limits.queue_bytes and not yet parked
};

/// How long full clients, of whatever shard, have held the source up. Written by the source's
/// thread, read by the shards.
class hold_up {
 public:
  using clock = std::chrono::steady_clock;
  /// The source waits for a full client.
  void extend(clock::time_point now) {
    if (now - until_.load(std::memory_order_relaxed) > k_apart) {
      since_.store(now, std::memory_order_relaxed);
    }
    until_.store(now, std::memory_order_relaxed);
  }
  /// Of the one that lasts, short breaks counted in.
  clock::duration length(clock::time_point now) const {
    if (now - until_.load(std::memory_order_relaxed) > k_apart) return {};
    return now - since_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr std::chrono::milliseconds k_apart{1'000};
  std::atomic<clock::time_point> since_{};
  std::atomic<clock::time_point> until_{};
};

/// What the connections and channels of one shard work with. Owned by the shard, outlives them.
struct shard_services {
  boost::asio::any_io_executor executor;
  const config& settings;
  const relay_description& description;
  hub& topics;
  authorizer& policies;
  channel_policy& rights;
  stats_policy& watchers;
  snapshot_reader& snapshots;
  api_reader& snapshot_api;
  replay& past;
  message_store& store;
  queue_pressure& pressure;
  const hold_up& held;
  held_places& places;
  presence_board& board;
  ticker_board& tickers;
  key_source& keys;
  /// A client's broadcast on its way to the hubs of all shards.
  std::function<void(client_broadcast)> broadcast;
  /// A change of who is present on its way to the boards of all shards.
  std::function<void(std::shared_ptr<const presence_change>)> announce;
  /// The state of the whole daemon as JSON.
  std::function<boost::asio::awaitable<std::string>()> report_operations;
  /// What became of an event as JSON; "": it is not among the newest.
  std::function<boost::asio::awaitable<std::string>(std::uint64_t event_id)> follow_event;
  /// Connections with something to send at the end of this turn (corked sends).
  std::vector<std::shared_ptr<connection>> dirty;
  /// Asks the shard to flush `dirty` soon; called by whoever puts the first one in.
  std::function<void()> flush_soon;
  /// Connections of clients that named themselves (realtime.params.client_id).
  std::unordered_map<std::string, std::vector<connection*>> named;
  /// Bodies of HTTP requests that are being read.
  std::size_t body_bytes = 0;
  /// One receive buffer for all connections of the thread.
  std::vector<char> receive_buffer;
  /// Names of presences, unlike those of other shards and daemons.
  unique_refs refs;
  /// Of all shards together.
  census& clients;
  const trusted_networks& proxies;
  /// For log lines that clients could cause without end.
  allowance log_pace;
};

}  // namespace pgcast
