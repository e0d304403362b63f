#include "daemon/maintenance.hpp"

#include "daemon/metrics.hpp"
#include "daemon/source_session.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <charconv>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

constexpr auto k_round = 10min;
constexpr auto k_retry = 1min;
constexpr std::chrono::milliseconds k_round_timeout{60'000};

}  // namespace

asio::awaitable<void> maintenance::run() {
  asio::steady_timer timer(executor_);
  for (;;) {
    auto done = co_await run_once();
    if (!done) spdlog::warn("outbox maintenance failed: {}", done.error().detail);
    timer.expires_after(done ? std::chrono::seconds{k_round} : std::chrono::seconds{k_retry});
    co_await timer.async_wait(asio::use_awaitable);
  }
}

asio::awaitable<result<void>> maintenance::run_once() {
  pg_connection pg(executor_);
  auto opened = co_await open_source(pg, config_.database_url, "pgcast maintenance");
  if (!opened) co_return opened.error();
  std::vector<pg_statement> statements;
  statements.emplace_back(
      "SELECT pgcast.maintain(make_interval(secs => $1::double precision))",
      std::vector<std::optional<std::string>>{std::to_string(config_.retention.count())});
  statements.emplace_back("SELECT count(*) FROM pgcast.outbox_default");
  auto rows = co_await pg.run(std::move(statements), k_round_timeout);
  if (!rows) co_return rows.error();
  const auto text = (*rows)[1].text(0, 0);
  std::int64_t stray = 0;
  std::from_chars(text.data(), text.data() + text.size(), stray);
  metrics().outbox_default_partition_rows.set(stray);
  if (stray > 0) spdlog::warn("{} rows in the outbox's default partition", stray);
  co_return result<void>{};
}

}  // namespace pgcast
