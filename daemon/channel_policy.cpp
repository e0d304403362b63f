#include "daemon/channel_policy.hpp"

#include "daemon/source_session.hpp"

#include <spdlog/spdlog.h>

#include <array>
#include <vector>

namespace pgcast {
namespace asio = boost::asio;
namespace {

/// Whether the table is there; then for reading and for writing whether row-level security leaves
/// the role alone, whether it has the grants at all, and its policies as one expression. An INSERT
/// is checked by WITH CHECK, or by USING of a policy for all commands without one.
constexpr std::string_view k_table = R"sql(
SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'realtime' AND c.relname = 'messages')sql";

constexpr std::string_view k_policies = R"sql(
SELECT bool_or(v.rolsuper OR v.rolbypassrls OR NOT m.relrowsecurity
               OR (pg_has_role(v.oid, m.relowner, 'USAGE') AND NOT m.relforcerowsecurity)),
  bool_and(v.rolsuper OR v.rolbypassrls
           OR (has_schema_privilege(v.oid, m.relnamespace, 'USAGE')
               AND has_table_privilege(v.oid, m.oid, asked.privilege))),
  coalesce('(' || string_agg('(' || p.expression || ')', ' OR ') FILTER (WHERE p.polpermissive)
           || ')', 'false')
    || coalesce(string_agg(' AND (' || p.expression || ')', '') FILTER (WHERE NOT p.polpermissive),
                '')
FROM pg_class m
JOIN pg_namespace n ON n.oid = m.relnamespace AND n.nspname = 'realtime'
JOIN pg_roles v ON v.rolname = $1
CROSS JOIN (VALUES (1, 'r', 'SELECT'), (2, 'a', 'INSERT')) AS asked(ordinal, command, privilege)
LEFT JOIN LATERAL (
  SELECT p.polpermissive,
    pg_get_expr(CASE asked.command WHEN 'r' THEN p.polqual
                ELSE coalesce(p.polwithcheck, p.polqual) END, p.polrelid) AS expression
  FROM pg_policy p
  WHERE p.polrelid = m.oid AND p.polcmd::text IN (asked.command, '*')
    AND EXISTS (SELECT FROM unnest(p.polroles) AS member(oid)
                WHERE member.oid = 0 OR pg_has_role(v.oid, member.oid, 'USAGE'))
) AS p ON p.expression IS NOT NULL
WHERE m.relname = 'messages'
GROUP BY asked.ordinal
ORDER BY asked.ordinal)sql";

/// One question: whether the expression holds for a row of topic $1 and that extension.
std::string probe(const std::string& expression, std::string_view extension) {
  if (expression == "true" || expression == "false") return expression;
  std::string sql = "coalesce((SELECT (" + expression + ") FROM jsonb_populate_record(";
  sql += "NULL::realtime.messages, jsonb_build_object('topic', $1::text, 'extension', '";
  sql += extension;
  sql += "', 'private', true, 'inserted_at', now())) AS messages), false)";
  return sql;
}

std::vector<pg_statement> begin_as(const viewer_class& viewer, const std::string& topic) {
  std::vector<pg_statement> out;
  begin_decisions(out);
  out.emplace_back("SELECT set_config('realtime.topic', $1, true)",
                   std::vector<std::optional<std::string>>{topic});
  for (auto& s : become(viewer.role(), viewer.claims())) out.push_back(std::move(s));
  return out;
}

/// Answers the probes in one statement.
asio::awaitable<result<pg_rows>> ask(pg_connection& pg, std::shared_ptr<viewer_class> viewer,
                                     std::string topic, std::string probes) {
  auto statements = begin_as(*viewer, topic);
  const std::size_t answer = statements.size();
  // The topic is named in any case: an unused parameter would have no type.
  statements.emplace_back("SELECT " + probes + ", $1::text",
                          std::vector<std::optional<std::string>>{topic});
  statements.emplace_back("COMMIT");
  auto rows = co_await pg.run(std::move(statements), k_answer_timeout);
  if (!rows) co_return rows.error();
  co_return std::move((*rows)[answer]);
}

}  // namespace

asio::awaitable<result<channel_policy::cached_policy>> channel_policy::policy_for(
    pg_connection& pg, std::string role) {
  if (const auto found = policies_.find(role);
      found != policies_.end() && clock::now() - found->second.read_at < cache_) {
    co_return found->second;
  }
  std::vector<pg_statement> statements;
  statements.emplace_back("BEGIN READ ONLY");
  statements.emplace_back("SELECT set_config('search_path', '', true)");
  statements.emplace_back(std::string{k_table});
  statements.emplace_back(std::string{k_policies}, std::vector<std::optional<std::string>>{role});
  statements.emplace_back("COMMIT");
  auto rows = co_await pg.run(std::move(statements), k_answer_timeout);
  if (!rows) co_return rows.error();
  if ((*rows)[2].size() == 0) {
    co_return error{errc::not_installed,
                    "private channels need the table realtime.messages, whose policies say who may "
                    "join: run pgcast install"};
  }
  const auto& found = (*rows)[3];
  const auto expression = [&](int row) -> std::string {
    if (row >= found.size() || found.text(row, 1) != "t") return "false";
    return found.text(row, 0) == "t" ? "true" : std::string{found.text(row, 2)};
  };
  auto& known = policies_[role];
  known.policy = {expression(0), expression(1)};
  known.read_at = clock::now();
  co_return known;
}

asio::awaitable<result<channel_rights>> channel_policy::rights_of(
    std::string topic, std::shared_ptr<viewer_class> viewer) {
  if (viewer->sees_everything()) co_return channel_rights::all();
  if (const auto* rights = rights_.find(*viewer, topic)) co_return *rights;
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  if (const auto* rights = rights_.find(*viewer, topic)) {
    co_return *rights;  // somebody else has asked meanwhile
  }
  auto policy = co_await policy_for(leased->pg(), viewer->role());
  if (!policy) co_return policy.error();
  const auto& [read, write] = policy->policy;
  const std::array probes{probe(read, "broadcast"), probe(write, "broadcast"),
                          probe(read, "presence"), probe(write, "presence")};
  channel_rights rights;
  rights.decided_at = policy->read_at;  // an answer is no younger than the policy that gave it
  const std::array answers{&rights.read_broadcast, &rights.write_broadcast, &rights.read_presence,
                           &rights.write_presence};
  std::string all = probes[0];
  for (std::size_t i = 1; i < probes.size(); ++i) all += ", " + probes[i];
  auto rows = co_await ask(leased->pg(), viewer, topic, std::move(all));
  for (std::size_t i = 0; i < probes.size(); ++i) {
    if (rows) {
      *answers[i] = rows->text(0, static_cast<int>(i)) == "t";
      continue;
    }
    if (rows.error().code != errc::query_failed || may_pass(rows.error())) co_return rows.error();
    auto one = co_await ask(leased->pg(), viewer, topic, probes[i]);  // the others may hold
    if (!one && (one.error().code != errc::query_failed || may_pass(one.error()))) {
      co_return one.error();
    }
    if (!one) {
      spdlog::warn("a policy of realtime.messages fails for role {} on topic {}: {}",
                   viewer->role(), topic, one.error().detail);
    }
    *answers[i] = one && one->text(0, 0) == "t";
  }
  rights_.keep(viewer, topic, rights);
  co_return rights;
}

}  // namespace pgcast
