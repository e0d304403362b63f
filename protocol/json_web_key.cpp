#include "protocol/json_web_key.hpp"

#include "protocol/base64url.hpp"
#include "protocol/codec.hpp"
#include "protocol/json_document.hpp"

#include <algorithm>
#include <map>

namespace pgcast {
namespace {

using family = signature_algorithm::family;

constexpr std::size_t k_keys = 100;
constexpr int k_tries = 8;  // of a token without kid, which costs a verification each
constexpr unsigned k_least_rsa_bits = 2'048;      // RFC 7518, section 3.3
constexpr unsigned k_most_rsa_bits = 8'192;       // a verification costs its square
constexpr std::size_t k_least_secret_bytes = 32;  // RFC 7518, section 3.2

}  // namespace

/// The members of a key that say something about verifying, decoded.
struct json_web_key_set::raw_key {
  std::size_t place = 0;  ///< in the set, from 1
  std::optional<std::string> kid, alg;
  std::string kty, use, crv;
  std::map<std::string, std::string, std::less<>> bytes;  ///< n, e, x, y, k
  bool may_verify = true;                                 ///< by its `key_ops`

  void read(std::string_view name, json_value member) {
    if (name == "kid") kid = string_of(member);
    if (name == "alg") alg = string_of(member).value_or("");
    if (name == "kty") kty = string_of(member).value_or("");
    if (name == "use") use = string_of(member).value_or("");
    if (name == "crv") crv = string_of(member).value_or("");
    if (name == "key_ops") {
      may_verify = false;
      for_each_element(member, [&](json_value operation) {
        if (string_of(operation) == "verify") may_verify = true;
      });
    }
    if (name != "n" && name != "e" && name != "x" && name != "y" && name != "k") return;
    auto decoded = base64url_decode(string_of(member).value_or(""));
    if (decoded) bytes[std::string(name)] = *std::move(decoded);
  }

  std::string_view field(std::string_view name) const {
    const auto found = bytes.find(name);
    return found == bytes.end() ? std::string_view{} : std::string_view{found->second};
  }

  /// How a sentence calls it.
  std::string name() const {
    return kid ? "key " + json_quote(*kid) : "key " + std::to_string(place) + " of the set";
  }

  /// Of a type and a curve that are known here, and for signatures.
  bool is_for_us() const {
    if (!may_verify || (!use.empty() && use != "sig")) return false;
    if (alg && find_signature_algorithm(*alg) == nullptr) return false;
    if (kty == "EC") return crv == "P-256" || crv == "P-384" || crv == "P-521";
    if (kty == "OKP") return crv == "Ed25519" || crv == "Ed448";
    return kty == "RSA" || kty == "oct";
  }

