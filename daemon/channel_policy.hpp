#pragma once

#include "daemon/authorizer.hpp"
#include "daemon/decision_cache.hpp"
#include "daemon/pg_pool.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <map>
#include <memory>
#include <string>

namespace pgcast {

/// What may be done on a channel. On public ones and on those of this domain's topics, by all who
/// have joined: everything.
struct channel_rights {
  bool read_broadcast = false;
  bool write_broadcast = false;
  bool read_presence = false;
  bool write_presence = false;
  std::chrono::steady_clock::time_point decided_at{};

  static constexpr channel_rights all() { return {true, true, true, true, {}}; }
};

/// Decides who may read from and write to private channels: by the policies of realtime.messages,
/// SELECT to read and INSERT to write, evaluated as the class on a row of that topic that is made
/// up for it, so that nothing is written. As for rows an answer is kept for auth.cache. One a
/// shard.
class channel_policy {
 public:
  using milliseconds = std::chrono::milliseconds;

  channel_policy(pg_pool& pool, milliseconds cache) : pool_(pool), cache_(cache), rights_(cache) {}

  /// Fails with not_installed where there is no realtime.messages, else as pg_pool::acquire() does;
  /// a policy that fails on its own lets nobody pass (logged).
  boost::asio::awaitable<result<channel_rights>> rights_of(std::string topic,
                                                           std::shared_ptr<viewer_class> viewer);

 private:
  using clock = std::chrono::steady_clock;
  /// Of realtime.messages, for one role: expressions that are true where it may, "true" and
  /// "false" included.
  struct message_policy {
    std::string read;
    std::string write;
  };
  struct cached_policy {
    message_policy policy;
    clock::time_point read_at{};
  };
  boost::asio::awaitable<result<cached_policy>> policy_for(pg_connection& pg, std::string role);

  pg_pool& pool_;
  milliseconds cache_;
  std::map<std::string, cached_policy> policies_;
  decision_cache<channel_rights> rights_;
};

}  // namespace pgcast
