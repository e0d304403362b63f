#include "protocol/held_places.hpp"

#include <gtest/gtest.h>

namespace pgcast {
namespace {

using namespace std::chrono_literals;

const auto k_start = held_places::clock::time_point{} + 1h;

held_place at(std::uint64_t id) {
  position p;
  p.id = id;
  return {p, std::nullopt};
}

place_key key(std::string client_id) {
  return {std::move(client_id), "authenticated", "u1", "realtime:session:a", "{}"};
}

TEST(HeldPlaces, Place_IsGivenOutOnce) {
  held_places places(60s, 10);
  places.put(key("a"), at(7), k_start);
  const auto taken = places.take(key("a"), k_start + 59s);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->rows->id, 7U);
  EXPECT_FALSE(places.take(key("a"), k_start + 59s));
  EXPECT_EQ(places.size(), 0U);
}

TEST(HeldPlaces, Place_IsForgottenAfterItsTime) {
  held_places places(60s, 10);
  places.put(key("a"), at(7), k_start);
  EXPECT_FALSE(places.take(key("a"), k_start + 60s));
  places.put(key("b"), at(1), k_start);
  places.put(key("c"), at(2), k_start + 30s);
  EXPECT_EQ(places.expire(k_start + 60s), 1U);
  EXPECT_EQ(places.size(), 1U);
  EXPECT_TRUE(places.take(key("c"), k_start + 60s));
}

TEST(HeldPlaces, EveryPartOfTheKey_Counts) {
  held_places places(60s, 10);
  const auto mine = key("a");
  places.put(mine, at(7), k_start);
  for (auto part : {&place_key::client_id, &place_key::role, &place_key::sub, &place_key::topic,
                    &place_key::join_options}) {
    auto other = mine;
    other.*part += "x";
    EXPECT_FALSE(places.take(other, k_start));
  }
  auto shifted = mine;  // the same characters, cut elsewhere
  shifted.client_id = "aauthenticated";
  shifted.role = "";
  EXPECT_FALSE(places.take(shifted, k_start));
  EXPECT_TRUE(places.take(mine, k_start));
}

TEST(HeldPlaces, NewerPlace_ReplacesTheOlder) {
  held_places places(60s, 10);
  places.put(key("a"), at(7), k_start);
  places.put(key("a"), at(9), k_start + 30s);
  EXPECT_EQ(places.size(), 1U);
  EXPECT_EQ(places.expire(k_start + 60s), 0U);
  EXPECT_EQ(places.take(key("a"), k_start + 61s)->rows->id, 9U);
}

TEST(HeldPlaces, TooMany_TheOldestGoes) {
  held_places places(60s, 2);
  for (const auto* id : {"a", "b", "c"}) places.put(key(id), at(1), k_start);
  EXPECT_EQ(places.size(), 2U);
  EXPECT_FALSE(places.take(key("a"), k_start));
  EXPECT_TRUE(places.take(key("c"), k_start));
}

TEST(HeldPlaces, NothingToHold_IsNotKept) {
  held_places off(0s, 10);
  off.put(key("a"), at(7), k_start);
  EXPECT_EQ(off.size(), 0U);
  held_places places(60s, 10);
  places.put(key("a"), {}, k_start);
  EXPECT_EQ(places.size(), 0U);
}

}  // namespace
}  // namespace pgcast
