#include "protocol/change_binding.hpp"

#include "protocol/codec.hpp"
#include "protocol/json_document.hpp"

#include <algorithm>
#include <cctype>
#include <set>

namespace pgcast {
namespace {

constexpr std::uint32_t k_ids = 1U << 27;  // the range of Erlang's phash2, which clients know

std::optional<operation> operation_of(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (name == "INSERT") return operation::insert;
  if (name == "UPDATE") return operation::update;
  if (name == "DELETE") return operation::remove;
  return std::nullopt;
}

void read_member(std::string_view key, json_value value, change_binding& out) {
  if (is_null(value)) return;
  if (key == "event") out.op = operation_of(string_of(value).value_or(""));
  if (key == "schema") out.schema = string_of(value).value_or("");
  if (key == "table") out.table = string_of(value).value_or("");
  if (key == "filter") out.filter = string_of(value).value_or("");
  if (key == "select") {
    for_each_element(value, [&](json_value column) {
      if (auto name = string_of(column)) out.select.push_back(*std::move(name));
    });
  }
  // What is no text is no cursor either, and is refused as one.
  if (key == "resume") out.resume = string_of(value).value_or("?");
}

/// FNV-1a, so that a binding has the same id at every join and on every daemon.
std::uint32_t hash_of(std::string_view text) {
  std::uint32_t h = 2166136261U;
  for (const unsigned char c : text) h = (h ^ c) * 16777619U;
  return (h ^ (h >> 27)) % k_ids;
}

}  // namespace

bool change_binding::is_for(const event& e) const {
  if (op && *op != e.op) return false;
  return (schema == "*" || schema == e.schema) && (table == "*" || table == e.table);
}

std::string change_binding::identity() const {
  std::string out = op ? std::string{static_cast<char>(*op)} : "*";
  for (const auto* part : {&schema, &table, &filter}) out.append("\n").append(json_quote(*part));
  for (const auto& column : select) out.append("\n").append(json_quote(column));
  return out.append(resume ? "\nr" : "\n");
}

result<std::vector<change_binding>> parse_bindings(const std::vector<std::string>& objects) {
  std::vector<change_binding> out;
  std::set<std::uint32_t> ids;
  for (const auto& object : objects) {
    change_binding b;
    b.json = object;
    json_document document(object);
    for_each_member(document.root(),
                    [&](std::string_view key, json_value value) { read_member(key, value, b); });
    if (b.table.empty()) b.table = "*";
    if (b.schema.empty()) b.schema = b.table == "*" ? "*" : "public";
    if (!b.select.empty() && (b.table == "*" || b.schema == "*")) {
      return error{errc::payload_malformed, "select needs one table: name schema and table"};
    }
    b.id = hash_of(b.identity());
    while (!ids.insert(b.id).second) b.id = (b.id + 1) % k_ids;
    out.push_back(std::move(b));
  }
  return out;
}

std::string bindings_reply(const std::vector<change_binding>& bindings) {
  std::string out = "[";
  for (const auto& b : bindings) {
    if (out.size() > 1) out += ',';
    const auto end = b.json.find_last_of('}');
    const auto last = b.json.find_last_not_of(" \t\r\n", end - 1);
    out.append(b.json, 0, end);
    if (b.json[last] != '{') out += ',';
    out.append(R"("id":)").append(std::to_string(b.id)).append("}");
  }
  return out + ']';
}

}  // namespace pgcast
