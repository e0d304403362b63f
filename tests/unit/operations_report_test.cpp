#include "daemon/operations_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <string>

namespace pgcast {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;
using std::chrono::system_clock;
using testing::HasSubstr;

const system_clock::time_point k_now{seconds(1'767'323'045)};  // 2026-01-02T03:04:05Z

void expect_json(const std::string& text) {
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  EXPECT_EQ(parser.parse(text).get(document), simdjson::SUCCESS) << text;
}

traced_event moved_row() {
  traced_event e;
  e.id = 12;
  e.op = operation::update;
  e.schema = "public";
  e.table = "session_info";
  e.commit_timestamp = "2026-01-02T03:04:04.998Z";
  e.read_at = k_now;
  e.topics = {{"campaign:\"a\"", true, false}, {"campaign:b", false, true}};
  return e;
}

TEST(OperationsReport, Empty_IsValid) {
  const auto text = encode_operations({});
  expect_json(text);
  EXPECT_THAT(text, HasSubstr(R"("lag":{"read":{"newest":null,"longest":null})"));
  EXPECT_THAT(text, HasSubstr(R"("threads":[],"topics":[],"events":[],"problems":[])"));
}

TEST(OperationsReport, Everything_StandsInIt) {
  operations_report r;
  r.at = k_now;
  r.version = "1.2.3";
  r.source = {"lost", "it is \"away\"", false, "no\nway"};
  r.read_lag = {microseconds(1'500), microseconds(2'000'000)};
  thread_report one;
  one.connections = 3;
  one.lag = {microseconds(10), std::nullopt};
  thread_report other;
  other.lag = {microseconds(20), microseconds(30)};
  r.threads = {one, other};
  r.topics = {{"session:a", 2}};
  const auto event = moved_row();
  r.events = {&event};
  r.problems = {{k_now, "warn", "source lost"}};
  const auto text = encode_operations(r);
  expect_json(text);
  EXPECT_THAT(text, HasSubstr(R"("at":"2026-01-02T03:04:05+00:00","version":"1.2.3")"));
  EXPECT_THAT(text, HasSubstr(R"("state":"lost","detail":"it is \"away\"","ready":false)"));
  EXPECT_THAT(text, HasSubstr(R"("read":{"newest":0.0015,"longest":2})"));
  EXPECT_THAT(text, HasSubstr(R"("publish":{"newest":0.00002,"longest":0.00003})"));
  EXPECT_THAT(text, HasSubstr(R"("topics":[{"topic":"session:a","subscribers":2}])"));
  EXPECT_THAT(text, HasSubstr(R"("level":"warn","message":"source lost")"));
  EXPECT_THAT(text, HasSubstr(R"("pgcast_joins_total":{"ok":)"));
}

TEST(OperationsReport, Trace_HasNullWhereItIsNotPublishedYet) {
  const auto text = encode_trace(moved_row(), {handed_event{12, 4, 1, k_now}, std::nullopt});
  expect_json(text);
  EXPECT_THAT(text, HasSubstr(R"("id":"12")"));
  EXPECT_THAT(text, HasSubstr(R"("operation":"UPDATE")"));
  EXPECT_THAT(text, HasSubstr(R"({"topic":"campaign:\"a\"","old":true,"new":false})"));
  EXPECT_THAT(text, HasSubstr(R"("threads":[{"subscribers":4,"changes":1,"published_at":")"));
  EXPECT_THAT(text, HasSubstr(R"(,null]})"));
}

}  // namespace
}  // namespace pgcast
