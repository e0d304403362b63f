#include "daemon/api_sql.hpp"

#include "daemon/snapshot_sql.hpp"
#include "daemon/ticker_sql.hpp"

#include <optional>
#include <string_view>

namespace pgcast {
namespace {

using parameters = std::vector<std::optional<std::string>>;

/// "$3" for the next value.
std::string add_parameter(parameters& to, std::optional<std::string> value) {
  to.push_back(std::move(value));
  return "$" + std::to_string(to.size());
}

/// Rows behind a place, in the order `value` DESC NULLS LAST, `key`.
std::string behind(const api_request& r, std::string_view value, std::string_view key,
                   parameters& to) {
  if (!r.before) return "";
  const std::string v{value};
  const std::string k{key};
  const auto last_key = add_parameter(to, r.before->key);
  if (!r.before->value) return " AND " + v + " IS NULL AND " + k + " > " + last_key;
  const auto last = add_parameter(to, *r.before->value);
  return " AND (" + v + " < " + last + " OR (" + v + " = " + last + " AND " + k + " > " + last_key +
         ") OR " + v + " IS NULL)";
}

/// The five columns, out of `found` (json, value, key, ordinal).
std::string page_of(const api_request& r, const std::string& is_there, std::string_view listed) {
  const std::string n = std::to_string(r.limit);
  return "SELECT " + is_there + ", '[' || coalesce((SELECT string_agg(json, ',' ORDER BY ordinal " +
         std::string{listed} + ") FROM found WHERE ordinal <= " + n +
         "), '') || ']', (SELECT count(*) FROM found) > " + n +
         ", (SELECT value::text FROM found WHERE ordinal = " + n +
         "), (SELECT key::text FROM found WHERE ordinal = " + n + ")";
}

const pg_statement& nothing() {
  static const pg_statement none{"SELECT false, '[]', false, NULL, NULL"};
  return none;
}

/// A page of the rows of `table` (called row) that `chosen` chooses.
std::string found_rows(const api_request& r, std::string_view table, std::string_view value,
                       const std::string& key, const std::string& order,
                       const std::string& chosen) {
  std::string sql = "found AS (SELECT to_jsonb(row)::text AS json, " + std::string{value} +
                    " AS value, " + key + " AS key, row_number() OVER (ORDER BY " + order +
                    ") AS ordinal FROM public." + std::string{table} + " AS row WHERE " + chosen;
  return sql + " ORDER BY " + order + " LIMIT " + std::to_string(r.limit + 1) + ") ";
}

/// A page of the rows that have $1 in `column`, the greatest `value` first.
pg_statement page_below(const api_request& r, std::string_view table, const std::string& column,
                        const std::string& value, const std::string& key,
                        const std::string& is_there) {
  parameters p{r.id};
  const std::string chosen = column + " = $1" + behind(r, value, key, p);
  const std::string order = value + " DESC NULLS LAST, " + key;
  return {"WITH " + found_rows(r, table, value, key, order, chosen) + page_of(r, is_there, ""), p};
}

}  // namespace

pg_statement messages_page(const role_policies& may, const api_request& r,
                           const std::string& session_ids, const std::string& numbers) {
  if (!may.may_select("public", "session_info") || !may.may_select("public", "numbers")) {
    return nothing();
  }
  parameters p{session_ids, numbers};
  const std::string is_there = "(SELECT session_id FROM want) IS NOT NULL";
  const std::string want =
      "WITH " + carriers_of_number() + ", want AS (" + followed_carrier() + ") ";
  if (!may.may_select("public", "chat_history")) {
    return {want + "SELECT " + is_there + ", '[]', false, NULL, NULL", p};
  }
  std::string chosen = "row.session_id = (SELECT session_id FROM want)";
  if (r.before) chosen += " AND row.id < " + add_parameter(p, r.before->key);
  for (const auto& s : message_sides()) {
    if (s.side == r.sender) chosen.append(" AND ").append(s.predicate);
  }
  const std::string order = "row.id DESC";
  return {want + ", " + found_rows(r, "chat_history", "NULL::text", "row.id", order, chosen) +
              page_of(r, is_there, "DESC"),
          p};
}

pg_statement calls_page(const role_policies& may, const api_request& r) {
  if (!may.may_select("public", "session_info")) return nothing();
  const std::string is_there = "EXISTS (SELECT FROM public.session_info s WHERE s.session_id = $1)";
  if (!may.may_select("public", "call_info")) {
    return {"SELECT " + is_there + ", '[]', false, NULL, NULL", {r.id}};
  }
  return page_below(r, "call_info", "row.session_id", "row.called_at", "row.call_id", is_there);
}

pg_statement sessions_page(const role_policies& may, const api_request& r) {
  if (!may.may_select("public", "session_info")) return nothing();
  std::string is_there = "EXISTS (SELECT FROM public.session_info s WHERE s.campaign = $1)";
  if (may.may_select("public", "campaign_info")) {
    is_there += " OR EXISTS (SELECT FROM public.campaign_info c WHERE c.campaign = $1)";
  }
  return page_below(r, "session_info", "row.campaign", "row.created_at", "row.session_id",
                    is_there);
}

pg_statement visible_campaigns(const role_policies& may) {
  if (!may.may_select("public", "campaign_info")) return {"SELECT '', '' WHERE false"};
  return {"SELECT c.campaign, to_jsonb(c)::text FROM public.campaign_info c ORDER BY c.campaign"};
}

pg_statement visible_campaign(const role_policies& may, const std::string& campaign) {
  if (!may.may_select("public", "campaign_info")) return {"SELECT '', '' WHERE false"};
  return {"SELECT c.campaign, to_jsonb(c)::text FROM public.campaign_info c WHERE c.campaign = $1",
          {campaign}};
}

}  // namespace pgcast
