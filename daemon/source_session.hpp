#pragma once

#include "daemon/pg_connection.hpp"
#include "protocol/event.hpp"
#include "protocol/position.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace pgcast {

constexpr std::chrono::milliseconds k_answer_timeout{
    5'000};  ///< a server silent for longer is lost

/// Connects, checks that the server suits (version 14 or newer, a primary, pgcast installed) and
/// attaches to the source's history. Fails with database_unreachable, database_unsuitable or
/// not_installed and one sentence with the remedy.
boost::asio::awaitable<result<std::shared_ptr<const source_history>>> open_source(
    pg_connection& pg, std::string conninfo, std::string name);

/// Connects to listen or to ask a question: as open_source(), without the history.
boost::asio::awaitable<result<void>> open_session(pg_connection& pg, std::string conninfo,
                                                  std::string name);

/// For this session alone, takes away the deadlines that a role or database sets for applications:
/// a large read that is cancelled again and again would never advance. Not through a transaction
/// pooler, where it would stay behind for others.
boost::asio::awaitable<result<void>> remove_deadlines(pg_connection& pg);

/// The same for one transaction, as its first statement; through any pooler.
pg_statement without_deadlines();

/// True if the server or a pooler refused the last connect for a reason that passes: no connection
/// is free, or it starts up.
bool is_refused_for_now(const pg_connection& pg);

/// Between us and the server.
enum class pooling { none, session, transaction };

/// Whether a pooler is in between, and whether it gives a client the same server connection for
/// long: through a transaction pooler LISTEN hears nothing. A pooler numbers backends itself in
/// either mode, so what tells is a second connection, opened only when the numbers differ. When
/// the pooler has no server connection for it the answer is `transaction`, which costs no event.
/// Not inside a transaction; `pg` may be closed when the server falls silent.
boost::asio::awaitable<result<pooling>> detect_pooling(pg_connection& pg, std::string conninfo);

/// The same for commands, on connections of its own.
result<pooling> detect_pooling(const std::string& conninfo);

/// What an open session looks like to the server.
struct session_traits {
  pooling pooler = pooling::none;
  bool allows_prepared = false;  ///< max_prepared_transactions > 0
};
boost::asio::awaitable<result<session_traits>> read_traits(pg_connection& pg, std::string conninfo);

/// The first statements of every read transaction: one snapshot, and rendering and deadlines that
/// do not depend on defaults of role or database. The second gives the read_header. `deadline`: of
/// a statement, 0 = none.
std::vector<pg_statement> begin_read(std::chrono::milliseconds deadline = {});

enum read_header : int {
  header_snapshot,
  header_dropped_xid,  ///< highest in dropped partitions, 0 = none
  header_backend_pid   ///< of the server, also behind a pooler
};

/// The place of a transaction that begin_read() has begun, given the rows of its statements.
result<position> place_of_read(const std::vector<pg_rows>& begun, const source_history& history);

/// Which outbox rows to read: those that a position does not cover.
struct outbox_filter {
  position after;
  std::string where;  ///< further condition on the columns, "" = none; parameters from $5 on
  std::vector<std::optional<std::string>> parameters;
  unsigned limit = 0;          ///< 0 = all
  std::size_t byte_limit = 0;  ///< with a limit: rows until their JSON has that many bytes
};

/// The one query for events after a position (docs/decisions/0001). Columns in the order of
/// outbox_columns.
pg_statement select_events(const outbox_filter& filter);

enum outbox_columns : int {
  col_id,
  col_xid,
  col_at,
  col_schema,
  col_table,
  col_operation,
  col_record,
  col_old_record,
  col_in_first_part,  ///< 't': visible in after.s2, so the event's batch is (after.s1, after.s2]
  col_is_last         ///< 't': no event is left behind this one; only with a limit
};

/// The spans of the rows that select_events() gives: of those in after.s2, and of the others.
struct event_spans {
  std::shared_ptr<const batch_span> first;
  std::shared_ptr<const batch_span> rest;
};

}  // namespace pgcast
