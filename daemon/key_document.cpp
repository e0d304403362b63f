#include "daemon/key_document.hpp"

#include <curl/curl.h>

#include <cstddef>
#include <fstream>
#include <memory>

namespace pgcast {
namespace {

constexpr std::size_t k_document_bytes = 1 << 20;
constexpr long k_connect_ms = 3'000;
constexpr long k_total_ms = 5'000;

error unusable(const std::string& location, const std::string& why) {
  return {errc::config_invalid, "auth.jwks: " + location + " " + why};
}

result<std::string> read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::string content(k_document_bytes + 1, '\0');
  stream.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<std::size_t>(stream.gcount()));
  if (stream.bad() || (content.empty() && !stream.eof())) {
    return unusable(path, "cannot be read; give a file that the daemon may read");
  }
  if (content.size() > k_document_bytes) return unusable(path, "is larger than 1 MiB");
  return content;
}

std::size_t append(char* bytes, std::size_t, std::size_t count, void* to) {
  auto& body = *static_cast<std::string*>(to);
  if (body.size() + count > k_document_bytes) return 0;  // ends the transfer
  body.append(bytes, count);
  return count;
}

/// Thread-safe since curl 7.84.
bool is_curl_ready() {
  static const bool is_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return is_ready;
}

result<std::string> fetch(const std::string& url) {
  const auto unavailable = [&](const std::string& why) {
    return error{errc::keys_unreachable, "auth.jwks: " + url + " " + why};
  };
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> request(
      is_curl_ready() ? curl_easy_init() : nullptr, &curl_easy_cleanup);
  if (!request) return unavailable("cannot be fetched: libcurl does not start");
  auto* const r = request.get();
  std::string body;
  std::string why(CURL_ERROR_SIZE, '\0');
  const bool is_plain = url.starts_with("http://");  // of this machine, see the configuration
  curl_easy_setopt(r, CURLOPT_URL, url.c_str());
  curl_easy_setopt(r, CURLOPT_PROTOCOLS_STR, is_plain ? "http" : "https");
  if (is_plain) curl_easy_setopt(r, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(r, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(r, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(r, CURLOPT_CONNECTTIMEOUT_MS, k_connect_ms);
  curl_easy_setopt(r, CURLOPT_TIMEOUT_MS, k_total_ms);
  curl_easy_setopt(r, CURLOPT_USERAGENT, "pgcast");
  curl_easy_setopt(r, CURLOPT_WRITEFUNCTION, &append);
  curl_easy_setopt(r, CURLOPT_WRITEDATA, &body);
  curl_easy_setopt(r, CURLOPT_ERRORBUFFER, why.data());
  const auto outcome = curl_easy_perform(r);
  if (outcome == CURLE_WRITE_ERROR) return unavailable("is larger than 1 MiB");
  if (outcome != CURLE_OK) {
    why.resize(why.find('\0'));
    return unavailable("cannot be fetched: " + (why.empty() ? curl_easy_strerror(outcome) : why));
  }
  long status = 0;
  curl_easy_getinfo(r, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    return unavailable("answers with status " + std::to_string(status) +
                       " instead of 200; give the address of the key set itself");
  }
  return body;
}

}  // namespace

bool is_key_url(const std::string& location) {
  return location.starts_with("https://") || location.starts_with("http://");
}

result<std::string> read_key_document(const std::string& location) {
  return is_key_url(location) ? fetch(location) : read_file(location);
}

result<json_web_key_set> parse_keys(const std::string& location, const std::string& text) {
  auto keys = json_web_key_set::parse(text);
  if (!keys) return unusable(location, "cannot be used: " + keys.error().detail);
  return keys;
}

}  // namespace pgcast
