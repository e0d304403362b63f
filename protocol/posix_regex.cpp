#include "protocol/posix_regex.hpp"

#include "protocol/lower_case.hpp"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace pgcast {
namespace {

constexpr int k_greatest_count = 255;  // Postgres: DUPMAX
constexpr int k_max_nesting = 100;
constexpr std::int64_t k_re2_bytes = 1 << 17;  // of memory for one expression

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string code_point(std::uint32_t code) {
  std::array<char, 8> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), code, 16).ptr;
  return "\\x{" + std::string(digits.data(), end) + '}';
}

/// What `\d`, `\s` and `\w` stand for inside of brackets, and their opposites; "" for others.
std::string_view class_of(char escape) {
  switch (escape) {
    case 'd':
      return "[:digit:]";
    case 'D':
      return "[:^digit:]";
    case 's':
      return "[:space:]";
    case 'S':
      return "[:^space:]";
    case 'w':
      return "[:word:]";
    case 'W':
      return "[:^word:]";
    default:
      return "";
  }
}

bool is_class_name(std::string_view name) {
  constexpr std::array<std::string_view, 13> k_names{"alnum", "alpha",  "blank", "cntrl", "digit",
                                                     "graph", "lower",  "print", "punct", "space",
                                                     "upper", "xdigit", "word"};
  return std::ranges::find(k_names, name) != k_names.end();
}

/// Reads an expression as Postgres' manual (section 9.7.3) describes it, and writes it in RE2's
/// syntax. Each part gives false when it has found a problem.
class translator {
 public:
  translator(std::string_view pattern, letter_case rule) : rest_(pattern), rule_(rule) {}

  bool translate() {
    if (take("***=")) {
      out_ = re2::RE2::QuoteMeta(re2::StringPiece(rest_.data(), rest_.size()));
      return true;
    }
    if (rest_.starts_with("***") && !take("***:"))
      return fail("a quantifier has nothing to repeat");
    return options() && expression(1) &&
           (rest_.empty() || fail("a closing parenthesis has no opening one"));
  }

  const std::string& expression_text() const { return out_; }
  letter_case rule() const { return rule_; }
  const std::string& problem() const { return problem_; }

 private:
  bool fail(std::string sentence) {
    problem_ = std::move(sentence);
    return false;
  }

  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  char next() {
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }

  /// The next character as a code point; the text is UTF-8.
  std::uint32_t next_code() {
    const auto bytes = std::min(utf8_length(rest_.front()), rest_.size());
    if (bytes == 1) return static_cast<unsigned char>(next());
    std::uint32_t code = static_cast<unsigned char>(next()) & (0xFFU >> (bytes + 1));
    for (std::size_t i = 1; i < bytes; ++i) {
      code = code << 6 | (static_cast<unsigned char>(next()) & 0x3F);
    }
    return code;
  }

  /// `(?i)` at the very beginning.
  bool options() {
    if (!(rest_.starts_with("(?") && rest_.size() > 2 && is_letter(rest_[2]))) return true;
    rest_.remove_prefix(2);
    while (!rest_.empty() && rest_.front() != ')') {
      switch (next()) {
        case 'i':
          rule_ = letter_case::ignored;
          break;
        case 'c':
          rule_ = letter_case::counts;
          break;
        case 's':
          break;
        default:
          return fail("of the embedded options only i, c and s can be used");
      }
    }
    return take(")") || fail("the embedded options do not end");
  }

  /// Branches with | between, up to the end or a closing parenthesis.
  bool expression(int depth) {
    if (depth > k_max_nesting) return fail("it is nested too deep");
    can_repeat_ = false;
    while (!rest_.empty() && rest_.front() != ')') {
      if (take("|")) {
        out_ += '|';
        can_repeat_ = false;
      } else if (is_quantifier()) {
        if (!can_repeat_) return fail("a quantifier has nothing to repeat");
        if (!quantifier()) return false;
        can_repeat_ = false;
      } else if (!atom(depth)) {
        return false;
      }
    }
    return true;
  }

