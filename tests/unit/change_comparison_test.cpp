#include "protocol/change_comparison.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace pgcast {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::SizeIs;

constexpr auto k_ours = side::ours;
constexpr auto k_theirs = side::theirs;

/// A change of a second of 2026; row and old row as JSON.
observed_change change(const std::string& type, const std::string& row, int second = 30,
                       const std::string& table = "offer") {
  const auto time = std::string("2026-01-01T00:00:") + (second < 10 ? "0" : "") +
                    std::to_string(second) + ".000Z";
  const auto name = type == "DELETE" ? "old_record" : "record";
  return read_change(R"({"schema":"public","table":")" + table + R"(","type":")" + type +
                     R"(","commit_timestamp":")" + time + "\",\"" + name + "\":" + row + "}")
      .value();
}

observed_change insert(int id, int second = 30) {
  return change("INSERT", "{\"id\":" + std::to_string(id) + ",\"t\":\"x\"}", second);
}

change_comparison counting(std::size_t limit = 1000) {
  change_comparison comparison(limit);
  comparison.start_counting();
  return comparison;
}

struct counts {
  std::size_t both, ours_missed, theirs_missed, ours_doubled, theirs_doubled;
  bool operator==(const counts&) const = default;
};
std::ostream& operator<<(std::ostream& out, const counts& c) {
  return out << c.both << " both, missed " << c.ours_missed << "/" << c.theirs_missed
             << ", doubled " << c.ours_doubled << "/" << c.theirs_doubled;
}

counts counts_of(const change_comparison::figures& f) {
  EXPECT_EQ(f.ours.received, f.both + f.theirs.missed + f.ours.doubled);
  EXPECT_EQ(f.theirs.received, f.both + f.ours.missed + f.theirs.doubled);
  return {f.both, f.ours.missed, f.theirs.missed, f.ours.doubled, f.theirs.doubled};
}

counts finish(change_comparison& comparison) { return counts_of(comparison.finish(10)); }

TEST(Comparison, WhatBothHad_InAnyOrder_IsNotMissed) {
  auto comparison = counting();
  for (const int id : {1, 2, 3}) comparison.add(k_ours, insert(id), 1s);
  EXPECT_EQ(comparison.unmatched(), 3U);
  for (const int id : {3, 1, 2}) comparison.add(k_theirs, insert(id), 2s);
  EXPECT_EQ(comparison.unmatched(), 0U);
  EXPECT_EQ(finish(comparison), (counts{3, 0, 0, 0, 0}));
}

TEST(Comparison, Losses_AreToldOfTheRightServerWithTheirKeys) {
  auto comparison = counting();
  comparison.add(k_ours, insert(1), 1s);
  comparison.add(k_theirs, insert(2), 2s);
  comparison.add(k_ours, insert(3), 3s);
  comparison.add(k_ours, insert(4), 4s);
  comparison.add(k_theirs, insert(4), 5s);
  const auto figures = comparison.finish(1);
  EXPECT_EQ(counts_of(figures), (counts{1, 1, 2, 0, 0}));
  ASSERT_THAT(figures.theirs.first_missed, SizeIs(1)) << "as many as asked";
  const auto& missed = figures.theirs.first_missed.front();
  EXPECT_EQ(missed.table + " " + missed.type + " " + missed.key, "public.offer INSERT id=1");
  ASSERT_THAT(figures.ours.first_missed, SizeIs(1));
  EXPECT_EQ(figures.ours.first_missed.front().key, "id=2");
}

