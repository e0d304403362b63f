#include "protocol/change_binding.hpp"

#include "protocol/codec.hpp"
#include "protocol/json_document.hpp"

#include <algorithm>
#include <cctype>
#include <set>

namespace pgcast {
namespace {

constexpr std::size_t k_most_bindings = 100;          // of a channel
constexpr std::size_t k_most_filter_bytes = 1 << 20;  // of all of them: 10,000 UUIDs are 370 kB
constexpr std::uint32_t k_ids = 1U << 27;  // the range of Erlang's phash2, which clients know

std::optional<operation> operation_of(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (name == "INSERT") return operation::insert;
  if (name == "UPDATE") return operation::update;
  if (name == "DELETE") return operation::remove;
  return std::nullopt;
}

bool read_columns(json_value value, std::vector<std::string>& out) {
  bool is_good = true;
  const bool is_list = for_each_element(value, [&](json_value column) {
    auto name = string_of(column);
    if (name) out.push_back(*std::move(name));
    is_good = is_good && name;
  });
  return is_list && is_good;
}

/// A filter that were overlooked would let everything through: what is not understood is refused.
void read_member(std::string_view key, json_value value, change_binding& out,
                 std::string& refused) {
  if (is_null(value)) return;
  const auto read_text = [&](std::string& into) {
    auto text = string_of(value);
    if (!text) refused = std::string{key} + " of postgres_changes must be text";
    into = std::move(text).value_or("");
  };
  std::string event;
  if (key == "event") {
    read_text(event);
    out.op = operation_of(std::move(event));
  }
  if (key == "schema") read_text(out.schema);
  if (key == "table") read_text(out.table);
  if (key == "filter") read_text(out.filter);
  if (key == "select" && !read_columns(value, out.select)) {
    refused = "select of postgres_changes must be a list of column names";
  }
  if (key == "leave") {
    const auto token = raw_scalar(value);
    out.wants_leaving = token == "true";
    if (!out.wants_leaving && token != "false") {
      refused = "leave of postgres_changes must be true or false";
    }
  }
  if (key == "int8") {
    out.int8_as_text = string_of(value).value_or("") == "text";
    if (!out.int8_as_text) refused = "int8 of postgres_changes must be \"text\"";
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

bool change_binding::is_for(const event& e, operation as) const {
  if (op && *op != as) return false;
  return (schema == "*" || schema == e.schema) && (table == "*" || table == e.table);
}

bool change_binding::looks_like(const change_binding& other) const {
  return select == other.select && resume.has_value() == other.resume.has_value() &&
         int8_as_text == other.int8_as_text && is_bare == other.is_bare;
}

std::string change_binding::identity() const {
  std::string out = op ? std::string{static_cast<char>(*op)} : "*";
  for (const auto* part : {&schema, &table, &filter}) out.append("\n").append(json_quote(*part));
  for (const auto& column : select) out.append("\n").append(json_quote(column));
  out.append(resume ? "\nr" : "\n");
  if (wants_leaving) out += 'l';
  if (int8_as_text) out += '8';
  if (is_bare) out += 'b';
  return out;
}

change_binding binding_of_topic(std::string_view name) {
  change_binding b;
  b.is_bare = true;
  const auto take = [&](char until) {
    const auto end = std::min(name.find(until), name.size());
    const std::string part{name.substr(0, end)};
    name.remove_prefix(std::min(end + 1, name.size()));
    return part;
  };
  b.schema = take(':');
  b.table = take(':');
  b.filter = name;
  b.json = R"({"event":"*","schema":)" + json_quote(b.schema);
  if (!b.table.empty()) b.json += R"(,"table":)" + json_quote(b.table);
  if (!b.filter.empty()) b.json += R"(,"filter":)" + json_quote(b.filter);
  b.json += '}';
  if (b.table.empty()) b.table = "*";
  b.id = hash_of(b.identity());
  return b;
}

result<std::vector<change_binding>> parse_bindings(const std::vector<std::string>& objects) {
  std::vector<change_binding> out;
  if (objects.size() > k_most_bindings) {
    return error{errc::binding_malformed,
                 "more than 100 postgres_changes on one channel: use several channels"};
  }
  std::size_t filter_bytes = 0;
  for (const auto& object : objects) filter_bytes += object.size();
  if (filter_bytes > k_most_filter_bytes) {
    return error{errc::binding_malformed,
                 "the postgres_changes of one channel are larger than 1 MiB: use several channels"};
  }
  std::set<std::uint32_t> ids;
  for (const auto& object : objects) {
    change_binding b;
    b.json = object;
    json_document document(object);
    std::string refused;
    for_each_member(document.root(), [&](std::string_view key, json_value value) {
      read_member(key, value, b, refused);
    });
    if (!refused.empty()) return error{errc::binding_malformed, std::move(refused)};
    if (b.table.empty()) b.table = "*";
    if (b.schema.empty()) b.schema = b.table == "*" ? "*" : "public";
    if (!b.select.empty() && (b.table == "*" || b.schema == "*")) {
      return error{errc::binding_malformed, "select needs one table: name schema and table"};
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
