#pragma once

#include "daemon/pg_connection.hpp"
#include "protocol/position.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/channel.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace pgcast {

/// A connection of a pool, and the history it was opened under: crash recovery ends every
/// connection, so all positions read through one belong to that incarnation.
struct pooled_connection {
  explicit pooled_connection(boost::asio::any_io_executor executor) : pg(std::move(executor)) {}
  pg_connection pg;
  std::shared_ptr<const source_history> history;
  std::chrono::steady_clock::time_point used_at{};
  unsigned generation = 0;  ///< of the pool, when it was opened
  /// Of the open connection: statements that it knows by name, and whether it can know any.
  std::unordered_map<std::string, std::string> prepared;
  std::optional<bool> is_direct;
};

/// A few connections of one shard for joins, replays and decisions, opened when first needed.
/// Waiting for a free one is first come, first served. One thread; outlives its leases.
class pg_pool {
 public:
  pg_pool(boost::asio::any_io_executor executor, std::string conninfo, unsigned size);

  const boost::asio::any_io_executor& executor() const { return executor_; }

  /// Gives its connection back on destruction.
  class lease {
   public:
    lease() = default;
    lease(pg_pool* pool, pooled_connection* c) : pool_(pool), connection_(c) {}
    lease(lease&& other) noexcept { swap(other); }
    lease& operator=(lease&& other) noexcept {
      swap(other);
      return *this;
    }
    ~lease();
    pg_connection& pg() const { return connection_->pg; }
    const std::shared_ptr<const source_history>& history() const { return connection_->history; }
    /// The same statement by the name under which the connection knows it from now on, so that the
    /// server plans it once; as it is through a pooler, and when very many are known. Only outside
    /// a transaction.
    boost::asio::awaitable<pg_statement> prepare(pg_statement s) const;

   private:
    void swap(lease& other) {
      std::swap(pool_, other.pool_);
      std::swap(connection_, other.connection_);
    }
    pg_pool* pool_ = nullptr;
    pooled_connection* connection_ = nullptr;
  };

  /// An open connection that answers: one that was idle for a second is asked first, because a
  /// network that went silent tells nobody. While the server has no connection free, or starts up,
  /// it is asked again for up to 4 s. Fails as open_source() does.
  boost::asio::awaitable<result<lease>> acquire();

  /// The server may have fallen silent: who has waited for it for longer than that tries again on a
  /// new connection.
  void give_up_silent(std::chrono::milliseconds longest);
  /// The database has another history now: connections from before are not used again.
  void renew();

 private:
  using clock = std::chrono::steady_clock;
  boost::asio::awaitable<result<void>> open(pooled_connection& c, clock::time_point deadline);

  using free_list =
      boost::asio::experimental::channel<void(boost::system::error_code, pooled_connection*)>;

  boost::asio::any_io_executor executor_;
  std::string conninfo_;
  unsigned generation_ = 0;
  std::vector<std::unique_ptr<pooled_connection>> connections_;
  free_list free_;
};

}  // namespace pgcast
