#include "protocol/outbound_queue.hpp"

#include <algorithm>

namespace pgcast {

void outbound_queue::push(shared_frame frame, std::uint32_t feed) {
  bytes_ += frame->bytes.size();
  if (feed != 0) row_bytes_ += frame->bytes.size();
  waiting_.push_back({std::move(frame), feed});
}

void outbound_queue::push_first(shared_frame frame) {
  bytes_ += frame->bytes.size();
  waiting_.insert(waiting_.begin() + static_cast<std::ptrdiff_t>(head_), {std::move(frame)});
}

void outbound_queue::push_newest(shared_frame frame, std::uint32_t feed) {
  bytes_ += frame->bytes.size();
  const std::size_t first = head_ + (sent_of_head_ > 0 ? 1 : 0);
  for (std::size_t i = first; i < waiting_.size(); ++i) {
    if (waiting_[i].newest_of != feed) continue;
    bytes_ -= waiting_[i].frame->bytes.size();
    waiting_[i].frame = std::move(frame);
    return;
  }
  waiting_.push_back({std::move(frame), 0, feed});
}

std::size_t outbound_queue::pieces(std::span<std::string_view> out) const {
  std::size_t count = 0;
  for (std::size_t i = head_; i < waiting_.size() && count < out.size(); ++i) {
    std::string_view bytes = waiting_[i].frame->bytes;
    if (i == head_) bytes.remove_prefix(sent_of_head_);
    out[count++] = bytes;
  }
  return count;
}

void outbound_queue::consume(std::size_t count) {
  bytes_ -= count;
  count += sent_of_head_;
  while (head_ < waiting_.size() && count >= waiting_[head_].frame->bytes.size()) {
    count -= waiting_[head_].frame->bytes.size();
    if (waiting_[head_].feed != 0) row_bytes_ -= waiting_[head_].frame->bytes.size();
    waiting_[head_++].frame.reset();
  }
  sent_of_head_ = count;
  if (is_empty()) {
    waiting_ = {};
    head_ = 0;
  } else if (head_ > 64 && head_ * 2 > waiting_.size()) {
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
}

bool outbound_queue::first_waiting(std::uint32_t feed, position& before) const {
  for (std::size_t i = head_; i < waiting_.size(); ++i) {
    const auto& e = waiting_[i];
    const bool has_begun = i == head_ && sent_of_head_ > 0;
    if (e.feed != feed || !e.frame->span || has_begun) continue;
    before = e.frame->span->at(e.frame->event_id - 1);
    return true;
  }
  return false;
}

void outbound_queue::keep_rows(std::uint32_t feed) {
  for (std::size_t i = head_; i < waiting_.size(); ++i) {
    if (waiting_[i].feed != feed) continue;
    waiting_[i].feed = 0;
    row_bytes_ -= waiting_[i].frame->bytes.size();
  }
}

std::size_t outbound_queue::drop_rows() {
  std::vector<entry> kept;  // a new one: a parked client gives its memory back
  std::size_t dropped = 0;
  for (std::size_t i = head_; i < waiting_.size(); ++i) {
    const bool has_begun = i == head_ && sent_of_head_ > 0;
    if (has_begun && waiting_[i].feed != 0) {  // must go out whole: it counts as a row no more
      row_bytes_ -= waiting_[i].frame->bytes.size();
      waiting_[i].feed = 0;
    }
    if (waiting_[i].feed == 0) {
      kept.push_back(std::move(waiting_[i]));
    } else {
      bytes_ -= waiting_[i].frame->bytes.size();
      row_bytes_ -= waiting_[i].frame->bytes.size();
      ++dropped;
    }
  }
  waiting_ = std::move(kept);
  head_ = 0;
  return dropped;
}

void outbound_queue::rewrite_newest(std::size_t count,
                                    const std::function<shared_frame(shared_frame)>& with) {
  const std::size_t first = head_ + (sent_of_head_ > 0 ? 1 : 0);
  const std::size_t newest = waiting_.size() - std::min(count, waiting_.size());
  for (std::size_t i = std::max(first, newest); i < waiting_.size(); ++i) {
    auto& e = waiting_[i];
    const auto before = e.frame->bytes.size();
    e.frame = with(std::move(e.frame));
    bytes_ = bytes_ - before + e.frame->bytes.size();
    if (e.feed != 0) row_bytes_ = row_bytes_ - before + e.frame->bytes.size();
  }
}

}  // namespace pgcast
