#include "daemon/config_text.hpp"
#include "daemon/findings.hpp"
#include "daemon/ticker_sql.hpp"

#include <algorithm>
#include <cstdlib>

namespace pgcast {
namespace {

/// What deploy/sql installs.
constexpr auto k_schema_version = "3";
constexpr auto k_doorbell = "8099551725049085953";  ///< advisory key of sleeping daemons

/// False when the rest cannot be looked at.
bool check_installed(pg_session& session, findings& found) {
  const auto exists = session.query_value(
      "SELECT pg_catalog.to_regclass('pgcast.relation') IS NOT NULL "
      "AND pg_catalog.to_regclass('pgcast.meta') IS NOT NULL");
  if (!exists || *exists != "t") {
    const auto is_forbidden = !exists && session.sqlstate() == "42501";
    found.fail(is_forbidden
                   ? "installation: " + session.user() +
                         " may not use the schema pgcast; connect as the role that installed it"
                   : "installation: not installed in database " + session.database() +
                         "; run pgcast install");
    return false;
  }
  const auto version = session.query_value("SELECT schema_version FROM pgcast.meta");
  if (!version) {
    found.fail("installation: " + version.error().detail +
               "; connect as the role that installed pgcast");
    return false;
  }
  if (*version != k_schema_version) {
    found.fail("installation: version " + *version + " is there and this pgcast wants " +
               k_schema_version + "; run pgcast install of the newer pgcast");
    return false;
  }
  found.ok("installation: version " + *version);
  return true;
}

void check_privileges(pg_session& session, findings& found) {
  const auto rows = found.ask(session, "privileges", R"(
    SELECT pg_catalog.has_table_privilege('pgcast.outbox', 'SELECT'),
           pg_catalog.has_function_privilege('pgcast.attach()', 'EXECUTE'),
           pg_catalog.has_function_privilege('pgcast.maintain(interval)', 'EXECUTE'))");
  if (rows.empty()) return;
  const bool is_good =
      std::all_of(rows[0].begin(), rows[0].end(), [](const auto& value) { return value == "t"; });
  if (is_good)
    found.ok("privileges: " + session.user() + " may read the outbox");
  else
    found.fail("privileges: " + session.user() +
               " may not read the outbox; connect as the role that installed pgcast");
}

void check_triggers(pg_session& session, findings& found) {
  const auto rows = found.ask(session, "triggers", R"(
    SELECT pg_catalog.format('%I.%I', r.schema_name, r.table_name), c.oid IS NOT NULL,
      (SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger t
       WHERE t.tgrelid = c.oid AND t.tgfoid IN (f.careful, f.light)
         AND t.tgname IN ('000_pgcast', '000_pgcast_delete', '000_pgcast_update',
                          '000_pgcast_truncate')) = 4,
      (SELECT pg_catalog.string_agg(t.tgname, ', ') FROM pg_catalog.pg_trigger t
       WHERE t.tgrelid = c.oid AND t.tgfoid IN (f.careful, f.light)
         AND t.tgenabled IN ('D', 'R'))
    FROM (SELECT pg_catalog.to_regprocedure('pgcast.capture()') AS careful,
                 pg_catalog.to_regprocedure('pgcast.capture_insert()') AS light) f
    CROSS JOIN pgcast.relation r
    LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = r.schema_name
    LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = r.table_name
    ORDER BY 1)");
  if (rows.empty())
    found.fail("triggers: no table is relayed; create the tables and run pgcast install");
  for (const auto& r : rows) {
    const auto what = "triggers on " + text(r, 0) + ": ";
    if (text(r, 1) != "t")
      found.fail(what + "the table is gone; run pgcast install when it is back");
    else if (text(r, 2) != "t")
      found.fail(what + "missing; run pgcast install");
    else if (r[3])
      found.fail(what + *r[3] + " disabled; run ALTER TABLE " + text(r, 0) + " ENABLE TRIGGER ...");
    else
      found.ok(what + "there and enabled");
  }
}

/// Broadcasts from the database: realtime.messages and our trigger on it.
void check_realtime(pg_session& session, findings& found) {
  const auto rows = found.ask(session, "broadcasts", R"(
    SELECT n.oid IS NOT NULL, c.oid IS NOT NULL, t.tgenabled, pg_catalog.pg_get_userbyid(c.relowner)
    FROM (SELECT) one
    LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'realtime'
    LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = 'messages'
    LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid
      AND t.tgfoid = pg_catalog.to_regprocedure('pgcast.capture_broadcast()'))");
  if (rows.empty()) return;
  const auto& r = rows[0];
  const std::string missing = "broadcasts: none from the database: ";
  if (text(r, 0) != "t") {
    found.warn(missing + "the schema realtime is gone; run pgcast install");
  } else if (text(r, 1) != "t") {
    found.warn(missing + "the schema realtime is somebody else's and has no table messages");
  } else if (!r[2]) {
    found.warn(missing + "no trigger on realtime.messages; run pgcast install, if need be after " +
               "GRANT TRIGGER ON ALL TABLES IN SCHEMA realtime TO " + session.user() + " by " +
               text(r, 3));
  } else if (text(r, 2) == "D" || text(r, 2) == "R") {
    found.fail("broadcasts: the trigger on realtime.messages is disabled; enable it");
  } else {
    found.ok("broadcasts: the trigger on realtime.messages is there and enabled");
  }
}

void check_row_security(pg_session& session, const config& c, findings& found) {
  if (c.mode == auth_mode::off) return;
  const auto rows = found.ask(session, "row-level security", R"(
    SELECT pg_catalog.format('%I.%I', r.schema_name, r.table_name), a.rolname
    FROM pgcast.relation r
    JOIN pg_catalog.pg_namespace n ON n.nspname = r.schema_name
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = r.table_name
    JOIN pg_catalog.pg_roles a ON a.rolname = 'anon' AND a.rolname = ANY ($1::text[])
    WHERE NOT c.relrowsecurity AND pg_catalog.has_schema_privilege(a.oid, n.oid, 'USAGE')
      AND pg_catalog.has_any_column_privilege(a.oid, c.oid, 'SELECT')
    ORDER BY 1)",
                              {"{" + format_list(c.tokens.roles) + "}"});
  for (const auto& r : rows) {
    found.warn("row-level security: " + text(r, 0) + " has none and " + text(r, 1) +
               " may read it, so everybody with a key can; run ALTER TABLE " + text(r, 0) +
               " ENABLE ROW LEVEL SECURITY");
  }
}

void check_outbox(pg_session& session, const config& c, findings& found) {
  const auto marker = session.query_value("SELECT pg_catalog.count(*) FROM pgcast.marker");
  if (marker && *marker == "0") {
    found.warn(
        "marker: empty, the server has recovered from a crash since pgcast was connected "
        "last; the daemon sees to it when it connects");
  }
  const auto rows = found.ask(session, "outbox", R"(
    SELECT (SELECT pg_catalog.count(*) FROM (SELECT FROM pgcast.outbox_default LIMIT 100000) s),
      (SELECT pg_catalog.sum(pg_catalog.pg_total_relation_size(inhrelid))
       FROM pg_catalog.pg_inherits WHERE inhparent = 'pgcast.outbox'::pg_catalog.regclass),
      pg_catalog.extract('epoch', pg_catalog.clock_timestamp()) * 1000000
        > pg_catalog.pg_sequence_last_value('pgcast.wanted_until'),
      pg_catalog.to_regclass('pgcast.outbox_'
        || pg_catalog.to_char(pg_catalog.timezone('UTC', pg_catalog.clock_timestamp())
                              + '1 day', 'YYYYMMDD')) IS NULL)");
  if (rows.empty()) return;
  const auto& r = rows[0];
  const auto stray = text(r, 0);
  if (stray == "0") {
    found.ok("outbox: the default partition is empty");
  } else {
    found.warn("outbox: " + stray +
               " rows are in the default partition; keep a daemon running, it deletes them when "
               "they are older than outbox.retention");
  }
  const auto bytes = std::strtoull(text(r, 1).c_str(), nullptr, 10);
  if (bytes > c.outbox_warn_bytes) {
    found.warn("outbox: it takes " + format_size(bytes) + ", more than outbox.warn_bytes (" +
               format_size(c.outbox_warn_bytes) + "); shorten outbox.retention or raise the limit");
  }
  if (text(r, 2) == "t") {
    found.warn(
        "outbox: no daemon has looked after it for longer than outbox.retention, so rows for which "
        "there is no partition are left out; run pgcast serve, clients then start afresh");
  } else if (text(r, 3) == "t") {
    found.warn("outbox: there is no partition for tomorrow; run pgcast serve and look at its log");
  }
}

/// Snapshots read the rows of one session; tables with a campaign column are read by it instead.
void check_indexes(pg_session& session, findings& found) {
  const auto rows = found.ask(session, "indexes", R"(
    SELECT pg_catalog.format('%I.%I', r.schema_name, r.table_name),
           pg_catalog.quote_ident(r.session_column)
    FROM pgcast.relation r
    JOIN pg_catalog.pg_namespace n ON n.nspname = r.schema_name
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = r.table_name
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = r.session_column
    WHERE r.campaign_column = '' AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid
        AND i.indpred IS NULL AND i.indkey[0] = a.attnum)
    ORDER BY 1)");
  for (const auto& r : rows) {
    found.warn("index: " + text(r, 0) + " has none on " + text(r, 1) +
               ", so every snapshot reads the whole table; run CREATE INDEX CONCURRENTLY ON " +
               text(r, 0) + " (" + text(r, 1) + ")");
  }
}

