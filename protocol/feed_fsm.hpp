#pragma once

#include "protocol/event.hpp"
#include "protocol/seam.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

namespace pgcast {

/// How one client gets a stream of events: what it may take from the hub now, and where it is.
///
/// A feed is registered with the hub first and holds what comes; then it reads out of the database
/// what it has not had, up to a place; then what was held is released behind that place and the
/// live tail follows. A client that is too slow is parked: only its place is kept, and it reads
/// again from there. So live tail, resume, seam and parking are the same few steps.
///
/// | state       | means                             | an event of the hub is | next          |
/// |-------------|-----------------------------------|------------------------|---------------|
/// | joining     | registered, nothing read yet      | held                   | reading, live |
/// | catching up | reads pages of events             | held                   | live, parked  |
/// | live        | gets what the hub publishes       | delivered, or dropped  | parked,       |
/// |             |                                   | at the seam            | reading       |
/// | parked      | the client was too slow           | ignored, read later    | reading       |
/// | ended       | left, refused, the client is gone | ignored                |               |
///
/// Few events are held (k_held_events, k_held_chunks: an event keeps its whole chunk in memory);
/// what is over that is forgotten and read from the outbox instead. Pure, one object a feed.
class feed_fsm {
 public:
  enum class state { joining, catching_up, live, parked, ended };
  enum class verdict { deliver, deliver_with_own_cursor, drop };
  static constexpr std::size_t k_held_events = 512;
  static constexpr std::size_t k_held_chunks = 8;

  /// A held event that is to be sent now, in the batch as this feed sees it.
  struct released_event {
    std::shared_ptr<const event_chunk> chunk;  ///< keeps `e` alive
    const event* e;
    event_sides sides;
    std::shared_ptr<const batch_span> span;
  };

  state now() const { return state_; }
  bool is_live() const { return state_ == state::live; }
  bool has_ended() const { return state_ == state::ended; }

  /// What to do with an event of the hub; events come in the hub's order.
  verdict on_event(const std::shared_ptr<const event_chunk>& chunk, const event& e,
                   event_sides sides);
  /// The batch as this feed sees it: what it has read before is behind its start.
  std::shared_ptr<const batch_span> own_span(const std::shared_ptr<const batch_span>& span) const;

  /// Reading begins (again): what comes from now on is held, what was held is forgotten. `place` is
  /// where the client is meanwhile, nullopt if it has to begin with a snapshot.
  void start_reading(std::optional<position> place);
  /// Everything up to `place` has been handed to the client. Only while catching up.
  void has_read(position place);
  /// Nothing more is kept in memory: what was held is read from the outbox instead.
  void forget_held();
  /// All up to `read_up_to` (s1 = s2, a snapshot) has been handed over: live from here, with the
  /// held events behind it. nullopt if too much was held for that: read on from `read_up_to`.
  std::optional<std::vector<released_event>> go_live(position read_up_to);
  /// Live from what the hub publishes next, in the turn in which this feed was registered. Of a
  /// chunk that is being decided then it may get nothing, because nobody asked for it: only for who
  /// wants what is committed from now on.
  void go_live_at_once();

  /// The client is too slow. `before` is the place before the first event that still waits for it
  /// (nullptr: none waits), `published` the hub's. False if there was nothing to park.
  bool park(const position* before, const batch_span& published);
  /// Of a client that is parked already: instead of going live.
  void park_at(position place);
  void end();

  /// Live, with the hub's own cursors. `published` is the hub's place.
  bool is_level(const position& published) const { return is_live() && seam_.is_behind(published); }
  /// Up to where the client has been handed everything, given the hub's place (`published.start`);
  /// nullopt while it lacks its beginning.
  std::optional<position> place(const batch_span& published) const;

 private:
  struct held_event {
    std::shared_ptr<const event_chunk> chunk;
    const event* e;
    event_sides sides;
  };
  void hold(const std::shared_ptr<const event_chunk>& chunk, const event& e, event_sides sides);

  state state_ = state::joining;
  seam seam_;
  std::vector<held_event> held_;
  std::size_t held_chunks_ = 0;
  bool has_overflowed_ = false;
  std::optional<position> place_;  ///< while catching up or parked
};

}  // namespace pgcast
