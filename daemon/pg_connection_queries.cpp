#include "daemon/pg_connection.hpp"

#include "daemon/sql_text.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_flush_slice{20};
constexpr std::chrono::milliseconds k_wait_for_more{100};
constexpr std::chrono::milliseconds k_end_of_stream_timeout{5'000};

/// The server ends the connection, or cannot serve it now (classes 53, 58): nothing is wrong with
/// the statement, so it is tried again on another connection.
bool is_fault_of_server(const PGresult* r) {
  const char* severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
  const char* state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
  const std::string_view how = severity == nullptr ? "" : severity;
  const std::string_view code = state == nullptr ? "" : state;
  return how == "FATAL" || how == "PANIC" || code.starts_with("53") || code.starts_with("58");
}

}  // namespace

std::optional<std::string_view> pg_rows::at(int row, int column) const {
  if (PQgetisnull(result_.get(), row, column) != 0) return std::nullopt;
  return std::string_view{PQgetvalue(result_.get(), row, column),
                          static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::string_view pg_rows::text(int row, int column) const {
  return at(row, column).value_or(std::string_view{});
}

asio::awaitable<result<void>> pg_connection::flush(milliseconds timeout) {
  for (auto left = timeout; left > milliseconds{0}; left -= k_flush_slice) {
    const int more = PQflush(connection_);
    if (more == 0) co_return result<void>{};
    if (more < 0) co_return lost("the connection to the database was lost");
    // In slices: the server may stop reading until we have read what it sends.
    const bool is_writable = co_await wait(readiness::writable, k_flush_slice);
    if (is_writable) left += k_flush_slice;
    if (PQconsumeInput(connection_) != 1) co_return lost("the connection to the database was lost");
  }
  close();
  co_return error{errc::database_unreachable, "the database did not answer in time"};
}

asio::awaitable<result<bool>> pg_connection::wait_for_result(milliseconds timeout) {
  while (PQisBusy(connection_) != 0) {
    const bool in_time = co_await wait(readiness::readable, timeout);
    if (!in_time) co_return false;
    if (PQconsumeInput(connection_) != 1) co_return lost("the connection to the database was lost");
  }
  co_return true;
}

asio::awaitable<result<PGresult*>> pg_connection::next_result(milliseconds timeout) {
  const auto arrival = co_await wait_for_result(timeout);
  if (!arrival) co_return arrival.error();
  if (!*arrival) {
    close();
    co_return error{errc::database_unreachable, "the database did not answer in time"};
  }
  co_return PQgetResult(connection_);
}

error pg_connection::failure_of(const PGresult* r) const {
  const char* state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
  const bool is_lost = is_fault_of_server(r) || PQstatus(connection_) == CONNECTION_BAD;
  return {is_lost ? errc::database_unreachable : errc::query_failed,
          std::string{state == nullptr ? "" : state} + " " + on_one_line(PQresultErrorMessage(r))};
}

asio::awaitable<result<void>> pg_connection::send(const std::vector<pg_statement>& statements,
                                                  milliseconds timeout, std::size_t at_once) {
  if (connection_ == nullptr) {
    co_return error{errc::database_unreachable, "not connected to the database"};
  }
  for (std::size_t i = 0; i < statements.size(); ++i) {
    const auto& s = statements[i];
    std::vector<const char*> values;
    for (const auto& p : s.parameters) values.push_back(p ? p->c_str() : nullptr);
    const int count = static_cast<int>(values.size());
    const int sent = s.is_prepared ? PQsendQueryPrepared(connection_, s.sql.c_str(), count,
                                                         values.data(), nullptr, nullptr, 0)
                                   : PQsendQueryParams(connection_, s.sql.c_str(), count, nullptr,
                                                       values.data(), nullptr, nullptr, 0);
    // Without being asked to, a server keeps answers back until the end of the pipeline.
    const bool is_flushed = i + 1 != at_once || PQsendFlushRequest(connection_) == 1;
    if (sent != 1 || !is_flushed) co_return lost("a query could not be sent");
  }
  if (PQpipelineSync(connection_) != 1) co_return lost("a query could not be sent");
  co_return co_await flush(timeout);
}

/// Takes all results of one statement; its rows are those of the last result.
asio::awaitable<result<pg_rows>> pg_connection::rows_of_one(milliseconds timeout) {
  pg_rows rows;
  std::optional<error> failed;
  for (;;) {
    auto next = co_await next_result(timeout);
    if (!next) co_return next.error();
    PGresult* r = *next;
    if (r == nullptr) break;
    const auto status = PQresultStatus(r);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
      rows = pg_rows{r};
      continue;
    }
    auto why = failure_of(r);
    PQclear(r);
    if (why.code == errc::database_unreachable) close();
    if (connection_ == nullptr) co_return why;
    if (!failed) failed = std::move(why);
  }
  if (failed) co_return *std::move(failed);
  co_return rows;
}

asio::awaitable<void> pg_connection::skip_to_sync(milliseconds timeout) {
  int empty = 0;
  while (connection_ != nullptr && empty < 2) {
    auto next = co_await next_result(timeout);
    if (!next) co_return;
    if (*next == nullptr) {
      ++empty;
      continue;
    }
    empty = 0;
    const auto status = PQresultStatus(*next);
    PQclear(*next);
    if (status == PGRES_PIPELINE_SYNC) co_return;
  }
}

asio::awaitable<result<void>> pg_connection::prepare(std::string name, std::string sql,
                                                     milliseconds timeout) {
  const bool is_sent = PQsendPrepare(connection_, name.c_str(), sql.c_str(), 0, nullptr) == 1 &&
                       PQpipelineSync(connection_) == 1;
  if (!is_sent) co_return lost("a query could not be sent");
  auto flushed = co_await flush(timeout);
  if (!flushed) co_return flushed.error();
  auto prepared = co_await rows_of_one(timeout);
  if (!prepared) {
    co_await give_up(timeout);
    co_return prepared.error();
  }
  co_await skip_to_sync(timeout);
  co_return result<void>{};
}

/// After a failed statement: leaves the pipeline and any transaction.
asio::awaitable<void> pg_connection::give_up(milliseconds timeout) {
  co_await skip_to_sync(timeout);
  if (connection_ == nullptr || PQtransactionStatus(connection_) == PQTRANS_IDLE) co_return;
  std::vector<pg_statement> rollback;
  rollback.emplace_back("ROLLBACK");
  const auto sent = co_await send(rollback, timeout);
  if (!sent) co_return;
  const auto done = co_await rows_of_one(timeout);
  if (!done && connection_ == nullptr) co_return;
  co_await skip_to_sync(timeout);
}

asio::awaitable<result<std::vector<pg_rows>>> pg_connection::run(
    std::vector<pg_statement> statements, milliseconds timeout) {
  auto sent = co_await send(statements, timeout);
  if (!sent) co_return sent.error();
  std::vector<pg_rows> all;
  for (std::size_t i = 0; i < statements.size(); ++i) {
    auto rows = co_await rows_of_one(timeout);
    if (!rows) {
      co_await give_up(timeout);
      co_return rows.error();
    }
    all.push_back(*std::move(rows));
  }
  co_await skip_to_sync(timeout);
  co_return all;
}

asio::awaitable<result<std::vector<pg_rows>>> pg_connection::start_stream(
    std::vector<pg_statement> statements, std::size_t streamed, milliseconds timeout) {
  auto sent = co_await send(statements, timeout, streamed);
  if (!sent) co_return sent.error();
  std::vector<pg_rows> before;
  for (std::size_t i = 0; i < streamed; ++i) {
    auto rows = co_await rows_of_one(timeout);
    if (!rows) {
      co_await give_up(timeout);
      co_return rows.error();
    }
    before.push_back(*std::move(rows));
  }
  PQsetSingleRowMode(connection_);
  stream_ended_ = false;
  results_after_stream_ = statements.size() - streamed - 1;
  co_return before;
}

asio::awaitable<result<pg_connection::part>> pg_connection::next_rows(std::size_t max_rows,
                                                                      std::size_t max_bytes,
                                                                      milliseconds silence) {
  part found;
  std::size_t bytes = 0;
  while (!stream_ended_ && found.rows.size() < max_rows && bytes < max_bytes) {
    // What is there does not wait for what may not come.
    const auto patience = found.rows.empty() ? silence : std::min(silence, k_wait_for_more);
    const auto arrival = co_await wait_for_result(patience);
    if (!arrival) co_return arrival.error();
    if (!*arrival) {
      found.is_silent = found.rows.empty();
      co_return found;
    }
    PGresult* r = PQgetResult(connection_);
    if (r == nullptr) {
      stream_ended_ = true;
    } else if (PQresultStatus(r) == PGRES_SINGLE_TUPLE) {
      bytes += PQresultMemorySize(r);
      found.rows.emplace_back(r);
    } else if (PQresultStatus(r) == PGRES_TUPLES_OK) {
      PQclear(r);  // the empty result that ends the rows
    } else {
      const auto failed = failure_of(r);
      PQclear(r);
      stream_ended_ = true;
      if (failed.code == errc::database_unreachable) close();
      if (connection_ != nullptr) co_await give_up(silence);
      co_return failed;
    }
  }
  if (!found.rows.empty()) co_return found;
  for (; results_after_stream_ > 0; --results_after_stream_) {
    auto rest = co_await rows_of_one(k_end_of_stream_timeout);
    if (!rest) co_return rest.error();
  }
  co_await skip_to_sync(k_end_of_stream_timeout);
  found.is_end = true;
  co_return found;
}

bool pg_connection::take_notifications() {
  bool any = false;
  while (PGnotify* n = PQnotifies(connection_)) {
    any = true;
    PQfreemem(n);
  }
  return any;
}

asio::awaitable<result<bool>> pg_connection::wait_notify(milliseconds timeout) {
  if (connection_ == nullptr) {
    co_return error{errc::database_unreachable, "not connected to the database"};
  }
  if (take_notifications()) co_return true;
  const bool is_readable = co_await wait(readiness::readable, timeout);
  if (!is_readable) co_return false;
  if (PQconsumeInput(connection_) != 1) co_return lost("the connection to the database was lost");
  co_return take_notifications();
}

}  // namespace pgcast
