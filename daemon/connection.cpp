#include "daemon/connection.hpp"

#include "daemon/metrics.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

namespace pgcast {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t k_pieces_a_send = 32;
constexpr unsigned k_running_joins = 16;
constexpr auto k_last_words = 5s;
constexpr std::string_view k_role_without_rates = "service_role";

}  // namespace

connection::connection(shard_services& services, client_socket socket, wire_version version,
                       claims who, std::string client_id)
    : services_(services),
      socket_(std::move(socket)),
      version_(version),
      who_(std::move(who)),
      heard_at_(clock::now()) {
  metrics().connections.add();
  if (!client_id.empty()) start_places(std::move(client_id));
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

/// A client that does not read its answers, or asks for more and more, is not listened to: what
/// waits for it is bounded.
bool connection::must_pause_input() const {
  return queue_.bytes() > services_.settings.limits.queue_bytes ||
         *running_joins_ >= k_running_joins || is_key_wanted_ || is_over_rate();
}

bool connection::has_rates() const {
  return services_.settings.mode != auth_mode::off && who_.role != k_role_without_rates;
}

/// Who says more than it may is not refused, but read later: nothing of it is lost, and nobody else
/// feels it.
bool connection::is_over_rate() const {
  const auto& limits = services_.settings.limits;
  const auto now = clock::now();
  return has_rates() &&
         !(message_pace_.has(now, limits.message_rate) && join_pace_.has(now, limits.join_rate));
}

void connection::wait_for_input() {
  is_input_paused_ = must_pause_input() || !unread_.empty();
  if (is_input_paused_) return;
  socket_.wait_readable([self = shared_from_this()](const boost::system::error_code& failed) {
    if (!failed && !self->is_closed()) self->on_readable();
  });
}

void connection::resume_input() {
  if (!is_input_paused_ || must_pause_input() || is_closed()) return;
  auto rest = std::exchange(unread_, {});
  if (!rest.empty()) take_in(rest);
  if (!is_closed()) wait_for_input();
}

void connection::on_readable() {
  std::size_t count = 0;
  switch (socket_.receive(services_.receive_buffer, count)) {
    case client_socket::outcome::closed:
      return end();
    case client_socket::outcome::would_block:
      break;
    case client_socket::outcome::done:
      take_in(std::span{services_.receive_buffer}.first(count));
      break;
  }
  if (!is_closed()) wait_for_input();
}

void connection::take_in(std::span<char> bytes) {
  if (!is_closing_) heard_at_ = clock::now();
  is_pinged_ = false;
  const frame_limits limits{services_.settings.limits.message_bytes,
                            services_.settings.limits.fragments};
  while (!is_closing_ && !is_closed()) {
    const auto s = parser_.next(bytes, limits);
    if (s.what == frame_parser::step::kind::need_more) return;
    if (s.what == frame_parser::step::kind::violation) return close(s.close_code, s.reason);
    if (has_rates()) message_pace_.take(clock::now(), services_.settings.limits.message_rate);
    on_message(s);
    if (must_pause_input()) {
      if (is_over_rate()) note_pause();
      is_input_paused_ = true;
      unread_.assign(bytes.begin(), bytes.end());
      return;
    }
  }
}

void connection::note_pause() {
  metrics().input_pauses.add();
  if (!services_.log_pace.take(clock::now(), 1)) return;
  spdlog::info(
      "a client of role {} says more than limits.message_rate or limits.join_rate allow: it is "
      "read later",
      who_.role);
}

void connection::on_message(const frame_parser::step& s) {
  switch (s.op) {
    case opcode::ping:
      return send(std::make_shared<const outbound_frame>(make_frame(opcode::pong, s.payload)), 0);
    case opcode::pong:
      return on_pong(s.payload);
    case opcode::close:
      return close(1000, "");
    case opcode::text:
    case opcode::binary:
      break;
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

std::string connection::ping_text() const { return make_frame(opcode::ping, ""); }

std::string connection::close_text(std::uint16_t code, std::string_view reason) const {
  return make_close_frame(code, reason);
}

connection::clock::duration connection::ping_after() const {
  return services_.settings.limits.idle / 2;
}

// ---- channels

void connection::open_channel(channel::identity id, claims who, join_request request,
                              std::vector<change_binding> bindings, const std::string& ref) {
  const auto made = std::make_shared<channel>(services_, *this, std::move(id), std::move(who));
  channels_.push_back(made);
  if (auto why = fallback_of(request, made->who())) made->note_fallback(*std::move(why));
  auto place = key_of(*made, request);
  made->join(std::move(request), std::move(bindings), ref, running_joins_, std::move(place));
}

channel* connection::find(std::string_view wire_topic) {
  for (const auto& c : channels_) {
    if (c->id().wire_topic == wire_topic) return c.get();
  }
  return nullptr;
}

void connection::remove(channel& c, departure how) {
  const auto found = std::find_if(channels_.begin(), channels_.end(),
                                  [&](const auto& known) { return known.get() == &c; });
  if (found == channels_.end()) return;
  const auto kept = *found;  // until it has ended
  channels_.erase(found);
  if (channels_.empty()) channels_ = {};
  kept->end(how);
}

void connection::on_channel_ended(channel& c) {
  hold_place(c);
  remove(c, departure::left);
}

void connection::tell(const channel::system_message& m) {
  for (const auto& c : channels_) {
    if (c->is_joined() && c->has_feeds()) c->tell(m);
  }
}

void connection::start_over() {
  const auto channels = channels_;
  for (const auto& c : channels) {
    if (!c->has_feeds()) continue;
    c->push_end("phx_error", R"({"reason":"the history of the database is a new one"})");
    remove(*c, departure::dropped);
  }
}

// ---- output

void connection::send(shared_frame frame, std::uint32_t feed_number) {
  if (is_closed() || is_closing_ || frame->bytes.empty()) return;
  queue_.push(std::move(frame), feed_number);
  flush_soon();
}

void connection::send_newest(shared_frame frame, std::uint32_t feed_number) {
  if (is_closed() || is_closing_) return;
  queue_.push_newest(std::move(frame), feed_number);
  flush_soon();
}

void connection::flush_soon() {
  has_news_ = true;
  if (is_waiting_to_write_) update_pressure();
  if (is_dirty_ || is_waiting_to_write_) return;
  is_dirty_ = true;
  if (services_.dirty.empty()) services_.flush_soon();
  services_.dirty.push_back(shared_from_this());
}

void connection::keep_rows(std::uint32_t feed_number) {
  queue_.keep_rows(feed_number);
  update_pressure();
}

bool connection::has_room() const {
  return !is_parked_ && queue_.bytes() < services_.settings.limits.queue_bytes / 2;
}

void connection::flush() {
  is_dirty_ = false;
  std::array<std::string_view, k_pieces_a_send> pieces;
  while (!is_closed() && !queue_.is_empty() && may_send()) {
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
    if (is_alive_by_sending()) {
      heard_at_ = clock::now();
      is_pinged_ = false;
    }
  }
  update_pressure();
  if (queue_.is_empty() && is_closing_) return end();
  resume_input();
  if (queue_.is_empty() && is_parked_) {
    is_parked_ = false;
    for (const auto& c : channels_) c->unpark();
  }
}

/// Only rows that wait hold the source up: what cannot be dropped is bounded in other ways.
void connection::update_pressure() {
  auto& p = services_.pressure;
  const std::size_t bytes = queue_.row_bytes();
  p.queued_bytes.fetch_add(bytes - counted_bytes_, std::memory_order_relaxed);
  metrics().queued_frame_bytes.add(static_cast<std::int64_t>(bytes) -
                                   static_cast<std::int64_t>(counted_bytes_));
  counted_bytes_ = bytes;
  const auto limit = services_.settings.limits.queue_bytes;
  const bool is_full = bytes > limit;
  if (is_full && !slow_since_) slow_since_ = clock::now();
  if (bytes < limit / 2) slow_since_.reset();
  if (is_full == is_full_) return;
  is_full_ = is_full;
  p.full_clients.fetch_add(is_full ? 1 : std::size_t(-1), std::memory_order_relaxed);
}

/// A slow client holds the others up for limits.slow_client, and several of them together hardly
/// longer: who becomes full behind another has only a quarter of that.
bool connection::is_too_slow(clock::time_point now) const {
  const auto patience = services_.settings.limits.slow_client;
  const auto slow_for = now - *slow_since_;
  const bool is_another = services_.held.length(now) > patience;
  return slow_for > patience || (is_another && slow_for > patience / 4);
}

void connection::drop_rows() {
  queue_.drop_rows();
  on_rows_dropped(queue_);
}

void connection::park() {
  metrics().slow_clients[slow_verdict::parked].add();
  spdlog::info("a client that did not read is parked with {} bytes waiting", queue_.bytes());
  is_parked_ = true;
  for (const auto& c : channels_) c->park(queue_);
  void_marks();
  drop_rows();
  update_pressure();
}

void connection::tick(clock::time_point now, wall_time wall) {
  if (is_closed()) return;
  const auto& limits = services_.settings.limits;
  if (slow_since_ && !is_parked_ && !is_closing_ && is_too_slow(now)) park();
  resume_input();
  if (is_closing_ && now - closing_since_ > k_last_words) return end();
  if (now - heard_at_ > limits.idle) {
    spdlog::debug("a silent client is dropped");
    return end();
  }
  if (now - heard_at_ > ping_after() && !is_pinged_) {
    is_pinged_ = true;
    send(std::make_shared<const outbound_frame>(ping_text()), 0);
  }
  for (std::size_t i = 0; i < channels_.size();) {
    if (channels_[i]->who().expires_at > wall) {
      channels_[i++]->tick(wall);
      continue;
    }
    const auto expired = channels_[i];
    hold_place(*expired);  // it joins again with a new token
    expired->expire(wall);
    remove(*expired, departure::dropped);
  }
  refresh_places(now);
}

void connection::close(std::uint16_t code, std::string_view reason) {
  if (is_closed() || is_closing_) return;
  void_marks();
  drop_rows();
  send(std::make_shared<const outbound_frame>(close_text(code, reason)), 0);
  is_closing_ = true;
  closing_since_ = clock::now();
  flush_soon();
}

void connection::end() {
  socket_.close();
  const auto channels = std::move(channels_);
  channels_ = {};
  for (const auto& c : channels) {
    hold_place(*c);
    c->end(is_closing_ ? departure::left : departure::dropped);
  }
  end_places();
  queue_ = {};
  update_pressure();
}

}  // namespace pgcast