/// Live numbers of a campaign count the messages of its sessions in the index alone, a side in
/// each.
void check_numbers_indexes(pg_session& session, findings& found) {
  for (const auto& side : message_sides()) {
    const std::string name{side.index};
    const auto is_missing = session.query_value(R"(
      SELECT pg_catalog.to_regclass('public.chat_history') IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = pg_catalog.to_regclass('public.chat_history') AND i.indisvalid
          AND c.relname = $1))",
                                                {name});
    if (!is_missing || *is_missing != "t") continue;
    found.warn("index: public.chat_history has no " + name +
               ", so the first watcher of a campaign's numbers reads all its messages; run CREATE "
               "INDEX CONCURRENTLY " +
               name + " ON public.chat_history (session_id) WHERE " + std::string{side.predicate});
  }
}

void check_daemons(pg_session& session, findings& found) {
  const auto sleeping = session.query_value(
      "SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' "
      "AND (classid::bigint << 32) + objid::bigint = $1 AND mode = 'ShareLock' AND granted "
      "AND database = (SELECT oid FROM pg_catalog.pg_database "
      "WHERE datname = pg_catalog.current_database())",
      {k_doorbell});
  if (sleeping && *sleeping != "0" && *sleeping != "1") {
    found.warn("daemons: " + *sleeping +
               " are connected; rows are the same on all, but clients' "
               "broadcasts and presence stay on their own daemon");
  }
}

}  // namespace

void check_installation(pg_session& session, const config& c, findings& found) {
  if (!check_installed(session, found)) return;
  check_privileges(session, found);
  check_triggers(session, found);
  check_realtime(session, found);
  check_row_security(session, c, found);
  check_outbox(session, c, found);
  check_indexes(session, found);
  check_numbers_indexes(session, found);
  check_daemons(session, found);
}

}  // namespace pgcast
