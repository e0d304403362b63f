#pragma once

#include "protocol/error.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

using wall_time = std::chrono::system_clock::time_point;

class json_web_key_set;

/// What a good token says.
struct claims {
  std::string role;        ///< one of token_rules::roles
  std::string sub;         ///< may be empty
  wall_time expires_at{};  ///< `exp`, without skew; wall_time::max() if never
  std::string json;        ///< the claims object as it stands in the token
  std::string class_key;   ///< the same without exp, iat and nbf: equal keys see the same rows
};

/// What a token is checked against; changes only by reload.
struct token_rules {
  std::vector<std::string> secrets;              ///< one or two (rotation), any may have signed
  std::vector<std::string> roles;                ///< roles a token may name
  std::map<std::string, std::string> api_keys;   ///< keys that are not tokens -> their role
  std::shared_ptr<const json_web_key_set> keys;  ///< of auth.jwks; nullptr: not configured
  std::chrono::seconds skew{30};
};

/// Checks a compact JWS, signed by one of the secrets (HS256, HS384, HS512) or by a key of the set,
/// and its `role`, `exp` and `nbf`.
///
/// Exactly three parts; an `alg` without a secret or key that goes with it is refused (none always
/// is), an unknown `crit` is refused, jku/jwk/x5u are ignored; `kid` only chooses among the keys of
/// the set. `exp` is mandatory and a number; MACs are compared in constant time; `skew` is granted
/// to `exp` and `nbf`. White space around the token is dropped. An api key of the rules gives
/// claims of its role that never expire. Fails with the token_* codes; `detail` carries the
/// sentence of Supabase Realtime for that case, never a part of the token. Pure: `now` is given.
result<claims> verify_token(std::string_view token, const token_rules& rules, wall_time now);

/// The `kid` that the token names and the key set lacks, so that verify_token() can only fail as
/// long as it does; nothing for all other tokens. Cheap: nothing is verified.
std::optional<std::string> unknown_key_of(std::string_view token, const token_rules& rules);

/// Signs `claims_json` with HS256.
std::string mint_token(std::string_view claims_json, std::string_view secret);

}  // namespace pgcast
