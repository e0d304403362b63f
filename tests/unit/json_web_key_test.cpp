#include "protocol/json_web_key.hpp"

#include "protocol/claims.hpp"
#include "tests/unit/signing_key.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

namespace pgcast {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using verdict = json_web_key_set::verdict;

const wall_time k_now{std::chrono::seconds(1'800'000'000)};
constexpr std::string_view k_claims = R"({"role":"authenticated","exp":1800000600,"sub":"u-1"})";
const std::string k_secret = "a secret of at least thirty-two bytes";
const std::string k_secret_jwk =
    R"({"kty":"oct","kid":"s","k":")" + base64url_encode(k_secret) + "\"}";

/// Made once: an RSA key takes a moment.
const signing_key& rsa_keys(int nth) {
  static const std::array keys{signing_key::of_rsa(), signing_key::of_rsa()};
  return keys[static_cast<std::size_t>(nth)];
}
const signing_key& rsa() { return rsa_keys(0); }
const signing_key& curve() {
  static const auto key = signing_key::of_curve("P-256");
  return key;
}

std::string set_of(const std::string& keys) { return R"({"keys":[)" + keys + "]}"; }

token_rules rules(const std::string& keys) {
  token_rules out;
  out.roles = {"anon", "authenticated", "service_role"};
  out.keys =
      std::make_shared<const json_web_key_set>(json_web_key_set::parse(set_of(keys)).value());
  return out;
}

/// "ok" or the code of the refusal.
std::string_view outcome(std::string_view token, const token_rules& by) {
  const auto who = verify_token(token, by, k_now);
  return who ? "ok" : text_code(who.error().code);
}

std::string objection(const std::string& set) {
  const auto parsed = json_web_key_set::parse(set);
  return parsed ? "accepted" : parsed.error().detail;
}

// ---- each algorithm

struct algorithm_case {
  std::string name;
  std::function<signing_key(int)> make;  ///< the first or another of its kind
};

void PrintTo(const algorithm_case& c, std::ostream* out) { *out << c.name; }

class EachAlgorithm : public testing::TestWithParam<algorithm_case> {};

TEST_P(EachAlgorithm, SignedToken_IsVerifiedAndNoOther) {
  const auto& [name, make] = GetParam();
  const auto key = make(0);
  const auto token = key.token(name, k_claims, R"("kid":"k")");
  for (const std::string& alg : {std::string(), R"(,"alg":")" + name + "\""}) {
    const auto by = rules(key.jwk(R"("kid":"k")" + alg));
    EXPECT_EQ(outcome(token, by), "ok") << alg;
    EXPECT_EQ(outcome(key.token(name, k_claims), by), "ok") << "without kid" << alg;
    auto forged = token;
    auto& changed = forged[forged.rfind('.') + 9];
    changed = changed == 'A' ? 'B' : 'A';
    EXPECT_EQ(outcome(forged, by), "token_bad_signature");
    EXPECT_EQ(outcome(token.substr(0, token.rfind('.') + 1), by), "token_bad_signature");
    EXPECT_EQ(outcome(key.token(name, k_claims, R"("kid":"other")"), by), "token_key_unknown");
  }
  const auto another = make(1);
  EXPECT_EQ(outcome(another.token(name, k_claims, R"("kid":"k")"), rules(key.jwk(R"("kid":"k")"))),
            "token_bad_signature");
}

INSTANTIATE_TEST_SUITE_P(
    All, EachAlgorithm,
    testing::Values(algorithm_case{"RS256", rsa_keys}, algorithm_case{"RS384", rsa_keys},
                    algorithm_case{"RS512", rsa_keys}, algorithm_case{"PS256", rsa_keys},
                    algorithm_case{"PS384", rsa_keys}, algorithm_case{"PS512", rsa_keys},
                    algorithm_case{"ES256", [](int) { return signing_key::of_curve("P-256"); }},
                    algorithm_case{"ES384", [](int) { return signing_key::of_curve("P-384"); }},
                    algorithm_case{"ES512", [](int) { return signing_key::of_curve("P-521"); }},
                    algorithm_case{"EdDSA", [](int) { return signing_key::of_edwards("Ed25519"); }},
                    algorithm_case{"Ed25519",
                                   [](int) { return signing_key::of_edwards("Ed25519"); }},
                    algorithm_case{"Ed448", [](int) { return signing_key::of_edwards("Ed448"); }}),
    [](const auto& test) { return test.param.name; });

TEST(WebKeys, EdDsaOfEd448_IsVerified) {
  const auto key = signing_key::of_edwards("Ed448");
  const auto by = rules(key.jwk(R"("kid":"k","alg":"EdDSA")"));
  EXPECT_EQ(outcome(key.token("EdDSA", k_claims, R"("kid":"k")"), by), "ok");
  EXPECT_EQ(outcome(key.token("Ed448", k_claims, R"("kid":"k")"), by), "ok");
}

// ---- published vectors

struct vector_case {
  std::string name;
  std::string algorithm;
  std::string key;
  std::string token;
};

void PrintTo(const vector_case& c, std::ostream* out) { *out << c.name; }

const std::string k_joe =
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
    "fQ.";
const std::string k_door =
    ".SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250"
    "byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hl"
    "cmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.";
const std::string k_bilbo =
    R"({"kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig","n":"n4EPtAOCc9AlkeQHPzHStgAbg)"
    "s7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOY"
    "L-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI"
    "9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7j"
    R"(ig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw","e":"AQAB"})";

