#include "tests/integration/postgres_server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

namespace pgcast::test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

struct result_closer {
  void operator()(PGresult* result) const { PQclear(result); }
};
using result_ptr = std::unique_ptr<PGresult, result_closer>;

void keep_notice(void* sink, const char* message) {
  static_cast<std::string*>(sink)->append(message);
}

sql_rows rows_of(const sql_connection& connection, const PGresult* result) {
  const ExecStatusType status = PQresultStatus(result);
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY) {
    const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    throw sql_error(PQerrorMessage(connection.native()), state == nullptr ? "" : state);
  }
  sql_rows rows(static_cast<std::size_t>(PQntuples(result)));
  for (int row = 0; row < PQntuples(result); ++row) {
    for (int column = 0; column < PQnfields(result); ++column) {
      auto& values = rows[static_cast<std::size_t>(row)];
      if (PQgetisnull(result, row, column)) {
        values.emplace_back();
      } else {
        values.emplace_back(
            std::string(PQgetvalue(result, row, column),
                        static_cast<std::size_t>(PQgetlength(result, row, column))));
      }
    }
  }
  return rows;
}

std::string file_text(const fs::path& path) {
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error("cannot read " + path.string());
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

fs::path find_binaries() {
  if (const char* chosen = std::getenv("PGCAST_TEST_PG_BIN");
      chosen != nullptr && *chosen != '\0') {
    return chosen;
  }
  fs::path newest;
  int newest_version = 0;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", none)) {
    const int version = std::atoi(entry.path().filename().c_str());
    if (version > newest_version && fs::exists(entry.path() / "bin/initdb")) {
      newest_version = version;
      newest = entry.path() / "bin";
    }
  }
  if (newest.empty()) {
    throw std::runtime_error(
        "no Postgres server found: install postgresql or set PGCAST_TEST_PG_BIN");
  }
  return newest;
}

