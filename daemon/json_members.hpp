#pragma once

#include <string>
#include <string_view>

namespace pgcast {

/// The text of `object[key]`; "" when it is not there or no text. For commands: each call reads the
/// object anew.
std::string text_of(std::string_view object_json, const char* key);

/// `object[key]` as it stands there; "" when it is not there.
std::string json_of(std::string_view object_json, const char* key);

}  // namespace pgcast
