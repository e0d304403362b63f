#include "daemon/config_text.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

#include <arpa/inet.h>

namespace pgcast {
namespace {

using namespace std::chrono_literals;
using milliseconds = std::chrono::milliseconds;

std::string_view trimmed(std::string_view text) {
  const auto blank = " \t\r\n";
  const auto first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

using conninfo = std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)>;

/// Null when libpq does not understand the text. Its message is not used: it may quote a password.
conninfo parse_conninfo(const std::string& text) {
  return {PQconninfoParse(text.c_str(), nullptr), &PQconninfoFree};
}

bool is_hidden(const PQconninfoOption& option) {
  return option.dispchar != nullptr && option.dispchar[0] == '*';
}

std::string quote_conninfo(std::string_view value) {
  const bool is_plain = !value.empty() && value.find_first_of(" '\\") == std::string_view::npos;
  if (is_plain) return std::string(value);
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

}  // namespace

bool listen_address::is_loopback() const {
  return !unix_path.empty() || host == "::1" || host.starts_with("127.");
}

std::optional<listen_address> parse_listen(std::string_view text) {
  listen_address where;
  if (text.starts_with("unix:")) {
    where.unix_path = text.substr(5);
    const bool is_usable = where.unix_path.starts_with('/') && where.unix_path.size() <= 107;
    return is_usable ? std::optional(where) : std::nullopt;  // 107: sun_path, unix(7)
  }
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_number<std::uint16_t>(text.substr(colon + 1));
  auto host = text.substr(0, colon);
  const bool has_brackets = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  if (has_brackets) host = host.substr(1, host.size() - 2);
  where.host = host == "localhost" ? "127.0.0.1" : std::string(host);
  const bool is_v6 = where.host.find(':') != std::string::npos;
  if (!port || is_v6 != has_brackets || !is_address(where.host)) return std::nullopt;
  where.port = *port;
  return where;
}

std::optional<milliseconds> parse_duration(std::string_view text) {
  const auto digits = text.find_first_not_of("0123456789");
  if (digits == 0 || digits == std::string_view::npos) return std::nullopt;
  const auto number = parse_number<std::int64_t>(text.substr(0, digits));
  const auto unit = text.substr(digits);
  for (const auto& [name, factor] : {std::pair{"ms", milliseconds(1)},
                                     {"s", milliseconds(1s)},
                                     {"m", milliseconds(1min)},
                                     {"h", milliseconds(1h)},
                                     {"d", milliseconds(24h)}}) {
    if (unit != name) continue;
    if (!number || *number > 100LL * 365 * 24 * 3600 * 1000 / factor.count()) return std::nullopt;
    return factor * *number;
  }
  return std::nullopt;
}

bool is_connection_string(const std::string& text) { return parse_conninfo(text) != nullptr; }

bool has_password(const std::string& connection_string) {
  const auto options = parse_conninfo(connection_string);
  for (const auto* o = options.get(); o != nullptr && o->keyword != nullptr; ++o) {
    if (o->val != nullptr && is_hidden(*o)) return true;
  }
  return false;
}

std::optional<std::size_t> parse_size(std::string_view text) {
  std::size_t unit = 1;
  for (const auto& [suffix, factor] : {std::pair{"KiB", std::size_t{1} << 10},
                                       {"MiB", std::size_t{1} << 20},
                                       {"GiB", std::size_t{1} << 30}}) {
    if (!text.ends_with(suffix)) continue;
    text.remove_suffix(3);
    unit = factor;
  }
  const auto number = parse_number<std::size_t>(text);
  if (!number || *number > SIZE_MAX / unit) return std::nullopt;
  return *number * unit;
}

std::string format_size(std::size_t bytes) {
  if (bytes != 0 && bytes % (1U << 30) == 0) return std::to_string(bytes >> 30) + "GiB";
  if (bytes != 0 && bytes % (1U << 20) == 0) return std::to_string(bytes >> 20) + "MiB";
  if (bytes != 0 && bytes % (1U << 10) == 0) return std::to_string(bytes >> 10) + "KiB";
  return std::to_string(bytes);
}

std::string format_duration(milliseconds value) {
  const auto count = value.count();
  if (count == 0) return "0s";
  if (count % 3'600'000 == 0) return std::to_string(count / 3'600'000) + "h";
  if (count % 60'000 == 0) return std::to_string(count / 60'000) + "m";
  if (count % 1'000 == 0) return std::to_string(count / 1'000) + "s";
  return std::to_string(count) + "ms";
}

std::optional<std::vector<std::string>> parse_list(std::string_view text) {
  std::vector<std::string> elements;
  if (trimmed(text).empty()) return elements;
  while (true) {
    const auto comma = text.find(',');
    const auto element = trimmed(text.substr(0, comma));
    if (element.empty()) return std::nullopt;
    elements.emplace_back(element);
    if (comma == std::string_view::npos) return elements;
    text.remove_prefix(comma + 1);
  }
}

std::string format_list(const std::vector<std::string>& elements) {
  std::string text;
  for (const auto& element : elements) text += (text.empty() ? "" : ",") + element;
  return text;
}

bool is_network(std::string_view text) {
  const auto slash = text.find('/');
  const std::string host(text.substr(0, slash));
  if (!is_address(host)) return false;
  if (slash == std::string_view::npos) return true;
  const auto bits = parse_number<unsigned>(text.substr(slash + 1));
  return bits && *bits <= (host.find(':') == std::string::npos ? 32U : 128U);
}

bool is_origin(std::string_view text) {
  if (text == "*") return true;
  const auto colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto authority = text.substr(colon + 3);
  return !authority.empty() && authority.find_first_of("/?#@* ") == std::string_view::npos;
}

std::string_view host_name(std::string_view host_and_port) {
  if (!host_and_port.starts_with('[')) return host_and_port.substr(0, host_and_port.find(':'));
  const auto end = std::min(host_and_port.find(']'), host_and_port.size() - 1) + 1;
  const bool is_whole = end == host_and_port.size() || host_and_port[end] == ':';
  return is_whole ? host_and_port.substr(0, end) : host_and_port;
}

bool is_loopback_name(std::string_view host) {
  if (host == "localhost" || host.ends_with(".localhost") || host == "[::1]") return true;
  const auto address = boost::urls::parse_ipv4_address({host.data(), host.size()});
  return address && address->is_loopback();  // "127.example.com" is somebody's name
}

bool is_key_set_url(std::string_view text) {
  if (!boost::urls::parse_uri({text.data(), text.size()})) return false;
  const bool is_plain = text.starts_with("http://");
  if (!is_plain && !text.starts_with("https://")) return false;
  // Not by Boost 1.81's URL: it takes 127.0.0.1.example for the host 127.0.0.1.
  const auto rest = text.substr(text.find("://") + 3);
  const auto authority = rest.substr(0, rest.find_first_of("/?#"));
  const auto host = host_name(authority);
  if (host.empty() || authority.find('@') != std::string_view::npos) return false;
  return !is_plain || is_loopback_name(host);
}

std::string format_connection_string(const std::string& text) {
  std::string shown;
  const auto options = parse_conninfo(text);
  for (const auto* o = options.get(); o != nullptr && o->keyword != nullptr; ++o) {
    if (o->val == nullptr) continue;
    if (!shown.empty()) shown += ' ';
    shown += std::string(o->keyword) + "=" + (is_hidden(*o) ? "***" : quote_conninfo(o->val));
  }
  return shown;
}

}  // namespace pgcast
