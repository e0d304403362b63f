#include "daemon/connection.hpp"
#include "daemon/metrics.hpp"
#include "protocol/error_reply.hpp"
#include "protocol/json_document.hpp"

#include <boost/asio/co_spawn.hpp>

#include <spdlog/spdlog.h>

#include <exception>
#include <string>

// What clients say: join, leave, broadcast, token.

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::string_view k_topic_prefix = "realtime:";

/// What a text broadcast says, {"type":"broadcast","event":..,"payload":..}.
struct said_broadcast {
  std::string event;
  std::string payload = "{}";
};

said_broadcast read_broadcast(const std::string& json) {
  said_broadcast said;
  json_document document(json);
  for_each_member(document.root(), [&](std::string_view key, json_value value) {
    if (key == "event") said.event = string_of(value).value_or("");
    if (key == "payload") said.payload = raw_json(value);
  });
  return said;
}

std::string read_access_token(const std::string& json) {
  std::string token;
  json_document document(json);
  for_each_member(document.root(), [&](std::string_view key, json_value value) {
    if (key == "access_token") token = string_of(value).value_or("");
  });
  return token;
}

/// A token that was accepted within the skew lives for the skew, not for no time at all.
claims with_grace(claims who, wall_time now, std::chrono::seconds skew) {
  if (who.expires_at <= now) who.expires_at += skew;
  return who;
}

/// Clients of the first realtime API name their table in the topic; a room of broadcasts among
/// clients without options looks nearly alike.
bool is_of_first_api(const join_request& request, const topic& name) {
  if (!request.options.empty() || name.kind != topic_kind::plain) return false;
  return request.has_user_token || name.name == "public" || name.name == "*" ||
         name.name.starts_with("public:");
}

error unmatched_topic() { return {errc::topic_not_joined, "unmatched topic"}; }

}  // namespace

void connection::on_client_message(const client_message& m) {
  if (m.topic == "phoenix") {
    if (m.event == "heartbeat") return reply(m, "ok", "{}");
    return reply_error(m, unmatched_topic());
  }
  if (m.event == "phx_join") return on_join(m);
  if (m.event == "phx_leave") return on_leave(m);
  auto* c = find(m.topic);
  if (c == nullptr) return reply_error(m, unmatched_topic());
  if (m.join_ref != "null" && m.join_ref != c->id().join_ref) return;  // of an earlier join
  on_channel_message(*c, m);
}

void connection::on_channel_message(channel& c, const client_message& m) {
  if (m.event == "broadcast") return on_broadcast(c, m);
  if (m.event == "access_token") return on_access_token(c, m);
  if (m.event == "presence") return on_presence(c, m);
  reply_error(m, {errc::event_unknown, "unknown event"});
}

void connection::on_join(const client_message& m) {
  if (!m.topic.starts_with(k_topic_prefix)) return reply_error(m, unmatched_topic());
  if (has_rates()) join_pace_.take(clock::now(), services_.settings.limits.join_rate);
  auto request = parse_join(m.payload);
  if (!request) request = join_request{};
  if (waits_for_key(request->access_token, m)) return;
  auto name = parse_topic(std::string_view{m.topic}.substr(k_topic_prefix.size()));
  if (!name) {
    metrics().joins[join_outcome::malformed].add();
    return reply_error(m, name.error());
  }
  if (auto* old = find(m.topic)) {
    if (!old->is_joined()) hold_place(*old);  // it comes again because it was not answered in time
    old->push_end("phx_close", "{}");
    remove(*old, departure::dropped);
  }
  if (channels_.size() >= services_.settings.limits.channels) {
    metrics().joins[join_outcome::limit].add();
    return reply_error(m, {errc::too_many_channels, "Too many channels"});
  }
  name->is_private = request->is_private && name->kind == topic_kind::plain;
  if (request->wants_replay) {
    const bool is_public = name->kind == topic_kind::plain && !name->is_private;
    if (is_public || !request->replay) {
      metrics().joins[join_outcome::malformed].add();
      return reply_error(
          m, {errc::replay_refused, is_public ? "Replay is not allowed for public channels"
                                              : "Replay params are not valid"});
    }
  }
  auto bindings = parse_bindings(request->postgres_changes);
  if (!bindings) {
    metrics().joins[join_outcome::malformed].add();
    return reply_error(m, bindings.error());
  }
  if (is_of_first_api(*request, *name)) bindings->push_back(binding_of_topic(name->name));
  const auto now = std::chrono::system_clock::now();
  const auto skew = services_.settings.tokens.skew;
  claims who = who_;
  if (!request->access_token.empty() && services_.settings.mode == auth_mode::rls) {
    auto verified = verify_token(request->access_token, services_.settings.tokens, now);
    if (!verified) {
      metrics().joins[join_outcome::unauthorized].add();
      return reply_error(m, verified.error());
    }
    who = with_grace(*std::move(verified), now, skew);
  }
  if (who.expires_at <= now) {
    metrics().joins[join_outcome::unauthorized].add();
    return reply_error(m, {errc::token_expired, "Token has expired"});
  }
  channel::identity id{*std::move(name), m.topic, m.join_ref};
  if (id.join_ref == "null") id.join_ref = m.ref;
  open_channel(std::move(id), std::move(who), *std::move(request), *std::move(bindings), m.ref);
}

