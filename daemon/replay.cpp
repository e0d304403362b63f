#include "daemon/replay.hpp"

#include "daemon/metrics.hpp"
#include "daemon/source_session.hpp"
#include "daemon/sql_text.hpp"
#include "protocol/router.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using parameters = std::vector<std::optional<std::string>>;
constexpr std::chrono::milliseconds k_page_timeout{30'000};
constexpr std::size_t k_page_bytes = 512 * 1024;  // one row more than that is a page too
constexpr std::size_t k_own_parameters = 4;       // of select_events()

/// Tables that a kind of topic carries, as a Postgres array of "schema.table": TRUNCATE has no key.
std::string carried_tables(const relay_description& description, topic_kind kind) {
  std::vector<std::string> names;
  for (const auto& t : description.tables) {
    if (t.carries(kind)) names.push_back(t.schema + "." + t.name);
  }
  return text_array(names);
}

constexpr std::string_view k_truncates =
    "(operation = 'T' AND schema_name || '.' || table_name = ANY($6::text[]))";

outbox_filter filter_of(const relay_description& description, topic_kind kind,
                        const std::string& key, const position& after, unsigned limit) {
  outbox_filter f;
  f.after = after;
  f.limit = limit;
  f.byte_limit = k_page_bytes;
  f.parameters = {key, carried_tables(description, kind)};
  if (kind == topic_kind::session) {
    f.where = "session_id = $5 OR old_session_id = $5 OR " + std::string{k_truncates};
    return f;
  }
  // All that are in it now, or came or went in what is kept, also under the name they had before.
  const std::string sessions =
      "(SELECT " + description.membership_session + " FROM public." + description.membership_table +
      " WHERE " + description.membership_campaign +
      " = $5 UNION SELECT unnest(ARRAY[moved.session_id, moved.old_session_id])"
      " FROM pgcast.outbox moved WHERE moved.table_name = '" +
      description.membership_table + "' AND (moved.campaign = $5 OR moved.old_campaign = $5))";
  f.where = "campaign = $5 OR old_campaign = $5 OR " + std::string{k_truncates} +
            " OR session_id IN " + sessions +
            " OR (old_session_id IS NOT NULL AND old_session_id IN " + sessions + ")";
  return f;
}

result<event> event_of(const pg_rows& rows, int i, const relay_description& description) {
  return parse_outbox_row(
      {rows.text(i, col_id), rows.text(i, col_xid), rows.text(i, col_at), rows.text(i, col_schema),
       rows.text(i, col_table), rows.text(i, col_operation), rows.at(i, col_record),
       rows.at(i, col_old_record)},
      description);
}

std::uint64_t to_number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

/// Which of the sessions on a page are in the campaign, at the page's start and then folded.
struct replay::membership {
  std::map<std::string, bool, std::less<>> is_member;
  std::map<std::string, bool, std::less<>> was_member;  ///< until the session was deleted

  bool holds(std::string_view session, directory::lookup which) const {
    const auto now = is_member.find(session);
    if (now != is_member.end() && now->second) return true;
    if (which == directory::lookup::alive_only) return false;
    const auto before = was_member.find(session);
    return before != was_member.end() && before->second;
  }
};

asio::awaitable<result<replay::membership>> replay::read_membership(
    pg_connection& pg, std::string campaign, position after, const std::vector<event>& events) {
  membership m;
  outbox_filter moves;
  moves.after = after;
  moves.where = "table_name = $6 AND (campaign = $5 OR old_campaign = $5)";
  moves.parameters = {campaign, description_.membership_table};
  std::set<std::string> sessions;
  for (const auto& e : events) {
    if (e.description == nullptr) continue;
    for (const auto& r : e.description->routes) {
      if (r.how != table_route::by::campaign_of_session) continue;
      const auto session = values_of(e, r.column);
      if (session.before) sessions.insert(*session.before);
      if (session.after) sessions.insert(*session.after);
    }
  }
  std::vector<pg_statement> statements;
  statements.push_back(select_events(moves));
  statements.emplace_back("SELECT " + description_.membership_session + " FROM public." +
                              description_.membership_table + " WHERE " +
                              description_.membership_campaign + " = $1 AND " +
                              description_.membership_session + " = ANY($2::text[])",
                          parameters{campaign, text_array(sessions)});
  // Rows that a cascade deletes come after the DELETE of their session, perhaps behind the place.
  statements.emplace_back(
      "SELECT gone.session_id FROM pgcast.outbox gone WHERE gone.campaign = $1"
      " AND gone.operation = 'D' AND gone.table_name = $3"
      " AND gone.session_id = ANY($2::text[]) AND NOT EXISTS (SELECT FROM public." +
          description_.membership_table + " s WHERE s." + description_.membership_session +
          " = gone.session_id)",
      parameters{campaign, text_array(sessions), description_.membership_table});
  auto rows = co_await pg.run(std::move(statements), k_page_timeout);
  if (!rows) co_return rows.error();
  for (int i = 0; i < (*rows)[1].size(); ++i)
    m.is_member[std::string{(*rows)[1].text(i, 0)}] = true;
  for (int i = 0; i < (*rows)[2].size(); ++i)
    m.was_member[std::string{(*rows)[2].text(i, 0)}] = true;
  std::set<std::string> undone;
  for (int i = 0; i < (*rows)[0].size(); ++i) {
    const auto move = event_of((*rows)[0], i, description_);
    if (!move) continue;
    const auto session = values_of(*move, description_.membership_session);
    const auto where = values_of(*move, description_.membership_campaign);
    for (const auto& id : {session.before, session.after}) {
      if (!id || !undone.insert(*id).second) continue;
      m.is_member[*id] = session.before == id && where.before == campaign;
      if (session.before == id) m.was_member.erase(*id);  // there at the place: gone only later
    }
  }
  co_return m;
}

void replay::route(std::vector<event>& events, topic_kind kind, const std::string& key,
                   membership& m) {
  const std::string wanted = topic_key(kind, key);
  for (auto& e : events) {
    e.routes = route_event(e, [&](std::string_view session, directory::lookup which) {
      return m.holds(session, which) ? std::optional<std::string>{key} : std::nullopt;
    });
    std::erase_if(e.routes, [&](const auto& r) { return r.topic != wanted; });
    if (e.description == nullptr || e.description->name != description_.membership_table) continue;
    if (e.op == operation::truncate) {
      m.was_member.insert(m.is_member.begin(), m.is_member.end());
      m.is_member.clear();
      continue;
    }
    const auto session = values_of(e, description_.membership_session);
    const auto where = values_of(e, description_.membership_campaign);
    if (session.before && session.before != session.after) {
      m.was_member[*session.before] = where.before == key;
      m.is_member[*session.before] = false;
    }
    if (session.after) m.is_member[*session.after] = where.after == key;
  }
}

/// What one read found, still in its transaction.
struct replay::found_rows {
  std::vector<event> events;
  std::vector<bool> in_first;  ///< of each event: visible in after.s2
  std::shared_ptr<const source_history> history;
  position after;
  std::shared_ptr<const pg_snapshot> seen;
  bool is_end = false;
  bool is_last_in_first = false;  ///< the last row, also where it could not be parsed
  std::uint64_t last_id = 0;
};

asio::awaitable<result<replay::found_rows>> replay::find(
    pg_connection& pg, std::shared_ptr<const source_history> history, outbox_filter filter) {
  found_rows out;
  out.history = std::move(history);
  out.after = filter.after = filter.after.in(*out.history);
  auto statements = begin_read();
  statements.emplace_back("SET LOCAL enable_seqscan = off");
  statements.push_back(select_events(filter));
  auto rows = co_await pg.run(std::move(statements), k_page_timeout);
  if (!rows) co_return rows.error();
  const auto& found = (*rows)[3];
  auto seen = pg_snapshot::parse((*rows)[1].text(0, header_snapshot));
  if (!seen) co_return seen.error();
  const auto dropped = to_number((*rows)[1].text(0, header_dropped_xid));
  const bool is_ahead = out.after.s2->xmax() > seen->xmax();
  const bool is_too_old = !out.after.is_kept(dropped, *seen);
  if (is_ahead || is_too_old) {
    auto ended = co_await commit(pg);
    if (!ended) co_return ended.error();
    if (is_ahead) co_return error{errc::cursor_ahead, "the cursor is ahead of the database"};
    co_return error{errc::cursor_too_old, "events after the cursor are no longer kept"};
  }
  for (int i = 0; i < found.size(); ++i) {
    auto e = event_of(found, i, description_);
    if (!e || !e->is_parsable) {
      metrics().rows_unparsable.add();
      spdlog::error("event {} skipped: its row cannot be parsed", found.text(i, col_id));
      continue;
    }
    out.events.push_back(*std::move(e));
    out.in_first.push_back(found.text(i, col_in_first_part) == "t");
  }
  out.seen = std::make_shared<pg_snapshot>(*std::move(seen));
  const int last = found.size() - 1;
  out.is_end = last < 0 || found.text(last, col_is_last) == "t";
  if (last >= 0) {
    out.is_last_in_first = found.text(last, col_in_first_part) == "t";
    out.last_id = to_number(found.text(last, col_id));
  }
  co_return out;
}

asio::awaitable<result<void>> replay::commit(pg_connection& pg) {
  std::vector<pg_statement> statements;
  statements.emplace_back("COMMIT");
  auto ended = co_await pg.run(std::move(statements), k_answer_timeout);
  if (!ended) co_return ended.error();
  co_return result<void>{};
}

replay_page replay::to_page(found_rows found) {
  position rest = position::at(found.history->current(), found.after.s2);
  rest.s2 = found.seen;
  position first = found.after;
  first.id = 0;
  const event_spans spans{std::make_shared<batch_span>(batch_span{found.history, first}),
                          std::make_shared<batch_span>(batch_span{found.history, rest})};
  replay_page page;
  page.history = found.history;
  page.is_end = found.is_end;
  page.next = position::at(found.history->current(), found.seen);
  if (!page.is_end) {
    page.next = (found.is_last_in_first ? spans.first : spans.rest)->at(found.last_id);
  }
  for (std::size_t i = 0; i < found.events.size(); ++i) {
    page.items.push_back(
        {std::move(found.events[i]), found.in_first[i] ? spans.first : spans.rest});
  }
  return page;
}

asio::awaitable<result<replay_page>> replay::read(topic_kind kind, std::string key, position after,
                                                  unsigned limit) {
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  auto filter = filter_of(description_, kind, key, after, limit);
  auto found = co_await find(leased->pg(), leased->history(), std::move(filter));
  if (!found) co_return found.error();
  membership m;
  if (kind == topic_kind::campaign && !found->events.empty()) {
    auto read = co_await read_membership(leased->pg(), key, found->after, found->events);
    if (!read) co_return read.error();
    m = *std::move(read);
  }
  auto ended = co_await commit(leased->pg());
  if (!ended) co_return ended.error();
  route(found->events, kind, key, m);
  auto page = to_page(*std::move(found));
  std::erase_if(page.items, [](const auto& item) {
    return item.e.routes.empty() && item.e.op != operation::truncate;
  });
  co_return page;
}

asio::awaitable<result<replay_page>> replay::read_changes(std::vector<changed_table> tables,
                                                          position after, unsigned limit) {
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  outbox_filter filter;
  filter.after = std::move(after);
  filter.limit = limit;
  filter.byte_limit = k_page_bytes;
  filter.where = "operation <> 'T' AND (false";
  for (const auto& t : tables) {
    filter.where += " OR (true";
    for (const auto& [column, value] :
         {std::pair{"schema_name", &t.schema}, std::pair{"table_name", &t.table}}) {
      if (*value == "*") continue;
      filter.parameters.emplace_back(*value);
      filter.where.append(" AND ").append(column).append(" = $");
      filter.where += std::to_string(filter.parameters.size() + k_own_parameters);
    }
    filter.where += ")";
  }
  filter.where += ")";
  auto found = co_await find(leased->pg(), leased->history(), std::move(filter));
  if (!found) co_return found.error();
  auto ended = co_await commit(leased->pg());
  if (!ended) co_return ended.error();
  co_return to_page(*std::move(found));
}

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
  auto rows = co_await pg.run(std::move(statements), k_page_timeout);
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
  auto chosen = co_await pg.run(std::move(choose), k_page_timeout);
  if (!chosen) co_return chosen.error();
  if ((*chosen)[0].size() > 0) out.session_before = (*chosen)[0].text(0, 0);
  co_return out;
}

}  // namespace pgcast
