#include "protocol/position.hpp"

#include "protocol/base64url.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <random>
#include <set>

namespace pgcast {
namespace {

using xids = std::vector<std::uint64_t>;

constexpr std::uint64_t k_horizon = 40;  // random snapshots are about xids below it

pg_snapshot any_snapshot(std::mt19937& random, std::uint64_t horizon = k_horizon) {
  const auto xmin = random() % horizon;
  const auto xmax = xmin + random() % (horizon - xmin);
  xids running;
  for (auto xid = xmin; xid < xmax; ++xid) {
    if (random() % 3 == 0) running.push_back(xid);
  }
  return {xmin, xmax, std::move(running)};
}

/// What a snapshot sees, the slow way.
std::set<std::uint64_t> seen_by(const pg_snapshot& s) {
  std::set<std::uint64_t> out;
  for (std::uint64_t xid = 0; xid < k_horizon + 5; ++xid) {
    bool is_seen = xid < s.xmax();
    for (const auto running : s.running()) is_seen = is_seen && xid != running;
    if (is_seen) out.insert(xid);
  }
  return out;
}

std::shared_ptr<const pg_snapshot> shared(pg_snapshot s) {
  return std::make_shared<const pg_snapshot>(std::move(s));
}

source_history history_of(std::vector<incarnation> lives) {
  source_history h;
  h.epoch = 0xfedcba9876543210;
  h.incarnations = std::move(lives);
  h.cursor_key = std::string(32, 'k');
  return h;
}

position place(std::uint32_t life, pg_snapshot s1, pg_snapshot s2, std::uint64_t id) {
  auto p = position::at(life, shared(std::move(s1)));
  p.s2 = shared(std::move(s2));
  p.id = id;
  return p;
}

errc failure_of(const std::string& cursor, const source_history& h) {
  const auto decoded = decode_cursor(cursor, h);
  return decoded ? errc{} : decoded.error().code;
}

TEST(PgSnapshot, Text_IsReadAndWrittenAsPostgresDoes) {
  for (const auto* text : {"3:3:", "10:20:10,14,15", "0:18446744073709551615:7"}) {
    const auto s = pg_snapshot::parse(text);
    ASSERT_TRUE(s) << text;
    EXPECT_EQ(s->text(), text);
  }
  EXPECT_EQ(pg_snapshot::parse("10:20:10,14,15")->running_array(), "{10,14,15}");
  EXPECT_EQ(pg_snapshot::parse("10:20:")->running_array(), "{}");
}

TEST(PgSnapshot, Text_ThatIsNoSnapshot_IsRefused) {
  for (const auto* text :
       {"", "5", "5:", "x:y:", "9:5:", "1:2:x", ":1:2", "-1:2:", "1:99999999999999999999:"}) {
    const auto s = pg_snapshot::parse(text);
    ASSERT_FALSE(s) << text;
    EXPECT_EQ(s.error().code, errc::cursor_invalid) << text;
  }
}

TEST(PgSnapshot, Random_AgreesWithTheSetOfXidsThatItSees) {
  std::mt19937 random(1);
  for (int round = 0; round < 3'000; ++round) {
    const auto a = any_snapshot(random);
    const auto b = random() % 4 == 0 ? a.clamped(random() % k_horizon) : any_snapshot(random);
    const auto in_a = seen_by(a);
    const auto in_b = seen_by(b);
    for (std::uint64_t xid = 0; xid < k_horizon + 5; ++xid) {
      ASSERT_EQ(a.sees(xid), in_a.contains(xid)) << a.text() << ' ' << xid;
    }
    ASSERT_EQ(*pg_snapshot::parse(a.text()), a);
    ASSERT_EQ(a.covers(b), std::includes(in_a.begin(), in_a.end(), in_b.begin(), in_b.end()))
        << a.text() << ' ' << b.text();
    const auto first = random() % (k_horizon + 5);
    auto below = in_a;
    below.erase(below.lower_bound(first), below.end());
    ASSERT_EQ(seen_by(a.clamped(first)), below) << a.text() << ' ' << first;
  }
}

TEST(Position, CoversItsFirstSnapshotAndItsSecondUpToItsId) {
  const auto p = place(1, {10, 12, {}}, {10, 20, {15}}, 100);
  EXPECT_TRUE(p.covers(11, 999));
  EXPECT_TRUE(p.covers(14, 100));
  EXPECT_FALSE(p.covers(14, 101));
  EXPECT_FALSE(p.covers(15, 1));
  EXPECT_FALSE(p.covers(20, 1));
}

TEST(Position, OfAnOlderIncarnation_ForgetsXidsThatWereGivenOutAgain) {
  const auto h = history_of({{1, 3}, {2, 90}, {3, 50}});
  const auto p = place(1, {80, 100, {85}}, {80, 120, {85, 99}}, 7);
  const auto now = p.in(h);
  EXPECT_EQ(now.incarnation, 3U);
  EXPECT_EQ(now.s1->text(), "50:50:");
  EXPECT_EQ(now.s2->text(), "50:50:");
  EXPECT_EQ(now.id, 7U);
  const auto one_behind = place(2, {40, 60, {45, 55}}, {40, 60, {45, 55}}, 0).in(h);
  EXPECT_EQ(one_behind.s1->text(), "40:50:45");
}

TEST(Position, OfThisIncarnation_StaysAsItIs) {
  const auto h = history_of({{1, 3}, {2, 50}});
  const auto p = position::at(2, shared({80, 100, {85}}));
  EXPECT_EQ(p.in(h).s1, p.s1);
  EXPECT_EQ(p.in(h).s2, p.s2);
}

TEST(Cursor, RoundTrip_IsTheSamePlace) {
  std::mt19937 random(2);
  const auto h = history_of({{1, 3}});
  for (int round = 0; round < 500; ++round) {
    auto p = position::at(1, shared(any_snapshot(random)));
    if (random() % 2 == 0) p.s2 = shared(any_snapshot(random));
    p.id = (std::uint64_t{random()} << 31 | random()) >> (random() % 63);
    const auto cursor = encode_cursor(p, h);
    const auto back = decode_cursor(cursor, h);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->incarnation, 1U);
    EXPECT_EQ(*back->s1, *p.s1);
    EXPECT_EQ(*back->s2, *p.s2);
    EXPECT_EQ(back->id, p.id);
    EXPECT_LT(cursor.size(), 200U);
  }
}

TEST(Cursor, RoundTrip_HoldsTheLargestNumbers) {
  constexpr auto k_last = std::numeric_limits<std::uint64_t>::max();
  const auto h = history_of({{1, 3}});
  const auto p = place(1, {k_last - 9, k_last - 1, {k_last - 3}}, {0, k_last, {5}}, k_last);
  const auto back = decode_cursor(encode_cursor(p, h), h);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back->s1, *p.s1);
  EXPECT_EQ(*back->s2, *p.s2);
  EXPECT_EQ(back->id, k_last);
}

