#pragma once

#include "daemon/pg_options.hpp"
#include "protocol/error.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// A statement with text parameters; nullopt is NULL.
struct pg_statement {
  std::string sql;
  std::vector<std::optional<std::string>> parameters;
  bool is_prepared = false;  ///< `sql` is the name under which prepare() knows it

  pg_statement(std::string text) : sql(std::move(text)) {}
  pg_statement(std::string text, std::vector<std::optional<std::string>> values)
      : sql(std::move(text)), parameters(std::move(values)) {}
};

/// The rows that one statement gave, in text format. Moves only.
class pg_rows {
 public:
  pg_rows() = default;
  explicit pg_rows(PGresult* result) : result_(result, &PQclear) {}

  int size() const { return result_ ? PQntuples(result_.get()) : 0; }
  /// nullopt for SQL NULL; valid while this object lives.
  std::optional<std::string_view> at(int row, int column) const;
  /// The value, "" for NULL.
  std::string_view text(int row, int column) const;

 private:
  std::unique_ptr<PGresult, decltype(&PQclear)> result_{nullptr, &PQclear};
};

/// One libpq connection on an Asio descriptor, in pipeline mode after connect().
///
/// Every wait has a deadline: a server that does not answer in time is treated as lost, because
/// TCP keepalive only proves that a proxy lives. After an error other than query_failed the
/// connection is closed and connect() may be called again; so it is when the server ended the
/// connection or has no room (SQLSTATE classes 53, 58). One coroutine at a time.
class pg_connection {
 public:
  using milliseconds = std::chrono::milliseconds;

  explicit pg_connection(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
  ~pg_connection() { close(); }
  pg_connection(const pg_connection&) = delete;
  pg_connection& operator=(const pg_connection&) = delete;

  /// Connects with keepalives and application_name `name`; host names are looked up without
  /// blocking. Of several servers each is tried in turn, first the one that this object was
  /// connected to last; each has 3 s at most, or connect_timeout. Fails with database_unreachable
  /// and libpq's sentence (without the password); refused_with() then says more.
  boost::asio::awaitable<result<void>> connect(std::string text, std::string name,
                                               milliseconds timeout);
  /// Of a list of servers, try the one first that `other` is connected to.
  void prefer_server_of(const pg_connection& other) { server_ = other.server_; }
  /// SQLSTATE with which the last server refused the last connect(), "" = none.
  const std::string& refused_with() const { return refused_with_; }
  void close();
  /// Ends a wait for the server that has lasted for longer than that, as if its time were over.
  void give_up_if_silent(milliseconds longest);
  bool is_open() const { return connection_ != nullptr; }

  /// Prepares a statement for the life of the connection. Not through a transaction pooler.
  boost::asio::awaitable<result<void>> prepare(std::string name, std::string sql,
                                               milliseconds timeout);

  /// Runs statements in one round trip and gives their rows in order. The first failing one makes
  /// the whole call fail with query_failed (detail: SQLSTATE and message); the rest was not run,
  /// and a transaction that is open is rolled back.
  boost::asio::awaitable<result<std::vector<pg_rows>>> run(std::vector<pg_statement> statements,
                                                           milliseconds timeout);

  /// Starts statements of which the one at `streamed` comes row by row through next_rows().
  /// Gives the rows of those ahead of it, as soon as the server has them.
  boost::asio::awaitable<result<std::vector<pg_rows>>> start_stream(
      std::vector<pg_statement> statements, std::size_t streamed, milliseconds timeout);
  /// What next_rows() found.
  struct part {
    std::vector<pg_rows> rows;  ///< each holds one row
    bool is_silent = false;     ///< nothing came for so long; next_rows() may be called again
    bool is_end = false;        ///< the stream is over, and the connection free again
  };
  /// The next rows of the stream, at most `max_rows` and about `max_bytes`, fewer when the server
  /// falls silent. It is for the caller to find out whether a silent server works or is lost.
  boost::asio::awaitable<result<part>> next_rows(std::size_t max_rows, std::size_t max_bytes,
                                                 milliseconds silence);

  /// Waits for a notification; false when `timeout` passed without one. Only while nothing runs.
  boost::asio::awaitable<result<bool>> wait_notify(milliseconds timeout);

  int backend_pid() const { return connection_ ? PQbackendPID(connection_) : 0; }
  std::string port() const { return connection_ ? PQport(connection_) : ""; }
  int server_version() const { return connection_ ? PQserverVersion(connection_) : 0; }

 private:
  enum class readiness { readable, writable };
  boost::asio::awaitable<result<void>> connect_to(pg_options server, milliseconds share);
  boost::asio::awaitable<result<void>> connect_to_address(const pg_options& address,
                                                          milliseconds share);
  boost::asio::awaitable<bool> wait(readiness what, milliseconds timeout);
  boost::asio::awaitable<result<void>> flush(milliseconds timeout);
  boost::asio::awaitable<result<bool>> wait_for_result(milliseconds timeout);
  boost::asio::awaitable<result<PGresult*>> next_result(milliseconds timeout);
  boost::asio::awaitable<result<void>> send(const std::vector<pg_statement>& statements,
                                            milliseconds timeout, std::size_t at_once = 0);
  boost::asio::awaitable<result<pg_rows>> rows_of_one(milliseconds timeout);
  boost::asio::awaitable<void> skip_to_sync(milliseconds timeout);
  boost::asio::awaitable<void> give_up(milliseconds timeout);
  void follow_descriptor();
  error lost(std::string what);
  error failure_of(const PGresult* r) const;
  bool take_notifications();

  boost::asio::any_io_executor executor_;
  std::optional<boost::asio::posix::stream_descriptor> descriptor_;
  PGconn* connection_ = nullptr;
  std::optional<std::chrono::steady_clock::time_point> waits_since_;
  bool is_given_up_ = false;
  std::string server_;  ///< of a list, the one that was connected to last
  std::string refused_with_;
  std::size_t results_after_stream_ = 0;
  bool stream_ended_ = true;
};

}  // namespace pgcast
