#include "protocol/token_report.hpp"

#include "protocol/base64url.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <string>
#include <string_view>

namespace pgcast {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

const std::string k_secret = "a secret of at least thirty-two bytes";
const std::string k_old_secret = "the secret of before the last rotation";
const wall_time k_now{seconds(1'800'000'000)};

token_rules rules() {
  token_rules out;
  out.secrets = {k_secret, k_old_secret};
  out.roles = {"anon", "service_role"};
  out.api_keys = {{"sb_secret_def", "service_role"}};
  return out;
}

/// The report, which is always valid JSON.
std::string explain(std::string_view token) {
  const auto text = explain_token(token, rules(), k_now);
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  EXPECT_EQ(parser.parse(text).get(document), simdjson::SUCCESS) << text;
  return text;
}

std::string claims_with(std::string_view members) {
  return R"({"role":"anon","exp":1800000600)" + std::string{members} + "}";
}

TEST(TokenReport, Good_SaysWhichSecretAndUntilWhen) {
  const auto text = explain(mint_token(claims_with(R"(,"sub":"u")"), k_old_secret));
  EXPECT_THAT(text, HasSubstr(R"("accepted":true,"kind":"token","faults":[])"));
  EXPECT_THAT(text, HasSubstr(R"("claims_verified":true)"));
  EXPECT_THAT(text, HasSubstr(R"("by":"the second secret of auth.jwt_secret")"));
  EXPECT_THAT(text, HasSubstr(R"("exp":"2027-01-15T08:10:00+00:00")"));
  EXPECT_THAT(text, HasSubstr(R"("expires_in":600,"skew":30})"));
  EXPECT_THAT(text, HasSubstr(R"("role":{"name":"anon","accepted":true,)"));
}

TEST(TokenReport, BadSignatureAndMore_NamesBothFaults) {
  const auto text = explain(mint_token(R"({"role":"postgres","exp":1})", "another secret"));
  EXPECT_THAT(text, HasSubstr(R"("faults":[{"code":"token_bad_signature")"));
  EXPECT_THAT(text, HasSubstr(R"({"code":"token_expired")"));
  EXPECT_THAT(text, HasSubstr(R"("claims":{"role":"postgres","exp":1},"claims_verified":false)"));
  EXPECT_THAT(text, HasSubstr(R"("signature":{"verdict":"bad","by":null})"));
  EXPECT_THAT(text, HasSubstr(R"("accepted":false,"roles":["anon","service_role"])"));
}

TEST(TokenReport, AlgNone_IsAboutItsAlgorithm) {
  const auto token =
      base64url_encode(R"({"alg":"none"})") + "." + base64url_encode(claims_with("")) + ".";
  const auto text = explain(token);
  EXPECT_THAT(text, HasSubstr(R"("verdict":"algorithm_refused")"));
  EXPECT_THAT(text, HasSubstr("mint a JWT with an algorithm that is accepted here"));
}

TEST(TokenReport, WhatIsNoToken_IsValidJsonAllTheSame) {
  for (const std::string token : {"", " ", ".", "..", "a.b.c", "\xff\xfe", "x", "e30.e30.e30"}) {
    EXPECT_THAT(explain(token), HasSubstr(R"("accepted":false)")) << token;
  }
  const auto broken = base64url_encode(R"({"alg":"HS256"})") + "." + base64url_encode("{\"a\":") +
                      "." + base64url_encode("x");
  EXPECT_THAT(explain(broken), HasSubstr(R"("claims":null)"));
}

TEST(TokenReport, TimesBeyondAnyClock_AreLeftOut) {
  const auto text = explain(mint_token(R"({"role":"anon","exp":1e300})", k_secret));
  EXPECT_THAT(text, HasSubstr(R"("accepted":true)"));
  EXPECT_THAT(text, HasSubstr(R"("exp":null,)"));
  EXPECT_THAT(text, HasSubstr(R"("expires_in":null)"));
}

TEST(TokenReport, ApiKey_ShowsItsRoleAndNotItself) {
  const auto text = explain("sb_secret_def");
  EXPECT_THAT(text, HasSubstr(R"("accepted":true,"kind":"api_key")"));
  EXPECT_THAT(text, HasSubstr(R"("name":"service_role","accepted":true)"));
  EXPECT_THAT(text, Not(HasSubstr("sb_secret_def")));
}

TEST(TokenReport, Secret_IsNeverShown) {
  for (const auto& secret : {k_secret, std::string{"another secret"}}) {
    const auto text = explain(mint_token(claims_with(""), secret));
    EXPECT_THAT(text, Not(HasSubstr(k_secret)));
    EXPECT_THAT(text, Not(HasSubstr(k_old_secret)));
  }
}

}  // namespace
}  // namespace pgcast
