#include "protocol/busiest_topics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace pgcast {
namespace {

TEST(BusiestTopics, Most_AreKept_LargestFirst) {
  busiest_topics busiest(2);
  busiest.add("b", 3);
  busiest.add("a", 9);
  busiest.add("none", 0);
  busiest.add("c", 4);
  const auto sorted = busiest.sorted();
  ASSERT_EQ(sorted.size(), 2U);
  EXPECT_EQ(sorted[0].topic, "a");
  EXPECT_EQ(sorted[1].topic, "c");
  EXPECT_EQ(sorted[1].subscribers, 4U);
}

TEST(BusiestTopics, Equals_AreSortedByName) {
  busiest_topics busiest(5);
  for (const auto* topic : {"c", "a", "b"}) busiest.add(topic, 1);
  const auto sorted = busiest.sorted();
  EXPECT_EQ(sorted[0].topic, "a");
  EXPECT_EQ(sorted[2].topic, "c");
}

TEST(BusiestTopics, ManyTopics_AreThoseOfAWholeSort) {
  std::minstd_rand random(1);
  std::vector<std::size_t> all;
  busiest_topics busiest(20);
  for (int n = 0; n < 5'000; ++n) {
    all.push_back(random() % 10'000);
    busiest.add(std::to_string(n), all.back());
  }
  std::sort(all.rbegin(), all.rend());
  const auto sorted = busiest.sorted();
  ASSERT_EQ(sorted.size(), 20U);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(sorted[i].subscribers, all[i]);
}

}  // namespace
}  // namespace pgcast
