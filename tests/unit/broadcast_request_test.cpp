#include "protocol/broadcast_request.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgcast {
namespace {

const broadcast_limits k_limits{100, 3};

auto batch(const std::string& json, const broadcast_limits& limits = k_limits) {
  return parse_batch(json, recruiting_description(), limits);
}

auto batch_of(const std::string& message) { return batch(R"({"messages":[)" + message + "]}"); }

std::string errors_of(const std::string& message) {
  const auto parsed = batch_of(message);
  return parsed ? "accepted" : parsed.error().errors;
}

single_request single(const std::string& topic = "room", const std::string& event = "e",
                      const std::string& payload = "{}") {
  single_request one;
  one.topic = topic;
  one.event = event;
  one.payload = payload;
  return one;
}

auto check(single_request one) {
  return check_single(std::move(one), recruiting_description(), k_limits);
}

std::string errors_of(single_request one) {
  const auto checked = check(std::move(one));
  return checked ? "accepted" : checked.error().errors;
}

TEST(Batch, WholeMessages_KeepTheirPayloadsByteForByte) {
  const auto all = batch(R"({"messages":[
    {"topic":"rest-room","event":"e1","payload":{"n": 1e400},"private":false,"extra":[]},
    {"topic":"héllo","event":"e\n2","payload":{},"private":true}]})");
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0].to.name, "rest-room");
  EXPECT_EQ((*all)[0].event, "e1");
  EXPECT_EQ((*all)[0].payload, R"({"n": 1e400})");
  EXPECT_EQ(topic_key((*all)[0].to), "public:rest-room");
  EXPECT_EQ((*all)[1].event, "e\n2");
  EXPECT_EQ(topic_key((*all)[1].to), "private:héllo");
}

TEST(Batch, Private_MakesNoDifferenceToADomainTopic) {
  const auto all =
      batch_of(R"({"topic":"session:a","event":"typing","payload":{},"private":true})");
  ASSERT_TRUE(all);
  EXPECT_EQ(topic_key((*all)[0].to), "session:a");
}

TEST(Batch, Private_MayBeTextOrNull) {
  for (const auto* flag : {R"("true")", "true"}) {
    const auto all =
        batch_of(R"({"topic":"r","event":"e","payload":{},"private":)" + std::string{flag} + "}");
    ASSERT_TRUE(all);
    EXPECT_TRUE((*all)[0].to.is_private) << flag;
  }
  const auto none = batch_of(R"({"topic":"r","event":"e","payload":{},"private":null})");
  ASSERT_TRUE(none);
  EXPECT_FALSE((*none)[0].to.is_private);
}

TEST(Batch, WhatIsMissing_IsNamedInTheMessageWhereItIs) {
  const auto all = batch(R"({"messages":[{"topic":"r","event":"e","payload":{}},{"payload":{}}]})");
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().errors,
            R"({"messages":[{},{"event":["can't be blank"],"topic":["can't be blank"]}]})");
  EXPECT_EQ(all.error().sentence, "messages[1].event can't be blank");
  EXPECT_EQ(all.error().code, errc::payload_malformed);
}

TEST(Batch, BlankAndNull_AreMissing) {
  const std::string blank =
      R"({"messages":[{"event":["can't be blank"],"topic":["can't be blank"],)"
      R"("payload":["can't be blank"]}]})";
  EXPECT_EQ(errors_of(R"({"topic":"","event":"","payload":null})"), blank);
  EXPECT_EQ(errors_of(R"({"topic":null,"event":null})"), blank);
}

TEST(Batch, WrongTypes_AreInvalid) {
  EXPECT_EQ(errors_of(R"({"topic":1,"event":"e","payload":{}})"),
            R"({"messages":[{"topic":["is invalid"]}]})");
  EXPECT_EQ(errors_of(R"({"topic":"r","event":["e"],"payload":{}})"),
            R"({"messages":[{"event":["is invalid"]}]})");
  EXPECT_EQ(errors_of(R"({"topic":"r","event":"e","payload":"text"})"),
            R"({"messages":[{"payload":["is invalid"]}]})");
  EXPECT_EQ(errors_of(R"({"topic":"r","event":"e","payload":[1]})"),
            R"({"messages":[{"payload":["is invalid"]}]})");
  EXPECT_EQ(errors_of(R"({"topic":"r","event":"e","payload":{},"private":"perhaps"})"),
            R"({"messages":[{"private":["is invalid"]}]})");
}

