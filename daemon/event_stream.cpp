#include "daemon/event_stream.hpp"

#include "protocol/sent_event.hpp"

#include <algorithm>
#include <cstdint>

namespace pgcast {
namespace {

shared_frame with_id(const shared_frame& frame, std::string_view id) {
  return std::make_shared<const outbound_frame>(with_event_id(frame->bytes, id), frame->span,
                                                frame->event_id);
}

shared_frame without_id(const shared_frame& frame) { return with_id(frame, ""); }

}  // namespace

event_stream::event_stream(shard_services& services, client_socket socket, claims who,
                           std::string head, refusal_writer refuse)
    : connection(services, std::move(socket), wire_version::events, std::move(who), ""),
      head_(std::move(head)),
      refuse_(std::move(refuse)),
      opened_at_(clock::now()) {}

void event_stream::open(event_stream_request request) {
  topics_ = request.topics.size();
  for (auto& name : request.topics) {
    if (is_refused_) return;
    channel::identity id{name, name.name, "null"};
    open_channel(std::move(id), who(), request.options, {}, "null");
  }
}

// ---- the beginning

void event_stream::on_channel_joined(channel&) {
  if (++joined_ < topics_ || is_refused_) return;
  has_begun_ = true;
  waiting().push_first(std::make_shared<const outbound_frame>(std::move(head_)));
  flush_soon();
}

void event_stream::on_channel_refused(channel&, const error& e) {
  if (!has_begun_) answer_refused(e);
}

void event_stream::answer_refused(const error& e) {
  if (std::exchange(is_refused_, true)) return;
  waiting() = {};
  connection::send(std::make_shared<const outbound_frame>(refuse_(e)), 0);
  connection::close(1000, "");
}

void event_stream::close(std::uint16_t code, std::string_view reason) {
  if (may_send()) return connection::close(code, reason);
  answer_refused({errc::source_unavailable, std::string{reason}});
}

// ---- events

void event_stream::send(shared_frame frame, std::uint32_t feed_number) {
  if (frame->span) {
    const bool is_sent_again = std::exchange(last_event_id_, frame->event_id) == frame->event_id;
    if (is_sent_again) take_newest_id();  // on another topic, in the same turn
  }
  connection::send(with_safe_id(std::move(frame)), feed_number);
}

void event_stream::send_newest(shared_frame frame, std::uint32_t feed_number) {
  connection::send_newest(has_rows() ? without_id(frame) : std::move(frame), feed_number);
}

/// A feed leaves the live tail where it is, perhaps for the event that others have just been sent.
void event_stream::keep_rows(std::uint32_t feed_number) {
  connection::keep_rows(feed_number);
  take_newest_id();
}

void event_stream::on_rows_dropped(outbound_queue& left) {
  if (topics_ > 1) left.rewrite_newest(SIZE_MAX, without_id);
}

// ---- ids

bool event_stream::has_rows() const {
  return std::any_of(channels().begin(), channels().end(),
                     [](const auto& c) { return c->rows() != nullptr; });
}

/// The newest event that waits gets none: it is not the last word about its place.
void event_stream::take_newest_id() {
  if (topics_ > 1) waiting().rewrite_newest(1, without_id);
}

shared_frame event_stream::with_safe_id(shared_frame frame) const {
  if (topics_ < 2) return frame;
  if (channels().size() < topics_) return without_id(frame);  // one has ended, and so will this
  std::size_t feeds = 0;
  bool are_level = true;
  for (const auto& c : channels()) {
    if (c->rows() == nullptr) continue;
    ++feeds;
    are_level = are_level && c->rows()->is_level();
  }
  if (feeds < 2 || are_level) return frame;
  return with_id(frame, place_of_all(*frame));
}

/// "" while a topic has none to resume from: it has not begun. The frame's own place is one of
/// them: a feed that sends what it has held is further already.
std::string event_stream::place_of_all(const outbound_frame& frame) const {
  std::vector<position> places;
  if (frame.span) places.push_back(frame.span->at(frame.event_id));
  for (const auto& c : channels()) {
    if (c->rows() == nullptr) continue;
    auto place = c->rows()->place();
    if (!place) return {};
    places.push_back(*std::move(place));
  }
  return encode_cursor(earliest(places), *services().topics.published().history);
}

// ---- its life

std::string event_stream::ping_text() const { return std::string{k_keep_alive_comment}; }

connection::clock::duration event_stream::ping_after() const {
  return services().settings.limits.idle / 3;
}

void event_stream::tick(clock::time_point now, wall_time wall) {
  connection::tick(now, wall);
  if (has_begun_ && channels().size() < topics_) close(1000, "");
  if (!has_begun_ && now - opened_at_ > services().settings.limits.handshake) {
    answer_refused({errc::source_unavailable, "the database cannot answer now, try again"});
  }
}

}  // namespace pgcast
