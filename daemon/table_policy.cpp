#include "daemon/table_policy.hpp"

#include "daemon/source_session.hpp"
#include "daemon/sql_text.hpp"

namespace pgcast {
namespace asio = boost::asio;
namespace {

/// One row per table: grants, whether row-level security binds the role, its SELECT policies ORed
/// (permissive) and ANDed (restrictive), the columns that they name by pg_depend, and whether a
/// decision may be kept: pg_depend lists no column for a whole-row reference, and no built-in
/// function, so both are read from the expression itself. So is whether it can tell apart only who
/// differs in sub, role or email; what another table's own policies read is not looked at.
constexpr std::string_view k_policies = R"sql(
WITH relayed AS (
  SELECT c.oid, n.nspname, c.relname, c.relowner, c.relrowsecurity, c.relforcerowsecurity
  FROM (SELECT * FROM unnest($2::text[], $3::text[]) AS d(schema_name, table_name)
        UNION SELECT r.schema_name, r.table_name FROM pgcast.relation r) AS t
  JOIN pg_namespace n ON n.nspname = t.schema_name
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.table_name
), viewer AS (
  SELECT r.oid, r.rolsuper OR r.rolbypassrls AS bypasses FROM pg_roles r
  WHERE r.rolname = coalesce(nullif($1, ''), current_user)
), identity AS (  -- functions of Supabase's that read no other claim, whoever wrote them
  SELECT f.oid, f.proname FROM pg_proc f
  JOIN pg_namespace n ON n.oid = f.pronamespace AND n.nspname = 'auth'
  JOIN pg_language l ON l.oid = f.prolang AND l.lanname = 'sql'
  WHERE f.proname IN ('uid', 'role', 'email', 'jwt') AND f.pronargs = 0
    AND f.prosqlbody IS NULL AND f.prosrc !~ '[$\\]'
    AND NOT EXISTS (SELECT FROM regexp_matches(f.prosrc, '''([^'']*)''', 'g') AS said(text)
                    WHERE said.text[1] NOT IN ('', 'sub', 'role', 'email', 'request.jwt.claims',
                                               'request.jwt.claim', 'request.jwt.claim.sub',
                                               'request.jwt.claim.role',
                                               'request.jwt.claim.email'))
), policy AS (
  SELECT p.oid, p.polrelid, p.polpermissive, p.polqual,
         pg_get_expr(p.polqual, p.polrelid) AS expression
  FROM pg_policy p, viewer v
  WHERE p.polrelid IN (SELECT oid FROM relayed) AND p.polcmd IN ('r', '*')
    AND p.polqual IS NOT NULL  -- with WITH CHECK alone it lets nobody see a row
    AND EXISTS (SELECT FROM unnest(p.polroles) AS member(oid)
                WHERE member.oid = 0 OR pg_has_role(v.oid, member.oid, 'USAGE'))
)
SELECT t.nspname, t.relname, t.oid::regclass::text,
  NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum > 0
              AND NOT a.attisdropped
              AND NOT has_column_privilege(v.oid, t.oid, a.attnum, 'SELECT'))
    AND has_schema_privilege(v.oid, t.nspname, 'USAGE'),
  v.bypasses OR NOT t.relrowsecurity
    OR (pg_has_role(v.oid, t.relowner, 'USAGE') AND NOT t.relforcerowsecurity),
  coalesce((SELECT '(' || string_agg('(' || p.expression || ')', ' OR ') || ')'
            FROM policy p WHERE p.polrelid = t.oid AND p.polpermissive), 'false')
    || coalesce((SELECT string_agg(' AND (' || p.expression || ')', '')
                 FROM policy p WHERE p.polrelid = t.oid AND NOT p.polpermissive), ''),
  coalesce((SELECT string_agg(DISTINCT a.attname, chr(10))
            FROM policy p
            JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
                            AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
                            AND d.refobjsubid > 0
            JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
            WHERE p.polrelid = t.oid), ''),
  NOT EXISTS (SELECT FROM policy p WHERE p.polrelid = t.oid
              AND (p.polqual::text ~ ':varattno 0 '
                   OR EXISTS (SELECT FROM regexp_matches(p.polqual::text,
                                                         ':(?:op)?funcid (\d+)', 'g') AS used(id)
                              JOIN pg_proc f ON f.oid = used.id[1]::oid
                              WHERE f.provolatile = 'v'))),
  EXISTS (SELECT FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
          WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND y.typtype = 'd'),
  NOT EXISTS (SELECT FROM policy p WHERE p.polrelid = t.oid
              AND (p.polqual::text ~ '\{(AGGREF|WINDOWFUNC|ROWCOMPARE|COERCETODOMAIN) '
                   OR EXISTS (SELECT FROM regexp_matches(p.polqual::text,
                                                         ':(?:op)?funcid (\d+)', 'g') AS used(id)
                              JOIN pg_proc f ON f.oid = used.id[1]::oid
                              JOIN pg_namespace n ON n.oid = f.pronamespace
                              WHERE (n.nspname <> 'pg_catalog' OR f.provolatile <> 'i')
                                AND (f.proname = 'jwt'
                                     OR f.oid NOT IN (SELECT i.oid FROM identity i)
                                     OR (to_regproc('auth.jwt') IS NOT NULL
                                         AND NOT EXISTS (SELECT FROM identity i
                                                         WHERE i.proname = 'jwt'))))
                   OR EXISTS (SELECT FROM pg_depend d JOIN pg_class c ON c.oid = d.refobjid
                              WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid
                                AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> t.oid
                                AND (c.relkind NOT IN ('r', 'p') OR c.relrowsecurity))))
FROM relayed t, viewer v
ORDER BY 1, 2)sql";

