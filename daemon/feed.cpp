#include "daemon/feed.hpp"

#include "daemon/metrics.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_room_pause{5};
constexpr std::chrono::milliseconds k_source_check{20};
constexpr std::chrono::milliseconds k_stream_pause{300};  // a stream waits so long for its client
constexpr unsigned k_most_pages_before_stream = 64;

}  // namespace

feed::feed(shard_services& services, feed_owner& owner, std::uint32_t number,
           std::shared_ptr<viewer_class> viewer)
    : services_(services), owner_(owner), number_(number), viewer_(std::move(viewer)) {}

void feed::end() { fsm_.end(); }

/// Before the source's first word, and after its history has ended, there is no place.
std::optional<position> feed::place() const {
  const auto& published = services_.topics.published();
  if (fsm_.is_live() && published.history->epoch == 0) return std::nullopt;
  return fsm_.place(published);
}

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

asio::awaitable<void> feed::read_again() {
  if (!fsm_.is_live()) {
    fsm_.forget_held();
    co_return;
  }
  co_await wait_for_source();
  if (has_ended()) co_return;
  position from = *place();
  co_await come_back(std::move(from));
}

/// Short gaps are one page. A longer one is read as a stream while the client takes it; a client
/// that does not keep up reads pages, and longer before the next stream.
asio::awaitable<result<replay_page>> feed::next_page(reading& r, position from) {
  if (!r.stream) start_reading(from);  // what is held behind a stream's snapshot stays
  const replay_query what = query();
  if (!r.stream && r.pages >= r.pages_before_stream) {
    const std::function<bool()> is_wanted = [this] { return !has_ended(); };
    auto opened = co_await services_.past.open(what, from, is_wanted);
    if (opened) r.stream = *std::move(opened);
    r.pages = 0;
  }
  if (r.stream && !has_ended()) {
    auto page = co_await services_.past.next(*r.stream, what);
    if (!page || page->is_end) r.stream.reset();
    co_return page;
  }
  auto page = co_await services_.past.read(what, std::move(from), k_page_events);
  ++r.pages;
  co_return page;
}

asio::awaitable<void> feed::catch_up(position from) {
  auto retry = k_first_retry;
  reading r;
  while (!has_ended()) {
    auto page = co_await next_page(r, from);
    if (has_ended()) co_return;
    if (!page && is_cursor_error(page.error().code)) {
      owner_.refuse_cursor(page.error());
      r = {};
      auto next = co_await start_afresh();
      if (!next) co_return;
      from = *std::move(next);
      continue;
    }
    if (!page) {
      co_await pause(retry);
      retry = std::min(retry * 2, k_longest_retry);
      continue;
    }
    const bool has_room = co_await wait_for_room(k_stream_pause);
    if (!has_room) {
      r.stream.reset();
      r.pages = 0;
      r.pages_before_stream = std::min(r.pages_before_stream * 2, k_most_pages_before_stream);
      co_await wait_for_room();
    }
    co_await send_page(*page, nullptr);
    if (has_ended()) co_return;
    from = page->next;
    fsm_.has_read(from);
    if (r.stream && r.stream->is_due()) r.stream.reset();
    if (page->is_end) go_live(from);
    if (fsm_.now() != feed_fsm::state::catching_up) break;
  }
  if (!has_ended()) co_await has_caught_up(std::move(from));
}

asio::awaitable<void> feed::send_page(const replay_page& page, const position* end) {
  result<visibility_map> visible = visibility_map{};
  for (;;) {
    const auto viewer = viewer_;
    std::vector<authorizer::question> questions;
    for (const auto& item : page.items) {
      if (wants(item.e)) questions.push_back({&item.e, viewer});
    }
    visible = co_await services_.policies.decide(std::move(questions));
    if (has_ended()) co_return;
    if (visible && viewer == viewer_) break;  // else a new token came meanwhile: asked again
    if (!visible) co_await pause(k_first_retry);
    if (has_ended()) co_return;
  }
  learn(*visible);
  for (const auto& item : page.items) {
    if (end != nullptr && !end->covers(item.e.xid, item.e.id)) continue;
    const auto sides = sides_of(item, visible->of(item.e, *viewer_));
    if (sides.old_row || sides.new_row) send_row(item.span, item.e, sides, 0);
  }
}

asio::awaitable<void> feed::wait_for_source() {
  while (!has_ended() && services_.topics.published().history->epoch == 0) {
    co_await pause(k_source_check);
  }
}

asio::awaitable<bool> feed::wait_for_room(std::chrono::milliseconds longest) {
  for (std::chrono::milliseconds waited{0}; !has_ended() && !owner_.has_room();
       waited += k_room_pause) {
    if (waited >= longest) co_return false;
    co_await pause(k_room_pause);
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
