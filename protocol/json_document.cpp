#include "protocol/json_document.hpp"

#include <algorithm>
#include <tuple>

namespace pgcast {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr int k_max_depth = 512;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

std::string_view trim(std::string_view token) {
  return token.substr(0, token.find_last_not_of(" \t\r\n") + 1);
}

/// The grammar of RFC 8259, and nothing else: simdjson's on-demand front end does not look at what
/// it skips, and its other one refuses numbers that JavaScript sends, such as 1e20 in digits.
class grammar {
 public:
  explicit grammar(std::string_view text) : rest_(text) {}

  bool matches() {
    skip_blanks();
    return value(1) && rest_.empty();
  }

 private:
  void skip_blanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size()));
  }

  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  bool digits() {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_digit);
    const auto count = static_cast<std::size_t>(end - rest_.begin());
    rest_.remove_prefix(count);
    return count > 0;
  }

  bool number() {
    take("-");
    if (!take("0") && !digits()) return false;
    if (take(".") && !digits()) return false;
    if (!take("e") && !take("E")) return true;
    if (!take("+")) take("-");
    return digits();
  }

  bool escape() {
    if (!take("u")) {
      const bool is_known = std::string_view("\"\\/bfnrt").find(rest_.front()) != rest_.npos;
      rest_.remove_prefix(1);
      return is_known;
    }
    if (rest_.size() < 4 || !std::all_of(rest_.begin(), rest_.begin() + 4, is_hex)) return false;
    rest_.remove_prefix(4);
    return true;
  }

  /// From behind the opening quote.
  bool string() {
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < ' ') return false;
      if (c == '\\' && (rest_.empty() || !escape())) return false;
    }
    return false;
  }

  bool member(int depth) {
    if (!take("\"") || !string()) return false;
    skip_blanks();
    if (!take(":")) return false;
    skip_blanks();
    return value(depth);
  }

  /// From behind the opening bracket; `item` is what stands between commas.
  template <class Item>
  bool list(std::string_view end, Item item) {
    skip_blanks();
    if (take(end)) return true;
    while (item()) {
      if (take(end)) return true;
      if (!take(",")) return false;
      skip_blanks();
    }
    return false;
  }

  /// With the blanks behind it.
  bool value(int depth) {
    if (depth > k_max_depth) return false;
    bool is_good = false;
    if (take("{")) {
      is_good = list("}", [&] { return member(depth + 1); });
    } else if (take("[")) {
      is_good = list("]", [&] { return value(depth + 1); });
    } else if (take("\"")) {
      is_good = string();
    } else {
      is_good = take("true") || take("false") || take("null") || number();
    }
    skip_blanks();
    return is_good;
  }

  std::string_view rest_;
};

}  // namespace

bool is_json(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size()) && grammar(text).matches();
}

json_document::json_document(std::string_view text) {
  if (!is_json(text)) return;
  text_.reserve(text.size() + 2 + simdjson::SIMDJSON_PADDING);
  text_ += '[';
  text_ += text;
  text_ += ']';
  const std::size_t bytes = text_.size();
  text_.append(simdjson::SIMDJSON_PADDING, '\0');
  const simdjson::padded_string_view view(text_.data(), bytes, text_.size());
  is_valid_ = parser_.iterate(view).get(document_) == simdjson::SUCCESS;
}

json_value json_document::root() {
  document_.rewind();
  ondemand::array roots;
  json_value value;
  // Cannot fail: checked.
  if (document_.get_array().get(roots) == simdjson::SUCCESS) {
    auto first = roots.begin();
    if (first.error() == simdjson::SUCCESS) std::ignore = (*first).get(value);
  }
  return value;
}

std::string_view raw_json(json_value value) {
  std::string_view text;
  if (simdjson::to_json_string(value).get(text) != simdjson::SUCCESS) return {};
  return trim(text);
}

std::string_view raw_scalar(json_value value) {
  const auto token = trim(value.raw_json_token());
  return token.starts_with('{') || token.starts_with('[') ? std::string_view{} : token;
}

std::optional<std::string> string_of(json_value value) {
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) return std::nullopt;
  if (!simdjson::validate_utf8(text.data(), text.size())) return std::nullopt;
  return std::string(text);
}

std::optional<std::string> scalar_text(std::string_view token) {
  if (token == "null") return std::nullopt;
  if (!token.starts_with('"')) return std::string{token};
  if (token.find('\\') == std::string_view::npos) {
    return std::string{token.substr(1, token.size() - 2)};
  }
  const simdjson::padded_string padded{token};
  ondemand::parser parser;
  ondemand::document document;
  std::string_view text;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS ||
      document.get_string().get(text) != simdjson::SUCCESS) {
    return std::string{token};
  }
  return std::string{text};
}

std::optional<double> number_of(json_value value) {
  double number = 0;
  if (value.get_double().get(number) != simdjson::SUCCESS) return std::nullopt;
  return number;
}

bool is_object(json_value value) {
  ondemand::json_type type{};
  return value.type().get(type) == simdjson::SUCCESS && type == ondemand::json_type::object;
}

bool is_null(json_value value) { return value.raw_json_token().starts_with("null"); }

}  // namespace pgcast