TEST(Comparison, Lag_IsOfWhoCameLater) {
  auto comparison = counting();
  for (int i = 1; i <= 100; ++i) {
    comparison.add(k_ours, insert(i), 0ms);
    comparison.add(k_theirs, insert(i), i * 1ms);
  }
  comparison.add(k_theirs, insert(101), 0ms);
  comparison.add(k_ours, insert(101), 7ms);
  const auto figures = comparison.finish(0);
  EXPECT_EQ(figures.ours.behind.quantile(0.95), 0ms);
  EXPECT_EQ(figures.ours.behind.max(), 7ms);
  const auto& theirs = figures.theirs.behind;
  EXPECT_NEAR(static_cast<double>(theirs.quantile(0.5).count()), 50'000, 1'700);
  EXPECT_NEAR(static_cast<double>(theirs.quantile(0.95).count()), 95'000, 3'000);
  EXPECT_EQ(theirs.quantile(1), 100ms);
}

TEST(Lags, Quantile_IsNeverLessThanTheLagNorMuchMore) {
  for (std::int64_t us = 0; us < 100'000'000; us = us * 9 / 8 + 1) {
    lag_histogram lags;
    lags.add(std::chrono::microseconds(us));
    lags.add(1000s);
    const auto told = lags.quantile(0.5).count();
    EXPECT_GE(told, us);
    EXPECT_LE(told, us + us / 32);
  }
  EXPECT_EQ(lag_histogram().quantile(0.5), 0s);
}

TEST(Comparison, ComesTwice_IsDoubledWheneverItComes) {
  auto comparison = counting();
  comparison.add(k_ours, insert(1), 1s);
  comparison.add(k_ours, insert(1), 1s);
  comparison.add(k_theirs, insert(1), 2s);
  comparison.add(k_theirs, insert(2), 3s);
  comparison.add(k_ours, insert(2), 3s);
  comparison.add(k_theirs, insert(2), 4s);
  EXPECT_EQ(finish(comparison), (counts{2, 0, 0, 1, 1}));
}

TEST(Comparison, EqualRowsOfDifferentTimes_AreChangesOfTheirOwn) {
  auto comparison = counting();
  for (const int second : {30, 31, 32}) comparison.add(k_ours, insert(1, second), 1s);
  for (const int second : {30, 32}) comparison.add(k_theirs, insert(1, second), 2s);
  EXPECT_EQ(finish(comparison), (counts{2, 0, 1, 0, 0}));
}

TEST(Comparison, EqualRowsOfOneTime_OnBoth_AreNotDoubled) {
  auto comparison = counting();
  for (const auto from : {k_ours, k_ours, k_theirs, k_theirs}) comparison.add(from, insert(1), 1s);
  EXPECT_EQ(finish(comparison), (counts{2, 0, 0, 0, 0}));
}

TEST(Comparison, EqualRowsOfOneTransaction_WithOneTimeOnOneServerOnly_AreNotDoubled) {
  for (const auto of_one_time : {k_ours, k_theirs}) {
    auto comparison = counting();
    comparison.add(of_one_time, insert(1, 31), 1s);
    comparison.add(of_one_time, insert(1, 31), 2s);
    comparison.add(other(of_one_time), insert(1, 30), 3s);
    comparison.add(other(of_one_time), insert(1, 31), 4s);
    EXPECT_EQ(finish(comparison), (counts{2, 0, 0, 0, 0}));
  }
}

TEST(Comparison, DoubleThenAnEqualChange_LeavesNothingMissed) {
  auto comparison = counting();
  comparison.add(k_ours, insert(1), 1s);
  comparison.add(k_theirs, insert(1), 1s);
  comparison.add(k_ours, insert(1), 2s);
  comparison.add(k_theirs, insert(1, 40), 3s);
  comparison.add(k_ours, insert(1, 40), 3s);
  EXPECT_EQ(finish(comparison), (counts{2, 0, 0, 1, 0}));
}

