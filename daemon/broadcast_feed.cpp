#include "daemon/broadcast_feed.hpp"

#include "daemon/metrics.hpp"

#include <chrono>

namespace pgcast {
namespace asio = boost::asio;

broadcast_feed::broadcast_feed(shard_services& services, feed_owner& owner, std::uint32_t number,
                               std::shared_ptr<viewer_class> viewer, const topic& name,
                               join_request::replay_wish wish)
    : feed(services, owner, number, std::move(viewer)), key_(topic_key(name)), wish_(wish) {}

asio::awaitable<result<void>> broadcast_feed::prepare() {
  co_await wait_for_source();
  if (has_ended()) co_return result<void>{};
  auto found = co_await services_.past.newest_kept(key_, wish_.since_ms, wish_.limit);
  if (!found) co_return found.error();
  chosen_ = *std::move(found);
  co_return result<void>{};
}

asio::awaitable<void> broadcast_feed::start() {
  position from = chosen_.before;
  if (chosen_.ids.empty()) {
    go_live(from);
    if (fsm_.now() != feed_fsm::state::catching_up) co_return;
  }
  co_await catch_up(std::move(from));
}

replay_query broadcast_feed::query() const {
  replay_query what;
  what.kept = {key_, chosen_.ids, chosen_.begun};
  return what;
}

/// Who may read the topic may read all of it.
event_sides broadcast_feed::sides_of(const replay_page::item&, visibility) const {
  return {false, true};
}

/// `feed_number` 0: read from the outbox.
void broadcast_feed::send_row(const std::shared_ptr<const batch_span>& span, const event& e,
                              event_sides, std::uint32_t feed_number) {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  const bool is_replayed = feed_number == 0;
  if (is_replayed && e.broadcast->expires_at && *e.broadcast->expires_at <= now.count()) return;
  auto frame = write_kept(e, span, owner_.version(), owner_.wire_topic(),
                          is_replayed ? broadcast_origin::replayed : broadcast_origin::live);
  if (!frame) return;
  metrics().events_delivered.add();
  owner_.send(std::move(frame), feed_number);
}

/// Nothing of before can be had: the client has been told, and goes on from now.
asio::awaitable<std::optional<position>> broadcast_feed::start_afresh() {
  co_await pause(k_first_retry);
  co_await wait_for_source();
  if (has_ended()) co_return std::nullopt;
  chosen_.ids.clear();
  co_return services_.topics.published().start;
}

}  // namespace pgcast