TEST(Batch, TopicsThatNobodyCanJoin_AreInvalid) {
  EXPECT_EQ(errors_of(R"({"topic":"session:","event":"e","payload":{}})"),
            R"({"messages":[{"topic":["is invalid"]}]})");
  EXPECT_EQ(errors_of(R"({"topic":"a\u0000b","event":"e","payload":{}})"),
            R"({"messages":[{"topic":["is invalid"]}]})");
  EXPECT_EQ(errors_of(R"({"topic":"r","event":"a\u0000b","payload":{}})"),
            R"({"messages":[{"event":["is invalid"]}]})");
}

TEST(Batch, ReservedEvent_OnATopicOfTheDaemon_IsRefusedAndCounted) {
  for (const auto* topic : {"session:a", "phone:+447700900001", "campaign:c", "stats:c"}) {
    for (const auto* event : {"snapshot", "stats", "chat_history"}) {
      const auto all = batch_of(R"({"topic":")" + std::string{topic} + R"(","event":")" + event +
                                R"(","payload":{}})");
      ASSERT_FALSE(all) << topic << ' ' << event;
      EXPECT_EQ(all.error().code, errc::reserved_event);
      EXPECT_EQ(all.error().reserved_events, 1u);
    }
  }
  EXPECT_TRUE(batch_of(R"({"topic":"room","event":"chat_history","payload":{}})"));
  EXPECT_TRUE(batch_of(R"({"topic":"session:a","event":"typing","payload":{}})"));
}

TEST(Batch, PayloadOverTheLimit_IsRefusedWithItsOwnCode) {
  const std::string at_limit = R"({"a":")" + std::string(92, 'x') + R"("})";
  ASSERT_EQ(at_limit.size(), 100u);
  EXPECT_TRUE(batch_of(R"({"topic":"r","event":"e","payload":)" + at_limit + "}"));
  const auto over =
      batch_of(R"({"topic":"r","event":"e","payload": {"a": ")" + std::string(93, 'x') + R"("}})");
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, errc::payload_too_large);
  EXPECT_EQ(over.error().errors,
            R"({"messages":[{"payload":["Payload size exceeds tenant limit"]}]})");
}

TEST(Batch, MoreMessagesThanTheLimit_IsRefusedWhole) {
  const std::string one = R"({"topic":"r","event":"e","payload":{}})";
  const auto three = batch_of(one + "," + one + "," + one);
  ASSERT_TRUE(three);
  EXPECT_EQ(three->size(), 3u);
  EXPECT_EQ(errors_of(one + "," + one + "," + one + "," + one),
            R"({"messages":["are too many, please reduce the batch size to 3"]})");
}

TEST(Batch, WhatIsNoBatch_IsRefused) {
  const std::string blank = R"({"messages":["can't be blank"]})";
  for (const auto* json : {"{}", "[]", "1", R"({"messages":null})", R"({"messages":{}})",
                           R"({"messages":[]})", R"({"topic":"r","event":"e","payload":{}})"}) {
    const auto parsed = batch(json);
    ASSERT_FALSE(parsed) << json;
    EXPECT_EQ(parsed.error().errors, blank) << json;
  }
  for (const auto* json : {"", "{", R"({"messages":[)", "\xff"}) {
    const auto parsed = batch(json);
    ASSERT_FALSE(parsed) << json;
    EXPECT_EQ(parsed.error().sentence, "messages cannot be read: the body is not JSON") << json;
  }
  EXPECT_EQ(errors_of("null"), R"({"messages":[{"message":["is invalid"],)"
                               R"("event":["can't be blank"],"topic":["can't be blank"],)"
                               R"("payload":["can't be blank"]}]})");
}

TEST(Single, AnyJsonButNull_IsAPayload) {
  for (const auto* payload : {"{}", "[1]", "1", "\"text\"", "false"}) {
    const auto one = check(single("room", "e 2/x", payload));
    ASSERT_TRUE(one) << payload;
    EXPECT_EQ(one->payload, payload);
    EXPECT_EQ(one->event, "e 2/x");
  }
  for (const auto* payload : {"null", " null ", ""}) {
    EXPECT_EQ(errors_of(single("r", "e", payload)), R"({"payload":["can't be blank"]})") << payload;
  }
  const auto broken = check(single("r", "e", "{"));
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().sentence, "payload is not JSON");
}

TEST(Single, Bytes_AreTakenAsTheyAre) {
  auto one = single("r", "e", std::string("\0\xff", 2));
  one.encoding = payload_encoding::binary;
  const auto checked = check(one);
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->payload, std::string("\0\xff", 2));
  EXPECT_EQ(checked->encoding, payload_encoding::binary);
  one.payload.clear();
  EXPECT_TRUE(check(one)) << "no bytes are a message too";
}

