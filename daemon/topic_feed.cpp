#include "daemon/topic_feed.hpp"

#include "daemon/metrics.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace pgcast {
namespace asio = boost::asio;

topic_feed::topic_feed(shard_services& services, feed_owner& owner, std::uint32_t number,
                       std::shared_ptr<viewer_class> viewer, topic name,
                       const join_request& request)
    : feed(services, owner, number, std::move(viewer)),
      name_(std::move(name)),
      sizes_(request.sizes),
      wants_snapshot_(request.wants_snapshot),
      resume_cursor_(request.resume_cursor),
      resume_since_(request.resume_since) {}

void topic_feed::end() {
  feed::end();
  membership_.reset();
  following_.reset();
}

void topic_feed::register_member() {
  audience as{viewer_, owner_.version(), owner_.wire_topic(), audience::part::member};
  membership_ = services_.topics.subscribe(topic_key(name_), name_.kind, std::move(as), *this);
}

void topic_feed::follow(const std::string& session) {
  following_.reset();
  followed_session_ = session;
  if (session.empty()) return;
  audience as{viewer_, owner_.version(), owner_.wire_topic(), audience::part::follower};
  following_ = services_.topics.subscribe(topic_key(topic_kind::session, session),
                                          topic_kind::session, std::move(as), *this);
}

// ---- joining

asio::awaitable<result<position>> topic_feed::resume_place() {
  if (resume_cursor_) {
    auto place = co_await services_.past.place_of_cursor(*resume_cursor_);
    co_return place;
  }
  auto place = co_await services_.past.place_of_time(*resume_since_);
  co_return place;
}

asio::awaitable<result<void>> topic_feed::prepare(std::optional<position> held) {
  co_await wait_for_source();
  if (has_ended()) co_return result<void>{};
  register_member();
  auto p = std::make_unique<prepared>();
  p->resumed = std::move(held);
  if (resume_cursor_ || resume_since_) {
    auto found = co_await resume_place();
    if (found) p->resumed = *found;
    if (!found && !is_cursor_error(found.error().code)) co_return found.error();
    if (!found) {
      p->refused_cursor = found.error();
      p->resumed.reset();
    }
  }
  if (has_ended()) co_return result<void>{};
  p->has_rows = !p->resumed && (wants_snapshot_ || p->refused_cursor);
  const auto content = p->has_rows ? snapshot_content::full : snapshot_content::permission_only;
  auto taken = co_await services_.snapshots.read(name_, viewer_, sizes_, content);
  if (!taken) co_return taken.error();
  if (!taken->is_allowed) {
    co_return error{errc::unauthorized,
                    "You do not have permissions to read from this Channel topic: " + name_.name};
  }
  p->taken = *std::move(taken);
  prepared_ = std::move(p);
  co_return result<void>{};
}

asio::awaitable<void> topic_feed::start() {
  const auto p = std::move(prepared_);
  if (p->refused_cursor) owner_.refuse_cursor(*p->refused_cursor);
  if (p->has_rows) send_snapshot(p->taken);
  if (is_phone()) follow(p->taken.followed_session);
  if (p->resumed) metrics().resumes[resume_outcome::ok].add();
  if (p->resumed && is_phone()) {
    co_await resume_number(*p->resumed);
  } else if (p->resumed || is_phone()) {
    position from = p->taken.at;
    if (p->resumed) from = *p->resumed;
    co_await catch_up(std::move(from));
  } else {
    go_live(p->taken.at);
    if (fsm_.now() == feed_fsm::state::catching_up) co_await catch_up(p->taken.at);
  }
}

void topic_feed::send_snapshot(const topic_snapshot& s) {
  const std::string head = R"({"cursor":")" + encode_cursor(s.at, *s.history) + R"(",)";
  auto frame = encode_event_of_daemon(owner_.version(), owner_.wire_topic(), "snapshot",
                                      {head, s.body, "}"});
  owner_.send(std::make_shared<const outbound_frame>(std::move(frame)), 0);
}

asio::awaitable<void> topic_feed::renew(std::shared_ptr<viewer_class> viewer) {
  const auto renewal = ++renewals_;
  for (;;) {
    auto taken =
        co_await services_.snapshots.read(name_, viewer, sizes_, snapshot_content::permission_only);
    if (has_ended() || renewal != renewals_) co_return;  // a newer token decides
    if (taken && taken->is_allowed) break;
    if (taken || taken.error().code == errc::query_failed) {
      owner_.lose_permission();
      co_return;
    }
    co_await pause(k_longest_retry);
    if (has_ended() || renewal != renewals_) co_return;
  }
  viewer_ = std::move(viewer);
  register_member();
  if (is_phone()) follow(std::string{followed_session_});
  co_await read_again();
}

// ---- rows

replay_query topic_feed::query() const {
  if (is_phone() && followed_session_.empty()) return {};  // it leads to nobody
  if (is_phone()) return {topic_kind::session, followed_session_, {}};
  return {name_.kind, name_.key, {}};
}

