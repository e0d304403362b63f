#include "daemon/reader.hpp"

#include "daemon/directory_loader.hpp"
#include "daemon/metrics.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;
using what = reader_fsm::action::what;

constexpr auto k_rows_timeout = 60s;  // a large batch is sorted before its first row comes
constexpr std::size_t k_chunk_rows = 512;
constexpr std::size_t k_chunk_bytes = 256 * 1024;
constexpr auto k_congested_pause = 2ms;
constexpr auto k_longest_back_off = 5'000ms;
constexpr auto k_first_back_off = 100ms;
constexpr unsigned k_silences_between_pings = 5;
constexpr std::string_view k_sleep_lock = "8099551725049085953";  // as in deploy/sql

/// Time since an outbox row's "2026-01-02T03:04:05.678901Z".
std::chrono::microseconds age_of(const std::string& commit_timestamp) {
  std::tm t{};
  int micros = 0;
  if (std::sscanf(commit_timestamp.c_str(), "%d-%d-%dT%d:%d:%d.%6dZ", &t.tm_year, &t.tm_mon,
                  &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec, &micros) != 7) {
    return 0us;
  }
  t.tm_year -= 1900;
  t.tm_mon -= 1;
  const auto at =
      std::chrono::system_clock::from_time_t(timegm(&t)) + std::chrono::microseconds{micros};
  return std::max(0us, std::chrono::duration_cast<std::chrono::microseconds>(
                           std::chrono::system_clock::now() - at));
}

}  // namespace

reader::reader(asio::any_io_executor executor, const config& c, event_sink& sink,
               const relay_description& description)
    : executor_(executor),
      config_(c),
      sink_(sink),
      description_(description),
      reading_(executor),
      listening_(executor),
      timer_(executor),
      directory_(description) {}

void reader::stop() {
  is_stopped_ = true;
  timer_.cancel();
}

