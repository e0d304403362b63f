#pragma once

#include "daemon/client_socket.hpp"
#include "protocol/error.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

#include <functional>
#include <string>

namespace pgcast {

/// One listening socket, TCP ("127.0.0.1:4000", "[::1]:0") or Unix ("unix:/path").
class listener {
 public:
  explicit listener(boost::asio::any_io_executor executor) : acceptor_(executor) {}
  ~listener();

  /// Binds and listens. A left-over Unix socket that nobody serves is replaced. Fails with
  /// address_unusable and the remedy.
  result<void> open(const std::string& address);
  /// What is really listened on (the port that was given for 0).
  std::string address() const;
  /// Gives every new client to `accept` as a native descriptor until close(). Out of descriptors,
  /// it pauses and goes on.
  boost::asio::awaitable<void> run(std::function<void(int descriptor, int family)> accept);
  void close();

 private:
  using protocol = boost::asio::generic::stream_protocol;
  boost::asio::basic_socket_acceptor<protocol> acceptor_;
  std::string unix_path_;
};

}  // namespace pgcast
