#pragma once

#include "daemon/client_address.hpp"
#include "daemon/client_socket.hpp"
#include "daemon/handshake.hpp"
#include "protocol/api_request.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pgcast {

using http_response = boost::beast::http::response<boost::beast::http::string_body>;

http_response answer(const http_request& r, boost::beast::http::status status, const char* type,
                     std::string body);
/// error_body(), counted as a refused handshake.
http_response answer_error(const http_request& r, const refused_request& e);
/// RFC 9457, with a stable code and a hint.
http_response answer_problem(const http_request& r, boost::beast::http::status status,
                             std::string_view code, std::string_view title, std::string_view hint);

http_response answer_problem(const http_request& r, const api_problem& p);

/// 204.
http_response answer_no_content(const http_request& r);
/// Lets pages of any origin read the answer: a token in a header is what protects it. To a
/// preflight it says which methods there are.
http_response with_cors(const http_request& r, http_response reply, const char* methods);

/// The requests of one connection before it is a WebSocket client, one after the other: first the
/// header is read, and who has looked at it says how long the body may be.
class http_exchange {
 public:
  using milliseconds = std::chrono::milliseconds;
  http_exchange(client_socket::stream socket, milliseconds timeout, std::size_t header_bytes)
      : socket_(std::move(socket)), timeout_(timeout), header_bytes_(header_bytes) {}

  /// The next request's header. False when nothing more is to be answered.
  boost::asio::awaitable<bool> read_header();
  /// Bytes that the body will have; nullopt: it comes in chunks.
  std::optional<std::size_t> body_length() const;
  enum class body { complete, too_large, lost };
  /// The rest of that request. Who has said `Expect: 100-continue` is told to go on.
  boost::asio::awaitable<body> read_body(std::size_t limit);
  /// Answers; where the request was not read to its end, or it says so, the connection ends then.
  boost::asio::awaitable<void> write(http_response reply);
  boost::asio::awaitable<void> write_text(std::string text);

  const http_request& request() const { return parser_->get(); }
  std::string take_body() { return std::move(parser_->get().body()); }
  /// False: the connection is at its end.
  bool goes_on() const { return !failed_ && !is_last_; }
  client_socket::stream take_socket() { return std::move(socket_); }
  /// Its socket is somebody else's now.
  void stop() { is_last_ = true; }
  std::string early_bytes() const;
  /// nullopt: it came by a Unix socket.
  std::optional<boost::asio::ip::address> peer() const { return peer_of(socket_); }

 private:
  boost::asio::awaitable<bool> in_time(boost::asio::awaitable<void> operation);
  boost::asio::awaitable<void> receive_header();
  boost::asio::awaitable<void> receive_body();
  boost::asio::awaitable<void> send_reply();
  boost::asio::awaitable<void> send_text();
  boost::asio::awaitable<void> drop_rest();

  client_socket::stream socket_;
  milliseconds timeout_;
  std::size_t header_bytes_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  http_response reply_;
  std::string text_;
  boost::system::error_code failed_;
  bool is_last_ = false;
};

}  // namespace pgcast
