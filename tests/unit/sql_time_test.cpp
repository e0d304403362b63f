#include "protocol/sql_time.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace pgcast {
namespace {

TEST(SqlTime, Timestamp_IsWrittenAsItWasRead) {
  for (const auto* text : {"1970-01-01T00:00:00+00:00", "2026-11-27T10:20:30.5+00:00",
                           "2000-02-29T23:59:59+00:00", "1969-12-31T23:59:59.999999+00:00",
                           "1600-03-01T00:00:00.000001+00:00", "12345-01-31T00:00:00+00:00",
                           "0044-03-15T12:00:00+00:00 BC", "4713-01-01T00:00:00+00:00 BC",
                           "294276-12-31T23:59:59.999999+00:00", "infinity", "-infinity"}) {
    const auto us = timestamp_us(text);
    ASSERT_TRUE(us) << text;
    EXPECT_EQ(timestamp_text(*us), text);
  }
}

TEST(SqlTime, Timestamp_IsInUtc) {
  EXPECT_EQ(timestamp_us("2000-01-01T00:00:00+00:00"), 0);
  EXPECT_EQ(timestamp_us("2000-01-01T01:00:00.25+01:00"), 250'000);
  EXPECT_EQ(timestamp_us("2000-01-01T00:00:01"), 1'000'000) << "a timestamp without time zone";
  EXPECT_EQ(timestamp_us("infinity"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(timestamp_us("yesterday"), std::nullopt);
}

// As SELECT extract(epoch FROM interval '..') says.
TEST(SqlTime, Interval_IsItsEpoch) {
  EXPECT_EQ(interval_us("00:01:30.25"), 90'250'000);
  EXPECT_EQ(interval_us("-00:00:00.000001"), -1);
  EXPECT_EQ(interval_us("1 day 02:00:00"), 93'600'000'000);
  EXPECT_EQ(interval_us("1 mon"), 2'592'000'000'000);
  EXPECT_EQ(interval_us("1 year 2 mons 3 days"), 37'000'800'000'000);
  EXPECT_EQ(interval_us("-1 years -2 mons"), -36'741'600'000'000);
  EXPECT_EQ(interval_us("2562047788:00:54.775807"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(interval_us("178000000 years"), wide_us_of("5617252800000000000000"));
  EXPECT_EQ(interval_us("-178000000 years"), wide_us_of("-5617252800000000000000"));
  EXPECT_EQ(interval_us("infinity"), std::nullopt);
  EXPECT_EQ(interval_us("5"), std::nullopt);
}

TEST(SqlTime, Seconds_KeepTheirFractions) {
  EXPECT_EQ(seconds_text(0), "0");
  EXPECT_EQ(seconds_text(12'000'000), "12");
  EXPECT_EQ(seconds_text(250'000), "0.25");
  EXPECT_EQ(seconds_text(-3'000'001), "-3.000001");
  EXPECT_EQ(seconds_text(-1), "-0.000001");
  EXPECT_EQ(seconds_text(wide_us_of("-5617252800000000000001")), "-5617252800000000.000001");
}

}  // namespace
}  // namespace pgcast
