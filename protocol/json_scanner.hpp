#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pgcast {

/// Walks over a JSON text that is known to be one, or nearly: nothing that it is given makes it
/// read outside of the text, and what is no JSON ends in a failure of some step.
class json_scanner {
 public:
  explicit json_scanner(std::string_view text) : rest_(text) {}

  /// The next byte after blanks; '\0' at the end.
  char peek();

  /// Takes `c` if it comes next.
  bool take(char c);

  /// The next string with its quotes, or number or word; "" if none comes.
  std::string_view scalar();

  bool is_at_end() { return peek() == '\0' && rest_.empty(); }

 private:
  std::string_view rest_;
};

/// What a JSON string says, given with its quotes; nullopt where it holds \u0000, a lone surrogate
/// or is not well-formed.
std::optional<std::string> unquote_json(std::string_view token);

}  // namespace pgcast
