#pragma once

#include "daemon/feed.hpp"
#include "protocol/join.hpp"
#include "protocol/topic.hpp"

#include <optional>
#include <string>

namespace pgcast {

/// The broadcasts of a topic that come through the database: those that a join wants replayed, then
/// all that follow, none missing, none twice (docs/decisions/0008). The channel is registered with
/// the hub and hands them over as they come.
class broadcast_feed : public feed {
 public:
  broadcast_feed(shard_services& services, feed_owner& owner, std::uint32_t number,
                 std::shared_ptr<viewer_class> viewer, const topic& name,
                 join_request::replay_wish wish);

  /// Looks which there are. The viewer may read the topic. Fails with the error of the database.
  boost::asio::awaitable<result<void>> prepare();
  /// Sends them and goes live. The join is answered by now.
  boost::asio::awaitable<void> start();

 private:
  replay_query query() const override;
  bool wants(const event&) const override { return false; }
  event_sides sides_of(const replay_page::item& item, visibility seen) const override;
  void send_row(const std::shared_ptr<const batch_span>& span, const event& e, event_sides sides,
                std::uint32_t feed_number) override;
  boost::asio::awaitable<std::optional<position>> start_afresh() override;

  std::string key_;
  join_request::replay_wish wish_;
  kept_broadcasts chosen_;
};

}  // namespace pgcast
