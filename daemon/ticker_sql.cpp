#include "daemon/ticker_sql.hpp"

#include "daemon/sql_text.hpp"
#include "protocol/json_document.hpp"
#include "protocol/sql_time.hpp"

#include <algorithm>
#include <charconv>

namespace pgcast {
namespace {

constexpr std::array<message_side_rows, 3> k_sides{
    {{"user", "chat_history_pgcast_user",
      "COALESCE(message ->> 'sender', message ->> 'type') IN ('user', 'human')"},
     {"agent", "chat_history_pgcast_agent",
      "COALESCE(message ->> 'sender', message ->> 'type') IN ('agent', 'ai', 'assistant')"},
     {"other", "chat_history_pgcast_other",
      "COALESCE(message ->> 'sender', message ->> 'type', '')"
      " NOT IN ('user', 'human', 'agent', 'ai', 'assistant')"}}};

constexpr std::string_view k_calls =
    "count(*) AS calls, (sum(extract(epoch FROM c.duration)) FILTER (WHERE isfinite(c.duration))"
    " * 1000000)::numeric(60) AS call_us, max(c.called_at) AS called_at";

/// What is said of a session itself.
constexpr std::string_view k_session =
    "s.session_id, s.campaign, s.session_status = 'active' AS is_active, s.objectives,"
    " greatest(s.last_user_msg_at, s.last_agent_msg_at, s.last_outbound_at, s.user_updated,"
    " s.agent_updated) AS touched_at";

bool is_there(const role_policies& tables, std::string_view name) {
  return tables.find("public", name) != nullptr;
}

std::string count_of_side(const role_policies& tables, std::string_view side) {
  if (!is_there(tables, "chat_history")) return "0";
  return "(SELECT count(*) FROM public.chat_history c WHERE c.session_id = s.session_id AND " +
         std::string{side} + ")";
}

/// Sessions `chosen`, each with its own look-ups.
std::string numbers_by_index(const role_policies& tables, const std::string& chosen) {
  std::string sql = "SELECT " + std::string{k_session};
  for (const auto& s : k_sides) sql += ", " + count_of_side(tables, s.predicate);
  const bool has_calls = is_there(tables, "call_info");
  sql += has_calls ? ", calls.calls, calls.call_us, calls.called_at" : ", 0, 0, NULL";
  sql += is_there(tables, "session_objective_events")
             ? ", (SELECT max(c.occurred_at) FROM public.session_objective_events c"
               " WHERE c.session_id = s.session_id)"
             : ", NULL";
  sql += " FROM public.session_info s";
  if (has_calls) {
    sql += " CROSS JOIN LATERAL (SELECT " + std::string{k_calls} +
           " FROM public.call_info c WHERE c.session_id = s.session_id) AS calls";
  }
  return sql + " WHERE " + chosen;
}

/// A join with what the rows of the sessions in `wanted` sum up to.
std::string join_sums(std::string_view table, std::string_view sums, std::string_view as) {
  std::string sql = " LEFT JOIN (SELECT c.session_id::text AS session_id, " + std::string{sums};
  sql.append(" FROM public.")
      .append(table)
      .append(" c WHERE c.session_id IN (SELECT session_id FROM wanted) GROUP BY 1) AS ");
  return sql.append(as).append(" ON ").append(as).append(".session_id = wanted.session_id");
}

/// What the rows of all sessions of each campaign in `wanted` sum up to.
std::string join_totals(std::string_view table, std::string_view sums, std::string_view as) {
  std::string sql = " LEFT JOIN (SELECT w.campaign, " + std::string{sums};
  sql.append(" FROM wanted w JOIN public.")
      .append(table)
      .append(" c ON c.session_id = w.session_id GROUP BY 1) AS ");
  return sql.append(as).append(" ON ").append(as).append(".campaign = sessions.campaign");
}

std::string sides_of_messages() {
  std::string sums;
  for (const auto& s : k_sides) {
    if (!sums.empty()) sums += ", ";
    sums.append("count(*) FILTER (WHERE ").append(s.predicate).append(") AS of_").append(s.side);
  }
  return sums;
}

/// Joins in the tables that exist, by `join(table, sums, as)`, and names their columns.
template <class Join>
std::string join_tables(const role_policies& tables, std::string& columns, Join join) {
  std::string joins;
  const auto add = [&](std::string_view table, const std::string& sums, std::string_view as,
                       std::string_view named, std::string_view missing) {
    const bool has_table = is_there(tables, table);
    columns += has_table ? named : missing;
    if (has_table) joins += join(table, sums, as);
  };
  add("chat_history", sides_of_messages(), "messages",
      ", messages.of_user, messages.of_agent, messages.of_other", ", 0, 0, 0");
  add("call_info", std::string{k_calls}, "calls", ", calls.calls, calls.call_us, calls.called_at",
      ", 0, 0, NULL");
  add("session_objective_events", "max(c.occurred_at) AS occurred_at", "changes",
      ", changes.occurred_at", ", NULL");
  return joins;
}

/// The same with one pass over each table.
std::string numbers_by_scan(const role_policies& tables, const std::string& chosen) {
  std::string columns = "wanted.*";
  const auto joins = join_tables(tables, columns, join_sums);
  return "WITH wanted AS MATERIALIZED (SELECT " + std::string{k_session} +
         " FROM public.session_info s WHERE " + chosen + ") SELECT " + columns + " FROM wanted" +
         joins;
}

std::int64_t number(const pg_rows& rows, int row, int column) {
  const auto text = rows.text(row, column);
  std::int64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

/// The columns behind the first four, which all questions have alike.
void read_sums(const pg_rows& rows, int row, row_sums& into) {
  into.user_messages = number(rows, row, 5);
  into.agent_messages = number(rows, row, 6);
  into.messages = into.user_messages + into.agent_messages + number(rows, row, 7);
  into.calls = number(rows, row, 8);
  into.call_us = wide_us_of(rows.text(row, 9));
  for (const int column : {4, 10, 11}) {
    into.last_activity_us = std::max(into.last_activity_us, timestamp_us(rows.text(row, column)));
  }
}

}  // namespace

const std::array<message_side_rows, 3>& message_sides() { return k_sides; }

pg_statement choose_numbers_plan() {
  std::string names = "{";
  for (const auto& s : k_sides) append_element(names, s.index);
  return {R"(
    SELECT by_index,
      set_config('jit', CASE WHEN by_index THEN 'off' ELSE current_setting('jit') END, true),
      set_config('enable_bitmapscan', CASE WHEN by_index THEN 'off'
                 ELSE current_setting('enable_bitmapscan') END, true)
    FROM (SELECT
      (SELECT count(*) = 3 FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
       WHERE i.indrelid = to_regclass('public.chat_history') AND i.indisvalid
         AND x.relname = ANY ($1::text[]))
      AND (SELECT count(DISTINCT i.indrelid) = 2 FROM pg_index i
           JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
           WHERE i.indrelid IN (to_regclass('public.call_info'),
                                to_regclass('public.session_objective_events'))
             AND i.indisvalid AND i.indpred IS NULL AND a.attname = 'session_id')
      AS by_index) AS found)",
          {names + '}'}};
}

pg_statement campaign_numbers(const role_policies& tables, const std::string& campaign,
                              numbers_plan plan, std::size_t limit) {
  const std::string chosen = "s.campaign = $1 LIMIT " + std::to_string(limit);
  return {plan == numbers_plan::by_index ? numbers_by_index(tables, chosen)
                                         : numbers_by_scan(tables, chosen),
          {campaign}};
}

pg_statement session_numbers_of(const role_policies& tables,
                                const std::vector<std::string>& sessions) {
  return {numbers_by_scan(tables, "s.session_id = ANY ($1::text[])"), {text_array(sessions)}};
}

pg_statement totals_of_campaigns(const role_policies& tables,
                                 const std::vector<std::string>& campaigns) {
  std::string columns =
      "sessions.campaign, sessions.sessions, sessions.active, sessions.objectives,"
      " sessions.touched_at";
  const auto joins = join_tables(tables, columns, join_totals);
  return {"WITH wanted AS MATERIALIZED (SELECT " + std::string{k_session} +
              " FROM public.session_info s WHERE s.campaign = ANY ($1::text[])) SELECT " + columns +
              " FROM (SELECT campaign, count(*) AS sessions, count(*) FILTER (WHERE is_active) AS"
              " active, max(touched_at) AS touched_at, jsonb_agg(objectives) FILTER (WHERE"
              " objectives IS NOT NULL) AS objectives FROM wanted GROUP BY 1) AS sessions" +
              joins,
          {text_array(campaigns)}};
}

named_totals read_totals(const pg_rows& rows, int row) {
  named_totals out;
  out.campaign = rows.text(row, 0);
  auto& n = out.totals;
  n.sessions = number(rows, row, 1);
  n.active = number(rows, row, 2);
  if (const auto all = rows.at(row, 3)) {
    json_document document(*all);
    for_each_element(document.root(), [&](json_value objectives) {
      for (const auto& name : met_objectives(objectives)) ++out.objectives[name];
    });
  }
  read_sums(rows, row, n);
  return out;
}

ticker::answer session_answer(const pg_rows& rows, int row) {
  ticker::answer out;
  out.session = rows.text(row, 0);
  if (const auto campaign = rows.at(row, 1)) out.campaign = *campaign;
  auto& n = out.numbers;
  n.is_active = rows.text(row, 2) == "t";
  n.objectives = met_objectives(rows.text(row, 3));
  read_sums(rows, row, n);
  return out;
}

}  // namespace pgcast
