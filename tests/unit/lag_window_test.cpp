#include "protocol/lag_window.hpp"

#include <gtest/gtest.h>

namespace pgcast {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

const lag_window::clock::time_point k_start{seconds(1'000)};

TEST(LagWindow, Empty_SaysNothing) {
  const lag_window lag;
  EXPECT_FALSE(lag.newest());
  EXPECT_FALSE(lag.longest(k_start));
}

TEST(LagWindow, Longest_IsThatOfTheLastMinute) {
  lag_window lag;
  lag.add(microseconds(900), k_start);
  lag.add(microseconds(100), k_start + seconds(30));
  EXPECT_EQ(lag.newest(), microseconds(100));
  EXPECT_EQ(lag.longest(k_start + seconds(30)), microseconds(900));
  EXPECT_EQ(lag.longest(k_start + seconds(60)), microseconds(900));
  EXPECT_EQ(lag.longest(k_start + seconds(71)), microseconds(100));
  EXPECT_EQ(lag.newest(), microseconds(100));
}

TEST(LagWindow, LongSilence_LeavesOnlyTheNewest) {
  lag_window lag;
  lag.add(microseconds(900), k_start);
  EXPECT_FALSE(lag.longest(k_start + seconds(700)));
  lag.add(microseconds(5), k_start + seconds(700));
  EXPECT_EQ(lag.longest(k_start + seconds(700)), microseconds(5));
}

}  // namespace
}  // namespace pgcast
