#pragma once

#include "daemon/config.hpp"
#include "daemon/config_text.hpp"

#include <charconv>
#include <chrono>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// Kinds of settings, for the tables of settings.cpp and limit_settings.cpp.

namespace pgcast {

/// A setting without its value: what the table's lines have in common.
struct label {
  std::string key;
  std::string short_environment;
  std::string purpose;
};

inline setting make_setting(label l, std::string accepted,
                            std::function<bool(std::string_view, config&)> parse,
                            std::function<std::string(const config&)> format) {
  return {std::move(l.key),
          std::move(l.short_environment),
          std::move(accepted),
          std::move(l.purpose),
          false,
          std::move(parse),
          std::move(format)};
}

template <class Number>
std::optional<Number> parse_count(std::string_view text) {
  Number value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// `field` gives the member of a config, const or not.
template <class Field>
setting duration(label l, std::chrono::milliseconds min, std::chrono::milliseconds max,
                 Field field) {
  auto parse = [=](std::string_view text, config& c) {
    const auto value = parse_duration(text);
    if (!value || *value < min || *value > max) return false;
    using target = std::remove_cvref_t<decltype(field(c))>;
    const auto converted = std::chrono::duration_cast<target>(*value);
    if (converted != *value) return false;
    field(c) = converted;
    return true;
  };
  return make_setting(std::move(l),
                      "a duration from " + format_duration(min) + " to " + format_duration(max) +
                          ", a whole number with ms, s, m, h or d",
                      parse, [=](const config& c) { return format_duration(field(c)); });
}

template <class Field>
setting size(label l, std::size_t min, std::size_t max, Field field) {
  auto parse = [=](std::string_view text, config& c) {
    const auto value = parse_size(text);
    if (!value || *value < min || *value > max) return false;
    field(c) = *value;
    return true;
  };
  return make_setting(std::move(l),
                      "bytes from " + format_size(min) + " to " + format_size(max) +
                          ", a whole number, with KiB, MiB or GiB if you like",
                      parse, [=](const config& c) { return format_size(field(c)); });
}

template <class Field>
setting count(label l, unsigned min, unsigned max, Field field) {
  auto parse = [=](std::string_view text, config& c) {
    using target = std::remove_cvref_t<decltype(field(c))>;
    const auto value = parse_count<target>(text);
    if (!value || *value < min || *value > max) return false;
    field(c) = *value;
    return true;
  };
  return make_setting(std::move(l),
                      "a whole number from " + std::to_string(min) + " to " + std::to_string(max),
                      parse, [=](const config& c) { return std::to_string(field(c)); });
}

/// The limits.* keys.
void add_limits(std::vector<setting>& all);

}  // namespace pgcast
