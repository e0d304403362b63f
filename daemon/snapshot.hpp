#pragma once

#include "daemon/authorizer.hpp"
#include "daemon/pg_pool.hpp"
#include "protocol/join.hpp"
#include "protocol/position.hpp"
#include "protocol/topic.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <memory>
#include <string>

namespace pgcast {

/// What a topic holds at one moment, as one class of viewers may see it.
struct topic_snapshot {
  bool is_allowed = false;       ///< may this class join at all?
  std::string body;              ///< members of the payload after "cursor": "\"session\":{..},.."
  std::string followed_session;  ///< of `phone:`, "" if there is none
  position at;                   ///< the snapshot's place in the stream
  std::shared_ptr<const source_history> history;
};

/// What to read: the rows too, or only whether one may join and where the stream stands.
enum class snapshot_content { full, permission_only };

/// Reads snapshots under row-level security, each in one REPEATABLE READ transaction on the
/// primary together with the place at which it is true. Fails with database_unreachable or
/// query_failed. One a shard.
class snapshot_reader {
 public:
  /// `deadline`: of a statement, 0 = none.
  snapshot_reader(pg_pool& pool, authorizer& policies, std::chrono::milliseconds deadline)
      : pool_(pool), policies_(policies), deadline_(deadline) {}

  boost::asio::awaitable<result<topic_snapshot>> read(topic t, std::shared_ptr<viewer_class> viewer,
                                                      join_request::snapshot_sizes sizes,
                                                      snapshot_content content);

 private:
  pg_pool& pool_;
  authorizer& policies_;
  std::chrono::milliseconds deadline_;
};

}  // namespace pgcast