TEST(Single, BytesUnderANameThatNoFrameCanCarry_AreRefused) {
  auto one = single(std::string(247, 't'), std::string(256, 'e'), "x");
  one.encoding = payload_encoding::binary;
  EXPECT_EQ(errors_of(one),
            R"({"topic":["is too long for bytes"],"event":["is too long for bytes"]})");
  one.encoding = payload_encoding::json;
  one.payload = "{}";
  EXPECT_TRUE(check(one)) << "JSON has a text form";
}

TEST(Single, TextThatIsNotUnicode_IsInvalid) {
  EXPECT_EQ(errors_of(single("r\xff", "e\xff")),
            R"({"event":["is invalid"],"topic":["is invalid"]})");
}

TEST(Single, Persist_OfAPrivateTopicOrADomainTopic) {
  auto one = single();
  one.persist = "true";
  EXPECT_EQ(errors_of(one), R"({"persist":["can only be used on private channels"]})");
  one.is_private = true;
  auto kept = check(one);
  ASSERT_TRUE(kept);
  ASSERT_TRUE(kept->keep);
  EXPECT_FALSE(kept->keep->ttl);
  one.is_private = false;
  one.topic = "session:a";
  EXPECT_TRUE(check(one));
  one.persist = "false";
  kept = check(one);
  ASSERT_TRUE(kept);
  EXPECT_FALSE(kept->keep);
}

TEST(Single, PersistTtl_IsWholeSecondsFromOne) {
  auto one = single();
  one.is_private = true;
  one.ttl = "5";
  const auto kept = check(one);
  ASSERT_TRUE(kept);
  ASSERT_TRUE(kept->keep);
  EXPECT_EQ(kept->keep->ttl, std::chrono::seconds{5});
  for (const auto* ttl : {"0", "-1", "1.5", "x", "", "5s", "99999999999"}) {
    one.ttl = ttl;
    EXPECT_FALSE(check(one)) << ttl;
  }
  one.ttl.reset();
  one.persist = "1";
  EXPECT_EQ(errors_of(one), R"({"persist":["is invalid"]})");
}

TEST(PushMetadata, Persist_IsTrueOrATtl) {
  EXPECT_FALSE(*parse_push_metadata(""));
  EXPECT_FALSE(*parse_push_metadata("{}"));
  EXPECT_FALSE(*parse_push_metadata(R"({"persist":false})"));
  const auto kept = parse_push_metadata(R"({"persist":true})");
  ASSERT_TRUE(kept && *kept);
  EXPECT_FALSE((*kept)->ttl);
  const auto timed = parse_push_metadata(R"({"persist":{"ttl":60}})");
  ASSERT_TRUE(timed && *timed);
  EXPECT_EQ((*timed)->ttl, std::chrono::seconds{60});
}

TEST(PushMetadata, WhatIsNoTtl_IsRefused) {
  for (const auto* json : {R"({"persist":{"ttl":0}})", R"({"persist":{"ttl":"x"}})",
                           R"({"persist":{}})", R"({"persist":7})", "{"}) {
    EXPECT_FALSE(parse_push_metadata(json)) << json;
  }
}

}  // namespace
}  // namespace pgcast
