#include "protocol/json_document.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace pgcast {
namespace {

TEST(JsonDocument, Grammar_IsThatOfRfc8259) {
  for (const auto* text : {"0",
                           "-0",
                           "10",
                           "0.5",
                           "1.25e10",
                           "1E+2",
                           "1e-2",
                           "-1.0E0",
                           "true",
                           "false",
                           "null",
                           "\"\"",
                           "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00Ff\"",
                           "[]",
                           "{}",
                           "[[],{}]",
                           "{\"\":{\"\":[0]}}",
                           " \t\r\n{ \"a\" : 1 } ",
                           "[1,\n2]",
                           "{\"a\":1,\"a\":2}",
                           "\"\\ud800\"",
                           "\"\\udc00\\ud800\"",
                           "\"\x7f\"",
                           "123456789012345678901234567890",
                           "1e400",
                           "-1e-400"}) {
    EXPECT_TRUE(is_json(text)) << text;
  }
  for (const auto* text : {"",
                           " ",
                           "01",
                           "-",
                           "+1",
                           ".5",
                           "1.",
                           "1.e1",
                           "1e",
                           "1e+",
                           "0x1",
                           "1_0",
                           "1 2",
                           "--1",
                           "-a",
                           "tru",
                           "True",
                           "truex",
                           "nul",
                           "nullnull",
                           "NaN",
                           "Infinity",
                           "'a'",
                           "\"",
                           "\"a",
                           "a\"",
                           "\"\\a\"",
                           "\"\\u12\"",
                           "\"\\u123g\"",
                           "\"\\\"",
                           "\"\t\"",
                           "\"\xff\"",
                           "[",
                           "]",
                           "[1",
                           "1]",
                           "[1,]",
                           "[,1]",
                           "[1,,2]",
                           "[1 2]",
                           "[1:2]",
                           "{",
                           "}",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{,}",
                           "{a:1}",
                           "{1:2}",
                           "{\"a\" 1}",
                           "{\"a\":1:2}",
                           "{\"a\":1 \"b\":2}",
                           "{\"\\x\":1}",
                           "[}",
                           "{]",
                           "[1}",
                           "{\"a\":1]",
                           "1,2",
                           "1],[2",
                           "[1],",
                           ",",
                           ":",
                           "{}[]",
                           "[]\v",
                           "// a\n1",
                           "{\"a\":\"b\"\"c\"}",
                           "[\"a\"1]"}) {
    EXPECT_FALSE(is_json(text)) << text;
  }
  EXPECT_FALSE(is_json(std::string_view("1\0", 2)));
  EXPECT_FALSE(is_json(std::string_view("\"\0\"", 3)));
}

TEST(JsonDocument, Depth_Over512_IsRefused) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(is_json(nested(512)));
  EXPECT_FALSE(is_json(nested(513)));
  EXPECT_FALSE(is_json(nested(1'000'000)));
  EXPECT_FALSE(is_json(std::string(1'000'000, '[')));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_FALSE(is_json(objects));
}

TEST(JsonDocument, RandomTexts_AreJudgedAsByAFullParser) {
  std::mt19937 random(19);
  const std::vector<std::string> tokens = {
      "{",    "}", "[",  "]",  ",", ":", "\"a\"", "\"\\u0041\"", "1",     "-2.5e3", "true",
      "null", " ", "\"", "\\", "0", "e", "x",     "{\"a\":1}",   "[1,2]", "\"a\":"};
  simdjson::dom::parser parser;
  int good = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string text;
    for (auto count = 1 + random() % 9; count > 0; --count)
      text += tokens[random() % tokens.size()];
    simdjson::dom::element element;
    const auto verdict = parser.parse(text).get(element);
    if (verdict == simdjson::NUMBER_ERROR && text.find('e') != text.npos) continue;  // or no double
    ASSERT_EQ(is_json(text), verdict == simdjson::SUCCESS) << text << ' ' << verdict;
    good += verdict == simdjson::SUCCESS;
  }
  EXPECT_GT(good, 1'000);
}

TEST(JsonDocument, Values_AreGivenAsTheyStand) {
  json_document document(R"( {"a" : [ 1, {"b":2} ] , "\u0062":"x\ny", "n": -1.50 , "a": {} })");
  ASSERT_TRUE(document.is_valid());
  std::vector<std::string> seen;
  EXPECT_TRUE(for_each_member(document.root(), [&](std::string_view key, json_value value) {
    seen.push_back(std::string(key) + "=" + std::string(raw_json(value)));
  }));
  EXPECT_EQ(seen,
            (std::vector<std::string>{"a=[ 1, {\"b\":2} ]", "b=\"x\\ny\"", "n=-1.50", "a={}"}));
}

TEST(JsonDocument, Root_CanBeAskedForAgain) {
  json_document document("[\"a\", 2]");
  for (int round = 0; round < 3; ++round) {
    std::string seen;
    EXPECT_TRUE(for_each_element(document.root(), [&](json_value value) {
      seen += string_of(value).value_or("-");
      if (const auto number = number_of(value)) seen += std::to_string(*number);
    }));
    EXPECT_EQ(seen, "a-2.000000");
  }
}

TEST(JsonDocument, Valid_IsWhatIsJson) {
  EXPECT_TRUE(json_document("{\"a\":1}").is_valid());
  EXPECT_TRUE(json_document(" 1 ").is_valid());
  EXPECT_FALSE(json_document("{\"a\":1").is_valid());
  EXPECT_FALSE(json_document("1],[2").is_valid());
}

TEST(JsonDocument, Members_OfWhatIsNoObject_AreNone) {
  for (const auto* text : {"[1]", "1", "\"a\"", "null"}) {
    json_document document(text);
    EXPECT_FALSE(is_object(document.root()));
    EXPECT_FALSE(for_each_member(document.root(), [](std::string_view, json_value) { FAIL(); }));
  }
}

TEST(JsonDocument, Scalars_AreReadByType) {
  json_document document(R"([1e400, "\ud800", "\udc00", "x", 7, true])");
  std::vector<std::string> seen;
  for_each_element(document.root(), [&](json_value value) {
    seen.push_back(string_of(value) ? "text" : number_of(value) ? "number" : "none");
  });
  EXPECT_EQ(seen, (std::vector<std::string>{"none", "none", "none", "text", "number", "none"}));
}

}  // namespace
}  // namespace pgcast