TEST(Comparison, Delete_IsComparedByTheColumnsOfBoth) {
  auto comparison = counting();
  comparison.add(k_ours, change("DELETE", R"({"id":1,"t":"a"})"), 1s);
  comparison.add(k_ours, change("DELETE", R"({"id":2,"t":"a"})"), 1s);
  comparison.add(k_theirs, change("DELETE", R"({"id":2})"), 2s);
  EXPECT_EQ(comparison.unmatched(), 1U);
  comparison.add(k_theirs, change("DELETE", R"({"id":3})"), 2s);
  comparison.add(k_ours, change("DELETE", R"({"id":3,"t":"b"})"), 3s);
  EXPECT_EQ(finish(comparison), (counts{2, 0, 1, 0, 0}));
}

TEST(Comparison, UpdateWithoutItsLargeColumn_IsTheSame) {
  auto comparison = counting();
  comparison.add(k_theirs, change("UPDATE", R"({"id":1,"n":1})"), 1s);
  comparison.add(k_theirs, change("UPDATE", R"({"id":1,"n":2,"large":"l"})"), 1s);
  comparison.add(k_ours, change("UPDATE", R"({"id":1,"n":2,"large":"l"})"), 2s);
  comparison.add(k_ours, change("UPDATE", R"({"id":1,"n":1,"large":"l"})"), 2s);
  comparison.add(k_ours, change("UPDATE", R"({"id":1,"n":3,"large":"l"})"), 2s);
  comparison.add(k_theirs, change("UPDATE", R"({"id":1,"n":3,"large":"other"})"), 2s);
  EXPECT_EQ(finish(comparison), (counts{2, 1, 1, 0, 0}));
}

TEST(Comparison, ChangeWithoutItsRow_StandsForOneOfItsTable) {
  auto comparison = counting();
  comparison.add(k_ours, insert(1), 1s);
  comparison.add(k_ours, insert(2), 1s);
  comparison.add(k_theirs, change("INSERT", "null"), 1s);
  comparison.add(k_theirs, change("INSERT", "null", 30, "another"), 1s);
  EXPECT_EQ(finish(comparison), (counts{1, 1, 1, 0, 0}));
}

TEST(Comparison, TypeAndTable_AreParts) {
  auto comparison = counting();
  comparison.add(k_ours, change("INSERT", R"({"id":1})"), 1s);
  comparison.add(k_theirs, change("UPDATE", R"({"id":1})"), 1s);
  comparison.add(k_theirs, change("INSERT", R"({"id":1})", 30, "another"), 1s);
  EXPECT_EQ(finish(comparison), (counts{0, 2, 1, 0, 0}));
}

TEST(Comparison, WhatWasWatched_DoesNotCount) {
  change_comparison comparison(1000);
  comparison.add(k_ours, insert(1, 10), 1s);
  comparison.add(k_ours, insert(2, 20), 1s);
  comparison.start_counting();
  comparison.add(k_theirs, insert(2, 20), 5s);
  comparison.add(k_theirs, insert(3, 5), 5s) /* late, and older than what was seen */;
  comparison.add(k_theirs, insert(4, 21), 5s);
  comparison.add(k_ours, insert(4, 21), 6s);
  EXPECT_EQ(finish(comparison), (counts{1, 0, 0, 0, 0}));
}

TEST(Comparison, OlderForOneServerOnly_CountsForNeither) {
  for (const auto first : {k_ours, k_theirs}) {
    change_comparison comparison(1000);
    comparison.add(k_ours, insert(1, 20), 1s);
    comparison.add(k_theirs, insert(1, 20), 1s);
    comparison.start_counting();
    comparison.add(first, insert(2, first == k_ours ? 10 : 30), 5s);
    comparison.add(other(first), insert(2, first == k_ours ? 30 : 10), 5s);
    EXPECT_EQ(comparison.unmatched(), 0U);
    EXPECT_EQ(finish(comparison), (counts{0, 0, 0, 0, 0}));
  }
}

TEST(Comparison, ForgottenWatched_LeavesTheNextEqualChangeAlone) {
  change_comparison comparison(1000);
  comparison.add(k_ours, insert(1, 10), 1s);
  comparison.start_counting();
  comparison.add(k_ours, insert(2, 20), 2s);
  comparison.forget_watched();
  comparison.add(k_theirs, insert(1, 30), 3s);
  comparison.add(k_ours, insert(1, 30), 3s);
  EXPECT_EQ(finish(comparison), (counts{1, 0, 1, 0, 0}));
}