event_sides topic_feed::sides_of(const replay_page::item& item, visibility seen) const {
  if (!seen.all_columns) return {};
  if (item.e.op == operation::truncate) return {seen.old_row, seen.new_row};
  const auto& r = item.e.routes.front();
  return {r.had_old && seen.old_row, r.has_new && seen.new_row};
}

void topic_feed::send_row(const std::shared_ptr<const batch_span>& span, const event& e,
                          event_sides sides, std::uint32_t feed_number) {
  const auto view = view_of(e.op, sides);
  if (view == event_view::hidden) return;
  auto payload = encode_event(e, view, encode_cursor(span->at(e.id), *span->history));
  if (!payload) {
    metrics().rows_unparsable.add();
    spdlog::error("event {} skipped: {}", e.id, payload.error().detail);
    return;
  }
  metrics().events_delivered.add();
  auto frame = encode_event_of_daemon(owner_.version(), owner_.wire_topic(), e.table, {*payload});
  owner_.send(std::make_shared<const outbound_frame>(std::move(frame), span, e.id), feed_number);
}

/// Asks until there is an answer; nullopt if the channel has ended meanwhile, also because the
/// client may not read it any more.
asio::awaitable<std::optional<topic_snapshot>> topic_feed::take_snapshot() {
  auto retry = k_first_retry;
  for (;;) {
    auto taken = co_await services_.snapshots.read(name_, viewer_, sizes_, snapshot_content::full);
    if (has_ended()) co_return std::nullopt;
    if (taken && taken->is_allowed) co_return *std::move(taken);
    if (taken) {
      owner_.lose_permission();
      co_return std::nullopt;
    }
    co_await pause(retry);
    retry = std::min(retry * 2, k_longest_retry);
    if (has_ended()) co_return std::nullopt;
  }
}

asio::awaitable<std::optional<position>> topic_feed::start_afresh() {
  start_reading(std::nullopt);
  auto taken = co_await take_snapshot();
  if (!taken) co_return std::nullopt;
  send_snapshot(*taken);
  if (is_phone()) follow(taken->followed_session);
  co_return std::move(taken->at);
}

// ---- a number that moves

/// Resume of `phone:`. If the number moved since, what its session had until then, and a fresh
/// snapshot of the session that it leads to now.
asio::awaitable<void> topic_feed::resume_number(position from) {
  auto retry = k_first_retry;
  for (;;) {
    start_reading(from);
    auto moved = co_await services_.past.number_since(name_.key, from);
    if (has_ended()) co_return;
    if (moved && !moved->first_move) {
      co_await catch_up(std::move(from));
      co_return;
    }
    if (moved) {
      followed_session_ = moved->session_before;
      if (!followed_session_.empty()) co_await replay_until(std::move(from), *moved->first_move);
      if (has_ended()) co_return;
      auto next = co_await start_afresh();
      if (next) co_await catch_up(*std::move(next));
      co_return;
    }
    co_await pause(retry);
    retry = std::min(retry * 2, k_longest_retry);
    if (has_ended()) co_return;
  }
}

/// The number may have moved meanwhile: what its session did after that is not of this topic.
asio::awaitable<void> topic_feed::come_back(position from) {
  if (is_phone()) {
    co_await resume_number(std::move(from));
  } else {
    co_await catch_up(std::move(from));
  }
}

/// The followed session's events after `from` that `end` covers.
asio::awaitable<void> topic_feed::replay_until(position from, position end) {
  for (bool is_end = false; !is_end && !has_ended();) {
    const replay_query what = query();
    auto page = co_await services_.past.read(what, from, k_page_events);
    if (has_ended()) co_return;
    if (!page && is_cursor_error(page.error().code)) {
      owner_.refuse_cursor(page.error());
      co_return;
    }
    if (!page) {
      co_await pause(k_first_retry);
      continue;
    }
    co_await send_page(*page, &end);
    from = page->next;
    is_end = page->is_end;
    co_await wait_for_room();
  }
}

void topic_feed::on_number_moved(const event& e, const batch_span& span) {
  if (fsm_.is_live()) {
    position from = *fsm_.place({span.history, span.at(e.id)});
    // The other session's snapshot is still to come.
    start_reading(fsm_.place({span.history, span.at(e.id - 1)}));
    owner_.spawn(run_follow(std::move(from)));
  } else if (!has_ended()) {
    must_look_again_ = true;
  }
}

/// Looks which session carries the number now; with another one a fresh snapshot follows.
asio::awaitable<void> topic_feed::run_follow(position from) {
  auto taken = co_await take_snapshot();
  if (!taken) co_return;
  if (taken->followed_session != followed_session_) {
    send_snapshot(*taken);
    follow(taken->followed_session);
    from = taken->at;
  }
  co_await catch_up(std::move(from));
}

asio::awaitable<void> topic_feed::has_caught_up(position at) {
  if (!std::exchange(must_look_again_, false)) co_return;
  auto here = place();  // held events have been sent since `at`
  if (here) at = *std::move(here);
  start_reading(std::nullopt);
  co_await run_follow(std::move(at));
}

}  // namespace pgcast
