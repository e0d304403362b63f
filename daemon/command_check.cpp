#include "daemon/commands.hpp"
#include "daemon/config_text.hpp"
#include "daemon/key_document.hpp"
#include "daemon/log.hpp"
#include "daemon/pg_session.hpp"
#include "daemon/source_session.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <sysexits.h>

namespace pgcast {
namespace {

/// What deploy/sql installs.
constexpr auto k_schema_version = "3";
constexpr auto k_doorbell = "8099551725049085953";  ///< advisory key of sleeping daemons

/// Collects and prints what was found, one line each.
class findings {
 public:
  void ok(const std::string& what) { print("ok  ", what); }
  void warn(const std::string& what) { print("warn", what); }
  void fail(const std::string& what) {
    print("fail", what);
    has_failure_ = true;
  }
  bool has_failure() const { return has_failure_; }

 private:
  static void print(const char* verdict, const std::string& what) {
    std::printf("%s  %s\n", verdict, escape_control_characters(what).c_str());
  }
  bool has_failure_ = false;
};

using row = pg_session::row;

/// The rows, or none and a failure when the question itself fails.
std::vector<row> ask(pg_session& session, findings& found, const std::string& what,
                     const std::string& sql, const std::vector<std::string>& parameters = {}) {
  auto rows = session.query(sql, parameters);
  if (rows) return std::move(*rows);
  found.fail(what + ": " + rows.error().detail);
  return {};
}

std::string text(const row& r, std::size_t column) { return r.at(column).value_or(""); }

// ---- configuration ------------------------------------------------------------------------------

void check_config(const config& c, findings& found) {
  if (const auto good = check_serving(c); !good) {
    found.fail("config: " + good.error().detail);
  } else {
    found.ok("config: complete");
  }
  const auto is_short = [](const std::string& secret) { return secret.size() < 32; };
  if (std::any_of(c.tokens.secrets.begin(), c.tokens.secrets.end(), is_short)) {
    found.warn(
        "secret: auth.jwt_secret is shorter than 32 bytes and can be guessed; make one "
        "with openssl rand -hex 32");
  }
  if (c.mode == auth_mode::off) {
    found.warn("auth: auth.mode = off treats every connection as service_role");
  }
  const auto operators = parse_listen(c.admin_listen);
  if (operators && !operators->is_loopback()) {
    found.warn("admin listener: " + c.admin_listen + " is not loopback; keep it out of reach");
  }
}

/// What `pgcast serve` would read now.
void check_keys(const config& c, findings& found) {
  if (c.jwks.empty()) return;
  const auto text = read_key_document(c.jwks);
  if (!text) return found.fail("keys: " + text.error().detail);
  const auto keys = parse_keys(c.jwks, *text);
  if (!keys) return found.fail("keys: " + keys.error().detail);
  for (const auto& objection : keys->objections()) found.warn("keys: " + objection);
  found.ok("keys: tokens are verified with " + keys->summary() + " of auth.jwks");
}

// ---- the server ---------------------------------------------------------------------------------

void check_version(pg_session& session, findings& found) {
  const auto major = session.server_version() / 10000;
  const auto version = "version: PostgreSQL " + std::to_string(major);
  if (major < 14)
    found.fail(version + " is too old; pgcast needs 14 or newer");
  else
    found.ok(version);
  const auto standby = session.query_value("SELECT pg_catalog.pg_is_in_recovery()");
  if (standby && *standby == "t") {
    found.fail(
        "server: it is a standby; connect to the primary, for example with "
        "target_session_attrs=read-write in database.url");
  }
}

void check_pooler(pg_session& session, const std::string& url, findings& found) {
  const auto pooler = detect_pooling(url);
  if (!pooler) {
    return found.fail("pooler: " + pooler.error().detail +
                      "; a second session is asked for here: let a pooler open more server "
                      "connections (default_pool_size of pgbouncer)");
  }
  switch (*pooler) {
    case pooling::none:
      return found.ok("pooler: none");
    case pooling::session:
      return found.ok("pooler: one in session mode, which is good");
    case pooling::transaction:
      return found.warn(
          "pooler: one in transaction mode, so pgcast must poll and cannot install; " +
          pooler_remedy(session));
  }
}

void check_settings(pg_session& session, findings& found) {
  const auto prepared =
      session.query_value("SELECT pg_catalog.current_setting('max_prepared_transactions')");
  if (prepared && *prepared != "0") {
    found.warn("settings: max_prepared_transactions = " + *prepared +
               ", so pgcast polls instead of sleeping (a transaction that notifies cannot be "
               "prepared); set it to 0 if nobody needs it");
  }
}

/// What `pgcast serve` opens at most (docs/config.md), against what is left for it.
void check_connections(pg_session& session, const config& c, findings& found) {
  const auto needed = 4 + c.threads * (c.limits.database_connections + 2);
  const auto rows = ask(session, found, "connections", R"(
    SELECT least(
      pg_catalog.current_setting('max_connections')::int
        - pg_catalog.current_setting('superuser_reserved_connections')::int
        - coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0)
        - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity
           WHERE datid IS NOT NULL AND coalesce(application_name, '') NOT LIKE 'pgcast%'),
      (SELECT nullif(rolconnlimit, -1) FROM pg_catalog.pg_roles WHERE rolname = current_user),
      (SELECT nullif(datconnlimit, -1) FROM pg_catalog.pg_database
       WHERE datname = pg_catalog.current_database())) AS left_for_us)");
  if (rows.empty()) return;
  const auto left = std::atol(text(rows[0], 0).c_str());
  const auto sentence = "connections: the daemon opens up to " + std::to_string(needed) +
                        ", the server has " + std::to_string(left) + " left for it";
  if (left >= static_cast<long>(needed)) return found.ok(sentence);
  found.warn(sentence +
             "; raise max_connections or the role's limit, or lower server.threads or "
             "limits.database_connections");
}

