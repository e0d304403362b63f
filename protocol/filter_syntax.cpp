#include "protocol/filter_syntax.hpp"

#include "protocol/lower_case.hpp"
#include "protocol/sql_key.hpp"

#include <optional>
#include <utility>

namespace pgcast {
namespace {

constexpr std::size_t k_excerpt_bytes = 60;

error malformed(std::string sentence) { return error{errc::filter_malformed, std::move(sentence)}; }

/// Knows for each byte, fed in order, whether it stands outside of quotes and parentheses.
class nesting {
 public:
  /// True if `c` is at top level: outside of everything, and no quote or parenthesis itself.
  bool feed(char c) {
    if (is_escaped_) {
      is_escaped_ = false;
    } else if (is_quoted_) {
      is_escaped_ = c == '\\';
      is_quoted_ = c != '"';
    } else if (c == '"') {
      is_quoted_ = true;
    } else if (c == '(') {
      ++depth_;
    } else if (c == ')') {
      depth_ -= depth_ > 0 ? 1 : 0;
    } else {
      return depth_ == 0;
    }
    return false;
  }

  bool is_quoted() const { return is_quoted_; }
  bool is_open() const { return depth_ > 0; }

 private:
  bool is_quoted_ = false;
  bool is_escaped_ = false;
  std::size_t depth_ = 0;
};

/// The parts between top-level commas; one, empty, of "".
result<std::vector<std::string_view>> split_at_commas(std::string_view text) {
  std::vector<std::string_view> parts;
  nesting state;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (state.feed(text[i]) && text[i] == ',') {
      parts.push_back(text.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  const auto last = text.substr(begin);
  parts.push_back(last);
  if (state.is_quoted()) {
    return malformed(quoted_excerpt(last) +
                     " has a quote that is not closed; write \\\" inside of quotes for a quote");
  }
  if (state.is_open()) {
    return malformed(quoted_excerpt(last) +
                     " has a parenthesis that is not closed; put the value in double quotes");
  }
  return parts;
}

std::optional<std::size_t> find_equals_sign(std::string_view text) {
  nesting state;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (state.feed(text[i]) && text[i] == '=') return i;
  }
  return std::nullopt;
}

result<written_condition> read_condition(std::string_view text) {
  written_condition out;
  out.text = quoted_excerpt(text);
  if (trim_blanks(text).empty()) {
    return malformed("between two commas, or at an end of the filter, stands no condition");
  }
  const auto sign = find_equals_sign(text);
  if (!sign) {
    return malformed(out.text + " is no condition: write column=operator.value, and a value with " +
                     "a comma in double quotes");
  }
  auto column = unquote_operand(trim_blanks(text.substr(0, *sign)));
  if (!column) return column.error();
  out.column = *std::move(column);
  if (out.column.empty()) return malformed(out.text + " names no column before the =");
  auto rest = text.substr(*sign + 1);
  if (rest.starts_with("not.")) {
    out.is_negated = true;
    rest.remove_prefix(4);
  }
  const auto dot = rest.find('.');
  if (dot == rest.npos) {
    return malformed(out.text + " has no operator: write " + out.column + "=eq.value");
  }
  out.operator_name = rest.substr(0, dot);
  out.operand = rest.substr(dot + 1);
  return out;
}

}  // namespace

std::string quoted_excerpt(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && end + utf8_length(text[end]) <= k_excerpt_bytes) {
    end += utf8_length(text[end]);
  }
  const bool is_whole = end >= text.size();
  std::string out = "`";
  return out.append(text.substr(0, end)).append(is_whole ? "`" : "...`");
}

result<std::vector<written_condition>> split_filter(std::string_view text) {
  std::vector<written_condition> out;
  if (trim_blanks(text).empty()) return out;
  const auto parts = split_at_commas(text);
  if (!parts) return parts.error();
  for (const auto part : *parts) {
    auto condition = read_condition(part);
    if (!condition) return condition.error();
    out.push_back(*std::move(condition));
  }
  return out;
}

result<std::string> unquote_operand(std::string_view operand) {
  if (!operand.starts_with('"')) return std::string(operand);
  std::string out;
  for (std::size_t i = 1; i < operand.size(); ++i) {
    if (operand[i] == '"') {
      if (i + 1 == operand.size()) return out;
      return malformed(quoted_excerpt(operand) +
                       " goes on behind its closing quote; write \\\" for a quote in the value");
    }
    if (operand[i] == '\\' && i + 1 < operand.size()) ++i;
    out += operand[i];
  }
  return malformed(quoted_excerpt(operand) + " has a quote that is not closed");
}

result<std::vector<std::string>> split_list(std::string_view operand) {
  operand = trim_blanks(operand);
  if (operand.size() < 2 || operand.front() != '(' || operand.back() != ')') {
    return malformed("its values must stand in parentheses: in.(a,b)");
  }
  operand = operand.substr(1, operand.size() - 2);
  std::vector<std::string> out;
  if (operand.empty()) return out;
  const auto parts = split_at_commas(operand);
  if (!parts) return parts.error();
  out.reserve(parts->size());
  for (const auto part : *parts) {
    const auto trimmed = trim_blanks(part);
    auto element = unquote_operand(trimmed.starts_with('"') ? trimmed : part);
    if (!element) return element.error();
    out.push_back(*std::move(element));
  }
  return out;
}

}  // namespace pgcast