  std::optional<public_key> make_public_key() const {
    if (kty == "RSA") return public_key::of_rsa(field("n"), field("e"));
    if (kty == "EC") return public_key::of_curve(crv, field("x"), field("y"));
    return public_key::of_edwards(crv, field("x"));
  }
};

void json_web_key_set::add(const raw_key& raw) {
  if (!raw.is_for_us()) return;
  const auto object = [&](const std::string& why) { objections_.push_back(raw.name() + why); };
  const auto* only = raw.alg ? find_signature_algorithm(*raw.alg) : nullptr;
  if (raw.kty == "oct") {
    if (raw.field("k").size() < k_least_secret_bytes) {
      return object(" is a secret of less than 32 bytes, which can be guessed; make a longer one");
    }
    if (only != nullptr && only->kind != family::hmac) return object(" has the alg of another kty");
    keys_.push_back({raw.kid, only, std::string(raw.field("k")), "secret"});
    return;
  }
  auto made = raw.make_public_key();
  if (!made) return object(" is not a valid public key");
  const bool is_rsa = raw.kty == "RSA";
  if (is_rsa && (made->bits() < k_least_rsa_bits || made->bits() > k_most_rsa_bits)) {
    return object(" is an RSA key of " + std::to_string(made->bits()) +
                  " bits, and 2048 to 8192 are accepted; make another one");
  }
  if (only != nullptr && !made->is_for(*only)) return object(" has the alg of another kty or crv");
  keys_.push_back({raw.kid, only, *std::move(made), is_rsa ? "RSA" : raw.crv});
}

result<json_web_key_set> json_web_key_set::parse(std::string_view json) {
  json_web_key_set out;
  json_document document(json);
  bool has_keys = false;
  std::size_t place = 0;
  const auto visit_key = [&](json_value element) {
    raw_key raw;
    raw.place = ++place;
    const bool is_whole = for_each_member(
        element, [&](std::string_view name, json_value member) { raw.read(name, member); });
    if (is_whole && place <= k_keys) out.add(raw);
  };
  if (document.is_valid()) {
    for_each_member(document.root(), [&](std::string_view name, json_value value) {
      if (name == "keys") has_keys = for_each_element(value, visit_key);
    });
  }
  if (!has_keys) {
    return error{errc::config_invalid,
                 R"(it is not a JSON Web Key Set, which looks like {"keys":[{"kty":"EC",..},..]})"};
  }
  if (place > k_keys) out.objections_.emplace_back("only the first 100 keys are used");
  if (!out.keys_.empty()) return out;
  const std::string why = out.objections_.empty()
                              ? "none is for signatures by an algorithm that is known here"
                              : out.objections_.front();
  return error{errc::config_invalid, "it has no usable key: " + why};
}

// ---- verifying

bool json_web_key_set::web_key::is_named(const signature_algorithm& by,
                                         std::string_view name) const {
  const bool is_secret = std::holds_alternative<std::string>(key);
  return kid == name && is_secret == (by.kind == family::hmac);
}

bool json_web_key_set::web_key::goes_with(const signature_algorithm& by) const {
  // EdDSA and the name of its curve are the same algorithm (RFC 9864).
  const bool is_allowed =
      only == nullptr || only == &by || (only->kind == family::eddsa && by.kind == family::eddsa);
  const auto* made = std::get_if<public_key>(&key);
  return is_allowed && (made != nullptr ? made->is_for(by) : by.kind == family::hmac);
}

bool json_web_key_set::web_key::has_signed(const signature_algorithm& by, std::string_view text,
                                           std::string_view signature) const {
  if (const auto* made = std::get_if<public_key>(&key))
    return made->has_signed(by, text, signature);
  return is_good_mac(by, std::get<std::string>(key), text, signature);
}

bool json_web_key_set::has(std::string_view kid) const {
  return std::any_of(keys_.begin(), keys_.end(),
                     [&](const web_key& key) { return key.kid == kid; });
}

bool json_web_key_set::has_for(const signature_algorithm& by, std::string_view kid) const {
  return std::any_of(keys_.begin(), keys_.end(),
                     [&](const web_key& key) { return key.is_named(by, kid); });
}

json_web_key_set::verdict json_web_key_set::verify(const signature_algorithm& by,
                                                   const std::optional<std::string>& kid,
                                                   std::string_view text,
                                                   std::string_view signature) const {
  if (kid && !has_for(by, *kid)) return verdict::unknown_key;
  int tries = k_tries;
  for (const auto& key : keys_) {
    const bool is_candidate = (!kid || key.is_named(by, *kid)) && key.goes_with(by);
    if (!is_candidate) continue;
    if (tries-- == 0) break;
    if (key.has_signed(by, text, signature)) return verdict::good;
  }
  return verdict::bad;
}

std::string json_web_key_set::summary() const {
  std::map<std::string_view, int> kinds;
  for (const auto& key : keys_) ++kinds[key.kind];
  std::string out;
  for (const auto& [kind, count] : kinds) {
    if (!out.empty()) out += ", ";
    out += std::to_string(count) + ' ' + std::string(kind);
  }
  return out;
}

}  // namespace pgcast
