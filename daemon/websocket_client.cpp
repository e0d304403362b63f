// The only file of the program that includes Beast's WebSocket: it takes a minute to compile.
#include "daemon/websocket_client.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

#include <csignal>
#include <optional>

namespace pgcast {
namespace asio = boost::asio;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

namespace {

using stream_socket = asio::generic::stream_protocol::socket;
using endpoint = asio::generic::stream_protocol::endpoint;
namespace ssl = asio::ssl;
using clock = std::chrono::steady_clock;

constexpr std::chrono::seconds k_send_limit{10};
constexpr std::chrono::seconds k_close_limit{1};
constexpr std::size_t k_message_bytes = std::size_t{1} << 30;

/// A socket, bare or with TLS around it: one type, so that the WebSocket is compiled once.
class transport {
 public:
  using executor_type = stream_socket::executor_type;

  explicit transport(asio::io_context& loop) : socket_(loop) {}

  executor_type get_executor() { return socket_.get_executor(); }
  stream_socket& socket() { return socket_; }

  ssl::stream<stream_socket&>& secure(ssl::context& context) {
    return tls_.emplace(socket_, context);
  }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(error_code, std::size_t)>(
        [this](auto handler, const Buffers& to) {
          if (tls_) {
            tls_->async_read_some(to, std::move(handler));
          } else {
            socket_.async_read_some(to, std::move(handler));
          }
        },
        token, buffers);
  }

  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(error_code, std::size_t)>(
        [this](auto handler, const Buffers& from) {
          if (tls_) {
            tls_->async_write_some(from, std::move(handler));
          } else {
            socket_.async_write_some(from, std::move(handler));
          }
        },
        token, buffers);
  }

 private:
  stream_socket socket_;
  std::optional<ssl::stream<stream_socket&>> tls_;
};

// Found by Beast. The WebSocket's close frame has said goodbye: TLS need not say it again.
void beast_close_socket(transport& t) {
  error_code ignored;
  t.socket().close(ignored);
}

template <class Handler>
void async_teardown(boost::beast::role_type role, transport& t, Handler&& handler) {
  websocket::async_teardown(role, t.socket(), std::forward<Handler>(handler));
}

using stream = websocket::stream<transport>;

/// What the Host header says: without the port that is the scheme's own.
std::string host_header(const websocket_client::address& where) {
  if (!where.unix_path.empty()) return "localhost";
  const bool is_ipv6 = where.host.find(':') != std::string::npos;
  const auto host = is_ipv6 ? "[" + where.host + "]" : where.host;
  return where.port == (where.is_tls ? "443" : "80") ? host : host + ":" + where.port;
}

}  // namespace

/// Runs one operation after the other on an event loop of its own, each up to a deadline.
class websocket_client::connection {
 public:
  explicit connection(interrupts from) {
    if (from == interrupts::by_call) return;
    signals_.add(SIGINT);
    signals_.add(SIGTERM);
    signals_.async_wait([this](error_code failure, int) { is_interrupted_ = !failure; });
  }
  ~connection() {
    drop();
    signals_.cancel();
    loop_.restart();
    loop_.run();
  }

  result<void> connect(const address& where, const headers& extra, std::chrono::milliseconds limit);
  bool send(const std::string& text);
  wake wait(std::chrono::milliseconds limit);
  wake sleep(std::chrono::milliseconds time);
  void close();

  std::string message;
  bool is_binary = false;
  std::string close_reason;
  bool is_interrupted() const { return is_interrupted_; }
  void interrupt() {
    asio::post(loop_, [this] { is_interrupted_ = true; });
  }

 private:
  /// Lets the loop run until `is_done`, the deadline or Ctrl-C; true when it is done.
  template <class Done>
  bool run_until(clock::time_point deadline, Done is_done) {
    loop_.restart();
    while (!is_done() && !is_interrupted_ && clock::now() < deadline) loop_.run_one_until(deadline);
    return is_done();
  }

  /// Starts an operation that ends with (error_code, ...) and waits for it. When it is not done in
  /// time the socket is closed, so that nothing refers to this frame any more.
  template <class Start>
  error_code finish(clock::time_point deadline, Start start) {
    std::optional<error_code> outcome;
    start([&outcome](error_code failure, auto&&...) { outcome = failure; });
    if (run_until(deadline, [&] { return outcome.has_value(); })) return *outcome;
    resolver_.cancel();
    shut();
    while (!outcome) loop_.run_one();
    return asio::error::timed_out;
  }

