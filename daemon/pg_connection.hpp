#pragma once

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
/// connection is closed and connect() may be called again. One coroutine at a time.
class pg_connection {
 public:
  using milliseconds = std::chrono::milliseconds;

  explicit pg_connection(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
  ~pg_connection() { close(); }
  pg_connection(const pg_connection&) = delete;
  pg_connection& operator=(const pg_connection&) = delete;

  /// Connects with keepalives and application_name `name`; host names are resolved asynchronously.
  /// Fails with database_unreachable and libpq's sentence (without the password).
  boost::asio::awaitable<result<void>> connect(std::string conninfo, std::string name,
                                               milliseconds timeout);
  void close();
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
  /// `before` gets the rows of those ahead of it.
  boost::asio::awaitable<result<std::vector<pg_rows>>> start_stream(
      std::vector<pg_statement> statements, std::size_t streamed, milliseconds timeout);
  /// The next rows of the stream, at most `max_rows` and about `max_bytes`; empty at its end, when
  /// the connection is free again. Each element holds one row.
  boost::asio::awaitable<result<std::vector<pg_rows>>> next_rows(std::size_t max_rows,
                                                                 std::size_t max_bytes,
                                                                 milliseconds timeout);

  /// Waits for a notification; false when `timeout` passed without one. Only while nothing runs.
  boost::asio::awaitable<result<bool>> wait_notify(milliseconds timeout);

  int backend_pid() const { return connection_ ? PQbackendPID(connection_) : 0; }
  int server_version() const { return connection_ ? PQserverVersion(connection_) : 0; }

 private:
  enum class readiness { readable, writable };
  boost::asio::awaitable<bool> wait(readiness what, milliseconds timeout);
  boost::asio::awaitable<result<void>> flush(milliseconds timeout);
  boost::asio::awaitable<result<PGresult*>> next_result(milliseconds timeout);
  boost::asio::awaitable<result<void>> send(const std::vector<pg_statement>& statements,
                                            milliseconds timeout);
  boost::asio::awaitable<result<pg_rows>> rows_of_one(milliseconds timeout);
  boost::asio::awaitable<void> skip_to_sync(milliseconds timeout);
  boost::asio::awaitable<void> give_up(milliseconds timeout);
  void follow_descriptor();
  error lost(std::string what);
  bool take_notifications();

  boost::asio::any_io_executor executor_;
  std::optional<boost::asio::posix::stream_descriptor> descriptor_;
  PGconn* connection_ = nullptr;
  std::size_t results_after_stream_ = 0;
  bool stream_ended_ = true;
};

}  // namespace pgcast
