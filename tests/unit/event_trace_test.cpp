#include "protocol/event_trace.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgcast {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;
using std::chrono::system_clock;

const system_clock::time_point k_now{seconds(1'767'323'045)};  // 2026-01-02T03:04:05Z

event event_with_id(std::uint64_t id) {
  event e;
  e.id = id;
  e.schema = "public";
  e.table = "chat_history";
  e.commit_timestamp = "2026-01-02T03:04:04.998Z";
  e.routes = {{"session:a", false, true}, {"campaign:b", true, false}};
  return e;
}

TEST(Ring, Full_TheNewestTakesThePlaceOfTheOldest) {
  ring<int> last(3);
  EXPECT_EQ(last.size(), 0U);
  for (int n = 1; n <= 5; ++n) last.next() = n;
  ASSERT_EQ(last.size(), 3U);
  EXPECT_EQ(last.at(0), 5);
  EXPECT_EQ(last.at(2), 3);
}

TEST(EventTrace, Event_IsFoundWithItsTopics) {
  event_trace trace;
  trace.add(event_with_id(7), k_now);
  const auto* found = trace.find(7);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->table, "chat_history");
  EXPECT_EQ(found->read_at, k_now);
  ASSERT_EQ(found->topics.size(), 2U);
  EXPECT_EQ(found->topics[0].key, "session:a");
  EXPECT_TRUE(found->topics[0].has_new);
  EXPECT_TRUE(found->topics[1].had_old);
  EXPECT_FALSE(found->topics[1].has_new);
  EXPECT_EQ(trace.find(8), nullptr);
}

TEST(EventTrace, OlderThanItsSlots_IsForgotten) {
  event_trace trace;
  for (std::uint64_t id = 1; id <= k_traced_events + 1; ++id) trace.add(event_with_id(id), k_now);
  EXPECT_EQ(trace.find(1), nullptr);
  EXPECT_NE(trace.find(2), nullptr);
  EXPECT_EQ(trace.size(), k_traced_events);
  EXPECT_EQ(trace.at(0).id, k_traced_events + 1);
}

TEST(EventTrace, LongNames_AreCutBetweenCharacters) {
  event_trace trace;
  auto e = event_with_id(1);
  e.routes = {{std::string(255, 'x') + "\xc3\xa4\xc3\xa4", false, true}};
  for (int n = 0; n < 20; ++n) e.routes.push_back({"session:" + std::to_string(n), false, true});
  trace.add(e, k_now);
  const auto& topics = trace.find(1)->topics;
  EXPECT_EQ(topics.size(), 8U);
  EXPECT_EQ(topics[0].key, std::string(255, 'x'));
}

TEST(EventTrace, Slot_KeepsNothingOfItsLastEvent) {
  event_trace trace;
  for (std::uint64_t id = 1; id <= k_traced_events; ++id) trace.add(event_with_id(id), k_now);
  auto e = event_with_id(5'000);
  e.routes.clear();
  e.op = operation::truncate;
  trace.add(e, k_now);
  EXPECT_TRUE(trace.find(5'000)->topics.empty());
  EXPECT_EQ(trace.find(5'000)->op, operation::truncate);
}

TEST(HandedEvents, Published_StampsTheNewestAlone) {
  handed_events handed;
  handed.add(1, 5, 0);
  handed.published(1, k_now);
  handed.add(2, 3, 1);
  handed.add(3, 0, 0);
  handed.published(2, k_now + seconds(1));
  EXPECT_EQ(handed.find(1)->published_at, k_now);
  EXPECT_EQ(handed.find(2)->published_at, k_now + seconds(1));
  EXPECT_EQ(handed.find(2)->subscribers, 3U);
  EXPECT_EQ(handed.find(2)->changes, 1U);
  EXPECT_EQ(handed.find(4), nullptr);
}

TEST(HandedEvents, EventThatCameAgain_IsTheNewerOne) {
  handed_events handed;
  handed.add(1, 5, 0);
  handed.add(1, 6, 0);
  EXPECT_EQ(handed.find(1)->subscribers, 6U);
}

TEST(LagSince, Commit_IsTheTimeBetween_NeverBelowZero) {
  EXPECT_EQ(lag_since("2026-01-02T03:04:04.998Z", k_now), microseconds(2'000));
  EXPECT_EQ(lag_since("2026-01-02T03:04:06Z", k_now), microseconds(0));
  EXPECT_EQ(lag_since("no time", k_now), microseconds(0));
}

}  // namespace
}  // namespace pgcast
