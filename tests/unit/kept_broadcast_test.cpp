#include "protocol/kept_broadcast.hpp"

#include "protocol/event.hpp"

#include <gtest/gtest.h>

namespace pgcast {
namespace {

result<kept_broadcast> parse(std::string_view envelope, std::string_view payload) {
  return parse_kept_broadcast(envelope, payload, recruiting_description());
}

std::string envelope_to(const std::string& topic, const std::string& event,
                        const std::string& rest) {
  return R"({"id":"u1","topic":")" + topic + R"(","event":")" + event + "\"" + rest + "}";
}

const std::string k_json = R"(,"private":false,"encoding":"json","expires_at":null)";
const std::string k_private = R"(,"private":true,"encoding":"json","expires_at":null)";
const std::string k_bytes = R"(,"private":true,"encoding":"base64url","expires_at":1700000000000)";

TEST(KeptBroadcast, Json_IsTakenAsItStands) {
  const auto b = parse(envelope_to("room", "said", k_json), R"({"a": [1, "x"]})");
  ASSERT_TRUE(b);
  EXPECT_EQ(b->id, "u1");
  EXPECT_EQ(b->event, "said");
  EXPECT_EQ(b->key, "public:room");
  EXPECT_EQ(b->payload, R"({"a": [1, "x"]})");
  EXPECT_EQ(b->encoding, payload_encoding::json);
  EXPECT_EQ(b->expires_at, std::nullopt);
}

TEST(KeptBroadcast, Bytes_AreDecoded) {
  const auto b = parse(envelope_to("room", "said", k_bytes), "_wCq");
  ASSERT_TRUE(b);
  EXPECT_EQ(b->key, "private:room");
  EXPECT_EQ(b->payload, (std::string{"\xff\x00\xaa", 3}));
  EXPECT_EQ(b->encoding, payload_encoding::binary);
  EXPECT_EQ(b->expires_at, 1'700'000'000'000);
}

TEST(KeptBroadcast, TopicsWithRows_HaveOneKeyWhateverIsPrivate) {
  for (const auto& rest : {k_json, k_private}) {
    EXPECT_EQ(parse(envelope_to("session:a b", "typing", rest), "{}")->key, "session:a b");
    EXPECT_EQ(parse(envelope_to("phone:0044 77-00", "typing", rest), "{}")->key, "phone:+447700");
  }
}

TEST(KeptBroadcast, ReservedName_IsRefusedOnTopicsOfOurs) {
  for (const std::string topic : {"session:a", "phone:1", "campaign:c", "stats:c"}) {
    const auto b = parse(envelope_to(topic, "snapshot", k_json), "{}");
    ASSERT_FALSE(b) << topic;
    EXPECT_EQ(b.error().code, errc::reserved_event);
  }
  EXPECT_TRUE(parse(envelope_to("room", "snapshot", k_json), "{}"));
}

TEST(KeptBroadcast, WhatIsNone_IsMalformed) {
  const std::string odd = R"(,"private":false,"encoding":"rot13")";
  EXPECT_EQ(parse("", "{}").error().code, errc::row_malformed);
  EXPECT_EQ(parse(envelope_to("", "said", k_json), "{}").error().code, errc::row_malformed);
  EXPECT_EQ(parse(envelope_to("room", "said", odd), "{}").error().code, errc::row_malformed);
  EXPECT_EQ(parse(envelope_to("room", "said", k_bytes), "+/").error().code, errc::row_malformed);
}

TEST(KeptBroadcast, Frame_CarriesItsMetadata) {
  const auto b = parse(envelope_to("room", "said", k_json), "{}");
  ASSERT_TRUE(b);
  const auto v1 = encode_kept(*b, wire_version::v1, "realtime:room", broadcast_origin::live);
  EXPECT_EQ(v1.substr(4),
            R"({"ref":null,"topic":"realtime:room","event":"broadcast","payload":)"
            R"({"type":"broadcast","event":"said","payload":{},"meta":{"id":"u1"}}})");
  const auto v2 = encode_kept(*b, wire_version::v2, "realtime:room", broadcast_origin::replayed);
  const std::string meta = R"({"id":"u1","replayed":true})";
  EXPECT_EQ(v2.substr(2), std::string("\x04\x0d\x04", 3) + static_cast<char>(meta.size()) + '\x01' +
                              "realtime:roomsaid" + meta + "{}");
}

TEST(KeptBroadcast, Bytes_HaveNoFrameForTheFirstVersionOrLongNames) {
  const auto b = parse(envelope_to("room", "said", k_bytes), "_wCq");
  ASSERT_TRUE(b);
  const std::string long_topic(256, 'x');
  EXPECT_EQ(encode_kept(*b, wire_version::v1, "realtime:room", broadcast_origin::live), "");
  EXPECT_EQ(encode_kept(*b, wire_version::v2, long_topic, broadcast_origin::live), "");
  EXPECT_FALSE(encode_kept(*b, wire_version::v2, "realtime:room", broadcast_origin::live).empty());
}

TEST(KeptBroadcast, OutboxRow_IsAnEventThatNobodySeesAsARow) {
  const auto envelope = envelope_to("session:a", "typing", k_json);
  outbox_row row{"7", "8", "2026-01-02T03:04:05Z", "public", "chat_history", "B", {}, {}};
  row.record = envelope;
  row.old_record = "{}";
  const auto e = parse_outbox_row(row, recruiting_description());
  ASSERT_TRUE(e);
  ASSERT_NE(e->broadcast, nullptr);
  EXPECT_EQ(e->broadcast->key, "session:a");
  EXPECT_EQ(e->description, nullptr);
  EXPECT_EQ(view_of(e->op, {true, true}), event_view::hidden);
  row.record = std::nullopt;
  EXPECT_EQ(parse_outbox_row(row, recruiting_description()).error().code, errc::row_malformed);
}

}  // namespace
}  // namespace pgcast
