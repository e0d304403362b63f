#pragma once

#include <simdjson.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pgcast {

using json_value = simdjson::ondemand::value;

/// True if `text` is JSON: grammar of RFC 8259, UTF-8, nested at most 512 deep. What passes is safe
/// to splice into another text. Numbers of any size and lone surrogates are grammatical and pass.
bool is_json(std::string_view text);

/// A JSON text of somebody else, checked as a whole and then read in place.
///
/// Views and values are good while the document lives. Not copyable, not thread-safe.
class json_document {
 public:
  /// Copies `text`: simdjson reads a little behind the end.
  explicit json_document(std::string_view text);
  json_document(const json_document&) = delete;
  json_document& operator=(const json_document&) = delete;

  /// is_json() of the text.
  bool is_valid() const { return is_valid_; }

  /// The value of the text, of any type; only of a valid document. Every call starts over: values
  /// and strings that were taken before are void.
  json_value root();

 private:
  std::string text_;  ///< in square brackets, which lets a scalar be a root
  simdjson::ondemand::parser parser_;
  simdjson::ondemand::document document_;
  bool is_valid_ = false;
};

/// The bytes of `value` as they stand in the text, without white space around them. Reads an
/// object or array to its end: its members cannot be visited afterwards.
std::string_view raw_json(json_value value);

/// The same of a scalar, a string with its quotes; empty for objects and arrays, which stay unread.
std::string_view raw_scalar(json_value value);

/// A decoded string; nothing for other types and for strings that are not Unicode. Once a value.
std::optional<std::string> string_of(json_value value);

/// The token of a scalar as plain text: strings decoded, null as nothing, others as they stand.
std::optional<std::string> scalar_text(std::string_view token);

/// A number as a double; nothing for other types and for numbers out of its range.
std::optional<double> number_of(json_value value);

/// True for the type `object`.
bool is_object(json_value value);
bool is_null(json_value value);

/// Calls `visit(std::string_view key, json_value value)` for each member in the order of the text,
/// duplicates included. False if `value` is no object or a key cannot be decoded; such members
/// are skipped.
template <class Visit>
bool for_each_member(json_value value, Visit visit) {
  simdjson::ondemand::object members;
  if (value.get_object().get(members) != simdjson::SUCCESS) return false;
  bool is_whole = true;
  for (auto next : members) {
    simdjson::ondemand::field member;
    if (std::move(next).get(member) != simdjson::SUCCESS) return false;
    std::string_view key;
    if (member.unescaped_key().get(key) != simdjson::SUCCESS ||
        !simdjson::validate_utf8(key.data(), key.size())) {
      is_whole = false;
    } else {
      visit(key, member.value());
    }
  }
  return is_whole;
}

/// Calls `visit(json_value element)` for each element. False if `value` is no array.
template <class Visit>
bool for_each_element(json_value value, Visit visit) {
  simdjson::ondemand::array elements;
  if (value.get_array().get(elements) != simdjson::SUCCESS) return false;
  for (auto next : elements) {
    json_value element;
    if (next.get(element) != simdjson::SUCCESS) return false;
    visit(element);
  }
  return true;
}

}  // namespace pgcast
