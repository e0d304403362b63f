#include "daemon/authorizer.hpp"

#include "daemon/metrics.hpp"
#include "daemon/source_session.hpp"
#include "daemon/sql_text.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::size_t k_kept_sessions = 10'000;  // a class; more are asked again
constexpr std::size_t k_kept_rows = 1'000;       // a session and class

constexpr std::size_t k_rows_a_statement = 20;
constexpr std::chrono::milliseconds k_reread_apart{1'000};
constexpr std::size_t k_unknown_tables = 100;

constexpr std::string_view k_cancelled = "57014";  // by the statement timeout, or by somebody

/// A table whose rows say which campaign or number a session belongs to.
bool tells_membership(const table_description& t) {
  return std::any_of(t.routes.begin(), t.routes.end(), [](const auto& r) {
    return r.how == table_route::by::column && r.kind != topic_kind::session;
  });
}

}  // namespace

/// One row of which the cache does not know whether a class sees it.
struct authorizer::open_row {
  question asked;
  side which;
  table_policy policy;
  std::string session;
  std::string values;
  std::string record;
  bool is_visible = false;
};

visibility visibility_map::of(const event& e, const viewer_class& viewer) const {
  if (viewer.sees_everything()) return {true, true, true};
  const auto found = answers_.find({&e, &viewer});
  return found == answers_.end() ? visibility{} : found->second;
}

std::shared_ptr<const table_shapes> visibility_map::shapes_for(const viewer_class& viewer) const {
  const auto found = shapes_.find(&viewer);
  return found == shapes_.end() ? nullptr : found->second;
}

authorizer::authorizer(pg_pool& pool, const relay_description& description, milliseconds cache)
    : pool_(pool), description_(description), cache_(cache) {}

std::shared_ptr<viewer_class> authorizer::class_of(const std::string& role,
                                                   const std::string& claims) {
  auto& known = classes_[role + '\n' + claims];
  auto viewer = known.lock();
  if (!viewer) {
    viewer = std::make_shared<viewer_class>(role, claims);
    known = viewer;
    std::erase_if(classes_, [](const auto& entry) { return entry.second.expired(); });
  }
  return viewer;
}

void authorizer::observe(const std::vector<event>& events) {
  for (const auto& e : events) {
    if (e.description == nullptr || !tells_membership(*e.description)) continue;
    const auto column = e.description->session_column();
    const auto session = values_of(e, column);
    const bool is_general = column.empty() || e.op == operation::truncate;
    for (auto& [key, weak] : classes_) {
      const auto viewer = weak.lock();
      if (!viewer) continue;
      if (is_general) viewer->decisions_.clear();
      if (session.before) viewer->decisions_.erase(*session.before);
      if (session.after) viewer->decisions_.erase(*session.after);
    }
  }
}

asio::awaitable<result<std::shared_ptr<const role_policies>>> authorizer::policies_of(
    std::string role) {
  const auto now = viewer_class::clock::now();
  if (const auto& known = policies_[role]; known.policies && now - known.read_at < cache_) {
    co_return known.policies;
  }
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  if (const auto& known = policies_[role]; known.policies && known.read_at > now) {
    co_return known.policies;  // somebody else has asked while this one waited
  }
  auto read = co_await read_policies(leased->pg(), role, description_);
  if (!read) co_return read.error();
  auto& known = policies_[role];
  known.read_at = viewer_class::clock::now();
  if (known.policies && *known.policies == *read) co_return known.policies;
  if (known.policies) forget_decisions(role);
  known.policies = std::make_shared<const role_policies>(*std::move(read));
  co_return known.policies;
}

asio::awaitable<result<std::shared_ptr<const role_policies>>> authorizer::policies_with(
    std::string role, std::string schema, std::string table) {
  auto policies = co_await policies_of(role);
  if (!policies || (*policies)->find(schema, table) != nullptr) co_return policies;
  const auto now = viewer_class::clock::now();
  auto& known = policies_[role];
  const auto missed = known.unknown.find(schema + '\n' + table);
  if (missed != known.unknown.end() && now - missed->second < k_reread_apart) co_return policies;
  if (known.unknown.size() >= k_unknown_tables) known.unknown.clear();
  known.unknown[schema + '\n' + table] = now;
  known.read_at = {};
  co_return co_await policies_of(std::move(role));
}