std::vector<vector_case> published() {
  return {
      {"Rfc7515_A2", "RS256",
       R"({"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qP)"
       "CJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_"
       "7OMg0LOL-b"
       "Sf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
       "UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4"
       R"(LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",)"
       R"("e":"AQAB"})",
       "eyJhbGciOiJSUzI1NiJ9" + k_joe +
           "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
           "O8W"
           "2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
           "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS"
           "jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
           "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv"
           "Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
      {"Rfc7515_A3", "ES256",
       R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
       R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})",
       "eyJhbGciOiJFUzI1NiJ9" + k_joe +
           "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
           "Kg6NU1Q"},
      {"Rfc7515_A4", "ES512",
       R"({"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ)"
       R"(6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDl)"
       R"(y79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"})",
       "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_"
       "UxMi70cwnZOYaRI1bKPWROc-"
       "mZZqwqT2SI-KGDKB34XO0aw_"
       "7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrm"
       "xYbSW9ERBXukOXolLzeO_Jn"},
      {"Rfc7520_4_2", "PS384", k_bilbo,
       "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9" + k_door +
           "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-"
           "tPid6VrklHkqsGqDqHCdP6"
           "O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-"
           "UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqi"
           "VJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_"
           "2_"
           "jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"},
      {"Rfc8037_A4", "EdDSA",
       R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})",
       "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-"
       "09PGcvM"
       "g3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
  };
}

class Published : public testing::TestWithParam<vector_case> {};

TEST_P(Published, Vector_IsVerifiedAndNoOtherText) {
  const auto& c = GetParam();
  const auto keys = json_web_key_set::parse(set_of(c.key)).value();
  const auto& by = *find_signature_algorithm(c.algorithm);
  const auto text = c.token.substr(0, c.token.rfind('.'));
  const auto signature = base64url_decode(c.token.substr(text.size() + 1)).value();
  EXPECT_EQ(keys.verify(by, std::nullopt, text, signature), verdict::good);
  EXPECT_EQ(keys.verify(by, std::nullopt, text + " ", signature), verdict::bad);
}

INSTANTIATE_TEST_SUITE_P(All, Published, testing::ValuesIn(published()),
                         [](const auto& test) { return test.param.name; });

// ---- the algorithm is pinned to the key

TEST(WebKeys, RsaWithAlg_GoesWithThatOneAlone) {
  const auto by = rules(rsa().jwk(R"("kid":"k","alg":"RS256")"));
  EXPECT_EQ(outcome(rsa().token("RS256", k_claims, R"("kid":"k")"), by), "ok");
  for (const auto* other : {"RS384", "RS512", "PS256", "PS384", "PS512"}) {
    EXPECT_EQ(outcome(rsa().token(other, k_claims, R"("kid":"k")"), by), "token_bad_signature");
  }
}

TEST(WebKeys, RsaWithoutAlg_GoesWithAllOfRsa) {
  const auto by = rules(rsa().jwk(R"("kid":"k")"));
  for (const auto* each : {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}) {
    EXPECT_EQ(outcome(rsa().token(each, k_claims, R"("kid":"k")"), by), "ok") << each;
  }
}

TEST(WebKeys, CurveAndAlgorithm_OfDifferentSize_AreRefused) {
  const auto key = signing_key::of_curve("P-384");
  const auto good = key.token("ES384", k_claims, R"("kid":"k")");
  const auto by = rules(key.jwk(R"("kid":"k")"));
  EXPECT_EQ(outcome(good, by), "ok");
  // What the header says is believed by nobody.
  const auto header = base64url_encode(R"({"alg":"ES256","kid":"k"})");
  EXPECT_EQ(outcome(header + good.substr(good.find('.')), by), "token_bad_signature");
  EXPECT_THAT(objection(set_of(key.jwk(R"("alg":"ES256")"))),
              HasSubstr("key 1 of the set has the alg of another kty or crv"));
}

