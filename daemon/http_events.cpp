#include "daemon/http_events.hpp"

#include "daemon/random_uuid.hpp"
#include "protocol/error_reply.hpp"
#include "protocol/ticket.hpp"

#include <boost/beast/http/write.hpp>

#include <algorithm>
#include <charconv>
#include <sstream>

namespace pgcast {
namespace http = boost::beast::http;
namespace {

constexpr std::chrono::seconds k_ticket_life{60};

/// Where there are no secrets, only this process can open what it has sealed.
const std::string& own_secret() {
  static const std::string secret = random_uuid() + random_uuid();
  return secret;
}

std::vector<std::string> ticket_secrets(const config& c) {
  return c.tokens.secrets.empty() ? std::vector{own_secret()} : c.tokens.secrets;
}

unsigned status_of(errc code) {
  switch (code) {
    case errc::unauthorized:
    case errc::origin_refused:
      return 403;
    case errc::source_unavailable:
    case errc::not_installed:
      return 503;
    default:
      return 400;
  }
}

api_problem problem_of(const error& e) {
  return {status_of(e.code), text_code(e.code), e.detail, hint_of(e.code)};
}

api_problem no_token(const error& e) { return {401, text_code(e.code), e.detail, hint_of(e.code)}; }

/// The blank behind `phone:` was a plus, which a query makes a blank of.
std::string with_plus(std::string name) {
  constexpr std::string_view k_phone = "phone:";
  if (name.starts_with(k_phone) && name.size() > k_phone.size() && name[k_phone.size()] == ' ') {
    name[k_phone.size()] = '+';
  }
  return name;
}

api_result<std::vector<topic>> topics_of(const request_target& t, const config& c) {
  std::vector<topic> out;
  const bool is_private = t.parameter("private") == "true";
  for (const auto& [name, value] : t.query) {
    if (name != "topic") continue;
    auto one = parse_topic(with_plus(value));
    if (!one) return problem_of(one.error());
    one->is_private = is_private && one->kind == topic_kind::plain;
    const bool is_known = std::any_of(out.begin(), out.end(),
                                      [&](const topic& other) { return other.name == one->name; });
    if (!is_known) out.push_back(*std::move(one));
  }
  if (out.empty()) return problem_of({errc::topic_missing, "name a topic: /events?topic=.."});
  if (out.size() > c.limits.channels) {
    return problem_of({errc::too_many_channels, "more topics than limits.channels"});
  }
  return out;
}

void read_size(const request_target& t, std::string_view name, unsigned& size) {
  const auto text = t.parameter(name);
  unsigned wanted = 0;
  if (!text) return;
  const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), wanted);
  if (failed == std::errc{} && end == text->data() + text->size()) size = std::min(size, wanted);
}

join_request options_of(const http_request& r, const request_target& t) {
  join_request out;
  out.wants_snapshot = t.parameter("snapshot") != "false";
  read_size(t, "messages", out.sizes.messages);
  read_size(t, "calls", out.sizes.calls);
  read_size(t, "sessions", out.sizes.sessions);
  const auto last = r["Last-Event-ID"];
  auto id = t.parameter("last_event_id").value_or("");
  if (!last.empty()) id.assign(last.data(), last.size());
  if (!id.empty()) out.resume_cursor = std::move(id);
  return out;
}

}  // namespace

bool is_events_path(const request_target& t) { return t.path == "/events"; }

api_result<request_target> with_opened_ticket(const request_target& t, const config& c,
                                              wall_time now) {
  const auto ticket = t.parameter("ticket");
  if (!ticket || c.mode == auth_mode::off) return t;
  auto token = open_ticket(*ticket, ticket_secrets(c), now);
  if (!token) return no_token(token.error());
  request_target out = t;
  std::erase_if(out.query, [](const auto& p) { return p.first == "apikey"; });
  out.query.emplace_back("apikey", *std::move(token));
  return out;
}

std::string make_ticket(std::string_view token, const config& c, wall_time now) {
  return R"({"ticket":")" + seal_ticket(token, ticket_secrets(c).front(), now + k_ticket_life) +
         R"(","expires_in":)" + std::to_string(k_ticket_life.count()) + "}";
}

api_result<event_stream_request> check_events(const http_request& r, const request_target& t,
                                              const config& c, wall_time now) {
  if (c.mode == auth_mode::off) {  // no token protects from foreign pages
    if (const auto refused = check_origin(r, c)) {
      return problem_of({refused->code, refused->sentence});
    }
  }
  auto who = identify(r, t, c, now);
  if (!who) return no_token({who.error().code, who.error().sentence});
  auto topics = topics_of(t, c);
  if (!topics) return topics.error();
  return event_stream_request{*std::move(who), *std::move(topics), options_of(r, t)};
}

api_problem problem_of(const refused_request& e) {
  return {static_cast<unsigned>(e.status), text_code(e.code), e.sentence, hint_of(e.code)};
}

std::string events_head() {
  return "HTTP/1.1 200 OK\r\nServer: pgcast\r\nContent-Type: text/event-stream\r\n"
         "Cache-Control: no-store\r\nConnection: close\r\nX-Accel-Buffering: no\r\n"
         "X-Content-Type-Options: nosniff\r\nAccess-Control-Allow-Origin: *\r\n\r\n"
         "retry: 2000\n\n";
}

std::string events_refusal(const http_request& r, const error& e) {
  auto reply = answer_problem(r, problem_of(e));
  reply = with_cors(r, std::move(reply), "GET, OPTIONS");
  reply.keep_alive(false);
  std::ostringstream out;
  out << reply;
  return out.str();
}

}  // namespace pgcast
