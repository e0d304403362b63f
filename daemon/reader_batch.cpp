#include "daemon/metrics.hpp"
#include "daemon/reader.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds k_header_timeout = 4'500ms;    // 1 s later than asked at most
constexpr std::chrono::milliseconds k_silence = 2'000ms;           // in a batch, before we ask why
constexpr std::chrono::milliseconds k_question_timeout = 3'000ms;  // together under 6 s
constexpr auto k_longest_silence = 60s;  // where nobody can say whether the server still works
constexpr auto k_between_questions = 1'500ms;  // while there is no room
constexpr std::size_t k_chunk_rows = 512;
constexpr std::size_t k_chunk_bytes = 256 * 1024;
constexpr auto k_congested_pause = 2ms;

std::uint64_t to_number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

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

/// Events behind the position were dropped unread: clients must start over, or they would never
/// learn of it.
error reader::lose_place() {
  metrics().start_overs[start_over_reason::dropped].add();
  spdlog::error(
      "events that were not read yet have been dropped: the source was away or behind for longer "
      "than outbox.retention");
  give_up_place();
  return {errc::cursor_too_old, "events after the reader's position were dropped"};
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
    if (reading_.server_version() >= 170'000) {
      statements.emplace_back("SET LOCAL transaction_timeout = 0");
    }
  }
  statements.push_back(std::move(events));
  const std::size_t streamed = statements.size() - 1;
  statements.emplace_back("COMMIT");
  auto header = co_await reading_.start_stream(std::move(statements), streamed, k_header_timeout);
  if (!header) co_return header.error();
  const auto& told = (*header)[1];
  auto now = pg_snapshot::parse(told.text(0, header_snapshot));
  if (!now) co_return now.error();
  if (!position_->is_kept(to_number(told.text(0, header_dropped_xid)), *now)) {
    co_return lose_place();
  }
  backend_ = told.text(0, header_backend_pid);
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
  std::chrono::milliseconds silent_for{0};
  for (;;) {
    auto found = co_await reading_.next_rows(k_chunk_rows, k_chunk_bytes, k_silence);
    if (!found) co_return found.error();
    if (found->is_end) co_return count;
    if (found->is_silent) {
      silent_for += k_silence;
      auto works = co_await ask_about_silence(silent_for);
      if (!works) co_return works.error();
      continue;
    }
    silent_for = 0ms;
    count += found->rows.size();
    auto room = co_await wait_for_room();
    if (!room) co_return room.error();
    deliver(found->rows, spans);
  }
}

/// In the middle of a batch a server may be silent because it sorts, waits for a lock or reads a
/// slow disk; or because it, or the way to it, is dead. Its own view of our backend tells.
asio::awaitable<result<void>> reader::ask_about_silence(std::chrono::milliseconds silent_for) {
  pg_statement question{
      "SELECT state = 'active' AND coalesce(wait_event, '') <> 'ClientWrite'"
      " FROM pg_stat_activity WHERE pid = $1::int",
      std::vector<std::optional<std::string>>{backend_}};
  auto works = co_await ask(std::move(question), silent_for);
  co_return works;
}

/// On another connection than the one that reads; anything but "t" means that it is lost.
asio::awaitable<result<void>> reader::ask(pg_statement question,
                                          std::chrono::milliseconds silent_for) {
  const error lost{errc::database_unreachable, "the database fell silent in the middle of a batch"};
  // A transaction pooler, or a full server, may have no connection left to ask on; that it took us
  // in, or refused us, shows that it lives itself.
  const bool may_doubt = silent_for < k_longest_silence;
  pg_connection asking(executor_);
  pg_connection* const asked = listening_.is_open() ? &listening_ : &asking;
  if (asked == &asking) {
    asking.prefer_server_of(reading_);
    auto opened = co_await asking.connect(config_.database_url, "pgcast probe", k_question_timeout);
    const bool is_full = !opened && is_refused_for_now(asking);
    if (is_full && may_doubt) co_return result<void>{};
    if (!opened) co_return lost;
  }
  std::vector<pg_statement> statements;
  statements.push_back(std::move(question));
  auto answer = co_await asked->run(std::move(statements), k_question_timeout);
  if (!answer && asked == &asking && may_doubt) co_return result<void>{};
  if (!answer) co_return lost;
  if ((*answer)[0].size() == 1 && (*answer)[0].text(0, 0) == "t") co_return result<void>{};
  co_return lost;
}

/// Also while we do not read: shards may have no room because they cannot ask the database either.
asio::awaitable<result<void>> reader::wait_for_room() {
  auto asked_at = reader_fsm::clock::now();
  while (!sink_.has_room() && !is_stopped_) {
    if (!newest_.empty()) metrics().source_lag.set(age_of(newest_));
    co_await pause(k_congested_pause);
    if (reader_fsm::clock::now() - asked_at < k_between_questions) continue;
    pg_statement question{"SELECT true"};
    auto works = co_await ask(std::move(question), 0ms);
    if (!works) co_return works.error();
    asked_at = reader_fsm::clock::now();
  }
  co_return result<void>{};
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
  if (!e && e.error().code == errc::reserved_event) {
    metrics().reserved_events_refused.add();
    spdlog::warn("event {}: a broadcast is refused: {}", row.text(0, col_id), e.error().detail);
    return std::nullopt;
  }
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
