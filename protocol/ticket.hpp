#pragma once

#include "protocol/claims.hpp"

#include <span>
#include <string>
#include <string_view>

namespace pgcast {

/// A token sealed for a short while (AES-256-GCM), to stand in a URL where the token itself, which
/// lives longer, should not. Whoever has the same secret can open it. Fails never but for lack of
/// randomness (throws).
std::string seal_ticket(std::string_view token, std::string_view secret, wall_time expires_at);

/// The token, by the first of `secrets` that fits. Fails with token_malformed for what was not
/// sealed with one of them, token_expired.
result<std::string> open_ticket(std::string_view ticket, std::span<const std::string> secrets,
                                wall_time now);

}  // namespace pgcast
