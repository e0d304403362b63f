// Keys of values that are bytes or names: truth, uuid, bytea, bits, addresses.

#include "protocol/sql_key.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace pgcast {
namespace {

constexpr std::string_view k_blanks = " \t\n\v\f\r";

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

/// Takes two hexadecimal digits off `text` and appends their byte.
bool take_hex_byte(std::string_view& text, std::string& out) {
  if (text.size() < 2) return false;
  const auto high = hex_digit(text[0]);
  const auto low = hex_digit(text[1]);
  if (!high || !low) return false;
  out += static_cast<char>(*high << 4 | *low);
  text.remove_prefix(2);
  return true;
}

bool is_octal(char c) { return c >= '0' && c <= '7'; }

sql_key escaped_bytes(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (text.front() != '\\') {
      out += text.front();
      text.remove_prefix(1);
    } else if (text.starts_with("\\\\")) {
      out += '\\';
      text.remove_prefix(2);
    } else if (text.size() >= 4 && text[1] <= '3' && is_octal(text[1]) && is_octal(text[2]) &&
               is_octal(text[3])) {
      out += static_cast<char>((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
      text.remove_prefix(4);
    } else {
      return std::nullopt;
    }
  }
  return out;
}

bool is_bit_set(std::string_view bytes, std::size_t bit) {
  return (static_cast<unsigned char>(bytes[bit / 8]) >> (7 - bit % 8) & 1) != 0;
}

}  // namespace

std::string_view trim_blanks(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(k_blanks), text.size()));
  return text.substr(0, text.find_last_not_of(k_blanks) + 1);
}

std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return out;
}

sql_key boolean_key(std::string_view text) {
  text = trim_blanks(text);
  if (text.empty() || text.size() > 5) return std::nullopt;
  const std::string word = ascii_lower(text);
  for (const std::string_view yes : {"true", "yes", "on", "1"}) {
    if (yes.starts_with(word) && word != "o") return std::string{'\1'};
  }
  for (const std::string_view no : {"false", "no", "off", "0"}) {
    if (no.starts_with(word) && word != "o") return std::string{'\0'};
  }
  return std::nullopt;
}

sql_key uuid_key(std::string_view text) {
  const bool has_braces = text.starts_with('{');
  if (has_braces) text.remove_prefix(1);
  std::string key;
  while (key.size() < 16) {
    if (!take_hex_byte(text, key)) return std::nullopt;
    if (key.size() % 2 == 0 && key.size() < 16 && text.starts_with('-')) text.remove_prefix(1);
  }
  if (has_braces && !text.starts_with('}')) return std::nullopt;
  if (text.size() != (has_braces ? 1U : 0U)) return std::nullopt;
  return key;
}

sql_key bytea_key(std::string_view text) {
  if (!text.starts_with("\\x")) return escaped_bytes(text);
  text.remove_prefix(2);
  std::string key;
  while (!text.empty()) {
    if (k_blanks.find(text.front()) != k_blanks.npos) {
      text.remove_prefix(1);
    } else if (!take_hex_byte(text, key)) {
      return std::nullopt;
    }
  }
  return key;
}

sql_key bits_key(std::string_view text) {
  if (text.find_first_not_of("01") != text.npos) return std::nullopt;
  return std::string(text);
}

sql_key macaddr_key(std::string_view text, std::size_t bytes) {
  text = trim_blanks(text);
  const char separator = text.size() > 2 ? text[2] : '\0';
  if (separator != ':' && separator != '-') return std::nullopt;
  std::string key;
  while (key.size() < bytes) {
    if (!key.empty()) {
      if (!text.starts_with(separator)) return std::nullopt;
      text.remove_prefix(1);
    }
    if (!take_hex_byte(text, key)) return std::nullopt;
  }
  return text.empty() ? sql_key{key} : std::nullopt;
}

sql_key network_key(std::string_view text, host_bits rule) {
  const auto slash = std::min(text.find('/'), text.size());
  const std::string address(text.substr(0, slash));
  const bool is_v6 = address.find(':') != address.npos;
  std::array<char, 16> bytes{};
  if (inet_pton(is_v6 ? AF_INET6 : AF_INET, address.c_str(), bytes.data()) != 1) {
    return std::nullopt;
  }
  const std::string_view all(bytes.data(), is_v6 ? 16 : 4);
  std::size_t bits = all.size() * 8;
  if (slash < text.size()) {
    const auto digits = text.substr(slash + 1);
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (failed != std::errc{} || end != digits.data() + digits.size() || bits > all.size() * 8) {
      return std::nullopt;
    }
  }
  for (std::size_t bit = bits; rule == host_bits::refused && bit < all.size() * 8; ++bit) {
    if (is_bit_set(all, bit)) return std::nullopt;
  }
  // Networks first, a shorter one before those inside of it; then the whole address.
  std::string key{is_v6 ? '6' : '4'};
  for (std::size_t bit = 0; bit < bits; ++bit) key += is_bit_set(all, bit) ? '\2' : '\1';
  return (key += '\0').append(all);
}

}  // namespace pgcast
