#include "daemon/http_api.hpp"

#include <spdlog/spdlog.h>

namespace pgcast {
namespace asio = boost::asio;
namespace http = boost::beast::http;

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

}  // namespace pgcast
