#include "protocol/token_report.hpp"

#include "protocol/codec.hpp"
#include "protocol/error_reply.hpp"
#include "protocol/sql_time.hpp"
#include "protocol/token_parts.hpp"

#include <algorithm>
#include <cmath>

namespace pgcast {
namespace {

constexpr double k_most_shown_seconds = 9e9;  // of a time: within the clock's range, in nanoseconds

/// What can be said of a token; nothing where it could not be read so far.
struct reading {
  std::optional<token_parts> parts;
  std::optional<token_header> header;
  std::optional<raw_claims> said;
  std::optional<result<token_signer>> signer;
};

reading read(std::string_view token, const token_rules& rules) {
  reading out;
  if (auto parts = split_token(token)) out.parts = *std::move(parts);
  if (!out.parts) return out;
  if (auto header = read_token_header(out.parts->header)) out.header = *std::move(header);
  if (auto said = read_token_claims(out.parts->payload)) out.said = *std::move(said);
  if (out.header) out.signer = find_signer(*out.header, *out.parts, rules);
  return out;
}

std::string_view boolean(bool is) { return is ? "true" : "false"; }

/// The header or the claims as they stand, null where they are no JSON.
std::string json_or_null(const std::string& text) { return is_json(text) ? text : "null"; }

bool is_algorithm_refused(const reading& r) { return r.header && r.header->algorithm == nullptr; }

std::string fault(const error& e, const reading& r) {
  const bool is_of_algorithm = e.code == errc::token_bad_signature && is_algorithm_refused(r);
  const auto sentence =
      is_of_algorithm ? "The algorithm of the token (alg) is not accepted here" : e.detail;
  const auto remedy = hint_of(is_of_algorithm ? errc::token_malformed : e.code);
  return R"({"code":)" + json_quote(text_code(e.code)) + R"(,"sentence":)" + json_quote(sentence) +
         R"(,"remedy":)" + json_quote(remedy) + "}";
}

/// The verdict's first; the claims are looked at even if the signature is bad.
std::string faults(const result<claims>& verdict, const reading& r, const token_rules& rules,
                   wall_time now) {
  if (verdict) return "[]";
  std::string out = "[" + fault(verdict.error(), r);
  const bool stopped_at_signature = r.signer && !*r.signer;
  if (stopped_at_signature && r.said) {
    if (const auto more = objection_to_claims(*r.said, rules, now)) out += "," + fault(*more, r);
  }
  return out + "]";
}

std::string signature(const reading& r, const token_rules& rules) {
  if (!r.signer) return "null";
  std::string_view verdict = "good";
  std::string by;
  if (is_algorithm_refused(r)) {
    verdict = "algorithm_refused";
  } else if (!*r.signer) {
    verdict = r.signer->error().code == errc::token_key_unknown ? "key_unknown" : "bad";
  } else if ((*r.signer)->by == token_signer::kind::key) {
    by = r.header->kid ? "key " + *r.header->kid + " of auth.jwks" : "a key of auth.jwks";
  } else {
    const bool is_only = rules.secrets.size() == 1;
    by = is_only ? "auth.jwt_secret"
                 : std::string{(*r.signer)->secret == 0 ? "the first" : "the second"} +
                       " secret of auth.jwt_secret";
  }
  return R"({"verdict":")" + std::string{verdict} + R"(","by":)" +
         (by.empty() ? "null" : json_quote(by)) + "}";
}

std::string role(const std::optional<std::string>& name, const token_rules& rules) {
  const bool is_accepted =
      name && std::find(rules.roles.begin(), rules.roles.end(), *name) != rules.roles.end();
  std::string out = R"({"name":)" + (name ? json_quote(*name) : "null");
  out.append(R"(,"accepted":)").append(boolean(is_accepted)).append(R"(,"roles":[)");
  for (const auto& known : rules.roles) {
    if (out.back() != '[') out += ',';
    append_json_quoted(out, known);
  }
  return out + "]}";
}

std::string time_member(std::string_view name, const time_claim& c) {
  const bool is_shown = c.seconds && std::abs(*c.seconds) < k_most_shown_seconds;
  return ",\"" + std::string{name} +
         "\":" + (is_shown ? json_quote(time_text(time_of_claim(*c.seconds))) : "null");
}

std::string times(const reading& r, wall_time now) {
  const raw_claims none;
  const auto& said = r.said ? *r.said : none;
  std::string left = "null";
  if (said.exp.seconds && std::abs(*said.exp.seconds) < k_most_shown_seconds) {
    const auto rest = time_of_claim(*said.exp.seconds) - now;
    left = std::to_string(std::chrono::floor<std::chrono::seconds>(rest).count());
  }
  return time_member("exp", said.exp) + time_member("nbf", said.nbf) +
         time_member("iat", said.iat) + R"(,"expires_in":)" + left;
}

}  // namespace

std::string explain_token(std::string_view token, const token_rules& rules, wall_time now) {
  token = trim_token(token);
  const auto verdict = verify_token(token, rules, now);
  const bool is_key = claims_of_api_key(token, rules).has_value();
  const auto r = is_key ? reading{} : read(token, rules);
  auto named = r.said ? r.said->role : std::nullopt;
  if (is_key) named = verdict->role;
  std::string out = R"({"at":)" + json_quote(time_text(now));
  out.append(R"(,"accepted":)").append(boolean(verdict.has_value()));
  out += R"(,"kind":)";
  out += is_key ? R"("api_key")" : r.parts ? R"("token")" : R"("unreadable")";
  out += R"(,"faults":)" + faults(verdict, r, rules, now);
  out += R"(,"header":)" + (r.parts ? json_or_null(r.parts->header) : "null");
  out += R"(,"claims":)" + (r.parts ? json_or_null(r.parts->payload) : "null");
  out.append(R"(,"claims_verified":)").append(boolean(r.signer && r.signer->has_value()));
  out += R"(,"signature":)" + signature(r, rules);
  out += R"(,"role":)" + role(named, rules);
  out += times(r, now);
  out += R"(,"skew":)" + std::to_string(rules.skew.count()) + "}";
  return out;
}

}  // namespace pgcast
