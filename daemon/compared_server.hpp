#pragma once

#include "daemon/topic_follower.hpp"
#include "daemon/websocket_client.hpp"
#include "protocol/observed_change.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace pgcast {

/// One of the servers that `pgcast compare` watches, on a thread of its own: connects, joins,
/// answers for itself and comes back after a drop as supabase-js does (1, 2, 5, 10 s).
class compared_server {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  struct settings {
    std::string name;  ///< for sentences: "the other server"
    websocket_client::address where;
    std::string token;
    std::vector<table_filter> tables;
    topic_follower::after_loss rule = topic_follower::after_loss::starts_afresh;
  };

  struct news {
    enum class kind {
      subscribed,  ///< its changes come from now on
      change,      ///< see `change`
      dropped,     ///< it was subscribed; `text` says why it is not
      failed,      ///< before it was ever subscribed: it is over; see exit_code
      warning      ///< `text` is what the server says, or why it cannot be reached again
    };
    kind what = kind::warning;
    std::string text;
    time_point at;
    int exit_code = 0;
    observed_change change{};
  };

  /// Starts at once. `tell` is called on the thread of this server until the destructor returns.
  compared_server(settings options, std::function<void(news)> tell);
  ~compared_server();
  compared_server(const compared_server&) = delete;
  compared_server& operator=(const compared_server&) = delete;

 private:
  /// How one connection ended.
  struct ending {
    std::string reason;
    std::optional<int> exit_code;  ///< a failure that trying again does not change
  };

  void run();
  ending follow();
  std::optional<ending> handle();
  void report(news::kind what, std::string text, int exit_code = 0);

  const settings options_;
  const std::function<void(news)> tell_;
  topic_follower follower_;
  websocket_client client_{websocket_client::interrupts::by_call};
  bool is_subscribed_ = false;
  bool was_subscribed_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace pgcast
