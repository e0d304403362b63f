#include "daemon/http_exchange.hpp"

#include "daemon/metrics.hpp"
#include "daemon/with_timeout.hpp"
#include "protocol/error_reply.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include <array>

namespace pgcast {
namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::use_awaitable;

http_response answer(const http_request& r, http::status status, const char* type,
                     std::string body) {
  http_response out{status, r.version()};
  out.set(http::field::server, "pgcast");
  out.set(http::field::content_type, type);
  out.set("X-Content-Type-Options", "nosniff");
  out.keep_alive(r.keep_alive());
  out.body() = std::move(body);
  out.prepare_payload();
  if (r.method() == http::verb::head) out.body().clear();
  return out;
}

http_response answer_error(const http_request& r, const refused_request& e) {
  metrics().handshakes_refused[e.why].add();
  return answer(r, e.status, "application/json", error_body({e.code, e.sentence}));
}

http_response answer_problem(const http_request& r, http::status status, std::string_view code,
                             std::string_view title, std::string_view hint) {
  std::string body = R"({"type":"about:blank","status":)" +
                     std::to_string(static_cast<unsigned>(status)) + R"(,"code":)" +
                     json_quote(code) + R"(,"title":)" + json_quote(title) + R"(,"hint":)" +
                     json_quote(hint) + "}";
  return answer(r, status, "application/problem+json", std::move(body));
}

http_response answer_problem(const http_request& r, const api_problem& p) {
  return answer_problem(r, static_cast<http::status>(p.status), p.code, p.title, p.hint);
}

http_response answer_no_content(const http_request& r) {
  auto reply = answer(r, http::status::no_content, "", "");
  reply.erase(http::field::content_type);
  reply.erase(http::field::content_length);
  return reply;
}

http_response with_cors(const http_request& r, http_response reply, const char* methods) {
  reply.set(http::field::access_control_allow_origin, "*");
  if (r.method() != http::verb::options) return reply;
  const auto asked = r[http::field::access_control_request_headers];
  reply.set(http::field::access_control_allow_methods, methods);
  reply.set(
      http::field::access_control_allow_headers,
      asked.empty() ? "authorization, apikey, x-client-info, x-api-key, content-type" : asked);
  reply.set(http::field::access_control_max_age, "86400");
  return reply;
}

asio::awaitable<bool> http_exchange::in_time(asio::awaitable<void> operation) {
  const auto cancel = [this] { socket_.cancel(); };
  const bool is_in_time = co_await with_timeout(std::move(operation), timeout_, cancel);
  if (!is_in_time) failed_ = asio::error::timed_out;
  co_return is_in_time;
}

asio::awaitable<bool> http_exchange::read_header() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(header_bytes_));
  parser_->body_limit(boost::none);  // who reads the body says how much
  const bool is_read = co_await in_time(receive_header());
  // A connection that was kept, or opened ahead, and has said nothing refuses nothing.
  if (!is_read && buffer_.size() > 0) metrics().handshakes_refused[refusal::timeout].add();
  if (failed_ == http::error::header_limit) {
    failed_ = {};
    metrics().handshakes_refused[refusal::too_large].add();
    auto reply = answer({}, http::status::request_header_fields_too_large, "text/plain",
                        "the request is too large");
    reply.keep_alive(false);
    co_await write(std::move(reply));
    co_return false;
  }
  co_return is_read && !failed_;
}

std::optional<std::size_t> http_exchange::body_length() const {
  if (parser_->chunked()) return std::nullopt;
  return static_cast<std::size_t>(parser_->content_length().value_or(0));
}

asio::awaitable<http_exchange::body> http_exchange::read_body(std::size_t limit) {
  if (body_length().value_or(0) > limit) co_return body::too_large;
  parser_->body_limit(limit);
  if (!parser_->is_done() &&
      boost::beast::iequals(request()[http::field::expect], "100-continue")) {
    std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await write_text(std::move(go_on));
  }
  if (failed_) co_return body::lost;
  co_await in_time(receive_body());
  if (failed_ == http::error::body_limit) {
    failed_ = {};
    co_return body::too_large;
  }
  co_return failed_ ? body::lost : body::complete;
}

asio::awaitable<void> http_exchange::write(http_response reply) {
  const bool is_whole = parser_->is_done();
  if (!is_whole) reply.keep_alive(false);
  is_last_ = !reply.keep_alive();
  reply_ = std::move(reply);
  co_await in_time(send_reply());
  if (!is_whole && !failed_) co_await in_time(drop_rest());
}

asio::awaitable<void> http_exchange::write_text(std::string text) {
  text_ = std::move(text);
  co_await in_time(send_text());
}

std::string http_exchange::early_bytes() const {
  const auto data = buffer_.data();
  return {static_cast<const char*>(data.data()), data.size()};
}

asio::awaitable<void> http_exchange::receive_header() {
  co_await http::async_read_header(socket_, buffer_, *parser_,
                                   asio::redirect_error(use_awaitable, failed_));
}

asio::awaitable<void> http_exchange::receive_body() {
  co_await http::async_read(socket_, buffer_, *parser_,
                            asio::redirect_error(use_awaitable, failed_));
}

asio::awaitable<void> http_exchange::send_reply() {
  co_await http::async_write(socket_, reply_, asio::redirect_error(use_awaitable, failed_));
}

asio::awaitable<void> http_exchange::send_text() {
  const auto bytes = asio::buffer(text_);
  co_await asio::async_write(socket_, bytes, asio::redirect_error(use_awaitable, failed_));
}

/// Takes what still comes, until the peer has read the answer and closes: a socket that is closed
/// with unread bytes resets the connection, and the answer is lost.
asio::awaitable<void> http_exchange::drop_rest() {
  boost::system::error_code ended;
  socket_.shutdown(asio::socket_base::shutdown_send, ended);
  std::array<char, 16 * 1024> dropped;
  const auto space = asio::buffer(dropped);
  while (!ended) {
    co_await socket_.async_read_some(space, asio::redirect_error(use_awaitable, ended));
  }
}

}  // namespace pgcast