  result<std::vector<endpoint>> resolve(const address& where, clock::time_point deadline);
  result<void> secure(const address& where, clock::time_point deadline);
  void start_reading();
  void shut() {
    error_code ignored;
    if (stream_) stream_->next_layer().socket().close(ignored);
  }
  void drop() {
    shut();
    loop_.restart();
    while (is_reading_) loop_.run_one();
    stream_.reset();
  }

  asio::io_context loop_{1};
  asio::signal_set signals_{loop_};
  asio::ip::tcp::resolver resolver_{loop_};
  std::optional<ssl::context> tls_;  ///< made for the first connection that needs it
  std::optional<stream> stream_;
  boost::beast::flat_buffer buffer_;
  bool is_reading_ = false;
  std::optional<error_code> read_outcome_;
  bool is_interrupted_ = false;
};

result<std::vector<endpoint>> websocket_client::connection::resolve(const address& where,
                                                                    clock::time_point deadline) {
  std::vector<endpoint> endpoints;
  if (!where.unix_path.empty()) {
    endpoints.emplace_back(asio::local::stream_protocol::endpoint(where.unix_path));
    return endpoints;
  }
  const auto failure = finish(deadline, [&](auto done) {
    resolver_.async_resolve(where.host, where.port,
                            [&endpoints, done](error_code ec, const auto& found) mutable {
                              for (const auto& entry : found)
                                endpoints.emplace_back(entry.endpoint());
                              done(ec);
                            });
  });
  if (failure) {
    return error{errc::source_unavailable,
                 where.host + " cannot be resolved: " + failure.message()};
  }
  return endpoints;
}

/// The server must prove to be `where.host`, by a certificate that the system trusts.
result<void> websocket_client::connection::secure(const address& where,
                                                  clock::time_point deadline) {
  if (!where.is_tls) return {};
  const auto failed = [&](const std::string& why) {
    return error{errc::source_unavailable, where.name() + " cannot be trusted: " + why};
  };
  error_code failure;
  if (!tls_) {
    tls_.emplace(ssl::context::tls_client);
    SSL_CTX_set_min_proto_version(tls_->native_handle(), TLS1_2_VERSION);
    tls_->set_default_verify_paths(failure);  // honours SSL_CERT_FILE and SSL_CERT_DIR
    if (failure) return failed("the system's certificates cannot be read: " + failure.message());
  }
  auto& tls = stream_->next_layer().secure(*tls_);
  tls.set_verify_mode(ssl::verify_peer);
  // An address stands in a certificate of its own kind and needs no name for a server that has
  // several (RFC 6066).
  auto* const native = tls.native_handle();
  asio::ip::make_address(where.host, failure);
  const auto* host = where.host.c_str();
  const bool is_checked =
      failure ? SSL_set1_host(native, host) == 1 && SSL_set_tlsext_host_name(native, host) == 1
              : X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(native), host) == 1;
  if (!is_checked) return failed("its name cannot be compared with a certificate");
  failure = finish(
      deadline, [&](auto done) { tls.async_handshake(ssl::stream_base::client, std::move(done)); });
  if (!failure) return {};
  const auto verdict = SSL_get_verify_result(native);
  if (verdict != X509_V_OK) return failed(X509_verify_cert_error_string(verdict));
  return failed(failure.message());
}

