#pragma once

#include "protocol/error.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// One condition as it is written, `column=[not.]operator.operand`.
struct written_condition {
  std::string text;    ///< the whole of it, shortened, for sentences
  std::string column;  ///< without quotes
  bool is_negated = false;
  std::string operator_name;
  std::string operand;  ///< as it stands, with its quotes or parentheses
};

/// Splits a filter at its commas outside of parentheses and quotes. "" has no conditions.
/// Fails with filter_malformed.
result<std::vector<written_condition>> split_filter(std::string_view text);

/// A word with its quotes taken off and their escapes resolved; as it stands without quotes.
/// Fails with filter_malformed if something follows the closing quote.
result<std::string> unquote_operand(std::string_view operand);

/// The elements of `(a,"b,c")`, quotes taken off. `()` has none. Fails with filter_malformed.
result<std::vector<std::string>> split_list(std::string_view operand);

/// For sentences: at most 60 bytes of `text`, between backquotes.
std::string quoted_excerpt(std::string_view text);

}  // namespace pgcast
