#include "daemon/http.hpp"

#include "daemon/http_api.hpp"
#include "daemon/http_broadcast.hpp"
#include "daemon/http_console.hpp"
#include "daemon/http_events.hpp"
#include "daemon/http_exchange.hpp"
#include "daemon/metrics.hpp"

namespace pgcast {
namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace {

constexpr std::size_t k_body_bytes = 64 * 1024;  // of requests that have no use for one
constexpr std::chrono::milliseconds k_admin_timeout{10'000};

bool is_websocket_path(std::string_view path) {
  return path == "/realtime/v1/websocket" || path == "/socket/websocket";
}

/// A token whose key is not known yet waits until it has been looked for.
asio::awaitable<void> find_key(shard_services& services, const http_request& r,
                               const request_target& target) {
  if (services.settings.mode == auth_mode::off) co_return;
  auto kid = unknown_key_of(token_of(r, target), services.settings.tokens);
  if (kid) co_await services.keys.look_for(std::move(*kid));
}

http_response nothing_here(const http_request& r, std::string_view hint) {
  return answer_problem(r, http::status::not_found, "not_found", "there is nothing here", hint);
}

asio::awaitable<http_response> answer_request(shard_services& services, const http_request& r,
                                              const request_target& target) {
  const bool reads = r.method() == http::verb::get || r.method() == http::verb::head;
  if (is_events_path(target) && r.method() == http::verb::options) {
    co_return with_cors(r, answer_no_content(r), "GET, OPTIONS");
  }
  if (is_api_path(target)) co_return co_await answer_api(services, r, target);
  if (reads) {
    if (auto file = console_file(r, target.path)) co_return *std::move(file);
  }
  metrics().handshakes_refused[refusal::path].add();
  co_return nothing_here(r, "see the README for the paths of this service");
}

http_response answer_admin(const http_request& r, const std::function<readiness()>& state) {
  const std::string_view target{r.target().data(), r.target().size()};
  if (target == "/healthz") {
    return answer(r, http::status::ok, "application/json", R"({"status":"ok"})");
  }
  if (target == "/readyz") {
    const auto now = state();
    const auto status = now.is_ready ? http::status::ok : http::status::service_unavailable;
    const std::string reason = now.reason.empty() ? "" : R"(,"reason":)" + json_quote(now.reason);
    return answer(r, status, "application/json",
                  std::string{R"({"status":")"} + (now.is_ready ? "ready" : "not ready") + '"' +
                      reason + "}");
  }
  if (target == "/metrics") {
    return answer(r, http::status::ok, "text/plain; version=0.0.4; charset=utf-8",
                  render_metrics(metrics()));
  }
  return nothing_here(r, "/healthz, /readyz and /metrics are served here");
}

/// False when the request has been refused, or the connection is lost.
asio::awaitable<bool> read_small_body(http_exchange& client) {
  const auto read = co_await client.read_body(k_body_bytes);
  if (read == http_exchange::body::complete) co_return true;
  if (read == http_exchange::body::lost) co_return false;
  metrics().handshakes_refused[refusal::too_large].add();
  auto reply = answer(client.request(), http::status::payload_too_large, "text/plain",
                      "the request is too large");
  co_await client.write(std::move(reply));
  co_return false;
}

asio::awaitable<void> refuse(http_exchange& client, refused_request why) {
  auto reply = answer_error(client.request(), why);
  reply.keep_alive(false);
  co_await client.write(std::move(reply));
}

/// A seat among the clients of its address and of its user, if there is one.
boost::system::result<census::seat, refused_request> find_seat(shard_services& services,
                                                               const http_exchange& client,
                                                               const claims& who) {
  const auto& settings = services.settings;
  std::string address;
  if (const auto peer = client.peer()) {
    const auto forwarded = client.request()["X-Forwarded-For"];
    address = counted_address(
        client_address(*peer, {forwarded.data(), forwarded.size()}, services.proxies));
  }
  const bool is_counted_user =
      settings.mode != auth_mode::off && !who.sub.empty() && who.role != "service_role";
  census::seat seat;
  switch (services.clients.admit(address, is_counted_user ? who.role + ' ' + who.sub : "", seat)) {
    case census::verdict::address_is_full:
      return refused_request{refusal::address, http::status::too_many_requests,
                             "Too many connections from this address", errc::too_many_connections};
    case census::verdict::user_is_full:
      return refused_request{refusal::user, http::status::too_many_requests,
                             "Too many connections of this user", errc::too_many_connections};
    case census::verdict::admitted:
      break;
  }
  return seat;
}

asio::awaitable<void> upgrade(http_exchange& client, upgrade_request checked, census::seat seat,
                              const std::function<void(upgraded_client)>& adopt) {
  std::string switching =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: " +
      checked.accept + "\r\n\r\n";
  co_await client.write_text(std::move(switching));
  if (!client.goes_on()) co_return;
  std::string early = client.early_bytes();
  adopt({client.take_socket(), std::move(checked), std::move(early), std::move(seat)});
}

/// Hands the socket over, or answers why not.
asio::awaitable<void> stream_events(shard_services& services, http_exchange& client,
                                    const request_target& target,
                                    const std::function<void(stream_client)>& adopt) {
  const auto& r = client.request();
  const auto& settings = services.settings;
  const auto now = std::chrono::system_clock::now();
  auto opened = with_opened_ticket(target, settings, now);
  if (opened) {
    co_await find_key(services, r, *opened);
    auto checked = check_events(r, *opened, settings, now);
    if (checked) {
      auto seat = find_seat(services, client, checked->who);
      if (seat) {
        event_stream::refusal_writer refuse = [r](const error& e) { return events_refusal(r, e); };
        adopt({client.take_socket(), *std::move(checked), std::move(refuse), *std::move(seat)});
        client.stop();
        co_return;
      }
      metrics().handshakes_refused[seat.error().why].add();
      checked = problem_of(seat.error());
    }
    opened = checked.error();
  }
  auto reply = answer_problem(r, opened.error());
  reply = with_cors(r, std::move(reply), "GET, OPTIONS");
  co_await client.write(std::move(reply));
}

}  // namespace

asio::awaitable<void> serve_http(shard_services& services, client_socket::stream socket,
                                 http_successors next) {
  const auto& settings = services.settings;
  http_exchange client(std::move(socket), settings.limits.handshake, settings.limits.header_bytes);
  while (client.goes_on()) {
    const bool is_read = co_await client.read_header();
    if (!is_read) co_return;
    const auto& request = client.request();
    const auto target = parse_target({request.target().data(), request.target().size()});
    const auto wrong_host = check_host(request, settings);
    if (!target || wrong_host) {
      refused_request why = wrong_host.value_or(refused_request{
          refusal::malformed, http::status::bad_request, "the request target cannot be read"});
      co_await refuse(client, std::move(why));
      co_return;
    }
    co_await find_key(services, request, *target);
    if (is_broadcast_path(*target)) {
      co_await serve_broadcast(services, client, *target);
      continue;
    }
    const bool has_small_body = co_await read_small_body(client);
    if (!has_small_body) co_return;
    if (is_websocket_path(target->path)) {
      auto checked = check_upgrade(request, *target, settings, std::chrono::system_clock::now());
      if (!checked) {
        co_await refuse(client, checked.error());
        co_return;
      }
      auto seat = find_seat(services, client, checked->who);
      if (!seat) {
        co_await refuse(client, seat.error());
        co_return;
      }
      co_await upgrade(client, *std::move(checked), *std::move(seat), next.upgraded);
      co_return;
    }
    if (is_events_path(*target) && request.method() == http::verb::get) {
      co_await stream_events(services, client, *target, next.streaming);
      if (!client.goes_on()) co_return;
      continue;
    }
    auto reply = co_await answer_request(services, request, *target);
    co_await client.write(std::move(reply));
  }
}

asio::awaitable<void> serve_admin(client_socket::stream socket, std::function<readiness()> state) {
  http_exchange client(std::move(socket), k_admin_timeout, 8 * 1024);
  while (client.goes_on()) {
    const bool is_read = co_await client.read_header();
    if (!is_read) co_return;
    const bool has_small_body = co_await read_small_body(client);
    if (!has_small_body) co_return;
    auto reply = answer_admin(client.request(), state);
    co_await client.write(std::move(reply));
  }
}

}  // namespace pgcast
