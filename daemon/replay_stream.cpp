#include "daemon/replay_stream.hpp"

#include "daemon/metrics.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_first_row_timeout{60'000};  // a long gap is sorted first
constexpr std::chrono::milliseconds k_shortest_turn{1'000};
constexpr std::size_t k_rows = 500;
constexpr std::size_t k_bytes = 512 * 1024;

std::uint64_t to_number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

result<event> event_of(const pg_rows& rows, int i, const relay_description& description) {
  return parse_outbox_row(
      {rows.text(i, col_id), rows.text(i, col_xid), rows.text(i, col_at), rows.text(i, col_schema),
       rows.text(i, col_table), rows.text(i, col_operation), rows.at(i, col_record),
       rows.at(i, col_old_record)},
      description);
}

result<void> found_events::begin(const pg_rows& header) {
  auto now = pg_snapshot::parse(header.text(0, header_snapshot));
  if (!now) return now.error();
  if (after.s2->xmax() > now->xmax()) {
    return error{errc::cursor_ahead, "the cursor is ahead of the database"};
  }
  if (!after.is_kept(to_number(header.text(0, header_dropped_xid)), *now)) {
    return error{errc::cursor_too_old, "events after the cursor are no longer kept"};
  }
  seen = std::make_shared<pg_snapshot>(*std::move(now));
  return {};
}

void found_events::take(const pg_rows& rows, int i, const relay_description& description) {
  is_last_in_first = rows.text(i, col_in_first_part) == "t";
  last_id = to_number(rows.text(i, col_id));
  auto e = event_of(rows, i, description);
  if (!e && e.error().code == errc::reserved_event) return;  // the reader has said so
  if (!e || !e->is_parsable) {
    metrics().rows_unparsable.add();
    spdlog::error("event {} skipped: its row cannot be parsed", last_id);
    return;
  }
  events.push_back(*std::move(e));
  in_first.push_back(is_last_in_first);
}

position found_events::next() const {
  if (is_end) return position::at(history->current(), seen);
  if (last_id == 0) return from;
  const auto both = spans();
  return (is_last_in_first ? both.first : both.rest)->at(last_id);
}

event_spans found_events::spans() const {
  position rest = position::at(history->current(), after.s2);
  rest.s2 = seen;
  position first = after;
  first.id = 0;
  return {std::make_shared<batch_span>(batch_span{history, first}),
          std::make_shared<batch_span>(batch_span{history, rest})};
}

asio::awaitable<result<std::unique_ptr<replay_stream>>> replay_stream::open(
    pg_pool& pool, const relay_description& description, outbox_filter filter,
    std::function<bool()> is_wanted) {
  auto leased = co_await pool.acquire();
  if (!leased) co_return leased.error();
  if (!is_wanted()) co_return error{errc::source_unavailable, "nobody waits for it any more"};
  std::unique_ptr<replay_stream> out(new replay_stream(*std::move(leased), description));
  auto& place = out->place_;
  place.history = out->lease_.history();
  place.from = place.after = filter.after = filter.after.in(*place.history);
  auto statements = begin_read();
  statements.emplace_back("SET LOCAL enable_seqscan = off");
  statements.push_back(select_events(filter));
  const std::size_t streamed = statements.size() - 1;
  statements.emplace_back("COMMIT");
  auto& pg = out->lease_.pg();
  auto header = co_await pg.start_stream(std::move(statements), streamed, k_answer_timeout);
  if (!header) co_return header.error();
  if (auto good = place.begin((*header)[1]); !good) co_return good.error();
  co_return std::move(out);
}

replay_stream::~replay_stream() {
  if (!is_ended_) lease_.pg().close();
}

asio::awaitable<result<found_events>> replay_stream::next() {
  auto part = co_await lease_.pg().next_rows(k_rows, k_bytes, k_first_row_timeout);
  if (!part) co_return part.error();
  if (!due_at_) {  // looking for the rows again costs as long as now: a turn is a few times that
    const auto now = clock::now();
    due_at_ = now + std::max<clock::duration>(k_shortest_turn, 4 * (now - began_at_));
  }
  if (part->is_silent) {
    co_return error{errc::database_unreachable, "the database did not answer in time"};
  }
  found_events out;
  out.history = place_.history;
  out.after = place_.after;
  out.seen = place_.seen;
  out.from = place_.from;
  for (const auto& row : part->rows) out.take(row, 0, description_);
  out.is_end = is_ended_ = part->is_end;
  place_.from = out.next();
  co_return std::move(out);
}

}  // namespace pgcast
