#pragma once

#include "daemon/pg_connection.hpp"
#include "daemon/table_policy.hpp"
#include "protocol/ticker.hpp"

#include <array>
#include <cstddef>
#include <string>

namespace pgcast {

// The questions of tickers. Run before a role is taken: all sessions count, whoever watches. Taken
// for granted: session ids are text, `message` and `objectives` are json or jsonb, `duration` is an
// interval. Tables that do not exist count nothing.

/// How the rows of a campaign's sessions are found.
enum class numbers_plan {
  by_index,  ///< session by session: needs the indexes that `pgcast check` names
  by_scan    ///< all tables once, however they are indexed
};

/// One row; its first column: whether by_index would find the indexes it needs. Cheap, catalogs
/// only. If so it also sets the transaction up for many small look-ups: a new backend takes 100 ms
/// to get its compiler (jit) ready, and a bitmap for five rows costs twice what an index scan does.
pg_statement choose_numbers_plan();

/// All sessions of a campaign, at most `limit`: a row each, for session_answer().
pg_statement campaign_numbers(const role_policies& tables, const std::string& campaign,
                              numbers_plan plan, std::size_t limit);

/// The same of named sessions, of whatever campaign.
pg_statement session_numbers_of(const role_policies& tables,
                                const std::vector<std::string>& sessions);

/// The messages of one side: the partial index of chat_history (session_id) that counts them alone,
/// and which rows it has. The queries say it word for word alike, or Postgres would not use it.
struct message_side_rows {
  std::string_view side;  ///< "user", "agent", "other"
  std::string_view index;
  std::string_view predicate;
};
const std::array<message_side_rows, 3>& message_sides();

/// The sums of campaigns that somebody may see: a row each, for named_totals(); none for campaigns
/// without sessions. With the rights of whoever runs it.
pg_statement totals_of_campaigns(const role_policies& tables,
                                 const std::vector<std::string>& campaigns);

/// A row of it.
struct named_totals {
  std::string campaign;
  campaign_totals totals;
  objective_counts objectives;
};
named_totals read_totals(const pg_rows& rows, int row);

/// A row of campaign_numbers() or session_numbers_of().
ticker::answer session_answer(const pg_rows& rows, int row);

}  // namespace pgcast
