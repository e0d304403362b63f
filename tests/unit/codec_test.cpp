#include "protocol/codec.hpp"

#include "tests/unit/recorded_frames.hpp"

#include <gtest/gtest.h>

#include <random>
#include <span>

namespace pgcast {
namespace {

using enum wire_version;

wire_version version_of(const recorded_frame& frame) {
  return parse_wire_version(frame.version).value();
}

result<client_message> decode(wire_version version, std::string_view text) {
  return decode_message(version, opcode::text, text);
}

result<client_message> decode_binary(std::string_view bytes) {
  return decode_message(v2, opcode::binary, bytes);
}

/// The payload of a frame of the server; its header must be right and its capacity exact.
std::string opened(const std::string& frame, opcode op = opcode::text) {
  std::string header;
  const std::size_t header_bytes = frame.size() < 128 ? 2 : frame.size() < 65'540 ? 4 : 10;
  append_frame_header(header, op, frame.size() - header_bytes);
  EXPECT_EQ(frame.substr(0, header_bytes), header);
  // libstdc++ rounds its smallest allocation up to 30.
  EXPECT_LE(frame.capacity(), std::max<std::size_t>(frame.size(), 30));
  return frame.substr(header_bytes);
}

/// A push of kind 3 as the client makes it.
std::string push(std::string_view join_ref, std::string_view ref, std::string_view topic,
                 std::string_view event, std::string_view metadata, char encoding,
                 std::string_view payload) {
  std::string out(1, '\x03');
  for (const auto text : {join_ref, ref, topic, event, metadata}) {
    out += static_cast<char>(text.size());
  }
  out += encoding;
  for (const auto text : {join_ref, ref, topic, event, metadata, payload}) out += text;
  return out;
}

// ---- the recorded frames

TEST(Codec, RecordedTextsOfTheClient_DecodeToTheirParts) {
  int count = 0;
  for (const auto& frame : recorded_frames()) {
    if (!frame.is_from_client || frame.is_binary) continue;
    const auto message = decode(version_of(frame), frame.bytes);
    ASSERT_TRUE(message) << frame.bytes;
    const auto& m = *message;
    EXPECT_FALSE(m.is_push);
    const std::string join_ref = m.join_ref == "null" ? "" : ",\"join_ref\":" + m.join_ref;
    const std::string again =
        frame.version == "1.0.0"
            ? "{\"topic\":" + json_quote(m.topic) + ",\"event\":" + json_quote(m.event) +
                  ",\"payload\":" + m.payload + ",\"ref\":" + m.ref + join_ref + "}"
            : "[" + m.join_ref + "," + m.ref + "," + json_quote(m.topic) + "," +
                  json_quote(m.event) + "," + m.payload + "]";
    EXPECT_EQ(again, frame.bytes);
    ++count;
  }
  EXPECT_EQ(count, 31);
}

TEST(Codec, RecordedTextsOfTheServer_AreEncodedByteForByte) {
  constexpr std::string_view reply_start = "{\"status\":\"ok\",\"response\":";
  int count = 0;
  for (const auto& frame : recorded_frames()) {
    if (frame.is_from_client || frame.is_binary) continue;
    const auto version = version_of(frame);
    const auto m = decode(version, frame.bytes).value();
    std::string again;
    if (m.event == "phx_reply") {
      ASSERT_TRUE(m.payload.starts_with(reply_start));
      const auto response =
          m.payload.substr(reply_start.size(), m.payload.size() - reply_start.size() - 1);
      again = encode_reply(version, m.join_ref, m.ref, m.topic, "ok", response);
    } else if (m.event == "broadcast") {
      again = encode_broadcast(version, m.topic, "cursor", {"{\"x\":1,", "\"s\":\"é\"}"});
    } else {
      again = encode_push(version, m.join_ref, m.ref, m.topic, m.event, m.payload);
    }
    EXPECT_EQ(opened(again), frame.bytes);
    ++count;
  }
  EXPECT_EQ(count, 53);
}

TEST(Codec, RecordedBinaryPushes_DecodeToTheirParts) {
  std::vector<client_message> messages;
  for (const auto& frame : recorded_frames()) {
    if (frame.is_from_client && frame.is_binary) {
      messages.push_back(decode_binary(frame.bytes).value());
    }
  }
  ASSERT_EQ(messages.size(), 3U);
  for (const auto& m : messages) {
    EXPECT_TRUE(m.is_push);
    EXPECT_EQ(m.event, "broadcast");
    EXPECT_EQ(m.join_ref, "\"10\"");
    EXPECT_EQ(m.topic, "realtime:room1");
  }
  EXPECT_EQ(messages[0].ref, "\"12\"");
  EXPECT_EQ(messages[0].user_event, "cursor");
  EXPECT_EQ(messages[0].metadata, "");
  EXPECT_EQ(messages[0].encoding, payload_encoding::json);
  EXPECT_EQ(messages[0].payload, "{\"x\":1,\"s\":\"é\"}");
  EXPECT_EQ(messages[1].user_event, "bin");
  EXPECT_EQ(messages[1].encoding, payload_encoding::binary);
  EXPECT_EQ(messages[1].payload, "\xde\xad");
  EXPECT_EQ(messages[2].user_event, "keep");
  EXPECT_EQ(messages[2].metadata, "{\"persist\":{\"ttl\":60}}");
  EXPECT_EQ(messages[2].payload, "{\"a\":1}");
}

TEST(Codec, RecordedBinaryBroadcasts_AreEncodedByteForByte) {
  const std::vector<std::string> made = {
      encode_broadcast(v2, "realtime:room1", "cursor", {"{\"x\":1,\"s\":", "\"é\"", "}"}),
      encode_binary_broadcast("realtime:room1", "bin", "\xde\xad"),
      encode_broadcast(v2, "realtime:room1", "keep", {"{\"a\":1}"})};
  std::size_t next = 0;
  for (const auto& frame : recorded_frames()) {
    if (frame.is_from_client || !frame.is_binary) continue;
    ASSERT_LT(next, made.size());
    EXPECT_EQ(opened(made[next++], opcode::binary), frame.bytes);
  }
  EXPECT_EQ(next, made.size());
}

// ---- texts of a client

struct text_case {
  std::string name;
  wire_version version;
  std::string text;
  bool is_good;
};

void PrintTo(const text_case& c, std::ostream* out) { *out << c.name; }

class TextCase : public testing::TestWithParam<text_case> {};

TEST_P(TextCase, Decode_Succeeds_OnlyIfWellFormed) {
  const auto& c = GetParam();
  const auto message = decode(c.version, c.text);
  EXPECT_EQ(message.has_value(), c.is_good);
  if (!message) {
    EXPECT_EQ(message.error().code, errc::message_malformed);
    EXPECT_FALSE(message.error().detail.empty());
  }
}

std::string nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') +
         std::string(static_cast<std::size_t>(depth), ']');
}

std::string v2_with(const std::string& payload) {
  return "[null,\"1\",\"t\",\"e\"," + payload + "]";
}

INSTANTIATE_TEST_SUITE_P(
    All, TextCase,
    testing::Values(
        text_case{"V1Minimal", v1, R"({"topic":"t","event":"e"})", true},
        text_case{"V1UnknownKey", v1, R"({"topic":"t","x":[{}],"event":"e"})", true},
        text_case{"V1DuplicateKeys", v1, R"({"topic":"a","topic":"t","event":"e"})", true},
        text_case{"V1NoTopic", v1, R"({"event":"e"})", false},
        text_case{"V1NoEvent", v1, R"({"topic":"t"})", false},
        text_case{"V1TopicNull", v1, R"({"topic":null,"event":"e"})", false},
        text_case{"V1TopicNumber", v1, R"({"topic":1,"event":"e"})", false},
        text_case{"V1EventObject", v1, R"({"topic":"t","event":{"a":[1]}})", false},
        text_case{"V1RefObject", v1, R"({"topic":"t","event":"e","ref":{"a":1}})", false},
        text_case{"V1RefArray", v1, R"({"topic":"t","event":"e","ref":[]})", false},
        text_case{"V1RefBoolean", v1, R"({"topic":"t","event":"e","ref":true})", false},
        text_case{"V1RefNumber", v1, R"({"topic":"t","event":"e","ref":-7})", true},
        text_case{"V1Array", v1, R"([null,"1","t","e",{}])", false},
        text_case{"V1Scalar", v1, R"("text")", false},
        text_case{"V2Five", v2, R"([null,"1","t","e",{}])", true},
        text_case{"V2Spaces", v2, " [ null , \"1\" , \"t\" ,\n\"e\" , { } ] ", true},
        text_case{"V2Four", v2, R"([null,"1","t","e"])", false},
        text_case{"V2Six", v2, R"([null,"1","t","e",{},1])", false},
        text_case{"V2Empty", v2, "[]", false},
        text_case{"V2Object", v2, R"({"topic":"t","event":"e"})", false},
        text_case{"V2TopicNumber", v2, R"([null,"1",7,"e",{}])", false},
        text_case{"V2RefObject", v2, R"([null,{},"t","e",{}])", false},
        text_case{"V2JoinRefFalse", v2, R"([false,"1","t","e",{}])", false},
        text_case{"Nothing", v2, "", false}, text_case{"Blank", v2, "  ", false},
        text_case{"NotJson", v2, "hello", false},
        text_case{"Cut", v2, R"([null,"1","t","e",{"a":)", false},
        text_case{"TrailingText", v2, R"([null,"1","t","e",{}] x)", false},
        text_case{"TwoTexts", v2, R"([null,"1","t","e",{}],[1])", false},
        text_case{"ClosesOurBracket", v2, R"([null,"1","t","e",{}]],[[1])", false},
        text_case{"Bom", v2, "\xef\xbb\xbf[null,\"1\",\"t\",\"e\",{}]", false},
        text_case{"NotUtf8", v2, v2_with("\"\xff\""), false},
        text_case{"Depth400", v2, v2_with(nested(400)), true},
        text_case{"Depth1000", v2, v2_with(nested(1'000)), false},
        text_case{"Depth100000", v2, v2_with(nested(100'000)), false},
        text_case{"HugeInteger", v2, v2_with("100000000000000000000000000000"), true},
        text_case{"HugeExponent", v2, v2_with("1e99999"), true},
        text_case{"NaN", v2, v2_with("NaN"), false},
        text_case{"Infinity", v2, v2_with("-Infinity"), false},
        text_case{"LoneSurrogateInPayload", v2, v2_with(R"("\ud800")"), true},
        text_case{"LoneSurrogateInTopic", v2, R"([null,"1","\ud800","e",{}])", false},
        text_case{"LoneLowSurrogateInTopic", v2, R"([null,"1","\udc00","e",{}])", false},
        text_case{"LoneSurrogateInKey", v2, v2_with(R"({"\ud800":1})"), true},
        text_case{"BadEscapeInPayload", v2, v2_with(R"("\x41")"), false},
        text_case{"MissingComma", v2, v2_with(R"({"a":1 "b":2})"), false},
        text_case{"ControlInString", v2, v2_with("\"a\nb\""), false}),
    [](const auto& test) { return test.param.name; });

TEST(Codec, Text_WithoutRefsOrPayload_HasNullsAndEmptyObject) {
  const auto m = decode(v1, R"({"topic":"phoenix","event":"heartbeat"})").value();
  EXPECT_EQ(m.join_ref, "null");
  EXPECT_EQ(m.ref, "null");
  EXPECT_EQ(m.payload, "{}");
  EXPECT_EQ(decode(v2, R"([null,null,"t","e",null])").value().payload, "{}");
}

TEST(Codec, Refs_AreKeptAsTheirTokens) {
  const auto m = decode(v2, R"(["a\u0062", 7 ,"t","e",{}])").value();
  EXPECT_EQ(m.join_ref, R"("a\u0062")");
  EXPECT_EQ(m.ref, "7");
}

TEST(Codec, Payload_IsKeptByteForByte) {
  const std::string payload =
      R"({ "b" : 1.50, "a":"\u00e9\/", "a":[ 1 ,2 ],"n":12345678901234567890 })";
  EXPECT_EQ(decode(v2, v2_with("  " + payload + " \n")).value().payload, payload);
  EXPECT_EQ(
      decode(v1, R"({"payload":)" + payload + R"( ,"topic":"t","event":"e"})").value().payload,
      payload);
}

TEST(Codec, TopicAndEvent_AreDecoded) {
  const auto m =
      decode(v2, R"([null,"1","realtime:\u00e9\ud83d\ude00 \"q\"","a\u0000b",{}])").value();
  EXPECT_EQ(m.topic, "realtime:é😀 \"q\"");
  EXPECT_EQ(m.event, std::string("a\0b", 3));
}

TEST(Codec, Duplicates_LastOneCounts) {
  const auto m = decode(v1, R"({"topic":"a","event":"x","ref":"1","topic":"b","ref":"2"})").value();
  EXPECT_EQ(m.topic, "b");
  EXPECT_EQ(m.ref, "\"2\"");
}

TEST(Codec, Vsn_OtherThanTheTwo_IsRefused) {
  EXPECT_EQ(parse_wire_version("").value(), v1);
  EXPECT_EQ(parse_wire_version("1.0.0").value(), v1);
  EXPECT_EQ(parse_wire_version("2.0.0").value(), v2);
  for (const auto* vsn : {"2", "2.0.1", "3.0.0", " 1.0.0", "x"}) {
    EXPECT_EQ(parse_wire_version(vsn).error().code, errc::message_malformed) << vsn;
  }
}

TEST(Codec, ControlFrames_AreNoMessages) {
  EXPECT_FALSE(decode_message(v2, opcode::ping, "[]"));
  EXPECT_FALSE(decode_message(v2, opcode::close, ""));
}

// ---- binary pushes

TEST(Codec, Push_WithLongestFields_Decodes) {
  const std::string x(255, 'x');
  const auto m = decode_binary(push(x, x, x, x, "\"" + x.substr(2) + "\"", 0, "")).value();
  EXPECT_EQ(m.join_ref, "\"" + x + "\"");
  EXPECT_EQ(m.ref, "\"" + x + "\"");
  EXPECT_EQ(m.topic, x);
  EXPECT_EQ(m.user_event, x);
  EXPECT_EQ(m.payload, "");
}

TEST(Codec, Push_WithoutRefs_HasNulls) {
  const auto m = decode_binary(push("", "", "t", "e", "", 1, "{}")).value();
  EXPECT_EQ(m.join_ref, "null");
  EXPECT_EQ(m.ref, "null");
}

TEST(Codec, Push_RefWithQuote_IsEscaped) {
  EXPECT_EQ(decode_binary(push("\"", "\\", "t", "e", "", 1, "1")).value().join_ref, R"("\"")");
}

TEST(Codec, Push_OfAnyJson_KeepsItsBytes) {
  for (const std::string payload : {"1", "\"s\"", "null", "[1,2]", "{\"a\":1e99}", " {} "}) {
    EXPECT_EQ(decode_binary(push("1", "2", "t", "e", "", 1, payload)).value().payload, payload);
  }
  EXPECT_EQ(decode_binary(push("1", "2", "t", "e", "", 1, "")).value().payload, "{}");
}

TEST(Codec, Push_OfBrokenJson_IsRefused) {
  for (const std::string payload : {"{", "1,2", "1],[2", "}", "nul", "\"\xff\"", "{}{}"}) {
    EXPECT_FALSE(decode_binary(push("1", "2", "t", "e", "", 1, payload))) << payload;
  }
  EXPECT_FALSE(decode_binary(push("1", "2", "t", "e", "{", 1, "{}")));
  EXPECT_FALSE(decode_binary(push("1", "2", "t", "e", "", 2, "{}")));
}

TEST(Codec, Push_OfAnotherKindOrVersion_IsRefused) {
  const auto good = push("1", "2", "t", "e", "", 1, "{}");
  for (int kind = 0; kind < 256; ++kind) {
    auto other = good;
    other[0] = static_cast<char>(kind);
    EXPECT_EQ(decode_binary(other).has_value(), kind == 3);
  }
  EXPECT_FALSE(decode_message(v1, opcode::binary, good));
}

TEST(Codec, Push_CutAnywhereInItsTexts_IsRefused) {
  const auto good = push("10", "12", "realtime:room1", "cursor", "{}", 0, "");
  for (std::size_t bytes = 0; bytes < good.size(); ++bytes) {
    // A copy of the exact size, so that a sanitizer sees the smallest step too far.
    const std::vector<char> cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_FALSE(decode_binary({cut.data(), cut.size()})) << bytes;
  }
}

TEST(Codec, Push_OfClientsThatCountUtf16_IsRefused) {
  auto bad = push("10", "12", "realtime:café", "cursor", "", 1, "{\"x\":1}");
  bad[3] = static_cast<char>(bad[3] - 1);  // "é" counted as one
  EXPECT_EQ(decode_binary(bad).error().code, errc::message_malformed);
  bad = push("10", "12", "realtime:a", "naïve", "", 1, "{\"x\":1}");
  bad[4] = static_cast<char>(bad[4] - 1);
  EXPECT_EQ(decode_binary(bad).error().code, errc::message_malformed);
}

TEST(Codec, MutatedFrames_NeverDecodeToSomethingUnspliceable) {
  std::mt19937 random(17);
  const auto frames = recorded_frames();
  int good = 0;
  for (int round = 0; round < 20'000; ++round) {
    const auto& frame = frames[random() % frames.size()];
    std::string bytes = frame.bytes;
    for (auto changes = 1 + random() % 3; changes > 0; --changes) {
      const std::size_t at = random() % bytes.size();
      if (random() % 3 == 0)
        bytes.erase(at, 1 + random() % 8);
      else if (random() % 2 == 0)
        bytes[at] = "\"\\{}[],:0e-.tn\0\xff"[random() % 16];
      else
        bytes[at] = static_cast<char>(random());
      if (bytes.empty()) break;
    }
    const auto op = frame.is_binary ? opcode::binary : opcode::text;
    const auto message = decode_message(version_of(frame), op, bytes);
    if (!message || message->encoding == payload_encoding::binary) continue;
    ++good;
    for (const auto version : {v1, v2}) {
      const auto again = encode_push(version, message->join_ref, message->ref, message->topic,
                                     message->event, message->payload);
      const auto decoded = decode(version, opened(again));
      ASSERT_TRUE(decoded) << bytes;
      EXPECT_EQ(decoded->topic, message->topic);
      if (message->payload != "null") {
        std::string_view payload = message->payload;
        payload.remove_prefix(std::min(payload.find_first_not_of(" \t\r\n"), payload.size()));
        EXPECT_EQ(decoded->payload, payload.substr(0, payload.find_last_not_of(" \t\r\n") + 1));
      }
    }
  }
  EXPECT_GT(good, 1'000);
}

// ---- to a client

TEST(Codec, Reply_OfEachVersion_HasItsShape) {
  EXPECT_EQ(opened(encode_reply(v1, "\"1\"", "\"2\"", "t", "error", R"({"reason":"r"})")),
            R"({"ref":"2","topic":"t","event":"phx_reply",)"
            R"("payload":{"status":"error","response":{"reason":"r"}}})");
  EXPECT_EQ(opened(encode_reply(v2, "\"1\"", "\"2\"", "t", "error", R"({"reason":"r"})")),
            R"(["1","2","t","phx_reply",{"status":"error","response":{"reason":"r"}}])");
}

TEST(Codec, Push_TopicAndEvent_AreQuoted) {
  EXPECT_EQ(opened(encode_push(v2, "null", "null", "a\"b\\", "\n", "{}")),
            R"([null,null,"a\"b\\","\n",{}])");
  EXPECT_EQ(opened(encode_push(v1, "null", "null", "a\"b\\", "\n", "{}")),
            R"({"ref":null,"topic":"a\"b\\","event":"\n","payload":{}})");
}

TEST(Codec, Broadcast_OfAnyLength_IsOneExactAllocation) {
  for (const std::size_t bytes : {0U, 50U, 100U, 110U, 126U, 1'000U, 65'000U, 65'536U, 200'000U}) {
    const std::string half(bytes, 'x');
    for (const auto version : {v1, v2}) {
      const auto frame = encode_broadcast(version, "realtime:a", "e", {"\"", half, half, "\""});
      opened(frame, version == v1 ? opcode::text : opcode::binary);
      EXPECT_NE(frame.find('"' + half + half + '"'), std::string::npos);
    }
  }
}

TEST(Codec, Broadcast_WithNamesOver255Bytes_IsText) {
  const std::string x255(255, 'x'), x256(256, 'x');
  EXPECT_EQ(encode_broadcast(v2, x255, x255, {"{}"})[0], '\x82');
  EXPECT_EQ(opened(encode_broadcast(v2, x256, "e", {"{}"})),
            "[null,null,\"" + x256 +
                "\",\"broadcast\",{\"type\":\"broadcast\",\"event\":\"e\","
                "\"payload\":{}}]");
  EXPECT_EQ(opened(encode_broadcast(v2, "t", x256, {"{", "}"})),
            "[null,null,\"t\",\"broadcast\",{\"type\":\"broadcast\",\"event\":\"" + x256 +
                "\",\"payload\":{}}]");
}

TEST(Codec, BinaryBroadcast_WithNamesOver255Bytes_DoesNotExist) {
  const std::string x256(256, 'x');
  EXPECT_EQ(encode_binary_broadcast(x256, "e", "x"), "");
  EXPECT_EQ(encode_binary_broadcast("t", x256, "x"), "");
}

TEST(Codec, Quote_EscapesWhatJsonForbidsAndNothingElse) {
  EXPECT_EQ(json_quote(""), "\"\"");
  EXPECT_EQ(json_quote("a/é\x7f\xe2\x80\xa8"), "\"a/é\x7f\xe2\x80\xa8\"");
  EXPECT_EQ(json_quote("\"\\\b\f\n\r\t"), R"("\"\\\b\f\n\r\t")");
  EXPECT_EQ(json_quote(std::string("\0\x1f", 2)), R"("\u0000\u001f")");
  for (int c = 0; c < 128; ++c) {
    const std::string text(1, static_cast<char>(c));
    EXPECT_EQ(decode(v2, "[null,null," + json_quote(text) + ",\"e\",{}]").value().topic, text);
  }
}

}  // namespace
}  // namespace pgcast
