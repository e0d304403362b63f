#pragma once

#include "daemon/hub.hpp"
#include "protocol/presence.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <optional>

namespace pgcast {

/// A shard's copy of who is present, and the timer that tells its clients what has changed.
class presence_board {
 public:
  presence_board(boost::asio::any_io_executor executor, hub& topics);

  /// Tells the clients of a quiet topic of a track before it returns.
  void apply(const std::shared_ptr<const presence_change>& change);
  presences& present() { return present_; }

 private:
  void wait();
  void tell();

  hub& topics_;
  presences present_;
  boost::asio::steady_timer timer_;
  std::optional<presences::clock::time_point> waits_until_;
};

}  // namespace pgcast
