#include "protocol/observed_change.hpp"

#include "protocol/json_document.hpp"
#include "protocol/sql_key.hpp"

#include <algorithm>
#include <functional>
#include <unordered_set>
#include <utility>

namespace pgcast {
namespace {

constexpr std::size_t k_key_columns = 3;  // of a row whose key cannot be guessed
constexpr std::size_t k_key_bytes = 120;
constexpr std::string_view k_id = "_pgcast_id";

struct member {
  std::string name;
  std::string_view json;
};
using members = std::vector<member>;

/// In the order of the text; the views are good while `document` lives.
members members_of(json_document& document) {
  members found;
  if (!document.is_valid()) return found;
  for_each_member(document.root(), [&](std::string_view name, json_value value) {
    found.push_back({std::string(name), raw_json(value)});
  });
  return found;
}

std::string_view json_of(const members& all, std::string_view name) {
  const auto found = std::ranges::find(all, name, &member::name);
  return found == all.end() ? std::string_view{} : found->json;
}

std::string text_of(const members& all, std::string_view name) {
  return unquote_json(json_of(all, name)).value_or("");
}

std::unordered_set<std::string> columns_of_type(std::string_view columns_json,
                                                std::string_view type) {
  std::unordered_set<std::string> names;
  json_document document(columns_json);
  if (!document.is_valid()) return names;
  for_each_element(document.root(), [&](json_value element) {
    json_document column(raw_json(element));
    const auto described = members_of(column);
    if (text_of(described, "type") == type) names.insert(text_of(described, "name"));
  });
  return names;
}

std::size_t hash_of(std::string_view bytes) { return std::hash<std::string_view>()(bytes); }

std::size_t value_hash(std::string_view json, bool is_instant) {
  if (const auto text = is_instant ? unquote_json(json) : std::nullopt) {
    if (const auto key = timestamp_key(*text, zone_rule::applied)) return hash_of(*key);
  }
  const auto key = json_key(json, json_numbers::as_doubles);
  return hash_of(key ? *key : json);
}

bool is_own(std::string_view name) { return name.starts_with("_pgcast_"); }

/// "a=1, b=\"x\"" of the columns that are in `names`, or of the first ones without any.
std::string describe(const members& row, const members& names) {
  std::string text;
  std::size_t count = 0;
  for (const auto& [name, json] : row) {
    if (is_own(name) || (!names.empty() && json_of(names, name).empty())) continue;
    if (names.empty() && count++ == k_key_columns) break;
    text += (text.empty() ? "" : ", ") + name + "=" + std::string(json);
  }
  if (text.size() <= k_key_bytes) return text;
  auto end = k_key_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

/// An old row that has only some of the columns has those of the key (replica identity).
std::string key_of(const members& row, const members& old_row) {
  if (!old_row.empty() && old_row.size() < row.size()) return describe(row, old_row);
  const bool has_id = !json_of(row, "id").empty();
  return describe(row, has_id ? members{{"id", "id"}} : members{});
}

}  // namespace

std::optional<observed_change> read_change(std::string_view data_json) {
  json_document document(data_json);
  const auto data = members_of(document);
  observed_change change;
  change.type = text_of(data, "type");
  const auto table = text_of(data, "table");
  if (change.type.empty() || table.empty()) return std::nullopt;
  change.table = text_of(data, "schema") + "." + table;
  change.commit_timestamp = text_of(data, "commit_timestamp");
  change.committed = timestamp_key(change.commit_timestamp, zone_rule::applied).value_or("");
  change.id = change.commit_timestamp;

  json_document record(json_of(data, "record"));
  json_document old_record(json_of(data, "old_record"));
  const auto new_row = members_of(record);
  const auto old_row = members_of(old_record);
  const auto& row = change.type == "DELETE" ? old_row : new_row;
  const auto instants = columns_of_type(json_of(data, "columns"), "timestamptz");
  for (const auto& [name, json] : row) {
    if (name == k_id) change.id = json;
    if (is_own(name)) continue;
    change.columns.push_back({hash_of(name), value_hash(json, instants.contains(name))});
  }
  std::ranges::sort(change.columns, {}, &observed_change::column::name);
  change.key = key_of(row, old_row);
  return change;
}

}  // namespace pgcast
