#include "daemon/channel.hpp"
#include "daemon/metrics.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

// The part of a channel that reads: resume, the way back of a parked client, a number that moves.

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

constexpr unsigned k_page_events = 100;
constexpr auto k_room_pause = 10ms;
constexpr auto k_first_retry = 100ms;
constexpr auto k_longest_retry = 2'000ms;

resume_outcome outcome_of(errc code) {
  switch (code) {
    case errc::cursor_foreign:
      return resume_outcome::cursor_foreign;
    case errc::cursor_too_old:
      return resume_outcome::cursor_too_old;
    case errc::cursor_ahead:
      return resume_outcome::cursor_ahead;
    default:
      return resume_outcome::cursor_invalid;
  }
}

}  // namespace

asio::awaitable<void> channel::pause(std::chrono::milliseconds delay) {
  asio::steady_timer timer(services_.executor, delay);
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

void channel::refuse_cursor(const error& e) {
  metrics().resumes[outcome_of(e.code)].add();
  tell({"pgcast", "error", text_code(e.code), e.detail});
}

// ---- catching up

void channel::leave_live() {
  if (state_ == state::live) owner_->keep_rows(id_.number);
  state_ = state::catching_up;
}

void channel::start_holding() {
  held_.clear();
  held_chunks_ = 0;
  has_overflowed_ = false;
}

/// What was held is released behind `read_up_to`. If too much was held for that, the state is
/// catching_up and the caller reads on from there.
void channel::go_live(position read_up_to) {
  if (has_overflowed_) {
    state_ = state::catching_up;
    return;
  }
  if (owner_->is_parked()) {
    state_ = state::parked;
    parked_at_ = std::move(read_up_to);
    return;
  }
  seam_.open(std::move(read_up_to));
  state_ = state::live;
  const auto held = std::move(held_);
  held_ = {};
  for (const auto& h : held) {
    const auto verdict = seam_.judge(*h.e, *h.chunk->batch);
    if (verdict == seam::verdict::drop) continue;
    send_row(own_span(h.chunk->batch), *h.e, h.view, id_.number);
  }
}

asio::awaitable<void> channel::run_catch_up(position from) {
  const auto self = shared_from_this();
  co_await catch_up(std::move(from));
}

/// Reads everything after `from`, then goes live; retries while the database is away.
asio::awaitable<void> channel::catch_up(position from) {
  leave_live();
  auto retry = std::chrono::milliseconds{k_first_retry};
  const auto kind = id_.name.kind == topic_kind::phone ? topic_kind::session : id_.name.kind;
  while (!has_ended()) {
    start_holding();
    const std::string key = id_.name.kind == topic_kind::phone ? followed_session_ : id_.name.key;
    auto page = co_await services_.past.read(kind, key, from, k_page_events);
    if (has_ended()) co_return;
    if (!page && is_cursor_error(page.error().code)) {
      refuse_cursor(page.error());
      co_await start_from_snapshot();
      co_return;
    }
    if (!page) {
      co_await pause(retry);
      retry = std::min<std::chrono::milliseconds>(retry * 2, k_longest_retry);
      continue;
    }
    const bool is_sent = co_await send_page(*page, nullptr);
    if (!is_sent) continue;
    from = page->next;
    co_await wait_for_room();
    if (has_ended()) co_return;
    if (page->is_end) go_live(from);
    if (state_ == state::live || state_ == state::parked) break;
  }
  if (!has_ended() && std::exchange(must_look_again_, false)) co_await run_follow(from);
}

/// False if the database could not decide: nothing was sent, ask again.
asio::awaitable<bool> channel::send_page(const replay_page& page, const position* end) {
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
    const auto seen = visible->of(item.e, *viewer);
    const bool is_truncate = item.e.op == operation::truncate;
    const auto& r = is_truncate ? route{"", true, true} : item.e.routes.front();
    if (is_truncate && !seen.old_row && !seen.new_row) continue;
    const auto view = view_of(item.e.op, r.had_old && seen.old_row, r.has_new && seen.new_row);
    if (view == event_view::hidden) continue;
    send_row(item.span, item.e, view, 0);
  }
  co_return true;
}

