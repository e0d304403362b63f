#pragma once

#include "daemon/pg_pool.hpp"
#include "daemon/table_policy.hpp"
#include "protocol/claims.hpp"
#include "protocol/event.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace pgcast {

/// All subscribers with the same role and claims (but exp, iat, nbf): they see the same rows.
/// One object per class and shard, shared by its channels; holds the class' cached decisions.
class viewer_class {
 public:
  using clock = std::chrono::steady_clock;

  viewer_class(std::string role, std::string claims);

  /// "" with auth.mode off: no role is taken, everything is seen.
  const std::string& role() const { return role_; }
  /// request.jwt.claims, JSON.
  const std::string& claims() const { return claims_; }
  bool sees_everything() const { return role_.empty(); }

 private:
  friend class authorizer;
  struct decision {
    bool is_visible = false;
    bool is_due = false;             ///< will be asked again before it is too old
    clock::time_point decided_at{};  ///< before the database was asked
  };

  /// Session id of a row -> its table and the values that the policies read -> decision.
  using decisions = std::map<std::string, std::unordered_map<std::string, decision>, std::less<>>;
  decisions& decided_by(const table_policy& policy) {
    return policy.reads_identity_only ? *of_identity_ : decisions_;
  }
  void forget(const std::string* session);  ///< nullptr: all

  std::string role_;
  std::string claims_;
  decisions decisions_;
  /// By policies that tell apart no more than sub, role and email: shared by all classes that are
  /// alike in these, as the tokens of one user are.
  std::shared_ptr<decisions> of_identity_;
};

/// Which sides of an event a class may see, and whether with all of their columns.
struct visibility {
  bool old_row = false;
  bool new_row = false;
  bool all_columns = true;
};

/// Answers of one authorizer::decide(), by event and class.
class visibility_map {
 public:
  visibility of(const event& e, const viewer_class& viewer) const;
  visibility& at(const event& e, const viewer_class& viewer) { return answers_[{&e, &viewer}]; }
  /// Room for so many answers.
  void reserve(std::size_t count) { answers_.reserve(count); }
  /// The tables as a role that was asked about may see them; nullptr for others.
  std::shared_ptr<const table_shapes> shapes_for(const std::string& role) const;
  void put_shapes(const std::string& role, std::shared_ptr<const table_shapes> shapes) {
    shapes_[role] = std::move(shapes);
  }

 private:
  using key = std::pair<const event*, const viewer_class*>;
  struct key_hash {
    std::size_t operator()(const key& k) const {
      return std::hash<const void*>{}(k.first) * 31 + std::hash<const void*>{}(k.second);
    }
  };
  std::unordered_map<key, visibility, key_hash> answers_;
  std::map<std::string, std::shared_ptr<const table_shapes>> shapes_;
};

/// Decides what classes of subscribers may see, on the events' own values, under the tables'
/// grants and row-level security, and keeps decisions for auth.cache. Those that are used are asked
/// again in the background before they are too old, so that no row waits for all classes at once.
/// One a shard.
class authorizer {
 public:
  using milliseconds = std::chrono::milliseconds;

  authorizer(pg_pool& pool, const relay_description& description, milliseconds cache);
  ~authorizer();

  /// The one object of this shard for such claims, or for nobody's limits ("" role).
  std::shared_ptr<viewer_class> class_of(const std::string& role, const std::string& claims);

  /// Events that change who belongs where make the decisions about their session void. Call
  /// before decide() of the same events.
  void observe(const std::vector<event>& events);

  struct question {
    const event* e;  ///< outlives decide()
    std::shared_ptr<viewer_class> viewer;
    auto operator<=>(const question&) const = default;
  };
  /// Answers all questions, from the cache or in one round trip to the database. Fails with
  /// database_unreachable: ask again. Rows that cannot be decided (their values do not fit the
  /// table any more, the policy fails for this role) are hidden, counted and logged.
  boost::asio::awaitable<result<visibility_map>> decide(std::vector<question> questions);

  /// Grants and policies of the described tables for a role, at most auth.cache old.
  boost::asio::awaitable<result<std::shared_ptr<const role_policies>>> policies_of(
      std::string role);
  /// The same, read again if they do not know a table: of each unknown one at most once a second.
  boost::asio::awaitable<result<std::shared_ptr<const role_policies>>> policies_with(
      std::string role, std::string schema, std::string table);
  /// True for one caller when what policies_of() keeps has become old: he asks for it again, so
  /// that changes of columns and grants are noticed also where nothing else asks.
  bool claim_refresh(const std::string& role);
  /// The tables as policies_of() last found them; nullptr if it was never asked.
  std::shared_ptr<const table_shapes> known_shapes(const std::string& role) const;

 private:
  using clock = viewer_class::clock;
  using policies_by_role = std::map<std::string, std::shared_ptr<const role_policies>>;
  enum class side { old_row, new_row };
  struct policy_row;
  struct role_sides;
  struct open_row;
  struct asking;

  boost::asio::awaitable<result<policies_by_role>> policies_for(
      const std::vector<question>& questions);
  role_sides read_sides(const event& e, const std::shared_ptr<const role_policies>& policies) const;
  void answer(const question& q, const role_sides& sides, visibility_map& out,
              std::vector<open_row>& open);
  std::optional<bool> known(const std::shared_ptr<viewer_class>& viewer,
                            const std::shared_ptr<const policy_row>& row);
  static viewer_class::decision* find(viewer_class& viewer, const policy_row& row);

  /// Each row alone if they cannot be asked together; or none then, and the error is given.
  enum class on_failure { ask_one_by_one, leave };
  boost::asio::awaitable<result<void>> ask(std::vector<open_row>& open, on_failure then);
  boost::asio::awaitable<result<void>> ask_one(pg_connection& pg, open_row& row);
  bool is_current(const open_row& one) const;
  void keep(const std::vector<open_row>& open, const asking& asked);
  void make_void(const std::string* session);
  void share_by_identity(viewer_class& viewer);
  void forget_decisions(const std::string& role);

  void start_refreshing();
  boost::asio::awaitable<void> refresh();
  std::vector<open_row> take_due();
  clock::duration pause_before_next() const;
  void forget_due();

  pg_pool& pool_;
  const relay_description& description_;
  milliseconds cache_;
  std::unordered_map<std::string, std::weak_ptr<viewer_class>> classes_;
  std::unordered_map<std::string, std::weak_ptr<viewer_class::decisions>> identities_;
  struct cached_policies {
    std::shared_ptr<const role_policies> policies;
    viewer_class::clock::time_point read_at{};
    viewer_class::clock::time_point claimed_at{};
    std::map<std::string, viewer_class::clock::time_point> unknown;  ///< tables asked for in vain
  };
  std::unordered_map<std::string, cached_policies> policies_;
  std::vector<std::weak_ptr<asking>> askings_;  ///< that are under way
  std::list<open_row> due_;                     ///< to be asked again, the oldest first
  bool is_refreshing_ = false;
};

}  // namespace pgcast
