#include "daemon/http_encoding.hpp"

#include "protocol/base64url.hpp"

#include <boost/beast/core/string.hpp>

#include <openssl/sha.h>
#include <zlib.h>

#include <array>
#include <charconv>
#include <optional>

namespace pgcast {
namespace http = boost::beast::http;
namespace {

constexpr std::size_t k_least_compressed = 1'024;
constexpr int k_fast = 1;  // the text is JSON: higher levels cost more than they save
constexpr int k_gzip = MAX_WBITS + 16;

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// The next element of a comma list; takes it off.
std::string_view next_element(std::string_view& list) {
  const auto comma = list.find(',');
  const auto element = trim(list.substr(0, comma));
  list = comma == std::string_view::npos ? "" : list.substr(comma + 1);
  return element;
}

bool is_word(std::string_view text, std::string_view word) {
  return boost::beast::iequals({text.data(), text.size()}, {word.data(), word.size()});
}

/// "gzip;q=0.5" -> 0.5; 1 without a weight.
double weight_of(std::string_view parameters) {
  const auto at = parameters.find('=');
  if (at == std::string_view::npos) return 1;
  const auto text = trim(parameters.substr(at + 1));
  double weight = 0;
  std::from_chars(text.data(), text.data() + text.size(), weight);
  return weight;
}

std::string tag_of(std::string_view identity) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(identity.data()), identity.size(), digest.data());
  return "W/\"" + base64url_encode({reinterpret_cast<const char*>(digest.data()), 16}) + "\"";
}

/// "" if zlib fails.
std::string compress(std::string_view text, int level) {
  z_stream z{};
  if (deflateInit2(&z, level, Z_DEFLATED, k_gzip, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
    return {};
  }
  std::string out(deflateBound(&z, text.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  const bool is_whole = deflate(&z, Z_FINISH) == Z_STREAM_END;
  out.resize(is_whole ? z.total_out : 0);
  deflateEnd(&z);
  return out;
}

std::string_view header(const http_request& r, http::field name) {
  const auto value = r[name];
  return {value.data(), value.size()};
}

/// 304 to who has it already.
std::optional<http_response> not_modified(const http_request& r, const char* type,
                                          std::string_view tag) {
  if (!has_tag(header(r, http::field::if_none_match), tag)) return std::nullopt;
  auto reply = answer(r, http::status::not_modified, type, "");
  reply.erase(http::field::content_length);
  reply.erase(http::field::content_type);
  reply.set(http::field::etag, tag);
  return reply;
}

/// `packed` is the gzip form, empty: there is none.
http_response encoded(const http_request& r, const char* type, std::string body,
                      std::string packed) {
  const bool is_packed = !packed.empty();
  auto reply = answer(r, http::status::ok, type, is_packed ? std::move(packed) : std::move(body));
  if (is_packed) reply.set(http::field::content_encoding, "gzip");
  return reply;
}

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  double gzip = -1;
  double others = 0;
  while (!accept_encoding.empty()) {
    const auto element = next_element(accept_encoding);
    const auto semicolon = element.find(';');
    const auto coding = trim(element.substr(0, semicolon));
    const double weight =
        semicolon == std::string_view::npos ? 1 : weight_of(element.substr(semicolon + 1));
    if (is_word(coding, "gzip") || is_word(coding, "x-gzip")) gzip = weight;
    if (coding == "*") others = weight;
  }
  return gzip < 0 ? others > 0 : gzip > 0;
}

bool has_tag(std::string_view if_none_match, std::string_view tag) {
  const auto opaque = [](std::string_view t) { return t.starts_with("W/") ? t.substr(2) : t; };
  while (!if_none_match.empty()) {
    const auto element = next_element(if_none_match);
    if (element == "*" || (!element.empty() && opaque(element) == opaque(tag))) return true;
  }
  return false;
}

http_response encode_answer(const http_request& r, const char* type, std::string body,
                            std::string_view identity) {
  const auto tag = tag_of(identity);
  if (auto reply = not_modified(r, type, tag)) return *std::move(reply);
  auto reply = encode_moment(r, type, std::move(body));
  reply.set(http::field::etag, tag);
  return reply;
}

http_response encode_moment(const http_request& r, const char* type, std::string body) {
  const bool is_compressed =
      body.size() >= k_least_compressed && accepts_gzip(header(r, http::field::accept_encoding));
  auto packed = is_compressed ? compress(body, k_fast) : std::string{};
  return encoded(r, type, std::move(body), std::move(packed));
}

fixed_body make_fixed_body(std::string_view text) {
  auto packed = compress(text, Z_BEST_COMPRESSION);
  if (packed.size() >= text.size()) packed.clear();
  return {text, std::move(packed), tag_of(text)};
}

http_response encode_answer(const http_request& r, const char* type, const fixed_body& body) {
  if (auto reply = not_modified(r, type, body.tag)) return *std::move(reply);
  const bool takes_packed = accepts_gzip(header(r, http::field::accept_encoding));
  auto reply = encoded(r, type, std::string{body.text}, takes_packed ? body.packed : "");
  reply.set(http::field::etag, body.tag);
  return reply;
}

}  // namespace pgcast
