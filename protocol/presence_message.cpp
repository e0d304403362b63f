#include "protocol/presence_message.hpp"

#include "protocol/codec.hpp"
#include "protocol/json_document.hpp"

#include <algorithm>
#include <charconv>

namespace pgcast {
namespace {

error malformed(std::string reason) { return {errc::payload_malformed, std::move(reason)}; }

std::string lower_ascii(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

/// False if `value` is no object.
bool read_members(json_value value, std::string& out) {
  out.clear();
  if (!is_object(value)) return false;
  for_each_member(value, [&](std::string_view key, json_value member) {
    if (key == "phx_ref" || key == "phx_ref_prev") return;
    if (!out.empty()) out += ',';
    append_json_quoted(out, key);
    out += ':';
    out += raw_json(member);
  });
  return true;
}

std::string in_base(std::uint64_t number, int base) {
  std::array<char, 64> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
  return {digits.data(), end};
}

}  // namespace

result<presence_request> parse_presence(std::string_view payload_json) {
  json_document document(payload_json);
  if (!document.is_valid() || !is_object(document.root())) {
    return malformed("Presence payload must be a map");
  }
  std::string event;
  bool is_map = true;
  presence_request out;
  for_each_member(document.root(), [&](std::string_view key, json_value value) {
    if (key == "event") event = lower_ascii(string_of(value).value_or(""));
    if (key == "payload") is_map = read_members(value, out.members);
  });
  if (event == "untrack") return presence_request{};
  if (event != "track") return malformed("Presence event must be track or untrack");
  if (!is_map) return malformed("Presence track payload must be a map");
  out.what = presence_request::kind::track;
  return out;
}

bool is_reserved_presence_key(std::string_view key) {
  static constexpr std::array<std::string_view, 12> names{
      "constructor",      "hasOwnProperty",   "isPrototypeOf",    "propertyIsEnumerable",
      "toLocaleString",   "toString",         "valueOf",          "__proto__",
      "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"};
  return std::find(names.begin(), names.end(), key) != names.end();
}

std::string make_uuid(const std::array<std::uint32_t, 4>& bits) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < 32; ++i) {
    if (i == 8 || i == 12 || i == 16 || i == 20) out += '-';
    auto nibble = (bits[i / 8] >> (28 - 4 * (i % 8))) & 0xf;
    if (i == 12) nibble = 4;                   // the version
    if (i == 16) nibble = (nibble & 3) | 0x8;  // the variant of RFC 9562
    out += digits[nibble];
  }
  return out;
}

unique_refs::unique_refs(std::uint64_t seed) : prefix_(in_base(seed, 36) + '.') {}

std::string unique_refs::next() { return prefix_ + in_base(++count_, 36); }

}  // namespace pgcast
