#include "protocol/token_parts.hpp"

#include "protocol/base64url.hpp"
#include "protocol/codec.hpp"
#include "protocol/json_web_key.hpp"

#include <algorithm>
#include <cmath>

namespace pgcast {
namespace {

// Sentences of Supabase Realtime (realtime-protocol facts, sections 2 and 12).
constexpr const char* k_not_a_jwt = "The token provided is not a valid JWT";
constexpr const char* k_no_signer =
    "Failed to generate JWT signer, check your JWT secret or JWKS configuration";
constexpr const char* k_bad_signature = "Failed to validate JWT signature";
constexpr const char* k_claims_missing = "Fields `role` and `exp` are required in JWT";

error malformed() { return {errc::token_malformed, k_not_a_jwt}; }

/// Which secret; all are tried, whichever it is.
std::optional<std::size_t> signing_secret(const std::vector<std::string>& secrets,
                                          const signature_algorithm& by, const token_parts& parts) {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    const bool has_signed = is_good_mac(by, secrets[i], parts.signed_text, parts.signature);
    if (has_signed && !found) found = i;
  }
  return found;
}

}  // namespace

std::string_view trim_token(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n\f\v";
  const auto begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

result<token_parts> split_token(std::string_view token) {
  if (std::count(token.begin(), token.end(), '.') != 2) return malformed();
  const auto first = token.find('.');
  const auto second = token.find('.', first + 1);
  auto header = base64url_decode(token.substr(0, first));
  auto payload = base64url_decode(token.substr(first + 1, second - first - 1));
  auto signature = base64url_decode(token.substr(second + 1));
  if (!header || !payload || !signature) return malformed();
  return token_parts{token.substr(0, second), std::move(*header), std::move(*payload),
                     std::move(*signature)};
}

result<token_header> read_token_header(const std::string& json) {
  json_document document(json);
  if (!document.is_valid()) return malformed();
  token_header out;
  bool is_good = true;
  const bool is_sound = for_each_member(document.root(), [&](std::string_view key, json_value v) {
    if (key == "alg") out.algorithm = find_signature_algorithm(string_of(v).value_or(""));
    if (key == "crit") is_good = false;
    if (key != "kid") return;
    out.kid = string_of(v);
    is_good = is_good && out.kid;
  });
  if (!is_sound || !is_good) return malformed();
  return out;
}

/// A secret of the set that the token names stands alone; else those of the configuration count
/// too.
result<token_signer> find_signer(const token_header& header, const token_parts& parts,
                                 const token_rules& rules) {
  using verdict = json_web_key_set::verdict;
  const bool is_mac =
      header.algorithm != nullptr && header.algorithm->kind == signature_algorithm::family::hmac;
  if (header.algorithm == nullptr || (!is_mac && !rules.keys)) {
    return error{errc::token_bad_signature, k_no_signer};
  }
  auto signature = verdict::unknown_key;
  if (rules.keys) {
    signature =
        rules.keys->verify(*header.algorithm, header.kid, parts.signed_text, parts.signature);
  }
  if (signature == verdict::good) return token_signer{token_signer::kind::key, 0};
  const bool is_named = header.kid && signature == verdict::bad;
  if (is_mac && !is_named && !rules.secrets.empty()) {
    const auto secret = signing_secret(rules.secrets, *header.algorithm, parts);
    if (secret) return token_signer{token_signer::kind::secret, *secret};
    signature = verdict::bad;
  }
  if (signature == verdict::unknown_key && rules.keys) {
    return error{errc::token_key_unknown, k_no_signer};
  }
  return error{errc::token_bad_signature, k_bad_signature};
}

result<raw_claims> read_token_claims(const std::string& payload) {
  json_document document(payload);
  if (!document.is_valid()) return malformed();
  raw_claims out;
  out.class_key = "{";
  const auto visit = [&](std::string_view key, json_value value) {
    if (key == "exp") out.exp = time_claim::of(value);
    if (key == "nbf") out.nbf = time_claim::of(value);
    if (key == "iat") out.iat = time_claim::of(value);
    if (key == "exp" || key == "nbf" || key == "iat") return;
    if (out.class_key.size() > 1) out.class_key += ',';
    append_json_quoted(out.class_key, key);
    out.class_key += ':';
    out.class_key += raw_json(value);
    if (key == "role") out.role = string_of(value);
    if (key == "sub") out.sub = string_of(value).value_or("");
  };
  if (!for_each_member(document.root(), visit)) return malformed();
  out.class_key += '}';
  return out;
}

wall_time time_of_claim(double seconds) {
  const std::chrono::duration<double> since(seconds);
  if (since >= wall_time::max().time_since_epoch()) return wall_time::max();
  return wall_time(std::chrono::duration_cast<wall_time::duration>(since));
}

std::optional<error> objection_to_claims(const raw_claims& raw, const token_rules& rules,
                                         wall_time now) {
  const bool has_exp = raw.exp.seconds && *raw.exp.seconds >= 0;
  if (!raw.role || raw.role->empty() || !has_exp) {
    return error{errc::token_claims_missing, k_claims_missing};
  }
  const bool has_bad_time = (raw.nbf.is_present && !(raw.nbf.seconds && *raw.nbf.seconds >= 0)) ||
                            (raw.iat.is_present && !raw.iat.seconds);
  if (has_bad_time) return malformed();

  const wall_time expires_at = time_of_claim(*raw.exp.seconds);
  if (now - rules.skew >= expires_at) {
    const auto ago = std::chrono::floor<std::chrono::seconds>(now - expires_at).count();
    return error{errc::token_expired, "Token has expired " + std::to_string(ago) + " seconds ago"};
  }
  if (raw.nbf.is_present && time_of_claim(*raw.nbf.seconds) > now + rules.skew) {
    return error{errc::token_not_yet_valid, "Token is not valid yet"};
  }
  if (std::find(rules.roles.begin(), rules.roles.end(), *raw.role) == rules.roles.end()) {
    return error{errc::token_role_refused, "The role of the token is not accepted here"};
  }
  return std::nullopt;
}

std::optional<claims> claims_of_api_key(std::string_view key, const token_rules& rules) {
  const std::string* role = nullptr;
  for (const auto& [known_key, its_role] : rules.api_keys) {
    if (equal_in_constant_time(known_key, key)) role = &its_role;
  }
  if (role == nullptr) return std::nullopt;
  const std::string json = "{\"role\":" + json_quote(*role) + "}";
  return claims{*role, "", wall_time::max(), json, json};
}

}  // namespace pgcast
