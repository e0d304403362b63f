#include "daemon/json_members.hpp"

#include <simdjson.h>

namespace pgcast {

namespace ondemand = simdjson::ondemand;

std::string text_of(std::string_view object_json, const char* key) {
  const simdjson::padded_string padded(object_json);
  ondemand::parser parser;
  ondemand::document document;
  std::string_view text;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS) return {};
  if (document[key].get_string().get(text) != simdjson::SUCCESS) return {};
  return std::string(text);
}

std::string json_of(std::string_view object_json, const char* key) {
  const simdjson::padded_string padded(object_json);
  ondemand::parser parser;
  ondemand::document document;
  ondemand::value value;
  std::string_view json;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS) return {};
  if (document[key].get(value) != simdjson::SUCCESS) return {};
  if (simdjson::to_json_string(value).get(json) != simdjson::SUCCESS) return {};
  return std::string(json);
}

}  // namespace pgcast
