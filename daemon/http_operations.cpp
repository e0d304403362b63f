#include "daemon/http_operations.hpp"

#include "protocol/json_document.hpp"
#include "protocol/token_report.hpp"

#include <charconv>
#include <chrono>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::string_view k_role = "service_role";

/// 0 for what is no id of an event.
std::uint64_t event_id_of(std::string_view text) {
  std::uint64_t id = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), id);
  return failed == std::errc{} && end == text.data() + text.size() ? id : 0;
}

/// The member `token` of a JSON object.
std::optional<std::string> token_in(std::string_view body) {
  json_document document(body);
  if (!document.is_valid()) return std::nullopt;
  std::optional<std::string> token;
  for_each_member(document.root(), [&](std::string_view key, json_value value) {
    if (key == "token") token = string_of(value);
  });
  return token;
}

api_problem not_for_you() {
  return {403, "unauthorized", "operations are shown to service_role alone",
          "send a token whose role is service_role"};
}

api_problem no_token_in_body() {
  return {400, "body_invalid", "the body is no JSON object with the text member token",
          "send {\"token\": \"<the token>\"}"};
}

/// A token whose key is not known yet waits until it has been looked for, as at a join.
asio::awaitable<api_result<std::string>> explain(shard_services& services, std::string body) {
  const auto token = token_in(body);
  if (!token) co_return no_token_in_body();
  const auto& rules = services.settings.tokens;
  auto kid = unknown_key_of(*token, rules);
  if (kid) co_await services.keys.look_for(std::move(*kid));
  co_return explain_token(*token, rules, std::chrono::system_clock::now());
}

}  // namespace

std::optional<operations_request> parse_operations_request(std::span<const std::string> path) {
  using kind = operations_request::kind;
  if (path.empty() || path[0] != "operations") return std::nullopt;
  if (path.size() == 1) return operations_request{kind::report, 0};
  if (path.size() == 2 && path[1] == "token") return operations_request{kind::token, 0};
  if (path.size() != 3 || path[1] != "events") return std::nullopt;
  return operations_request{kind::event, event_id_of(path[2])};
}

asio::awaitable<api_result<std::string>> answer_operations(shard_services& services,
                                                           operations_request r, std::string role,
                                                           std::string body) {
  const bool is_open = services.settings.mode == auth_mode::off;
  if (!is_open && role != k_role) co_return not_for_you();
  if (r.wanted == operations_request::kind::token) {
    auto explained = co_await explain(services, std::move(body));
    co_return explained;
  }
  if (r.wanted == operations_request::kind::report) {
    auto asked = services.report_operations();
    auto text = co_await std::move(asked);
    co_return text;
  }
  auto asked = services.follow_event(r.event_id);
  auto text = co_await std::move(asked);
  if (text.empty()) co_return not_found();
  co_return text;
}

}  // namespace pgcast
