#include "protocol/observed_change.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgcast {
namespace {

std::string change(const std::string& type, const std::string& rows,
                   const std::string& columns = "[]") {
  return R"({"schema":"public","table":"offer","type":")" + type +
         R"(","commit_timestamp":"2026-11-22T20:00:00.123Z","errors":null,"columns":)" + columns +
         "," + rows + "}";
}

std::vector<observed_change::column> columns_of(const std::string& record,
                                                const std::string& columns = "[]") {
  return read_change(change("INSERT", "\"record\":" + record, columns)).value().columns;
}

TEST(ObservedChange, SaysWhatChanged) {
  const auto read =
      read_change(change("UPDATE", R"("record":{"id":5,"t":"x"},"old_record":{"id":5})")).value();
  EXPECT_EQ(read.table, "public.offer");
  EXPECT_EQ(read.type, "UPDATE");
  EXPECT_EQ(read.key, "id=5");
  EXPECT_EQ(read.commit_timestamp, "2026-11-22T20:00:00.123Z");
  EXPECT_EQ(read.id, read.commit_timestamp);
  EXPECT_EQ(read.columns.size(), 2U);
}

TEST(ObservedChange, SpellingOfValues_DoesNotCount) {
  EXPECT_EQ(columns_of(R"({"a":1.50,"b":{"x":[1,2],"y":null},"c":"é"})"),
            columns_of(R"({ "c":"\u00e9", "b": {"y":null,"x":[1.0, 2e0]}, "a": 15e-1})"));
  EXPECT_EQ(columns_of(R"({"a":12345678901234567.89})"), columns_of(R"({"a":12345678901234568})"))
      << "one double";
  const std::string type = R"([{"name":"a","type":"timestamptz"}])";
  EXPECT_EQ(columns_of(R"({"a":"2026-11-22T20:00:00+00:00"})", type),
            columns_of(R"({"a":"2026-11-22T21:00:00.000+01:00"})", type));
}

TEST(ObservedChange, DifferentValues_Differ) {
  for (const auto& [a, b] : {std::pair{R"({"a":1})", R"({"a":2})"},
                             {R"({"a":1})", R"({"a":"1"})"},
                             {R"({"a":1})", R"({"b":1})"},
                             {R"({"a":null})", R"({"a":""})"},
                             {R"({"a":[1,2]})", R"({"a":[2,1]})"},
                             {R"({"a":"2026-11-22T20:00:00+00:00"})",
                              R"({"a":"2026-11-22T21:00:00+01:00"})"},  // a text, not an instant
                             {R"({"a":"\ud800"})", R"({"a":"\ud801"})"}}) {
    EXPECT_NE(columns_of(a), columns_of(b)) << a << b;
  }
}

TEST(ObservedChange, OfDelete_IsTheOldRow) {
  const auto read = read_change(change("DELETE", R"("record":{},"old_record":{"a":"k"})")).value();
  EXPECT_EQ(read.columns, columns_of(R"({"a":"k"})"));
  EXPECT_EQ(read.key, R"(a="k")");
}

TEST(ObservedChange, IdsOfResume_AreNoColumns) {
  const auto read =
      read_change(change("INSERT", R"("record":{"a":1,"_pgcast_id":"77","_pgcast_cursor":"c"})"));
  EXPECT_EQ(read.value().columns, columns_of(R"({"a":1})"));
  EXPECT_EQ(read.value().id, "\"77\"");
  EXPECT_EQ(read.value().key, "a=1");
}

TEST(ObservedChange, Key_IsTheShorterOldRowOrIdOrTheFirstColumns) {
  const auto key_of = [](const std::string& rows) {
    return read_change(change("UPDATE", rows)).value().key;
  };
  EXPECT_EQ(key_of(R"("record":{"id":1,"a":2,"b":3},"old_record":{"a":2,"b":3})"), "a=2, b=3");
  EXPECT_EQ(key_of(R"("record":{"a":2,"id":1},"old_record":{"a":1,"id":1})"), "id=1");
  EXPECT_EQ(key_of(R"("record":{"a":1,"b":2,"c":3,"d":4})"), "a=1, b=2, c=3");
  EXPECT_EQ(key_of(R"("record":{"a":")" + std::string(115, 'x') + "éé" + R"("})"),
            "a=\"" + std::string(115, 'x') + "é...")
      << "cut between characters";
}

TEST(ObservedChange, WithoutRow_HasNoColumns) {
  const auto read = read_change(
      R"({"schema":"public","table":"t","type":"INSERT","errors":["Error 401: Unauthorized"]})");
  EXPECT_TRUE(read.value().columns.empty());
  EXPECT_EQ(read.value().committed, "");
}

TEST(ObservedChange, CommitTimes_StandInTheirOrder) {
  const auto at = [](const std::string& time) {
    return read_change(R"({"table":"t","type":"INSERT","commit_timestamp":")" + time + "\"}")
        .value()
        .committed;
  };
  EXPECT_LT(at("2026-11-22T20:00:00Z"), at("2026-11-22T20:00:00.001Z"));
  EXPECT_EQ(at("2026-11-22T20:00:00Z"), at("2026-11-22T21:00:00.000+01:00"));
}

TEST(ObservedChange, WhatIsNone_IsNone) {
  for (const auto* text :
       {"", "{", "[]", "{}", R"({"table":"t"})", R"({"table":1,"type":"INSERT"})"}) {
    EXPECT_FALSE(read_change(text)) << text;
  }
}

}  // namespace
}  // namespace pgcast
