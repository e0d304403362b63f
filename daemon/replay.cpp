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

constexpr std::string_view k_is_move =
    "(old_session_id IS NOT NULL OR campaign IS NOT NULL OR old_campaign IS NOT NULL"
    " OR phone IS NOT NULL OR old_phone IS NOT NULL OR operation = 'T')";
constexpr std::string_view k_truncates =
    "(operation = 'T' AND schema_name || '.' || table_name = ANY($6::text[]))";

/// Rows of those tables, each perhaps of one session only.
void add_tables(outbox_filter& f, const std::vector<replay_query::changed_table>& tables) {
  const auto parameter = [&](const std::string& value) {
    f.parameters.emplace_back(value);
    return "$" + std::to_string(f.parameters.size() + k_own_parameters);
  };
  f.where = "operation <> 'T' AND operation <> 'B' AND (false";
  for (const auto& t : tables) {
    f.where += " OR (true";
    if (t.schema != "*") f.where += " AND schema_name = " + parameter(t.schema);
    if (t.table != "*") f.where += " AND table_name = " + parameter(t.table);
    if (t.session) {
      const auto session = parameter(*t.session);
      f.where += " AND (session_id = " + session + " OR old_session_id = " + session + ")";
    }
    f.where += ")";
  }
  f.where += ")";
}

/// Broadcasts of a topic: those that a replay has chosen, and what came after it.
void add_kept(outbox_filter& f, const replay_query::kept_messages& kept) {
  f.where =
      "session_id = $5 AND operation = 'B' AND (id = ANY($6::bigint[])"
      " OR NOT pg_visible_in_snapshot(xid, $7::pg_snapshot))";
  std::vector<std::string> ids;
  for (const auto id : kept.ids) ids.push_back(std::to_string(id));
  f.parameters = {kept.key, text_array(ids), kept.begun->text()};
}

outbox_filter filter_of(const relay_description& description, const replay_query& what,
                        const position& after) {
  outbox_filter f;
  f.after = after;
  if (what.kept) {
    add_kept(f, *what.kept);
    return f;
  }
  if (what.kind == topic_kind::plain) {
    add_tables(f, what.tables);
    return f;
  }
  f.parameters = {what.key, carried_tables(description, what.kind)};
  if (what.kind == topic_kind::session) {
    f.where = "(session_id = $5 AND operation <> 'B') OR old_session_id = $5 OR " +
              std::string{k_truncates};
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
  // With the words of the partial index outbox_moves, which has the few rows that this can be.
  moves.where =
      "table_name = $6 AND (campaign = $5 OR old_campaign = $5) AND " + std::string{k_is_move};
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
      "SELECT gone.session_id FROM (SELECT u.id FROM unnest($2::text[]) u(id)"
      " WHERE NOT EXISTS (SELECT FROM public." +
          description_.membership_table + " s WHERE s." + description_.membership_session +
          " = u.id) OFFSET 0) lost JOIN pgcast.outbox gone ON gone.session_id = lost.id"
          " WHERE gone.campaign = $1 AND gone.operation = 'D' AND gone.table_name = $3",
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

void replay::route_events(std::vector<event>& events, const replay_query& what, membership& m) {
  if (what.kind == topic_kind::plain) return;
  const auto& key = what.key;
  const std::string wanted = topic_key(what.kind, key);
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

asio::awaitable<result<found_events>> replay::find(pg_connection& pg,
                                                   std::shared_ptr<const source_history> history,
                                                   outbox_filter filter) {
  found_events out;
  out.history = std::move(history);
  out.from = out.after = filter.after = filter.after.in(*out.history);
  auto statements = begin_read();
  statements.emplace_back("SET LOCAL enable_seqscan = off");
  statements.push_back(select_events(filter));
  auto rows = co_await pg.run(std::move(statements), k_page_timeout);
  if (!rows) co_return rows.error();
  if (auto good = out.begin((*rows)[1]); !good) {
    auto ended = co_await commit(pg);
    if (!ended) co_return ended.error();
    co_return good.error();
  }
  const auto& found = (*rows)[3];
  for (int i = 0; i < found.size(); ++i) out.take(found, i, description_);
  out.is_end = found.size() == 0 || found.text(found.size() - 1, col_is_last) == "t";
  co_return out;
}

asio::awaitable<result<void>> replay::commit(pg_connection& pg) {
  std::vector<pg_statement> statements;
  statements.emplace_back("COMMIT");
  auto ended = co_await pg.run(std::move(statements), k_answer_timeout);
  if (!ended) co_return ended.error();
  co_return result<void>{};
}

/// Of a topic only what touches it.
replay_page replay::to_page(const replay_query& what, found_events found) {
  const auto spans = found.spans();
  replay_page page;
  page.history = found.history;
  page.is_end = found.is_end;
  page.next = found.next();
  for (std::size_t i = 0; i < found.events.size(); ++i) {
    auto& e = found.events[i];
    const bool is_elsewhere = e.routes.empty() && e.op != operation::truncate;
    if (what.kind != topic_kind::plain && is_elsewhere) continue;
    page.items.push_back({std::move(e), found.in_first[i] ? spans.first : spans.rest});
  }
  return page;
}

asio::awaitable<result<replay_page>> replay::read(replay_query what, position after,
                                                  unsigned limit) {
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  auto filter = filter_of(description_, what, after);
  filter.limit = limit;
  filter.byte_limit = k_page_bytes;
  auto found = co_await find(leased->pg(), leased->history(), std::move(filter));
  if (!found) co_return found.error();
  auto routed = co_await route(leased->pg(), what, *found);
  if (!routed) co_return routed.error();
  auto ended = co_await commit(leased->pg());
  if (!ended) co_return ended.error();
  co_return to_page(what, *std::move(found));
}

asio::awaitable<result<std::unique_ptr<replay_stream>>> replay::open(
    replay_query what, position after, std::function<bool()> is_wanted) {
  auto filter = filter_of(description_, what, after);
  co_return co_await replay_stream::open(streams_, description_, std::move(filter),
                                         std::move(is_wanted));
}

asio::awaitable<result<replay_page>> replay::next(replay_stream& stream, replay_query what) {
  auto found = co_await stream.next();
  if (!found) co_return found.error();
  if (what.kind == topic_kind::campaign && !found->events.empty()) {
    auto leased = co_await pool_.acquire();
    if (!leased) co_return leased.error();
    auto begin = begin_read();
    begin.emplace_back("SET LOCAL enable_seqscan = off");
    auto begun = co_await leased->pg().run(std::move(begin), k_answer_timeout);
    if (!begun) co_return begun.error();
    auto routed = co_await route(leased->pg(), what, *found);
    if (!routed) co_return routed.error();
    auto ended = co_await commit(leased->pg());
    if (!ended) co_return ended.error();
  } else {
    membership none;
    route_events(found->events, what, none);
  }
  co_return to_page(what, *std::move(found));
}

/// In an open read transaction: a campaign's membership is asked of the same snapshot.
asio::awaitable<result<void>> replay::route(pg_connection& pg, const replay_query& what,
                                            found_events& found) {
  membership m;
  if (what.kind == topic_kind::campaign && !found.events.empty()) {
    auto read = co_await read_membership(pg, what.key, found.from, found.events);
    if (!read) co_return read.error();
    m = *std::move(read);
  }
  route_events(found.events, what, m);
  co_return result<void>{};
}

}  // namespace pgcast
