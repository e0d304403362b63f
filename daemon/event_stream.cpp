#include "daemon/event_stream.hpp"

#include "protocol/sent_event.hpp"

#include <optional>

namespace pgcast {

event_stream::event_stream(shard_services& services, client_socket socket, claims who,
                           std::string head, refusal_writer refuse)
    : connection(services, std::move(socket), wire_version::events, std::move(who), ""),
      head_(std::move(head)),
      refuse_(std::move(refuse)) {}

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
  if (++joined_ == topics_ && !is_refused_) begin();
}

void event_stream::begin() {
  has_begun_ = true;
  connection::send(std::make_shared<const outbound_frame>(std::move(head_)), 0);
  const auto early = std::exchange(early_, {});
  for (const auto& one : early) send(one.frame, one.feed_number);
}

void event_stream::on_channel_refused(channel&, const error& e) {
  if (!has_begun_) answer_refused(e);
}

void event_stream::answer_refused(const error& e) {
  if (std::exchange(is_refused_, true)) return;
  early_ = {};
  connection::send(std::make_shared<const outbound_frame>(refuse_(e)), 0);
  close(1000, "");
}

/// True while the answer has not begun.
bool event_stream::hold_back(const shared_frame& frame, std::uint32_t feed_number) {
  if (has_begun_ || is_refused_) return is_refused_;
  if (frame->bytes.empty()) return true;
  early_.push_back({frame, feed_number});
  early_bytes_ += frame->bytes.size();
  if (early_bytes_ > services().settings.limits.queue_bytes) {
    answer_refused({errc::source_unavailable, "too much happens while the topics are joined"});
  }
  return true;
}

// ---- events

void event_stream::send(shared_frame frame, std::uint32_t feed_number) {
  if (!hold_back(frame, feed_number)) connection::send(with_safe_id(std::move(frame)), feed_number);
}

void event_stream::send_newest(shared_frame frame, std::uint32_t feed_number) {
  if (!hold_back(frame, feed_number)) {
    connection::send_newest(with_safe_id(std::move(frame)), feed_number);
  }
}

shared_frame event_stream::with_safe_id(shared_frame frame) const {
  std::vector<position> places;
  bool are_level = true;
  bool is_one_new = false;
  for (const auto& c : channels()) {
    if (c->rows() == nullptr) continue;
    are_level = are_level && c->rows()->is_level();
    if (auto place = c->rows()->place()) {
      places.push_back(*std::move(place));
    } else {
      is_one_new = true;
    }
  }
  const bool is_alone = places.size() + (is_one_new ? 1 : 0) < 2;
  if (topics_ < 2 || are_level || is_alone) return frame;
  // One that has not begun yet has no place to resume from.
  const std::string id =
      is_one_new ? "" : encode_cursor(earliest(places), *services().topics.published().history);
  return std::make_shared<const outbound_frame>(with_event_id(frame->bytes, id), frame->span,
                                                frame->event_id);
}

// ---- its life

std::string event_stream::ping_text() const { return std::string{k_keep_alive_comment}; }

connection::clock::duration event_stream::ping_after() const {
  return services().settings.limits.idle / 3;
}

void event_stream::tick(clock::time_point now, wall_time wall) {
  connection::tick(now, wall);
  if (has_begun_ && channels().size() < topics_) close(1000, "");
}

}  // namespace pgcast
