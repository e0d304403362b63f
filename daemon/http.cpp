#include "daemon/http.hpp"

#include "daemon/embedded.hpp"
#include "daemon/metrics.hpp"
#include "daemon/with_timeout.hpp"
#include "protocol/error_reply.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>

namespace pgcast {
namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace {

using http_response = http::response<http::string_body>;
using asio::use_awaitable;

constexpr std::uint64_t k_body_bytes = 64 * 1024;
constexpr std::chrono::milliseconds k_admin_timeout{10'000};
constexpr const char* k_content_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' data:; media-src 'self' https:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

struct media_type {
  std::string_view ending;
  const char* type;
};
constexpr std::array k_media_types{
    media_type{".html", "text/html; charset=utf-8"},
    media_type{".js", "text/javascript"},
    media_type{".mjs", "text/javascript"},
    media_type{".css", "text/css"},
    media_type{".svg", "image/svg+xml"},
    media_type{".json", "application/json"},
};

const char* media_type_of(std::string_view name) {
  for (const auto& m : k_media_types) {
    if (name.ends_with(m.ending)) return m.type;
  }
  return "text/plain; charset=utf-8";
}

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

/// RFC 9457, with a stable code and a hint.
http_response answer_problem(const http_request& r, http::status status, std::string_view code,
                             std::string_view title, std::string_view hint) {
  std::string body = R"({"type":"about:blank","status":)" +
                     std::to_string(static_cast<unsigned>(status)) + R"(,"code":)" +
                     json_quote(code) + R"(,"title":)" + json_quote(title) + R"(,"hint":)" +
                     json_quote(hint) + "}";
  return answer(r, status, "application/problem+json", std::move(body));
}

std::optional<http_response> console_file(const http_request& r, std::string_view path) {
  std::string_view name = path == "/" ? "index.html" : path;
  if (name.starts_with("/console/")) name.remove_prefix(9);
  for (const auto& file : console_files) {
    if (file.name != name) continue;
    auto out = answer(r, http::status::ok, media_type_of(name), std::string{file.bytes});
    out.set("Content-Security-Policy", k_content_policy);
    out.set("Referrer-Policy", "no-referrer");
    out.set(http::field::cache_control, "no-cache");
    return out;
  }
  return std::nullopt;
}

/// One connection before it is a WebSocket client.
class http_client {
 public:
  http_client(client_socket::stream socket, std::chrono::milliseconds timeout,
              std::size_t header_bytes)
      : socket_(std::move(socket)), timeout_(timeout), header_bytes_(header_bytes) {}

  /// False when nothing more is to be answered.
  asio::awaitable<bool> read() {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(header_bytes_));
    parser_->body_limit(k_body_bytes);
    const auto cancel = [this] { socket_.cancel(); };
    const bool in_time = co_await with_timeout(read_request(), timeout_, cancel);
    if (!in_time) metrics().handshakes_refused[refusal::timeout].add();
    if (failed_ == http::error::header_limit || failed_ == http::error::body_limit) {
      metrics().handshakes_refused[refusal::too_large].add();
      auto reply = answer({}, http::status::request_header_fields_too_large, "text/plain",
                          "the request is too large");
      reply.keep_alive(false);
      co_await write(std::move(reply));
      co_return false;
    }
    co_return in_time && !failed_;
  }

  asio::awaitable<void> write(http_response reply) {
    reply_ = std::move(reply);
    const auto cancel = [this] { socket_.cancel(); };
    const bool in_time = co_await with_timeout(write_reply(), timeout_, cancel);
    if (!in_time) failed_ = boost::asio::error::timed_out;
  }

  asio::awaitable<void> write_text(std::string text) {
    text_ = std::move(text);
    const auto cancel = [this] { socket_.cancel(); };
    const bool in_time = co_await with_timeout(write_raw(), timeout_, cancel);
    if (!in_time) failed_ = boost::asio::error::timed_out;
  }

  const http_request& request() const { return parser_->get(); }
  bool has_failed() const { return static_cast<bool>(failed_); }
  client_socket::stream take_socket() { return std::move(socket_); }
  std::string early_bytes() const {
    const auto data = buffer_.data();
    return {static_cast<const char*>(data.data()), data.size()};
  }

 private:
  asio::awaitable<void> read_request() {
    co_await http::async_read(socket_, buffer_, *parser_,
                              asio::redirect_error(use_awaitable, failed_));
  }
  asio::awaitable<void> write_reply() {
    co_await http::async_write(socket_, reply_, asio::redirect_error(use_awaitable, failed_));
  }
  asio::awaitable<void> write_raw() {
    const auto bytes = asio::buffer(text_);
    co_await asio::async_write(socket_, bytes, asio::redirect_error(use_awaitable, failed_));
  }

  client_socket::stream socket_;
  std::chrono::milliseconds timeout_;
  std::size_t header_bytes_;
  boost::beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  http_response reply_;
  std::string text_;
  boost::system::error_code failed_;
};

bool is_websocket_path(std::string_view path) {
  return path == "/realtime/v1/websocket" || path == "/socket/websocket";
}

asio::awaitable<http_response> list_campaigns(shard_services& services, const http_request& r,
                                              const request_target& target) {
  auto who = identify(r, target, services.settings, std::chrono::system_clock::now());
  if (!who) {
    co_return answer_problem(r, http::status::unauthorized, "unauthorized", who.error().sentence,
                             "send a token as Authorization: Bearer");
  }
  const auto viewer = services.policies.class_of(who->role, who->class_key);
  auto list = co_await services.snapshots.list_campaigns(viewer);
  if (!list) {
    spdlog::warn("listing campaigns failed: {}", list.error().detail);
    co_return answer_problem(r, http::status::service_unavailable, "source_unavailable",
                             "the database cannot answer now", "try again in a moment");
  }
  auto reply = answer(r, http::status::ok, "application/json", *std::move(list));
  reply.set(http::field::cache_control, "no-store");
  co_return reply;
}

asio::awaitable<http_response> answer_request(shard_services& services, const http_request& r,
                                              const request_target& target) {
  const bool reads = r.method() == http::verb::get || r.method() == http::verb::head;
  if (reads && target.path == "/api/v1/campaigns") {
    co_return co_await list_campaigns(services, r, target);
  }
  if (reads) {
    if (auto file = console_file(r, target.path)) co_return *std::move(file);
  }
  metrics().handshakes_refused[refusal::path].add();
  co_return answer_problem(r, http::status::not_found, "not_found", "there is nothing here",
                           "see the README for the paths of this service");
}

}  // namespace

asio::awaitable<void> serve_http(shard_services& services, client_socket::stream socket,
                                 std::function<void(upgraded_client)> adopt) {
  const auto& settings = services.settings;
  http_client client(std::move(socket), settings.limits.handshake, settings.limits.header_bytes);
  for (;;) {
    const bool is_read = co_await client.read();
    if (!is_read) co_return;
    const auto& request = client.request();
    auto target = parse_target({request.target().data(), request.target().size()});
    const auto wrong_host = check_host(request, settings);
    if (!target || wrong_host) {
      const refused_request refused = wrong_host.value_or(refused_request{
          refusal::malformed, http::status::bad_request, "the request target cannot be read"});
      co_await client.write(answer_error(request, refused));
      co_return;
    }
    if (is_websocket_path(target->path)) {
      auto upgrade = check_upgrade(request, *target, settings, std::chrono::system_clock::now());
      if (!upgrade) {
        auto reply = answer_error(request, upgrade.error());
        reply.keep_alive(false);
        co_await client.write(std::move(reply));
        co_return;
      }
      std::string switching =
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Accept: " +
          upgrade->accept + "\r\n\r\n";
      co_await client.write_text(std::move(switching));
      if (client.has_failed()) co_return;
      std::string early = client.early_bytes();
      adopt({client.take_socket(), *std::move(upgrade), std::move(early)});
      co_return;
    }
    auto reply = co_await answer_request(services, request, *target);
    const bool stays = reply.keep_alive();
    co_await client.write(std::move(reply));
    if (!stays || client.has_failed()) co_return;
  }
}

asio::awaitable<void> serve_admin(client_socket::stream socket, std::function<readiness()> state) {
  http_client client(std::move(socket), k_admin_timeout, 8 * 1024);
  for (;;) {
    const bool is_read = co_await client.read();
    if (!is_read) co_return;
    const auto& request = client.request();
    const std::string_view target{request.target().data(), request.target().size()};
    http_response reply;
    if (target == "/healthz") {
      reply = answer(request, http::status::ok, "application/json", R"({"status":"ok"})");
    } else if (target == "/readyz") {
      const auto now = state();
      const auto status = now.is_ready ? http::status::ok : http::status::service_unavailable;
      const std::string reason = now.reason.empty() ? "" : R"(,"reason":)" + json_quote(now.reason);
      reply = answer(request, status, "application/json",
                     std::string{R"({"status":")"} + (now.is_ready ? "ready" : "not ready") + '"' +
                         reason + "}");
    } else if (target == "/metrics") {
      reply = answer(request, http::status::ok, "text/plain; version=0.0.4; charset=utf-8",
                     render_metrics(metrics()));
    } else {
      reply = answer_problem(request, http::status::not_found, "not_found", "there is nothing here",
                             "/healthz, /readyz and /metrics are served here");
    }
    const bool stays = reply.keep_alive();
    co_await client.write(std::move(reply));
    if (!stays || client.has_failed()) co_return;
  }
}

}  // namespace pgcast
