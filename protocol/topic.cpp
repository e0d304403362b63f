#include "protocol/topic.hpp"

#include <algorithm>
#include <array>

namespace pgcast {
namespace {

constexpr std::size_t k_most_name_bytes = 1'024;  // many places keep a copy of it

struct named_kind {
  std::string_view prefix;
  topic_kind kind;
};
constexpr std::array k_kinds{
    named_kind{"session", topic_kind::session}, named_kind{"phone", topic_kind::phone},
    named_kind{"campaign", topic_kind::campaign}, named_kind{"stats", topic_kind::stats}};

/// Separators as people type them; the longer ones are UTF-8: NBSP, narrow NBSP,
/// dashes U+2010-2015, minus. The same list stands in pgcast.normalize_phone.
constexpr std::array<std::string_view, 18> k_separators{
    " ",      "\t",     ".",      "-",      "/",      "(",      ")",      "[",      "]",
    "\u00a0", "\u202f", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2015", "\u2212"};

std::size_t separator_bytes(std::string_view text) {
  for (const auto s : k_separators) {
    if (text.starts_with(s)) return s.size();
  }
  return 0;
}

std::string prefixed(std::string_view prefix, std::string_view key) {
  std::string out{prefix};
  out += ':';
  out += key;
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

result<topic> parse_topic(std::string_view name) {
  if (name.empty()) return error{errc::topic_missing, "You must provide a topic name"};
  if (name.find('\0') != std::string_view::npos) {  // Postgres would take what is before it
    return error{errc::topic_missing, "You must provide a topic name without NUL"};
  }
  if (name.size() > k_most_name_bytes) {
    return error{errc::topic_missing, "A topic name may be at most 1,024 bytes long"};
  }
  topic t;
  t.name = name;
  t.key = name;
  const auto colon = name.find(':');
  if (colon == std::string_view::npos) return t;
  const auto found = std::find_if(k_kinds.begin(), k_kinds.end(),
                                  [&](const auto& k) { return k.prefix == name.substr(0, colon); });
  if (found == k_kinds.end()) return t;
  t.kind = found->kind;
  t.key = name.substr(colon + 1);
  if (t.key.empty()) return error{errc::topic_missing, "You must provide an id after the colon"};
  if (t.kind == topic_kind::phone) t.key = normalize_phone(t.key);
  return t;
}

std::string topic_key(topic_kind kind, std::string_view key) {
  const auto found =
      std::find_if(k_kinds.begin(), k_kinds.end(), [&](const auto& k) { return k.kind == kind; });
  return prefixed(found == k_kinds.end() ? "public" : found->prefix, key);
}

std::string topic_key(const topic& t) {
  const bool is_private = t.kind == topic_kind::plain && t.is_private;
  return is_private ? prefixed("private", t.key) : topic_key(t.kind, t.key);
}

std::string normalize_phone(std::string_view text) {
  std::string digits;
  for (std::string_view rest = text; !rest.empty();) {
    if (const auto skip = separator_bytes(rest)) {
      rest.remove_prefix(skip);
      continue;
    }
    digits += rest.front();
    rest.remove_prefix(1);
  }
  if (digits.starts_with("00")) digits.replace(0, 2, "+");
  const auto first = digits.begin() + (digits.starts_with('+') ? 1 : 0);
  const bool is_number = first != digits.end() && std::all_of(first, digits.end(), is_digit);
  return is_number ? digits : std::string{text};
}

bool table_description::carries(topic_kind kind) const {
  return std::any_of(routes.begin(), routes.end(), [&](const auto& r) { return r.kind == kind; });
}

std::string_view table_description::session_column() const {
  for (const auto& r : routes) {
    if (r.kind == topic_kind::session && r.how == table_route::by::column) return r.column;
  }
  return {};
}

const table_description* relay_description::find(std::string_view schema,
                                                 std::string_view name) const {
  for (const auto& t : tables) {
    if (t.name == name && t.schema == schema) return &t;
  }
  return nullptr;
}

bool relay_description::is_reserved_event(std::string_view event) const {
  if (event == "snapshot" || event == "stats") return true;
  return std::any_of(tables.begin(), tables.end(), [&](const auto& t) { return t.name == event; });
}

bool relay_description::reserves(const topic& t, std::string_view event) const {
  return t.kind != topic_kind::plain && is_reserved_event(event);
}

const relay_description& recruiting_description() {
  using enum table_route::by;
  using enum topic_kind;
  static const relay_description description = [] {
    relay_description d;
    const std::vector<table_route> of_session{{session, column, "session_id"},
                                              {campaign, campaign_of_session, "session_id"}};
    auto with = [&](table_route extra) {
      auto routes = of_session;
      routes.push_back(std::move(extra));
      return routes;
    };
    d.tables = {
        {"public",
         "session_info",
         {{session, column, "session_id"}, {campaign, column, "campaign"}},
         counted_as::session},
        {"public", "chat_history", of_session, counted_as::message},
        {"public", "call_info", of_session, counted_as::call},
        {"public", "session_objective_events", of_session, counted_as::objective_change},
        {"public", "numbers", with({phone, column, "phone_number"})},
        {"public", "campaigns", with({campaign, column, "campaign"})},
        {"public", "campaign_info", {{campaign, column, "campaign"}}},
    };
    d.membership_table = "session_info";
    d.membership_session = "session_id";
    d.membership_campaign = "campaign";
    d.numbers_table = "numbers";
    d.numbers_session = "session_id";
    d.numbers_number = "phone_number";
    d.number_order = {"created_at"};
    return d;
  }();
  return description;
}

}  // namespace pgcast
