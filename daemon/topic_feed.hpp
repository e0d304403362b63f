#pragma once

#include "daemon/feed.hpp"
#include "protocol/join.hpp"
#include "protocol/topic.hpp"

#include <optional>
#include <string>

namespace pgcast {

/// The rows of a `session:`, `phone:` or `campaign:` topic: snapshot, resume and live tail. Also
/// the channel's place among the topic's listeners of broadcasts.
class topic_feed : public feed {
 public:
  topic_feed(shard_services& services, feed_owner& owner, std::uint32_t number,
             std::shared_ptr<viewer_class> viewer, topic name, const join_request& request);

  /// Registers with the hub, then asks whether the viewer may join, and for the rows. `held` is the
  /// place that was kept for this client, if there is one. Fails with unauthorized, or with the
  /// error of the database.
  boost::asio::awaitable<result<void>> prepare(std::optional<position> held);
  /// Sends what prepare() has read and goes live. The join is answered by now.
  boost::asio::awaitable<void> start();

  /// Other rights: asked again, then in force without a gap.
  boost::asio::awaitable<void> renew(std::shared_ptr<viewer_class> viewer);

  void end() override;
  void on_number_moved(const event& e, const batch_span& span) override;

 private:
  replay_query query() const override;
  event_sides sides_of(const replay_page::item& item, visibility seen) const override;
  void send_row(const std::shared_ptr<const batch_span>& span, const event& e, event_sides sides,
                std::uint32_t feed_number) override;
  boost::asio::awaitable<std::optional<position>> start_afresh() override;
  boost::asio::awaitable<void> has_caught_up(position at) override;
  boost::asio::awaitable<void> come_back(position from) override;

  boost::asio::awaitable<result<position>> resume_place();
  boost::asio::awaitable<std::optional<topic_snapshot>> take_snapshot();
  boost::asio::awaitable<void> run_follow(position from);
  boost::asio::awaitable<void> resume_number(position from);
  boost::asio::awaitable<void> replay_until(position from, position end);
  void register_member();
  void follow(const std::string& session);
  void send_snapshot(const topic_snapshot& s);
  bool is_phone() const { return name_.kind == topic_kind::phone; }

  topic name_;
  join_request::snapshot_sizes sizes_;
  bool wants_snapshot_;
  std::optional<std::string> resume_cursor_;
  std::optional<std::string> resume_since_;
  /// Between prepare() and start().
  struct prepared {
    std::optional<position> resumed;
    std::optional<error> refused_cursor;
    bool has_rows = false;
    topic_snapshot taken;
  };
  std::unique_ptr<prepared> prepared_;
  subscription membership_;
  subscription following_;  ///< of `phone:`: its session
  std::string followed_session_;
  bool must_look_again_ = false;
  unsigned renewals_ = 0;
};

}  // namespace pgcast