result<void> websocket_client::connection::connect(const address& where, const headers& extra,
                                                   std::chrono::milliseconds limit) {
  drop();
  const auto deadline = clock::now() + limit;
  const auto name = where.name();
  const auto endpoints = resolve(where, deadline);
  if (!endpoints) return endpoints.error();
  stream_.emplace(loop_);
  const auto refused = finish(deadline, [&](auto done) {
    asio::async_connect(stream_->next_layer().socket(), *endpoints, done);
  });
  if (refused) {
    return error{errc::source_unavailable, name + " cannot be reached: " + refused.message()};
  }
  if (const auto secured = secure(where, deadline); !secured) return secured.error();

  stream_->read_message_max(k_message_bytes);
  stream_->set_option(websocket::stream_base::decorator([&extra](websocket::request_type& request) {
    for (const auto& [key, value] : extra) request.set(key, value);
  }));
  websocket::response_type response;
  const auto host = host_header(where);
  const auto declined = finish(
      deadline, [&](auto done) { stream_->async_handshake(response, host, where.target, done); });
  if (!declined) {
    buffer_.clear();
    read_outcome_.reset();
    return {};
  }
  if (declined != websocket::error::upgrade_declined) {
    return error{errc::source_unavailable, name + " does not answer: " + declined.message()};
  }
  const auto status = response.result_int();
  const auto reason = name + " refuses with status " + std::to_string(status) +
                      (response.body().empty() ? "" : ": " + response.body());
  const bool is_forbidden = status == 401 || status == 403;
  return error{is_forbidden ? errc::unauthorized : errc::source_unavailable, reason};
}

bool websocket_client::connection::send(const std::string& text) {
  if (!stream_) return false;
  stream_->text(true);
  const auto failure = finish(clock::now() + k_send_limit,
                              [&](auto done) { stream_->async_write(asio::buffer(text), done); });
  return !failure;
}

void websocket_client::connection::start_reading() {
  is_reading_ = true;
  read_outcome_.reset();
  stream_->async_read(buffer_, [this](error_code failure, std::size_t) {
    is_reading_ = false;
    read_outcome_ = failure;
  });
}

websocket_client::wake websocket_client::connection::wait(std::chrono::milliseconds limit) {
  if (!stream_) return wake::closed;
  if (!is_reading_ && !read_outcome_) start_reading();
  const bool is_done =
      run_until(clock::now() + limit, [this] { return read_outcome_.has_value(); });
  if (is_interrupted_) return wake::interrupted;
  if (!is_done) return wake::timeout;
  const auto failure = *std::exchange(read_outcome_, std::nullopt);
  if (failure) {
    // The peer's close frame counts also when the connection broke while it was answered.
    const auto& reason = stream_->reason();
    close_reason = reason.code == websocket::close_code::none
                       ? failure.message()
                       : std::to_string(reason.code) + " " + std::string(reason.reason.c_str());
    stream_.reset();
    return wake::closed;
  }
  message = boost::beast::buffers_to_string(buffer_.cdata());
  is_binary = stream_->got_binary();
  buffer_.clear();
  return wake::message;
}

websocket_client::wake websocket_client::connection::sleep(std::chrono::milliseconds time) {
  // A timer keeps the loop in work, so that it waits instead of returning at once.
  asio::steady_timer timer(loop_, time);
  timer.async_wait([](error_code) {});
  run_until(clock::now() + time, [] { return false; });
  return is_interrupted_ ? wake::interrupted : wake::timeout;
}

void websocket_client::connection::close() {
  if (!stream_) return;
  is_interrupted_ = false;  // it is why we say goodbye, not why we should not
  finish(clock::now() + k_close_limit,
         [&](auto done) { stream_->async_close(websocket::close_code::normal, done); });
  drop();
}

std::string websocket_client::address::name() const {
  return unix_path.empty() ? host + ":" + port : "unix:" + unix_path;
}

websocket_client::websocket_client(interrupts from)
    : connection_(std::make_unique<connection>(from)) {}
websocket_client::~websocket_client() = default;

result<void> websocket_client::connect(const address& where, const headers& extra,
                                       std::chrono::milliseconds limit) {
  return connection_->connect(where, extra, limit);
}
bool websocket_client::send(const std::string& text) { return connection_->send(text); }
websocket_client::wake websocket_client::wait(std::chrono::milliseconds limit) {
  return connection_->wait(limit);
}
const std::string& websocket_client::message() const { return connection_->message; }
bool websocket_client::is_binary() const { return connection_->is_binary; }
const std::string& websocket_client::close_reason() const { return connection_->close_reason; }
websocket_client::wake websocket_client::sleep(std::chrono::milliseconds time) {
  return connection_->sleep(time);
}
bool websocket_client::is_interrupted() const { return connection_->is_interrupted(); }
void websocket_client::interrupt() { connection_->interrupt(); }
void websocket_client::close() { connection_->close(); }

}  // namespace pgcast
