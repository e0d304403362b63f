#include "daemon/schema_change.hpp"

#include "daemon/commands.hpp"
#include "daemon/embedded.hpp"
#include "daemon/log.hpp"
#include "daemon/pg_session.hpp"
#include "daemon/source_session.hpp"

#include <chrono>
#include <cstdio>
#include <thread>

#include <sysexits.h>

namespace pgcast {
namespace {

using namespace std::chrono_literals;

constexpr auto k_patience = 30s;
constexpr auto k_pause = 1s;
constexpr std::string_view k_uninstall = "uninstall.sql";

std::string quote_literal(std::string_view text) {
  std::string quoted = text.find('\\') == std::string_view::npos ? "'" : " E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += c;
    quoted += c;
  }
  return quoted + "'";
}

void show(const std::string& line) {
  std::printf("%s\n", escape_control_characters(line).c_str());
  std::fflush(stdout);
}

/// Refuses a server on which the SQL cannot work, or not for long.
result<void> check_server(pg_session& session, const std::string& database_url) {
  const auto unsuitable = [](const std::string& sentence) {
    return error{errc::database_unsuitable, sentence};
  };
  if (session.server_version() < 140000) {
    return unsuitable("the server is PostgreSQL " +
                      std::to_string(session.server_version() / 10000) +
                      ", pgcast needs 14 or newer; upgrade it or use another database.url");
  }
  const auto is_standby = session.query_value("SELECT pg_catalog.pg_is_in_recovery()");
  if (!is_standby) return is_standby.error();
  if (*is_standby == "t") {
    return unsuitable(
        "the server is a standby and cannot be written to; connect to the primary, "
        "for example with target_session_attrs=read-write in database.url");
  }
  const auto pooler = detect_pooling(database_url);
  if (!pooler) return pooler.error();
  if (*pooler == pooling::transaction) {
    return unsuitable("database.url leads to a transaction pooler; " + pooler_remedy(session));
  }
  return {};
}

/// What the operator can do about a failed step, by SQLSTATE (Postgres manual, appendix A).
int report_step(const pg_session& session, const sql_step& step, const std::string& message) {
  const auto& state = session.sqlstate();
  const auto sentence = step.name + " failed and nothing was changed: " + message;
  if (state == "42501") {
    return report_failure(EX_NOPERM, sentence +
                                         "; connect as the owner of the tables and of the "
                                         "database (on Supabase: postgres)");
  }
  if (state == "0A000") return report_failure(EX_CONFIG, sentence);
  if (state == "55P03" || state == "40P01" || state == "57014") {
    return report_failure(EX_TEMPFAIL, sentence + "; run the command again");
  }
  if (state.empty() || state.starts_with("08") || state.starts_with("57P")) {
    return report_failure(EX_UNAVAILABLE, sentence + "; the connection was lost, run it again");
  }
  const bool is_about_names = state.starts_with("42") || state.starts_with("3");
  return report_failure(is_about_names ? EX_DATAERR : EX_SOFTWARE, sentence);
}

/// A table in use by somebody else, or another install at the same time.
bool is_worth_repeating(const std::string& sqlstate) {
  return sqlstate == "55P03" || sqlstate == "40P01" || sqlstate == "40001";
}

/// Nothing, or the step that failed.
struct attempt {
  const sql_step* failed = nullptr;
  std::string message;
};

attempt run_once(pg_session& session, const std::vector<sql_step>& steps) {
  static const sql_step begin{"BEGIN", "BEGIN"};
  static const sql_step commit{"COMMIT", "COMMIT"};
  std::vector<const sql_step*> all{&begin};
  for (const auto& step : steps) all.push_back(&step);
  all.push_back(&commit);
  for (const auto* step : all) {
    if (step != &begin && step != &commit) show("  " + step->name);
    const auto done = session.run(step->sql);
    if (!done) return {step, done.error().detail};
  }
  return {};
}

}  // namespace

result<std::vector<sql_step>> install_steps(const std::vector<std::string>& tables) {
  std::vector<sql_step> steps;
  for (const auto& file : sql_files) {
    if (file.name == k_uninstall) continue;
    steps.push_back({std::string(file.name), std::string(file.bytes)});
  }
  for (const auto& table : tables) {
    const auto dot = table.find('.');
    if (dot == std::string::npos || dot == 0 || dot + 1 == table.size()) {
      return error{errc::payload_malformed,
                   "--table " + table + " names no schema; write it as schema.table"};
    }
    // Without further arguments relay() looks for the column session_id itself.
    steps.push_back({"table " + table,
                     "SELECT pgcast.relay(" + quote_literal(table) + "::pg_catalog.regclass);\n"});
  }
  return steps;
}

std::vector<sql_step> uninstall_steps() {
  std::vector<sql_step> steps;
  for (const auto& file : sql_files) {
    if (file.name == k_uninstall)
      steps.push_back({std::string(file.name), std::string(file.bytes)});
  }
  return steps;
}

std::string render_steps(const std::vector<sql_step>& steps) {
  std::string text = "BEGIN;\n";
  for (const auto& step : steps) text += "\n-- ---- " + step.name + " ----\n" + step.sql;
  return text + "\nCOMMIT;\n";
}

int apply_steps(const loaded_config& loaded, const std::vector<sql_step>& steps,
                const std::string& done) {
  const auto& url = loaded.values.database_url;
  auto session = pg_session::open(url);
  if (!session) return report_failure(session.error());
  if (const auto good = check_server(*session, url); !good) return report_failure(good.error());
  session->on_notice([](const std::string& line) { show("  notice: " + line); });

  const auto until = std::chrono::steady_clock::now() + k_patience;
  while (true) {
    const auto tried = run_once(*session, steps);
    if (tried.failed == nullptr) break;
    const auto state = session->sqlstate();
    const auto code_of_rollback = session->run("ROLLBACK");
    if (!is_worth_repeating(state) || !code_of_rollback ||
        std::chrono::steady_clock::now() >= until) {
      return report_step(*session, *tried.failed, tried.message);
    }
    show("  " + tried.failed->name + ": " + tried.message + "; trying again");
    std::this_thread::sleep_for(k_pause);
  }
  show(done + " database " + session->database() + " as " + session->user());
  return EX_OK;
}

}  // namespace pgcast
