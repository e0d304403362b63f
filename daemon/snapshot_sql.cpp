#include "daemon/snapshot_sql.hpp"

namespace pgcast {
namespace {

/// The body of a session's snapshot; `want.id` names the session. All values come from to_jsonb,
/// as in events.
class session_body {
 public:
  session_body(const role_policies& may, const join_request::snapshot_sizes& sizes)
      : may_(may), sizes_(sizes) {}

  std::string text() const {
    return "'\"session\":' || coalesce(to_jsonb(s)::text, 'null')"
           " || ',\"phone_number\":' || " +
           phone_number() + " || ',\"campaign\":' || " + campaign() +
           " || ',\"messages\":' || messages.list || ',\"calls\":' || calls.list"
           " || ',\"objectives\":' || " +
           objectives() +
           " || ',\"more\":{\"messages\":' || messages.more::text"
           " || ',\"calls\":' || calls.more::text || '}'";
  }

  /// Joins that text() reads from.
  std::string joins() const {
    return " LEFT JOIN public.session_info s ON s.session_id = want.id"
           " CROSS JOIN LATERAL (" +
           newest("public", "chat_history", "row.id DESC", "ordinal DESC", sizes_.messages) +
           ") AS messages CROSS JOIN LATERAL (" +
           newest("public", "call_info", "row.called_at DESC NULLS LAST, row.call_id", "ordinal",
                  sizes_.calls) +
           ") AS calls";
  }

 private:
  std::string phone_number() const {
    if (!may_.may_select("public", "numbers")) return "'null'";
    return "coalesce((SELECT to_jsonb(n.phone_number)::text FROM public.numbers n"
           " WHERE n.session_id = want.id ORDER BY n.phone_number LIMIT 1), 'null')";
  }
  std::string campaign() const {
    if (!may_.may_select("public", "campaign_info")) return "'null'";
    return "coalesce((SELECT to_jsonb(c)::text FROM public.campaign_info c"
           " WHERE c.campaign = s.campaign), 'null')";
  }
  std::string objectives() const {
    if (!may_.may_select("public", "session_objective_events")) return "'[]'";
    return "coalesce((SELECT '[' || string_agg(to_jsonb(o)::text, ','"
           " ORDER BY o.occurred_at DESC NULLS LAST, o.id DESC) || ']'"
           " FROM public.session_objective_events o WHERE o.session_id = want.id), '[]')";
  }
  /// The first `count` rows by `order`, listed by `listed`, and whether there are more.
  std::string newest(const std::string& schema, const std::string& table, const std::string& order,
                     const std::string& listed, unsigned count) const {
    if (!may_.may_select(schema, table)) return "SELECT '[]' AS list, false AS more";
    const std::string n = std::to_string(count);
    return "SELECT '[' || coalesce(string_agg(json, ',' ORDER BY " + listed +
           ") FILTER (WHERE ordinal <= " + n +
           "), '') || ']' AS list,"
           " coalesce(max(ordinal) > " +
           n +
           ", false) AS more"
           " FROM (SELECT to_jsonb(row)::text AS json, row_number() OVER (ORDER BY " +
           order + ") AS ordinal FROM " + schema + "." + table +
           " AS row"
           " WHERE row.session_id = want.id ORDER BY " +
           order + " LIMIT " + std::to_string(count + 1) + ") AS newest";
  }

  const role_policies& may_;
  const join_request::snapshot_sizes& sizes_;
};

std::string sees_all_sessions(const role_policies& may) {
  return may.sees_all("public", "session_info") ? "true" : "false";
}

bool may_see_sessions(const role_policies& may) { return may.may_select("public", "session_info"); }

const pg_statement& nothing_allowed() {
  static const pg_statement none{"SELECT false, '', NULL"};
  return none;
}

}  // namespace

pg_statement session_snapshot(const role_policies& may, const std::string& session,
                              const join_request::snapshot_sizes& sizes) {
  if (!may_see_sessions(may)) return nothing_allowed();
  const session_body body(may, sizes);
  return {"SELECT s.session_id IS NOT NULL OR " + sees_all_sessions(may) + ", " + body.text() +
              ", want.id FROM (SELECT $1::text AS id) AS want" + body.joins(),
          {session}};
}

std::string carriers_of_number() {
  return "carriers AS (SELECT c.session_id, c.created_at FROM public.session_info c"
         " WHERE c.session_id = ANY($1::text[]) AND EXISTS (SELECT FROM public.numbers n"
         " WHERE n.session_id = c.session_id AND n.phone_number = ANY($2::text[])))";
}

std::string followed_carrier() {
  return "SELECT session_id FROM carriers ORDER BY created_at DESC NULLS LAST, session_id LIMIT 1";
}

pg_statement find_number(const std::string& canonical) {
  return {
      "SELECT coalesce(array_agg(DISTINCT session_id::text), '{}'),"
      " coalesce(array_agg(DISTINCT phone_number), '{}')"
      " FROM public.numbers WHERE pgcast.normalize_phone(phone_number) = $1",
      {canonical}};
}

pg_statement phone_snapshot(const role_policies& may, const std::string& session_ids,
                            const std::string& numbers, const join_request::snapshot_sizes& sizes) {
  if (!may_see_sessions(may) || !may.may_select("public", "numbers")) return nothing_allowed();
  const session_body body(may, sizes);
  return {"WITH " + carriers_of_number() + " SELECT want.id IS NOT NULL OR " +
              sees_all_sessions(may) + ", " + body.text() +
              " || ',\"sessions\":' || coalesce((SELECT jsonb_agg(session_id ORDER BY"
              " created_at DESC NULLS LAST, session_id)::text FROM carriers), '[]'), want.id"
              " FROM (SELECT (" +
              followed_carrier() + ") AS id) AS want" + body.joins(),
          {session_ids, numbers}};
}

pg_statement campaign_snapshot(const role_policies& may, const std::string& campaign,
                               const join_request::snapshot_sizes& sizes) {
  if (!may_see_sessions(may)) return nothing_allowed();
  const std::string info = may.may_select("public", "campaign_info")
                               ? "(SELECT to_jsonb(c)::text FROM public.campaign_info c"
                                 " WHERE c.campaign = $1)"
                               : "NULL::text";
  const std::string n = std::to_string(sizes.sessions);
  return {"SELECT info.json IS NOT NULL OR sessions.any OR " + sees_all_sessions(may) +
              ","
              " '\"campaign\":' || coalesce(info.json, 'null') || ',\"sessions\":' || sessions.list"
              " || ',\"more\":' || sessions.more::text, NULL"
              " FROM (SELECT " +
              info +
              " AS json) AS info CROSS JOIN"
              " (SELECT '[' || coalesce(string_agg(json, ',' ORDER BY ordinal)"
              " FILTER (WHERE ordinal <= " +
              n +
              "), '') || ']' AS list,"
              " coalesce(max(ordinal) > " +
              n +
              ", false) AS more, count(*) > 0 AS any"
              " FROM (SELECT to_jsonb(s)::text AS json, row_number() OVER"
              " (ORDER BY s.created_at DESC NULLS LAST, s.session_id) AS ordinal"
              " FROM public.session_info s WHERE s.campaign = $1"
              " ORDER BY s.created_at DESC NULLS LAST, s.session_id"
              " LIMIT " +
              std::to_string(sizes.sessions + 1) + ") AS newest) AS sessions",
          {campaign}};
}

}  // namespace pgcast
