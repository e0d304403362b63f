#pragma once

#include "daemon/feed.hpp"
#include "daemon/stats_policy.hpp"
#include "daemon/ticker_board.hpp"
#include "protocol/topic.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace pgcast {

/// The numbers of a campaign in one channel: only ever the newest. Lives in its shard.
class stats_feed : public stats_watcher {
 public:
  /// `number` is unique among the client's feeds, not 0.
  stats_feed(shard_services& services, feed_owner& owner, std::uint32_t number,
             std::shared_ptr<viewer_class> viewer, topic name);

  /// Asks whether the viewer may watch, and waits until there are numbers. Fails with unauthorized,
  /// campaign_too_large, or the error of the database.
  boost::asio::awaitable<result<void>> prepare();
  /// Tells the numbers of now. The join is answered by now.
  void start();
  void end();
  /// Other rights: asked again.
  void renew(std::shared_ptr<viewer_class> viewer);
  /// Asks again when the answer is as old as auth.cache. Called about four times a second.
  void refresh();

  wire_version version() const override { return owner_.version(); }
  const std::string& wire_topic() const override { return owner_.wire_topic(); }
  void on_numbers(const shared_frame& frame) override;
  void on_campaign_changed() override;

 private:
  boost::asio::awaitable<result<bool>> may_watch();
  boost::asio::awaitable<void> review();

  shard_services& services_;
  feed_owner& owner_;
  std::uint32_t number_;
  std::shared_ptr<viewer_class> viewer_;
  topic name_;
  ticker_board::watch watch_;
  std::chrono::steady_clock::time_point review_at_{};
  bool is_started_ = false;
  bool is_in_review_ = false;
  bool has_ended_ = false;
};

}  // namespace pgcast
