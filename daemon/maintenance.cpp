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
constexpr auto k_more = 1s;  // expired rows are left in the default partition
constexpr auto k_long_without = 1h;
constexpr std::chrono::milliseconds k_round_timeout{60'000};

/// Cheap at any size: catalog, one index entry a partition, and a bounded look at the default one.
constexpr std::string_view k_outbox_state = R"(
  SELECT (SELECT count(*) FROM (SELECT FROM pgcast.outbox_default LIMIT 100000) s),
    coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint,
    coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint,
    coalesce(greatest(extract(epoch FROM clock_timestamp()
      - (SELECT at FROM pgcast.outbox ORDER BY xid LIMIT 1)), 0), 0)::bigint,
    EXISTS (SELECT FROM pgcast.outbox_default
            WHERE at < clock_timestamp() - make_interval(secs => $1::double precision))
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = 'pgcast.outbox'::regclass)";

std::int64_t to_number(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

asio::awaitable<void> maintenance::run() {
  asio::steady_timer timer(executor_);
  auto last_done = std::chrono::steady_clock::now();
  for (;;) {
    auto has_more = co_await run_once();
    if (has_more) {
      last_done = std::chrono::steady_clock::now();
      timer.expires_after(*has_more ? std::chrono::seconds{k_more} : std::chrono::seconds{k_round});
    } else {
      warn_of_failure(has_more.error(), std::chrono::steady_clock::now() - last_done);
      timer.expires_after(k_retry);
    }
    co_await timer.async_wait(asio::use_awaitable);
  }
}

void maintenance::warn_of_failure(const error& failed, std::chrono::nanoseconds without) const {
  if (without < k_long_without) {
    spdlog::warn("outbox maintenance failed: {}", failed.detail);
    return;
  }
  spdlog::error(
      "outbox maintenance has failed for {} hours, so nothing is dropped and no partition is made: "
      "{}",
      std::chrono::duration_cast<std::chrono::hours>(without).count(), failed.detail);
}

asio::awaitable<result<bool>> maintenance::run_once() {
  pg_connection pg(executor_);
  auto opened = co_await open_source(pg, config_.database_url, "pgcast maintenance");
  if (!opened) co_return opened.error();
  const std::vector<std::optional<std::string>> retention{
      std::to_string(config_.retention.count())};
  std::vector<pg_statement> statements;
  // Of its own: what it locks is free again before the outbox is looked at.
  statements.emplace_back("BEGIN ISOLATION LEVEL READ COMMITTED");
  statements.push_back(without_deadlines());
  statements.emplace_back("SELECT pgcast.maintain(make_interval(secs => $1::double precision))",
                          retention);
  statements.emplace_back("COMMIT");
  statements.emplace_back(std::string{k_outbox_state}, retention);
  auto rows = co_await pg.run(std::move(statements), k_round_timeout);
  if (!rows) co_return rows.error();
  const auto& state = rows->back();
  const auto stray = to_number(state.text(0, 0));
  const auto bytes = to_number(state.text(0, 1));
  metrics().outbox_default_partition_rows.set(stray);
  metrics().outbox_bytes.set(bytes);
  metrics().outbox_rows_estimate.set(to_number(state.text(0, 2)));
  metrics().outbox_oldest.set(std::chrono::seconds{to_number(state.text(0, 3))});
  if (stray > 0) {
    spdlog::warn(
        "{} rows in the outbox's default partition: no daemon had made a partition for their day; "
        "they are deleted when they are older than outbox.retention",
        stray);
  }
  if (bytes > 0 && static_cast<std::uint64_t>(bytes) > config_.outbox_warn_bytes) {
    spdlog::warn("the outbox takes {} MiB, more than outbox.warn_bytes ({} MiB)", bytes >> 20,
                 config_.outbox_warn_bytes >> 20);
  }
  co_return state.text(0, 4) == "t";
}

}  // namespace pgcast
