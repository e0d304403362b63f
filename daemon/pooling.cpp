#include "daemon/source_session.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <optional>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_probe_timeout{2'000};
constexpr int k_attempts = 3;

/// Which backend runs `statements`; the last of them asks for it.
asio::awaitable<result<std::string>> ask_backend(pg_connection& pg,
                                                 std::vector<pg_statement> statements) {
  statements.emplace_back("SELECT pg_backend_pid()");
  auto rows = co_await pg.run(std::move(statements), k_probe_timeout);
  if (!rows) co_return rows.error();
  co_return std::string{rows->back().text(0, 0)};
}

asio::awaitable<result<std::string>> ask_backend(pg_connection& pg) {
  std::vector<pg_statement> nothing_before;
  auto answer = co_await ask_backend(pg, std::move(nothing_before));
  co_return answer;
}

/// One round of the second connection: false if it shares server connections with the first.
asio::awaitable<result<bool>> stays_apart(pg_connection& pg, pg_connection& other,
                                          std::string first) {
  // While nothing runs, the server connection of the first is the likeliest to be given out.
  auto theirs = co_await ask_backend(other);
  if (!theirs) co_return false;
  if (*theirs == first) co_return false;
  std::vector<pg_statement> begin;
  begin.emplace_back("BEGIN");
  theirs = co_await ask_backend(other, std::move(begin));
  if (!theirs) co_return false;
  auto ours = co_await ask_backend(pg);
  if (!ours) co_return ours.error();
  std::vector<pg_statement> end;
  end.emplace_back("ROLLBACK");
  auto ended = co_await other.run(std::move(end), k_probe_timeout);
  if (!ended) co_return false;
  co_return *theirs != first&&* ours == first;
}

asio::awaitable<void> connect_and_detect(std::string conninfo,
                                         std::optional<result<pooling>>& found) {
  pg_connection pg(co_await asio::this_coro::executor);
  auto connected = co_await pg.connect(conninfo, "pgcast probe", k_answer_timeout);
  if (!connected) {
    found.emplace(connected.error());
    co_return;
  }
  auto detected = co_await detect_pooling(pg, std::move(conninfo));
  found.emplace(std::move(detected));
}

}  // namespace

asio::awaitable<result<pooling>> detect_pooling(pg_connection& pg, std::string conninfo) {
  auto first = co_await ask_backend(pg);
  if (!first) co_return first.error();
  if (*first == std::to_string(pg.backend_pid())) co_return pooling::none;
  if (pg.port() == "6543") co_return pooling::transaction;  // Supabase's transaction mode
  pg_connection other(co_await asio::this_coro::executor);
  auto connected = co_await other.connect(std::move(conninfo), "pgcast probe", k_answer_timeout);
  if (!connected && is_refused_for_now(other)) co_return pooling::transaction;
  if (!connected) co_return connected.error();
  for (int attempt = 0; attempt < k_attempts; ++attempt) {
    auto again = co_await ask_backend(pg);
    if (!again) co_return again.error();
    if (*again != *first) co_return pooling::transaction;
    auto apart = co_await stays_apart(pg, other, *first);
    if (!apart) co_return apart.error();
    if (!*apart) co_return pooling::transaction;
  }
  co_return pooling::session;
}

result<pooling> detect_pooling(const std::string& conninfo) {
  asio::io_context context{1};
  std::optional<result<pooling>> found;
  asio::co_spawn(context, connect_and_detect(conninfo, found), [](std::exception_ptr failed) {
    if (failed) std::rethrow_exception(failed);
  });
  context.run();
  return *found;
}

}  // namespace pgcast
