// The commands as an operator types them: output, exit code, remedy.

#include "tests/integration/postgres_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <sysexits.h>

namespace pgcast::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr auto k_secret = "a-secret-of-thirty-two-bytes-and-more";

struct outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
};

std::string content_of(const std::filesystem::path& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

class command : public ::testing::Test {
 protected:
  command() {
    std::string name = (std::filesystem::temp_directory_path() / "pgcast_command_XXXXXX").string();
    directory_ = mkdtemp(name.data());
  }
  ~command() override { std::filesystem::remove_all(directory_); }

  void SetUp() override {
    if (std::getenv("PGCAST_BIN") == nullptr) GTEST_SKIP() << "PGCAST_BIN names no program";
  }

  /// Runs `pgcast <arguments>` on the database, with `environment` ("A=b C=d") in front.
  outcome run(const std::string& arguments, const std::string& environment = "") {
    const auto out = directory_ / ("out" + std::to_string(++runs_));
    const auto err = directory_ / ("err" + std::to_string(runs_));
    const auto line = "env PGCAST_DATABASE_URL='" + url_ + "' PGCAST_JWT_SECRET=" + k_secret + " " +
                      environment + " '" + std::getenv("PGCAST_BIN") + "' " + arguments + " >" +
                      out.string() + " 2>" + err.string() + " </dev/null";
    const int status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content_of(out), content_of(err)};
  }

  postgres_server& server_ = postgres_server::shared();
  std::string database_ = server_.create_database();
  std::string url_ = server_.conninfo(database_);
  std::filesystem::path directory_;
  int runs_ = 0;
};

TEST_F(command, Install_ThenCheck_FindsNoFailure) {
  const auto installed = run("install");
  EXPECT_EQ(installed.exit_code, EX_OK) << installed.err;
  EXPECT_THAT(installed.out, HasSubstr("pgcast is installed in database " + database_));
  EXPECT_EQ(run("install").exit_code, EX_OK);
  const auto checked = run("check");
  EXPECT_EQ(checked.exit_code, 0) << checked.out;
  EXPECT_THAT(checked.out, AllOf(HasSubstr("ok    connection: database " + database_),
                                 HasSubstr("ok    pooler: none"), Not(HasSubstr("fail"))));
}

TEST_F(command, Install_DryRun_PrintsWhatPsqlCanRun) {
  const auto printed =
      run("install --dry-run --table public.notes", "PGCAST_DATABASE_URL=host=none");
  EXPECT_EQ(printed.exit_code, EX_OK) << printed.err;
  EXPECT_THAT(printed.out, AllOf(StartsWith("BEGIN;\n"), HasSubstr("relay('public.notes'"),
                                 testing::EndsWith("\nCOMMIT;\n")));
  const sql_connection owner(url_);
  sql(owner, "CREATE TABLE notes (session_id text, note text)");
  sql(owner, printed.out);
  EXPECT_EQ(sql_value(owner, "SELECT count(*) FROM pgcast.relation"), "8");
}

TEST_F(command, Install_Table_IsRoutedBySessionIdWhereThereIsOne) {
  const sql_connection owner(url_);
  sql(owner, "CREATE TABLE \"Odd, 'x'\" (session_id text); CREATE TABLE plain (id int)");
  const auto done = run("install --table 'public.\"Odd, '\\''x'\\''\"' --table public.plain");
  EXPECT_EQ(done.exit_code, EX_OK) << done.err;
  EXPECT_EQ(sql_value(owner,
                      "SELECT string_agg(session_column, '|' ORDER BY table_name) "
                      "FROM pgcast.relation WHERE table_name IN ('plain', 'Odd, ''x''')"),
            "session_id|");
}

TEST_F(command, Install_UnknownTable_ChangesNothing) {
  const auto failed = run("install --table public.nowhere");
  EXPECT_EQ(failed.exit_code, EX_DATAERR);
  EXPECT_EQ(failed.err,
            "pgcast: table public.nowhere failed and nothing was changed: relation "
            "\"public.nowhere\" does not exist\n");
  const sql_connection owner(url_);
  EXPECT_EQ(sql_value(owner, "SELECT to_regclass('pgcast.meta') IS NULL"), "t");
  EXPECT_EQ(run("install --table nowhere").exit_code, EX_USAGE);
}

TEST_F(command, Install_FourAtOnce_AllSucceed) {
  std::vector<outcome> outcomes(4);
  std::vector<std::thread> threads;
  for (auto& one : outcomes) {
    runs_ += 1;
    const auto bin = std::string("env PGCAST_DATABASE_URL='") + url_ + "' '" +
                     std::getenv("PGCAST_BIN") + "' install >/dev/null 2>&1";
    threads.emplace_back([&one, bin] { one.exit_code = WEXITSTATUS(std::system(bin.c_str())); });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& one : outcomes) EXPECT_EQ(one.exit_code, EX_OK);
}

