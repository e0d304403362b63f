// What the authorizer asks the database: rows that wait for an answer, and decisions that will soon
// be too old.

#include "daemon/authorizer.hpp"

#include "daemon/authorizer_rows.hpp"
#include "daemon/metrics.hpp"
#include "daemon/source_session.hpp"
#include "daemon/sql_text.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <exception>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::size_t k_kept_sessions = 10'000;  // a class; more are asked again
constexpr std::size_t k_kept_rows = 1'000;       // a session and class

constexpr std::size_t k_rows_a_statement = 20;
constexpr std::size_t k_asked_again_at_once = 16;  // 5 ms, for which rows may have to wait
constexpr std::chrono::milliseconds k_longest_pause{50};

constexpr std::string_view k_cancelled = "57014";  // by the statement timeout, or by somebody

}  // namespace

/// All rows in one transaction and round trip: a statement per class and table. If one of them
/// fails, each row is asked alone, so that only those that cannot be decided are hidden.
asio::awaitable<result<void>> authorizer::ask(std::vector<open_row>& open, on_failure then) {
  const auto order = [](const open_row& one) {
    return std::tie(one.viewer, one.row->policy, one.row->values);
  };
  std::stable_sort(open.begin(), open.end(),
                   [&](const auto& a, const auto& b) { return order(a) < order(b); });
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  const auto asked = std::make_shared<asking>();
  asked->since = clock::now();
  std::erase_if(askings_, [](const auto& one) { return one.expired(); });
  askings_.push_back(asked);

  std::vector<pg_statement> statements;
  begin_decisions(statements);
  struct place {
    std::size_t statement;
    int row;
  };
  std::vector<place> places;  // of each row's answer
  std::size_t groups = 0;
  for (std::size_t i = 0; i < open.size();) {
    const auto* const viewer = open[i].viewer.get();
    const auto* const policy = open[i].row->policy;
    if (i == 0 || open[i - 1].viewer.get() != viewer) {
      for (auto& s : become(viewer->role(), viewer->claims())) statements.push_back(std::move(s));
    }
    std::vector<std::string_view> records;
    for (const auto first = i; i < open.size() && records.size() < k_rows_a_statement; ++i) {
      const auto& row = *open[i].row;
      if (open[i].viewer.get() != viewer || row.policy != policy) break;
      const bool is_known =
          i > first && policy->is_cacheable && row.values == open[i - 1].row->values;
      if (!is_known) records.push_back(row.record);
      places.push_back({statements.size(), static_cast<int>(records.size()) - 1});
    }
    metrics().decisions[decision_source::database].add(records.size());
    statements.emplace_back(decision_sql(*policy),
                            std::vector<std::optional<std::string>>{text_array(records)});
    ++groups;
  }
  statements.emplace_back("COMMIT");
  // The server answers a pipeline when all of it is done.
  const auto timeout = k_answer_timeout + k_statement_timeout * static_cast<int>(groups);
  auto rows = co_await leased->pg().run(std::move(statements), timeout);
  const bool is_refused = !rows && rows.error().code == errc::query_failed;
  if (!rows && (!is_refused || then == on_failure::leave)) co_return rows.error();
  for (std::size_t i = 0; i < open.size(); ++i) {
    if (rows) {
      open[i].is_visible = (*rows)[places[i].statement].text(places[i].row, 0) == "t";
      continue;
    }
    auto one = co_await ask_one(leased->pg(), open[i]);
    if (!one) co_return one.error();
  }
  keep(open, *asked);
  co_return result<void>{};
}

