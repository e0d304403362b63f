#include "protocol/join.hpp"

#include "protocol/codec.hpp"
#include "tests/unit/recorded_frames.hpp"

#include <gtest/gtest.h>

#include <random>

namespace pgcast {
namespace {

join_request parse(std::string_view payload) { return parse_join(payload).value(); }

join_request parse_config(const std::string& config) {
  return parse("{\"config\":" + config + "}");
}

join_request parse_broadcast(const std::string& broadcast) {
  return parse_config("{\"broadcast\":" + broadcast + "}");
}

std::vector<client_message> recorded_joins() {
  std::vector<client_message> joins;
  for (const auto& frame : recorded_frames()) {
    if (frame.is_binary || !frame.is_from_client) continue;
    const auto version = parse_wire_version(frame.version).value();
    auto message = decode_message(version, opcode::text, frame.bytes).value();
    if (message.event == "phx_join") joins.push_back(std::move(message));
  }
  return joins;
}

TEST(Join, RecordedJoins_OfASession_HaveTheirThreeBindings) {
  const std::vector<std::string> bindings = {
      R"({"event":"INSERT","schema":"public","table":"chat_history","filter":"session_id=eq.s-1"})",
      R"({"event":"*","schema":"public","table":"call_info"})",
      R"({"event":"UPDATE","schema":"public","table":"campaign","select":["id","status"]})"};
  int count = 0;
  for (const auto& message : recorded_joins()) {
    if (message.topic != "realtime:session:s-1") continue;
    const auto join = parse(message.payload);
    EXPECT_EQ(join.postgres_changes, bindings);
    EXPECT_EQ(join.access_token, message.ref == "\"6\"" ? "" : "anon-key");
    EXPECT_FALSE(join.broadcast_ack || join.broadcast_self || join.presence_enabled);
    EXPECT_FALSE(join.is_private);
    EXPECT_TRUE(join.wants_snapshot);
    ++count;
  }
  EXPECT_EQ(count, 4);
}

TEST(Join, RecordedJoins_OfARoom_HaveTheirFlags) {
  int count = 0;
  for (const auto& message : recorded_joins()) {
    if (message.topic != "realtime:room1") continue;
    const auto join = parse(message.payload);
    EXPECT_TRUE(join.broadcast_ack && join.broadcast_self && join.presence_enabled);
    EXPECT_TRUE(join.is_private);
    EXPECT_EQ(join.presence_key, "user-1");
    EXPECT_EQ(join.access_token, "anon-key");
    EXPECT_TRUE(join.postgres_changes.empty());
    ++count;
  }
  EXPECT_EQ(count, 4);
}

TEST(Join, JoinsThatCarryAResume_HaveItWhereTheAppPutIt) {
  const auto join =
      parse_config(R"({"broadcast":{"resume":{"since":"x"}},"presence":{"key":"","enabled":false},)"
                   R"("postgres_changes":[{"event":"INSERT","schema":"public","table":"t",)"
                   R"("resume":"cursor-42"}],)"
                   R"("private":false})");
  EXPECT_EQ(join.resume_since, "x");
  EXPECT_FALSE(join.resume_cursor);
  EXPECT_EQ(join.postgres_changes,
            std::vector<std::string>{
                R"({"event":"INSERT","schema":"public","table":"t","resume":"cursor-42"})"});
}

TEST(Join, WhatIsNoObject_IsRefused) {
  for (const auto* payload : {"", "null", "[]", "1", "\"{}\"", "{", "{}{}", "{\"config\":}"}) {
    const auto join = parse_join(payload);
    ASSERT_FALSE(join) << payload;
    EXPECT_EQ(join.error().code, errc::payload_malformed);
  }
}

TEST(Join, WrongTypes_AreDefaults) {
  for (const std::string value :
       {"null", "7", "[]", "[[{}]]", "\"x\"", "{}", "{\"a\":{\"b\":1}}"}) {
    for (const std::string& payload :
         {"{\"config\":" + value + "}", "{\"config\":{\"broadcast\":" + value + "}}",
          "{\"config\":{\"presence\":" + value + "}}",
          "{\"config\":{\"postgres_changes\":" + value + "}}",
          "{\"config\":{\"private\":" + value + "}}",
          "{\"config\":{\"broadcast\":{\"ack\":" + value + ",\"self\":" + value +
              ",\"snapshot\":" + value + "},\"presence\":{\"enabled\":" + value + "}}}"}) {
      const auto join = parse_join(payload);
      ASSERT_TRUE(join) << payload;
      EXPECT_FALSE(join->broadcast_ack || join->broadcast_self || join->presence_enabled);
      EXPECT_FALSE(join->is_private);
      EXPECT_TRUE(join->postgres_changes.empty()) << payload;
      EXPECT_TRUE(join->wants_snapshot) << payload;
      EXPECT_EQ(join->sizes.messages, 1'000U);
    }
  }
}

struct flag_case {
  const char* json;
  bool expected;
};

TEST(Join, Booleans_MayBeWordsInAnyCase) {
  for (const auto& c : {flag_case{"true", true},
                        {"\"true\"", true},
                        {"\"TRUE\"", true},
                        {"\"True\"", true},
                        {"false", false},
                        {"\"False\"", false},
                        {"\"yes\"", false},
                        {"1", false},
                        {"\"\"", false},
                        {"\" true\"", false}}) {
    const std::string flag = c.json;
    EXPECT_EQ(parse_broadcast("{\"ack\":" + flag + "}").broadcast_ack, c.expected) << flag;
    EXPECT_EQ(parse_broadcast("{\"self\":" + flag + "}").broadcast_self, c.expected) << flag;
    EXPECT_EQ(parse_config("{\"private\":" + flag + "}").is_private, c.expected) << flag;
    EXPECT_EQ(parse_config("{\"presence\":{\"enabled\":" + flag + "}}").presence_enabled,
              c.expected);
  }
  EXPECT_FALSE(parse_broadcast(R"({"snapshot":"FALSE"})").wants_snapshot);
}

TEST(Join, PresenceKey_MayBeAnyScalar) {
  EXPECT_EQ(parse_config(R"({"presence":{"key":"u\u00e9"}})").presence_key, "ué");
  EXPECT_EQ(parse_config(R"({"presence":{"key":42}})").presence_key, "42");
  EXPECT_EQ(parse_config(R"({"presence":{"key":null}})").presence_key, "");
  EXPECT_EQ(parse_config(R"({"presence":{"key":[1]}})").presence_key, "");
  EXPECT_EQ(parse_config(R"({"presence":{"key":"\ud800"}})").presence_key, "");
}

TEST(Join, AccessToken_OfAKeyOrAbsent_IsEmpty) {
  EXPECT_EQ(parse(R"({"access_token":"a.b.c"})").access_token, "a.b.c");
  EXPECT_EQ(parse(R"({"access_token":"sb_publishable_x"})").access_token, "");
  EXPECT_EQ(parse(R"({"access_token":null})").access_token, "");
  EXPECT_EQ(parse(R"({"access_token":{"a":1}})").access_token, "");
  EXPECT_EQ(parse("{}").access_token, "");
  EXPECT_EQ(parse(R"({"user_token":"a.b.c"})").access_token, "a.b.c");
  EXPECT_EQ(parse(R"({"user_token":"old","access_token":"new"})").access_token, "new");
}

TEST(Join, Bindings_SkipNullsAndKeepTheirBytes) {
  const auto join = parse_config(
      R"({"postgres_changes":[null, {"event" : "*", "filter":"id=eq.\u0031"} ,7,"x",[{}],{}]})");
  EXPECT_EQ(join.postgres_changes,
            (std::vector<std::string>{R"({"event" : "*", "filter":"id=eq.\u0031"})", "{}"}));
}

TEST(Join, SnapshotSizes_AreCappedAtTheDefaults) {
  auto sizes = parse_broadcast(R"({"snapshot":{"messages":5,"calls":0,"sessions":999}})").sizes;
  EXPECT_EQ(sizes.messages, 5U);
  EXPECT_EQ(sizes.calls, 0U);
  EXPECT_EQ(sizes.sessions, 999U);
  sizes = parse_broadcast(R"({"snapshot":{"messages":1001,"calls":-1,"sessions":1e300}})").sizes;
  EXPECT_EQ(sizes.messages, 1'000U);
  EXPECT_EQ(sizes.calls, 200U);
  EXPECT_EQ(sizes.sessions, 1'000U);
  sizes = parse_broadcast(R"({"snapshot":{"messages":"5","calls":null,"sessions":{}}})").sizes;
  EXPECT_EQ(sizes.messages, 1'000U);
  EXPECT_EQ(sizes.calls, 200U);
  EXPECT_EQ(sizes.sessions, 1'000U);
}

TEST(Join, Snapshot_OnlyFalseDeclinesIt) {
  EXPECT_FALSE(parse_broadcast(R"({"snapshot":false})").wants_snapshot);
  EXPECT_TRUE(parse_broadcast(R"({"snapshot":true})").wants_snapshot);
  EXPECT_TRUE(parse_broadcast(R"({"snapshot":null})").wants_snapshot);
  EXPECT_TRUE(parse_broadcast(R"({"snapshot":{}})").wants_snapshot);
  EXPECT_TRUE(parse_broadcast(R"({})").wants_snapshot);
}

TEST(Join, Resume_IsACursorOrATime) {
  const auto cursor = parse_broadcast(R"({"resume":"c\u0031"})");
  EXPECT_EQ(cursor.resume_cursor, "c1");
  EXPECT_FALSE(cursor.resume_since);
  const auto since = parse_broadcast(R"({"resume":{"since":"2026-01-01T00:00:00Z","x":1}})");
  EXPECT_EQ(since.resume_since, "2026-01-01T00:00:00Z");
  EXPECT_FALSE(since.resume_cursor);
  for (const auto* none : {"null", "false"}) {
    const auto join = parse_broadcast(std::string("{\"resume\":") + none + "}");
    EXPECT_FALSE(join.resume_cursor || join.resume_since) << none;
  }
}

TEST(Join, Resume_ThatIsNoCursor_IsKeptToBeRefused) {
  EXPECT_EQ(parse_broadcast(R"({"resume":42})").resume_cursor, "42");
  EXPECT_EQ(parse_broadcast(R"({"resume":""})").resume_cursor, "");
  EXPECT_EQ(parse_broadcast(R"({"resume":[1]})").resume_cursor, "[1]");
  EXPECT_EQ(parse_broadcast(R"({"resume":{}})").resume_cursor, "{}");
  EXPECT_EQ(parse_broadcast(R"({"resume":{"since":null}})").resume_cursor, "{}");
  EXPECT_EQ(parse_broadcast(R"({"resume":{"since":1760000000000}})").resume_since, "1760000000000");
}

TEST(Join, Replay_IsATimeAndALimitWithinItsRange) {
  EXPECT_FALSE(parse_broadcast("{}").wants_replay);
  EXPECT_FALSE(parse_broadcast(R"({"replay":null})").wants_replay);
  const auto join = parse_broadcast(R"({"replay":{"since":1700000000123}})");
  ASSERT_TRUE(join.replay);
  EXPECT_EQ(join.replay->since_ms, 1'700'000'000'123);
  EXPECT_EQ(join.replay->limit, 25U);
  const auto limit_of = [](const std::string& limit) {
    return parse_broadcast(R"({"replay":{"since":0,"limit":)" + limit + "}}").replay->limit;
  };
  EXPECT_EQ(limit_of("null"), 25U);
  EXPECT_EQ(limit_of("60"), 60U);
  EXPECT_EQ(limit_of("0"), 1U);
  EXPECT_EQ(limit_of("-3"), 1U);
  EXPECT_EQ(limit_of("1e9"), 1'000U);
}

TEST(Join, Replay_ThatIsNone_IsKeptToBeRefused) {
  for (const std::string replay : {"{}", "[]", "true", "7", R"({"since":"0"})", R"({"since":-1})",
                                   R"({"since":1e18})", R"({"since":0,"limit":"all"})"}) {
    const auto join = parse_broadcast(R"({"replay":)" + replay + "}");
    EXPECT_TRUE(join.wants_replay) << replay;
    EXPECT_FALSE(join.replay) << replay;
  }
}

TEST(Join, ChangesOptions_TellWhetherAndHowLongTheClientWaits) {
  EXPECT_FALSE(parse(R"({"config":{}})").waits_for_changes);
  const auto waiting = parse(R"({"config":{"postgres_changes_options":{"wait":true}}})");
  EXPECT_TRUE(waiting.waits_for_changes);
  EXPECT_EQ(waiting.changes_timeout.count(), 15'000);
  const auto timeout = [](const std::string& ms) {
    return parse(R"({"config":{"postgres_changes_options":{"timeout":)" + ms + "}}}")
        .changes_timeout.count();
  };
  EXPECT_EQ(timeout("5000"), 5'000);
  EXPECT_EQ(timeout("60000"), 20'000);
  EXPECT_EQ(timeout("null"), 15'000);
}

TEST(Join, ReplicationReady_IsAskedFor) {
  EXPECT_TRUE(parse_broadcast(R"({"replication_ready":true})").wants_replication_ready);
  EXPECT_FALSE(parse_broadcast(R"({})").wants_replication_ready);
}

TEST(Join, FirstApi_HasAUserTokenAndNoOptions) {
  EXPECT_TRUE(parse(R"({"user_token":"a.b.c"})").has_user_token);
  EXPECT_FALSE(parse(R"({"access_token":"a.b.c"})").has_user_token);
  EXPECT_EQ(parse(R"({"user_token":"a.b.c"})").options, "");
}

TEST(Join, MutatedPayloads_NeverCrash) {
  std::mt19937 random(23);
  const auto joins = recorded_joins();
  int good = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string payload = joins[random() % joins.size()].payload;
    for (auto changes = 1 + random() % 3; changes > 0; --changes) {
      payload[random() % payload.size()] = "\"\\{}[],:0e-.tnu"[random() % 15];
    }
    if (const auto join = parse_join(payload)) {
      ++good;
      for (const auto& binding : join->postgres_changes) EXPECT_TRUE(binding.ends_with('}'));
    }
  }
  EXPECT_GT(good, 1'000);
}

}  // namespace
}  // namespace pgcast
