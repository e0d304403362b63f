#include "daemon/feed.hpp"

#include "daemon/metrics.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_room_pause{10};

}  // namespace

feed::feed(shard_services& services, feed_owner& owner, std::uint32_t number,
           std::shared_ptr<viewer_class> viewer)
    : services_(services), owner_(owner), number_(number), viewer_(std::move(viewer)) {}

void feed::end() { fsm_.end(); }

asio::awaitable<void> feed::pause(std::chrono::milliseconds delay) {
  asio::steady_timer timer(services_.executor, delay);
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

// ---- the hub's events

void feed::on_event(delivery& d) {
  switch (fsm_.on_event(d.chunk(), d.changed(), d.sides())) {
    case feed_fsm::verdict::drop:
      return;
    case feed_fsm::verdict::deliver_with_own_cursor:
      return send_row(fsm_.own_span(d.chunk()->batch), d.changed(), d.sides(), number_);
    case feed_fsm::verdict::deliver:
      break;
  }
  if (!d.frame()) return;
  metrics().events_delivered.add();
  owner_.send(d.frame(), number_);
}

// ---- slow clients

void feed::park(const outbound_queue& waiting) {
  position before;
  const bool is_waiting = waiting.first_waiting(number_, before);
  fsm_.park(is_waiting ? &before : nullptr, services_.topics.published());
}

void feed::unpark() {
  if (fsm_.now() != feed_fsm::state::parked) return;
  auto from = *place();
  start_reading(from);
  owner_.spawn(come_back(std::move(from)));
}

// ---- catching up

void feed::start_reading(std::optional<position> place) {
  if (fsm_.is_live()) owner_.keep_rows(number_);
  fsm_.start_reading(std::move(place));
}

void feed::go_live(position read_up_to) {
  if (owner_.is_parked()) return fsm_.park_at(std::move(read_up_to));
  auto released = fsm_.go_live(std::move(read_up_to));
  if (!released) return;
  for (const auto& r : *released) send_row(r.span, *r.e, r.sides, number_);
}

asio::awaitable<void> feed::come_back(position from) { co_await catch_up(std::move(from)); }

asio::awaitable<void> feed::has_caught_up(position) { co_return; }

asio::awaitable<void> feed::catch_up(position from) {
  auto retry = k_first_retry;
  while (!has_ended()) {
    start_reading(from);
    auto page = co_await read_page(from);
    if (has_ended()) co_return;
    if (!page && is_cursor_error(page.error().code)) {
      owner_.refuse_cursor(page.error());
      co_await start_afresh();
      co_return;
    }
    if (!page) {
      co_await pause(retry);
      retry = std::min(retry * 2, k_longest_retry);
      continue;
    }
    const bool is_sent = co_await send_page(*page, nullptr);
    if (!is_sent) continue;
    from = page->next;
    fsm_.has_read(from);
    co_await wait_for_room();
    if (has_ended()) co_return;
    if (page->is_end) go_live(from);
    if (fsm_.now() != feed_fsm::state::catching_up) break;
  }
  if (!has_ended()) co_await has_caught_up(std::move(from));
}

asio::awaitable<bool> feed::send_page(const replay_page& page, const position* end) {
  std::vector<authorizer::question> questions;
  for (const auto& item : page.items) questions.push_back({&item.e, viewer_});
  const auto viewer = viewer_;
  auto visible = co_await services_.policies.decide(std::move(questions));
  if (has_ended()) co_return true;
  if (!visible) {
    co_await pause(k_first_retry);
    co_return false;
  }
  for (const auto& item : page.items) {
    if (end != nullptr && !end->covers(item.e.xid, item.e.id)) continue;
    const auto sides = sides_of(item, visible->of(item.e, *viewer));
    if (sides.old_row || sides.new_row) send_row(item.span, item.e, sides, 0);
  }
  co_return true;
}

asio::awaitable<void> feed::wait_for_room() {
  while (!has_ended() && !owner_.has_room()) {
    fsm_.forget_held();  // nothing is kept in memory for a client that does not read
    co_await pause(k_room_pause);
  }
}

}  // namespace pgcast
