#pragma once

#include "daemon/authorizer.hpp"
#include "daemon/config.hpp"
#include "daemon/hub.hpp"
#include "daemon/replay.hpp"
#include "daemon/snapshot.hpp"
#include "protocol/held_places.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <atomic>
#include <cstddef>
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

/// What the connections and channels of one shard work with. Owned by the shard, outlives them.
struct shard_services {
  boost::asio::any_io_executor executor;
  const config& settings;
  const relay_description& description;
  hub& topics;
  authorizer& policies;
  snapshot_reader& snapshots;
  replay& past;
  queue_pressure& pressure;
  held_places& places;
  /// A client's broadcast on its way to the hubs of all shards.
  std::function<void(client_broadcast)> broadcast;
  /// Connections with something to send at the end of this turn (corked sends).
  std::vector<std::shared_ptr<connection>> dirty;
  /// Asks the shard to flush `dirty` soon; called by whoever puts the first one in.
  std::function<void()> flush_soon;
  /// Connections of clients that named themselves (realtime.params.client_id).
  std::unordered_map<std::string, std::vector<connection*>> named;
  /// One receive buffer for all connections of the thread.
  std::vector<char> receive_buffer;
};

}  // namespace pgcast
