#include "protocol/claims.hpp"

#include "protocol/base64url.hpp"

#include <gtest/gtest.h>

#include <openssl/evp.h>

#include <array>
#include <random>

namespace pgcast {
namespace {

using std::chrono::seconds;

const std::string k_secret = "a secret of at least thirty-two bytes";
const std::string k_old_secret = "the secret of before the last rotation";
const wall_time k_now{seconds(1'800'000'000)};
constexpr std::string_view k_hs256 = R"({"alg":"HS256","typ":"JWT"})";
constexpr std::string_view k_good = R"({"role":"authenticated","exp":1800000600,"sub":"u-1"})";

token_rules rules() {
  token_rules out;
  out.secrets = {k_secret, k_old_secret};
  out.roles = {"anon", "authenticated", "service_role"};
  out.api_keys = {{"sb_publishable_abc", "anon"}, {"sb_secret_def", "service_role"}};
  return out;
}

std::string sign(std::string_view header, std::string_view payload, const char* digest = "SHA256",
                 std::string_view secret = k_secret) {
  const auto text = base64url_encode(header) + "." + base64url_encode(payload);
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  std::size_t bytes = 0;
  EVP_Q_mac(nullptr, "HMAC", nullptr, digest, nullptr, secret.data(), secret.size(),
            reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac.data(),
            mac.size(), &bytes);
  return text + "." + base64url_encode({reinterpret_cast<const char*>(mac.data()), bytes});
}

std::string good_claims() { return sign(k_hs256, k_good); }

std::string with_claims(std::string_view payload) { return sign(k_hs256, payload); }

/// A good token whose header says `header`, signed with HMAC-SHA-256 all the same.
std::string with_header(std::string_view header) { return sign(header, k_good); }

// ---- the matrix

struct token_case {
  std::string name;
  std::string token;
  std::optional<errc> refusal;
  std::string detail;
};

void PrintTo(const token_case& c, std::ostream* out) { *out << c.name; }

constexpr const char* k_not_a_jwt = "The token provided is not a valid JWT";
constexpr const char* k_bad_signature = "Failed to validate JWT signature";
constexpr const char* k_no_signer =
    "Failed to generate JWT signer, check your JWT secret or JWKS configuration";
constexpr const char* k_missing = "Fields `role` and `exp` are required in JWT";

std::vector<token_case> token_cases() {
  using enum errc;
  const auto none = std::nullopt;
  const std::string good = good_claims();
  const auto first_dot = good.find('.');
  const auto last_dot = good.rfind('.');
  const std::string head = good.substr(0, first_dot);
  const std::string body = good.substr(first_dot + 1, last_dot - first_dot - 1);
  const std::string signature = good.substr(last_dot + 1);
  std::string flipped = good;
  flipped[last_dot + 1] = flipped[last_dot + 1] == 'A' ? 'B' : 'A';
  const std::string other_body =
      base64url_encode(R"({"role":"service_role","exp":1800000600,"sub":"u-1"})");
  const std::string claims_exp = R"({"role":"anon","exp":)";
  return {
      {"Hs256", good, none, ""},
      {"Hs384", sign(R"({"alg":"HS384"})", k_good, "SHA384"), none, ""},
      {"Hs512", sign(R"({"alg":"HS512"})", k_good, "SHA512"), none, ""},
      {"SecondSecret", sign(k_hs256, k_good, "SHA256", k_old_secret), none, ""},
      {"BlanksAround", " \r\n\t" + good + "\n", none, ""},
      {"JwkInHeaderIgnored", with_header(R"({"alg":"HS256","jwk":{"kty":"oct","k":"AA"}})"), none,
       ""},
      {"JkuInHeaderIgnored", with_header(R"({"alg":"HS256","jku":"https://evil"})"), none, ""},
      {"X5uInHeaderIgnored", with_header(R"({"alg":"HS256","x5u":"https://evil"})"), none, ""},
      {"KidIsAPath", with_header(R"({"alg":"HS256","kid":"../../dev/null"})"), none, ""},
      {"KidIsSql", with_header(R"({"alg":"HS256","kid":"' or 1=1"})"), none, ""},
      {"DecimalExp", with_claims(claims_exp + "1800000600.75}"), none, ""},
      {"ExponentExp", with_claims(claims_exp + "1.8000006e9}"), none, ""},
      {"HugeExp", with_claims(claims_exp + "1e300}"), none, ""},
      {"HugeIntegerExp", with_claims(claims_exp + "100000000000000000000000}"), none, ""},
      {"ExpiredWithinSkew", with_claims(claims_exp + "1799999971}"), none, ""},
      {"NbfPast", with_claims(claims_exp + R"(1800000600,"nbf":1})"), none, ""},
      {"NbfNow", with_claims(claims_exp + R"(1800000600,"nbf":1800000000})"), none, ""},
      {"NbfWithinSkew", with_claims(claims_exp + R"(1800000600,"nbf":1800000030})"), none, ""},
      {"IatNumber", with_claims(claims_exp + R"(1800000600,"iat":1800000000.5})"), none, ""},
      {"SubNumber", with_claims(claims_exp + R"(1800000600,"sub":7})"), none, ""},
      {"PublishableKey", "sb_publishable_abc", none, ""},
      {"SecretKey", " sb_secret_def ", none, ""},

      {"Empty", "", token_missing, "API key is missing"},
      {"OnlyBlanks", " \t\r\n", token_missing, "API key is missing"},
      {"UnknownKey", "sb_publishable_xyz", token_malformed, k_not_a_jwt},
      {"CutKey", "sb_publishable_ab", token_malformed, k_not_a_jwt},
      {"Word", "anon-key", token_malformed, k_not_a_jwt},
      {"TwoParts", head + "." + body, token_malformed, k_not_a_jwt},
      {"FourParts", good + ".x", token_malformed, k_not_a_jwt},
      {"FivePartsOfJwe", "a.b.c.d.e", token_malformed, k_not_a_jwt},
      {"OnlyDots", "..", token_malformed, k_not_a_jwt},
      {"EmptyHeader", "." + body + "." + signature, token_malformed, k_not_a_jwt},
      {"PaddedSignature", good + "=", token_malformed, k_not_a_jwt},
      {"BlankInside", head + ". " + body + "." + signature, token_malformed, k_not_a_jwt},
      {"NotBase64", head + ".!" + body + "." + signature, token_malformed, k_not_a_jwt},
      {"NulInside", head + std::string(".\0", 2) + body + "." + signature, token_malformed,
       k_not_a_jwt},
      {"HeaderIsNoJson", with_header("HS256"), token_malformed, k_not_a_jwt},
      {"HeaderIsAnArray", with_header(R"(["HS256"])"), token_malformed, k_not_a_jwt},
      {"HeaderIsNull", with_header("null"), token_malformed, k_not_a_jwt},
      {"Critical", with_header(R"({"alg":"HS256","crit":["b64"],"b64":false})"), token_malformed,
       k_not_a_jwt},
      {"CriticalIsEmpty", with_header(R"({"alg":"HS256","crit":[]})"), token_malformed,
       k_not_a_jwt},

      {"AlgNone", with_header(R"({"alg":"none"})"), token_bad_signature, k_no_signer},
      {"AlgNoneUnsigned", base64url_encode(R"({"alg":"none"})") + "." + body + ".",
       token_bad_signature, k_no_signer},
      {"AlgNoneInCapitals", with_header(R"({"alg":"NONE"})"), token_bad_signature, k_no_signer},
      {"AlgMissing", with_header(R"({"typ":"JWT"})"), token_bad_signature, k_no_signer},
      {"AlgNumber", with_header(R"({"alg":256})"), token_bad_signature, k_no_signer},
      {"AlgLowerCase", with_header(R"({"alg":"hs256"})"), token_bad_signature, k_no_signer},
      {"AlgRs256", with_header(R"({"alg":"RS256"})"), token_bad_signature, k_no_signer},
      {"AlgEs256", with_header(R"({"alg":"ES256"})"), token_bad_signature, k_no_signer},
      {"AlgHs1", with_header(R"({"alg":"HS1"})"), token_bad_signature, k_no_signer},
      {"AlgOfAnotherLength", with_header(R"({"alg":"HS512"})"), token_bad_signature,
       k_bad_signature},
      {"SignatureMissing", head + "." + body + ".", token_bad_signature, k_bad_signature},
      {"SignatureCut", good.substr(0, good.size() - 4), token_bad_signature, k_bad_signature},
      {"SignatureFlipped", flipped, token_bad_signature, k_bad_signature},
      {"PayloadExchanged", head + "." + other_body + "." + signature, token_bad_signature,
       k_bad_signature},
      {"UnknownSecret", sign(k_hs256, k_good, "SHA256", "another secret of thirty-two bytes"),
       token_bad_signature, k_bad_signature},
      {"EmptySecret", sign(k_hs256, k_good, "SHA256", ""), token_bad_signature, k_bad_signature},

      {"PayloadIsNoJson", with_claims("role"), token_malformed, k_not_a_jwt},
      {"PayloadIsAnArray", with_claims("[]"), token_malformed, k_not_a_jwt},
      {"PayloadIsNotUtf8", with_claims("{\"role\":\"\xff\"}"), token_malformed, k_not_a_jwt},
      {"ExpMissing", with_claims(R"({"role":"anon"})"), token_claims_missing, k_missing},
      {"ExpString", with_claims(claims_exp + "\"1800000600\"}"), token_claims_missing, k_missing},
      {"ExpNull", with_claims(claims_exp + "null}"), token_claims_missing, k_missing},
      {"ExpObject", with_claims(claims_exp + "{}}"), token_claims_missing, k_missing},
      {"ExpNegative", with_claims(claims_exp + "-1}"), token_claims_missing, k_missing},
      {"ExpBeyondDouble", with_claims(claims_exp + "1e999}"), token_claims_missing, k_missing},
      {"RoleMissing", with_claims(R"({"exp":1800000600})"), token_claims_missing, k_missing},
      {"RoleEmpty", with_claims(R"({"exp":1800000600,"role":""})"), token_claims_missing,
       k_missing},
      {"RoleNumber", with_claims(R"({"exp":1800000600,"role":1})"), token_claims_missing,
       k_missing},
      {"RoleObject", with_claims(R"({"exp":1800000600,"role":{"a":"anon"}})"), token_claims_missing,
       k_missing},
      {"NoClaims", with_claims("{}"), token_claims_missing, k_missing},
      {"Expired", with_claims(claims_exp + "1799999900}"), token_expired,
       "Token has expired 100 seconds ago"},
      {"ExpiredAtTheEdgeOfSkew", with_claims(claims_exp + "1799999970}"), token_expired,
       "Token has expired 30 seconds ago"},
      {"ExpZero", with_claims(claims_exp + "0}"), token_expired,
       "Token has expired 1800000000 seconds ago"},
      {"NbfFuture", with_claims(claims_exp + R"(1800000600,"nbf":1800000031})"),
       token_not_yet_valid, "Token is not valid yet"},
      {"NbfHuge", with_claims(claims_exp + R"(1800000600,"nbf":1e300})"), token_not_yet_valid,
       "Token is not valid yet"},
      {"NbfString", with_claims(claims_exp + R"(1800000600,"nbf":"1"})"), token_malformed,
       k_not_a_jwt},
      {"IatString", with_claims(claims_exp + R"(1800000600,"iat":"1"})"), token_malformed,
       k_not_a_jwt},
      {"RoleNotListed", with_claims(R"({"exp":1800000600,"role":"postgres"})"), token_role_refused,
       "The role of the token is not accepted here"},
      {"RoleInOtherCase", with_claims(R"({"exp":1800000600,"role":"ANON"})"), token_role_refused,
       "The role of the token is not accepted here"},
      {"RoleWithBlank", with_claims(R"({"exp":1800000600,"role":"anon "})"), token_role_refused,
       "The role of the token is not accepted here"},
  };
}

class TokenCase : public testing::TestWithParam<token_case> {};

TEST_P(TokenCase, Verify_GivesVerdictAndSentence) {
  const auto& c = GetParam();
  const auto verdict = verify_token(c.token, rules(), k_now);
  ASSERT_EQ(verdict.has_value(), !c.refusal) << (verdict ? "" : verdict.error().detail);
  if (!c.refusal) return;
  EXPECT_EQ(verdict.error().code, *c.refusal);
  EXPECT_EQ(verdict.error().detail, c.detail);
}

INSTANTIATE_TEST_SUITE_P(All, TokenCase, testing::ValuesIn(token_cases()),
                         [](const auto& test) { return test.param.name; });

// ---- what a good token says

TEST(Claims, GoodToken_GivesItsClaims) {
  const auto claims = verify_token(good_claims(), rules(), k_now).value();
  EXPECT_EQ(claims.role, "authenticated");
  EXPECT_EQ(claims.sub, "u-1");
  EXPECT_EQ(claims.expires_at, wall_time(seconds(1'800'000'600)));
  EXPECT_EQ(claims.json, k_good);
  EXPECT_EQ(claims.class_key, R"({"role":"authenticated","sub":"u-1"})");
}

TEST(Claims, TokenOfRfc7515_PassesItsSignature) {
  // Appendix A.1: signed by somebody else. It has no role, which is found only after the signature.
  const std::string token =
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
      "fQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
  token_rules its_rules = rules();
  its_rules.secrets = {
      base64url_decode(
          "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1"
          "Z9CAow")
          .value()};
  EXPECT_EQ(verify_token(token, its_rules, k_now).error().code, errc::token_claims_missing);
  its_rules.secrets = {k_secret};
  EXPECT_EQ(verify_token(token, its_rules, k_now).error().code, errc::token_bad_signature);
}

TEST(Claims, ClassKey_IsEqualForTokensThatSeeTheSame) {
  const auto key_of = [](std::string_view payload) {
    return verify_token(with_claims(payload), rules(), k_now).value().class_key;
  };
  const auto key = key_of(R"({"role":"anon","exp":1800000600,"app":{"team":[1, 2]}})");
  EXPECT_EQ(key, R"({"role":"anon","app":{"team":[1, 2]}})");
  EXPECT_EQ(key_of(R"({"iat":1, "role" : "anon","nbf":2,"app":{"team":[1, 2]},"exp":1900000000})"),
            key);
  EXPECT_EQ(key_of(R"({"r\u006fle":"anon","app":{"team":[1, 2]},"\u0065xp":1800000600})"), key);
  EXPECT_NE(key_of(R"({"role":"anon","exp":1800000600,"app":{"team":[1,3]}})"), key);
  EXPECT_NE(key_of(R"({"role":"anon","exp":1800000600})"), key);
  EXPECT_EQ(key_of(R"({"exp":1800000600,"role":"anon","app":{"exp":1}})"),
            R"({"role":"anon","app":{"exp":1}})");
}

TEST(Claims, DuplicateClaims_LastOneCounts) {
  const auto token =
      with_claims(R"({"role":"anon","role":"authenticated","exp":1,"exp":1800000600})");
  const auto claims = verify_token(token, rules(), k_now).value();
  EXPECT_EQ(claims.role, "authenticated");
  EXPECT_EQ(claims.class_key, R"({"role":"anon","role":"authenticated"})");
}

TEST(Claims, ApiKey_GivesItsRoleForEver) {
  const auto claims = verify_token("sb_secret_def", rules(), k_now).value();
  EXPECT_EQ(claims.role, "service_role");
  EXPECT_EQ(claims.expires_at, wall_time::max());
  EXPECT_EQ(claims.json, R"({"role":"service_role"})");
  EXPECT_EQ(claims.class_key, claims.json);
}

TEST(Claims, Expiry_KeepsItsFractionAndItsBounds) {
  const auto expiry = [](std::string_view exp) {
    const auto token = with_claims(R"({"role":"anon","exp":)" + std::string(exp) + "}");
    return verify_token(token, rules(), k_now).value().expires_at;
  };
  EXPECT_EQ(expiry("1800000600.5"), wall_time(std::chrono::milliseconds(1'800'000'600'500)));
  EXPECT_EQ(expiry("1e300"), wall_time::max());
  EXPECT_EQ(expiry("18446744073709551615"), wall_time::max());
}

TEST(Claims, Skew_OfZero_IsExact) {
  auto exact = rules();
  exact.skew = seconds(0);
  const auto verdict = [&](std::string_view rest) {
    return verify_token(with_claims(R"({"role":"anon",)" + std::string(rest)), exact, k_now);
  };
  EXPECT_TRUE(verdict(R"("exp":1800000001})"));
  EXPECT_FALSE(verdict(R"("exp":1800000000})"));
  EXPECT_TRUE(verdict(R"("exp":1800000001,"nbf":1800000000})"));
  EXPECT_FALSE(verdict(R"("exp":1800000009,"nbf":1800000001})"));
}

TEST(Claims, NoSecrets_VerifyNothing) {
  auto none = rules();
  none.secrets = {};
  EXPECT_EQ(verify_token(good_claims(), none, k_now).error().code, errc::token_bad_signature);
  none.secrets = {""};
  EXPECT_EQ(verify_token(sign(k_hs256, k_good, "SHA256", ""), none, k_now).error().code,
            errc::token_bad_signature);
}

TEST(Claims, MintedToken_IsVerified) {
  const auto token = mint_token(k_good, k_secret);
  EXPECT_EQ(token, good_claims());
  EXPECT_TRUE(verify_token(token, rules(), k_now));
}

TEST(Claims, AnyChangedByte_IsRefusedAndNotQuoted) {
  const auto good = good_claims();
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const char c : {'A', 'z', '.', '\0', '"'}) {
      if (good[i] == c) continue;
      auto bad = good;
      bad[i] = c;
      const auto verdict = verify_token(bad, rules(), k_now);
      ASSERT_FALSE(verdict) << i;
      EXPECT_EQ(verdict.error().detail.find("eyJ"), std::string::npos);
    }
  }
}

// ---- base64url

TEST(Base64Url, VectorsOfRfc4648_WithoutPadding) {
  const std::vector<std::pair<std::string, std::string>> vectors = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(base64url_encode(bytes), text);
    EXPECT_EQ(base64url_decode(text).value(), bytes);
  }
}

TEST(Base64Url, AnythingElse_IsRefused) {
  for (const auto* text : {"Z", "Zg==", "Zm8=", "Zm9v=", "Zm9+", "Zm9/", "Zm 9v", "Zm9vY", "Zh",
                           "Zm9", "\xff\xff", "Zm\n9"}) {
    const auto decoded = base64url_decode(text);
    ASSERT_FALSE(decoded) << text;
    EXPECT_EQ(decoded.error().code, errc::token_malformed);
  }
}

TEST(Base64Url, RandomBytes_ComeBack) {
  std::mt19937 random(29);
  for (int round = 0; round < 2'000; ++round) {
    std::string bytes(random() % 100, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    ASSERT_EQ(base64url_decode(base64url_encode(bytes)).value(), bytes);
  }
}

}  // namespace
}  // namespace pgcast