TEST_F(command, Install_WaitsForTableInUse) {
  const sql_connection writer(url_);
  sql(writer, "BEGIN; LOCK TABLE chat_history IN ROW EXCLUSIVE MODE");
  std::thread release([&] {
    std::this_thread::sleep_for(std::chrono::seconds(5));  // it gives up once after 1.5 s
    sql(writer, "COMMIT");
  });
  const auto installed = run("install");
  release.join();
  EXPECT_EQ(installed.exit_code, EX_OK) << installed.err;
  EXPECT_THAT(installed.out, HasSubstr("in use by a long transaction"));
}

TEST_F(command, Install_WithoutRights_NamesTheOwner) {
  url_ = server_.conninfo(database_, "pgcast_reader");
  const auto failed = run("install");
  EXPECT_EQ(failed.exit_code, EX_NOPERM);
  EXPECT_THAT(failed.err, HasSubstr("connect as the owner of the tables"));
}

TEST_F(command, Uninstall_LeavesNothingAndMayRepeat) {
  ASSERT_EQ(run("install").exit_code, EX_OK);
  EXPECT_EQ(run("uninstall").exit_code, EX_OK);
  EXPECT_EQ(run("uninstall").exit_code, EX_OK);
  const sql_connection owner(url_);
  EXPECT_EQ(sql_value(owner, "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgcast'"), "0");
  EXPECT_EQ(sql_value(owner, "SELECT count(*) FROM pg_trigger WHERE tgname ~ '^000_pgcast'"), "0");
}

TEST_F(command, UnreachableDatabase_IsOneSentence) {
  url_ = "postgresql://u@127.0.0.1:1/none";
  const auto failed = run("install", "PGPASSWORD=hunter2");
  EXPECT_EQ(failed.exit_code, EX_UNAVAILABLE);
  EXPECT_EQ(std::count(failed.err.begin(), failed.err.end(), '\n'), 1) << failed.err;
  EXPECT_THAT(failed.err, AllOf(StartsWith("pgcast: the database cannot be reached: "),
                                HasSubstr("; check database.url"), Not(HasSubstr("hunter2"))));
}

TEST_F(command, Check_NotInstalled_SaysSo) {
  const auto checked = run("check");
  EXPECT_EQ(checked.exit_code, 1);
  EXPECT_THAT(checked.out, HasSubstr("fail  installation: not installed in database " + database_ +
                                     "; run pgcast install\n"));
}

TEST_F(command, Check_FindsWhatIsBroken) {
  ASSERT_EQ(run("install").exit_code, EX_OK);
  const sql_connection owner(url_);
  sql(owner,
      "ALTER TABLE chat_history DISABLE TRIGGER \"000_pgcast\";"
      "DROP TRIGGER \"000_pgcast_truncate\" ON numbers; TRUNCATE pgcast.marker;"
      "INSERT INTO pgcast.outbox (at, schema_name, table_name, operation) "
      "VALUES ('2000-01-01', 'public', 'x', 'T');"
      "GRANT SELECT ON session_info TO anon;");
  const auto checked = run("check", "PGCAST_AUTH_ROLES=anon,nobody_there");
  EXPECT_EQ(checked.exit_code, 1);
  EXPECT_THAT(checked.out,
              AllOf(HasSubstr("fail  triggers on public.chat_history: 000_pgcast disabled"),
                    HasSubstr("fail  triggers on public.numbers: missing; run pgcast install"),
                    HasSubstr("warn  marker: empty"),
                    HasSubstr("warn  outbox: 1 rows are in the default partition"),
                    HasSubstr("warn  row-level security: public.session_info has none"),
                    HasSubstr("warn  role nobody_there: does not exist")));
}

TEST_F(command, Check_BroadcastsFromTheDatabase_NamesWhatIsMissing) {
  const sql_connection owner(url_);
  ASSERT_EQ(run("install").exit_code, EX_OK);
  EXPECT_THAT(run("check").out, HasSubstr("ok    broadcasts: the trigger"));
  sql(owner, "ALTER TABLE realtime.messages DISABLE TRIGGER pgcast_broadcast");
  EXPECT_THAT(run("check").out, HasSubstr("fail  broadcasts: the trigger on realtime.messages"));
  sql(owner, "DROP TRIGGER pgcast_broadcast ON realtime.messages");
  const auto checked = run("check");
  EXPECT_EQ(checked.exit_code, 0) << checked.out;
  EXPECT_THAT(checked.out, HasSubstr("GRANT TRIGGER ON ALL TABLES IN SCHEMA realtime TO postgres"
                                     " by postgres"));
  sql(owner, "DROP TABLE realtime.messages");
  EXPECT_THAT(run("check").out, HasSubstr("and has no table messages"));
  sql(owner, "DROP SCHEMA realtime CASCADE");
  EXPECT_THAT(run("check").out, HasSubstr("the schema realtime is gone; run pgcast install"));
  ASSERT_EQ(run("install").exit_code, EX_OK);
  EXPECT_THAT(run("check").out, HasSubstr("ok    broadcasts: the trigger"));
}

