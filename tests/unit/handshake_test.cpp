#include "daemon/handshake.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace pgcast {
namespace {

namespace http = boost::beast::http;
using fields = std::vector<std::pair<std::string, std::string>>;

const wall_time k_now{std::chrono::seconds{1'800'000'000}};
const std::string k_secret = "a secret of at least thirty-two bytes";

std::string token(const std::string& role, long expires = 1'800'000'600) {
  return mint_token(R"({"role":")" + role + R"(","exp":)" + std::to_string(expires) + "}",
                    k_secret);
}

config with_tokens() {
  config c;
  c.tokens.secrets = {k_secret};
  c.tokens.roles = {"anon", "authenticated", "service_role"};
  c.tokens.api_keys = {{"sb_publishable_abc", "anon"}};
  return c;
}

config without_auth() {
  config c;
  c.mode = auth_mode::off;
  return c;
}

http_request request(const fields& headers) {
  http_request r{http::verb::get, "/", 11};
  for (const auto& [name, value] : headers) r.set(name, value);
  return r;
}

http_request upgrade(const fields& changed = {}) {
  auto r = request({{"Host", "pgcast.test"},
                    {"Connection", "keep-alive, Upgrade"},
                    {"Upgrade", "websocket"},
                    {"Sec-WebSocket-Version", "13"},
                    {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
                    {"apikey", "sb_publishable_abc"}});
  for (const auto& [name, value] : changed) r.set(name, value);
  return r;
}

request_target target(const std::string& text) { return *parse_target(text); }

/// The role of who was recognised, or the sentence of the refusal.
std::string role_of(const fields& headers, const std::string& text = "/") {
  const auto who = identify(request(headers), target(text), with_tokens(), k_now);
  return who ? who->role : who.error().sentence;
}

bool origin_passes(const std::string& origin, const std::string& host,
                   std::vector<std::string> allowed = {}) {
  auto c = with_tokens();
  c.allowed_origins = std::move(allowed);
  const auto refused = check_origin(request({{"Host", host}, {"Origin", origin}}), c);
  if (refused) {
    EXPECT_EQ(refused->why, refusal::origin);
    EXPECT_EQ(refused->status, http::status::forbidden);
  }
  return !refused;
}

TEST(Target, IsSplitAndDecoded) {
  const auto t = target("/events/a%20b?topic=session%3Aa%26b&topic=phone:+44&empty=&bare&x=%2B1");
  EXPECT_EQ(t.path, "/events/a b");
  EXPECT_EQ(t.query.size(), 5U);
  EXPECT_EQ(t.parameter("topic"), "session:a&b");
  EXPECT_EQ(t.query[1].second, "phone: 44");
  EXPECT_EQ(t.parameter("empty"), "");
  EXPECT_EQ(t.parameter("bare"), "");
  EXPECT_EQ(t.parameter("x"), "+1");
  EXPECT_EQ(t.parameter("absent"), std::nullopt);
}

TEST(Target, Segments_MayHaveSlashesInThem) {
  const auto t = target("/api/broadcast/a%2Fb/events/e%202%2Fx?private=true");
  EXPECT_EQ(t.segments, (std::vector<std::string>{"api", "broadcast", "a/b", "events", "e 2/x"}));
  EXPECT_TRUE(target("/").segments.empty());
}

TEST(Target, QueryAsBrowsersLeaveIt_IsTaken) {
  EXPECT_EQ(target("/x?persist[ttl]=5").parameter("persist[ttl]"), "5");
  EXPECT_EQ(target("/x?persist%5Bttl%5D=5").parameter("persist[ttl]"), "5");
  EXPECT_EQ(target("/x?a={|}^`\\").parameter("a"), "{|}^`\\");
  EXPECT_FALSE(parse_target("/x[1]"));
}

TEST(Target, ThatIsNoPath_IsMalformed) {
  for (const auto* text :
       {"", "events", "http://host/x", "*", "/a%2", "/a%zz", "/a b", "/a\n", "/?a=%", "/#part"}) {
    const auto t = parse_target(text);
    ASSERT_FALSE(t) << text;
    EXPECT_EQ(t.error().code, errc::message_malformed) << text;
  }
}

TEST(Host, WithAuth_DoesNotMatter) {
  const auto r = request({{"Host", "evil.example"}, {"X-Forwarded-For", "1.2.3.4"}});
  EXPECT_FALSE(check_host(r, with_tokens()));
}

TEST(Host, WithoutAuth_IsALoopbackName) {
  for (const auto* host : {"localhost", "localhost:4000", "app.localhost:80", "127.0.0.1",
                           "127.0.0.1:4000", "127.9.9.9", "[::1]", "[::1]:4000"}) {
    EXPECT_FALSE(check_host(request({{"Host", host}}), without_auth())) << host;
  }
  for (const auto* host :
       {"", "evil.example", "localhost.evil.example", "evil-localhost", "127.evil.example",
        "127.0.0.1.evil.example", "128.0.0.1", "10.0.0.1:4000", "0.0.0.0", "[::2]", "[::1", "::1",
        "[::ffff:10.0.0.1]", "evil.example:127.0.0.1"}) {
    const auto refused = check_host(request({{"Host", host}}), without_auth());
    ASSERT_TRUE(refused) << host;
    EXPECT_EQ(refused->why, refusal::host);
    EXPECT_EQ(refused->status, http::status::forbidden);
  }
  EXPECT_TRUE(check_host(request({}), without_auth()));
}

TEST(Host, WithoutAuth_WhatAProxyForwarded_IsRefused) {
  for (const auto* name : {"Forwarded", "x-forwarded-for", "X-Forwarded-Host", "X-REAL-IP"}) {
    const auto refused =
        check_host(request({{"Host", "localhost"}, {name, "127.0.0.1"}}), without_auth());
    ASSERT_TRUE(refused) << name;
    EXPECT_EQ(refused->why, refusal::host);
  }
}

TEST(Origin, ByDefault_IsTheSameHostOrLoopback) {
  EXPECT_TRUE(origin_passes("https://app.example", "app.example"));
  EXPECT_TRUE(origin_passes("http://app.example:8080", "app.example:8080"));
  EXPECT_TRUE(origin_passes("http://localhost:3000", "app.example"));
  EXPECT_TRUE(origin_passes("http://127.0.0.1:3000", "app.example"));
  EXPECT_TRUE(origin_passes("http://[::1]:3000", "app.example"));
  for (const auto* origin :
       {"https://evil.example", "https://app.example:8443", "https://app.example.evil.example",
        "https://evil.example/app.example", "http://127.evil.example", "null", "http://",
        "https://localhost.evil.example", "https://xapp.example", "app.example.evil"}) {
    EXPECT_FALSE(origin_passes(origin, "app.example")) << origin;
  }
}

TEST(Origin, Listed_IsMatchedExactly) {
  const std::vector<std::string> allowed{"https://app.example", "https://b.example:8443"};
  EXPECT_TRUE(origin_passes("https://app.example", "x", allowed));
  EXPECT_TRUE(origin_passes("https://b.example:8443", "x", allowed));
  for (const auto* origin : {"http://app.example", "https://app.example:443", "https://b.example",
                             "https://app.example/", "https://APP.example", "null",
                             "http://localhost:3000", "https://x"}) {
    EXPECT_FALSE(origin_passes(origin, "x", allowed)) << origin;
  }
}

TEST(Origin, StarOrAbsence_Passes) {
  EXPECT_TRUE(origin_passes("https://anything.example", "x", {"*"}));
  EXPECT_TRUE(origin_passes("null", "x", {"*"}));
  EXPECT_TRUE(origin_passes("null", "x", {"null"}));
  EXPECT_FALSE(check_origin(request({{"Host", "app.example"}}), with_tokens()));
}

TEST(Identify, TakesAKeyFromEveryPlace) {
  const std::string key = "sb_publishable_abc";
  EXPECT_EQ(role_of({}, "/?apikey=" + key), "anon");
  EXPECT_EQ(role_of({{"apikey", key}}), "anon");
  EXPECT_EQ(role_of({{"X-API-Key", key}}), "anon");
  EXPECT_EQ(role_of({{"Authorization", "Bearer " + key}}), "anon");
  EXPECT_EQ(role_of({{"Authorization", "bearer " + token("authenticated")}}), "authenticated");
  EXPECT_EQ(role_of({}, "/?apikey=" + token("service_role")), "service_role");
}

TEST(Identify, BearerWinsOverKeys_AndTheQueryOverHeaders) {
  const fields all{{"Authorization", "Bearer " + token("service_role")},
                   {"x-api-key", token("authenticated")},
                   {"apikey", "sb_publishable_abc"}};
  EXPECT_EQ(role_of(all, "/?apikey=" + token("authenticated")), "service_role");
  EXPECT_EQ(role_of({all[1], all[2]}), "authenticated");
  EXPECT_EQ(role_of({all[1]}, "/?apikey=sb_publishable_abc"), "anon");
  EXPECT_EQ(role_of({all[2]}, "/?apikey="), "anon");
  EXPECT_NE(role_of({{"Authorization", "Bearer bad"}, all[2]}), "anon")
      << "a bad one is not skipped";
  EXPECT_EQ(role_of({{"Authorization", "Basic eDp5"}, all[2]}), "anon");
  EXPECT_EQ(role_of({{"Authorization", "Bearer "}, all[2]}), "anon");
}

TEST(Identify, WithoutAGoodKey_IsRefused) {
  EXPECT_EQ(role_of({}), "API key is missing");
  for (const auto& bad : {token("authenticated", 1'799'999'000), token("postgres"),
                          std::string{"sb_publishable_ab"}, std::string{"x.y.z"}}) {
    const auto who = identify(request({{"apikey", bad}}), target("/"), with_tokens(), k_now);
    ASSERT_FALSE(who) << bad;
    EXPECT_EQ(who.error().why, refusal::token);
    EXPECT_EQ(who.error().status, http::status::unauthorized);
    EXPECT_EQ(who.error().sentence.find(bad), std::string::npos) << "never a part of the token";
  }
}

TEST(Identify, WithoutAuth_NeedsNothing) {
  const auto who = identify(request({{"apikey", "nonsense"}}), target("/"), without_auth(), k_now);
  ASSERT_TRUE(who);
  EXPECT_EQ(who->expires_at, wall_time::max());
}

TEST(Upgrade, Good_IsAcceptedAsTheStandardSays) {
  const auto good = check_upgrade(upgrade(), target("/?vsn=2.0.0"), with_tokens(), k_now);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");  // RFC 6455, section 1.3
  EXPECT_EQ(good->version, wire_version::v2);
  EXPECT_EQ(good->who.role, "anon");
  for (const auto* query : {"/", "/?vsn=", "/?vsn=1.0.0"}) {
    EXPECT_EQ(check_upgrade(upgrade(), target(query), with_tokens(), k_now)->version,
              wire_version::v1);
  }
}

TEST(Upgrade, Incomplete_IsRefusedWithItsReason) {
  struct row {
    fields changed;
    std::string query;
    refusal why;
    http::status status;
  };
  const auto malformed = refusal::malformed;
  const auto bad = http::status::bad_request;
  for (const auto& [changed, query, why, status] : {
           row{{{"Connection", "keep-alive"}}, "/", malformed, bad},
           row{{{"Connection", "upgraded"}}, "/", malformed, bad},
           row{{{"Upgrade", "h2c"}}, "/", malformed, bad},
           row{{{"Sec-WebSocket-Version", "8"}}, "/", malformed, http::status::upgrade_required},
           row{{{"Sec-WebSocket-Version", ""}}, "/", malformed, http::status::upgrade_required},
           row{{{"Sec-WebSocket-Key", ""}}, "/", malformed, bad},
           row{{{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ"}}, "/", malformed, bad},
           row{{{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZSBvZiB0d28="}}, "/", malformed, bad},
           row{{{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZTIx"}}, "/", malformed, bad},
           row{{}, "/?vsn=3.0.0", malformed, bad},
           row{{{"apikey", ""}}, "/", refusal::token, http::status::unauthorized},
           row{{{"Origin", "https://evil.example"}}, "/", refusal::origin, http::status::forbidden},
       }) {
    const auto verdict = check_upgrade(upgrade(changed), target(query), with_tokens(), k_now);
    const auto name = changed.empty() ? query : changed[0].first + ": " + changed[0].second;
    ASSERT_FALSE(verdict) << name;
    EXPECT_EQ(verdict.error().why, why) << name;
    EXPECT_EQ(verdict.error().status, status) << name;
    EXPECT_FALSE(verdict.error().sentence.empty()) << name;
  }
}

TEST(Upgrade, OtherMethodsAndVersionsOfHttp_AreRefused) {
  auto post = upgrade();
  post.method(http::verb::post);
  EXPECT_FALSE(check_upgrade(post, target("/"), with_tokens(), k_now));
  auto old = upgrade();
  old.version(10);
  EXPECT_FALSE(check_upgrade(old, target("/"), with_tokens(), k_now));
}

}  // namespace
}  // namespace pgcast
