#include "daemon/pg_pool.hpp"

#include "daemon/source_session.hpp"

#include <boost/asio/use_awaitable.hpp>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_trusted_idle{1'000};
constexpr std::chrono::milliseconds k_ping_timeout{1'000};

}  // namespace

pg_pool::pg_pool(asio::any_io_executor executor, std::string conninfo, unsigned size)
    : conninfo_(std::move(conninfo)), free_(executor, size) {
  for (unsigned i = 0; i < size; ++i) {
    connections_.push_back(std::make_unique<pooled_connection>(executor));
    free_.try_send(boost::system::error_code{}, connections_.back().get());
  }
}

pg_pool::lease::~lease() {
  if (connection_ == nullptr) return;
  connection_->used_at = std::chrono::steady_clock::now();
  pool_->free_.try_send(boost::system::error_code{}, connection_);
}

asio::awaitable<result<pg_pool::lease>> pg_pool::acquire() {
  pooled_connection* const free = co_await free_.async_receive(asio::use_awaitable);
  lease leased(this, free);
  const auto idle = std::chrono::steady_clock::now() - free->used_at;
  if (free->pg.is_open() && idle > k_trusted_idle) {
    std::vector<pg_statement> ping;
    ping.emplace_back("SELECT 1");
    auto alive = co_await free->pg.run(std::move(ping), k_ping_timeout);
    if (!alive) free->pg.close();
  }
  if (!free->pg.is_open()) {
    auto history = co_await open_source(free->pg, conninfo_, "pgcast worker");
    if (!history) {
      free->pg.close();
      co_return history.error();
    }
    free->history = *history;
  }
  co_return leased;
}

}  // namespace pgcast