TEST_F(command, Check_MissingIndex_NamesTheStatement) {
  const sql_connection owner(url_);
  sql(owner, "CREATE TABLE extra (session_id text)");
  ASSERT_EQ(run("install --table public.extra").exit_code, EX_OK);
  EXPECT_THAT(run("check").out,
              HasSubstr("run CREATE INDEX CONCURRENTLY ON public.extra (session_id)"));
  sql(owner, "CREATE INDEX ON extra (session_id)");
  EXPECT_THAT(run("check").out, Not(HasSubstr("public.extra has none")));
}

TEST_F(command, Check_BadConfiguration_IsFinding) {
  const auto checked = run("check --threads many");
  EXPECT_EQ(checked.exit_code, 1);
  EXPECT_THAT(checked.out, StartsWith("fail  config: --threads = \"many\" is not accepted"));
}

TEST_F(command, Config_ShowsOriginAndMasksSecrets) {
  url_ = "postgresql://u:hunter2@db.example/app";
  const auto shown = run("config --threads 3");
  EXPECT_EQ(shown.exit_code, EX_OK) << shown.err;
  EXPECT_THAT(shown.out,
              AllOf(HasSubstr("server.threads = 3  # flag --threads\n"),
                    HasSubstr("auth.jwt_secret = ***  # environment PGCAST_JWT_SECRET\n"),
                    HasSubstr("server.drain = 5s  # default\n"), HasSubstr("password=***"),
                    Not(HasSubstr("hunter2")), Not(HasSubstr(k_secret))));
}

TEST_F(command, Token_IsThreePartsOrOneSentence) {
  const auto token = run("token --role anon --claim 'tags=[1,2]'");
  EXPECT_EQ(token.exit_code, EX_OK) << token.err;
  EXPECT_EQ(std::count(token.out.begin(), token.out.end(), '.'), 2);
  EXPECT_EQ(run("token --role boss").err,
            "pgcast: --role boss is not in auth.roles; it takes one "
            "of anon,authenticated,service_role\n");
  EXPECT_EQ(run("token --role boss").exit_code, EX_USAGE);
  EXPECT_EQ(run("token --role anon --ttl 5").exit_code, EX_USAGE);
  EXPECT_EQ(run("token --role anon", "PGCAST_JWT_SECRET=").exit_code, EX_CONFIG);
}

TEST_F(command, Usage_IsExit64WithPointerToHelp) {
  for (const auto& line : {"", "nonsense", "token", "serve --nope", "tail", "compare"}) {
    const auto failed = run(line);
    EXPECT_EQ(failed.exit_code, EX_USAGE) << line;
    EXPECT_THAT(failed.err, AllOf(StartsWith("pgcast: "), HasSubstr("--help"))) << line;
    EXPECT_EQ(std::count(failed.err.begin(), failed.err.end(), '\n'), 1) << failed.err;
  }
  EXPECT_THAT(run("--version").out, StartsWith("pgcast "));
  for (const auto& name :
       {"", "serve", "install", "uninstall", "check", "token", "tail", "compare", "config"}) {
    EXPECT_EQ(run(std::string(name) + " --help").exit_code, EX_OK) << name;
  }
}

TEST_F(command, PasswordAsArgument_IsRefused) {
  const auto failed = run("check --database-url postgresql://u:hunter2@127.0.0.1/x");
  EXPECT_THAT(failed.out, AllOf(HasSubstr("fail  config: --database-url carries a password"),
                                Not(HasSubstr("hunter2"))));
  EXPECT_EQ(run("install --database-url 'password=hunter2'").exit_code, EX_CONFIG);
}

TEST_F(command, Tail_WithoutServer_SaysWhatToCheck) {
  const auto failed = run("tail session:a --url ws://127.0.0.1:1");
  EXPECT_EQ(failed.exit_code, EX_UNAVAILABLE);
  EXPECT_EQ(failed.err,
            "pgcast: 127.0.0.1:1 cannot be reached: Connection refused; check that "
            "pgcast serve runs there, or give --url\n");
  EXPECT_EQ(run("tail session:a --url ftp://127.0.0.1:1").exit_code, EX_USAGE);
  EXPECT_EQ(run("tail session:a --token-file /nowhere").exit_code, EX_CONFIG);
}

TEST_F(command, Compare_SaysWhatItNeeds) {
  const std::string with = "compare --with ws://127.0.0.1:1";
  EXPECT_EQ(run(with).err,
            "pgcast: there is no key for the other server; give --with-token-file or "
            "PGCAST_WITH_TOKEN\n");
  EXPECT_EQ(run(with).exit_code, EX_CONFIG);
  EXPECT_EQ(run(with + " --with-token-file /nowhere").exit_code, EX_CONFIG);
  for (const auto& more : {"--for never", "--table a", "--filter id=eq.1", "--url nonsense"}) {
    const auto failed = run(with + " " + more, "PGCAST_WITH_TOKEN=key");
    EXPECT_EQ(failed.exit_code, EX_USAGE) << more;
    EXPECT_THAT(failed.err, HasSubstr(std::string(more).substr(0, 5)));
  }
  const auto secret = run("compare --with 'wss://h/realtime/v1?apikey=hunter2'");
  EXPECT_EQ(secret.exit_code, EX_USAGE);
  EXPECT_THAT(secret.err, Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace pgcast::test
