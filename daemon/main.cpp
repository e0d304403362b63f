#include "daemon/command_serve.hpp"
#include "daemon/commands.hpp"
#include "daemon/config_text.hpp"

#include <CLI/CLI.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <memory>

#include <sysexits.h>
#include <unistd.h>

#ifndef PGCAST_VERSION
#define PGCAST_VERSION "0.0.0"
#endif

namespace pgcast {
namespace {

/// What stands behind a command: the file and the flags that override it.
struct command_line {
  std::string file;
  std::string listen;
  std::string admin_listen;
  std::string database_url;
  std::string threads;
  std::string log_level;
  install_options install;
  uninstall_options uninstall;
  token_options token;
  tail_options tail;
  compare_options compare;

  std::map<std::string, std::string> flags() const {
    std::map<std::string, std::string> given;
    for (const auto& [key, text] : {std::pair{"server.listen", listen},
                                    {"server.admin_listen", admin_listen},
                                    {"database.url", database_url},
                                    {"server.threads", threads},
                                    {"log.level", log_level}}) {
      if (!text.empty()) given.emplace(key, text);
    }
    return given;
  }
};

result<loaded_config> load(const command_line& line) {
  if (has_password(line.database_url)) {
    return error{errc::config_invalid,
                 "--database-url carries a password, which others can read in the list of "
                 "processes; use PGCAST_DATABASE_URL, PGCAST_DATABASE_URL_FILE or PGPASSFILE"};
  }
  return load_config(line.file, line.flags());
}

/// A command that needs a good configuration.
int with_config(const command_line& line, const std::function<int(const loaded_config&)>& run) {
  const auto loaded = load(line);
  return loaded ? run(*loaded) : report_failure(loaded.error());
}

void add_config_flags(CLI::App& command, command_line& line) {
  command.add_option("--config", line.file, "TOML file; default /etc/pgcast/pgcast.toml")
      ->type_name("FILE");
  command
      .add_option("--database-url", line.database_url, "overrides database.url; without a password")
      ->type_name("URL");
  command.add_option("--listen", line.listen, "overrides server.listen")->type_name("ADDRESS");
  command.add_option("--admin-listen", line.admin_listen, "overrides server.admin_listen")
      ->type_name("ADDRESS");
  command.add_option("--threads", line.threads, "overrides server.threads")->type_name("N");
  command.add_option("--log-level", line.log_level, "overrides log.level")->type_name("LEVEL");
}

CLI::App& add_command(CLI::App& app, command_line& line, const std::string& name,
                      const std::string& description) {
  auto& command = *app.add_subcommand(name, description);
  add_config_flags(command, line);
  return command;
}

void add_install_flags(CLI::App& install, CLI::App& uninstall, command_line& line) {
  install
      .add_option("--table", line.install.tables,
                  "relays one more table; routed by its column session_id if it has one")
      ->type_name("SCHEMA.TABLE")
      ->expected(1)
      ->take_all();
  install.add_flag("--dry-run", line.install.is_dry_run, "prints the SQL and changes nothing");
  uninstall.add_flag("--dry-run", line.uninstall.is_dry_run, "prints the SQL and changes nothing");
}

void add_client_flags(CLI::App& token, CLI::App& tail, command_line& line) {
  token.add_option("--role", line.token.role, "one of auth.roles")->required();
  token.add_option("--sub", line.token.sub, "whose token it is");
  token.add_option("--ttl", line.token.ttl, "how long it is good")->capture_default_str();
  token.add_option("--claim", line.token.claims, "one more claim; VALUE may be JSON")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all();
  tail.add_option("TOPIC", line.tail.topic, "such as session:abc, phone:+44... or campaign:spring")
      ->required();
  tail.add_option("--url", line.tail.url, "default: server.listen of the configuration")
      ->type_name("ws://HOST:PORT");
  tail.add_option(
          "--token-file", line.tail.token_file,
          "default: PGCAST_TOKEN, else a token of service_role is made with auth.jwt_secret")
      ->type_name("FILE");
  tail.add_flag("--json", line.tail.is_json, "JSON lines in a terminal too");
  tail.add_option("--color", line.tail.color, "in a terminal; NO_COLOR says never")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->capture_default_str();
}

void add_compare_flags(CLI::App& compare, command_line& line) {
  auto& options = line.compare;
  compare.add_option("--with", options.with, "the other Realtime server")
      ->type_name("wss://HOST/realtime/v1")
      ->required();
  compare.add_option("--url", options.url, "this server; default: server.listen")
      ->type_name("ws://HOST:PORT");
  compare.add_option("--table", options.tables, "one more table; default: all of public")
      ->type_name("SCHEMA.TABLE")
      ->expected(1)
      ->take_all();
  compare.add_option("--filter", options.filter, "of each --table, such as id=gt.100")
      ->type_name("FILTER");
  compare.add_option("--for", options.time, "how long it counts; Ctrl-C ends it earlier")
      ->type_name("TIME")
      ->capture_default_str();
  compare.add_flag("--json", options.is_json, "prints one JSON object");
  compare.add_flag("--resume", options.resumes, "this server goes on at its cursor after a drop");
  compare
      .add_option("--token-file", options.token_file,
                  "for this server; default: PGCAST_TOKEN, else one of service_role is made")
      ->type_name("FILE");
  compare
      .add_option("--with-token-file", options.with_token_file,
                  "for the other server; default: PGCAST_WITH_TOKEN")
      ->type_name("FILE");
}

/// Says why the process ends before it does. Of threads that fail together the first one tells: the
/// standard library's own handler tells of none then.
[[noreturn]] void end_loudly() {
  static std::atomic_flag is_told;
  while (is_told.test_and_set()) pause();
  const char* why = "no exception";
  try {
    if (const auto failed = std::current_exception()) std::rethrow_exception(failed);
  } catch (const std::exception& e) {
    why = e.what();
  } catch (...) {
    why = "an exception of an unknown kind";
  }
  std::fprintf(stderr, "pgcast: this is a bug, the process ends: %s\n", why);
  std::abort();
}

int run(int argc, char** argv) {
  command_line line;
  CLI::App app{"Relays committed changes of PostgreSQL to WebSocket clients.", "pgcast"};
  app.set_version_flag("--version", "pgcast " PGCAST_VERSION);
  app.set_help_all_flag("--help-all", "Print the help of every command and exit");
  app.require_subcommand(0, 1);
  app.footer("Exit codes are those of sysexits(3). docs/config.md describes the configuration.");

  const auto& serve = add_command(app, line, "serve", "Run the daemon in the foreground");
  auto& install = add_command(app, line, "install", "Apply the SQL to the database");
  auto& uninstall = add_command(app, line, "uninstall", "Remove the SQL from the database");
  const auto& check = add_command(app, line, "check", "Look for what is wrong, with the remedies");
  auto& token = add_command(app, line, "token", "Print a signed token");
  auto& tail = add_command(app, line, "tail",
                           "Follow a topic: a line an event, for people in a terminal, else JSON");
  auto& compare =
      add_command(app, line, "compare", "Show what another Realtime server and this one miss");
  add_command(app, line, "config", "Print the configuration and where it came from");
  add_install_flags(install, uninstall, line);
  add_client_flags(token, tail, line);
  add_compare_flags(compare, line);

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& e) {
    const auto* used = app.get_subcommands().empty() ? nullptr : app.get_subcommands().front();
    const auto name = used == nullptr ? std::string("pgcast") : "pgcast " + used->get_name();
    return report_failure(EX_USAGE, std::string(e.what()) + "; see " + name + " --help");
  }

  if (app.get_subcommands().empty()) {
    return report_failure(EX_USAGE, "a command is missing; see pgcast --help");
  }
  if (check.parsed()) return run_check(load(line));
  return with_config(line, [&](const loaded_config& loaded) {
    if (serve.parsed()) return run_serve(loaded);
    if (install.parsed()) return run_install(loaded, line.install);
    if (uninstall.parsed()) return run_uninstall(loaded, line.uninstall);
    if (token.parsed()) return run_token(loaded, line.token);
    if (tail.parsed()) return run_tail(loaded, line.tail);
    if (compare.parsed()) return run_compare(loaded, line.compare);
    return run_config(loaded);
  });
}

}  // namespace
}  // namespace pgcast

int main(int argc, char** argv) {
  std::set_terminate(pgcast::end_loudly);
  try {
    return pgcast::run(argc, argv);
  } catch (const std::exception& e) {
    return pgcast::report_failure(EX_SOFTWARE, std::string("this is a bug: ") + e.what());
  }
}
