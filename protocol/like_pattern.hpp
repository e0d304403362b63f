#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace pgcast {

/// A pattern of LIKE: `%` for any characters, `_` for one, `\` before what stands for itself.
///
/// Matching takes time in proportion to pattern times text at worst.
class like_pattern {
 public:
  /// nullopt if it ends with a lone backslash, which Postgres refuses as soon as it gets there.
  static std::optional<like_pattern> parse(std::string_view pattern);

  /// `text` is UTF-8.
  bool matches(std::string_view text) const;

 private:
  std::vector<std::uint16_t> items_;  ///< bytes, or one of two wildcards
};

}  // namespace pgcast
