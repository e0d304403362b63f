#pragma once

#include "protocol/claims.hpp"

#include <string>
#include <string_view>

namespace pgcast {

/// Explains what verify_token() makes of a token, as a JSON object (TokenReport in
/// daemon/api/openapi.json): its verdict with the remedy, and beside it all that can be read of the
/// token, also where it is refused: header, claims, who signed it, its role and times.
///
/// The claims are what the token says; `claims_verified` tells whether an accepted key has signed
/// them. Shows no secret, and nothing of the token but its header and claims.
std::string explain_token(std::string_view token, const token_rules& rules, wall_time now);

}  // namespace pgcast
