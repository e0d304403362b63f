#include "protocol/claims.hpp"

#include "protocol/base64url.hpp"
#include "protocol/json_web_key.hpp"
#include "protocol/token_parts.hpp"

namespace pgcast {
namespace {

// A sentence of Supabase Realtime (realtime-protocol facts, sections 2 and 12).
constexpr const char* k_missing = "API key is missing";

}  // namespace

result<claims> verify_token(std::string_view token, const token_rules& rules, wall_time now) {
  token = trim_token(token);
  if (token.empty()) return error{errc::token_missing, k_missing};
  if (auto known = claims_of_api_key(token, rules)) return std::move(*known);

  auto parts = split_token(token);
  if (!parts) return parts.error();
  const auto header = read_token_header(parts->header);
  if (!header) return header.error();
  if (auto signer = find_signer(*header, *parts, rules); !signer) return signer.error();
  auto raw = read_token_claims(parts->payload);
  if (!raw) return raw.error();
  if (auto objection = objection_to_claims(*raw, rules, now)) return *std::move(objection);
  return claims{std::move(*raw->role), std::move(raw->sub), time_of_claim(*raw->exp.seconds),
                std::move(parts->payload), std::move(raw->class_key)};
}

std::optional<std::string> unknown_key_of(std::string_view token, const token_rules& rules) {
  if (!rules.keys) return std::nullopt;
  auto parts = split_token(trim_token(token));
  if (!parts) return std::nullopt;
  auto header = read_token_header(parts->header);
  if (!header || header->algorithm == nullptr || !header->kid) return std::nullopt;
  const bool is_mac = header->algorithm->kind == signature_algorithm::family::hmac;
  if (is_mac && !rules.secrets.empty()) return std::nullopt;
  if (rules.keys->has(*header->kid)) return std::nullopt;
  return std::move(header->kid);
}

std::string mint_token(std::string_view claims_json, std::string_view secret) {
  std::string token = base64url_encode("{\"alg\":\"HS256\",\"typ\":\"JWT\"}");
  token += '.';
  token += base64url_encode(claims_json);
  const auto signature = hmac("SHA256", secret, token);
  token += '.';
  token += base64url_encode(signature);
  return token;
}

}  // namespace pgcast
