#pragma once

#include "protocol/event.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// Bytes of one WebSocket frame, shared by all clients that are sent it.
struct outbound_frame {
  std::string bytes;
  std::shared_ptr<const batch_span> span;  ///< of a row event; nullptr for everything else
  std::uint64_t event_id = 0;              ///< of a row event

  explicit outbound_frame(std::string b) : bytes(std::move(b)) {}
  outbound_frame(std::string b, std::shared_ptr<const batch_span> s, std::uint64_t id)
      : bytes(std::move(b)), span(std::move(s)), event_id(id) {}
};
using shared_frame = std::shared_ptr<const outbound_frame>;

/// Frames that wait for one client, oldest first. Owns no memory while it is empty. What may wait
/// is limited by its owner (limits.queue_bytes); here is only the count. Not thread-safe.
class outbound_queue {
 public:
  /// `feed` marks row events of a feed, 0 everything that must not be dropped.
  void push(shared_frame frame, std::uint32_t feed);
  /// In front of all that waits; nothing of it has begun to be sent.
  void push_first(shared_frame frame);
  /// The newest word of `feed`: it takes the place of the one before, if that has not begun to be
  /// sent. It is not dropped with the rows, because there is never more than one.
  void push_newest(shared_frame frame, std::uint32_t feed);
  bool is_empty() const { return head_ == waiting_.size(); }
  /// Bytes not yet sent.
  std::size_t bytes() const { return bytes_; }
  /// Bytes of row events among them, a begun one with all of its bytes.
  std::size_t row_bytes() const { return row_bytes_; }

  /// The next pieces to send, at most out.size(); returns how many were filled in.
  std::size_t pieces(std::span<std::string_view> out) const;
  /// `count` bytes of those pieces went out.
  void consume(std::size_t count);

  /// The place just before the first waiting row event of `feed`; false if none waits.
  bool first_waiting(std::uint32_t feed, position& before) const;
  /// What waits of `feed` must not be dropped any more: it is behind what the feed reads now.
  void keep_rows(std::uint32_t feed);
  /// Drops all row events that have not begun to be sent. Returns how many.
  std::size_t drop_rows();
  /// Puts what `with` makes of it in the place of each of the newest `count` frames that has not
  /// begun to be sent.
  void rewrite_newest(std::size_t count, const std::function<shared_frame(shared_frame)>& with);

 private:
  struct entry {
    shared_frame frame;
    std::uint32_t feed = 0;
    std::uint32_t newest_of = 0;  ///< a feed of which only the newest word counts
  };
  std::vector<entry> waiting_;
  std::size_t head_ = 0;
  std::size_t sent_of_head_ = 0;
  std::size_t bytes_ = 0;
  std::size_t row_bytes_ = 0;
};

}  // namespace pgcast
