#include "daemon/http_console.hpp"

#include "daemon/embedded.hpp"
#include "daemon/http_encoding.hpp"

#include <array>
#include <map>

namespace pgcast {
namespace http = boost::beast::http;
namespace {

// Recordings of calls lie wherever the telephony keeps them, so a player may load from any host; a
// page behind https is kept from http by the browser itself. Nothing else of a foreign host is
// loaded, and without a referrer the host does not learn where it was listened to.
constexpr const char* k_content_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' data:; media-src https: http:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

struct media_type {
  std::string_view ending;
  const char* type;
};
constexpr std::array k_media_types{
    media_type{".html", "text/html; charset=utf-8"},
    media_type{".js", "text/javascript"},
    media_type{".mjs", "text/javascript"},
    media_type{".css", "text/css"},
    media_type{".svg", "image/svg+xml"},
    media_type{".json", "application/json"},
};

const char* media_type_of(std::string_view name) {
  for (const auto& m : k_media_types) {
    if (name.ends_with(m.ending)) return m.type;
  }
  return "text/plain; charset=utf-8";
}

/// Compressed by whoever asks first, for all threads.
const std::map<std::string_view, fixed_body>& console_bodies() {
  static const auto bodies = [] {
    std::map<std::string_view, fixed_body> all;
    for (const auto& file : console_files) all.emplace(file.name, make_fixed_body(file.bytes));
    return all;
  }();
  return bodies;
}

}  // namespace

std::optional<http_response> console_file(const http_request& r, std::string_view path) {
  std::string_view name = path == "/" ? "index.html" : path;
  if (name.starts_with("/console/")) name.remove_prefix(9);
  const auto found = console_bodies().find(name);
  if (found == console_bodies().end()) return std::nullopt;
  auto out = encode_answer(r, media_type_of(name), found->second);
  out.set("Content-Security-Policy", k_content_policy);
  out.set("Referrer-Policy", "no-referrer");
  out.set(http::field::cache_control, "no-cache");  // kept, and asked about each time: 304
  out.set(http::field::vary, "Accept-Encoding");
  return out;
}

}  // namespace pgcast
