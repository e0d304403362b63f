#pragma once

#include "daemon/authorizer.hpp"
#include "daemon/pg_pool.hpp"
#include "protocol/position.hpp"
#include "protocol/ticker.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace pgcast {

/// What a ticker asked for, and the place at which it is true.
struct ticker_answers {
  std::vector<ticker::answer> found;
  position at;
  std::shared_ptr<const source_history> history;
};

/// Asks the database for the numbers of sessions, all of them, whoever watches. One a shard.
class ticker_reader {
 public:
  /// `most_sessions`: of one campaign.
  ticker_reader(pg_pool& pool, authorizer& policies, std::size_t most_sessions)
      : pool_(pool), policies_(policies), most_sessions_(most_sessions) {}

  /// Fails with campaign_too_large, database_unreachable or query_failed.
  boost::asio::awaitable<result<ticker_answers>> read(std::string campaign, ticker::question q);

 private:
  pg_pool& pool_;
  authorizer& policies_;
  std::size_t most_sessions_;
};

}  // namespace pgcast
