#pragma once

#include "daemon/pg_pool.hpp"
#include "protocol/broadcast_request.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>

namespace pgcast {

/// Keeps broadcasts in realtime.messages, for those who join later. From there the database hands
/// them to every daemon, so who keeps one does not publish it as well. One a shard.
class message_store {
 public:
  explicit message_store(pg_pool& pool) : pool_(pool) {}

  /// Returns when the message is committed. `id` is a new UUID. Fails with payload_malformed for
  /// what Postgres cannot hold (NUL in a text), with not_installed where there is no place for it,
  /// else as pg_pool::acquire() does. Whether it may be sent was asked before.
  boost::asio::awaitable<result<void>> keep(requested_broadcast b, std::string id);

 private:
  pg_pool& pool_;
};

}  // namespace pgcast
