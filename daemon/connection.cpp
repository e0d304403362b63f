#include "daemon/connection.hpp"

#include "daemon/metrics.hpp"
#include "protocol/json_document.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

namespace pgcast {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view k_topic_prefix = "realtime:";
constexpr std::size_t k_pieces_a_send = 256;
constexpr auto k_parked_deadline = 60s;  // for replies and snapshots that no parking can drop

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

std::string reason_json(std::string_view reason) {
  return R"({"reason":)" + json_quote(reason) + "}";
}

/// The code that Supabase Realtime puts before its sentence about a token.
std::string token_reason(const error& e) {
  switch (e.code) {
    case errc::token_bad_signature: return "JwtSignatureError: " + e.detail;
    case errc::token_malformed: return "MalformedJWT: " + e.detail;
    default: return "InvalidJWTToken: " + e.detail;
  }
}

}  // namespace

connection::connection(shard_services& services, client_socket socket, wire_version version,
                       claims who)
    : services_(services),
      socket_(std::move(socket)),
      version_(version),
      who_(std::move(who)),
      heard_at_(clock::now()) {
  metrics().connections.add();
}

connection::~connection() {
  end();
  metrics().connections.subtract();
}

void connection::start(std::string early) {
  if (!early.empty()) take_in(early);
  if (!is_closed()) wait_for_input();
}

// ---- input

void connection::wait_for_input() {
  socket_.wait_readable([self = shared_from_this()](const boost::system::error_code& failed) {
    if (!failed && !self->is_closed()) self->on_readable();
  });
}

void connection::on_readable() {
  std::size_t count = 0;
  switch (socket_.receive(services_.receive_buffer, count)) {
    case client_socket::outcome::closed: return end();
    case client_socket::outcome::would_block: break;
    case client_socket::outcome::done:
      take_in(std::span{services_.receive_buffer}.first(count));
      break;
  }
  if (!is_closed()) wait_for_input();
}

void connection::take_in(std::span<char> bytes) {
  heard_at_ = clock::now();
  is_pinged_ = false;
  const frame_limits limits{services_.settings.limits.message_bytes,
                            services_.settings.limits.fragments};
  while (!is_closing_ && !is_closed()) {
    const auto s = parser_.next(bytes, limits);
    if (s.what == frame_parser::step::kind::need_more) return;
    if (s.what == frame_parser::step::kind::violation) return close(s.close_code, s.reason);
    on_message(s);
  }
}

void connection::on_message(const frame_parser::step& s) {
  switch (s.op) {
    case opcode::ping:
      return send(std::make_shared<const outbound_frame>(make_frame(opcode::pong, s.payload)), 0);
    case opcode::pong: return;
    case opcode::close: return close(1000, "");
    case opcode::text:
    case opcode::binary: break;
  }
  metrics().messages_received.add();
  const auto m = decode_message(version_, s.op, s.payload);
  if (!m) {
    metrics().messages_malformed.add();
    spdlog::debug("malformed message dropped: {}", m.error().detail);
    return;
  }
  on_client_message(*m);
}

void connection::on_client_message(const client_message& m) {
  if (m.topic == "phoenix") {
    if (m.event == "heartbeat") return reply(m, "ok", "{}");
    return reply_error(m, "unmatched topic");
  }
  if (m.event == "phx_join") return on_join(m);
  if (m.event == "phx_leave") return on_leave(m);
  auto* c = find(m.topic);
  if (c == nullptr) return reply_error(m, "unmatched topic");
  if (m.join_ref != "null" && m.join_ref != c->id().join_ref) return;  // of an earlier join
  on_channel_message(*c, m);
}

void connection::on_channel_message(channel& c, const client_message& m) {
  if (m.event == "broadcast") return on_broadcast(c, m);
  if (m.event == "access_token") return on_access_token(c, m);
  if (m.event == "presence") return reply_error(m, "presence is not available on this server yet");
  reply_error(m, "unknown event");
}