TEST(Comparison, Closing_TakesStragglersAndNothingNew) {
  auto comparison = counting();
  comparison.add(k_ours, insert(1), 1s);
  comparison.add(k_ours, insert(2), 1s);
  comparison.close();
  comparison.add(k_theirs, insert(1), 4s);
  comparison.add(k_theirs, insert(3), 4s);
  comparison.add(k_ours, insert(4), 4s);
  EXPECT_EQ(comparison.unmatched(), 1U);
  const auto figures = comparison.finish(10);
  EXPECT_EQ(counts_of(figures), (counts{1, 0, 1, 0, 0}));
  EXPECT_EQ(figures.theirs.behind.max(), 3s);
}

TEST(Comparison, AtTheLimit_IsFull) {
  auto comparison = counting(3);
  comparison.add(k_ours, insert(1), 1s);
  comparison.add(k_ours, insert(2), 1s);
  EXPECT_FALSE(comparison.is_full());
  comparison.add(k_theirs, insert(3), 1s);
  EXPECT_TRUE(comparison.is_full());
}

TEST(Comparison, Watching_KeepsNoMoreThanTheLimit) {
  change_comparison comparison(3);
  for (int id = 0; id < 10; ++id) comparison.add(k_ours, insert(id), 1s);
  EXPECT_FALSE(comparison.is_full());
  EXPECT_EQ(finish(comparison), (counts{0, 0, 0, 0, 0}));
}

/// Changes of few rows in any order, some lost on either side, some sent twice: against the plan.
TEST(Comparison, RandomRuns_GiveThePlantedFigures) {
  std::minstd_rand random(20260101);
  const auto chance = [&](unsigned percent) { return random() % 100 < percent; };
  for (int run = 0; run < 200; ++run) {
    struct arrival {
      side from;
      observed_change change;
      std::chrono::microseconds at;
    };
    std::vector<arrival> arrivals;
    counts planted{};
    for (int i = 0; i < 60; ++i) {
      const auto id = static_cast<int>(random() % 1000000);
      auto for_theirs = insert(id, i);
      auto for_ours = for_theirs;
      if (chance(30)) {
        for_ours = change("DELETE", "{\"id\":" + std::to_string(id) + ",\"t\":\"x\"}", i);
        for_theirs = change("DELETE", "{\"id\":" + std::to_string(id) + "}", i);
      }
      const bool ours_misses = chance(10);
      const bool theirs_miss = !ours_misses && chance(10);
      const bool ours_doubles = !ours_misses && chance(10);
      const bool theirs_double = !theirs_miss && !ours_doubles && chance(10);
      const auto send = [&](side from, const observed_change& c) {
        arrivals.push_back({from, c, std::chrono::milliseconds(i * 100 + random() % 2000)});
      };
      if (!ours_misses) send(k_ours, for_ours);
      if (ours_doubles) send(k_ours, for_ours);
      if (!theirs_miss) send(k_theirs, for_theirs);
      if (theirs_double) send(k_theirs, for_theirs);
      planted.ours_doubled += ours_doubles ? 1 : 0;
      planted.theirs_doubled += theirs_double ? 1 : 0;
      planted.ours_missed += ours_misses ? 1 : 0;
      planted.theirs_missed += theirs_miss ? 1 : 0;
      planted.both += ours_misses || theirs_miss ? 0 : 1;
    }
    std::ranges::stable_sort(arrivals, {}, &arrival::at);
    auto comparison = counting();
    for (const auto& a : arrivals) comparison.add(a.from, a.change, a.at);
    ASSERT_EQ(finish(comparison), planted) << "run " << run;
  }
}

}  // namespace
}  // namespace pgcast
