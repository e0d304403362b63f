// Keys of arrays: element by element, then the number of elements, then the shape.

#include "protocol/sql_key.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace pgcast {
namespace {

constexpr std::size_t k_max_dimensions = 6;  // Postgres: MAXDIM

// In this order Postgres puts an array that ends, one with a value and one with NULL.
enum element_mark : char { ends = 1, has_value, has_null };

class array_key_builder {
 public:
  /// An element at `depth` (1 = not nested); false if others are nested otherwise.
  bool add(std::size_t depth, const std::string* element_key) {
    if (leaf_depth_ != 0 && leaf_depth_ != depth) return false;
    leaf_depth_ = depth;
    key_ += element_key == nullptr ? has_null : has_value;
    if (element_key == nullptr) return true;
    for (const char c : *element_key) {  // terminated by 0 0, so that a prefix comes first
      key_ += c;
      if (c == '\0') key_ += '\1';
    }
    key_.append(2, '\0');
    return true;
  }

  /// An array at `depth` that holds `count` elements or arrays ends; false if others hold more or
  /// less, or if it is empty and not alone.
  bool close(std::size_t depth, std::size_t count) {
    if (count == 0) return depth == 1;
    if (depth > k_max_dimensions) return false;
    if (counts_.size() < depth) counts_.resize(depth);
    auto& expected = counts_[depth - 1];
    if (expected != 0 && expected != count) return false;
    expected = count;
    return true;
  }

  std::string take() {
    key_ += ends;
    append_ordered(key_, static_cast<std::int64_t>(counts_.size()));
    for (const auto count : counts_) append_ordered(key_, static_cast<std::int64_t>(count));
    return std::move(key_);
  }

 private:
  std::string key_;
  std::size_t leaf_depth_ = 0;
  std::vector<std::size_t> counts_;
};

class array_literal {
 public:
  array_literal(std::string_view text, const element_key_function& element)
      : rest_(text), element_(element) {}

  sql_key key() {
    skip_blanks();
    if (!take('{') || !members(1)) return std::nullopt;
    skip_blanks();
    return rest_.empty() ? sql_key{builder_.take()} : std::nullopt;
  }

 private:
  void skip_blanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\n\v\f\r"), rest_.size()));
  }

  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  /// From behind the opening brace.
  bool members(std::size_t depth) {
    skip_blanks();
    if (take('}')) return builder_.close(depth, 0);
    if (depth > k_max_dimensions) return false;
    std::size_t count = 0;
    for (;;) {
      skip_blanks();
      if (take('{') ? !members(depth + 1) : !element(depth)) return false;
      ++count;
      skip_blanks();
      if (take('}')) return builder_.close(depth, count);
      if (!take(',')) return false;
    }
  }

  bool element(std::size_t depth) {
    std::string text;
    bool is_plain = true;
    if (take('"')) {
      is_plain = false;
      while (!rest_.starts_with('"')) {
        if (!take_character(text, is_plain)) return false;
      }
      rest_.remove_prefix(1);
    } else {
      std::size_t kept = 0;  // trailing blanks do not belong to it, unless escaped
      while (!rest_.empty() && std::string_view(",{}\"").find(rest_.front()) == rest_.npos) {
        const bool is_blank = std::string_view(" \t\n\v\f\r").find(rest_.front()) != rest_.npos;
        if (!take_character(text, is_plain)) return false;
        if (!is_blank) kept = text.size();
      }
      text.resize(kept);
      if (text.empty()) return false;
    }
    if (is_plain && text.size() == 4 && ascii_lower(text) == "null") {
      return builder_.add(depth, nullptr);
    }
    const auto key = element_(text);
    return key && builder_.add(depth, &*key);
  }

  bool take_character(std::string& text, bool& is_plain) {
    if (take('\\')) is_plain = false;
    if (rest_.empty()) return false;
    text += rest_.front();
    rest_.remove_prefix(1);
    return true;
  }

  std::string_view rest_;
  const element_key_function& element_;
  array_key_builder builder_;
};

class array_of_json {
 public:
  array_of_json(std::string_view text, const element_key_function& element)
      : scanner_(text), element_(element) {}

  sql_key key() {
    if (!scanner_.take('[') || !members(1) || !scanner_.is_at_end()) return std::nullopt;
    return builder_.take();
  }

 private:
  bool members(std::size_t depth) {
    if (scanner_.take(']')) return builder_.close(depth, 0);
    if (depth > k_max_dimensions) return false;
    for (std::size_t count = 1;; ++count) {
      if (scanner_.take('[') ? !members(depth + 1) : !element(depth)) return false;
      if (scanner_.take(']')) return builder_.close(depth, count);
      if (!scanner_.take(',')) return false;
    }
  }

  bool element(std::size_t depth) {
    const auto token = scanner_.scalar();
    if (token.empty()) return false;
    if (token == "null") return builder_.add(depth, nullptr);
    const auto key = element_(token);
    return key && builder_.add(depth, &*key);
  }

  json_scanner scanner_;
  const element_key_function& element_;
  array_key_builder builder_;
};

}  // namespace

sql_key array_key(std::string_view literal, const element_key_function& element) {
  return array_literal(literal, element).key();
}

sql_key array_key_of_json(std::string_view text, const element_key_function& element) {
  return array_of_json(text, element).key();
}

}  // namespace pgcast
