#include "daemon/handshake.hpp"

#include "daemon/config_text.hpp"
#include "protocol/frame.hpp"

#include <boost/beast/http/field.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace pgcast {
namespace http = boost::beast::http;
namespace {

constexpr std::size_t k_client_id_bytes = 128;

std::string_view header(const http_request& r, std::string_view name) {
  const auto found = r.find({name.data(), name.size()});
  if (found == r.end()) return {};
  const auto value = found->value();
  return {value.data(), value.size()};
}

refused_request no_token(const error& e) {
  return {refusal::token, http::status::unauthorized, e.detail, e.code};
}

bool has_token(const http_request& r, http::field name, std::string_view token) {
  const auto value = r[name];
  return http::token_list{value}.exists({token.data(), token.size()});
}

/// Browsers and curl leave a few characters in a query as they are that RFC 3986 wants encoded,
/// such as those of persist[ttl]=5.
std::string with_strict_query(std::string_view target) {
  const auto query = std::min(target.find('?'), target.size());
  std::string out{target.substr(0, query)};
  for (const char c : target.substr(query)) {
    constexpr std::string_view left = "[]{}|\\^`";
    if (left.find(c) == std::string_view::npos) {
      out += c;
    } else {
      constexpr std::string_view digits = "0123456789ABCDEF";
      out += {'%', digits[static_cast<unsigned char>(c) / 16],
              digits[static_cast<unsigned char>(c) % 16]};
    }
  }
  return out;
}

}  // namespace

void throw_exception_from_error(const refused_request& e, const boost::source_location&) {
  throw std::runtime_error(e.sentence);
}

std::optional<std::string> request_target::parameter(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return std::nullopt;
}

result<request_target> parse_target(std::string_view target) {
  const auto text = with_strict_query(target);
  const auto url = boost::urls::parse_origin_form(text);
  if (!url) return error{errc::message_malformed, "the request target cannot be read"};
  request_target out;
  out.path = url->path();
  for (const auto segment : url->segments()) out.segments.emplace_back(segment);
  for (const auto p : url->params()) out.query.emplace_back(p.key, p.value);
  return out;
}

std::optional<refused_request> check_host(const http_request& r, const config& c) {
  if (c.mode != auth_mode::off) return std::nullopt;
  for (const auto* forwarded : {"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"}) {
    if (r.find(forwarded) == r.end()) continue;
    return refused_request{refusal::host, http::status::forbidden,
                           "auth.mode is off: requests through a proxy are refused",
                           errc::host_refused};
  }
  if (is_loopback_name(host_name(header(r, "Host")))) return std::nullopt;
  return refused_request{refusal::host, http::status::forbidden,
                         "auth.mode is off: only loopback names are served", errc::host_refused};
}

std::optional<refused_request> check_origin(const http_request& r, const config& c) {
  const auto origin = header(r, "Origin");
  if (origin.empty()) return std::nullopt;
  const auto& allowed = c.allowed_origins;
  const auto is_listed = [&](std::string_view o) {
    return std::find(allowed.begin(), allowed.end(), o) != allowed.end();
  };
  if (is_listed("*") || is_listed(origin)) return std::nullopt;
  if (allowed.empty()) {
    const auto scheme = origin.find("://");
    const auto host = scheme == std::string_view::npos ? origin : origin.substr(scheme + 3);
    if (host == header(r, "Host") || is_loopback_name(host_name(host))) return std::nullopt;
  }
  return refused_request{refusal::origin, http::status::forbidden,
                         "this origin is not in server.allowed_origins", errc::origin_refused};
}

std::string token_of(const http_request& r, const request_target& t) {
  const auto bearer = header(r, "Authorization");
  if (bearer.size() > 7 && boost::beast::iequals({bearer.data(), 7}, "Bearer ")) {
    return std::string(bearer.substr(7));
  }
  std::string token = t.parameter("apikey").value_or("");
  if (token.empty()) token = header(r, "x-api-key");
  if (token.empty()) token = header(r, "apikey");
  return token;
}

boost::system::result<claims, refused_request> identify(const http_request& r,
                                                        const request_target& t, const config& c,
                                                        wall_time now) {
  if (c.mode == auth_mode::off) {
    claims everyone;
    everyone.expires_at = wall_time::max();
    everyone.json = everyone.class_key = "{}";
    return everyone;
  }
  auto who = verify_token(token_of(r, t), c.tokens, now);
  if (!who) return no_token(who.error());
  return *std::move(who);
}

boost::system::result<upgrade_request, refused_request> check_upgrade(const http_request& r,
                                                                      const request_target& t,
                                                                      const config& c,
                                                                      wall_time now) {
  const auto malformed = [](std::string sentence) {
    return refused_request{refusal::malformed, http::status::bad_request, std::move(sentence)};
  };
  if (auto refused = check_origin(r, c)) return *std::move(refused);
  if (r.method() != http::verb::get || r.version() < 11 ||
      !has_token(r, http::field::connection, "upgrade") ||
      !has_token(r, http::field::upgrade, "websocket")) {
    return malformed("this is a WebSocket endpoint: a WebSocket upgrade is expected");
  }
  if (header(r, "Sec-WebSocket-Version") != "13") {
    return refused_request{refusal::malformed, http::status::upgrade_required,
                           "only WebSocket version 13 is spoken"};
  }
  const auto key = header(r, "Sec-WebSocket-Key");
  if (key.size() != 24 || !key.ends_with("==")) return malformed("Sec-WebSocket-Key is not valid");
  const auto version = parse_wire_version(t.parameter("vsn").value_or(""));
  if (!version) return malformed(version.error().detail);
  auto who = identify(r, t, c, now);
  if (!who) return who.error();
  auto client_id = t.parameter("client_id").value_or("");
  if (client_id.size() > k_client_id_bytes) {
    return malformed("client_id is longer than 128 bytes: a random UUID is long enough");
  }
  return upgrade_request{*version, *std::move(who), websocket_accept(key), std::move(client_id)};
}

}  // namespace pgcast
