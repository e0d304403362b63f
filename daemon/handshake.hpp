#pragma once

#include "daemon/config.hpp"
#include "daemon/metrics.hpp"
#include "protocol/claims.hpp"
#include "protocol/codec.hpp"

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

using http_request = boost::beast::http::request<boost::beast::http::string_body>;

/// A request refused before anything was done for it.
struct refused_request {
  refusal why;
  boost::beast::http::status status;
  std::string sentence;  ///< for the body, error_body()
  errc code = errc::message_malformed;
};

/// The parts of a request target, percent-decoded.
struct request_target {
  std::string path;
  std::vector<std::string> segments;  ///< of the path: each may have a slash in it
  std::vector<std::pair<std::string, std::string>> query;

  /// The first value of a query parameter.
  std::optional<std::string> parameter(std::string_view name) const;
};
/// Fails with message_malformed.
result<request_target> parse_target(std::string_view target);

/// What a good upgrade request asks for.
struct upgrade_request {
  wire_version version = wire_version::v1;
  claims who;
  std::string accept;     ///< Sec-WebSocket-Accept
  std::string client_id;  ///< `client_id` of the query, "" = none
};

// Pure checks of HTTP requests: bytes in, verdict out.

/// With auth.mode off only loopback names as Host, and nothing that a proxy forwarded.
std::optional<refused_request> check_host(const http_request& r, const config& c);

/// Exact match with server.allowed_origins; by default the request's own host and loopback. No
/// Origin is fine: no browser.
std::optional<refused_request> check_origin(const http_request& r, const config& c);

/// The token or key that a request carries, "" without one.
std::string token_of(const http_request& r, const request_target& t);

/// Whose request it is: `apikey` of query or header, `x-api-key`, or a bearer token.
boost::system::result<claims, refused_request> identify(const http_request& r,
                                                        const request_target& t, const config& c,
                                                        wall_time now);

/// The whole verdict about a WebSocket upgrade (RFC 6455, section 4.2.1).
boost::system::result<upgrade_request, refused_request> check_upgrade(const http_request& r,
                                                                      const request_target& t,
                                                                      const config& c,
                                                                      wall_time now);

[[noreturn]] void throw_exception_from_error(const refused_request& e,
                                             const boost::source_location& where);

}  // namespace pgcast
