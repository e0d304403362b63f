#include "daemon/stats_feed.hpp"

#include "daemon/metrics.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr auto k_source_check = 20ms;
constexpr auto k_reviews_apart = 1s;
constexpr auto k_review_retry = 2s;

}  // namespace

stats_feed::stats_feed(shard_services& services, feed_owner& owner, std::uint32_t number,
                       std::shared_ptr<viewer_class> viewer, topic name)
    : services_(services),
      owner_(owner),
      number_(number),
      viewer_(std::move(viewer)),
      name_(std::move(name)) {}

void stats_feed::end() {
  has_ended_ = true;
  watch_.reset();
}

/// Asks again if a token changes the viewer meanwhile.
asio::awaitable<result<bool>> stats_feed::may_watch() {
  for (;;) {
    const auto viewer = viewer_;
    auto asked = co_await services_.watchers.ask(name_.key, viewer);
    if (has_ended_) co_return false;
    if (viewer != viewer_) continue;
    if (!asked) co_return asked.error();
    review_at_ =
        std::max(asked->decided_at + services_.settings.auth_cache, clock::now() + k_reviews_apart);
    co_return asked->may_watch;
  }
}

asio::awaitable<result<void>> stats_feed::prepare() {
  while (!has_ended_ && services_.topics.published().history->epoch == 0) {
    asio::steady_timer timer(services_.executor, k_source_check);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  auto may = co_await may_watch();
  if (has_ended_) co_return result<void>{};
  if (!may) co_return may.error();
  if (!*may) {
    co_return error{errc::unauthorized,
                    "You do not have permissions to read from this Channel topic: " + name_.name};
  }
  watch_ = services_.tickers.join(name_.key, *this);
  co_return co_await watch_.wait();
}

void stats_feed::start() {
  is_started_ = true;
  watch_.tell();
}

void stats_feed::on_numbers(const shared_frame& frame) { owner_.send_newest(frame, number_); }

// ---- rights

void stats_feed::renew(std::shared_ptr<viewer_class> viewer) {
  viewer_ = std::move(viewer);
  review_at_ = {};
  refresh();
}

void stats_feed::on_campaign_changed() {
  services_.watchers.forget(name_.key);
  review_at_ = {};
}

void stats_feed::refresh() {
  if (!is_started_ || is_in_review_ || viewer_->sees_everything()) return;
  if (clock::now() < review_at_) return;
  is_in_review_ = true;
  owner_.spawn(review());
}

/// While nobody can tell, it stays as it is.
asio::awaitable<void> stats_feed::review() {
  auto may = co_await may_watch();
  is_in_review_ = false;
  if (has_ended_) co_return;
  if (!may) review_at_ = clock::now() + k_review_retry;
  if (may && !*may) owner_.lose_permission();
}

}  // namespace pgcast
