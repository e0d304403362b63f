#pragma once

#include "protocol/event.hpp"

#include <optional>

namespace pgcast {

/// Where what a channel has read from the database ends and the live tail begins.
///
/// The channel was registered before it read at snapshot S. So every event that S does not see
/// comes through the hub; those that S sees are dropped here, until a batch starts at or after S.
/// In a batch that S cuts, the channel's cursors take S as the batch's start: a later resume must
/// not repeat what was read. A batch read before a crash that S comes after has nothing new: S sees
/// what the crash has left of it. Pure; one object a channel.
class seam {
 public:
  /// `read_up_to` has s1 = s2 = S.
  void open(position read_up_to) { read_up_to_ = std::move(read_up_to); }

  enum class verdict { deliver, deliver_with_own_cursor, drop };
  /// Events in the order of the hub. Closes itself with the first batch behind S.
  verdict judge(const event& e, const batch_span& span);
  /// Whether the live tail, which stands at `published`, has come past S: its cursors are the
  /// hub's.
  bool is_behind(const position& published) const {
    return !read_up_to_ || (published.incarnation == read_up_to_->incarnation &&
                            published.s1->covers(*read_up_to_->s1));
  }
  /// A place of the live tail as this channel may go on from it, the cursors of events that were
  /// judged deliver_with_own_cursor among them: what S saw stays covered. `known` is the history
  /// that the live tail knows: a crash may lie between the two, and S may know of it alone.
  position not_before(position p, const source_history& known) const;

 private:
  std::optional<position> read_up_to_;
};

}  // namespace pgcast
