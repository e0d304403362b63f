#include "protocol/base64url.hpp"

#include <array>
#include <cstdint>

namespace pgcast {
namespace {

constexpr std::string_view k_base64url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The six bits of each letter, 64 for what is none.
constexpr std::array<std::uint8_t, 256> k_six_bits = [] {
  std::array<std::uint8_t, 256> table{};
  table.fill(64);
  std::uint8_t six_bits = 0;
  for (const char c : k_base64url) table[static_cast<std::uint8_t>(c)] = six_bits++;
  return table;
}();

}  // namespace

std::string base64url_encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() * 4 + 2) / 3);
  std::uint32_t bits = 0;
  int count = 0;  // of bits that wait
  for (const char c : bytes) {
    bits = (bits << 8 | static_cast<std::uint8_t>(c)) & 0xffff;
    count += 8;
    for (; count >= 6; count -= 6) out += k_base64url[bits >> (count - 6) & 63];
  }
  if (count > 0) out += k_base64url[bits << (6 - count) & 63];
  return out;
}

result<std::string> base64url_decode(std::string_view text) {
  const error bad{errc::token_malformed, "not base64url"};
  if (text.size() % 4 == 1) return bad;
  std::string out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::uint8_t six = k_six_bits[static_cast<std::uint8_t>(c)];
    if (six == 64) return bad;
    bits = (bits << 6 | six) & 0xffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xff);
  }
  if ((bits & ((1U << count) - 1)) != 0) return bad;  // one value, one text
  return out;
}

}  // namespace pgcast