void check_roles(pg_session& session, const config& c, findings& found) {
  if (c.mode == auth_mode::off) return;
  const auto right = session.server_version() >= 160000 ? "SET" : "MEMBER";
  for (const auto& role : c.tokens.roles) {
    const auto what = "role " + role;
    const auto rows = ask(session, found, what,
                          "SELECT pg_catalog.pg_has_role(current_user, oid, $2), current_user "
                          "FROM pg_catalog.pg_roles WHERE rolname = $1",
                          {role, right});
    if (rows.empty()) {
      found.warn(what + ": does not exist; create it or take it out of auth.roles");
    } else if (text(rows[0], 0) != "t") {
      found.fail(what + ": cannot be taken; run GRANT " + role + " TO " + text(rows[0], 1));
    } else {
      found.ok(what + ": can be taken");
    }
  }
}

// ---- what install made --------------------------------------------------------------------------

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
  const auto rows = ask(session, found, "privileges", R"(
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
  const auto rows = ask(session, found, "triggers", R"(
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
  const auto rows = ask(session, found, "broadcasts", R"(
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
  const auto rows = ask(session, found, "row-level security", R"(
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
  const auto rows = ask(session, found, "outbox", R"(
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
  const auto rows = ask(session, found, "indexes", R"(
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

void check_database(const config& c, findings& found) {
  const auto start = std::chrono::steady_clock::now();
  auto session = pg_session::open(c.database_url);
  if (!session) return found.fail("connection: " + session.error().detail);
  const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start);
  found.ok("connection: database " + session->database() + " as " + session->user() + " in " +
           std::to_string(time.count()) + " ms");
  check_version(*session, found);
  check_pooler(*session, c.database_url, found);
  check_settings(*session, found);
  check_connections(*session, c, found);
  check_roles(*session, c, found);
  if (!check_installed(*session, found)) return;
  check_privileges(*session, found);
  check_triggers(*session, found);
  check_realtime(*session, found);
  check_row_security(*session, c, found);
  check_outbox(*session, c, found);
  check_indexes(*session, found);
  check_daemons(*session, found);
}

}  // namespace

int run_check(const result<loaded_config>& loaded) {
  findings found;
  if (loaded) {
    check_config(loaded->values, found);
    check_keys(loaded->values, found);
    check_database(loaded->values, found);
  } else {
    found.fail("config: " + loaded.error().detail);
  }
  return found.has_failure() ? 1 : EX_OK;
}

}  // namespace pgcast
