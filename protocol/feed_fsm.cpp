#include "protocol/feed_fsm.hpp"

namespace pgcast {

void feed_fsm::hold(const std::shared_ptr<const event_chunk>& chunk, const event& e,
                    event_sides sides) {
  const bool is_new_chunk = held_.empty() || held_.back().chunk != chunk;
  if (is_new_chunk) ++held_chunks_;
  if (held_.size() >= k_held_events || held_chunks_ > k_held_chunks) forget_held();
  if (!has_overflowed_) held_.push_back({chunk, &e, sides});
}

feed_fsm::verdict feed_fsm::on_event(const std::shared_ptr<const event_chunk>& chunk,
                                     const event& e, event_sides sides) {
  switch (state_) {
    case state::joining:
    case state::catching_up:
      hold(chunk, e, sides);
      return verdict::drop;
    case state::parked:
    case state::ended:
      return verdict::drop;
    case state::live:
      break;
  }
  switch (seam_.judge(e, *chunk->batch)) {
    case seam::verdict::drop:
      return verdict::drop;
    case seam::verdict::deliver_with_own_cursor:
      return verdict::deliver_with_own_cursor;
    case seam::verdict::deliver:
      break;
  }
  return verdict::deliver;
}

std::shared_ptr<const batch_span> feed_fsm::own_span(
    const std::shared_ptr<const batch_span>& span) const {
  return std::make_shared<batch_span>(
      batch_span{span->history, seam_.not_before(span->start, *span->history)});
}

void feed_fsm::start_reading(std::optional<position> place) {
  state_ = state::catching_up;
  place_ = std::move(place);
  held_.clear();
  held_chunks_ = 0;
  has_overflowed_ = false;
}

void feed_fsm::has_read(position place) { place_ = std::move(place); }

void feed_fsm::forget_held() {
  held_ = {};
  held_chunks_ = 0;
  has_overflowed_ = true;
}

std::optional<std::vector<feed_fsm::released_event>> feed_fsm::go_live(position read_up_to) {
  if (has_overflowed_) {
    start_reading(std::move(read_up_to));
    return std::nullopt;
  }
  seam_.open(std::move(read_up_to));
  state_ = state::live;
  std::vector<released_event> out;
  for (auto& h : held_) {
    if (seam_.judge(*h.e, *h.chunk->batch) == seam::verdict::drop) continue;
    auto span = own_span(h.chunk->batch);
    out.push_back({std::move(h.chunk), h.e, h.sides, std::move(span)});
  }
  held_ = {};
  held_chunks_ = 0;
  return out;
}

void feed_fsm::go_live_at_once() {
  state_ = state::live;
  held_ = {};
  held_chunks_ = 0;
}

bool feed_fsm::park(const position* before, const batch_span& published) {
  if (state_ != state::live) return false;
  park_at(seam_.not_before(before != nullptr ? *before : published.start, *published.history));
  return true;
}

void feed_fsm::park_at(position place) {
  state_ = state::parked;
  place_ = std::move(place);
  held_ = {};
  held_chunks_ = 0;
}

void feed_fsm::end() {
  state_ = state::ended;
  held_ = {};
}

std::optional<position> feed_fsm::place(const batch_span& published) const {
  switch (state_) {
    case state::joining:
    case state::ended:
      return std::nullopt;
    case state::catching_up:
    case state::parked:
      return place_;
    case state::live:
      break;
  }
  return seam_.not_before(published.start, *published.history);
}

}  // namespace pgcast
