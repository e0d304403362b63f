#include "daemon/client_socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace pgcast {
namespace {

constexpr std::size_t k_most_pieces = 32;

client_socket::outcome outcome_of_errno() {
  const bool is_later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  return is_later ? client_socket::outcome::would_block : client_socket::outcome::closed;
}

}  // namespace

client_socket::client_socket(stream s) : stream_(std::move(s)) {
  boost::system::error_code ignored;
  stream_.native_non_blocking(true, ignored);
  const int on = 1;  // fails on Unix sockets, which have no such delay
  ::setsockopt(stream_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

client_socket::outcome client_socket::receive(std::span<char> into, std::size_t& count) {
  const auto n = ::recv(stream_.native_handle(), into.data(), into.size(), MSG_DONTWAIT);
  if (n < 0) return outcome_of_errno();
  if (n == 0) return outcome::closed;
  count = static_cast<std::size_t>(n);
  return outcome::done;
}

client_socket::outcome client_socket::send(std::span<const std::string_view> pieces,
                                           std::size_t& count) {
  std::array<iovec, k_most_pieces> vector;
  msghdr message{};
  message.msg_iov = vector.data();
  for (const auto& p : pieces.first(std::min(pieces.size(), k_most_pieces))) {
    vector[message.msg_iovlen++] = {const_cast<char*>(p.data()), p.size()};
  }
  const auto n = ::sendmsg(stream_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0) return outcome_of_errno();
  count = static_cast<std::size_t>(n);
  return outcome::done;
}

void client_socket::close() {
  boost::system::error_code ignored;
  stream_.close(ignored);
}

}  // namespace pgcast