bool authorizer::claim_refresh(const std::string& role) {
  const auto known = policies_.find(role);
  const auto now = viewer_class::clock::now();
  if (known == policies_.end() || now - known->second.read_at < cache_) return false;
  const auto apart = std::max<milliseconds>(cache_, k_reread_apart);
  if (now - known->second.claimed_at < apart) return false;
  known->second.claimed_at = now;
  return true;
}

std::shared_ptr<const table_shapes> authorizer::known_shapes(const std::string& role) const {
  const auto known = policies_.find(role);
  return known == policies_.end() || !known->second.policies ? nullptr
                                                             : known->second.policies->shapes;
}

void authorizer::forget_decisions(const std::string& role) {
  for (auto& [key, weak] : classes_) {
    const auto viewer = weak.lock();
    if (viewer && viewer->role() == role) viewer->decisions_.clear();
  }
}

void authorizer::add_side(const question& q, side which, const role_policies& policies,
                          visibility_map& out, std::vector<open_row>& open) {
  const auto& e = *q.e;
  const auto* policy = policies.find(e.schema, e.table);
  auto& answer = out.at(e, *q.viewer);
  bool& visible = which == side::old_row ? answer.old_row : answer.new_row;
  if (policy == nullptr || !policy->may_select_some) return;
  answer.all_columns = policy->may_select;
  if (policy->sees_every_row || e.op == operation::truncate) {
    visible = true;
    return;
  }
  auto record = which == side::new_row ? result<std::string>{e.record} : whole_old_record(e);
  const auto values = record ? raw_values(*record, policy->columns)
                             : result<std::vector<std::string>>{record.error()};
  if (!values) {
    metrics().rows_unparsable.add();
    spdlog::error("event {} is hidden from {}: {}", e.id, q.viewer->role(), values.error().detail);
    return;
  }
  const auto session =
      e.description == nullptr ? column_values{} : values_of(e, e.description->session_column());
  open_row row{q,
               which,
               *policy,
               (which == side::old_row ? session.before : session.after).value_or(""),
               policy->relation,
               *std::move(record)};
  for (const auto& v : *values) row.values.append("\n").append(v);
  const auto of_session = q.viewer->decisions_.find(row.session);
  if (policy->is_cacheable && of_session != q.viewer->decisions_.end()) {
    const auto known = of_session->second.find(row.values);
    if (known != of_session->second.end() &&
        viewer_class::clock::now() - known->second.decided_at < cache_) {
      metrics().decisions[decision_source::cache].add();
      visible = known->second.is_visible;
      return;
    }
  }
  open.push_back(std::move(row));
}

asio::awaitable<result<visibility_map>> authorizer::decide(std::vector<question> questions) {
  visibility_map out;
  std::vector<open_row> open;
  std::unordered_map<const viewer_class*, std::shared_ptr<const role_policies>> policies_for;
  for (const auto& q : questions) {
    const auto asked = policies_for.find(q.viewer.get());
    const bool is_known = asked != policies_for.end() &&
                          (!asked->second || asked->second->find(q.e->schema, q.e->table));
    if (is_known) continue;
    auto policies = co_await policies_with(q.viewer->role(), q.e->schema, q.e->table);
    if (!policies && policies.error().code != errc::query_failed) co_return policies.error();
    if (!policies) {
      spdlog::error("nothing is delivered to role {}: {}", q.viewer->role(),
                    policies.error().detail);
    }
    policies_for[q.viewer.get()] = policies ? *policies : nullptr;
    if (policies) out.put_shapes(*q.viewer, (*policies)->shapes);
  }
  for (const auto& q : questions) {
    const auto& policies = policies_for[q.viewer.get()];
    if (q.viewer->sees_everything() || !policies) continue;
    if (q.e->op != operation::insert) add_side(q, side::old_row, *policies, out, open);
    if (q.e->op != operation::remove) add_side(q, side::new_row, *policies, out, open);
  }
  if (!open.empty()) {
    auto asked = co_await ask(open);
    if (!asked) co_return asked.error();
    keep(open, out);
  }
  co_return out;
}

