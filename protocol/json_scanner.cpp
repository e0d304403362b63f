#include "protocol/json_scanner.hpp"

#include <algorithm>
#include <charconv>

namespace pgcast {
namespace {

void append_utf8(std::string& out, unsigned code) {
  const auto put = [&](unsigned byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

/// The number behind `\u`, taken off `rest`.
std::optional<unsigned> take_hex4(std::string_view& rest) {
  unsigned code = 0;
  if (rest.size() < 4) return std::nullopt;
  const auto [end, failed] = std::from_chars(rest.data(), rest.data() + 4, code, 16);
  if (failed != std::errc{} || end != rest.data() + 4) return std::nullopt;
  rest.remove_prefix(4);
  return code;
}

/// Appends what stands behind `\u`; false for \u0000 and halves of pairs.
bool append_unicode(std::string& out, std::string_view& rest) {
  auto code = take_hex4(rest);
  if (!code || *code == 0) return false;
  if (*code >= 0xD800 && *code < 0xE000) {
    if (*code >= 0xDC00 || !rest.starts_with("\\u")) return false;
    rest.remove_prefix(2);
    const auto low = take_hex4(rest);
    if (!low || *low < 0xDC00 || *low >= 0xE000) return false;
    code = 0x10000 + ((*code - 0xD800) << 10) + (*low - 0xDC00);
  }
  append_utf8(out, *code);
  return true;
}

}  // namespace

char json_scanner::peek() {
  rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size()));
  return rest_.empty() ? '\0' : rest_.front();
}

bool json_scanner::take(char c) {
  if (peek() != c || rest_.empty()) return false;
  rest_.remove_prefix(1);
  return true;
}

std::string_view json_scanner::scalar() {
  std::size_t end = 0;
  if (peek() == '"') {
    end = 1;
    while (end < rest_.size() && rest_[end] != '"') end += rest_[end] == '\\' ? 2 : 1;
    end = end < rest_.size() ? end + 1 : 0;
  } else {
    end = std::min(rest_.find_first_of(" \t\r\n,:[]{}\""), rest_.size());
  }
  const auto token = rest_.substr(0, end);
  rest_.remove_prefix(end);
  return token;
}

std::optional<std::string> unquote_json(std::string_view token) {
  if (token.size() < 2 || token.front() != '"' || token.back() != '"') return std::nullopt;
  auto rest = token.substr(1, token.size() - 2);
  std::string out;
  out.reserve(rest.size());
  while (!rest.empty()) {
    const auto plain = std::min(rest.find('\\'), rest.size());
    out += rest.substr(0, plain);
    rest.remove_prefix(plain);
    if (rest.empty()) break;
    if (rest.size() < 2) return std::nullopt;
    const char escape = rest[1];
    rest.remove_prefix(2);
    switch (escape) {
      case '"':
      case '\\':
      case '/':
        out += escape;
        break;
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'u':
        if (!append_unicode(out, rest)) return std::nullopt;
        break;
      default:
        return std::nullopt;
    }
  }
  return out;
}

}  // namespace pgcast
