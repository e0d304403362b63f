#pragma once

#include "protocol/error.hpp"

#include <string>
#include <string_view>

namespace pgcast {

/// base64url without padding (RFC 7515, section 2); decode fails (errc::token_malformed) on
/// anything else, also on a second text for the same bytes.
std::string base64url_encode(std::string_view bytes);
result<std::string> base64url_decode(std::string_view text);

}  // namespace pgcast
