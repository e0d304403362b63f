#pragma once

#include "daemon/authorizer.hpp"

#include <memory>
#include <set>
#include <string>

namespace pgcast {

/// One side of an event as the policy of a role reads it. One for all classes of the role.
struct authorizer::policy_row {
  std::shared_ptr<const role_policies> policies;  ///< owns the policy
  const table_policy* policy;
  std::uint64_t event_id;
  std::string session;
  std::string
      values;  ///< table and columns that the policy reads: rows alike in them are seen alike
  std::string record;  ///< what Postgres is asked about
};

/// Both sides of an event for a role. A row is nullptr where there is none, where none is needed
/// and where it cannot be read.
struct authorizer::role_sides {
  const role_policies* role;
  const table_policy* policy;
  std::shared_ptr<const policy_row> old_row;
  std::shared_ptr<const policy_row> new_row;
};

/// A row of which it is not known, or not for long any more, whether a class sees it.
struct authorizer::open_row {
  std::shared_ptr<viewer_class> viewer;
  std::shared_ptr<const policy_row> row;
  const event* e = nullptr;  ///< nullptr: asked again
  side which = side::new_row;
  bool is_visible = false;
};

/// A question that the database has not answered. What becomes void meanwhile is not kept.
struct authorizer::asking {
  clock::time_point since;
  bool is_void = false;
  std::set<std::string> void_sessions;
};

}  // namespace pgcast
