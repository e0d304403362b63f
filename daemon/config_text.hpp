#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

// Values of the configuration as text. Parsers give nothing when the text is not one of theirs.

/// Where the clients or the operators come in.
struct listen_address {
  std::string host;        ///< IPv4 or IPv6 without brackets; "" for a Unix socket
  std::uint16_t port = 0;  ///< 0 = any free port
  std::string unix_path;   ///< of "unix:/path"

  /// True where only this machine can connect.
  bool is_loopback() const;
};

/// "127.0.0.1:4000", "[::1]:4000", "localhost:4000" (127.0.0.1) or "unix:/path".
std::optional<listen_address> parse_listen(std::string_view text);

/// A whole number with its unit: ms, s, m, h or d ("250ms", "24h").
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

std::string format_duration(std::chrono::milliseconds value);

/// Bytes: "4096", "32KiB", "1MiB", "1GiB".
std::optional<std::size_t> parse_size(std::string_view text);
std::string format_size(std::size_t bytes);

/// The trimmed elements of a comma list; nothing when one is empty. An empty text is no elements.
std::optional<std::vector<std::string>> parse_list(std::string_view text);
std::string format_list(const std::vector<std::string>& elements);

/// "10.0.0.0/8", "::1"
bool is_network(std::string_view text);

/// "*" or scheme://host[:port], as browsers send it.
bool is_origin(std::string_view text);

/// "localhost:4000" -> "localhost", "[::1]:4000" -> "[::1]".
std::string_view host_name(std::string_view host_and_port);

/// "localhost", "127.0.0.1", "[::1]": this machine alone, as the host of a URL.
bool is_loopback_name(std::string_view host);

/// https://..., or http:// with a loopback name; a password in it would be shown.
bool is_key_set_url(std::string_view text);

/// True when libpq understands the connection string or URI.
bool is_connection_string(const std::string& text);

/// True when it carries a password (of the user or of a key).
bool has_password(const std::string& connection_string);

/// Rewritten as key=value pairs, passwords masked.
std::string format_connection_string(const std::string& text);

}  // namespace pgcast