asio::awaitable<result<void>> authorizer::ask_one(pg_connection& pg, open_row& open) {
  std::vector<pg_statement> statements;
  begin_decisions(statements);
  const auto& viewer = *open.viewer;
  for (auto& s : become(viewer.role(), viewer.claims())) statements.push_back(std::move(s));
  statements.emplace_back(decision_sql(*open.row->policy),
                          std::vector<std::optional<std::string>>{
                              text_array(std::array{std::string_view{open.row->record}})});
  statements.emplace_back("COMMIT");
  auto rows = co_await pg.run(statements, k_answer_timeout);
  if (!rows && rows.error().detail.starts_with(k_cancelled)) {
    rows = co_await pg.run(std::move(statements), k_answer_timeout);
  }
  if (rows) {
    open.is_visible = (*rows)[(*rows).size() - 2].text(0, 0) == "t";
    co_return result<void>{};
  }
  if (rows.error().code != errc::query_failed || may_pass(rows.error())) {
    co_return error{errc::database_unreachable, rows.error().detail};
  }
  metrics().rows_unparsable.add();
  spdlog::error("event {} is hidden from role {}: its row cannot be decided: {}",
                open.row->event_id, viewer.role(), rows.error().detail);
  co_return result<void>{};
}

/// Whether the policies are those of now.
bool authorizer::is_current(const open_row& one) const {
  const auto known = policies_.find(one.viewer->role());
  return known != policies_.end() && known->second.policies == one.row->policies;
}

void authorizer::keep(const std::vector<open_row>& open, const asking& asked) {
  if (asked.is_void) return;
  for (const auto& one : open) {
    if (!one.row->policy->is_cacheable || asked.void_sessions.contains(one.row->session)) continue;
    if (!is_current(one)) continue;
    auto& decisions = one.viewer->decided_by(*one.row->policy);
    if (decisions.size() > k_kept_sessions) decisions.clear();
    auto& of_session = decisions[one.row->session];
    if (of_session.size() > k_kept_rows) of_session.clear();
    of_session[one.row->values] = {one.is_visible, false, asked.since};
  }
}

// ---- asking again

void authorizer::start_refreshing() {
  if (is_refreshing_ || due_.empty()) return;
  is_refreshing_ = true;
  asio::co_spawn(pool_.executor(), refresh(), [this](std::exception_ptr failed) {
    is_refreshing_ = false;
    if (!failed) return;
    spdlog::critical("decisions were not asked again");
    forget_due();
  });
}

/// A few at a time, spread over half of the time that is left, so that neither the database nor
/// rows that wait for it feel it. What fails becomes too old and is asked when a row needs it.
asio::awaitable<void> authorizer::refresh() {
  for (;;) {
    auto some = take_due();
    if (some.empty()) co_return;
    auto asked = co_await ask(some, on_failure::leave);
    if (!asked) {
      forget_due();
      co_return;
    }
    asio::steady_timer timer(pool_.executor(), pause_before_next());
    co_await timer.async_wait(asio::use_awaitable);
  }
}

/// The next ones whose class is still there, whose decision is not void, and whose policy is that
/// of now.
std::vector<authorizer::open_row> authorizer::take_due() {
  std::vector<open_row> out;
  while (!due_.empty() && out.size() < k_asked_again_at_once) {
    auto one = std::move(due_.front());
    due_.pop_front();
    const bool has_gone = one.viewer.use_count() == 1;
    const auto* const known = find(*one.viewer, *one.row);
    if (has_gone || !is_current(one) || known == nullptr || !known->is_due) continue;
    out.push_back(std::move(one));
  }
  return out;
}

authorizer::clock::duration authorizer::pause_before_next() const {
  if (due_.empty()) return {};
  const auto* const oldest = find(*due_.front().viewer, *due_.front().row);
  if (oldest == nullptr) return {};
  const auto left = oldest->decided_at + cache_ - clock::now();
  const auto rounds = static_cast<int>(due_.size() / k_asked_again_at_once + 1);
  return std::clamp<clock::duration>(left / (2 * rounds), clock::duration{}, k_longest_pause);
}

void authorizer::forget_due() {
  for (const auto& one : due_) {
    if (auto* const known = find(*one.viewer, *one.row)) known->is_due = false;
  }
  due_.clear();
}

}  // namespace pgcast