void connection::on_join(const client_message& m) {
  if (!m.topic.starts_with(k_topic_prefix)) return reply_error(m, "unmatched topic");
  auto request = parse_join(m.payload);
  if (!request) request = join_request{};
  auto name = parse_topic(std::string_view{m.topic}.substr(k_topic_prefix.size()));
  if (!name) {
    metrics().joins[join_outcome::malformed].add();
    return reply_error(m, "TopicNameRequired: " + name.error().detail);
  }
  if (auto* old = find(m.topic)) {
    old->push_end("phx_close", "{}");
    remove(*old);
  }
  if (channels_.size() >= services_.settings.limits.channels) {
    metrics().joins[join_outcome::limit].add();
    return reply_error(m, "ChannelRateLimitReached: Too many channels");
  }
  if (!request->postgres_changes.empty()) {
    metrics().joins[join_outcome::malformed].add();
    return reply_error(m, "RealtimeDisabledForConfiguration: postgres_changes is not available on "
                          "this server yet, join session:, phone: or campaign: topics");
  }
  if (name->name.starts_with("stats:")) {
    metrics().joins[join_outcome::malformed].add();
    return reply_error(m, "RealtimeDisabledForConfiguration: stats: topics are not available on "
                          "this server yet");
  }
  const auto now = std::chrono::system_clock::now();
  const auto skew = services_.settings.tokens.skew;
  claims who = who_;
  if (!request->access_token.empty() && services_.settings.mode == auth_mode::rls) {
    auto verified = verify_token(request->access_token, services_.settings.tokens, now);
    if (!verified) {
      metrics().joins[join_outcome::unauthorized].add();
      return reply_error(m, token_reason(verified.error()));
    }
    who = with_grace(*std::move(verified), now, skew);
  }
  if (who.expires_at <= now) {
    metrics().joins[join_outcome::unauthorized].add();
    return reply_error(m, "InvalidJWTToken: Token has expired");
  }
  channel::identity id{next_channel_++, *std::move(name), m.topic, m.join_ref};
  if (id.join_ref == "null") id.join_ref = m.ref;
  channels_.push_back(std::make_shared<channel>(services_, *this, std::move(id), std::move(who)));
  channels_.back()->join(*std::move(request), m.ref);
}

void connection::on_leave(const client_message& m) {
  auto* c = find(m.topic);
  if (c != nullptr && m.join_ref != "null" && m.join_ref != c->id().join_ref) return;
  reply(m, "ok", "{}");
  if (c == nullptr) return;
  c->push_end("phx_close", "{}");
  remove(*c);
}

void connection::on_broadcast(channel& c, const client_message& m) {
  client_broadcast b;
  b.topic = topic_key(c.id().name.kind, c.id().name.key);
  if (m.is_push) {
    b.event = m.user_event;
    b.payload = m.payload;
    b.encoding = m.encoding;
  } else {
    auto said = read_broadcast(m.payload);
    b.event = std::move(said.event);
    b.payload = std::move(said.payload);
  }
  const bool is_ours = c.id().name.kind != topic_kind::plain;
  if (is_ours && services_.description.is_reserved_event(b.event)) {
    metrics().reserved_events_refused.add();
    return reply_error(m, "reserved_event: only the server sends \"" + b.event + "\" on this topic");
  }
  if (!c.is_joined()) return;
  const bool wants_ack = c.wants_broadcast_acks();
  if (!c.wants_own_broadcasts()) b.sender = static_cast<subscriber*>(&c);
  services_.broadcast(std::move(b));
  if (wants_ack) reply(m, "ok", "{}");
}

void connection::on_access_token(channel& c, const client_message& m) {
  const auto token = read_access_token(m.payload);
  if (token.empty() || token.starts_with("sb_")) return;
  if (services_.settings.mode == auth_mode::off) return;
  const auto& tokens = services_.settings.tokens;
  const auto now = std::chrono::system_clock::now();
  auto verified = verify_token(token, tokens, now);
  if (verified) return c.renew(with_grace(*std::move(verified), now, tokens.skew));
  std::string payload = R"({"extension":"system","status":"error","message":)";
  payload += json_quote(verified.error().detail) + R"(,"channel":)" + json_quote(c.id().name.name);
  c.push("system", payload + "}");
  c.push_end("phx_error", "{}");
  remove(c);
}

// ---- channels

channel* connection::find(std::string_view wire_topic) {
  for (const auto& c : channels_) {
    if (c->id().wire_topic == wire_topic) return c.get();
  }
  return nullptr;
}

void connection::remove(channel& c) {
  const auto found = std::find_if(channels_.begin(), channels_.end(),
                                  [&](const auto& known) { return known.get() == &c; });
  if (found == channels_.end()) return;
  const auto kept = *found;  // until it has ended
  channels_.erase(found);
  if (channels_.empty()) channels_ = {};
  kept->end();
}

void connection::on_channel_ended(channel& c) { remove(c); }

void connection::start_over() {
  const auto channels = channels_;
  for (const auto& c : channels) {
    if (c->id().name.kind == topic_kind::plain) continue;
    c->push_end("phx_error", R"({"reason":"the history of the database is a new one"})");
    remove(*c);
  }
}

// ---- output

