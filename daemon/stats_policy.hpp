#pragma once

#include "daemon/authorizer.hpp"
#include "daemon/decision_cache.hpp"
#include "daemon/pg_pool.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <memory>
#include <string>

namespace pgcast {

/// Decides who may watch the numbers of a campaign: who can SELECT its campaign_info row, or,
/// where there is none, roles that see every row of session_info. Kept for auth.cache. One a shard.
class stats_policy {
 public:
  struct answer {
    bool may_watch = false;
    std::chrono::steady_clock::time_point decided_at{};
  };

  stats_policy(pg_pool& pool, authorizer& policies, std::chrono::milliseconds cache)
      : pool_(pool), policies_(policies), answers_(cache) {}

  /// Fails as pg_pool::acquire() does; a policy that fails on its own lets nobody pass (logged).
  boost::asio::awaitable<result<answer>> ask(std::string campaign,
                                             std::shared_ptr<viewer_class> viewer);
  /// Its campaign_info row has changed.
  void forget(const std::string& campaign) { answers_.forget(campaign); }

 private:
  pg_pool& pool_;
  authorizer& policies_;
  decision_cache<answer> answers_;
};

}  // namespace pgcast
