#include "daemon/http_broadcast.hpp"

#include "daemon/metrics.hpp"
#include "daemon/random_uuid.hpp"
#include "protocol/broadcast_request.hpp"
#include "protocol/error_reply.hpp"

#include <boost/beast/core/string.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <span>

namespace pgcast {
namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace {

/// Path segments behind the API's own: none of a batch, {topic, "events", event} of one message.
std::optional<std::span<const std::string>> rest_of(const request_target& t) {
  const std::span<const std::string> path{t.segments};
  const std::size_t skip = t.path.starts_with("/realtime/v1/") ? 2 : 0;
  if (path.size() < skip + 2 || path[skip] != "api" || path[skip + 1] != "broadcast") {
    return std::nullopt;
  }
  return path.subspan(skip + 2);
}

constexpr const char* k_methods = "POST, OPTIONS";

http_response answer_empty(const http_request& r, http::status status) {
  if (status == http::status::no_content) return with_cors(r, answer_no_content(r), k_methods);
  auto reply = answer(r, status, "", "");
  reply.erase(http::field::content_type);
  return with_cors(r, std::move(reply), k_methods);
}

http_response answer_message(const http_request& r, http::status status, const error& e,
                             std::string_view more = "") {
  std::string body = R"({"message":)" + json_quote(e.detail);
  body.append(R"(,"code":)").append(json_quote(text_code(e.code)));
  body.append(R"(,"hint":)").append(json_quote(hint_of(e.code)));
  body.append(more).append("}");
  return with_cors(r, answer(r, status, "application/json", std::move(body)), k_methods);
}

http_response answer_refused(const http_request& r, const refused_broadcast& e) {
  metrics().reserved_events_refused.add(e.reserved_events);
  return answer_message(r, http::status::unprocessable_entity, {e.code, e.sentence},
                        R"(,"errors":)" + e.errors);
}

http_response answer_too_large(const http_request& r, std::size_t most) {
  return answer_message(
      r, http::status::payload_too_large,
      {errc::payload_too_large, "the body is longer than " + std::to_string(most) + " bytes"});
}

http_response answer_unauthorized(const http_request& r, const refused_request& e) {
  metrics().handshakes_refused[e.why].add();
  auto reply = with_cors(
      r, answer(r, http::status::unauthorized, "application/json", R"({"message":"Unauthorized"})"),
      k_methods);
  reply.set(http::field::www_authenticate,
            R"(Bearer error="invalid_token", error_description=)" + json_quote(e.sentence));
  return reply;
}

/// How the body is written; nullopt: in no way that is understood.
std::optional<payload_encoding> encoding_of(const http_request& r, bool is_single) {
  if (r.find(http::field::content_encoding) != r.end()) return std::nullopt;
  const auto header = r[http::field::content_type];
  std::string_view type{header.data(), header.size()};
  type = type.substr(0, type.find_first_of("; \t"));
  if (boost::beast::iequals(boost::beast::string_view{type.data(), type.size()},
                            "application/json")) {
    return payload_encoding::json;
  }
  const bool is_bytes = boost::beast::iequals(boost::beast::string_view{type.data(), type.size()},
                                              "application/octet-stream");
  if (is_single && is_bytes) return payload_encoding::binary;
  return std::nullopt;
}

/// A part of the memory for bodies, given back at the end.
class body_share {
 public:
  body_share(std::size_t& taken, std::size_t bytes) : taken_(taken), bytes_(bytes) {
    taken_ += bytes_;
  }
  body_share(const body_share&) = delete;
  body_share& operator=(const body_share&) = delete;
  ~body_share() { taken_ -= bytes_; }

 private:
  std::size_t& taken_;
  std::size_t bytes_;
};

single_request to_single(std::string body, const request_target& target,
                         std::span<const std::string> rest, payload_encoding encoding) {
  single_request one;
  one.topic = rest[0];
  one.event = rest[2];
  one.payload = std::move(body);
  one.encoding = encoding;
  one.is_private = target.parameter("private") == "true";
  one.persist = target.parameter("persist");
  one.ttl = target.parameter("persist[ttl]");
  return one;
}

asio::awaitable<result<bool>> may_speak(shard_services& services, topic to,
                                        std::shared_ptr<viewer_class> viewer) {
  if (viewer->sees_everything()) co_return true;
  if (to.kind == topic_kind::plain && !to.is_private) co_return true;
  if (to.is_private) {
    auto rights = co_await services.rights.rights_of(to.name, viewer);
    if (!rights) co_return rights.error();
    co_return rights->write_broadcast;
  }
  const join_request::snapshot_sizes none{0, 0, 0};
  auto taken = co_await services.snapshots.read(std::move(to), viewer, none,
                                                snapshot_content::permission_only);
  if (!taken) co_return taken.error();
  co_return taken->is_allowed;
}

http_response answer_unavailable(const http_request& r, const error& e) {
  const error told = e.code == errc::not_installed
                         ? e
                         : error{errc::source_unavailable, "the database cannot answer now"};
  return answer_message(r, http::status::service_unavailable, told);
}

void publish(shard_services& services, requested_broadcast message) {
  client_broadcast b;
  b.topic = topic_key(message.to);
  b.event = std::move(message.event);
  b.payload = std::move(message.payload);
  b.encoding = message.encoding;
  services.broadcast(std::move(b));
}

/// Keeps it, or only sends it. A batch has none to keep.
asio::awaitable<result<void>> send(shard_services& services, requested_broadcast message) {
  if (message.keep) {
    auto kept = co_await services.store.keep(std::move(message), random_uuid());
    if (!kept) co_return kept.error();
  } else {
    publish(services, std::move(message));
  }
  metrics().broadcasts[broadcast_source::http].add();
  co_return result<void>{};
}

/// All or nothing, but for topics on which the caller may not speak.
asio::awaitable<http_response> send_all(shard_services& services, const http_request& r,
                                        const claims& who,
                                        std::vector<requested_broadcast> messages) {
  const auto viewer = services.policies.class_of(who.role, who.class_key);
  auto& dropped = metrics().broadcasts_dropped;
  std::map<std::string, bool> may;
  for (const auto& m : messages) {
    const auto key = topic_key(m.to);
    if (may.contains(key)) continue;
    auto asked = co_await may_speak(services, m.to, viewer);
    if (!asked) {
      dropped[drop_reason::unavailable].add(messages.size());
      spdlog::warn("a broadcast over HTTP to {} is not sent: {}", m.to.name, asked.error().detail);
      co_return answer_unavailable(r, asked.error());
    }
    may[key] = *asked;
  }
  for (auto& m : messages) {
    if (!may[topic_key(m.to)]) {
      dropped[drop_reason::unauthorized].add();
      continue;
    }
    const std::string name = m.to.name;
    auto sent = co_await send(services, std::move(m));
    if (sent) continue;
    if (sent.error().code == errc::payload_malformed) {
      refused_broadcast refused{errc::payload_malformed, "payload cannot be kept",
                                R"({"payload":["cannot be kept"]})", 0};
      co_return answer_refused(r, refused);
    }
    dropped[drop_reason::unavailable].add();
    spdlog::warn("a broadcast over HTTP to {} is not kept: {}", name, sent.error().detail);
    co_return answer_unavailable(r, sent.error());
  }
  co_return answer_empty(r, http::status::accepted);
}

/// What is wrong with a request as far as its header tells.
std::optional<http_response> refuse_header(const http_request& r, const config& c, bool is_ours) {
  if (!is_ours)
    return answer_message(r, http::status::not_found,
                          {errc::message_malformed, "there is nothing here"});
  if (r.method() == http::verb::options) return answer_empty(r, http::status::no_content);
  if (r.method() != http::verb::post) {
    auto reply = answer_message(r, http::status::method_not_allowed,
                                {errc::message_malformed, "only POST is answered here"});
    reply.set(http::field::allow, "POST, OPTIONS");
    return reply;
  }
  if (c.mode != auth_mode::off) return std::nullopt;
  const auto refused = check_origin(r, c);  // no token protects from foreign pages
  if (!refused) return std::nullopt;
  metrics().handshakes_refused[refused->why].add();
  return answer_message(r, refused->status, {refused->code, refused->sentence});
}

broadcast_result<std::vector<requested_broadcast>> read_messages(std::string body,
                                                                 const request_target& target,
                                                                 std::span<const std::string> rest,
                                                                 payload_encoding encoding,
                                                                 const shard_services& services) {
  const auto& limits = services.settings.limits;
  const broadcast_limits allowed{limits.payload_bytes, limits.batch_messages};
  if (rest.empty()) return parse_batch(body, services.description, allowed);
  auto one = check_single(to_single(std::move(body), target, rest, encoding), services.description,
                          allowed);
  if (!one) return one.error();
  std::vector<requested_broadcast> out;
  out.push_back(*std::move(one));
  return out;
}

asio::awaitable<http_response> answer_broadcast(shard_services& services, http_exchange& client,
                                                const request_target& target) {
  const auto& r = client.request();
  const auto& settings = services.settings;
  const auto& limits = settings.limits;
  const auto rest = *rest_of(target);
  const bool is_single = rest.size() == 3 && rest[1] == "events";
  if (auto refused = refuse_header(r, settings, is_single || rest.empty())) {
    co_return *std::move(refused);
  }
  const auto who = identify(r, target, settings, std::chrono::system_clock::now());
  if (!who) co_return answer_unauthorized(r, who.error());
  const auto encoding = encoding_of(r, is_single);
  if (!encoding) {
    const error what{
        errc::message_malformed,
        is_single ? "send application/json or application/octet-stream" : "send application/json"};
    co_return answer_message(r, http::status::unsupported_media_type, what);
  }
  const std::size_t most = std::max(limits.message_bytes, limits.payload_bytes);
  const std::size_t length = client.body_length().value_or(most);
  if (length > most) co_return answer_too_large(r, most);
  if (services.body_bytes + length > std::max(limits.bodies_bytes / settings.threads, most)) {
    metrics().handshakes_refused[refusal::full].add();
    const error what{errc::source_unavailable, "too many messages arrive at the same time"};
    co_return answer_message(r, http::status::service_unavailable, what);
  }
  const body_share share(services.body_bytes, length);
  const auto read = co_await client.read_body(most);
  if (read == http_exchange::body::too_large) co_return answer_too_large(r, most);
  if (read == http_exchange::body::lost) co_return http_response{};
  auto messages = read_messages(client.take_body(), target, rest, *encoding, services);
  if (!messages) co_return answer_refused(r, messages.error());
  co_return co_await send_all(services, r, *who, *std::move(messages));
}

}  // namespace

bool is_broadcast_path(const request_target& t) { return rest_of(t).has_value(); }

asio::awaitable<void> serve_broadcast(shard_services& services, http_exchange& client,
                                      const request_target& target) {
  auto reply = co_await answer_broadcast(services, client, target);
  if (client.goes_on()) co_await client.write(std::move(reply));
}

}  // namespace pgcast
