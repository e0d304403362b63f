#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <utility>

namespace pgcast {

/// Runs `operation` against a timer; true if it ended first. What loses is cancelled.
/// The one place that races an operation with a timer.
inline boost::asio::awaitable<bool> with_timeout(boost::asio::awaitable<void> operation,
                                                 std::chrono::milliseconds timeout) {
  using namespace boost::asio::experimental::awaitable_operators;
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, timeout);
  const auto first =
      co_await (std::move(operation) || timer.async_wait(boost::asio::use_awaitable));
  co_return first.index() == 0;
}

}  // namespace pgcast
