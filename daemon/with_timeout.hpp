#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <memory>
#include <utility>

namespace pgcast {

/// Awaits `operation` and calls `cancel` when it has not ended after `timeout`; true if it ended
/// in time. The one place that races an operation with a timer. The caller owns what `cancel`
/// touches until this returns. (asio's `awaitable || awaitable` costs two more coroutines a wait,
/// and g++ 12.2 gets its frames wrong with optimisation.)
template <class Cancel>
boost::asio::awaitable<bool> with_timeout(boost::asio::awaitable<void> operation,
                                          std::chrono::milliseconds timeout, Cancel cancel) {
  struct race {
    bool has_ended = false;
    bool is_late = false;
  };
  const auto shared = std::make_shared<race>();
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, timeout);
  timer.async_wait([shared, cancel](const boost::system::error_code& failed) {
    if (failed || shared->has_ended) return;
    shared->is_late = true;
    cancel();
  });
  co_await std::move(operation);
  shared->has_ended = true;
  co_return !shared->is_late;
}

}  // namespace pgcast
