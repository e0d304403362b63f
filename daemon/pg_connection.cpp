#include "daemon/pg_connection.hpp"

#include "daemon/with_timeout.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <map>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using asio::use_awaitable;

asio::awaitable<void> wait_for(asio::posix::stream_descriptor& descriptor,
                               asio::posix::stream_descriptor::wait_type type) {
  boost::system::error_code ignored;
  co_await descriptor.async_wait(type, asio::redirect_error(use_awaitable, ignored));
}

constexpr std::chrono::milliseconds k_flush_slice{20};

/// libpq's message on one line.
std::string one_line(const char* message) {
  std::string text;
  for (const char* c = message == nullptr ? "" : message; *c != '\0'; ++c) {
    const bool is_blank = *c == '\n' || *c == '\t' || *c == ' ';
    if (!is_blank) text += *c;
    if (is_blank && !text.empty() && text.back() != ' ') text += ' ';
  }
  if (text.ends_with(' ')) text.pop_back();
  return text;
}

struct conninfo_options {
  std::map<std::string, std::string> values;
};

result<conninfo_options> parse_conninfo(const std::string& conninfo) {
  char* message = nullptr;
  PQconninfoOption* options =
      conninfo.empty() ? PQconndefaults() : PQconninfoParse(conninfo.c_str(), &message);
  if (options == nullptr) {
    error e{errc::database_unreachable, "database.url cannot be read: " + one_line(message)};
    PQfreemem(message);
    return e;
  }
  conninfo_options out;
  for (auto* o = options; o->keyword != nullptr; ++o) {
    if (o->val != nullptr && *o->val != '\0') out.values[o->keyword] = o->val;
  }
  PQconninfoFree(options);
  if (!conninfo.empty() && !out.values.contains("host") && getenv("PGHOST") != nullptr) {
    out.values["host"] = getenv("PGHOST");
  }
  return out;
}

bool is_resolved(const std::string& host) {
  boost::system::error_code failed;
  asio::ip::make_address(host, failed);
  return !failed || host.empty() || host.front() == '/' || host.front() == '@';
}

/// Name resolution inside PQconnectStart would block the thread: resolve every host name of the
/// list first and give the addresses as hostaddr (libpq keeps `host` for TLS).
asio::awaitable<void> resolve_hosts(conninfo_options& options) {
  const auto found = options.values.find("host");
  if (found == options.values.end() || options.values.contains("hostaddr")) co_return;
  std::string addresses;
  bool has_name = false;
  std::size_t begin = 0;
  const std::string hosts = found->second;
  for (;;) {
    const auto end = hosts.find(',', begin);
    const std::string host = hosts.substr(begin, end == std::string::npos ? end : end - begin);
    if (!is_resolved(host)) {
      asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
      boost::system::error_code failed;
      const std::string no_service;
      const auto results = co_await resolver.async_resolve(
          host, no_service, asio::redirect_error(use_awaitable, failed));
      if (!failed && !results.empty()) {
        addresses += results.begin()->endpoint().address().to_string();
        has_name = true;
      }
    }
    if (end == std::string::npos) break;
    addresses += ',';
    begin = end + 1;
  }
  if (has_name) options.values["hostaddr"] = addresses;
}

