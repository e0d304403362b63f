#include "daemon/listener.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <charconv>
#include <optional>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr int k_backlog = 4'096;

std::optional<asio::ip::tcp::endpoint> parse_address(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  if (host.empty() || host == "*") host = "0.0.0.0";
  unsigned short port = 0;
  const char* const end = address.data() + address.size();
  const auto [at, wrong] = std::from_chars(address.data() + colon + 1, end, port);
  boost::system::error_code failed;
  const auto ip = asio::ip::make_address(host, failed);
  if (failed || wrong != std::errc{} || at != end) return std::nullopt;
  return asio::ip::tcp::endpoint{ip, port};
}

/// True if nobody answers on the Unix socket: what is left of a process that is gone.
bool is_left_over(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  const bool refused = ::connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 &&
                       errno == ECONNREFUSED;
  ::close(fd);
  return refused;
}

}  // namespace

listener::~listener() { close(); }

result<void> listener::open(const std::string& address) {
  const auto unusable = [&](const std::string& why) {
    return error{errc::address_unusable, "cannot listen on " + address + ": " + why};
  };
  asio::generic::stream_protocol::endpoint endpoint;
  if (address.starts_with("unix:")) {
    unix_path_ = address.substr(5);
    if (unix_path_.size() >= sizeof(sockaddr_un::sun_path)) return unusable("the path is too long");
    if (is_left_over(unix_path_)) ::unlink(unix_path_.c_str());
    endpoint = asio::local::stream_protocol::endpoint{unix_path_};
  } else {
    const auto parsed = parse_address(address);
    if (!parsed) return unusable("use an address and a port (127.0.0.1:4000) or unix:/path");
    endpoint = *parsed;
  }
  boost::system::error_code failed;
  acceptor_.open(endpoint.protocol(), failed);
  if (!failed) acceptor_.set_option(asio::socket_base::reuse_address{true}, failed);
  if (!failed) acceptor_.bind(endpoint, failed);
  if (!failed) acceptor_.listen(k_backlog, failed);
  if (!failed) return result<void>{};
  if (failed == asio::error::address_in_use) {
    return unusable("another process listens there: stop it or choose another address");
  }
  return unusable(failed.message());
}

std::string listener::address() const {
  if (!unix_path_.empty()) return "unix:" + unix_path_;
  const auto generic = acceptor_.local_endpoint();
  asio::ip::tcp::endpoint local;
  local.resize(generic.size());
  std::memcpy(local.data(), generic.data(), generic.size());
  const auto ip = local.address();
  const std::string host = ip.is_v6() ? "[" + ip.to_string() + "]" : ip.to_string();
  return host + ":" + std::to_string(local.port());
}

asio::awaitable<void> listener::run(std::function<void(int, int)> accept) {
  while (acceptor_.is_open()) {
    boost::system::error_code failed;
    client_socket::stream socket(acceptor_.get_executor());
    co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, failed));
    if (failed == asio::error::operation_aborted || !acceptor_.is_open()) co_return;
    if (failed) {
      spdlog::warn("accepting clients pauses: {}", failed.message());
      asio::steady_timer timer(acceptor_.get_executor(), std::chrono::milliseconds{100});
      co_await timer.async_wait(asio::use_awaitable);
      continue;
    }
    const int family = socket.local_endpoint(failed).protocol().family();
    const int descriptor = socket.release(failed);
    if (descriptor >= 0 && !failed) accept(descriptor, family);
  }
}

void listener::close() {
  boost::system::error_code ignored;
  if (!acceptor_.is_open()) return;
  acceptor_.close(ignored);
  if (!unix_path_.empty()) ::unlink(unix_path_.c_str());
}

}  // namespace pgcast