/// All rows in one transaction and round trip: a statement per class and table. If one of them
/// fails, each row is asked alone, so that only those that cannot be decided are hidden.
asio::awaitable<result<void>> authorizer::ask(std::vector<open_row>& open) {
  std::stable_sort(open.begin(), open.end(), [](const auto& a, const auto& b) {
    return std::tie(a.asked.viewer, a.policy.relation) <
           std::tie(b.asked.viewer, b.policy.relation);
  });
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  std::vector<pg_statement> statements;
  begin_decisions(statements);
  std::vector<std::pair<std::size_t, std::size_t>> groups;  // statement, first row
  const viewer_class* viewer = nullptr;
  for (std::size_t i = 0; i < open.size();) {
    if (open[i].asked.viewer.get() != viewer) {
      viewer = open[i].asked.viewer.get();
      for (auto& s : become(viewer->role(), viewer->claims())) statements.push_back(std::move(s));
    }
    std::vector<std::string_view> records;
    const std::size_t first = i;
    while (i < open.size() && records.size() < k_rows_a_statement &&
           open[i].asked.viewer.get() == viewer &&
           open[i].policy.relation == open[first].policy.relation) {
      records.push_back(open[i++].record);
    }
    groups.emplace_back(statements.size(), first);
    statements.emplace_back(decision_sql(open[first].policy),
                            std::vector<std::optional<std::string>>{text_array(records)});
  }
  statements.emplace_back("COMMIT");
  // The server answers a pipeline when all of it is done.
  const auto timeout = k_answer_timeout + k_statement_timeout * static_cast<int>(groups.size());
  auto rows = co_await leased->pg().run(std::move(statements), timeout);
  if (!rows && rows.error().code != errc::query_failed) co_return rows.error();
  if (!rows) {
    for (auto& row : open) {
      auto one = co_await ask_one(leased->pg(), row);
      if (!one) co_return one.error();
    }
    co_return result<void>{};
  }
  for (const auto& [statement, first] : groups) {
    const auto& answers = (*rows)[statement];
    for (int i = 0; i < answers.size(); ++i) {
      open[first + static_cast<std::size_t>(i)].is_visible = answers.text(i, 0) == "t";
    }
  }
  co_return result<void>{};
}

asio::awaitable<result<void>> authorizer::ask_one(pg_connection& pg, open_row& row) {
  std::vector<pg_statement> statements;
  begin_decisions(statements);
  const auto* viewer = row.asked.viewer.get();
  for (auto& s : become(viewer->role(), viewer->claims())) statements.push_back(std::move(s));
  statements.emplace_back(decision_sql(row.policy),
                          std::vector<std::optional<std::string>>{
                              text_array(std::array{std::string_view{row.record}})});
  statements.emplace_back("COMMIT");
  auto rows = co_await pg.run(statements, k_answer_timeout);
  if (!rows && rows.error().detail.starts_with(k_cancelled)) {
    rows = co_await pg.run(std::move(statements), k_answer_timeout);
  }
  if (rows) {
    row.is_visible = (*rows)[(*rows).size() - 2].text(0, 0) == "t";
    co_return result<void>{};
  }
  if (rows.error().code != errc::query_failed || may_pass(rows.error())) {
    co_return error{errc::database_unreachable, rows.error().detail};
  }
  metrics().rows_unparsable.add();
  spdlog::error("event {} is hidden from role {}: its row cannot be decided: {}", row.asked.e->id,
                viewer->role(), rows.error().detail);
  co_return result<void>{};
}

void authorizer::keep(const std::vector<open_row>& open, visibility_map& out) {
  const auto now = viewer_class::clock::now();
  for (const auto& row : open) {
    metrics().decisions[decision_source::database].add();
    auto& answer = out.at(*row.asked.e, *row.asked.viewer);
    (row.which == side::old_row ? answer.old_row : answer.new_row) = row.is_visible;
    if (!row.policy.is_cacheable) continue;
    auto& decisions = row.asked.viewer->decisions_;
    if (decisions.size() > k_kept_sessions) decisions.clear();
    auto& of_session = decisions[row.session];
    if (of_session.size() > k_kept_rows) of_session.clear();
    of_session[row.values] = {row.is_visible, now};
  }
}

}  // namespace pgcast