  bool is_quantifier() const {
    return std::string_view("*+?").find(rest_.front()) != std::string_view::npos ||
           (rest_.size() > 1 && rest_[0] == '{' && is_digit(rest_[1]));
  }

  bool quantifier() {
    out_ += next();
    if (out_.back() == '{') {
      const auto least = count();
      std::optional<int> most = least;
      if (take(",")) {
        out_ += ',';
        most = rest_.starts_with('}') ? std::optional<int>{k_greatest_count} : count();
      }
      if (!take("}") || !least || !most || *least > *most) {
        return fail("the count of a repetition is not {m}, {m,} or {m,n} with 0 <= m <= n <= 255");
      }
      out_ += '}';
    }
    take("?");  // as few as possible: what it matches is no question here
    return true;
  }

  /// Takes a number of a repetition and writes it.
  std::optional<int> count() {
    int number = 0;
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_digit);
    const auto digits = rest_.substr(0, static_cast<std::size_t>(end - rest_.begin()));
    const auto failed = std::from_chars(digits.data(), digits.data() + digits.size(), number).ec;
    if (failed != std::errc{} || number > k_greatest_count) return std::nullopt;
    rest_.remove_prefix(digits.size());
    out_ += std::to_string(number);
    return number;
  }

  bool atom(int depth) {
    can_repeat_ = true;
    switch (rest_.front()) {
      case '(':
        return group(depth);
      case '[':
        return bracket();
      case '\\':
        return escape();
      case '.':
        next();
        out_ += '.';
        return true;
      case '^':
        next();
        out_ += "\\A";
        can_repeat_ = false;
        return true;
      case '$':
        next();
        out_ += "\\z";
        can_repeat_ = false;
        return true;
      default:
        out_ += code_point(next_code());
        return true;
    }
  }

  bool group(int depth) {
    next();
    if (rest_.starts_with("?=") || rest_.starts_with("?!") || rest_.starts_with("?<")) {
      return fail("look-ahead and look-behind cannot be used");
    }
    if (!take("?:") && rest_.starts_with('?')) return fail("an unknown group begins with (?");
    out_ += "(?:";
    if (!expression(depth + 1)) return false;
    if (!take(")")) return fail("an opening parenthesis is not closed");
    out_ += ')';
    can_repeat_ = true;
    return true;
  }

  /// Outside of brackets.
  bool escape() {
    next();
    if (rest_.empty()) return fail("it ends with a backslash");
    const char c = rest_.front();
    if (const auto name = class_of(c); !name.empty()) {
      next();
      out_.append("[").append(name).append("]");
      return true;
    }
    constexpr std::string_view k_constraints = "AZy";
    constexpr std::array<std::string_view, 3> k_in_re2{"\\A", "\\z", "\\b"};
    if (const auto which = k_constraints.find(c); which != k_constraints.npos) {
      next();
      out_ += k_in_re2[which];
      can_repeat_ = false;
      return true;
    }
    // RE2's \B finds a place inside of a character that has several bytes.
    if (c == 'm' || c == 'M' || c == 'Y') return fail("\\m, \\M and \\Y cannot be used, \\y can");
    const auto code = escaped_character();
    if (code) out_ += code_point(*code);
    return code.has_value();
  }

  /// The character that is named behind a backslash.
  std::optional<std::uint32_t> escaped_character() {
    if (rest_.empty()) return fail("it ends with a backslash"), std::nullopt;
    if (!is_letter(rest_.front()) && !is_digit(rest_.front())) return next_code();
    switch (const char c = next()) {
      case 'a':
        return 7;
      case 'b':
        return 8;
      case 'B':
        return '\\';
      case 'e':
        return 27;
      case 'f':
        return 12;
      case 'n':
        return 10;
      case 'r':
        return 13;
      case 't':
        return 9;
      case 'v':
        return 11;
      case 'u':
        return hexadecimal(4);
      case 'U':
        return hexadecimal(8);
      default:
        fail(is_digit(c) ? "back references and octal numbers cannot be used"
                         : std::string("\\") + c + " cannot be used");
        return std::nullopt;
    }
  }

  std::optional<std::uint32_t> hexadecimal(std::size_t digits) {
    std::uint32_t code = 0;
    const auto text = rest_.substr(0, digits);
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), code, 16);
    if (failed != std::errc{} || end != text.data() + digits || code == 0 || code > 0x10FFFF) {
      fail("\\u has four hexadecimal digits behind it, \\U eight");
      return std::nullopt;
    }
    rest_.remove_prefix(digits);
    return code;
  }

  bool bracket() {
    next();
    out_ += '[';
    if (take("^")) out_ += '^';
    for (bool is_first = true;; is_first = false) {
      if (rest_.empty()) return fail("an opening bracket is not closed");
      if (!is_first && take("]")) break;
      if (!bracket_part(is_first)) return false;
    }
    out_ += ']';
    return true;
  }

  bool bracket_part(bool is_first) {
    if (take("[:")) {
      const auto name = rest_.substr(0, std::min(rest_.find(":]"), rest_.size()));
      if (!is_class_name(name)) return fail("a class of characters is unknown");
      rest_.remove_prefix(name.size() + 2);
      out_.append("[:").append(name).append(":]");
      return !starts_range() || fail("a class of characters is no end of a range");
    }
    if (!is_first && rest_.front() == '-' && !rest_.starts_with("-]")) {
      return fail("a range has no beginning");
    }
    if (rest_.size() > 1 && rest_[0] == '\\' && !class_of(rest_[1]).empty()) {
      out_ += class_of(rest_[1]);
      rest_.remove_prefix(2);
      return !starts_range() || fail("a class of characters is no end of a range");
    }
    const auto from = bracket_character();
    if (!from) return false;
    out_ += code_point(*from);
    if (!starts_range()) return true;
    next();
    const auto to = bracket_character();
    if (!to) return false;
    if (*to < *from) return fail("a range ends before it begins");
    out_ += '-' + code_point(*to);
    return true;
  }

  bool starts_range() const { return rest_.starts_with('-') && !rest_.starts_with("-]"); }

  std::optional<std::uint32_t> bracket_character() {
    if (rest_.starts_with("[.") || rest_.starts_with("[=") || rest_.starts_with("[:")) {
      fail("collating elements cannot be used, nor can a class be an end of a range");
      return std::nullopt;
    }
    if (rest_.empty()) return fail("an opening bracket is not closed"), std::nullopt;
    return take("\\") ? escaped_character() : next_code();
  }

  std::string_view rest_;
  letter_case rule_;
  std::string out_;
  std::string problem_;
  bool can_repeat_ = false;  ///< an atom stands before, and no quantifier behind it yet
};

}  // namespace

result<posix_regex> posix_regex::parse(std::string_view pattern, letter_case rule) {
  translator translation(pattern, rule);
  if (!translation.translate()) return error{errc::filter_malformed, translation.problem()};
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_never_capture(true);
  options.set_dot_nl(true);
  options.set_case_sensitive(translation.rule() == letter_case::counts);
  options.set_max_mem(k_re2_bytes);
  posix_regex out;
  out.compiled_ = std::make_shared<const re2::RE2>(translation.expression_text(), options);
  if (out.compiled_->ok()) return out;
  return error{errc::filter_malformed, "it is too large, or " + out.compiled_->error()};
}

bool posix_regex::matches(std::string_view text) const {
  const re2::StringPiece piece(text.data(), text.size());
  return compiled_->Match(piece, 0, piece.size(), re2::RE2::UNANCHORED, nullptr, 0);
}

}  // namespace pgcast
