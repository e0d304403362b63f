#include "daemon/ticker_reader.hpp"

#include "daemon/metrics.hpp"
#include "daemon/source_session.hpp"
#include "daemon/ticker_sql.hpp"

#include <chrono>
#include <utility>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_numbers_timeout{30'000};

}  // namespace

asio::awaitable<result<ticker_answers>> ticker_reader::read(std::string campaign,
                                                            ticker::question q) {
  auto tables = co_await policies_.policies_of("");
  if (!tables) co_return tables.error();
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  auto begin = begin_read();
  if (q.is_of_all) begin.push_back(choose_numbers_plan());
  auto begun = co_await leased->pg().run(std::move(begin), k_answer_timeout);
  if (!begun) co_return begun.error();
  auto at = place_of_read(*begun, *leased->history());
  if (!at) co_return at.error();
  std::vector<pg_statement> statements;
  if (q.is_of_all) {
    const auto plan =
        begun->back().text(0, 0) == "t" ? numbers_plan::by_index : numbers_plan::by_scan;
    statements.push_back(campaign_numbers(**tables, campaign, plan, most_sessions_ + 1));
  } else {
    statements.push_back(session_numbers_of(**tables, q.sessions));
  }
  statements.emplace_back("COMMIT");
  auto rows = co_await leased->pg().run(std::move(statements), k_numbers_timeout);
  if (!rows) co_return rows.error();
  metrics()
      .ticker_questions[q.is_of_all ? ticker_question::campaign : ticker_question::sessions]
      .add();
  const auto& found = rows->front();
  if (q.is_of_all && static_cast<std::size_t>(found.size()) > most_sessions_) {
    co_return error{errc::campaign_too_large, "the campaign has more than " +
                                                  std::to_string(most_sessions_) +
                                                  " sessions (limits.ticker_sessions)"};
  }
  ticker_answers out{{}, *std::move(at), leased->history()};
  out.found.reserve(static_cast<std::size_t>(found.size()));
  for (int row = 0; row < found.size(); ++row) out.found.push_back(session_answer(found, row));
  co_return out;
}

}  // namespace pgcast
