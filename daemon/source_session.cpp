#include "daemon/source_session.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr int k_oldest_server = 140'000;

std::uint64_t to_number(std::string_view text, int base = 10) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(to_number(hex.substr(i, 2), 16));
  }
  return out;
}

/// From the rows that open_source() asks for.
source_history to_history(const std::vector<pg_rows>& rows) {
  source_history h;
  h.epoch = to_number(rows[2].text(0, 0), 16);
  h.cursor_key = from_hex(rows[2].text(0, 1));
  for (int i = 0; i < rows[3].size(); ++i) {
    h.incarnations.push_back(
        {static_cast<std::uint32_t>(to_number(rows[3].text(i, 0))), to_number(rows[3].text(i, 1))});
  }
  h.dropped_xid = to_number(rows[4].text(0, 0));
  return h;
}

}  // namespace

bool is_refused_for_now(const pg_connection& pg) {
  // Too many connections; starting up or shutting down; how pgbouncer refuses one too many.
  constexpr std::array<std::string_view, 3> passing{"53300", "57P03", "08P01"};
  return std::find(passing.begin(), passing.end(), pg.refused_with()) != passing.end();
}

asio::awaitable<result<void>> open_session(pg_connection& pg, std::string conninfo,
                                           std::string name) {
  auto connected = co_await pg.connect(std::move(conninfo), std::move(name), k_answer_timeout);
  if (!connected) co_return connected.error();
  if (pg.server_version() < k_oldest_server) {
    pg.close();
    co_return error{errc::database_unsuitable,
                    "PostgreSQL 14 or newer is needed: upgrade the "
                    "server or point database.url elsewhere"};
  }
  std::vector<pg_statement> checks;
  checks.emplace_back("SELECT pg_is_in_recovery(), pg_backend_pid()");
  auto checked = co_await pg.run(std::move(checks), k_answer_timeout);
  if (!checked) co_return checked.error();
  if ((*checked)[0].text(0, 0) == "t") {
    pg.close();
    co_return error{errc::database_unsuitable,
                    "the server is a hot standby: point database.url "
                    "at the primary (target_session_attrs=read-write)"};
  }
  // Behind a pooler each transaction sets what it needs.
  const bool is_pooled = (*checked)[0].text(0, 1) != std::to_string(pg.backend_pid());
  if (is_pooled) co_return result<void>{};
  co_return co_await remove_deadlines(pg);
}

pg_statement without_deadlines() {
  return {
      "SELECT set_config('statement_timeout', '0', true),"
      " set_config('lock_timeout', '0', true),"
      " set_config('idle_in_transaction_session_timeout', '0', true)"};
}

asio::awaitable<result<void>> remove_deadlines(pg_connection& pg) {
  std::vector<pg_statement> settings;
  settings.emplace_back(
      "SELECT set_config(name, CASE WHEN name LIKE '%timeout' THEN '0' ELSE 'off' END, false)"
      " FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout',"
      " 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout',"
      " 'default_transaction_read_only', 'default_transaction_deferrable')");
  auto set = co_await pg.run(std::move(settings), k_answer_timeout);
  if (!set) co_return set.error();
  co_return result<void>{};
}

