#pragma once

#include "daemon/authorizer.hpp"
#include "daemon/pg_pool.hpp"
#include "daemon/snapshot.hpp"
#include "protocol/api_request.hpp"

#include <boost/asio/awaitable.hpp>

#include <memory>
#include <string>

namespace pgcast {

/// An answer of the snapshot API: {"cursor":<cursor>,<members>}.
struct api_answer {
  api_answer(std::string at, std::string rest) : cursor(std::move(at)), members(std::move(rest)) {}
  std::string cursor;
  std::string members;
};

/// Answers the snapshot API under row-level security, each request in one REPEATABLE READ
/// transaction with a deadline, a few at a time. One a shard.
class api_reader {
 public:
  /// `most_waiting`: requests that run or wait for a connection; more are refused.
  api_reader(pg_pool& pool, authorizer& policies, unsigned most_waiting);

  /// Fails with not_found, before_invalid, overloaded, query_timeout, source_unavailable or
  /// query_failed (logged).
  boost::asio::awaitable<api_result<api_answer>> read(api_request r,
                                                      std::shared_ptr<viewer_class> viewer);

 private:
  using answer = boost::asio::awaitable<result<api_answer>>;
  answer read_snapshot(const api_request& r, std::shared_ptr<viewer_class> viewer);
  answer read_page(const api_request& r, std::shared_ptr<viewer_class> viewer);
  answer read_campaigns(const api_request& r, std::shared_ptr<viewer_class> viewer);

  pg_pool& pool_;
  authorizer& policies_;
  snapshot_reader snapshots_;
  unsigned most_waiting_;
  unsigned waiting_ = 0;
};

}  // namespace pgcast