/// One row per column of those tables: as filters compare it (a domain as the type that it is made
/// of, an enum with its labels) and as clients are told.
constexpr std::string_view k_columns = R"sql(
WITH RECURSIVE viewer AS (
  SELECT r.oid FROM pg_roles r WHERE r.rolname = coalesce(nullif($1, ''), current_user)
), relayed AS (
  SELECT c.oid, n.oid AS schema_oid, n.nspname, c.relname, bool_or(t.is_relayed) AS is_relayed
  FROM (SELECT d.*, false FROM unnest($2::text[], $3::text[]) AS d(schema_name, table_name)
        UNION SELECT r.schema_name, r.table_name, true FROM pgcast.relation r)
       AS t(schema_name, table_name, is_relayed)
  JOIN pg_namespace n ON n.nspname = t.schema_name
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.table_name
  GROUP BY c.oid, n.oid, n.nspname, c.relname
), typed AS (
  SELECT a.attrelid, a.attnum, a.attname, t.oid AS type_oid, t.typname, t.typtype, t.typbasetype
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid IN (SELECT oid FROM relayed) AND a.attnum > 0 AND NOT a.attisdropped
), based AS (
  SELECT attrelid, attnum, type_oid, typtype, typbasetype FROM typed
  UNION ALL
  SELECT b.attrelid, b.attnum, t.oid, t.typtype, t.typbasetype
  FROM based b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
)
SELECT r.nspname, r.relname, r.is_relayed,
  has_schema_privilege(v.oid, r.schema_oid, 'USAGE')
    AND has_table_privilege(v.oid, r.oid, 'SELECT'),
  c.attname, base.typname, c.typname,
  has_schema_privilege(v.oid, r.schema_oid, 'USAGE')
    AND has_column_privilege(v.oid, r.oid, c.attnum, 'SELECT'),
  EXISTS (SELECT FROM pg_index i WHERE i.indrelid = r.oid AND i.indisprimary
          AND c.attnum = ANY(i.indkey)),
  coalesce((SELECT string_agg(e.enumlabel, chr(10) ORDER BY e.enumsortorder) FROM pg_enum e
            WHERE e.enumtypid = base.oid
               OR (base.typcategory = 'A' AND e.enumtypid = base.typelem)),
           '')
FROM relayed r
JOIN typed c ON c.attrelid = r.oid
JOIN based b ON b.attrelid = c.attrelid AND b.attnum = c.attnum AND b.typtype <> 'd'
JOIN pg_type base ON base.oid = b.type_oid
CROSS JOIN viewer v
ORDER BY r.nspname, r.relname, c.attnum)sql";

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const auto end = text.find('\n');
    out.emplace_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return out;
}

table_shapes to_shapes(const pg_rows& rows) {
  table_shapes out;
  for (int i = 0; i < rows.size(); ++i) {
    const bool is_same = !out.tables.empty() && out.tables.back().schema == rows.text(i, 0) &&
                         out.tables.back().name == rows.text(i, 1);
    if (!is_same) {
      table_shape shape;
      shape.schema = rows.text(i, 0);
      shape.name = rows.text(i, 1);
      shape.is_relayed = rows.text(i, 2) == "t";
      shape.has_table_grant = rows.text(i, 3) == "t";
      out.tables.push_back(std::move(shape));
    }
    shape_column c;
    c.of.name = rows.text(i, 4);
    c.of.type = rows.text(i, 5);
    c.of.labels = split_lines(rows.text(i, 9));
    c.type_name = rows.text(i, 6);
    c.is_selectable = rows.text(i, 7) == "t";
    c.is_key = rows.text(i, 8) == "t";
    out.tables.back().columns.push_back(std::move(c));
  }
  return out;
}

}  // namespace

