#include "daemon/changes_feed.hpp"

#include "daemon/metrics.hpp"

#include <algorithm>

namespace pgcast {
namespace asio = boost::asio;
changes_feed::changes_feed(shard_services& services, feed_owner& owner, std::uint32_t number,
                           std::shared_ptr<viewer_class> viewer,
                           std::vector<change_binding> bindings)
    : feed(services, owner, number, std::move(viewer)),
      spec_(std::make_shared<change_spec>(std::move(bindings))) {}

void changes_feed::end() {
  feed::end();
  places_.clear();
}

void changes_feed::register_keys() {
  std::vector<subscription> places;
  for (const auto& key : spec_->keys()) {
    audience as{viewer_, owner_.version(), owner_.wire_topic(), audience::part::member, spec_};
    places.push_back(services_.topics.subscribe_changes(key, std::move(as), *this));
  }
  places_ = std::move(places);
}

/// Columns, types or grants have changed. The spec may have been told by the hub already.
void changes_feed::take_over(std::shared_ptr<const table_shapes> shapes) {
  if (!shapes || shapes == registered_shapes_) return;
  spec_->use(shapes);
  registered_shapes_ = std::move(shapes);
  register_keys();
}

// ---- joining

asio::awaitable<result<void>> changes_feed::prepare(std::optional<position> held) {
  co_await wait_for_source();
  const auto viewer = viewer_;
  auto policies = co_await services_.policies.policies_of(viewer->role());
  if (!policies) co_return policies.error();
  if (has_ended()) co_return result<void>{};
  if (viewer == viewer_) {  // else a new token came meanwhile, and renew() has done this
    spec_->use((*policies)->shapes);
    if (auto good = spec_->check(viewer->role()); !good) co_return good.error();
    take_over((*policies)->shapes);
  }
  co_return co_await read_cursors(held);
}

/// Where each binding begins. A cursor that cannot be honoured is told, and begins now.
asio::awaitable<result<void>> changes_feed::read_cursors(const std::optional<position>& held) {
  const position now = services_.topics.published().start;
  from_.assign(bindings().size(), std::nullopt);
  bool has_cursor = false;
  for (std::size_t i = 0; i < from_.size(); ++i) {
    const auto& resume = bindings()[i].resume;
    from_[i] = held;
    if (!resume || resume->empty()) continue;
    has_cursor = true;
    auto place = co_await services_.past.place_of_cursor(*resume);
    if (has_ended()) co_return result<void>{};
    if (place) {
      metrics().resumes[resume_outcome::ok].add();
      from_[i] = *std::move(place);
    } else if (is_cursor_error(place.error().code)) {
      from_[i] = std::nullopt;
      refused_.push_back(place.error());
    } else {
      co_return place.error();
    }
  }
  if (!has_cursor && !held) {
    if (owner_.is_parked()) {
      fsm_.park_at(now);
    } else {
      fsm_.go_live_at_once();
    }
    co_return result<void>{};
  }
  for (auto& from : from_) {
    if (!from) from = now;
  }
  co_return result<void>{};
}

std::string changes_feed::first_cursor() const {
  const auto& published = services_.topics.published();
  const bool wants_cursor = std::any_of(bindings().begin(), bindings().end(),
                                        [](const auto& b) { return b.resume.has_value(); });
  if (!fsm_.is_live() || !wants_cursor || published.history->epoch == 0) return "";
  return encode_cursor(published.start, *published.history);
}

asio::awaitable<void> changes_feed::start() {
  for (const auto& e : refused_) owner_.refuse_cursor(e);
  refused_ = {};
  if (fsm_.now() != feed_fsm::state::joining) co_return;
  std::vector<position> places;
  for (const auto& from : from_) places.push_back(*from);
  auto from = earliest(places);
  co_await catch_up(std::move(from));
}

/// Nothing of before can be had: the client has been told, and goes on from now.
asio::awaitable<std::optional<position>> changes_feed::start_afresh() {
  co_await pause(k_first_retry);
  co_await wait_for_source();
  if (has_ended()) co_return std::nullopt;
  from_.assign(from_.size(), std::nullopt);
  co_return services_.topics.published().start;
}

asio::awaitable<void> changes_feed::renew(std::shared_ptr<viewer_class> viewer) {
  const auto renewal = ++renewals_;
  auto spec = std::make_shared<change_spec>(bindings());
  for (;;) {
    auto policies = co_await services_.policies.policies_of(viewer->role());
    if (has_ended() || renewal != renewals_) co_return;  // a newer token decides
    if (policies) spec->use((*policies)->shapes);
    if (policies && spec->check(viewer->role())) {
      registered_shapes_ = (*policies)->shapes;
      break;
    }
    if (policies || policies.error().code == errc::query_failed) {
      owner_.lose_permission();
      co_return;
    }
    co_await pause(k_longest_retry);
    if (has_ended() || renewal != renewals_) co_return;
  }
  viewer_ = std::move(viewer);
  spec_ = std::move(spec);
  register_keys();
  co_await read_again();
}

asio::awaitable<void> changes_feed::read_shapes() {
  auto policies = co_await services_.policies.policies_of(viewer_->role());
  if (policies && !has_ended()) take_over((*policies)->shapes);
}

void changes_feed::refresh() {
  if (services_.policies.claim_refresh(viewer_->role())) owner_.spawn(read_shapes());
  if (registered_shapes_) take_over(services_.policies.known_shapes(viewer_->role()));
}

void changes_feed::learn(const visibility_map& visible) {
  take_over(visible.shapes_for(viewer_->role()));
}

// ---- rows

void changes_feed::on_event(delivery& d) {
  if (d.changed().id == last_event_) return;  // it came under another key as well
  last_event_ = d.changed().id;
  feed::on_event(d);
}

/// Where a filter asks for one session, the outbox has an index for that.
replay_query changes_feed::query() const {
  replay_query out;
  for (const auto& key : spec_->keys()) {
    replay_query::changed_table t{key.schema, key.table, std::nullopt};
    const auto* described = services_.description.find(key.schema, key.table);
    const bool is_text = key.column.type == "text" || key.column.type == "varchar";
    if (key.equality && is_text && described != nullptr &&
        described->session_column() == key.equality->column) {
      t.session = key.equality->value;
    }
    out.tables.push_back(std::move(t));
  }
  return out;
}

bool changes_feed::wants(const event& e) const {
  event_rows rows(e);
  return spec_->may_match(e, rows);
}

event_sides changes_feed::sides_of(const replay_page::item&, visibility seen) const {
  return {seen.old_row, seen.new_row};
}

/// Which bindings have not had the event: each began at a place of its own.
std::vector<bool> changes_feed::wanted(const batch_span& span, const event& e) {
  std::vector<bool> out;
  for (auto& from : from_) {
    if (from && from->incarnation < span.start.incarnation) from = from->in(*span.history);
    out.push_back(!from || !from->covers(e.xid, e.id));
  }
  return out;
}

void changes_feed::send_row(const std::shared_ptr<const batch_span>& span, const event& e,
                            event_sides sides, std::uint32_t feed_number) {
  event_rows rows(e);
  auto frame = write_change(*spec_, owner_.version(), owner_.wire_topic(), span, e, rows, sides,
                            wanted(*span, e));
  if (!frame) return;
  metrics().events_delivered.add();
  owner_.send(std::move(frame), feed_number);
}

}  // namespace pgcast
