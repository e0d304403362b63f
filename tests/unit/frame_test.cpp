#include "protocol/frame.hpp"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <random>
#include <vector>

namespace pgcast {
namespace {

using kind = frame_parser::step::kind;

constexpr unsigned k_fin = 0x80;
constexpr std::array<char, 4> k_mask{'\x37', '\xfa', '\x21', '\x3d'};

std::string big_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

std::string masked(std::string_view payload, std::array<char, 4> mask = k_mask) {
  std::string out(mask.begin(), mask.end());
  for (std::size_t i = 0; i < payload.size(); ++i) {
    out += static_cast<char>(payload[i] ^ mask[i % 4]);
  }
  return out;
}

/// A frame as a client sends it; `first` is its first byte.
std::string sent(unsigned first, std::string_view payload) {
  std::string out(1, static_cast<char>(first));
  if (payload.size() < 126) {
    out += static_cast<char>(0x80 | payload.size());
  } else if (payload.size() <= 0xffff) {
    out += '\xfe' + big_endian(payload.size(), 2);
  } else {
    out += '\xff' + big_endian(payload.size(), 8);
  }
  return out + masked(payload);
}

std::string text(std::string_view payload) { return sent(k_fin | 1, payload); }
std::string closing(unsigned code, std::string_view reason = {}) {
  return sent(k_fin | 8, big_endian(code, 2) + std::string(reason));
}

/// What a parser says about `bytes`: "text:..", "ping:..", at the end "1002" or the like.
using verdicts = std::vector<std::string>;

std::string name_of(opcode op) {
  switch (op) {
    case opcode::text:
      return "text:";
    case opcode::binary:
      return "binary:";
    case opcode::close:
      return "close:";
    case opcode::ping:
      return "ping:";
    case opcode::pong:
      return "pong:";
  }
  return "?";
}

/// Feeds one chunk; false after a violation.
bool feed(frame_parser& parser, std::string chunk, const frame_limits& limits, verdicts& out) {
  std::span<char> input(chunk);
  while (true) {
    const auto step = parser.next(input, limits);
    if (step.what == kind::need_more) {
      EXPECT_TRUE(input.empty());
      return true;
    }
    if (step.what == kind::violation) {
      EXPECT_FALSE(step.reason.empty());
      EXPECT_LE(step.reason.size(), 123U);
      out.push_back(std::to_string(step.close_code));
      return false;
    }
    out.push_back(name_of(step.op) + std::string(step.payload));
  }
}

verdicts parse_in_chunks(std::string_view bytes, const frame_limits& limits,
                         const std::function<std::size_t()>& chunk_bytes) {
  frame_parser parser;
  verdicts out;
  while (!bytes.empty()) {
    const auto count = std::min(bytes.size(), chunk_bytes());
    if (!feed(parser, std::string(bytes.substr(0, count)), limits, out)) return out;
    bytes.remove_prefix(count);
  }
  return out;
}

verdicts parse(std::string_view bytes, const frame_limits& limits = {}) {
  return parse_in_chunks(bytes, limits, [&] { return bytes.size(); });
}

// ---- one verdict a case, whatever the chunks

struct frame_case {
  std::string name;
  std::string bytes;
  verdicts expected;
};

void PrintTo(const frame_case& c, std::ostream* out) { *out << c.name; }

const std::string k_euro = "\xe2\x82\xac";

std::vector<frame_case> frame_cases() {
  const std::string x125(125, 'x'), x126(126, 'x'), x65535(65'535, 'x'), x65536(65'536, 'x');
  const std::string mask(k_mask.begin(), k_mask.end());
  std::vector<frame_case> cases = {
      {"EmptyText", text(""), {"text:"}},
      {"ShortText", text("Hello"), {"text:Hello"}},
      {"TextOfSevenBytes", text("1234567"), {"text:1234567"}},
      {"TextOfEightBytes", text("12345678"), {"text:12345678"}},
      {"TextOfNineBytes", text("123456789"), {"text:123456789"}},
      {"Binary", sent(k_fin | 2, std::string("\0\xff", 2)), {std::string("binary:\0\xff", 9)}},
      {"LongestOfOneLengthByte", text(x125), {"text:" + x125}},
      {"ShortestOfTwoLengthBytes", text(x126), {"text:" + x126}},
      {"LongestOfTwoLengthBytes", text(x65535), {"text:" + x65535}},
      {"ShortestOfEightLengthBytes", text(x65536), {"text:" + x65536}},
      {"TwoMessages", text("a") + text("b"), {"text:a", "text:b"}},
      {"Ping", sent(k_fin | 9, "p"), {"ping:p"}},
      {"EmptyPing", sent(k_fin | 9, ""), {"ping:"}},
      {"LongestPing", sent(k_fin | 9, x125), {"ping:" + x125}},
      {"UnsolicitedPong", sent(k_fin | 10, "q"), {"pong:q"}},
      {"TwoFragments", sent(1, "ab") + sent(k_fin, "cd"), {"text:abcd"}},
      {"ThreeFragments", sent(1, "a") + sent(0, "b") + sent(k_fin, "c"), {"text:abc"}},
      {"BinaryFragments", sent(2, "a") + sent(k_fin, "\xff"), {"binary:a\xff"}},
      {"EmptyFragments", sent(1, "") + sent(0, "") + sent(k_fin, ""), {"text:"}},
      {"EmptyMiddleFragment", sent(1, "a") + sent(0, "") + sent(k_fin, "b"), {"text:ab"}},
      {"PingBetweenFragments",
       sent(1, "a") + sent(k_fin | 9, "p") + sent(k_fin, "b"),
       {"ping:p", "text:ab"}},
      {"TwoPingsBetweenFragments",
       sent(1, "a") + sent(k_fin | 9, "p") + sent(k_fin | 9, "") + sent(k_fin, "b"),
       {"ping:p", "ping:", "text:ab"}},
      {"CloseBetweenFragments", sent(1, "a") + closing(1000), {"close:\x03\xe8"}},
      {"MessageAfterFragments",
       sent(1, "a") + sent(k_fin, "b") + text("c") + sent(1, "d") + sent(k_fin, "e"),
       {"text:ab", "text:c", "text:de"}},
      {"CharacterOverFragments", sent(1, "\xe2\x82") + sent(k_fin, "\xac"), {"text:" + k_euro}},
      {"TextWithNul", text(std::string("a\0b", 3)), {std::string("text:a\0b", 8)}},
      {"NonCharacterIsUtf8", text("\xef\xbf\xbf"), {"text:\xef\xbf\xbf"}},
      {"HighestCharacter", text("\xf4\x8f\xbf\xbf"), {"text:\xf4\x8f\xbf\xbf"}},

      {"CloseWithoutCode", sent(k_fin | 8, ""), {"close:"}},
      {"CloseWithReason",
       closing(1000, "bye"),
       {"close:\x03\xe8"
        "bye"}},
      {"CloseWithLongestReason",
       closing(1000, std::string(123, 'r')),
       {"close:\x03\xe8" + std::string(123, 'r')}},
      {"CloseOfOneByte", sent(k_fin | 8, "\x03"), {"1002"}},
      {"CloseReasonNotUtf8", closing(1000, "\xff"), {"1007"}},
      {"CloseTooLong", sent(k_fin | 8, big_endian(1000, 2) + std::string(124, 'r')), {"1002"}},

      {"Unmasked", "\x81\x05Hello", {"1002"}},
      {"UnmaskedAfterGood", text("a") + "\x81\x05Hello", {"text:a", "1002"}},
      {"UnmaskedPing", std::string("\x89\0", 2), {"1002"}},
      {"Rsv1", sent(k_fin | 0x40 | 1, "a"), {"1002"}},
      {"Rsv2", sent(k_fin | 0x20 | 1, "a"), {"1002"}},
      {"Rsv3", sent(k_fin | 0x10 | 1, "a"), {"1002"}},
      {"RsvOnPing", sent(k_fin | 0x40 | 9, ""), {"1002"}},
      {"RsvOnContinuation", sent(1, "a") + sent(k_fin | 0x40, "b"), {"1002"}},
      {"FragmentedPing", sent(9, "p"), {"1002"}},
      {"FragmentedClose", sent(8, big_endian(1000, 2)), {"1002"}},
      {"PingOf126Bytes", sent(k_fin | 9, x126), {"1002"}},
      {"PongWithEightLengthBytes", sent(k_fin | 10, x65536), {"1002"}},
      {"ContinuationOfNothing", sent(k_fin, "a"), {"1002"}},
      {"OpenContinuationOfNothing", sent(0, "a"), {"1002"}},
      {"ContinuationAfterWholeMessage", text("a") + sent(k_fin, "b"), {"text:a", "1002"}},
      {"ContinuationAfterLastFragment",
       sent(1, "a") + sent(k_fin, "b") + sent(k_fin, "c"),
       {"text:ab", "1002"}},
      {"NewTextAmidFragments", sent(1, "a") + text("b"), {"1002"}},
      {"NewBinaryAmidFragments", sent(1, "a") + sent(2, "b"), {"1002"}},
      {"TwoLengthBytesFor125", "\x81\xfe" + big_endian(125, 2) + masked(x125), {"1002"}},
      {"TwoLengthBytesForNothing", "\x81\xfe" + big_endian(0, 2) + mask, {"1002"}},
      {"EightLengthBytesFor65535", "\x82\xff" + big_endian(65'535, 8) + mask, {"1002"}},
      {"EightLengthBytesForOne", "\x82\xff" + big_endian(1, 8) + masked("a"), {"1002"}},

      {"Length2To63", "\x82\xff" + big_endian(1ULL << 63, 8) + mask, {"1009"}},
      {"LengthAllOnes", "\x82\xff" + big_endian(~0ULL, 8) + mask, {"1009"}},
      {"Length2To63Less1", "\x82\xff" + big_endian((1ULL << 63) - 1, 8) + mask, {"1009"}},
      {"LengthOverLimit", "\x82\xff" + big_endian(5'000'001, 8) + mask, {"1009"}},
      {"LengthOverLimitOfFragment",
       sent(2, "a") + "\x80\xff" + big_endian(5'000'000, 8) + mask,
       {"1009"}},
      {"LengthWrapsWithFragment",
       sent(2, "a") + "\x80\xff" + big_endian(~0ULL, 8) + mask,
       {"1009"}},

      {"LoneContinuationByte", text("\x80"), {"1007"}},
      {"CutCharacter", text("a\xe2\x82"), {"1007"}},
      {"OverlongSlash", text("\xc0\xaf"), {"1007"}},
      {"OverlongNul", text("\xe0\x80\x80"), {"1007"}},
      {"Surrogate", text("\xed\xa0\x80"), {"1007"}},
      {"BeyondUnicode", text("\xf4\x90\x80\x80"), {"1007"}},
      {"FiveByteForm", text("\xf8\x88\x80\x80\x80"), {"1007"}},
      {"ByteFe", text("\xfe"), {"1007"}},
      {"BadUtf8FarBehind", text(std::string(1000, 'a') + "\xff"), {"1007"}},
      {"CutCharacterOverFragments", sent(1, "\xe2") + sent(k_fin, "\x82"), {"1007"}},
      {"BadUtf8InBinary", sent(k_fin | 2, "\xff"), {"binary:\xff"}},
  };
  for (const unsigned op : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U}) {
    cases.push_back({"ReservedOpcode" + std::to_string(op), sent(k_fin | op, ""), {"1002"}});
  }
  for (const unsigned code : {1000U, 1001U, 1002U, 1003U, 1007U, 1008U, 1009U, 1010U, 1011U, 1012U,
                              1013U, 1014U, 3000U, 3999U, 4000U, 4999U}) {
    cases.push_back(
        {"CloseCode" + std::to_string(code), closing(code), {"close:" + big_endian(code, 2)}});
  }
  for (const unsigned code :
       {0U, 1U, 999U, 1004U, 1005U, 1006U, 1015U, 1016U, 1100U, 2000U, 2999U, 5000U, 65'535U}) {
    cases.push_back({"CloseCode" + std::to_string(code), closing(code), {"1002"}});
  }
  return cases;
}

class FrameCase : public testing::TestWithParam<frame_case> {};

TEST_P(FrameCase, Parse_InOneChunk_GivesVerdict) {
  EXPECT_EQ(parse(GetParam().bytes), GetParam().expected);
}

TEST_P(FrameCase, Parse_ByteByByte_GivesSameVerdict) {
  EXPECT_EQ(parse_in_chunks(GetParam().bytes, {}, [] { return 1; }), GetParam().expected);
}

TEST_P(FrameCase, Parse_InRandomChunks_GivesSameVerdict) {
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    const std::size_t most = round < 10 ? 9 : GetParam().bytes.size();
    const auto chunk = [&] { return 1 + random() % most; };
    ASSERT_EQ(parse_in_chunks(GetParam().bytes, {}, chunk), GetParam().expected) << round;
  }
}

INSTANTIATE_TEST_SUITE_P(All, FrameCase, testing::ValuesIn(frame_cases()),
                         [](const auto& test) { return test.param.name; });

// ---- streams, limits, memory

TEST(FrameParser, RandomStreams_InRandomChunks_EqualOneShot) {
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    std::string bytes;
    verdicts expected;
    const auto add_ping = [&] {
      const std::string payload(random() % 126, 'p');
      bytes += sent(k_fin | 9, payload);
      expected.push_back("ping:" + payload);
    };
    for (int message = 0; message < 5; ++message) {
      std::string whole;
      const auto fragments = 1 + random() % 4;
      for (unsigned i = 0; i < fragments; ++i) {
        const std::string payload(random() % 3 == 0 ? random() % 70'000 : random() % 200,
                                  static_cast<char>('a' + random() % 26));
        const unsigned fin = i + 1 == fragments ? k_fin : 0;
        bytes += sent(fin | (i == 0 ? 1U : 0U), payload);
        whole += payload;
        if (fin == 0 && random() % 2 == 0) add_ping();
      }
      expected.push_back("text:" + whole);
      if (random() % 3 == 0) add_ping();
    }
    if (round % 4 == 0) {
      bytes += "\x81\x01z";
      expected.emplace_back("1002");
    }
    const std::size_t most = 1 + random() % (random() % 2 == 0 ? 40 : 20'000);
    ASSERT_EQ(parse_in_chunks(bytes, {}, [&] { return 1 + random() % most; }), expected);
  }
}

TEST(FrameParser, RandomBytes_InRandomChunks_GiveTheVerdictOfOneShot) {
  std::mt19937 random(13);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (!bytes.empty() && random() % 2 == 0) bytes[0] = static_cast<char>(0x80 | random() % 16);
    if (bytes.size() > 1 && random() % 2 == 0) bytes[1] = static_cast<char>(0x80 | random() % 20);
    ASSERT_EQ(parse_in_chunks(bytes, {}, [&] { return 1 + random() % 5; }), parse(bytes));
  }
}

TEST(FrameParser, WholeFrame_IsUnmaskedInPlaceWithoutKeepingAnything) {
  std::string chunk = text("in place");
  const char* end = chunk.data() + chunk.size();
  std::span<char> input(chunk);
  frame_parser parser;
  const auto step = parser.next(input, {});
  EXPECT_EQ(step.payload, "in place");
  EXPECT_EQ(step.payload.data() + step.payload.size(), end);
  EXPECT_TRUE(input.empty());
  EXPECT_TRUE(parser.is_idle());
}

TEST(FrameParser, EmptyInput_NeedsMoreAndKeepsNothing) {
  frame_parser parser;
  std::span<char> input;
  EXPECT_EQ(parser.next(input, {}).what, kind::need_more);
  EXPECT_TRUE(parser.is_idle());
}

TEST(FrameParser, AfterPartialMessage_IsIdleAgain) {
  const std::string bytes = sent(1, "ab") + sent(k_fin | 9, "p") + sent(k_fin, "cd");
  frame_parser parser;
  verdicts out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_EQ(parser.is_idle(), i == 0) << i;
    feed(parser, bytes.substr(i, 1), {}, out);
  }
  EXPECT_EQ(out, (verdicts{"ping:p", "text:abcd"}));
  EXPECT_TRUE(parser.is_idle());
}

TEST(FrameParser, HeadInTwoChunks_IsIdleAfterItsMessage) {
  const std::string bytes = text("abc");
  frame_parser parser;
  verdicts out;
  feed(parser, bytes.substr(0, 3), {}, out);
  EXPECT_FALSE(parser.is_idle());
  feed(parser, bytes.substr(3), {}, out);
  EXPECT_EQ(out, verdicts{"text:abc"});
  EXPECT_TRUE(parser.is_idle());
}

TEST(FrameParser, MovedParser_GoesOnWhereTheOldOneWas) {
  const std::string bytes = text("abcdef");
  frame_parser first;
  verdicts out;
  feed(first, bytes.substr(0, 8), {}, out);
  frame_parser second = std::move(first);
  feed(second, bytes.substr(8), {}, out);
  EXPECT_EQ(out, verdicts{"text:abcdef"});
}

TEST(FrameParser, MessageAtTheLimit_Passes) {
  const frame_limits limits{10, 4};
  EXPECT_EQ(parse(text("0123456789"), limits), verdicts{"text:0123456789"});
  EXPECT_EQ(parse(text("0123456789a"), limits), verdicts{"1009"});
  EXPECT_EQ(parse(sent(1, "01234") + sent(k_fin, "56789"), limits), verdicts{"text:0123456789"});
  EXPECT_EQ(parse(sent(1, "01234") + sent(k_fin, "56789a"), limits), verdicts{"1009"});
}

TEST(FrameParser, LimitLowered_DuringAMessage_IsAViolation) {
  frame_parser parser;
  verdicts out;
  feed(parser, sent(1, "0123456789"), {10, 4}, out);
  feed(parser, sent(k_fin, ""), {5, 4}, out);
  EXPECT_EQ(out, verdicts{"1009"});
}

TEST(FrameParser, ControlFrames_DoNotCountAsTheMessage) {
  const frame_limits limits{4, 4};
  EXPECT_EQ(parse(sent(1, "ab") + sent(k_fin | 9, "12345") + sent(k_fin, "cd"), limits),
            (verdicts{"ping:12345", "text:abcd"}));
}

TEST(FrameParser, Fragments_OverTheLimit_AreAViolation) {
  const frame_limits limits{1'000, 3};
  EXPECT_EQ(parse(sent(1, "") + sent(0, "") + sent(k_fin, ""), limits), verdicts{"text:"});
  EXPECT_EQ(parse(sent(1, "") + sent(0, "") + sent(0, "") + sent(k_fin, ""), limits),
            verdicts{"1009"});
}

TEST(FrameParser, EmptyFragments_WithoutEnd_AreCutAtTheDefaultLimit) {
  std::string bytes = sent(1, "");
  for (int i = 0; i < 2'000; ++i) bytes += sent(0, "");
  EXPECT_EQ(parse(bytes), verdicts{"1009"});
}

TEST(FrameParser, OpenHugeFrame_KeepsOnlyWhatCame) {
  // 5 MB announced, 1 byte sent: a thousand such peers must not cost 5 GB.
  const std::string start = sent(k_fin | 2, std::string(5'000'000, 'x')).substr(0, 15);
  std::vector<frame_parser> parsers(1'000);
  for (auto& parser : parsers) {
    verdicts out;
    feed(parser, start, {}, out);
    EXPECT_TRUE(out.empty());
    EXPECT_FALSE(parser.is_idle());
  }
}

// ---- frames of the server

TEST(Frame, Header_OfEachLength_IsShortest) {
  const auto header = [](std::size_t bytes) {
    std::string out;
    append_frame_header(out, opcode::binary, bytes);
    return out;
  };
  EXPECT_EQ(header(0), std::string("\x82\0", 2));
  EXPECT_EQ(header(125), "\x82\x7d");
  EXPECT_EQ(header(126), std::string("\x82\x7e\0\x7e", 4));
  EXPECT_EQ(header(65'535), "\x82\x7e\xff\xff");
  EXPECT_EQ(header(65'536), std::string("\x82\x7f\0\0\0\0\0\x01\0\0", 10));
}

TEST(Frame, Make_PutsHeaderBeforePayload) {
  EXPECT_EQ(make_frame(opcode::text, "Hello"), "\x81\x05Hello");
  EXPECT_EQ(make_frame(opcode::pong, ""), std::string("\x8a\0", 2));
}

TEST(Frame, MakeClose_CutsReasonBetweenCharacters) {
  EXPECT_EQ(make_close_frame(1012, "bye"),
            "\x88\x05\x03\xf4"
            "bye");
  EXPECT_EQ(make_close_frame(1000, std::string(200, 'r')).size(), 2U + 125U);
  const auto frame = make_close_frame(1000, std::string(122, 'r') + k_euro);
  EXPECT_EQ(frame.size(), 2U + 2U + 122U);
  EXPECT_EQ(static_cast<unsigned char>(frame[1]), 124U);
}

TEST(Frame, Accept_OfTheKeyOfRfc6455_IsItsAnswer) {
  EXPECT_EQ(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

}  // namespace
}  // namespace pgcast