asio::awaitable<void> channel::wait_for_room() {
  while (!has_ended() && !owner_->has_room()) {
    forget_held();  // nothing is kept in memory for a client that does not read
    co_await pause(k_room_pause);
  }
}

/// Asks until there is an answer; nullopt if the channel has ended meanwhile, also because the
/// client may not read it any more.
asio::awaitable<std::optional<topic_snapshot>> channel::take_snapshot() {
  auto retry = std::chrono::milliseconds{k_first_retry};
  for (;;) {
    auto taken = co_await services_.snapshots.read(id_.name, viewer_, request_.sizes,
                                                   snapshot_content::full);
    if (has_ended()) co_return std::nullopt;
    if (taken && taken->is_allowed) co_return *std::move(taken);
    if (taken) {
      lose_permission();
      co_return std::nullopt;
    }
    co_await pause(retry);
    retry = std::min<std::chrono::milliseconds>(retry * 2, k_longest_retry);
    if (has_ended()) co_return std::nullopt;
  }
}

asio::awaitable<void> channel::start_from_snapshot() {
  start_holding();
  auto taken = co_await take_snapshot();
  if (!taken) co_return;
  send_snapshot(*taken);
  if (id_.name.kind == topic_kind::phone) follow(taken->followed_session);
  co_await catch_up(taken->at);
}

// ---- a number that moves

/// Resume of `phone:`. If the number moved since, what its session had until then, and a fresh
/// snapshot of the session that it leads to now.
asio::awaitable<void> channel::resume_number(position from) {
  auto retry = std::chrono::milliseconds{k_first_retry};
  for (;;) {
    state_ = state::catching_up;
    auto moved = co_await services_.past.number_since(id_.name.key, from);
    if (has_ended()) co_return;
    if (moved && !moved->first_move) {
      co_await catch_up(std::move(from));
      co_return;
    }
    if (moved) {
      followed_session_ = moved->session_before;
      if (!followed_session_.empty()) co_await replay_until(std::move(from), *moved->first_move);
      if (!has_ended()) co_await start_from_snapshot();
      co_return;
    }
    co_await pause(retry);
    retry = std::min<std::chrono::milliseconds>(retry * 2, k_longest_retry);
    if (has_ended()) co_return;
  }
}

/// The followed session's events after `from` that `end` covers.
asio::awaitable<void> channel::replay_until(position from, position end) {
  for (bool is_end = false; !is_end && !has_ended();) {
    auto page =
        co_await services_.past.read(topic_kind::session, followed_session_, from, k_page_events);
    if (has_ended()) co_return;
    if (!page && is_cursor_error(page.error().code)) {
      refuse_cursor(page.error());
      co_return;
    }
    if (!page) {
      co_await pause(k_first_retry);
      continue;
    }
    const bool is_sent = co_await send_page(*page, &end);
    if (!is_sent) continue;
    from = page->next;
    is_end = page->is_end;
    co_await wait_for_room();
  }
}

void channel::on_number_moved(const event& e, const batch_span& span) {
  if (state_ == state::live) {
    leave_live();
    start_holding();
    spawn(run_follow(seam_.not_before(span.at(e.id))));
  } else if (state_ != state::ended) {
    must_look_again_ = true;
  }
}

/// Looks which session carries the number now; with another one a fresh snapshot follows.
asio::awaitable<void> channel::run_follow(position from) {
  const auto self = shared_from_this();
  state_ = state::catching_up;
  auto taken = co_await take_snapshot();
  if (!taken) co_return;
  if (taken->followed_session != followed_session_) {
    send_snapshot(*taken);
    follow(taken->followed_session);
    from = taken->at;
  }
  co_await catch_up(std::move(from));
}

}  // namespace pgcast