PGconn* start_connection(const conninfo_options& options) {
  std::vector<const char*> keys;
  std::vector<const char*> values;
  for (const auto& [key, value] : options.values) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  return PQconnectStartParams(keys.data(), values.data(), 0);
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

void pg_connection::close() {
  if (descriptor_) {
    descriptor_->release();
    descriptor_.reset();
  }
  if (connection_ != nullptr) PQfinish(connection_);
  connection_ = nullptr;
}

error pg_connection::lost(std::string what) {
  const std::string why = connection_ == nullptr ? "" : one_line(PQerrorMessage(connection_));
  close();
  return {errc::database_unreachable, why.empty() ? std::move(what) : why};
}

void pg_connection::follow_descriptor() {
  const int fd = PQsocket(connection_);
  if (descriptor_ && descriptor_->native_handle() == fd) return;
  if (descriptor_) descriptor_->release();
  descriptor_.emplace(executor_);
  if (fd >= 0) descriptor_->assign(fd);
}

asio::awaitable<bool> pg_connection::wait(readiness what, milliseconds timeout) {
  using wait_type = asio::posix::stream_descriptor::wait_type;
  const auto type = what == readiness::readable ? wait_type::wait_read : wait_type::wait_write;
  auto* const descriptor = &*descriptor_;
  const auto cancel = [descriptor] { descriptor->cancel(); };
  const bool in_time = co_await with_timeout(wait_for(*descriptor, type), timeout, cancel);
  co_return in_time;
}

asio::awaitable<result<void>> pg_connection::connect(std::string conninfo, std::string name,
                                                     milliseconds timeout) {
  close();
  auto options = parse_conninfo(conninfo);
  if (!options) co_return options.error();
  options->values["fallback_application_name"] = std::move(name);
  options->values["client_encoding"] = "UTF8";
  options->values.try_emplace("keepalives_idle", "10");
  options->values.try_emplace("keepalives_interval", "5");
  options->values.try_emplace("keepalives_count", "3");
  options->values.try_emplace("tcp_user_timeout", "15000");
  co_await resolve_hosts(*options);
  connection_ = start_connection(*options);
  if (connection_ == nullptr || PQstatus(connection_) == CONNECTION_BAD) {
    co_return lost("the database cannot be reached");
  }
  auto poll = PGRES_POLLING_WRITING;
  while (poll != PGRES_POLLING_OK) {
    if (poll == PGRES_POLLING_FAILED) co_return lost("the database cannot be reached");
    follow_descriptor();
    const auto what = poll == PGRES_POLLING_READING ? readiness::readable : readiness::writable;
    const bool in_time = co_await wait(what, timeout);
    if (!in_time) {
      close();
      co_return error{errc::database_unreachable, "the database did not answer in time"};
    }
    poll = PQconnectPoll(connection_);
  }
  follow_descriptor();
  PQsetnonblocking(connection_, 1);
  PQsetNoticeProcessor(
      connection_, [](void*, const char*) {}, nullptr);
  if (PQenterPipelineMode(connection_) != 1) co_return lost("pipeline mode refused");
  co_return result<void>{};
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

asio::awaitable<result<PGresult*>> pg_connection::next_result(milliseconds timeout) {
  while (PQisBusy(connection_) != 0) {
    const bool in_time = co_await wait(readiness::readable, timeout);
    if (!in_time) {
      close();
      co_return error{errc::database_unreachable, "the database did not answer in time"};
    }
    if (PQconsumeInput(connection_) != 1) co_return lost("the connection to the database was lost");
  }
  co_return PQgetResult(connection_);
}

asio::awaitable<result<void>> pg_connection::send(const std::vector<pg_statement>& statements,
                                                  milliseconds timeout) {
  if (connection_ == nullptr) {
    co_return error{errc::database_unreachable, "not connected to the database"};
  }
  for (const auto& s : statements) {
    std::vector<const char*> values;
    for (const auto& p : s.parameters) values.push_back(p ? p->c_str() : nullptr);
    const int count = static_cast<int>(values.size());
    const int sent = s.is_prepared ? PQsendQueryPrepared(connection_, s.sql.c_str(), count,
                                                         values.data(), nullptr, nullptr, 0)
                                   : PQsendQueryParams(connection_, s.sql.c_str(), count, nullptr,
                                                       values.data(), nullptr, nullptr, 0);
    if (sent != 1) {
      co_return lost("a query could not be sent");
    }
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
    const char* state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    if (!failed) {
      failed = error{errc::query_failed, std::string{state == nullptr ? "" : state} + " " +
                                             one_line(PQresultErrorMessage(r))};
    }
    PQclear(r);
    if (PQstatus(connection_) == CONNECTION_BAD) {
      co_return lost("the connection to the database was lost");
    }
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
  auto sent = co_await send(statements, timeout);
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

asio::awaitable<result<std::vector<pg_rows>>> pg_connection::next_rows(std::size_t max_rows,
                                                                       std::size_t max_bytes,
                                                                       milliseconds timeout) {
  std::vector<pg_rows> rows;
  std::size_t bytes = 0;
  while (!stream_ended_ && rows.size() < max_rows && bytes < max_bytes) {
    auto next = co_await next_result(timeout);
    if (!next) co_return next.error();
    PGresult* r = *next;
    if (r == nullptr) {
      stream_ended_ = true;
    } else if (PQresultStatus(r) == PGRES_SINGLE_TUPLE) {
      bytes += PQresultMemorySize(r);
      rows.emplace_back(r);
    } else if (PQresultStatus(r) == PGRES_TUPLES_OK) {
      PQclear(r);  // the empty result that ends the rows
    } else {
      const error failed{errc::query_failed, one_line(PQresultErrorMessage(r))};
      PQclear(r);
      stream_ended_ = true;
      co_await give_up(timeout);
      co_return failed;
    }
  }
  if (!rows.empty()) co_return rows;
  for (; results_after_stream_ > 0; --results_after_stream_) {
    auto rest = co_await rows_of_one(timeout);
    if (!rest) co_return rest.error();
  }
  co_await skip_to_sync(timeout);
  co_return rows;
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
