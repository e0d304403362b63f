#pragma once

#include <string>
#include <string_view>

namespace pgcast {

/// A name as an SQL identifier, in double quotes.
std::string quote_identifier(std::string_view name);

/// Appends one element to a Postgres text array literal that is still open ("{" or "{..").
void append_element(std::string& array, std::string_view element);

/// A Postgres text array literal of `elements` (anything that begin() and end() give views of).
template <class Elements>
std::string text_array(const Elements& elements) {
  std::string out = "{";
  for (const auto& element : elements) append_element(out, element);
  return out + '}';
}

/// A message of libpq or of the server on one line, without a line break or full stop at its end.
std::string on_one_line(std::string_view message);

}  // namespace pgcast
