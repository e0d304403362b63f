#include "protocol/like_pattern.hpp"

#include "protocol/lower_case.hpp"

namespace pgcast {
namespace {

constexpr std::uint16_t k_one = 256;
constexpr std::uint16_t k_many = 257;

std::uint16_t byte_item(char c) { return static_cast<unsigned char>(c); }

}  // namespace

std::optional<like_pattern> like_pattern::parse(std::string_view pattern) {
  like_pattern out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    switch (pattern[i]) {
      case '%':
        if (out.items_.empty() || out.items_.back() != k_many) out.items_.push_back(k_many);
        break;
      case '_':
        out.items_.push_back(k_one);
        break;
      case '\\':
        if (++i == pattern.size()) return std::nullopt;
        [[fallthrough]];
      default:
        out.items_.push_back(byte_item(pattern[i]));
    }
  }
  return out;
}

bool like_pattern::matches(std::string_view text) const {
  constexpr auto k_none = static_cast<std::size_t>(-1);
  std::size_t at = 0;
  std::size_t item = 0;
  std::size_t behind_many = k_none;  // where the last % was met, to try again one character later
  std::size_t tried = 0;
  while (at < text.size()) {
    if (item < items_.size() && items_[item] == k_many) {
      behind_many = ++item;
      tried = at;
    } else if (item < items_.size() && items_[item] == k_one) {
      ++item;
      at += utf8_length(text[at]);
    } else if (item < items_.size() && items_[item] == byte_item(text[at])) {
      ++item;
      ++at;
    } else if (behind_many != k_none) {
      tried += utf8_length(text[tried]);
      if (tried > text.size()) return false;
      item = behind_many;
      at = tried;
    } else {
      return false;
    }
  }
  while (item < items_.size() && items_[item] == k_many) ++item;
  return item == items_.size();
}

}  // namespace pgcast
