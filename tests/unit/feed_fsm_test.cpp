// The table of states and inputs, one by one; the whole is in hub_test.cpp.

#include "protocol/feed_fsm.hpp"

#include <gtest/gtest.h>

#include <ostream>
#include <vector>

namespace pgcast {

void PrintTo(feed_fsm::state s, std::ostream* out) {
  static constexpr const char* k_names[] = {"joining", "catching_up", "live", "parked", "ended"};
  *out << k_names[static_cast<int>(s)];
}

namespace {

using state = feed_fsm::state;
using verdict = feed_fsm::verdict;

position at(std::uint64_t xmax) {
  return position::at(
      1, std::make_shared<const pg_snapshot>(xmax, xmax, std::vector<std::uint64_t>{}));
}

/// Of the transactions from `from` to before `to`.
std::shared_ptr<const batch_span> batch(std::uint64_t from, std::uint64_t to) {
  auto history = std::make_shared<source_history>();
  history->incarnations = {{1, 3}};
  auto start = at(from);
  start.s2 = at(to).s2;
  return std::make_shared<const batch_span>(batch_span{history, start});
}

/// One event of each xid, with the xid as its id.
std::shared_ptr<const event_chunk> chunk(std::shared_ptr<const batch_span> span,
                                         const std::vector<std::uint64_t>& xids) {
  auto out = std::make_shared<event_chunk>();
  out->batch = std::move(span);
  for (const auto xid : xids) {
    event e;
    e.id = e.xid = xid;
    out->events.push_back(std::move(e));
  }
  return out;
}

batch_span published(std::uint64_t xmax) { return {batch(xmax, xmax)->history, at(xmax)}; }

constexpr event_sides k_both{true, true};

verdict give(feed_fsm& fsm, const std::shared_ptr<const event_chunk>& c, std::size_t i = 0) {
  return fsm.on_event(c, c->events[i], k_both);
}

/// A feed that came to a state by the shortest way, with its place at 50.
feed_fsm in(state wanted) {
  feed_fsm fsm;
  if (wanted == state::joining) return fsm;
  fsm.start_reading(at(50));
  if (wanted == state::catching_up) return fsm;
  EXPECT_TRUE(fsm.go_live(at(50)));
  if (wanted == state::parked) fsm.park(nullptr, published(50));
  if (wanted == state::ended) fsm.end();
  return fsm;
}

std::vector<std::uint64_t> ids_of(const std::vector<feed_fsm::released_event>& released) {
  std::vector<std::uint64_t> out;
  for (const auto& r : released) out.push_back(r.e->id);
  return out;
}

constexpr state k_states[] = {state::joining, state::catching_up, state::live, state::parked,
                              state::ended};

TEST(FeedFsm, Event_IsDeliveredOnlyWhileLive_AndChangesNoState) {
  const auto c = chunk(batch(50, 60), {55});
  for (const auto s : k_states) {
    auto fsm = in(s);
    EXPECT_EQ(give(fsm, c), s == state::live ? verdict::deliver : verdict::drop)
        << testing::PrintToString(s);
    EXPECT_EQ(fsm.now(), s);
  }
}

TEST(FeedFsm, Event_IsReleasedByGoLive_IfItCameWhileJoiningOrReading) {
  const auto c = chunk(batch(50, 60), {55});
  for (const auto s : {state::joining, state::catching_up}) {
    auto fsm = in(s);
    give(fsm, c);
    const auto released = fsm.go_live(at(50));
    ASSERT_TRUE(released) << testing::PrintToString(s);
    EXPECT_EQ(ids_of(*released), std::vector<std::uint64_t>{55}) << testing::PrintToString(s);
    EXPECT_TRUE(fsm.is_live());
  }
}

TEST(FeedFsm, StartReading_FromEveryState_HoldsAnewAndForgetsWhatWasHeld) {
  for (const auto s : {state::joining, state::catching_up, state::live, state::parked}) {
    auto fsm = in(s);
    const auto before = chunk(batch(50, 60), {55});
    give(fsm, before);
    fsm.start_reading(at(60));
    EXPECT_EQ(fsm.now(), state::catching_up);
    EXPECT_EQ(before.use_count(), 1);
    EXPECT_EQ(fsm.place(published(99))->s1->xmax(), 60U);
    give(fsm, chunk(batch(60, 70), {65}));
    const auto released = fsm.go_live(at(60));
    ASSERT_TRUE(released);
    EXPECT_EQ(ids_of(*released), std::vector<std::uint64_t>{65}) << testing::PrintToString(s);
  }
}

TEST(FeedFsm, Park_IsOfLiveFeedsOnly) {
  for (const auto s : k_states) {
    auto fsm = in(s);
    const auto before = at(50);
    EXPECT_EQ(fsm.park(&before, published(90)), s == state::live) << testing::PrintToString(s);
    EXPECT_EQ(fsm.now(), s == state::live ? state::parked : s);
  }
}

TEST(FeedFsm, Park_KeepsThePlaceBeforeWhatWaits_OrTheHubs) {
  auto waiting = in(state::live);
  const auto before = at(70);
  waiting.park(&before, published(90));
  EXPECT_EQ(waiting.place(published(99))->s1->xmax(), 70U)
      << "the hub goes on, the client does not";
  auto idle = in(state::live);
  idle.park(nullptr, published(90));
  EXPECT_EQ(idle.place(published(99))->s1->xmax(), 90U);
}

TEST(FeedFsm, Park_BehindAHubThatHasNotCaughtUp_KeepsWhatWasRead) {
  auto fsm = in(state::live);
  fsm.park(nullptr, published(40));
  EXPECT_EQ(fsm.place(published(40))->s1->xmax(), 50U);
}

TEST(FeedFsm, ParkAt_InsteadOfGoingLive_LetsGoOfWhatWasHeld) {
  for (const auto s : {state::joining, state::catching_up}) {
    auto fsm = in(s);
    auto c = chunk(batch(50, 60), {55});
    give(fsm, c);
    fsm.park_at(at(60));
    EXPECT_EQ(fsm.now(), state::parked);
    EXPECT_EQ(c.use_count(), 1);
    EXPECT_EQ(fsm.place(published(99))->s1->xmax(), 60U);
  }
}

TEST(FeedFsm, End_IsFinalForTheHubAndLetsGoOfWhatWasHeld) {
  auto fsm = in(state::catching_up);
  auto c = chunk(batch(50, 60), {55});
  give(fsm, c);
  fsm.end();
  EXPECT_TRUE(fsm.has_ended());
  EXPECT_EQ(c.use_count(), 1);
  EXPECT_EQ(give(fsm, c), verdict::drop);
  EXPECT_EQ(c.use_count(), 1);
}

TEST(FeedFsm, Place_IsUnknownWithoutABeginning) {
  EXPECT_FALSE(in(state::joining).place(published(50)));
  EXPECT_FALSE(in(state::ended).place(published(50)));
  feed_fsm afresh;
  afresh.start_reading(std::nullopt);
  EXPECT_FALSE(afresh.place(published(50))) << "its snapshot is still to come";
}

TEST(FeedFsm, Place_WhileReading_IsTheLastPages) {
  auto fsm = in(state::catching_up);
  fsm.has_read(at(55));
  EXPECT_EQ(fsm.place(published(99))->s1->xmax(), 55U);
}

TEST(FeedFsm, Place_WhileLive_IsTheHubsButNeverBehindWhatWasRead) {
  const auto fsm = in(state::live);
  EXPECT_EQ(fsm.place(published(40))->s1->xmax(), 50U);
  EXPECT_EQ(fsm.place(published(90))->s1->xmax(), 90U);
}

TEST(FeedFsm, GoLive_ReleasesWhatTheReadPlaceDoesNotSee_WithItsOwnStartOfTheBatch) {
  feed_fsm fsm;
  const auto cut = chunk(batch(40, 60), {45, 55});
  give(fsm, cut, 0);
  give(fsm, cut, 1);
  const auto released = fsm.go_live(at(50));
  ASSERT_TRUE(released);
  ASSERT_EQ(ids_of(*released), std::vector<std::uint64_t>{55});
  EXPECT_EQ(released->front().span->start.s1->xmax(), 50U) << "a resume must not repeat 45";
  EXPECT_EQ(give(fsm, chunk(cut->batch, {48})), verdict::drop);
  EXPECT_EQ(give(fsm, chunk(cut->batch, {56})), verdict::deliver_with_own_cursor);
  EXPECT_EQ(fsm.own_span(cut->batch)->start.s1->xmax(), 50U);
  EXPECT_EQ(give(fsm, chunk(batch(60, 70), {65})), verdict::deliver);
}

TEST(FeedFsm, GoLiveAtOnce_DeliversEverything) {
  feed_fsm fsm;
  fsm.go_live_at_once();
  EXPECT_EQ(give(fsm, chunk(batch(40, 60), {45})), verdict::deliver);
  EXPECT_EQ(fsm.place(published(60))->s1->xmax(), 60U);
}

/// Gives `events` events in `chunks` chunks and goes live.
bool can_go_live_with(feed_fsm& fsm, std::size_t events, std::size_t chunks) {
  for (std::size_t c = 0; c < chunks; ++c) {
    const auto count = events / chunks + (c < events % chunks ? 1 : 0);
    const auto part = chunk(batch(50, 60), std::vector<std::uint64_t>(count, 55));
    for (std::size_t i = 0; i < count; ++i) give(fsm, part, i);
  }
  return fsm.go_live(at(50)).has_value();
}

TEST(FeedFsm, HeldEvents_AreAsManyAsTheLimitsSay_OneMoreIsReadInstead) {
  for (const auto s : {state::joining, state::catching_up}) {
    const auto allows = [&](std::size_t events, std::size_t chunks) {
      auto fsm = in(s);
      return can_go_live_with(fsm, events, chunks);
    };
    EXPECT_TRUE(allows(feed_fsm::k_held_events, feed_fsm::k_held_chunks));
    EXPECT_FALSE(allows(feed_fsm::k_held_events + 1, 2));
    EXPECT_FALSE(allows(feed_fsm::k_held_chunks + 1, feed_fsm::k_held_chunks + 1));
  }
}

TEST(FeedFsm, HeldEvents_OverTheLimit_AreAllLetGoOf_AndReadingGoesOnAtThePlace) {
  feed_fsm fsm;
  std::vector<std::shared_ptr<const event_chunk>> chunks;
  for (std::size_t i = 0; i <= feed_fsm::k_held_chunks + 20; ++i) {
    chunks.push_back(chunk(batch(50, 60), {55}));
    give(fsm, chunks.back());
  }
  for (const auto& c : chunks) EXPECT_EQ(c.use_count(), 1);
  EXPECT_FALSE(fsm.go_live(at(58)));
  EXPECT_EQ(fsm.now(), state::catching_up);
  EXPECT_EQ(fsm.place(published(99))->s1->xmax(), 58U);
  give(fsm, chunk(batch(60, 70), {65}));
  const auto released = fsm.go_live(at(60));
  ASSERT_TRUE(released) << "the next reading begins with nothing held";
  EXPECT_EQ(ids_of(*released), std::vector<std::uint64_t>{65});
}

TEST(FeedFsm, ForgetHeld_MakesItReadOn) {
  for (const auto s : {state::joining, state::catching_up}) {
    auto fsm = in(s);
    give(fsm, chunk(batch(50, 60), {55}));
    fsm.forget_held();
    EXPECT_FALSE(fsm.go_live(at(50))) << testing::PrintToString(s);
    EXPECT_EQ(fsm.now(), state::catching_up);
  }
}

TEST(FeedFsm, HeldEvents_KeepTheirSides) {
  feed_fsm fsm;
  const auto c = chunk(batch(50, 60), {55});
  fsm.on_event(c, c->events[0], {true, false});
  const auto released = fsm.go_live(at(50));
  ASSERT_TRUE(released && released->size() == 1);
  EXPECT_TRUE(released->front().sides.old_row);
  EXPECT_FALSE(released->front().sides.new_row);
}

}  // namespace
}  // namespace pgcast
