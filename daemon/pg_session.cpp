#include "daemon/pg_session.hpp"

#include "daemon/pg_options.hpp"
#include "daemon/sql_text.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include <poll.h>

namespace pgcast {
namespace {

constexpr std::chrono::seconds k_answer_timeout{60};

std::string field(const PGresult* answer, int code) {
  const char* text = PQresultErrorField(answer, code);
  return text == nullptr ? "" : text;
}

/// libpq's words without the questions that it adds on lines of their own, after a tab.
std::string without_questions(std::string_view message) {
  std::string kept;
  while (!message.empty()) {
    const auto end = std::min(message.find('\n'), message.size() - 1) + 1;
    if (!message.starts_with('\t')) kept += message.substr(0, end);
    message.remove_prefix(end);
  }
  return on_one_line(kept);
}

/// "already exists, skipping" and "does not exist, skipping" are what idempotent SQL is about.
bool is_worth_showing(const PGresult* notice) {
  return !field(notice, PG_DIAG_MESSAGE_PRIMARY).ends_with(", skipping");
}

void receive_notice(void* receiver, const PGresult* notice) {
  if (!is_worth_showing(notice)) return;
  auto line = on_one_line(field(notice, PG_DIAG_MESSAGE_PRIMARY));
  const auto hint = on_one_line(field(notice, PG_DIAG_MESSAGE_HINT));
  if (!hint.empty()) line += "; " + hint;
  (*static_cast<std::function<void(const std::string&)>*>(receiver))(line);
}

}  // namespace

result<pg_session> pg_session::open(const std::string& database_url) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  const auto add = [&](const char* keyword, const char* value) {
    keywords.push_back(keyword);
    values.push_back(value);
  };
  // What stands before dbname is a default: the connection string overrides it.
  if (std::getenv("PGCONNECT_TIMEOUT") == nullptr) add("connect_timeout", "10");
  const auto options = parse_conninfo(database_url);
  // Of several servers the primary, as for the daemon.
  if (options && split_servers(*options).size() > 1) add("target_session_attrs", "primary");
  if (!database_url.empty()) add("dbname", database_url.c_str());
  add("fallback_application_name", "pgcast");
  add("client_encoding", "UTF8");
  add(nullptr, nullptr);
  pg_session session(PQconnectdbParams(keywords.data(), values.data(), 1));
  if (PQstatus(session.connection_.get()) == CONNECTION_OK) return session;
  return error{errc::database_unreachable,
               "the database cannot be reached: " +
                   without_questions(PQerrorMessage(session.connection_.get())) +
                   "; check database.url (PGCAST_DATABASE_URL) and that the server runs"};
}

error pg_session::failure(const PGresult* answer) {
  sqlstate_ = field(answer, PG_DIAG_SQLSTATE);
  auto message = field(answer, PG_DIAG_MESSAGE_PRIMARY);
  if (message.empty()) message = PQerrorMessage(connection_.get());
  // Of lock_not_available the hint says "try again", which is what the caller does.
  const auto hint = sqlstate_ == "55P03" ? "" : field(answer, PG_DIAG_MESSAGE_HINT);
  return {errc::query_failed, on_one_line(message + (hint.empty() ? "" : "; " + hint))};
}

/// Waits for all results of a statement and gives the last one, or the first that failed.
result<pg_session::answer_ptr> pg_session::last_answer() {
  const auto deadline = std::chrono::steady_clock::now() + k_answer_timeout;
  answer_ptr last;
  for (;;) {
    while (PQisBusy(connection_.get()) == 1) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      pollfd waiting{PQsocket(connection_.get()), POLLIN, 0};
      const int ready = left.count() <= 0 ? 0 : ::poll(&waiting, 1, static_cast<int>(left.count()));
      if (ready == 0) {
        sqlstate_.clear();
        return error{errc::database_unreachable,
                     "the database did not answer within a minute; look for locks in "
                     "pg_stat_activity, or behind a pooler for a free server connection"};
      }
      if (PQconsumeInput(connection_.get()) != 1) return answer_ptr{};
    }
    answer_ptr next(PQgetResult(connection_.get()));
    if (!next) return last;
    const bool has_failed = PQresultStatus(last.get()) == PGRES_FATAL_ERROR;
    if (!last || !has_failed) last = std::move(next);
  }
}

result<std::vector<pg_session::row>> pg_session::query(const std::string& sql,
                                                       const std::vector<std::string>& parameters) {
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const auto& parameter : parameters) values.push_back(parameter.c_str());
  PQsendQueryParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                    values.data(), nullptr, nullptr, 0);
  const auto answered = last_answer();
  if (!answered) return answered.error();
  const auto& answer = *answered;
  const auto status = PQresultStatus(answer.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) return failure(answer.get());
  std::vector<row> rows(static_cast<std::size_t>(PQntuples(answer.get())));
  for (int r = 0; r < PQntuples(answer.get()); ++r) {
    auto& columns = rows[static_cast<std::size_t>(r)];
    for (int c = 0; c < PQnfields(answer.get()); ++c) {
      const bool is_null = PQgetisnull(answer.get(), r, c) == 1;
      columns.push_back(is_null ? std::nullopt
                                : std::optional<std::string>(PQgetvalue(answer.get(), r, c)));
    }
  }
  return rows;
}

result<std::string> pg_session::query_value(const std::string& sql,
                                            const std::vector<std::string>& parameters) {
  const auto rows = query(sql, parameters);
  if (!rows) return rows.error();
  if (rows->empty() || rows->front().empty()) return std::string();
  return rows->front().front().value_or("");
}

result<void> pg_session::run(const std::string& script) {
  PQsendQuery(connection_.get(), script.c_str());
  const auto answered = last_answer();
  if (!answered) return answered.error();
  const auto& answer = *answered;
  const auto status = PQresultStatus(answer.get());
  const bool is_good =
      status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY;
  if (!is_good) return failure(answer.get());
  return {};
}

void pg_session::on_notice(std::function<void(const std::string&)> receiver) {
  notice_receiver_ = std::make_unique<std::function<void(const std::string&)>>(std::move(receiver));
  PQsetNoticeReceiver(connection_.get(), &receive_notice, notice_receiver_.get());
}

std::string pooler_remedy(const pg_session& session) {
  const bool is_supabase = session.host().ends_with(".pooler.supabase.com");
  if (is_supabase || session.port() == "6543") {
    return "use session mode, port 5432 of the same host, or the direct host";
  }
  return "use the pooler's session mode or the server's own address";
}

}  // namespace pgcast
