#pragma once

#include <libpq-fe.h>

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast::test {

/// What the server answered when it refused; what() is its whole message.
class sql_error : public std::runtime_error {
 public:
  sql_error(const std::string& message, std::string sqlstate)
      : std::runtime_error(message), sqlstate_(std::move(sqlstate)) {}

  /// "" when the connection itself was lost.
  const std::string& sqlstate() const { return sqlstate_; }

 private:
  std::string sqlstate_;
};

/// Rows of text values in the order of the columns; an empty optional is NULL.
using sql_rows = std::vector<std::vector<std::optional<std::string>>>;

/// One synchronous connection, for arranging and asserting in tests. Not thread-safe.
class sql_connection {
 public:
  /// Throws sql_error when the server cannot be reached.
  explicit sql_connection(const std::string& conninfo);

  int backend_pid() const { return PQbackendPID(connection_.get()); }
  PGconn* native() const { return connection_.get(); }

  /// Messages of NOTICE and higher since the last call, each ending in a newline.
  std::string take_notices();

  /// Notifications that are here or arrive within `wait_ms`; returns at the first ones.
  std::vector<std::string> take_notifications(int wait_ms);

 private:
  struct closer {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  std::unique_ptr<PGconn, closer> connection_;
  std::unique_ptr<std::string> notices_;  // libpq holds its address
};

/// Runs one or more statements and gives the rows of the last one that has any.
/// Throws sql_error; several statements without BEGIN are one transaction.
sql_rows sql(const sql_connection& connection, const std::string& text);

/// Runs one statement with parameters $1.. given as text.
sql_rows sql(const sql_connection& connection, const std::string& text,
             const std::vector<std::optional<std::string>>& parameters);

/// The only value of a one-row answer; "<null>" for NULL. Throws when there is not exactly one row.
std::string sql_value(const sql_connection& connection, const std::string& text);

/// The text of a file of the source tree, named from its top ("deploy/demo/schema.sql").
std::string source_text(const std::string& name);

/// The installation SQL as `pgcast install` runs it: every deploy/sql/NNN_*.sql in order, inside
/// one transaction.
std::string install_text();

/// A private Postgres cluster in a temporary directory, as a Supabase project has it: superuser
/// supabase_admin; role postgres (LOGIN CREATEROLE CREATEDB REPLICATION BYPASSRLS, no superuser)
/// owns the databases; anon, authenticated, service_role; pgcast_reader, a login without rights.
///
/// Unix socket and 127.0.0.1, every login trusted. Started as root, it runs as postgres or nobody.
/// Binaries: PGCAST_TEST_PG_BIN, else the newest /usr/lib/postgresql/*/bin. It stops and its
/// directory disappears when the object or the process ends, however that ends.
class postgres_server {
 public:
  enum class transport { unix_socket, loopback };
  enum class shutdown {
    fast,       ///< clean: checkpoint, sessions are ended
    immediate,  ///< as a power cut: the next start recovers
  };

  /// Started and ready, or std::runtime_error with the server's log.
  postgres_server();
  ~postgres_server();
  postgres_server(const postgres_server&) = delete;
  postgres_server& operator=(const postgres_server&) = delete;

  /// The server of this test process; started at the first call (one initdb per process).
  static postgres_server& shared();

  /// A new database owned by postgres. `content` demo: with the seven tables, no rows, no pgcast;
  /// empty: nothing at all. Gives its name. Databases of content demo are copies of a template.
  enum class content { demo, empty };
  std::string create_database(content wanted = content::demo);

  /// The conninfo string of a role ("postgres", "supabase_admin", "pgcast_reader", ..).
  std::string conninfo(const std::string& database, const std::string& role = "postgres",
                       transport way = transport::unix_socket) const;

  int version() const { return version_; }  ///< 15 for 15.x
  int port() const { return port_; }
  const std::filesystem::path& directory() const { return directory_; }
  std::string log() const;

  void stop(shutdown how);  ///< returns when the server process has ended
  void start();             ///< same port and data; returns when connections are accepted

  /// Kills one backend with SIGKILL: the server ends all sessions and recovers as after a crash.
  /// Returns when connections are accepted again.
  void kill_backend(int backend_pid);

 private:
  void create_cluster();
  void start_reaper();
  void wait_until_ready();
  pid_t spawn(const std::vector<std::string>& arguments, int standard_input) const;

  std::filesystem::path binaries_;
  std::filesystem::path directory_;
  std::string user_;  // the account that the server runs as; "" = ours
  int version_ = 0;
  int port_ = 0;
  pid_t server_ = -1;
  pid_t reaper_ = -1;
  int reaper_pipe_ = -1;  // our end; the reaper cleans up when it closes
  int databases_ = 0;
  bool has_template_ = false;
};

}  // namespace pgcast::test
