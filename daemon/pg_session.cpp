#include "daemon/pg_session.hpp"

#include <algorithm>
#include <cstdlib>

namespace pgcast {
namespace {

/// A message of libpq on one line, without the break at its end.
std::string on_one_line(std::string_view message) {
  std::string line;
  for (const char c : message) {
    const bool is_blank = c == '\n' || c == '\t' || c == '\r' || c == ' ';
    if (!is_blank)
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  }
  while (line.ends_with(' ') || line.ends_with('.')) line.pop_back();
  return line;
}

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

result<std::vector<pg_session::row>> pg_session::query(const std::string& sql,
                                                       const std::vector<std::string>& parameters) {
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const auto& parameter : parameters) values.push_back(parameter.c_str());
  const answer_ptr answer(PQexecParams(connection_.get(), sql.c_str(),
                                       static_cast<int>(values.size()), nullptr, values.data(),
                                       nullptr, nullptr, 0));
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
  const answer_ptr answer(PQexec(connection_.get(), script.c_str()));
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

result<pooling> detect_pooling(pg_session& session, const std::string& database_url) {
  const std::string ask = "SELECT pg_catalog.pg_backend_pid()";
  auto first = session.query_value(ask);
  if (!first) return first.error();
  if (*first == std::to_string(session.backend_pid())) return pooling::none;
  if (session.port() == "6543") return pooling::transaction;  // Supabase's transaction mode

  // A pooler numbers backends itself in either mode. In transaction mode the server connection is
  // free now, so that somebody else's transaction may take it.
  auto other = pg_session::open(database_url);
  if (!other) return other.error();
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (const auto begun = other->run("BEGIN"); !begun) return begun.error();
    const auto theirs = other->query_value(ask);
    const auto again = session.query_value(ask);
    if (const auto ended = other->run("ROLLBACK"); !ended) return ended.error();
    if (!theirs) return theirs.error();
    if (!again) return again.error();
    if (*theirs == *first || *again != *first) return pooling::transaction;
  }
  return pooling::session;
}

std::string pooler_remedy(const pg_session& session) {
  const bool is_supabase = session.host().ends_with(".pooler.supabase.com");
  if (is_supabase || session.port() == "6543") {
    return "use session mode, port 5432 of the same host, or the direct host";
  }
  return "use the pooler's session mode or the server's own address";
}

}  // namespace pgcast
