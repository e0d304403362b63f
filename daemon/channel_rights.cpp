#include "daemon/channel.hpp"

#include <algorithm>

// Private channels: what their policies let the client do.

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

constexpr auto k_reviews_apart = 1s;  // of a channel's rights, where answers are not kept
constexpr auto k_review_retry = 2s;

}  // namespace

error channel::may_not_read() const {
  return {errc::unauthorized,
          "You do not have permissions to read from this Channel topic: " + id_.name.name};
}

/// Asks what the viewer of now may do, again if a token changes him meanwhile.
asio::awaitable<result<void>> channel::ask_rights() {
  for (;;) {
    const auto viewer = viewer_;
    auto asked = co_await services_.rights.rights_of(id_.name.name, viewer);
    if (has_ended()) co_return result<void>{};
    if (viewer != viewer_) continue;
    if (!asked) co_return asked.error();
    rights_ = *asked;
    review_at_ = std::max(rights_.decided_at + services_.settings.auth_cache,
                          std::chrono::steady_clock::now() + k_reviews_apart);
    // A replay reads broadcasts out of the outbox, whatever comes of the channel's rights later.
    const bool may_stay = rights_.read_broadcast || (rights_.read_presence && !kept_);
    if (may_stay) co_return result<void>{};
    co_return may_not_read();
  }
}

/// For a joined channel: what it may not read any more ends it. While nobody can tell, it stays as
/// it is.
asio::awaitable<void> channel::review_rights() {
  is_in_review_ = true;
  auto asked = co_await ask_rights();
  is_in_review_ = false;
  if (has_ended()) co_return;
  if (asked && presence_ && !rights_.write_presence) presence_->leave(departure::left);
  if (asked) co_return;
  if (asked.error().code == errc::unauthorized) co_return lose_permission();
  review_at_ = std::chrono::steady_clock::now() + k_review_retry;
}

/// Memberships change: asked again when the answer is as old as answers may be.
void channel::refresh_rights() {
  if (!id_.name.is_private || !is_joined_ || is_in_review_ || viewer_->sees_everything()) return;
  if (std::chrono::steady_clock::now() >= review_at_) spawn(review_rights());
}

}  // namespace pgcast
