#pragma once

#include "protocol/claims.hpp"
#include "protocol/json_document.hpp"
#include "protocol/signature.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pgcast {

// The steps of verify_token(), each on its own, for who explains a token.

/// Without white space around it.
std::string_view trim_token(std::string_view text);

/// header.payload.signature, decoded.
struct token_parts {
  std::string_view signed_text;  ///< header.payload, in the token
  std::string header;
  std::string payload;
  std::string signature;
};
/// Fails with token_malformed.
result<token_parts> split_token(std::string_view token);

/// What the header of a token says that counts here. Keys that it brings along are never looked
/// at; no critical extension is known here, so any is refused (RFC 7515, section 4.1.11).
struct token_header {
  const signature_algorithm* algorithm = nullptr;  ///< nullptr: none that is accepted
  std::optional<std::string> kid;
};
/// Fails with token_malformed.
result<token_header> read_token_header(const std::string& json);

/// Who has signed a token.
struct token_signer {
  enum class kind { secret, key } by = kind::secret;
  std::size_t secret = 0;  ///< which of token_rules::secrets
};
/// Fails with token_bad_signature or token_key_unknown.
result<token_signer> find_signer(const token_header& header, const token_parts& parts,
                                 const token_rules& rules);

/// A claim that is a time in seconds: absent, a number, or something else.
struct time_claim {
  bool is_present = false;
  std::optional<double> seconds;

  static time_claim of(json_value value) { return {true, number_of(value)}; }
};

struct raw_claims {
  std::optional<std::string> role;
  std::string sub;
  time_claim exp, nbf, iat;
  std::string class_key;
};
/// Fails with token_malformed.
result<raw_claims> read_token_claims(const std::string& payload);

/// Seconds since 1970 as a time; beyond what the clock can hold, its last moment.
wall_time time_of_claim(double seconds);

/// What is wrong with the claims of a token, its signature left aside.
std::optional<error> objection_to_claims(const raw_claims& raw, const token_rules& rules,
                                         wall_time now);

/// Of a key that is no token; nothing if it is none of the rules'.
std::optional<claims> claims_of_api_key(std::string_view key, const token_rules& rules);

}  // namespace pgcast