TEST(WebKeys, PublicKeyAsSecret_IsNone) {
  auto by = rules(rsa().jwk(R"("kid":"k")"));
  for (const auto& secret : {rsa().public_bytes(), base64url_encode(rsa().public_bytes()),
                             rsa().jwk(), rsa().jwk(R"("kid":"k")")}) {
    for (const auto* kid : {"", R"(,"kid":"k")"}) {
      const auto text = base64url_encode(std::string(R"({"alg":"HS256")") + kid + "}") + "." +
                        base64url_encode(k_claims);
      const auto forged = text + "." + base64url_encode(hmac("SHA256", secret, text));
      by.secrets = {};
      EXPECT_NE(outcome(forged, by), "ok");
      by.secrets = {k_secret};
      EXPECT_EQ(outcome(forged, by), "token_bad_signature");
    }
  }
}

TEST(WebKeys, KeyInTheToken_IsNeverLookedAt) {
  const auto by = rules(rsa().jwk(R"("kid":"k")"));
  const auto thief = signing_key::of_curve("P-256");
  const auto jwk = R"("jwk":)" + thief.jwk();
  EXPECT_EQ(outcome(thief.token("ES256", k_claims, jwk), by), "token_bad_signature");
  EXPECT_EQ(outcome(thief.token("ES256", k_claims, jwk + R"(,"kid":"k")"), by),
            "token_bad_signature");
  EXPECT_EQ(
      outcome(thief.token("ES256", k_claims, R"("jku":"https://evil.example/k","kid":"t")"), by),
      "token_key_unknown");
  EXPECT_EQ(outcome(rsa().token("RS256", k_claims, R"("kid":"k","crit":["exp"])"), by),
            "token_malformed");
  EXPECT_EQ(outcome(rsa().token("RS256", k_claims, R"("kid":7)"), by), "token_malformed");
}

TEST(WebKeys, AlgNone_IsRefused) {
  const auto by = rules(rsa().jwk());
  const auto body = "." + base64url_encode(k_claims) + ".";
  EXPECT_EQ(outcome(base64url_encode(R"({"alg":"none"})") + body, by), "token_bad_signature");
  EXPECT_EQ(outcome(base64url_encode(R"({"kid":"k"})") + body, by), "token_bad_signature");
}

TEST(WebKeys, SignatureOfZeros_IsRefused) {
  const auto by = rules(curve().jwk(R"("kid":"k")"));
  const auto text =
      base64url_encode(R"({"alg":"ES256","kid":"k"})") + "." + base64url_encode(k_claims);
  for (const std::size_t bytes : {0, 1, 32, 63, 64, 65, 128}) {
    const auto token = text + "." + base64url_encode(std::string(bytes, '\0'));
    EXPECT_EQ(outcome(token, by), "token_bad_signature") << bytes;
  }
}

TEST(WebKeys, SignatureInDer_IsRefused) {
  // 0x30 0x44 0x02 0x20 r 0x02 0x20 s would be what OpenSSL itself writes.
  const auto by = rules(curve().jwk());
  const auto text = base64url_encode(R"({"alg":"ES256"})") + "." + base64url_encode(k_claims);
  const auto flat = curve().sign("ES256", text);
  const auto der =
      std::string("\x30\x44\x02\x20") + flat.substr(0, 32) + "\x02\x20" + flat.substr(32);
  EXPECT_EQ(outcome(text + "." + base64url_encode(flat), by), "ok");
  EXPECT_EQ(outcome(text + "." + base64url_encode(der), by), "token_bad_signature");
}

// ---- which key

TEST(WebKeys, Kid_ChoosesTheKey) {
  const auto other = signing_key::of_curve("P-256");
  const auto by = rules(curve().jwk(R"("kid":"a")") + "," + other.jwk(R"("kid":"b")"));
  EXPECT_EQ(outcome(curve().token("ES256", k_claims, R"("kid":"a")"), by), "ok");
  EXPECT_EQ(outcome(other.token("ES256", k_claims, R"("kid":"b")"), by), "ok");
  EXPECT_EQ(outcome(curve().token("ES256", k_claims, R"("kid":"b")"), by), "token_bad_signature");
  EXPECT_EQ(outcome(other.token("ES256", k_claims), by), "ok");
}

TEST(WebKeys, KeysOfOneKid_AreAllTried) {
  const auto other = signing_key::of_curve("P-256");
  const auto by = rules(curve().jwk(R"("kid":"a")") + "," + other.jwk(R"("kid":"a")") + "," +
                        rsa().jwk(R"("kid":"a")"));
  for (const auto* key : {&curve(), &other}) {
    EXPECT_EQ(outcome(key->token("ES256", k_claims, R"("kid":"a")"), by), "ok");
  }
  EXPECT_EQ(outcome(rsa().token("PS512", k_claims, R"("kid":"a")"), by), "ok");
}

TEST(WebKeys, NoKid_EightKeysAreTried) {
  std::string keys;
  std::vector<signing_key> all;
  for (int i = 0; i < 9; ++i) {
    all.push_back(signing_key::of_curve("P-256"));
    keys += (i > 0 ? "," : "") + all.back().jwk();
  }
  const auto by = rules(keys);
  EXPECT_EQ(outcome(all[7].token("ES256", k_claims), by), "ok");
  EXPECT_EQ(outcome(all[8].token("ES256", k_claims), by), "token_bad_signature");
}

TEST(WebKeys, SecretOfTheSet_ComesBeforeThoseOfTheConfiguration) {
  auto by = rules(k_secret_jwk);
  const auto signed_by = [](const std::string& secret, const std::string& header) {
    const auto text = base64url_encode(header) + "." + base64url_encode(k_claims);
    return text + "." + base64url_encode(hmac("SHA256", secret, text));
  };
  const std::string configured = "the secret of the configuration, long";
  const auto plain = R"({"alg":"HS256"})";
  const auto named = R"({"alg":"HS256","kid":"s"})";
  const auto unknown = R"({"alg":"HS256","kid":"x"})";
  EXPECT_EQ(outcome(signed_by(k_secret, named), by), "ok");
  EXPECT_EQ(outcome(signed_by(k_secret, plain), by), "ok");
  EXPECT_EQ(outcome(signed_by(k_secret, unknown), by), "token_key_unknown");
  by.secrets = {configured};
  EXPECT_EQ(outcome(signed_by(configured, plain), by), "ok");
  EXPECT_EQ(outcome(signed_by(configured, unknown), by), "ok");
  EXPECT_EQ(outcome(signed_by(configured, named), by), "token_bad_signature");
  EXPECT_EQ(outcome(signed_by(k_secret, plain), by), "ok");
  EXPECT_EQ(outcome(signed_by(k_secret, unknown), by), "token_bad_signature");
}

TEST(WebKeys, UnknownKey_IsNamedSoThatItCanBeLookedFor) {
  auto by = rules(rsa().jwk(R"("kid":"k")"));
  const auto named = [&](const std::string& token) {
    return unknown_key_of(token, by).value_or("-");
  };
  EXPECT_EQ(named(curve().token("ES256", k_claims, R"("kid":"new")")), "new");
  EXPECT_EQ(named(" " + rsa().token("RS256", k_claims, R"("kid":"new")") + "\n"), "new");
  EXPECT_EQ(named(rsa().token("RS256", k_claims, R"("kid":"k")")), "-");
  EXPECT_EQ(named(rsa().token("RS256", k_claims)), "-");
  EXPECT_EQ(named("sb_publishable_abc"), "-");
  const auto mac = base64url_encode(R"({"alg":"HS256","kid":"new"})") + ".e30.eA";
  EXPECT_EQ(named(mac), "new");
  by.secrets = {k_secret};
  EXPECT_EQ(named(mac), "-");
  by.keys = nullptr;
  EXPECT_EQ(named(curve().token("ES256", k_claims, R"("kid":"new")")), "-");
}

TEST(WebKeys, NoSet_NoPublicKeyAlgorithm) {
  token_rules by;
  by.roles = {"authenticated"};
  const auto who = verify_token(rsa().token("RS256", k_claims), by, k_now);
  EXPECT_EQ(who.error().code, errc::token_bad_signature);
  EXPECT_EQ(who.error().detail,
            "Failed to generate JWT signer, check your JWT secret or JWKS configuration");
}

// ---- reading a set

TEST(WebKeys, WeakRsa_IsRefusedWithItsSize) {
  const auto weak = signing_key::of_rsa(1'024);
  EXPECT_EQ(objection(set_of(weak.jwk(R"("kid":"old")"))),
            "it has no usable key: key \"old\" is an RSA key of 1024 bits, and 2048 to 8192 are "
            "accepted; make another one");
  const auto mixed = json_web_key_set::parse(set_of(weak.jwk() + "," + rsa().jwk())).value();
  EXPECT_EQ(mixed.size(), 1U);
  EXPECT_THAT(mixed.objections(), ElementsAre(HasSubstr("key 1 of the set is an RSA key of 1024")));
}

TEST(WebKeys, ShortSecret_IsRefused) {
  EXPECT_THAT(objection(set_of(R"({"kty":"oct","k":"c2hvcnQ"})")), HasSubstr("less than 32 bytes"));
  EXPECT_THAT(objection(set_of(R"({"kty":"oct"})")), HasSubstr("less than 32 bytes"));
}

TEST(WebKeys, KeysOfOtherKinds_AreLeftOut) {
  const auto set = json_web_key_set::parse(set_of(
      R"({"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"},{"kty":"AKP","alg":"ML-DSA-65"},7,)"
      R"({"kty":"OKP","crv":"X25519","x":"AA"},{"kty":"RSA","alg":"RSA-OAEP","n":"AA"},{},)" +
      rsa().jwk(R"("use":"enc")") + "," + rsa().jwk(R"("key_ops":["encrypt"])") + "," +
      rsa().jwk(R"("use":"sig","key_ops":["sign","verify"],"x5c":["MII"],"ext":true)") + "," +
      curve().jwk() + "," + signing_key::of_edwards("Ed448").jwk() + "," + k_secret_jwk));
  ASSERT_TRUE(set) << set.error().detail;
  EXPECT_EQ(set->summary(), "1 Ed448, 1 P-256, 1 RSA, 1 secret");
  EXPECT_THAT(set->objections(), ElementsAre());
}

TEST(WebKeys, BrokenKeys_AreObjectedTo) {
  const std::string one(32, '\1');
  const std::string x = R"("x":")" + base64url_encode(one) + "\"";
  const std::string y = R"("y":")" + base64url_encode(one) + "\"";
  const auto curve_key = [&](const std::string& rest) {
    return objection(set_of(R"({"kty":"EC","crv":"P-256",)" + rest + "}"));
  };
  const auto is_invalid = HasSubstr("key 1 of the set is not a valid public key");
  EXPECT_THAT(curve_key(x + "," + y), is_invalid) << "not on the curve";
  EXPECT_THAT(curve_key(x), is_invalid);
  EXPECT_THAT(curve_key(x + R"(,"y":"AA")"), is_invalid);
  EXPECT_THAT(curve_key(x + R"(,"y":"not base64!")"), is_invalid);
  EXPECT_THAT(curve_key(x + R"(,"y":7)"), is_invalid);
  EXPECT_THAT(objection(set_of(R"({"kty":"RSA","e":"AQAB"})")), is_invalid);
  EXPECT_THAT(objection(set_of(R"({"kty":"RSA","n":"AAAA","e":"AQAB"})")), is_invalid);
  const auto number = base64url_encode(std::string(256, '\xff'));
  EXPECT_THAT(objection(set_of(R"({"kty":"RSA","n":")" + number + R"(","e":"AQ"})")), is_invalid);
  EXPECT_THAT(objection(set_of(R"({"kty":"RSA","n":")" + number + R"(","e":"Ag"})")), is_invalid);
  EXPECT_THAT(objection(set_of(R"({"kty":"OKP","crv":"Ed25519","x":"AA"})")), is_invalid);
}

TEST(WebKeys, WhatIsNoSet_IsSaidToBeNone) {
  for (const auto* text : {"", "{", "[]", "7", "null", R"({"keys":{}})", R"({"keys":7})", "{}",
                           R"({"kty":"RSA"})", "<html></html>", "{\"keys\":[\xff]}"}) {
    EXPECT_THAT(objection(text), HasSubstr("it is not a JSON Web Key Set")) << text;
  }
  EXPECT_THAT(objection(R"({"keys":[]})"),
              HasSubstr("it has no usable key: none is for signatures"));
}

TEST(WebKeys, MoreThanHundredKeys_AreLeftOut) {
  std::string keys = curve().jwk();
  for (int i = 0; i < 100; ++i) keys += "," + curve().jwk();
  const auto set = json_web_key_set::parse(set_of(keys)).value();
  EXPECT_EQ(set.size(), 100U);
  EXPECT_THAT(set.objections(), ElementsAre("only the first 100 keys are used"));
}

TEST(WebKeys, PrivateHalf_IsNotNeededAndDoesNoHarm) {
  const auto by = rules(rsa().jwk(R"("kid":"k","d":"AAAA","p":"AAAA")"));
  EXPECT_EQ(outcome(rsa().token("RS256", k_claims, R"("kid":"k")"), by), "ok");
}

}  // namespace
}  // namespace pgcast
