#include "daemon/ticker_sql.hpp"

#include "daemon/sql_text.hpp"
#include "protocol/sql_time.hpp"

#include <algorithm>
#include <charconv>

namespace pgcast {
namespace {

// The sides of a message. The predicates are those of the partial indexes, word for word, so that
// rows are counted in the index alone.
constexpr std::string_view k_user =
    "COALESCE(c.message ->> 'sender', c.message ->> 'type') IN ('user', 'human')";
constexpr std::string_view k_agent =
    "COALESCE(c.message ->> 'sender', c.message ->> 'type') IN ('agent', 'ai', 'assistant')";
constexpr std::string_view k_other =
    "COALESCE(c.message ->> 'sender', c.message ->> 'type', '')"
    " NOT IN ('user', 'human', 'agent', 'ai', 'assistant')";

constexpr std::string_view k_calls =
    "count(*) AS calls, (sum(extract(epoch FROM c.duration)) FILTER (WHERE isfinite(c.duration))"
    " * 1000000)::bigint AS call_us, max(c.called_at) AS called_at";

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
  for (const auto side : {k_user, k_agent, k_other}) sql += ", " + count_of_side(tables, side);
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

/// The same with one pass over each table.
std::string numbers_by_scan(const role_policies& tables, const std::string& chosen) {
  std::string joins;
  std::string columns = "wanted.*";
  if (is_there(tables, "chat_history")) {
    std::string sums;
    for (const auto& [side, name] : {std::pair{k_user, "of_user"}, std::pair{k_agent, "of_agent"},
                                     std::pair{k_other, "of_other"}}) {
      if (!sums.empty()) sums += ", ";
      sums.append("count(*) FILTER (WHERE ").append(side).append(") AS ").append(name);
    }
    columns += ", messages.of_user, messages.of_agent, messages.of_other";
    joins += join_sums("chat_history", sums, "messages");
  } else {
    columns += ", 0, 0, 0";
  }
  if (is_there(tables, "call_info")) {
    columns += ", calls.calls, calls.call_us, calls.called_at";
    joins += join_sums("call_info", k_calls, "calls");
  } else {
    columns += ", 0, 0, NULL";
  }
  if (is_there(tables, "session_objective_events")) {
    columns += ", changes.occurred_at";
    joins += join_sums("session_objective_events", "max(c.occurred_at) AS occurred_at", "changes");
  } else {
    columns += ", NULL";
  }
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

}  // namespace

pg_statement find_numbers_indexes() {
  return {R"(
    SELECT (SELECT count(*) = 3 FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
            WHERE i.indrelid = to_regclass('public.chat_history') AND i.indisvalid
              AND x.relname IN ('pgcast_user_messages', 'pgcast_agent_messages',
                                'pgcast_other_messages'))
      AND (SELECT count(DISTINCT i.indrelid) = 2 FROM pg_index i
           JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
           WHERE i.indrelid IN (to_regclass('public.call_info'),
                                to_regclass('public.session_objective_events'))
             AND i.indisvalid AND i.indpred IS NULL AND a.attname = 'session_id'))"};
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

ticker::answer session_answer(const pg_rows& rows, int row) {
  ticker::answer out;
  out.session = rows.text(row, 0);
  if (const auto campaign = rows.at(row, 1)) out.campaign = *campaign;
  auto& n = out.numbers;
  n.is_active = rows.text(row, 2) == "t";
  n.objectives = met_objectives(rows.text(row, 3));
  n.user_messages = number(rows, row, 5);
  n.agent_messages = number(rows, row, 6);
  n.messages = n.user_messages + n.agent_messages + number(rows, row, 7);
  n.calls = number(rows, row, 8);
  n.call_us = number(rows, row, 9);
  for (const int column : {4, 10, 11}) {
    n.last_activity_us = std::max(n.last_activity_us, timestamp_us(rows.text(row, column)));
  }
  return out;
}

}  // namespace pgcast
