#include "daemon/log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstdlib>

namespace pgcast {
namespace {

using spdlog::level::level_enum;

constexpr std::int64_t k_time = 1'767'323'045'678;  // 2026-01-02T03:04:05.678Z

TEST(Log, Text_HasTimeLevelAndMessage) {
  EXPECT_EQ(format_log_line(log_format::text, k_time, level_enum::info, "ready"),
            "2026-01-02T03:04:05.678Z info  ready");
  EXPECT_EQ(format_log_line(log_format::text, k_time, level_enum::err, "gone"),
            "2026-01-02T03:04:05.678Z error gone");
}

TEST(Log, Journald_StartsWithPriority) {
  EXPECT_EQ(format_log_line(log_format::journald, k_time, level_enum::info, "a"), "<6>a");
  EXPECT_EQ(format_log_line(log_format::journald, k_time, level_enum::warn, "a"), "<4>a");
  EXPECT_EQ(format_log_line(log_format::journald, k_time, level_enum::err, "a"), "<3>a");
}

TEST(Log, Json_StaysValidWhateverTheMessage) {
  const std::string nasty =
      std::string("quote \" back \\ lf \n esc \x1b nul ") + '\0' + " \xff\xc3";
  const auto line = format_log_line(log_format::json, k_time, level_enum::warn, nasty);
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  ASSERT_EQ(parser.parse(line).get(document), simdjson::SUCCESS) << line;
  EXPECT_EQ(std::string_view(document["level"]), "warn");
  EXPECT_EQ(std::string_view(document["time"]), "2026-01-02T03:04:05.678Z");
  EXPECT_EQ(std::string_view(document["message"]),
            "quote \" back \\ lf \\n esc \\x1b nul \\x00 \\xff\\xc3");
}

TEST(Log, EveryFormat_KeepsHostileMessageOnOneLine) {
  for (const auto format : {log_format::text, log_format::json, log_format::journald}) {
    const auto line = format_log_line(format, k_time, level_enum::info,
                                      "topic a\r\n<0>forged\x1b[2J\xc2\x9b"
                                      "2J");
    EXPECT_EQ(line.find_first_of("\r\n\x1b"), std::string::npos) << line;
    EXPECT_EQ(line.find("\xc2\x9b"), std::string::npos) << line;
  }
}

TEST(Log, Utf8_IsNotTouched) {
  EXPECT_EQ(escape_control_characters("caf\xc3\xa9 \xe2\x98\x95"), "caf\xc3\xa9 \xe2\x98\x95");
}

TEST(Log, Automatic_IsJsonWithoutTerminalAndJournal) {
  unsetenv("JOURNAL_STREAM");
  if (isatty(2) == 1) GTEST_SKIP() << "the standard error is a terminal";
  EXPECT_EQ(resolve_log_format(log_format::automatic), log_format::json);
  setenv("JOURNAL_STREAM", "1:2", 1);  // inherited, but not of this standard error
  EXPECT_EQ(resolve_log_format(log_format::automatic), log_format::json);
  unsetenv("JOURNAL_STREAM");
  EXPECT_EQ(resolve_log_format(log_format::text), log_format::text);
}

TEST(Log, Level_FollowsConfiguration) {
  start_logging(log_format::text, "warn");
  EXPECT_FALSE(spdlog::should_log(level_enum::info));
  EXPECT_TRUE(spdlog::should_log(level_enum::warn));
  set_log_level("debug");
  EXPECT_TRUE(spdlog::should_log(level_enum::debug));
  set_log_level("error");
  EXPECT_FALSE(spdlog::should_log(level_enum::warn));
}

TEST(Log, Problems_AreTheWarningsAndErrors_NewestFirst) {
  start_logging(log_format::text, "info");
  spdlog::info("no problem");
  spdlog::warn("first\n");
  spdlog::error("second");
  const auto found = recent_problems();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].message, "second");
  EXPECT_EQ(found[0].level, "error");
  EXPECT_EQ(found[1].message, "first\\n");
  for (int n = 0; n < 150; ++n) spdlog::warn("again");
  EXPECT_EQ(recent_problems().size(), 100U);
}

}  // namespace
}  // namespace pgcast
