// Single steps; the whole is in delivery_model_test.cpp.

#include "protocol/seam.hpp"

#include <gtest/gtest.h>

namespace pgcast {
namespace {

using verdict = seam::verdict;

position at(std::uint32_t life, std::uint64_t xmax, std::vector<std::uint64_t> running = {}) {
  const auto xmin = running.empty() ? xmax : running.front();
  return position::at(life, std::make_shared<const pg_snapshot>(xmin, xmax, std::move(running)));
}

source_history two_lives() {
  source_history h;
  h.incarnations = {{1, 3}, {2, 90}};
  return h;
}

batch_span batch(const position& from, const position& to) {
  auto start = from;
  start.s2 = to.s2;
  return {std::make_shared<source_history>(two_lives()), start};
}

event change(std::uint64_t xid, std::uint64_t id) {
  event e;
  e.xid = xid;
  e.id = id;
  return e;
}

TEST(Seam, NeverOpened_DeliversEverything) {
  seam s;
  EXPECT_EQ(s.judge(change(5, 1), batch(at(1, 5), at(1, 9))), verdict::deliver);
}

TEST(Seam, BatchThatTheSnapshotCuts_IsDeliveredWhereTheSnapshotIsBlind) {
  seam s;
  s.open(at(1, 50, {42}));
  const auto cut = batch(at(1, 40), at(1, 60));
  EXPECT_EQ(s.judge(change(45, 1), cut), verdict::drop);
  EXPECT_EQ(s.judge(change(42, 2), cut), verdict::deliver_with_own_cursor);
  const auto cursor = s.not_before(cut.at(2), two_lives());
  EXPECT_TRUE(cursor.covers(45, 99)) << "the snapshot showed it";
  EXPECT_TRUE(cursor.covers(42, 2));
  EXPECT_FALSE(cursor.covers(55, 3));
}

TEST(Seam, FirstBatchBehindTheSnapshot_ClosesIt) {
  seam s;
  s.open(at(1, 50, {42}));
  EXPECT_EQ(s.judge(change(42, 1), batch(at(1, 50, {42}), at(1, 60))), verdict::deliver);
  EXPECT_EQ(s.judge(change(10, 2), batch(at(1, 5), at(1, 60))), verdict::deliver) << "closed";
}

TEST(Seam, BatchOfBeforeACrash_IsDroppedThoughItsXidsAreHigher) {
  seam s;
  s.open(at(2, 95));
  EXPECT_EQ(s.judge(change(110, 1), batch(at(1, 100), at(1, 120))), verdict::drop);
  EXPECT_EQ(s.judge(change(92, 2), batch(at(2, 90), at(2, 97))), verdict::drop);
  EXPECT_EQ(s.judge(change(95, 3), batch(at(2, 90), at(2, 97))), verdict::deliver_with_own_cursor);
}

TEST(Seam, BatchOfAfterACrash_IsJudgedByWhatTheCrashHasLeftOfTheSnapshot) {
  seam s;
  s.open(at(1, 100));
  EXPECT_EQ(s.judge(change(89, 1), batch(at(2, 80), at(2, 97))), verdict::drop);
  EXPECT_EQ(s.judge(change(95, 2), batch(at(2, 80), at(2, 97))), verdict::deliver_with_own_cursor);
  EXPECT_EQ(s.judge(change(96, 3), batch(at(2, 90), at(2, 97))), verdict::deliver);
}

TEST(Seam, PlaceOfTheTail_NeverGoesBehindTheSnapshot) {
  seam s;
  const auto behind = batch(at(1, 20), at(1, 40)).at(7);
  EXPECT_FALSE(s.not_before(behind, two_lives()).covers(30, 8)) << "not open yet";
  s.open(at(1, 50));
  EXPECT_TRUE(s.not_before(behind, two_lives()).covers(49, 99));
  EXPECT_FALSE(s.not_before(behind, two_lives()).covers(50, 1));
  const auto cut = s.not_before(batch(at(1, 40), at(1, 60)).at(7), two_lives());
  EXPECT_TRUE(cut.covers(49, 99));
  EXPECT_TRUE(cut.covers(55, 7));
  EXPECT_FALSE(cut.covers(55, 8));
  const auto after = batch(at(1, 55), at(1, 60)).at(7);
  EXPECT_EQ(*s.not_before(after, two_lives()).s1, *after.s1);
}

TEST(Seam, PlaceOfBeforeACrash_BecomesTheSnapshot) {
  seam s;
  s.open(at(2, 95));
  EXPECT_EQ(s.not_before(batch(at(1, 100), at(1, 120)).at(7), two_lives()).s1->text(), "95:95:");
}

TEST(Seam, PlaceOfAfterACrash_KeepsWhatTheCrashHasLeftOfTheSnapshot) {
  seam s;
  s.open(at(1, 79));
  const auto announced = s.not_before(at(2, 79, {70, 72}), two_lives());
  EXPECT_EQ(announced.incarnation, 2U);
  EXPECT_TRUE(announced.covers(72, 9)) << "the snapshot showed it, no event has told of the crash";
}

TEST(Seam, PlaceOfBeforeACrashThatALaterEventHasToldOf_StaysBehindWhatWasDelivered) {
  seam s;
  s.open(at(1, 50));
  const auto cut = batch(at(1, 40), at(1, 60));
  EXPECT_EQ(s.judge(change(55, 7), cut), verdict::deliver_with_own_cursor);
  const auto before_the_next = cut.at(8);
  EXPECT_EQ(s.judge(change(91, 99), batch(at(2, 40), at(2, 95))), verdict::deliver_with_own_cursor);
  const auto place = s.not_before(before_the_next, two_lives());
  EXPECT_TRUE(place.covers(45, 99));
  EXPECT_TRUE(place.covers(55, 7)) << "received before the one that waits";
  EXPECT_FALSE(place.covers(56, 9));
}

}  // namespace
}  // namespace pgcast
