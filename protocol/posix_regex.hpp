#pragma once

#include "protocol/error.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace re2 {
class RE2;
}

namespace pgcast {

enum class letter_case : std::uint8_t { counts, ignored };

/// An advanced regular expression of Postgres (`~` and `~*`), matched by RE2: in time proportional
/// to the text, whatever the expression.
///
/// Refused, with a sentence in error::detail: what Postgres refuses; what RE2 cannot do
/// (back references, look around, \m, \M and \Y, collating elements); embedded options but i, c, s.
/// Classes such as [[:alpha:]] and \w are ASCII, as in collation C.
class posix_regex {
 public:
  static result<posix_regex> parse(std::string_view pattern, letter_case rule);

  /// Some part of `text`, which is UTF-8, matches. Thread-safe.
  bool matches(std::string_view text) const;

 private:
  std::shared_ptr<const re2::RE2> compiled_;
};

}  // namespace pgcast