void connection::on_leave(const client_message& m) {
  auto* c = find(m.topic);
  if (c != nullptr && m.join_ref != "null" && m.join_ref != c->id().join_ref) return;
  reply(m, "ok", "{}");
  if (c == nullptr) return;
  if (!c->is_joined()) hold_place(*c);
  c->push_end("phx_close", "{}");
  remove(*c, departure::left);
}

void connection::on_broadcast(channel& c, const client_message& m) {
  client_broadcast b;
  b.topic = topic_key(c.id().name);
  if (m.is_push) {
    b.event = m.user_event;
    b.payload = m.payload;
    b.encoding = m.encoding;
  } else {
    auto said = read_broadcast(m.payload);
    b.event = std::move(said.event);
    b.payload = std::move(said.payload);
  }
  if (services_.description.reserves(c.id().name, b.event)) {
    metrics().reserved_events_refused.add();
    return reply_error(
        m, {errc::reserved_event, "only the server sends \"" + b.event + "\" on this topic"});
  }
  if (!c.is_joined()) return;
  const bool wants_ack = c.wants_broadcast_acks();
  if (b.payload.size() > services_.settings.limits.payload_bytes) {
    metrics().broadcasts_dropped[drop_reason::too_large].add();
    return reply(m, "error", R"({"error":"payload_size_exceeded"})");
  }
  if (!c.rights().write_broadcast) {  // not told, as with Supabase Realtime
    return metrics().broadcasts_dropped[drop_reason::unauthorized].add();
  }
  const auto keep = parse_push_metadata(m.metadata);
  if (!keep) return reply_error(m, keep.error());
  metrics().broadcasts[broadcast_source::client].add();
  const auto& name = c.id().name;
  if (*keep && (name.is_private || name.kind != topic_kind::plain)) {
    return c.keep({name, std::move(b.event), std::move(b.payload), b.encoding, *keep}, m.ref,
                  running_joins_);
  }
  if (!c.wants_own_broadcasts()) b.sender = c.listener();
  services_.broadcast(std::move(b));
  if (wants_ack) reply(m, "ok", "{}");
}

void connection::on_presence(channel& c, const client_message& m) {
  if (!c.is_joined())
    return reply_error(m, {errc::topic_not_joined, "the channel is not joined yet"});
  auto request = parse_presence(m.payload);
  if (!request) return reply_error(m, request.error());
  const bool is_free = c.who().role == "service_role" || services_.settings.mode == auth_mode::off;
  auto changed = c.change_presence(*std::move(request), is_free ? nullptr : &presence_pace_);
  if (!changed) return reply_error(m, changed.error());
  reply(m, "ok", "{}");
  c.refresh_presence();
}

void connection::on_access_token(channel& c, const client_message& m) {
  const auto token = read_access_token(m.payload);
  if (token.empty() || token.starts_with("sb_")) return;
  if (services_.settings.mode == auth_mode::off || waits_for_key(token, m)) return;
  const auto& tokens = services_.settings.tokens;
  const auto now = std::chrono::system_clock::now();
  auto verified = verify_token(token, tokens, now);
  if (verified) return c.renew(with_grace(*std::move(verified), now, tokens.skew));
  c.tell({"system", "error", "", verified.error().detail});
  c.push_end("phx_error", "{}");
  remove(c, departure::left);
}

/// Why a join has the rights of the connection, where those are nobody's own: row-level security
/// then shows less than an app may expect. The key of a back end is used as it is meant to be.
std::optional<std::string> connection::fallback_of(const join_request& request,
                                                   const claims& who) const {
  const bool is_somebody = !who.sub.empty() || who.role == "service_role";
  if (is_somebody || services_.settings.mode == auth_mode::off) return std::nullopt;
  if (request.access_token.empty()) return "the join carried no access_token";
  if (who.json != who_.json) return std::nullopt;
  return "the join carried the connection's key as access_token";
}

/// True if the key of the token must be looked for first: `m` is handled again when that is done,
/// and nothing that the client says meanwhile overtakes it.
bool connection::waits_for_key(std::string_view token, const client_message& m) {
  if (is_key_wanted_ || services_.settings.mode == auth_mode::off) return false;
  auto kid = unknown_key_of(token, services_.settings.tokens);
  if (!kid) return false;
  is_key_wanted_ = true;
  asio::co_spawn(services_.executor, find_key(*std::move(kid), m),
                 [self = shared_from_this()](std::exception_ptr failed) {
                   if (!failed) return;
                   spdlog::critical("a client is dropped: looking for its token's key failed");
                   self->end();
                 });
  return true;
}

asio::awaitable<void> connection::find_key(std::string kid, client_message m) {
  const auto alive = shared_from_this();
  co_await services_.keys.look_for(std::move(kid));
  if (!is_closed() && !is_closing_) on_client_message(m);
  is_key_wanted_ = false;
  resume_input();
}

void connection::reply(const client_message& m, std::string_view status,
                       std::string_view response_json) {
  auto frame = encode_reply(version_, m.join_ref, m.ref, m.topic, status, response_json);
  send(std::make_shared<const outbound_frame>(std::move(frame)), 0);
}

void connection::reply_error(const client_message& m, const error& e) {
  auto frame = encode_push(version_, m.join_ref, m.ref, m.topic, "phx_reply", error_reply(e));
  send(std::make_shared<const outbound_frame>(std::move(frame)), 0);
}

}  // namespace pgcast
