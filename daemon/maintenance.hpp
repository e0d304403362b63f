#pragma once

#include "daemon/config.hpp"
#include "daemon/pg_connection.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>

namespace pgcast {

/// Keeps the outbox in shape: partitions made ahead, expired ones dropped, its size and the default
/// partition watched. Any number of daemons may do so; a busy partition is left for the next round.
class maintenance {
 public:
  maintenance(boost::asio::any_io_executor executor, const config& c)
      : executor_(std::move(executor)), config_(c) {}

  /// A round at start and then every ten minutes; failures are logged and tried again.
  boost::asio::awaitable<void> run();

 private:
  /// True: expired rows are left.
  boost::asio::awaitable<result<bool>> run_once();
  void warn_of_failure(const error& failed, std::chrono::nanoseconds without) const;

  boost::asio::any_io_executor executor_;
  const config& config_;
};

}  // namespace pgcast
