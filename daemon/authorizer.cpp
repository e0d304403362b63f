#include "daemon/authorizer.hpp"

#include "daemon/authorizer_rows.hpp"
#include "daemon/metrics.hpp"
#include "protocol/codec.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_reread_apart{1'000};
constexpr std::size_t k_unknown_tables = 100;
constexpr std::size_t k_most_due = 10'000;  // decisions asked again at a time; more become too old

/// A table whose rows say which campaign or number a session belongs to.
bool tells_membership(const table_description& t) {
  return std::any_of(t.routes.begin(), t.routes.end(), [](const auto& r) {
    return r.how == table_route::by::column && r.kind != topic_kind::session;
  });
}

}  // namespace

viewer_class::viewer_class(std::string role, std::string claims)
    : role_(std::move(role)),
      claims_(std::move(claims)),
      of_identity_(std::make_shared<decisions>()) {}

void viewer_class::forget(const std::string* session) {
  for (auto* known : {&decisions_, of_identity_.get()}) {
    if (session == nullptr) {
      known->clear();
    } else {
      known->erase(*session);
    }
  }
}

visibility visibility_map::of(const event& e, const viewer_class& viewer) const {
  if (viewer.sees_everything()) return {true, true, true};
  const auto found = answers_.find({&e, &viewer});
  return found == answers_.end() ? visibility{} : found->second;
}

std::shared_ptr<const table_shapes> visibility_map::shapes_for(const std::string& role) const {
  const auto found = shapes_.find(role);
  return found == shapes_.end() ? nullptr : found->second;
}

authorizer::authorizer(pg_pool& pool, const relay_description& description, milliseconds cache)
    : pool_(pool), description_(description), cache_(cache) {}
authorizer::~authorizer() = default;

std::shared_ptr<viewer_class> authorizer::class_of(const std::string& role,
                                                   const std::string& claims) {
  auto& known = classes_[role + '\n' + claims];
  auto viewer = known.lock();
  if (!viewer) {
    viewer = std::make_shared<viewer_class>(role, claims);
    known = viewer;
    share_by_identity(*viewer);
    std::erase_if(classes_, [](const auto& entry) { return entry.second.expired(); });
    std::erase_if(identities_, [](const auto& entry) { return entry.second.expired(); });
  }
  return viewer;
}

void authorizer::share_by_identity(viewer_class& viewer) {
  const auto identity = raw_values(viewer.claims(), {"sub", "role", "email"});
  if (!identity) return;
  std::string key = viewer.role();
  for (const auto& value : *identity) key.append("\n").append(value);
  auto& known = identities_[key];
  if (auto shared = known.lock()) {
    viewer.of_identity_ = std::move(shared);
  } else {
    known = viewer.of_identity_;
  }
}

void authorizer::observe(const std::vector<event>& events) {
  for (const auto& e : events) {
    if (e.description == nullptr || !tells_membership(*e.description)) continue;
    const auto column = e.description->session_column();
    const auto session = values_of(e, column);
    const bool is_general = column.empty() || e.op == operation::truncate;
    if (is_general) make_void(nullptr);
    if (session.before) make_void(&*session.before);
    if (session.after && session.after != session.before) make_void(&*session.after);
  }
}

