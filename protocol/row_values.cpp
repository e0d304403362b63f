#include "protocol/row_values.hpp"

#include "protocol/json_document.hpp"
#include "protocol/json_scanner.hpp"
#include "protocol/lower_case.hpp"

#include <algorithm>

namespace pgcast {
namespace {

namespace ondemand = simdjson::ondemand;

/// One parser a thread: its buffers grow to the largest record once.
ondemand::parser& thread_parser() {
  thread_local ondemand::parser parser;
  return parser;
}

std::string_view trim_end(std::string_view token) {
  return token.substr(0, token.find_last_not_of(" \t\r\n") + 1);
}

}  // namespace

const std::string& column_value::lower_text() {
  if (!lower_text_) lower_text_ = to_lower(text());
  return *lower_text_;
}

void row_values::read_record() {
  is_read_ = true;
  padded_.reserve(record_.size() + simdjson::SIMDJSON_PADDING);
  padded_ = record_;
  ondemand::document document;
  ondemand::object object;
  const simdjson::padded_string_view view(padded_.data(), padded_.size(), padded_.capacity());
  if (padded_.empty() || thread_parser().iterate(view).get(document) != simdjson::SUCCESS ||
      document.get_object().get(object) != simdjson::SUCCESS) {
    return;
  }
  for (auto next : object) {
    ondemand::field field;
    std::string_view token;
    if (std::move(next).get(field) != simdjson::SUCCESS) return;
    std::string_view key;
    const bool has_name = field.unescaped_key().get(key) == simdjson::SUCCESS;
    std::string name(has_name ? key : "");
    if (simdjson::to_json_string(field.value()).get(token) != simdjson::SUCCESS) return;
    if (has_name) tokens_.emplace_back(std::move(name), trim_end(token));
  }
}

column_value* row_values::find(std::string_view column, std::string_view type) {
  for (auto& value : values_) {
    if (value.column_ == column && value.type_ == type) return &value;
  }
  return nullptr;
}

column_value& row_values::value(const std::string& column, const sql_type& type) {
  if (auto* const known = find(column, type.identity())) return *known;
  if (!is_read_) read_record();
  auto& value = values_.emplace_back();
  value.column_ = column;
  value.type_ = type.identity();
  const auto found = std::ranges::find(tokens_, column, &decltype(tokens_)::value_type::first);
  if (found == tokens_.end()) return value;
  const auto token = found->second;
  value.is_present_ = true;
  if (token == "null") {
    value.state_ = value_state::null;
    return value;
  }
  auto key = type.key_of_json(token);
  if (!key) return value;
  if (type.is_text() && !type.has_text_key()) {
    auto text = unquote_json(token);
    if (!text) return value;
    value.has_text_key_ = false;
    value.text_ = *std::move(text);
  }
  value.state_ = value_state::known;
  value.key_ = *std::move(key);
  return value;
}

std::optional<std::string> canonical_value(row_values& row, const table_column& column) {
  const auto* value =
      row.find(column.name, column.labels.empty() ? column.type : sql_type::identity_of(column));
  if (value == nullptr) value = &row.value(column.name, sql_type(column));
  if (value->state() != value_state::known) return std::nullopt;
  return value->key();
}

}  // namespace pgcast
