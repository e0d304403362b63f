#pragma once

#include "daemon/http_exchange.hpp"

#include <string>
#include <string_view>

namespace pgcast {

/// Whether Accept-Encoding lets an answer be gzip (RFC 9110, section 12.5.3).
bool accepts_gzip(std::string_view accept_encoding);

/// Whether If-None-Match has that weak tag (RFC 9110, section 13.1.2).
bool has_tag(std::string_view if_none_match, std::string_view tag);

/// 200 with an ETag of `identity`, compressed where that pays and the client takes it; or 304 to
/// who has it already.
http_response encode_answer(const http_request& r, const char* type, std::string body,
                            std::string_view identity);

/// The same for what is true for a moment: nobody keeps it, so it has no ETag.
http_response encode_moment(const http_request& r, const char* type, std::string body);

/// A body that never changes, with what is made of it once.
struct fixed_body {
  std::string_view text;  ///< must outlive it
  std::string packed;     ///< gzip; empty where that does not pay
  std::string tag;
};
fixed_body make_fixed_body(std::string_view text);
http_response encode_answer(const http_request& r, const char* type, const fixed_body& body);

}  // namespace pgcast
