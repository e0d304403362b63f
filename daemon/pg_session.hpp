#pragma once

#include "protocol/error.hpp"

#include <libpq-fe.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgcast {

/// One blocking connection to the database, for the commands that an operator types. The daemon
/// itself uses pg_connection. No wait is for ever: a server or pooler that does not answer a
/// statement within a minute fails it, and the connection is of no use then.
class pg_session {
 public:
  using row = std::vector<std::optional<std::string>>;  ///< one text a column; nothing = NULL

  /// Connects within 10 s unless the connection string says otherwise. Fails with
  /// database_unreachable and one sentence with the remedy; never quotes a password.
  static result<pg_session> open(const std::string& database_url);

  /// One statement with text parameters $1, $2, ... Fails with query_failed and the server's
  /// message; see sqlstate().
  result<std::vector<row>> query(const std::string& sql,
                                 const std::vector<std::string>& parameters = {});

  /// The first column of the first row; "" for NULL and for no row.
  result<std::string> query_value(const std::string& sql,
                                  const std::vector<std::string>& parameters = {});

  /// Any number of statements. Fails as query() does.
  result<void> run(const std::string& script);

  /// Receives each notice of the server as one line.
  void on_notice(std::function<void(const std::string&)> receiver);

  /// Five characters, of the last failure; "" when the server did not answer.
  const std::string& sqlstate() const { return sqlstate_; }

  int server_version() const { return PQserverVersion(connection_.get()); }  ///< 150003 = 15.3
  std::string host() const { return PQhost(connection_.get()); }
  std::string port() const { return PQport(connection_.get()); }
  std::string database() const { return PQdb(connection_.get()); }
  std::string user() const { return PQuser(connection_.get()); }

 private:
  struct closer {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  struct clearer {
    void operator()(PGresult* answer) const { PQclear(answer); }
  };
  using answer_ptr = std::unique_ptr<PGresult, clearer>;

  explicit pg_session(PGconn* connection) : connection_(connection) {}
  error failure(const PGresult* answer);
  result<answer_ptr> last_answer();

  std::unique_ptr<std::function<void(const std::string&)>>
      notice_receiver_;  ///< libpq points to it
  std::unique_ptr<PGconn, closer> connection_;
  std::string sqlstate_;
};

/// The remedy for a pooler in transaction mode.
std::string pooler_remedy(const pg_session& session);

}  // namespace pgcast
