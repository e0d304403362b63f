// Keys of jsonb: the value written again in one way only.

#include "protocol/sql_key.hpp"

#include <map>
#include <utility>

namespace pgcast {
namespace {

constexpr int k_max_depth = 512;

void append_sized(std::string& key, char mark, std::string_view bytes) {
  key += mark;
  append_ordered(key, static_cast<std::int64_t>(bytes.size()));
  key += bytes;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// JSON's numbers are fewer than Postgres': no sign but minus, no leading zero, no bare point.
bool is_json_number(std::string_view token) {
  if (token.starts_with('-')) token.remove_prefix(1);
  if (token.empty() || !is_digit(token.front())) return false;
  if (token.size() > 1 && token[0] == '0' && is_digit(token[1])) return false;
  const auto point = token.find('.');
  return point == token.npos || (point + 1 < token.size() && is_digit(token[point + 1]));
}

class json_key_builder {
 public:
  json_key_builder(std::string_view text, json_numbers numbers)
      : scanner_(text), numbers_(numbers) {}

  sql_key key() {
    if (!append_value(1) || !scanner_.is_at_end()) return std::nullopt;
    return std::move(key_);
  }

 private:
  bool append_value(int depth) {
    if (depth > k_max_depth) return false;
    if (scanner_.take('[')) return append_array(depth);
    if (scanner_.take('{')) return append_object(depth);
    const auto token = scanner_.scalar();
    if (token.starts_with('"')) {
      const auto text = unquote_json(token);
      if (text) append_sized(key_, 's', *text);
      return text.has_value();
    }
    if (token == "true" || token == "false" || token == "null") {
      key_ += token.front();
      return true;
    }
    if (!is_json_number(token)) return false;
    const auto number = numbers_ == json_numbers::exact
                            ? numeric_key(token)
                            : float_key(token, float_width::double_precision);
    if (number) append_sized(key_, '#', *number);
    return number.has_value();
  }

  bool append_array(int depth) {
    key_ += '[';
    if (!scanner_.take(']')) {
      do {
        if (!append_value(depth + 1)) return false;
      } while (scanner_.take(','));
      if (!scanner_.take(']')) return false;
    }
    key_ += ']';
    return true;
  }

  bool append_object(int depth) {
    std::map<std::string, std::string> members;  // the last of equal names counts
    if (!scanner_.take('}')) {
      std::string outer = std::move(key_);
      do {
        if (scanner_.peek() != '"') return false;
        auto name = unquote_json(scanner_.scalar());
        key_.clear();
        if (!name || !scanner_.take(':') || !append_value(depth + 1)) return false;
        members.insert_or_assign(*std::move(name), std::move(key_));
      } while (scanner_.take(','));
      if (!scanner_.take('}')) return false;
      key_ = std::move(outer);
    }
    key_ += '{';
    for (const auto& [name, value] : members) {
      append_sized(key_, 'k', name);
      key_ += value;
    }
    key_ += '}';
    return true;
  }

  json_scanner scanner_;
  json_numbers numbers_;
  std::string key_;
};

}  // namespace

sql_key json_key(std::string_view text, json_numbers numbers) {
  return json_key_builder(text, numbers).key();
}

}  // namespace pgcast
