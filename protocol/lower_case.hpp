#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pgcast {

/// The bytes of the UTF-8 character that begins with `lead`; 1 for a byte that begins none.
std::size_t utf8_length(char lead);

/// Each letter in its lower case, by Unicode's simple mapping: what Postgres' lower() does in the
/// usual UTF-8 locales (in the C locale it leaves letters beyond ASCII alone). `text` is UTF-8.
std::string to_lower(std::string_view text);

}  // namespace pgcast
