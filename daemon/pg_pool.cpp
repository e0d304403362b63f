#include "daemon/pg_pool.hpp"

#include "daemon/source_session.hpp"

#include <boost/asio/use_awaitable.hpp>

namespace pgcast {
namespace asio = boost::asio;

pg_pool::pg_pool(asio::any_io_executor executor, std::string conninfo, unsigned size)
    : conninfo_(std::move(conninfo)), free_(executor, size) {
  for (unsigned i = 0; i < size; ++i) {
    connections_.push_back(std::make_unique<pooled_connection>(executor));
    free_.try_send(boost::system::error_code{}, connections_.back().get());
  }
}

pg_pool::lease::~lease() {
  if (connection_ != nullptr) pool_->free_.try_send(boost::system::error_code{}, connection_);
}

asio::awaitable<result<pg_pool::lease>> pg_pool::acquire() {
  pooled_connection* const free = co_await free_.async_receive(asio::use_awaitable);
  lease leased(this, free);
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