/// What is known of a session, nullptr: of all, and what is being asked.
void authorizer::make_void(const std::string* session) {
  for (auto& [key, weak] : classes_) {
    const auto viewer = weak.lock();
    if (viewer) viewer->forget(session);
  }
  for (const auto& weak : askings_) {
    const auto one = weak.lock();
    if (!one) continue;
    if (session == nullptr) {
      one->is_void = true;
    } else {
      one->void_sessions.insert(*session);
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
    if (viewer && viewer->role() == role) viewer->forget(nullptr);
  }
  for (const auto& weak : askings_) {
    if (const auto one = weak.lock()) one->is_void = true;
  }
}

/// What the policies of a role need of an event. A record is kept short where the policy reads
/// nothing else of it: it is sent for every class.
authorizer::role_sides authorizer::read_sides(
    const event& e, const std::shared_ptr<const role_policies>& policies) const {
  const auto* policy = policies->find(e.schema, e.table);
  role_sides out{policies.get(), policy, nullptr, nullptr};
  if (policy == nullptr || !policy->may_select_some || policy->sees_every_row ||
      e.op == operation::truncate) {
    return out;
  }
  const auto session =
      e.description == nullptr ? column_values{} : values_of(e, e.description->session_column());
  const auto read = [&](result<std::string> record, const std::optional<std::string>& of_session) {
    const auto values = record ? raw_values(*record, policy->columns)
                               : result<std::vector<std::string>>{record.error()};
    if (!values) {
      metrics().rows_unparsable.add();
      spdlog::error("event {} is hidden: {}", e.id, values.error().detail);
      return std::shared_ptr<const policy_row>{};
    }
    std::string short_record = "{";
    for (std::size_t i = 0; i < values->size(); ++i) {
      if (i > 0) short_record += ',';
      short_record.append(json_quote(policy->columns[i])).append(":").append((*values)[i]);
    }
    short_record += '}';
    const bool is_enough = policy->is_cacheable && !policy->needs_whole_record;
    return std::make_shared<const policy_row>(policy_row{
        policies, policy, e.id, of_session.value_or(""), policy->relation + '\n' + short_record,
        is_enough ? short_record : *std::move(record)});
  };
  if (e.op != operation::insert) out.old_row = read(whole_old_record(e), session.before);
  if (e.op != operation::remove) out.new_row = read(e.record, session.after);
  return out;
}

viewer_class::decision* authorizer::find(viewer_class& viewer, const policy_row& row) {
  auto& decisions = viewer.decided_by(*row.policy);
  const auto of_session = decisions.find(row.session);
  if (of_session == decisions.end()) return nullptr;
  const auto found = of_session->second.find(row.values);
  return found == of_session->second.end() ? nullptr : &found->second;
}

/// From the cache; what will soon be too old is asked again.
std::optional<bool> authorizer::known(const std::shared_ptr<viewer_class>& viewer,
                                      const std::shared_ptr<const policy_row>& row) {
  if (!row->policy->is_cacheable) return std::nullopt;
  auto* const found = find(*viewer, *row);
  if (found == nullptr) return std::nullopt;
  const auto age = clock::now() - found->decided_at;
  if (age >= cache_) return std::nullopt;
  if (age >= cache_ / 3 * 2 && !found->is_due && due_.size() < k_most_due) {
    found->is_due = true;
    due_.push_back({viewer, row});
  }
  metrics().decisions[decision_source::cache].add();
  return found->is_visible;
}

void authorizer::answer(const question& q, const role_sides& sides, visibility_map& out,
                        std::vector<open_row>& open) {
  if (sides.policy == nullptr || !sides.policy->may_select_some) return;
  auto& answer = out.at(*q.e, *q.viewer);
  answer.all_columns = sides.policy->may_select;
  if (sides.policy->sees_every_row || q.e->op == operation::truncate) {
    answer.old_row = q.e->op != operation::insert;
    answer.new_row = q.e->op != operation::remove;
    return;
  }
  const auto decide_side = [&](side which, const std::shared_ptr<const policy_row>& row) {
    if (!row) return false;
    const auto seen = known(q.viewer, row);
    if (!seen) open.push_back({q.viewer, row, q.e, which});
    return seen.value_or(false);
  };
  answer.old_row = decide_side(side::old_row, sides.old_row);
  answer.new_row = decide_side(side::new_row, sides.new_row);
}

/// Of each role that the questions name, nullptr where they cannot be read.
asio::awaitable<result<authorizer::policies_by_role>> authorizer::policies_for(
    const std::vector<question>& questions) {
  policies_by_role out;
  const question* last = nullptr;
  for (const auto& q : questions) {
    const auto& role = q.viewer->role();
    const bool is_same = last != nullptr && last->e == q.e && last->viewer->role() == role;
    last = &q;
    if (is_same) continue;
    const auto asked = out.find(role);
    const bool is_known =
        asked != out.end() && (!asked->second || asked->second->find(q.e->schema, q.e->table));
    if (is_known) continue;
    auto policies = co_await policies_with(role, q.e->schema, q.e->table);
    if (!policies && policies.error().code != errc::query_failed) co_return policies.error();
    if (!policies) {
      spdlog::error("nothing is delivered to role {}: {}", role, policies.error().detail);
    }
    out[role] = policies ? *policies : nullptr;
  }
  co_return out;
}

asio::awaitable<result<visibility_map>> authorizer::decide(std::vector<question> questions) {
  auto policies = co_await policies_for(questions);
  if (!policies) co_return policies.error();
  visibility_map out;
  out.reserve(questions.size());
  for (const auto& [role, found] : *policies) {
    if (found) out.put_shapes(role, found->shapes);
  }
  std::vector<open_row> open;
  std::vector<role_sides> sides;  // of one event
  const event* current = nullptr;
  for (const auto& q : questions) {
    const auto& role = (*policies)[q.viewer->role()];
    if (q.viewer->sees_everything() || !role) continue;
    if (std::exchange(current, q.e) != q.e) sides.clear();
    auto known = std::find_if(sides.begin(), sides.end(),
                              [&](const auto& s) { return s.role == role.get(); });
    if (known == sides.end()) known = sides.insert(known, read_sides(*q.e, role));
    answer(q, *known, out, open);
  }
  start_refreshing();
  if (open.empty()) co_return out;
  auto asked = co_await ask(open, on_failure::ask_one_by_one);
  if (!asked) co_return asked.error();
  for (const auto& row : open) {
    auto& answer = out.at(*row.e, *row.viewer);
    (row.which == side::old_row ? answer.old_row : answer.new_row) = row.is_visible;
  }
  co_return out;
}

}  // namespace pgcast
