#include "daemon/reader.hpp"

#include "daemon/directory_loader.hpp"
#include "daemon/metrics.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;
using what = reader_fsm::action::what;

constexpr auto k_longest_back_off = 5'000ms;
constexpr auto k_first_back_off = 100ms;
constexpr unsigned k_silences_between_pings = 5;
constexpr std::string_view k_sleep_lock = "8099551725049085953";  // as in deploy/sql

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
    listening_.close();
    reading_.close();
    if (!ended && ended.error().code == errc::cursor_too_old) continue;  // a new place, at once
    if (!ended) sink_.source_changed(source_state::lost, ended.error().detail);
    co_await pause(back_off());
  }
}

asio::awaitable<result<void>> reader::connect() {
  auto history = co_await open_source(reading_, config_.database_url, "pgcast reader");
  if (!history) co_return history.error();
  auto traits = co_await read_traits(reading_, config_.database_url);
  if (!traits) co_return traits.error();
  pooler_ = traits->pooler;
  const bool polls_only = pooler_ == pooling::transaction || traits->allows_prepared;
  fsm_ = reader_fsm{polls_only ? reader_fsm::mode::poll_only : reader_fsm::mode::doorbell};
  if (pooler_ == pooling::session) {
    auto settled = co_await remove_deadlines(reading_);
    if (!settled) co_return settled.error();
  }
  if (!polls_only) {
    auto listening = co_await listen();
    if (!listening) co_return listening.error();
  }
  auto placed = co_await take_place(*history);
  if (!placed) co_return placed.error();
  is_prepared_ = false;
  if (pooler_ != pooling::transaction) {
    auto prepared = co_await prepare_reads();
    if (!prepared) co_return prepared.error();
  }
  auto room = co_await wait_for_room();
  if (!room) co_return room.error();
  announce_place();
  how_ = "live";
  metrics().source_poll_only.set(polls_only ? 1 : 0);
  if (pooler_ == pooling::transaction) {
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

asio::awaitable<result<void>> reader::listen() {
  listening_.prefer_server_of(reading_);
  auto opened = co_await open_session(listening_, config_.database_url, "pgcast listener");
  if (!opened) co_return opened.error();
  if (pooler_ == pooling::session) {
    auto settled = co_await remove_deadlines(listening_);
    if (!settled) co_return settled.error();
  }
  std::vector<pg_statement> listen;
  listen.emplace_back("LISTEN pgcast");
  auto done = co_await listening_.run(std::move(listen), k_answer_timeout);
  if (!done) co_return done.error();
  co_return result<void>{};
}

/// Goes on where the last connection stopped, or starts at this moment's snapshot.
asio::awaitable<result<void>> reader::take_place(std::shared_ptr<const source_history> history) {
  if (position_ && history_->epoch != history->epoch) {
    metrics().start_overs[start_over_reason::new_history].add();
    spdlog::warn("the history of the database is a new one: it was restored or failed over");
    give_up_place();
  }
  history_ = std::move(history);
  if (position_) {
    position_ = position_->in(*history_);
    co_return result<void>{};
  }
  auto seen = co_await load_directory(reading_, description_, directory_);
  if (!seen) co_return seen.error();
  position_ = position::at(history_->current(), std::make_shared<pg_snapshot>(*std::move(seen)));
  if (std::exchange(must_start_over_, false)) sink_.start_over();
  co_return result<void>{};
}

/// What clients hold is void as well; they are told when there is a new place to start from.
void reader::give_up_place() {
  position_.reset();
  must_start_over_ = true;
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

}  // namespace pgcast