void connection::reply(const client_message& m, std::string_view status,
                       std::string_view response_json) {
  auto frame = encode_reply(version_, m.join_ref, m.ref, m.topic, status, response_json);
  send(std::make_shared<const outbound_frame>(std::move(frame)), 0);
}

void connection::reply_error(const client_message& m, std::string_view reason) {
  reply(m, "error", reason_json(reason));
}

void connection::send(shared_frame frame, std::uint32_t channel_number) {
  if (is_closed() || is_closing_) return;
  queue_.push(std::move(frame), channel_number);
  if (is_waiting_to_write_) update_pressure();
  if (is_dirty_ || is_waiting_to_write_) return;
  is_dirty_ = true;
  if (services_.dirty.empty()) services_.flush_soon();
  services_.dirty.push_back(shared_from_this());
}

bool connection::has_room() const {
  return queue_.bytes() < services_.settings.limits.queue_bytes / 2;
}

void connection::flush() {
  is_dirty_ = false;
  std::array<std::string_view, k_pieces_a_send> pieces;
  while (!is_closed() && !queue_.is_empty()) {
    const std::size_t filled = queue_.pieces(pieces);
    std::size_t count = 0;
    const auto outcome = socket_.send(std::span{pieces}.first(filled), count);
    if (outcome == client_socket::outcome::closed) return end();
    if (outcome == client_socket::outcome::would_block) {
      is_waiting_to_write_ = true;
      socket_.wait_writable([self = shared_from_this()](const boost::system::error_code& failed) {
        self->is_waiting_to_write_ = false;
        if (!failed && !self->is_closed()) self->flush();
      });
      break;
    }
    metrics().frames_sent_bytes.add(count);
    queue_.consume(count);
  }
  update_pressure();
  if (queue_.is_empty() && is_closing_) return end();
  if (queue_.is_empty() && is_parked_) {
    is_parked_ = false;
    for (const auto& c : channels_) c->unpark();
  }
}

void connection::update_pressure() {
  auto& p = services_.pressure;
  const std::size_t bytes = is_parked_ ? 0 : queue_.bytes();  // a parked client holds nobody up
  p.queued_bytes.fetch_add(bytes - counted_bytes_, std::memory_order_relaxed);
  metrics().queued_frame_bytes.add(static_cast<std::int64_t>(bytes) -
                                   static_cast<std::int64_t>(counted_bytes_));
  counted_bytes_ = bytes;
  const bool is_full = queue_.bytes() > services_.settings.limits.queue_bytes && !is_parked_;
  if (is_full == is_full_) return;
  is_full_ = is_full;
  full_since_ = clock::now();
  p.full_clients.fetch_add(is_full ? 1 : std::size_t(-1), std::memory_order_relaxed);
}

void connection::park() {
  metrics().slow_clients[slow_verdict::parked].add();
  spdlog::info("a client that did not read is parked with {} bytes waiting", queue_.bytes());
  is_parked_ = true;
  for (const auto& c : channels_) {
    position before;
    const bool is_waiting = queue_.first_waiting(c->id().number, before);
    c->park(is_waiting ? &before : nullptr);
  }
  queue_.drop_rows();
  update_pressure();
}

void connection::tick(clock::time_point now, wall_time wall) {
  if (is_closed()) return;
  const auto& limits = services_.settings.limits;
  if (is_full_ && now - full_since_ > limits.slow_client) park();
  if (is_parked_ && queue_.bytes() > limits.queue_bytes && now - full_since_ > k_parked_deadline) {
    metrics().slow_clients[slow_verdict::closed].add();
    spdlog::info("a client that does not read is dropped with {} bytes waiting", queue_.bytes());
    return end();
  }
  if (now - heard_at_ > limits.idle) {
    spdlog::debug("a silent client is dropped");
    return end();
  }
  if (now - heard_at_ > limits.idle / 2 && !is_pinged_) {
    is_pinged_ = true;
    send(std::make_shared<const outbound_frame>(make_frame(opcode::ping, "")), 0);
  }
  for (std::size_t i = 0; i < channels_.size();) {
    if (channels_[i]->who().expires_at > wall) {
      ++i;
      continue;
    }
    const auto expired = channels_[i];
    expired->expire(wall);
    remove(*expired);
  }
}

void connection::close(std::uint16_t code, std::string_view reason) {
  if (is_closed() || is_closing_) return;
  queue_.drop_rows();
  send(std::make_shared<const outbound_frame>(make_close_frame(code, reason)), 0);
  is_closing_ = true;
}

void connection::end() {
  socket_.close();
  const auto channels = std::move(channels_);
  channels_ = {};
  for (const auto& c : channels) c->end();
  queue_ = {};
  is_parked_ = true;
  update_pressure();
}

}  // namespace pgcast
