#include "protocol/presence_message.hpp"

#include "protocol/allowance.hpp"

#include <gtest/gtest.h>

#include <set>

namespace pgcast {
namespace {

using namespace std::chrono_literals;

std::string members_of(std::string_view json) {
  const auto r = parse_presence(json);
  return r ? r->members : "refused: " + r.error().detail;
}

TEST(PresenceMessage, Track_GivesTheMembersAsTheyStand) {
  EXPECT_EQ(
      members_of(R"({"type":"presence","event":"track","payload":{"name":"ada","n":[1, 2]}})"),
      R"("name":"ada","n":[1, 2])");
  EXPECT_EQ(members_of(R"({"event":"TRACK","payload":{}})"), "");
  EXPECT_EQ(members_of(R"({"event":"track"})"), "");
  EXPECT_EQ(members_of(R"({"payload":{"a":1},"event":"track"})"), R"("a":1)");
}

TEST(PresenceMessage, Track_MembersOfTheServer_AreLeftOut) {
  EXPECT_EQ(members_of(R"({"event":"track","payload":{"phx_ref":"x","a":1,"phx_ref_prev":2}})"),
            R"("a":1)");
  EXPECT_EQ(members_of(R"({"event":"track","payload":{"phx\u005fref":"x"}})"), "");
}

TEST(PresenceMessage, Untrack_HasNoMembers) {
  const auto r = parse_presence(R"({"type":"presence","event":"untrack"})");
  ASSERT_TRUE(r);
  EXPECT_EQ(r->what, presence_request::kind::untrack);
}

TEST(PresenceMessage, Track_NonMapPayload_IsRefusedInTheWordsOfRealtime) {
  for (const auto* payload : {"null", "1", "\"x\"", "[1]", "true"}) {
    const auto r = parse_presence(std::string(R"({"event":"track","payload":)") + payload + "}");
    ASSERT_FALSE(r) << payload;
    EXPECT_EQ(r.error().detail, "Presence track payload must be a map");
  }
}

TEST(PresenceMessage, OtherEvents_AreRefused) {
  for (const auto* json : {R"({"event":"x"})", R"({"event":1})", R"({})", R"([])", R"("track")"}) {
    EXPECT_FALSE(parse_presence(json)) << json;
  }
}

TEST(PresenceMessage, Key_NamesOfEveryObject_AreReserved) {
  for (const auto* key : {"__proto__", "constructor", "toString"}) {
    EXPECT_TRUE(is_reserved_presence_key(key));
  }
  for (const auto* key : {"", "ada", "Constructor", "length"}) {
    EXPECT_FALSE(is_reserved_presence_key(key));
  }
}

TEST(PresenceMessage, Uuid_IsOfVersion4) {
  EXPECT_EQ(make_uuid({0x01234567, 0x89abcdef, 0xffffffff, 0x00000001}),
            "01234567-89ab-4def-bfff-ffff00000001");
}

TEST(PresenceMessage, Refs_AreNeverAlike) {
  unique_refs one(1);
  unique_refs other(36);
  std::set<std::string> all;
  for (int i = 0; i < 5'000; ++i) {
    all.insert(one.next());
    all.insert(other.next());
  }
  EXPECT_EQ(all.size(), 10'000U);
}

TEST(Allowance, Rate_IsKeptWithASecondsWorthAtOnce) {
  allowance a;
  auto now = allowance::clock::time_point{} + 1h;
  int taken = 0;
  for (int i = 0; i < 100; ++i) taken += a.take(now, 10);
  EXPECT_EQ(taken, 10);
  now += 100ms;
  EXPECT_TRUE(a.take(now, 10));
  EXPECT_FALSE(a.take(now, 10));
  for (int i = 0; i < 1'000; ++i) taken += a.take(now += 10ms, 10);
  EXPECT_NEAR(taken, 110, 1);
}

}  // namespace
}  // namespace pgcast
