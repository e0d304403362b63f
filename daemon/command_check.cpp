#include "daemon/commands.hpp"
#include "daemon/config_text.hpp"
#include "daemon/findings.hpp"
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
  const auto rows = found.ask(session, "connections", R"(
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
    const auto rows =
        found.ask(session, what,
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
  check_installation(*session, c, found);
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