asio::awaitable<result<std::shared_ptr<const source_history>>> open_source(pg_connection& pg,
                                                                           std::string conninfo,
                                                                           std::string name) {
  auto opened = co_await open_session(pg, std::move(conninfo), std::move(name));
  if (!opened) co_return opened.error();
  std::vector<pg_statement> checks;
  checks.emplace_back("SELECT to_regclass('pgcast.outbox') IS NULL");
  auto checked = co_await pg.run(std::move(checks), k_answer_timeout);
  if (!checked) co_return checked.error();
  if ((*checked)[0].text(0, 0) == "t") {
    pg.close();
    co_return error{errc::not_installed,
                    "pgcast is not installed in this database: run "
                    "'pgcast install' with the same database.url"};
  }
  std::vector<pg_statement> attach;
  attach.emplace_back("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
  attach.push_back(without_deadlines());
  attach.emplace_back("SELECT epoch, encode(cursor_key, 'hex') FROM pgcast.attach()");
  attach.emplace_back("SELECT number, first_xid FROM pgcast.incarnation ORDER BY number");
  attach.emplace_back("SELECT coalesce(dropped_xid, '0'::xid8) FROM pgcast.meta");
  attach.emplace_back("COMMIT");
  auto rows = co_await pg.run(std::move(attach), k_answer_timeout);
  if (!rows) co_return rows.error();
  co_return std::make_shared<const source_history>(to_history(*rows));
}

asio::awaitable<result<session_traits>> read_traits(pg_connection& pg, std::string conninfo) {
  session_traits t;
  auto pooler = co_await detect_pooling(pg, std::move(conninfo));
  if (!pooler) co_return pooler.error();
  t.pooler = *pooler;
  std::vector<pg_statement> query;
  query.emplace_back("SELECT current_setting('max_prepared_transactions')");
  auto rows = co_await pg.run(std::move(query), k_answer_timeout);
  if (!rows) co_return rows.error();
  t.allows_prepared = (*rows)[0].text(0, 0) != "0";
  co_return t;
}

namespace {

/// The first rows of `sql` by count and bytes. It asks for one more row than the page may have, so
/// that the last one knows whether it is the last of all. A row's size is known without reading
/// its value (TOAST).
std::string cut_page(const std::string& sql, const outbox_filter& filter) {
  const std::string order = "ORDER BY in_first DESC, id";
  return "SELECT id, xid, at, schema_name, table_name, operation, record, old_record, in_first,"
         " ordinal = total_rows FROM (SELECT found.*, row_number() OVER (" +
         order +
         ") AS ordinal,"
         " count(*) OVER () AS total_rows, sum(bytes) OVER (" +
         order +
         ") - bytes AS bytes_before"
         " FROM (SELECT page.*, coalesce(octet_length(record), 0)"
         " + coalesce(octet_length(old_record), 0) AS bytes FROM (" +
         sql + " LIMIT " + std::to_string(filter.limit + 1) +
         ") AS page) AS found) AS counted WHERE ordinal <= " + std::to_string(filter.limit) +
         " AND bytes_before < " + std::to_string(filter.byte_limit) + " " + order;
}

}  // namespace

std::vector<pg_statement> begin_read(std::chrono::milliseconds deadline) {
  std::vector<pg_statement> out;
  out.emplace_back("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  out.emplace_back(
      "SELECT pg_current_snapshot(), (SELECT coalesce(dropped_xid, '0'::xid8) FROM pgcast.meta),"
      " pg_backend_pid(),"
      " set_config('statement_timeout', '" +
      std::to_string(deadline.count()) +
      "', true), set_config('lock_timeout', '0', true),"
      " set_config('idle_in_transaction_session_timeout', '0', true),"
      " set_config('TimeZone', 'UTC', true), set_config('IntervalStyle', 'postgres', true),"
      " set_config('DateStyle', 'ISO, MDY', true),"
      " set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '1', true),"
      " set_config('jit', 'off', true)");
  return out;
}

result<position> place_of_read(const std::vector<pg_rows>& begun, const source_history& history) {
  auto seen = pg_snapshot::parse(begun[1].text(0, header_snapshot));
  if (!seen) return seen.error();
  return position::at(history.current(), std::make_shared<pg_snapshot>(*std::move(seen)));
}

pg_statement select_events(const outbox_filter& filter) {
  const auto& p = filter.after;
  const std::string keys = filter.where.empty() ? "" : " AND (" + filter.where + ")";
  std::string sql =
      "SELECT id, xid, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS at,"
      " schema_name, table_name, operation, record, old_record,"
      " pg_visible_in_snapshot(xid, $3::pg_snapshot) AS in_first"
      " FROM (SELECT * FROM pgcast.outbox WHERE xid >= $1::xid8" +
      keys + " UNION ALL SELECT * FROM pgcast.outbox WHERE xid = ANY($2::xid8[])" + keys +
      ") o"
      " WHERE NOT (id <= $4::bigint AND pg_visible_in_snapshot(xid, $3::pg_snapshot))"
      " ORDER BY in_first DESC, id";
  if (filter.limit > 0) sql = cut_page(sql, filter);
  std::vector<std::optional<std::string>> parameters{
      std::to_string(p.s1->xmax()), p.s1->running_array(), p.s2->text(), std::to_string(p.id)};
  parameters.insert(parameters.end(), filter.parameters.begin(), filter.parameters.end());
  return {std::move(sql), std::move(parameters)};
}

}  // namespace pgcast
