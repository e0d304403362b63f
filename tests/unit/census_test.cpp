#include "daemon/census.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace pgcast {
namespace {

using verdict = census::verdict;

TEST(Census, SeatsOfAnAddress_AreGivenBack) {
  census c({2, 10});
  std::vector<census::seat> seats(3);
  EXPECT_EQ(c.admit("192.0.2.1", "", seats[0]), verdict::admitted);
  EXPECT_EQ(c.admit("192.0.2.1", "", seats[1]), verdict::admitted);
  EXPECT_EQ(c.admit("192.0.2.1", "", seats[2]), verdict::address_is_full);
  EXPECT_EQ(c.admit("192.0.2.2", "", seats[2]), verdict::admitted);
  seats.erase(seats.begin());
  census::seat again;
  EXPECT_EQ(c.admit("192.0.2.1", "", again), verdict::admitted);
}

TEST(Census, UserThatIsFull_TakesNoSeatOfItsAddress) {
  census c({2, 1});
  census::seat first;
  census::seat second;
  EXPECT_EQ(c.admit("192.0.2.1", "anna", first), verdict::admitted);
  EXPECT_EQ(c.admit("192.0.2.1", "anna", second), verdict::user_is_full);
  EXPECT_EQ(c.admit("192.0.2.1", "ben", second), verdict::admitted);
}

TEST(Census, NamelessOnes_AreNotCounted) {
  census c({1, 1});
  std::vector<census::seat> seats(5);
  for (auto& s : seats) EXPECT_EQ(c.admit("", "", s), verdict::admitted);
}

TEST(Census, MovedSeat_CountsOnce) {
  census c({1, 1});
  census::seat one;
  ASSERT_EQ(c.admit("192.0.2.1", "anna", one), verdict::admitted);
  {
    const census::seat other = std::move(one);
    census::seat more;
    EXPECT_EQ(c.admit("192.0.2.1", "", more), verdict::address_is_full);
  }
  EXPECT_EQ(c.admit("192.0.2.1", "anna", one), verdict::admitted);
  // Given anew while it has one: the old one is given back only then.
  EXPECT_EQ(c.admit("192.0.2.2", "ben", one), verdict::admitted);
  census::seat last;
  EXPECT_EQ(c.admit("192.0.2.1", "anna", last), verdict::admitted);
}

}  // namespace
}  // namespace pgcast
