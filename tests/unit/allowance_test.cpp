#include "protocol/allowance.hpp"

#include <gtest/gtest.h>

namespace pgcast {
namespace {

using namespace std::chrono_literals;

TEST(Allowance, AsManyAtOnceAsASecondHas_ThenAsTheyComeBack) {
  allowance a;
  const auto start = allowance::clock::time_point{} + 1h;
  for (int n = 0; n < 10; ++n) EXPECT_TRUE(a.take(start, 10)) << n;
  EXPECT_FALSE(a.has(start, 10));
  EXPECT_FALSE(a.take(start, 10));
  EXPECT_FALSE(a.has(start + 99ms, 10));
  EXPECT_TRUE(a.has(start + 101ms, 10));
  EXPECT_TRUE(a.has(start + 101ms, 10)) << "to ask counts nothing";
  EXPECT_TRUE(a.take(start + 101ms, 10));
  EXPECT_FALSE(a.take(start + 101ms, 10));
}

TEST(Allowance, OfALongRest_IsNoMoreThanASecondHas) {
  allowance a;
  const auto start = allowance::clock::time_point{} + 1h;
  ASSERT_TRUE(a.take(start, 2));
  for (int n = 0; n < 2; ++n) EXPECT_TRUE(a.take(start + 24h, 2));
  EXPECT_FALSE(a.take(start + 24h, 2));
}

}  // namespace
}  // namespace pgcast