asio::awaitable<void> reader::pause(std::chrono::milliseconds delay) {
  boost::system::error_code ignored;
  timer_.expires_after(delay);
  if (!is_stopped_) co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

std::chrono::milliseconds reader::back_off() {
  const auto base = std::min<std::chrono::milliseconds>(
      k_first_back_off * (1 << std::min(failures_, 6U)), k_longest_back_off);
  ++failures_;
  return std::chrono::milliseconds{
      std::uniform_int_distribution<std::int64_t>{base.count() / 2, base.count()}(random_)};
}

asio::awaitable<void> reader::run() {
  sink_.source_changed(source_state::connecting, "connecting to the database");
  while (!is_stopped_) {
    auto ended = co_await connect();
    if (ended) {
      metrics().source_up.set(1);
      ended = co_await follow();
      metrics().source_up.set(0);
      metrics().source_reconnects.add();
    }
    if (is_stopped_) break;
    if (!ended) sink_.source_changed(source_state::lost, ended.error().detail);
    listening_.close();
    reading_.close();
    co_await pause(back_off());
  }
}

asio::awaitable<result<void>> reader::connect() {
  auto history = co_await open_source(reading_, config_.database_url, "pgcast reader");
  if (!history) co_return history.error();
  auto traits = co_await read_traits(reading_);
  if (!traits) co_return traits.error();
  const bool polls_only = traits->is_pooled || traits->allows_prepared;
  fsm_ = reader_fsm{polls_only ? reader_fsm::mode::poll_only : reader_fsm::mode::doorbell};
  if (!polls_only) {
    auto listening =
        co_await listening_.connect(config_.database_url, "pgcast listener", k_answer_timeout);
    if (!listening) co_return listening.error();
    std::vector<pg_statement> listen;
    listen.emplace_back("LISTEN pgcast");
    auto done = co_await listening_.run(std::move(listen), k_answer_timeout);
    if (!done) co_return done.error();
  }
  auto placed = co_await take_place(*history);
  if (!placed) co_return placed.error();
  is_prepared_ = false;
  if (!traits->is_pooled) {
    auto prepared = co_await prepare_reads();
    if (!prepared) co_return prepared.error();
  }
  co_await wait_for_room();
  announce_place();
  how_ = "live";
  if (traits->is_pooled) {
    how_ =
        "live, polling only: a transaction pooler hides notifications; use session mode "
        "(port 5432) or the direct host for the lowest latency";
  } else if (traits->allows_prepared) {
    how_ =
        "live, polling only: max_prepared_transactions is not 0, and a transaction that has "
        "rung a notification could not be prepared";
  }
  co_return result<void>{};
}

/// Goes on where the last connection stopped, or starts at this moment's snapshot.
asio::awaitable<result<void>> reader::take_place(std::shared_ptr<const source_history> history) {
  const auto dropped = history->dropped_xid;
  const bool is_kept = !position_ || dropped == 0 || position_->s1->sees(dropped);
  const bool is_same_epoch = history_ && history_->epoch == history->epoch && is_kept;
  const bool starts_over = history_ && !is_same_epoch;
  history_ = std::move(history);
  if (position_ && is_same_epoch) {
    position_ = position_->in(*history_);
    co_return result<void>{};
  }
  auto seen = co_await load_directory(reading_, description_, directory_);
  if (!seen) co_return seen.error();
  position_ = position::at(history_->current(), std::make_shared<pg_snapshot>(*std::move(seen)));
  if (starts_over) sink_.start_over();
  co_return result<void>{};
}

/// Planning is most of the cost of an idle read: prepared, with a plan that goes by the index of
/// transaction ids whatever the statistics say (docs/performance.md).
asio::awaitable<result<void>> reader::prepare_reads() {
  std::vector<pg_statement> settings;
  settings.emplace_back(
      "SELECT set_config('plan_cache_mode', 'force_generic_plan', false),"
      " set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false),"
      " set_config('max_parallel_workers_per_gather', '0', false),"
      " set_config('jit', 'off', false)");
  auto set = co_await reading_.run(std::move(settings), k_answer_timeout);
  if (!set) co_return set.error();
  const auto begin = begin_read();
  auto header = co_await reading_.prepare("read_header", begin[1].sql, k_answer_timeout);
  if (!header) co_return header.error();
  const auto events = select_events(outbox_filter{});
  auto read = co_await reading_.prepare("read_events", events.sql, k_answer_timeout);
  if (!read) co_return read.error();
  is_prepared_ = true;
  co_return result<void>{};
}

/// An empty chunk: it tells the shards where the stream stands before the first event.
void reader::announce_place() {
  auto chunk = std::make_shared<event_chunk>();
  chunk->batch = std::make_shared<batch_span>(batch_span{history_, *position_});
  sink_.deliver(std::move(chunk));
}

/// Reads, sleeps and reads again until a connection is lost.
asio::awaitable<result<void>> reader::follow() {
  is_live_ = false;  // until the first read has caught up
  auto action = fsm_.start(reader_fsm::clock::now());
  metrics().source_polls[poll_reason::reconnected].add();
  while (!is_stopped_) {
    result<reader_fsm::action> next = action;
    switch (action.next) {
      case what::release_lock_and_read: {
        auto released = co_await release_lock();
        if (!released) co_return released.error();
        [[fallthrough]];
      }
      case what::read: {
        if (action.delay > 0ms) co_await pause(action.delay);
        pg_snapshot seen;
        auto count = co_await read_batch(seen);
        if (!count) co_return count.error();
        failures_ = 0;
        if (!std::exchange(is_live_, true)) sink_.source_changed(source_state::live, how_);
        next = fsm_.after_read(*count, seen, reader_fsm::clock::now());
        break;
      }
      case what::take_lock:
        next = co_await take_lock();
        break;
      case what::wait_for_doorbell:
        next = co_await wait_for_doorbell(action.delay);
        break;
    }
    if (!next) co_return next.error();
    action = *next;
  }
  co_return result<void>{};
}

asio::awaitable<result<reader_fsm::action>> reader::take_lock() {
  std::vector<pg_statement> lock;
  // CASE keeps the order: every writer that looked for the lock before it was there has an xid
  // below the one drawn here.
  lock.emplace_back("SELECT CASE WHEN pg_try_advisory_lock_shared(" + std::string{k_sleep_lock} +
                    ") THEN pg_current_xact_id() END");
  auto rows = co_await listening_.run(std::move(lock), k_answer_timeout);
  if (!rows) co_return rows.error();
  metrics().source_polls[poll_reason::falling_asleep].add();
  const auto xid = (*rows)[0].at(0, 0);
  if (!xid) co_return fsm_.after_lock_refused();
  co_return fsm_.after_lock(std::stoull(std::string{*xid}));
}

asio::awaitable<result<void>> reader::release_lock() {
  std::vector<pg_statement> unlock;
  unlock.emplace_back("SELECT pg_advisory_unlock_shared(" + std::string{k_sleep_lock} + ")");
  auto rows = co_await listening_.run(std::move(unlock), k_answer_timeout);
  if (!rows) co_return rows.error();
  co_return result<void>{};
}

asio::awaitable<result<reader_fsm::action>> reader::wait_for_doorbell(
    std::chrono::milliseconds until_safety_read) {
  auto rung = co_await listening_.wait_notify(until_safety_read);
  if (!rung) co_return rung.error();
  if (*rung) {
    silences_ = 0;
    metrics().doorbells.add();
    metrics().source_polls[poll_reason::doorbell].add();
    co_return fsm_.after_doorbell(reader_fsm::clock::now());
  }
  metrics().source_polls[poll_reason::safety].add();
  if (++silences_ % k_silences_between_pings == 0) {
    std::vector<pg_statement> ping;
    ping.emplace_back("SELECT 1");
    auto alive = co_await listening_.run(std::move(ping), k_answer_timeout);
    if (!alive) co_return alive.error();
  }
  co_return fsm_.after_silence();
}

/// One visibility step: everything that the position does not cover. Leaves the position after
/// the last event that was handed over, whatever happens.
asio::awaitable<result<std::size_t>> reader::read_batch(pg_snapshot& seen) {
  auto statements = begin_read();
  outbox_filter all;
  all.after = *position_;
  auto events = select_events(all);
  if (is_prepared_) {
    statements[1].sql = "read_header";
    events.sql = "read_events";
    statements[1].is_prepared = events.is_prepared = true;
  } else {
    statements.emplace_back("SET LOCAL enable_seqscan = off");
  }
  statements.push_back(std::move(events));
  const std::size_t streamed = statements.size() - 1;
  statements.emplace_back("COMMIT");
  auto header = co_await reading_.start_stream(std::move(statements), streamed, k_answer_timeout);
  if (!header) co_return header.error();
  auto now = pg_snapshot::parse((*header)[1].text(0, 0));
  if (!now) co_return now.error();
  seen = *now;
  position rest = position::at(history_->current(), position_->s2);
  rest.s2 = std::make_shared<pg_snapshot>(*std::move(now));
  position first = *position_;
  first.id = 0;
  const event_spans spans{std::make_shared<batch_span>(batch_span{history_, first}),
                          std::make_shared<batch_span>(batch_span{history_, rest})};
  auto count = co_await stream_rows(spans);
  if (count) {
    position_ = position::at(history_->current(), rest.s2);
    metrics().source_lag.set(0us);
  }
  co_return count;
}

asio::awaitable<result<std::size_t>> reader::stream_rows(const event_spans& spans) {
  std::size_t count = 0;
  for (;;) {
    auto rows = co_await reading_.next_rows(k_chunk_rows, k_chunk_bytes, k_rows_timeout);
    if (!rows) co_return rows.error();
    if (rows->empty()) co_return count;
    count += rows->size();
    co_await wait_for_room();
    deliver(*rows, spans);
  }
}

asio::awaitable<void> reader::wait_for_room() {
  while (!sink_.has_room() && !is_stopped_) {
    if (!newest_.empty()) metrics().source_lag.set(age_of(newest_));
    co_await pause(k_congested_pause);
  }
}

void reader::deliver(const std::vector<pg_rows>& rows, const event_spans& spans) {
  std::shared_ptr<event_chunk> chunk;
  const auto post = [&] {
    if (!chunk) return;
    metrics().events_read.add(chunk->events.size());
    newest_ = chunk->events.back().commit_timestamp;
    metrics().source_lag.set(age_of(newest_));
    position_ = chunk->batch->at(chunk->events.back().id);
    sink_.deliver(std::move(chunk));
  };
  for (const auto& row : rows) {
    const auto& span = row.text(0, col_in_first_part) == "t" ? spans.first : spans.rest;
    auto e = to_event(row);
    if (!e) continue;
    if (chunk && chunk->batch != span) post();
    if (!chunk) {
      chunk = std::make_shared<event_chunk>();
      chunk->batch = span;
    }
    chunk->events.push_back(*std::move(e));
  }
  post();
}

std::optional<event> reader::to_event(const pg_rows& row) {
  auto e =
      parse_outbox_row({row.text(0, col_id), row.text(0, col_xid), row.text(0, col_at),
                        row.text(0, col_schema), row.text(0, col_table), row.text(0, col_operation),
                        row.at(0, col_record), row.at(0, col_old_record)},
                       description_);
  if (!e || !e->is_parsable) {
    metrics().rows_unparsable.add();
    spdlog::error("event {} of {}.{} skipped: its row cannot be parsed", row.text(0, col_id),
                  row.text(0, col_schema), row.text(0, col_table));
    return std::nullopt;
  }
  e->routes = route_event(*e, [&](std::string_view session, directory::lookup which) {
    return directory_.campaign_of(session, which);
  });
  add_phone_routes(*e, directory_, description_);
  directory_.fold(*e);
  return *std::move(e);
}

}  // namespace pgcast