const table_policy* role_policies::find(std::string_view schema, std::string_view name) const {
  for (const auto& t : tables) {
    if (t.name == name && t.schema == schema) return &t;
  }
  return nullptr;
}

bool role_policies::may_select(std::string_view schema, std::string_view name) const {
  const auto* policy = find(schema, name);
  return policy != nullptr && policy->may_select;
}

bool role_policies::sees_all(std::string_view schema, std::string_view name) const {
  const auto* table = find(schema, name);
  return table != nullptr && table->may_select && table->sees_every_row;
}

asio::awaitable<result<role_policies>> read_policies(pg_connection& pg, std::string role,
                                                     const relay_description& description) {
  std::vector<std::string> schemas;
  std::vector<std::string> names;
  for (const auto& t : description.tables) {
    schemas.push_back(t.schema);
    names.push_back(t.name);
  }
  std::vector<pg_statement> statements;
  statements.emplace_back("BEGIN READ ONLY");
  statements.emplace_back("SELECT set_config('search_path', '', true)");
  statements.emplace_back(
      "SELECT FROM pg_roles WHERE rolname = coalesce(nullif($1, ''), current_user)",
      std::vector<std::optional<std::string>>{role});
  statements.emplace_back(
      std::string{k_policies},
      std::vector<std::optional<std::string>>{role, text_array(schemas), text_array(names)});
  statements.emplace_back(
      std::string{k_columns},
      std::vector<std::optional<std::string>>{role, text_array(schemas), text_array(names)});
  statements.emplace_back("COMMIT");
  auto rows = co_await pg.run(std::move(statements), k_answer_timeout);
  if (!rows) co_return rows.error();
  if ((*rows)[2].size() == 0) {
    co_return error{errc::query_failed, "role \"" + role + "\" does not exist in the database"};
  }
  role_policies out;
  out.shapes = std::make_shared<const table_shapes>(to_shapes((*rows)[4]));
  const auto& found = (*rows)[3];
  for (int i = 0; i < found.size(); ++i) {
    table_policy p;
    p.schema = found.text(i, 0);
    p.name = found.text(i, 1);
    p.relation = found.text(i, 2);
    p.may_select = found.text(i, 3) == "t";
    const auto* shape = out.shapes->find(p.schema, p.name);
    p.may_select_some = shape != nullptr && shape->is_selectable();
    p.sees_every_row = found.text(i, 4) == "t";
    p.expression = found.text(i, 5);
    p.columns = split_lines(found.text(i, 6));
    p.is_cacheable = found.text(i, 7) == "t";
    p.needs_whole_record = found.text(i, 8) == "t";
    p.reads_identity_only = found.text(i, 9) == "t";
    out.tables.push_back(std::move(p));
  }
  co_return out;
}

std::string decision_sql(const table_policy& policy) {
  return "SELECT coalesce((SELECT (" + policy.expression +
         ") FROM jsonb_populate_record(NULL::" + policy.relation + ", pgcast_row.record) AS " +
         quote_identifier(policy.name) +
         "), false) FROM unnest($1::jsonb[]) WITH ORDINALITY AS pgcast_row(record, ordinal)"
         " ORDER BY pgcast_row.ordinal";
}

void begin_decisions(std::vector<pg_statement>& statements) {
  statements.emplace_back("BEGIN READ ONLY");
  statements.emplace_back("SET LOCAL statement_timeout = " +
                          std::to_string(k_statement_timeout.count()));
}

bool may_pass(const error& e) {
  for (const std::string_view state : {"40", "53", "55P03", "57P", "58"}) {
    if (e.detail.starts_with(state)) return true;
  }
  return false;
}

std::vector<pg_statement> become(const std::string& role, const std::string& claims_json) {
  std::vector<pg_statement> out;
  if (role.empty()) return out;
  out.emplace_back(
      "SELECT set_config('request.jwt.claims', $2, true),"
      " set_config('request.jwt.claim.sub', coalesce($2::jsonb ->> 'sub', ''), true),"
      " set_config('request.jwt.claim.role', $1, true), set_config('role', $1, true)",
      std::vector<std::optional<std::string>>{role, claims_json});
  return out;
}

}  // namespace pgcast
