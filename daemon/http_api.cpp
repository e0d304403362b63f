#include "daemon/http_api.hpp"

#include "daemon/embedded.hpp"
#include "daemon/http_encoding.hpp"
#include "daemon/http_events.hpp"
#include "daemon/http_operations.hpp"
#include "daemon/metrics.hpp"

#include <boost/beast/core/string.hpp>

#include <span>

namespace pgcast {
namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace {

constexpr std::size_t k_prefix_segments = 2;  // /api/v1

/// What every answer of the API says about itself.
http_response as_api(const http_request& r, http_response reply) {
  reply = with_cors(r, std::move(reply), "GET, HEAD, POST, OPTIONS");
  reply.set(http::field::access_control_expose_headers, "ETag");
  reply.set(http::field::vary, "Authorization, Accept-Encoding, Origin");
  if (reply.find(http::field::cache_control) == reply.end()) {
    reply.set(http::field::cache_control, "private, no-cache");
  }
  return reply;
}

/// Counted.
http_response refuse(const http_request& r, const api_problem& p) {
  const bool is_of_client = p.status < 500;
  metrics().api_requests[is_of_client ? api_outcome::refused : api_outcome::unavailable].add();
  auto reply = answer_problem(r, p);
  if (p.status == 503) reply.set(http::field::retry_after, "1");
  return as_api(r, std::move(reply));
}

http_response answer_document(const http_request& r) {
  for (const auto& file : api_files) {
    if (file.name != "openapi.json") continue;
    metrics().api_requests[api_outcome::ok].add();
    return as_api(r, encode_answer(r, "application/json", std::string{file.bytes}, file.bytes));
  }
  return refuse(r, not_found());
}

http_response answer_unauthorized(const http_request& r, const refused_request& e) {
  metrics().handshakes_refused[e.why].add();
  auto reply =
      refuse(r, {401, "unauthorized", e.sentence, "send a token as Authorization: Bearer"});
  reply.set(http::field::www_authenticate, "Bearer");
  return reply;
}

http_response answer_wrong_method(const http_request& r, const char* allowed) {
  auto reply = refuse(r, {405, "method_not_allowed", std::string{"answered here: "} + allowed,
                          "compare it with /api/v1/openapi.json"});
  reply.set(http::field::allow, allowed);
  return reply;
}

http_response answer_foreign(const http_request& r, const refused_request& e) {
  metrics().handshakes_refused[e.why].add();
  return refuse(
      r, {403, "origin_refused", e.sentence, "add the page's origin to server.allowed_origins"});
}

http_response answer_ticket(const http_request& r, std::string ticket) {
  metrics().api_requests[api_outcome::ok].add();
  auto reply = answer(r, http::status::created, "application/json", std::move(ticket));
  reply.set(http::field::cache_control, "no-store");
  return as_api(r, std::move(reply));
}

/// The state of a moment: nobody keeps it.
http_response answer_moment(const http_request& r, std::string body) {
  metrics().api_requests[api_outcome::ok].add();
  auto reply = encode_moment(r, "application/json", std::move(body));
  reply.set(http::field::cache_control, "no-store");
  return as_api(r, std::move(reply));
}

}  // namespace

bool is_api_path(const request_target& t) {
  return t.segments.size() >= k_prefix_segments && t.segments[0] == "api" && t.segments[1] == "v1";
}

asio::awaitable<http_response> answer_api(shard_services& services, const http_request& r,
                                          const request_target& target) {
  if (r.method() == http::verb::options) {
    co_return as_api(r, answer_no_content(r));
  }
  const auto path = std::span{target.segments}.subspan(k_prefix_segments);
  const auto request = parse_api_request(path, target.query);
  const bool is_document = path.size() == 1 && path[0] == "openapi.json";
  const bool is_ticket = path.size() == 1 && path[0] == "tickets";
  const auto operation = parse_operations_request(path);
  const bool is_posted =
      is_ticket || (operation && operation->wanted == operations_request::kind::token);
  const bool is_read = r.method() == http::verb::get || r.method() == http::verb::head;
  if (is_posted && r.method() != http::verb::post) {
    co_return answer_wrong_method(r, "POST, OPTIONS");
  }
  const bool is_there =
      is_document || (operation && !is_posted) || request || request.error().status != 404;
  if (is_there && !is_read) co_return answer_wrong_method(r, "GET, HEAD, OPTIONS");
  if (is_document) co_return answer_document(r);
  const auto& settings = services.settings;
  if (settings.mode == auth_mode::off) {  // no token protects from foreign pages
    if (const auto refused = check_origin(r, settings)) co_return answer_foreign(r, *refused);
  }
  const auto now = std::chrono::system_clock::now();
  const auto who = identify(r, target, settings, now);
  if (!who) co_return answer_unauthorized(r, who.error());
  if (is_ticket) co_return answer_ticket(r, make_ticket(token_of(r, target), settings, now));
  if (operation) {
    auto told = co_await answer_operations(services, *operation, who->role, r.body());
    if (!told) co_return refuse(r, told.error());
    co_return answer_moment(r, *std::move(told));
  }
  if (!request) co_return refuse(r, request.error());
  const auto viewer = services.policies.class_of(who->role, who->class_key);
  api_request wanted = *request;
  auto found = co_await services.snapshot_api.read(std::move(wanted), viewer);
  if (!found) co_return refuse(r, found.error());
  metrics().api_requests[api_outcome::ok].add();
  std::string body = R"({"cursor":")" + found->cursor + R"(",)" + found->members + "}";
  co_return as_api(r, encode_answer(r, "application/json", std::move(body), found->members));
}

}  // namespace pgcast