/// A TCP port of 127.0.0.1 that nobody listens on now.
int free_port() {
  const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  const bool bound = bind(probe, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                     getsockname(probe, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  close(probe);
  if (!bound) {
    throw std::runtime_error("no free port on 127.0.0.1");
  }
  return ntohs(address.sin_port);
}

int exit_status(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

sql_connection::sql_connection(const std::string& conninfo)
    : connection_(PQconnectdb(conninfo.c_str())), notices_(std::make_unique<std::string>()) {
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    throw sql_error(PQerrorMessage(connection_.get()), "");
  }
  PQsetNoticeProcessor(connection_.get(), keep_notice, notices_.get());
}

std::string sql_connection::take_notices() { return std::exchange(*notices_, {}); }

std::vector<std::string> sql_connection::take_notifications(int wait_ms) {
  std::vector<std::string> channels;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
  for (;;) {
    PQconsumeInput(connection_.get());
    while (PGnotify* notification = PQnotifies(connection_.get())) {
      channels.emplace_back(notification->relname);
      PQfreemem(notification);
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (!channels.empty() || left <= 0ms) {
      return channels;
    }
    pollfd readable{PQsocket(connection_.get()), POLLIN, 0};
    poll(&readable, 1, static_cast<int>(left.count()));
  }
}

sql_rows sql(const sql_connection& connection, const std::string& text) {
  if (PQsendQuery(connection.native(), text.c_str()) != 1) {
    throw sql_error(PQerrorMessage(connection.native()), "");
  }
  sql_rows rows;
  std::optional<sql_error> failure;
  while (result_ptr result{PQgetResult(connection.native())}) {
    try {
      if (sql_rows some = rows_of(connection, result.get()); PQnfields(result.get()) > 0) {
        rows = std::move(some);
      }
    } catch (const sql_error& error) {
      failure = error;
    }
  }
  if (failure) {
    throw *failure;
  }
  return rows;
}

sql_rows sql(const sql_connection& connection, const std::string& text,
             const std::vector<std::optional<std::string>>& parameters) {
  std::vector<const char*> values;
  for (const auto& parameter : parameters) {
    values.push_back(parameter ? parameter->c_str() : nullptr);
  }
  const result_ptr result{PQexecParams(connection.native(), text.c_str(),
                                       static_cast<int>(values.size()), nullptr, values.data(),
                                       nullptr, nullptr, 0)};
  return rows_of(connection, result.get());
}

std::string sql_value(const sql_connection& connection, const std::string& text) {
  const sql_rows rows = sql(connection, text);
  if (rows.size() != 1 || rows[0].empty()) {
    throw std::runtime_error(std::to_string(rows.size()) + " rows instead of one from: " + text);
  }
  return rows[0][0].value_or("<null>");
}

std::string source_text(const std::string& name) {
  return file_text(fs::path(PGCAST_SOURCE_DIR) / name);
}

std::string install_text() {
  std::vector<fs::path> parts;
  for (const auto& entry : fs::directory_iterator(fs::path(PGCAST_SOURCE_DIR) / "deploy/sql")) {
    const std::string name = entry.path().filename();
    if (name.size() > 4 && std::isdigit(static_cast<unsigned char>(name[0])) && name[3] == '_') {
      parts.push_back(entry.path());
    }
  }
  std::sort(parts.begin(), parts.end());
  std::string text = "BEGIN;\n";
  for (const fs::path& part : parts) {
    text += file_text(part);
  }
  return text + "COMMIT;\n";
}

postgres_server& postgres_server::shared() {
  static postgres_server server;
  return server;
}

postgres_server::postgres_server() : binaries_(find_binaries()) {
  if (geteuid() == 0) {
    user_ = getpwnam("postgres") != nullptr ? "postgres" : "nobody";
  }
  std::string pattern = "/tmp/pgcast-XXXXXX";  // short: a socket's path has 107 bytes at most
  if (mkdtemp(pattern.data()) == nullptr) {
    throw std::runtime_error("cannot make a directory in /tmp");
  }
  directory_ = pattern;
  try {
    start_reaper();
    create_cluster();
    start();
    const sql_connection admin(conninfo("postgres", "supabase_admin"));
    version_ = std::stoi(sql_value(admin, "SHOW server_version_num")) / 10000;
    sql(admin,
        "CREATE ROLE postgres LOGIN CREATEROLE CREATEDB REPLICATION BYPASSRLS;"
        "CREATE ROLE anon NOLOGIN NOINHERIT;"
        "CREATE ROLE authenticated NOLOGIN NOINHERIT;"
        "CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;"
        "CREATE ROLE pgcast_reader LOGIN;"
        "GRANT anon, authenticated, service_role TO postgres");
  } catch (...) {
    close(reaper_pipe_);
    exit_status(reaper_);
    throw;
  }
}

postgres_server::~postgres_server() {
  close(reaper_pipe_);
  exit_status(reaper_);
  if (server_ > 0) {
    exit_status(server_);
  }
}

/// Runs a program as the server's account, its output going to the log. The child is in a process
/// group of its own, so that Ctrl-C reaches only the test.
pid_t postgres_server::spawn(const std::vector<std::string>& arguments, int standard_input) const {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  const passwd* account = user_.empty() ? nullptr : getpwnam(user_.c_str());
  const uid_t uid = account != nullptr ? account->pw_uid : 0;
  const gid_t gid = account != nullptr ? account->pw_gid : 0;
  const int output =
      open((directory_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

  const pid_t child = fork();
  if (child == 0) {  // only async-signal-safe calls from here
    setpgid(0, 0);
    dup2(standard_input, 0);
    dup2(output, 1);
    dup2(output, 2);
    if (account != nullptr &&
        (setgroups(0, nullptr) != 0 || setgid(gid) != 0 || setuid(uid) != 0)) {
      _exit(126);
    }
    if (chdir("/") == 0) {
      execv(argv[0], argv.data());
    }
    _exit(127);
  }
  close(output);
  if (child < 0) {
    throw std::runtime_error("cannot start " + arguments[0]);
  }
  return child;
}

/// Starts the shell that cleans up: it waits for the end of our side of a pipe, which comes also
/// when this process is killed. It runs as the server's account, so it cannot harm others.
void postgres_server::start_reaper() {
  if (!user_.empty()) {
    const passwd* account = getpwnam(user_.c_str());
    if (account == nullptr || chown(directory_.c_str(), account->pw_uid, account->pw_gid) != 0) {
      throw std::runtime_error("cannot give " + directory_.string() + " to " + user_);
    }
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw std::runtime_error("no pipe");
  }
  const std::string script =
      "cat >/dev/null; cd \"$1\" || exit; "
      "pid=$(head -n 1 data/postmaster.pid 2>/dev/null); "
      "if [ -n \"$pid\" ]; then kill -QUIT \"$pid\"; "
      "while kill -0 \"$pid\" && [ -e data/postmaster.pid ]; do sleep 0.02; done; fi 2>/dev/null; "
      "cd /; rm -rf \"$1\"";
  reaper_ = spawn({"/bin/sh", "-c", script, "reaper", directory_.string()}, ends[0]);
  close(ends[0]);
  reaper_pipe_ = ends[1];
}

void postgres_server::create_cluster() {
  const fs::path data = directory_ / "data";
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const pid_t child =
      spawn({(binaries_ / "initdb").string(), "-D", data.string(), "-U", "supabase_admin", "-A",
             "trust", "-E", "UTF8", "--locale=C", "--no-sync"},
            null);
  close(null);
  if (exit_status(child) != 0) {
    throw std::runtime_error("initdb failed:\n" + log());
  }
  port_ = free_port();
  std::ofstream settings(data / "postgresql.conf", std::ios::app);
  settings << "listen_addresses = '127.0.0.1'\nport = " << port_ << "\nunix_socket_directories = '"
           << directory_.string() << "'\nmax_connections = 200\n"
           << "wal_level = replica\nlog_min_messages = log\n"
           // A killed process loses nothing that it wrote; only a power cut would.
           << "fsync = off\n";
}

void postgres_server::start() {
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  server_ = spawn({(binaries_ / "postgres").string(), "-D", (directory_ / "data").string()}, null);
  close(null);
  wait_until_ready();
}

void postgres_server::wait_until_ready() {
  const std::string probe = conninfo("postgres", "supabase_admin") + " connect_timeout=2";
  for (int attempt = 0; attempt < 3000; ++attempt) {
    if (PQping(probe.c_str()) == PQPING_OK) {
      return;
    }
    if (int status = 0; waitpid(server_, &status, WNOHANG) == server_) {
      server_ = -1;
      throw std::runtime_error("Postgres did not start:\n" + log());
    }
    std::this_thread::sleep_for(10ms);
  }
  throw std::runtime_error("Postgres does not accept connections:\n" + log());
}

void postgres_server::stop(shutdown how) {
  if (server_ > 0) {
    kill(server_, how == shutdown::fast ? SIGINT : SIGQUIT);
    exit_status(server_);
    server_ = -1;
  }
}

void postgres_server::kill_backend(int backend_pid) {
  // Every session is ended by the crash: when this one is, recovery has begun.
  const sql_connection witness(conninfo("postgres", "supabase_admin"));
  kill(backend_pid, SIGKILL);
  pollfd ended{PQsocket(witness.native()), POLLIN, 0};
  poll(&ended, 1, 10'000);
  wait_until_ready();
}

std::string postgres_server::log() const { return file_text(directory_ / "log"); }

std::string postgres_server::conninfo(const std::string& database, const std::string& role,
                                      transport way) const {
  const std::string host = way == transport::unix_socket ? directory_.string() : "127.0.0.1";
  return "host=" + host + " port=" + std::to_string(port_) + " dbname=" + database +
         " user=" + role;
}

std::string postgres_server::create_database(content wanted) {
  const sql_connection owner(conninfo("postgres"));
  if (wanted == content::demo && !has_template_) {
    sql(owner, "CREATE DATABASE template_demo");
    sql(sql_connection(conninfo("template_demo")), source_text("deploy/demo/schema.sql"));
    has_template_ = true;
  }
  const std::string name = "test_" + std::to_string(++databases_);
  sql(owner,
      "CREATE DATABASE " + name + (wanted == content::demo ? " TEMPLATE template_demo" : ""));
  return name;
}

}  // namespace pgcast::test
