#include "protocol/api_request.hpp"

#include <gtest/gtest.h>

namespace pgcast {
namespace {

using path = std::vector<std::string>;

api_result<api_request> parse(const path& p, const query_parameters& q = {}) {
  return parse_api_request(p, q);
}
std::string code_of(const api_result<api_request>& r) {
  return r ? "ok" : std::string{r.error().code};
}

TEST(ApiRequest, KnowsItsPaths) {
  const std::vector<std::tuple<path, api_route, std::string>> known{
      {{"campaigns"}, api_route::campaigns, ""},
      {{"campaigns", "a/b"}, api_route::campaign, "a/b"},
      {{"campaigns", "a", "sessions"}, api_route::campaign_sessions, "a"},
      {{"sessions", "s"}, api_route::session, "s"},
      {{"sessions", "s", "calls"}, api_route::session_calls, "s"},
      {{"phones", "+44"}, api_route::phone, "+44"},
      {{"phones", "+44", "messages"}, api_route::phone_messages, "+44"}};
  for (const auto& [p, route, id] : known) {
    const auto r = parse(p);
    ASSERT_TRUE(r) << id;
    EXPECT_EQ(r->route, route);
    EXPECT_EQ(r->id, id);
  }
  for (const auto& p :
       {path{}, path{""}, path{"sessions"}, path{"sessions", ""}, path{"sessions", "s", ""},
        path{"sessions", "s", "messages"}, path{"phones", "1", "messages", "x"},
        path{"campaigns", std::string(1'025, 'x')}, path{"sessions", std::string("a\0b", 3)}}) {
    EXPECT_EQ(code_of(parse(p)), "not_found");
  }
}

TEST(ApiRequest, ReadsItsParameters) {
  const path messages{"phones", "1", "messages"};
  EXPECT_EQ(parse(messages)->limit, 100U);
  EXPECT_EQ(parse(messages, {{"limit", "1000"}})->limit, 1'000U);
  EXPECT_EQ(parse(messages, {{"sender", "agent"}, {"other", "x"}})->sender, "agent");
  for (const auto* limit : {"", "0", "1001", "-1", "1x", "99999999999"}) {
    EXPECT_EQ(code_of(parse(messages, {{"limit", limit}})), "limit_invalid") << limit;
  }
  EXPECT_EQ(code_of(parse(messages, {{"sender", "User"}})), "sender_invalid");
  EXPECT_EQ(code_of(parse({"sessions", "s"}, {{"limit", "x"}})), "ok") << "it has no pages";
}

TEST(ApiRequest, PageComesBackAsItWas) {
  const path calls{"sessions", "s", "calls"};
  for (const auto& place :
       {api_request::place{"2026-01-02 03:04:05+00", "call 1"},
        api_request::place{std::nullopt, "two\nlines"}, api_request::place{"", "k"}}) {
    const auto token = encode_page_place(api_route::session_calls, place);
    const auto r = parse(calls, {{"before", token}});
    ASSERT_TRUE(r);
    EXPECT_EQ(r->before->value, place.value);
    EXPECT_EQ(r->before->key, place.key);
    EXPECT_EQ(code_of(parse({"campaigns", "c", "sessions"}, {{"before", token}})), "before_invalid")
        << "of another list";
  }
  for (const auto* token : {"", "x", "!", "YQ", "ZS0"}) {
    EXPECT_EQ(code_of(parse(calls, {{"before", token}})), "before_invalid") << token;
  }
}

}  // namespace
}  // namespace pgcast
