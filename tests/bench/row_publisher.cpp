#include "row_publisher.hpp"

#include <libpq-fe.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace {

constexpr const char* k_insert = "insert_row";
constexpr const char* k_sql =
    "INSERT INTO public.chat_history (session_id, message) VALUES ($1, $2::jsonb)";

[[noreturn]] void fail(const char* what, const char* detail) {
  std::fprintf(stderr, "loadgen: %s: %s\n", what, detail);
  std::exit(2);
}

}  // namespace

row_publisher::row_publisher(const std::string& conninfo, committed on_commit)
    : connection_(PQconnectdb(conninfo.c_str())), on_commit_(std::move(on_commit)) {
  if (PQstatus(connection_) != CONNECTION_OK) fail("database", PQerrorMessage(connection_));
  PGresult* prepared = PQprepare(connection_, k_insert, k_sql, 2, nullptr);
  if (PQresultStatus(prepared) != PGRES_COMMAND_OK) fail("insert", PQerrorMessage(connection_));
  PQclear(prepared);
  if (PQsetnonblocking(connection_, 1) != 0 || PQenterPipelineMode(connection_) != 1) {
    fail("pipeline", PQerrorMessage(connection_));
  }
}

row_publisher::~row_publisher() { PQfinish(connection_); }

void row_publisher::insert(const std::string& session, const std::string& message,
                           std::uint64_t stamp) {
  const std::array<const char*, 2> values{session.c_str(), message.c_str()};
  const int sent = PQsendQueryPrepared(connection_, k_insert, 2, values.data(), nullptr, nullptr, 0);
  if (sent != 1 || PQpipelineSync(connection_) != 1) fail("insert", PQerrorMessage(connection_));
  under_way_.push_back(stamp);
}

void row_publisher::pump() {
  if (PQflush(connection_) < 0 || PQconsumeInput(connection_) != 1) {
    fail("database", PQerrorMessage(connection_));
  }
  while (!under_way_.empty() && PQisBusy(connection_) == 0) {
    PGresult* answer = PQgetResult(connection_);
    if (answer == nullptr) continue;  // between a statement and its sync
    const auto status = PQresultStatus(answer);
    if (status != PGRES_COMMAND_OK && status != PGRES_PIPELINE_SYNC) {
      fail("insert", PQresultErrorMessage(answer));
    }
    PQclear(answer);
    if (status != PGRES_PIPELINE_SYNC) continue;  // the sync is what has committed
    on_commit_(under_way_.front());
    under_way_.pop_front();
  }
}

int row_publisher::descriptor() const { return PQsocket(connection_); }
