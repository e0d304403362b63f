#pragma once

#include <boost/asio/generic/stream_protocol.hpp>

#include <cstddef>
#include <span>
#include <string_view>

namespace pgcast {

/// One client's descriptor, TCP or Unix. Reads and sends never block; waiting is by callback, so
/// that an idle client owns no buffer and no coroutine.
class client_socket {
 public:
  using stream = boost::asio::generic::stream_protocol::socket;

  explicit client_socket(stream s);

  enum class outcome { done, would_block, closed };
  /// Reads what is there into `into`; `count` is how much (done only).
  outcome receive(std::span<char> into, std::size_t& count);
  /// Sends as many bytes of `pieces` as fit; `count` is how many (done: at least one).
  outcome send(std::span<const std::string_view> pieces, std::size_t& count);
  void close();
  bool is_open() const { return stream_.is_open(); }

  /// `handler(error_code)` when there is something to read; one at a time.
  template <class Handler>
  void wait_readable(Handler&& handler) {
    stream_.async_wait(stream::wait_read, std::forward<Handler>(handler));
  }
  template <class Handler>
  void wait_writable(Handler&& handler) {
    stream_.async_wait(stream::wait_write, std::forward<Handler>(handler));
  }

 private:
  stream stream_;
};

}  // namespace pgcast