TEST(Cursor, ChangedOrCut_IsInvalid) {
  const auto h = history_of({{1, 3}});
  const auto good = *base64url_decode(encode_cursor(place(1, {5, 9, {6}}, {5, 12, {6}}, 77), h));
  for (std::size_t i = 0; i < good.size(); ++i) {
    auto forged = good;
    forged[i] = static_cast<char>(forged[i] ^ 0x10);
    const bool is_epoch = i >= 1 && i <= 8;
    EXPECT_EQ(failure_of(base64url_encode(forged), h),
              is_epoch ? errc::cursor_foreign : errc::cursor_invalid)
        << i;
    EXPECT_EQ(failure_of(base64url_encode(good.substr(0, i)), h), errc::cursor_invalid) << i;
  }
  EXPECT_EQ(failure_of(base64url_encode(good + good), h), errc::cursor_invalid);
  EXPECT_EQ(failure_of("", h), errc::cursor_invalid);
  EXPECT_EQ(failure_of("no cursor at all!", h), errc::cursor_invalid);
  EXPECT_EQ(failure_of(std::string(1'025, 'A'), h), errc::cursor_invalid);
}

TEST(Cursor, OfAnotherKey_IsInvalid) {
  auto theirs = history_of({{1, 3}});
  theirs.cursor_key = std::string(32, 'x');
  const auto cursor = encode_cursor(position::at(1, shared({5, 9, {}})), theirs);
  EXPECT_EQ(failure_of(cursor, history_of({{1, 3}})), errc::cursor_invalid);
}

TEST(Cursor, OfAnotherDatabase_IsForeign) {
  auto theirs = history_of({{1, 3}});
  theirs.epoch = 1;
  const auto cursor = encode_cursor(position::at(1, shared({5, 9, {}})), theirs);
  EXPECT_EQ(failure_of(cursor, history_of({{1, 3}})), errc::cursor_foreign);
}

TEST(Cursor, OfAnIncarnationToCome_IsAhead) {
  const auto cursor =
      encode_cursor(position::at(2, shared({5, 9, {}})), history_of({{1, 3}, {2, 7}}));
  EXPECT_EQ(failure_of(cursor, history_of({{1, 3}})), errc::cursor_ahead);
}

TEST(Cursor, OfBeforeACrash_IsMovedIntoThisIncarnation) {
  const auto cursor = encode_cursor(position::at(1, shared({5, 90, {}})), history_of({{1, 3}}));
  const auto moved = decode_cursor(cursor, history_of({{1, 3}, {2, 60}}));
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->incarnation, 2U);
  EXPECT_EQ(moved->s1->text(), "5:60:");
  EXPECT_EQ(moved->s1, moved->s2);
}

TEST(Cursor, OlderThanWhatIsKept_IsTooOld) {
  auto h = history_of({{1, 3}});
  const auto cursor = encode_cursor(position::at(1, shared({50, 90, {50, 70}})), h);
  for (const auto& [dropped, is_kept] :
       {std::pair{0U, true}, {49U, true}, {60U, true}, {70U, false}, {90U, false}}) {
    h.dropped_xid = dropped;
    EXPECT_EQ(failure_of(cursor, h), is_kept ? errc{} : errc::cursor_too_old) << dropped;
  }
}

/// Two snapshots with many running transactions; the later one sees all that the earlier sees.
std::pair<pg_snapshot, pg_snapshot> crowded_snapshots(std::mt19937& random, std::size_t count,
                                                      std::uint64_t spread) {
  xids first;
  xids second;
  std::uint64_t xid = 1'000'000'000'000;
  const auto earlier = random() % count + 1;
  const auto ended_since = 1 + random() % 9;  // tenths
  for (std::size_t i = 0; i < count; ++i) {
    xid += 1 + random() % spread;
    if (i < earlier) first.push_back(xid);
    if (i >= earlier || random() % 10 >= ended_since) second.push_back(xid);
  }
  second.push_back(xid + 2);
  return {pg_snapshot{first.front(), first.back() + 1, first},
          pg_snapshot{second.front(), xid + 5, second}};
}

TEST(Cursor, WithThousandsOfOpenTransactions_StaysShortAndPointsOnlyEarlier) {
  std::mt19937 random(3);
  const auto h = history_of({{1, 3}});
  for (int round = 0; round < 300; ++round) {
    const std::uint64_t spread = std::array{1, 3, 200, 100'000}[random() % 4];
    const auto count = round < 20 ? 5'000 : 200 + random() % 1'000;
    const auto [s1, s2] = crowded_snapshots(random, count, spread);
    ASSERT_TRUE(s2.covers(s1));
    const auto p = random() % 3 == 0 ? position::at(1, shared(s2)) : place(1, s1, s2, 500);
    const auto cursor = encode_cursor(p, h);
    ASSERT_LE(cursor.size(), 1'024U);
    const auto shortened = decode_cursor(cursor, h);
    ASSERT_TRUE(shortened);
    EXPECT_EQ(shortened->id, p.id);
    ASSERT_TRUE(p.s1->covers(*shortened->s1));
    ASSERT_TRUE(p.s2->covers(*shortened->s2));
    ASSERT_TRUE(shortened->s2->covers(*shortened->s1)) << "still a place of one stream";
    EXPECT_EQ(p.s1 == p.s2, shortened->s1 == shortened->s2);
    for (int probe = 0; probe < 500; ++probe) {
      const auto xid = s1.xmin() - 3 + random() % (s2.xmax() - s1.xmin() + 9);
      const auto id = 499 + random() % 3;
      ASSERT_TRUE(p.covers(xid, id) || !shortened->covers(xid, id)) << xid << ' ' << id;
    }
  }
}

TEST(Cursor, RandomBytes_AreRefusedInPeace) {
  std::mt19937 random(4);
  const auto h = history_of({{1, 3}});
  const std::string head = *base64url_decode(encode_cursor(position::at(1, shared({5, 9, {}})), h));
  for (int round = 0; round < 20'000; ++round) {
    auto bytes = random() % 2 == 0 ? head.substr(0, 9) : std::string{};
    for (auto count = random() % 40; count > 0; --count) bytes += static_cast<char>(random());
    ASSERT_FALSE(decode_cursor(base64url_encode(bytes), h));
    ASSERT_FALSE(decode_cursor(bytes, h));
  }
}

TEST(position, WhatWasDropped_IsKeptOnlyIfAllOfItHadBeenSeen) {
  const auto at = [](pg_snapshot s) { return position::at(1, std::make_shared<pg_snapshot>(s)); };
  const pg_snapshot now{200, 200, {}};
  EXPECT_TRUE(at({10, 10, {}}).is_kept(0, now)) << "nothing was dropped";
  EXPECT_TRUE(at({100, 100, {}}).is_kept(99, now));
  EXPECT_FALSE(at({100, 100, {}}).is_kept(100, now)) << "the next one was dropped unread";
  EXPECT_TRUE(at({50, 100, {50}}).is_kept(40, now));
  EXPECT_FALSE(at({50, 100, {50}}).is_kept(60, now)) << "it was open at the place, and has ended";
  EXPECT_TRUE(at({50, 100, {50}}).is_kept(60, pg_snapshot{50, 200, {50}})) << "it is open still";
}

}  // namespace
}  // namespace pgcast
