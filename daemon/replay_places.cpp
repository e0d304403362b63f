#include "daemon/replay.hpp"
#include "daemon/source_session.hpp"
#include "daemon/sql_text.hpp"

#include <algorithm>
#include <charconv>
#include <set>

// Where a cursor or a time is in the stream, and what a number did since.

namespace pgcast {
namespace asio = boost::asio;
namespace {

using parameters = std::vector<std::optional<std::string>>;
constexpr std::chrono::milliseconds k_place_timeout{30'000};

/// "2026-01-02T03:04" and on: Postgres would also take "yesterday".
bool is_iso_time(std::string_view text) {
  constexpr std::string_view form = "dddd-dd-ddTdd:dd";
  if (text.size() < form.size()) return false;
  for (std::size_t i = 0; i < form.size(); ++i) {
    const bool is_digit = text[i] >= '0' && text[i] <= '9';
    if (form[i] == 'd' ? !is_digit : text[i] != form[i] && !(form[i] == 'T' && text[i] == ' ')) {
      return false;
    }
  }
  return true;
}

std::uint64_t to_number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

asio::awaitable<result<number_history>> replay::number_since(std::string number, position after) {
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  auto& pg = leased->pg();
  after = after.in(*leased->history());
  const auto& d = description_;
  outbox_filter moves;
  moves.after = after;
  moves.where =
      "table_name = $5 AND (operation = 'T' OR pgcast.normalize_phone(phone) = $6"
      " OR pgcast.normalize_phone(old_phone) = $6)";
  moves.parameters = {d.numbers_table, number};
  auto statements = begin_read();
  statements.push_back(select_events(moves));
  statements.emplace_back("SELECT " + d.numbers_session + " FROM public." + d.numbers_table +
                              " WHERE pgcast.normalize_phone(" + d.numbers_number + ") = $1",
                          parameters{number});
  auto rows = co_await pg.run(std::move(statements), k_place_timeout);
  if (!rows) co_return rows.error();
  auto seen = pg_snapshot::parse((*rows)[1].text(0, 0));
  if (!seen) co_return seen.error();

  number_history out;
  std::multiset<std::string> carriers;
  for (int i = 0; i < (*rows)[3].size(); ++i) carriers.emplace((*rows)[3].text(i, 0));
  const auto& moved = (*rows)[2];
  for (int i = moved.size() - 1; i >= 0; --i) {  // undone, newest first
    const auto e = event_of(moved, i, d);
    if (!e) continue;
    const auto session = values_of(*e, d.numbers_session);
    const auto text = values_of(*e, d.numbers_number);
    if (session.after && text.after && normalize_phone(*text.after) == number) {
      const auto last = carriers.find(*session.after);
      if (last != carriers.end()) carriers.erase(last);
    }
    if (session.before && text.before && normalize_phone(*text.before) == number) {
      carriers.insert(*session.before);
    }
    const bool in_first = moved.text(i, col_in_first_part) == "t";
    position p = position::at(after.incarnation, in_first ? after.s1 : after.s2);
    p.s2 = in_first ? after.s2 : std::make_shared<pg_snapshot>(*seen);
    p.id = e->id;
    out.first_move = p;
  }
  std::vector<pg_statement> choose;
  choose.emplace_back("SELECT " + d.membership_session + " FROM public." + d.membership_table +
                          " WHERE " + d.membership_session + " = ANY($1::text[]) ORDER BY " +
                          d.number_order.front() + " DESC NULLS LAST, " + d.membership_session +
                          " LIMIT 1",
                      parameters{text_array(carriers)});
  choose.emplace_back("COMMIT");
  auto chosen = co_await pg.run(std::move(choose), k_place_timeout);
  if (!chosen) co_return chosen.error();
  if ((*chosen)[0].size() > 0) out.session_before = (*chosen)[0].text(0, 0);
  co_return out;
}

asio::awaitable<result<position>> replay::place_of_cursor(std::string cursor) {
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  co_return decode_cursor(cursor, *leased->history());
}

asio::awaitable<result<position>> replay::place_of_time(std::string iso_time) {
  const error none{errc::cursor_invalid, "resume.since is no ISO time (2026-01-02T03:04:05Z)"};
  if (!is_iso_time(iso_time)) co_return none;
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  auto statements = begin_read();
  statements.emplace_back(
      "SELECT $1::timestamptz > clock_timestamp() + interval '5 s',"  // clocks differ a little
      " $1::timestamptz < greatest((SELECT min(started_at) FROM pgcast.incarnation),"
      " (SELECT dropped_before FROM pgcast.meta)),"
      // Not behind what is still open: it may have written before that time, and commits after it.
      " least((SELECT xid FROM pgcast.outbox WHERE at >= $1::timestamptz ORDER BY xid LIMIT 1),"
      " pg_snapshot_xmin(pg_current_snapshot()))",
      parameters{iso_time});
  statements.emplace_back("COMMIT");
  auto rows = co_await leased->pg().run(std::move(statements), k_place_timeout);
  if (!rows && rows.error().code == errc::query_failed) co_return none;
  if (!rows) co_return rows.error();
  if ((*rows)[2].text(0, 0) == "t") {
    co_return error{errc::cursor_ahead, "that time is still to come"};
  }
  if ((*rows)[2].text(0, 1) == "t") {
    co_return error{errc::cursor_too_old, "events of that time are not kept"};
  }
  const auto first = to_number((*rows)[2].text(0, 2));
  co_return position::at(leased->history()->current(),
                         std::make_shared<pg_snapshot>(first, first, std::vector<std::uint64_t>{}));
}

/// Newest by transaction, which is the order of the index (session_id, xid). The key is asked for
/// as a range and ordered by, or the planner may walk all of the outbox by xid. What was dropped
/// beside older rows that are still there is left out: nobody could read on from among them.
asio::awaitable<result<kept_broadcasts>> replay::newest_kept(std::string key, std::int64_t since_ms,
                                                             unsigned limit) {
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  auto statements = begin_read();
  statements.emplace_back("SET LOCAL enable_seqscan = off");
  statements.emplace_back(
      "SELECT id, xid FROM pgcast.outbox WHERE session_id >= $1 AND session_id <= $1"
      " AND operation = 'B'"
      " AND at >= to_timestamp($2::bigint / 1000.0)"
      " AND xid > (SELECT coalesce(dropped_xid, '0') FROM pgcast.meta)"
      " AND coalesce((record::json ->> 'expires_at')::bigint"
      "              > extract(epoch FROM clock_timestamp()) * 1000, true)"
      " ORDER BY session_id DESC, xid DESC, id DESC LIMIT $3",
      parameters{key, std::to_string(since_ms), std::to_string(limit)});
  statements.emplace_back("COMMIT");
  auto rows = co_await leased->pg().run(std::move(statements), k_place_timeout);
  if (!rows) co_return rows.error();
  auto now = pg_snapshot::parse((*rows)[1].text(0, header_snapshot));
  if (!now) co_return now.error();
  kept_broadcasts out;
  const auto& found = (*rows)[3];
  for (int i = 0; i < found.size(); ++i) out.ids.push_back(to_number(found.text(i, 0)));
  std::sort(out.ids.begin(), out.ids.end());
  out.begun = std::make_shared<pg_snapshot>(*std::move(now));
  auto first = out.begun;
  if (found.size() > 0) {
    const auto xid = to_number(found.text(found.size() - 1, 1));
    first = std::make_shared<pg_snapshot>(xid, xid, std::vector<std::uint64_t>{});
  }
  out.before = position::at(leased->history()->current(), std::move(first));
  co_return out;
}

}  // namespace pgcast
