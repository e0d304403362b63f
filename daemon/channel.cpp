#include "daemon/channel.hpp"

#include "daemon/metrics.hpp"

#include <boost/asio/co_spawn.hpp>

#include <spdlog/spdlog.h>

#include <exception>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::size_t k_held_events = 512;
constexpr std::size_t k_held_chunks = 8;  // an event keeps its whole chunk in memory

std::string reason_json(std::string_view reason) {
  std::string out = R"({"reason":)";
  append_json_quoted(out, reason);
  return out + '}';
}

}  // namespace

channel::channel(shard_services& services, channel_owner& owner, identity id, claims who)
    : services_(services), owner_(&owner), id_(std::move(id)), who_(std::move(who)) {
  viewer_ = services_.policies.class_of(who_.role, who_.class_key);
  metrics().channels.add();
}

channel::~channel() { metrics().channels.subtract(); }

void channel::end() {
  state_ = state::ended;
  membership_.reset();
  following_.reset();
  held_ = {};
  owner_ = nullptr;
}

void channel::spawn(asio::awaitable<void> work) {
  asio::co_spawn(services_.executor, std::move(work),
                 [self = shared_from_this()](std::exception_ptr failed) {
                   if (!failed) return;
                   try {
                     std::rethrow_exception(failed);
                   } catch (const std::exception& e) {
                     spdlog::critical("channel {}: {}", self->id_.wire_topic, e.what());
                   }
                   if (self->has_ended()) return;
                   self->push_end("phx_error", R"({"reason":"channel_crash"})");
                   self->owner_->on_channel_ended(*self);
                 });
}

// ---- joining

void channel::join(join_request request, std::string ref, std::shared_ptr<unsigned> running) {
  request_ = std::move(request);
  register_member();
  if (id_.name.kind == topic_kind::plain) {
    answer_joined(ref);
    state_ = state::live;
    return;
  }
  ++*running;
  spawn(run_join(std::move(ref), std::move(running)));
}

void channel::register_member() {
  audience as{viewer_, owner_->version(), id_.wire_topic, audience::part::member};
  membership_ = services_.topics.subscribe(topic_key(id_.name.kind, id_.name.key), id_.name.kind,
                                           std::move(as), *this);
}

void channel::follow(const std::string& session) {
  following_.reset();
  followed_session_ = session;
  if (session.empty()) return;
  audience as{viewer_, owner_->version(), id_.wire_topic, audience::part::follower};
  following_ = services_.topics.subscribe(topic_key(topic_kind::session, session),
                                          topic_kind::session, std::move(as), *this);
}

asio::awaitable<result<position>> channel::resume_place() {
  if (request_.resume_cursor) {
    auto place = co_await services_.past.place_of_cursor(*request_.resume_cursor);
    co_return place;
  }
  auto place = co_await services_.past.place_of_time(*request_.resume_since);
  co_return place;
}

asio::awaitable<void> channel::run_join(std::string ref, std::shared_ptr<unsigned> running) {
  const auto self = shared_from_this();
  co_await answer_join(std::move(ref));
  --*running;
}

asio::awaitable<void> channel::answer_join(std::string ref) {
  std::optional<position> place;
  std::optional<error> refused_cursor;
  if (request_.resume_cursor || request_.resume_since) {
    auto found = co_await resume_place();
    if (has_ended()) co_return;
    if (found) place = *found;
    if (!found && !is_cursor_error(found.error().code)) co_return refuse(ref, found.error());
    if (!found) refused_cursor = found.error();
  }
  const bool wants_rows = !place && (request_.wants_snapshot || refused_cursor);
  const auto content = wants_rows ? snapshot_content::full : snapshot_content::permission_only;
  auto taken = co_await services_.snapshots.read(id_.name, viewer_, request_.sizes, content);
  if (has_ended()) co_return;
  if (!taken) co_return refuse(ref, taken.error());
  if (!taken->is_allowed) {
    const error denied{
        errc::unauthorized,
        "You do not have permissions to read from this Channel topic: " + id_.name.name};
    co_return refuse(ref, denied);
  }
  answer_joined(ref);
  if (refused_cursor) refuse_cursor(*refused_cursor);
  if (wants_rows) send_snapshot(*taken);
  if (id_.name.kind == topic_kind::phone) follow(taken->followed_session);
  if (place) metrics().resumes[resume_outcome::ok].add();
  if (place && id_.name.kind == topic_kind::phone) {
    co_await resume_number(*place);
  } else if (place || id_.name.kind == topic_kind::phone) {
    const position from = place ? *place : taken->at;
    co_await catch_up(from);
  } else {
    go_live(taken->at);
    if (state_ == state::catching_up) co_await catch_up(taken->at);
  }
}

void channel::answer_joined(const std::string& ref) {
  metrics().joins[join_outcome::ok].add();
  reply(ref, "ok", R"({"postgres_changes":[]})");
  if (request_.presence_enabled) push("presence_state", "{}");
}

void channel::refuse(const std::string& ref, const error& e) {
  if (e.code == errc::unauthorized) {
    metrics().joins[join_outcome::unauthorized].add();
    reply(ref, "error", reason_json("Unauthorized: " + e.detail));
  } else {
    metrics().joins[join_outcome::unavailable].add();
    spdlog::warn("join of {} failed: {}", id_.wire_topic, e.detail);
    reply(ref, "error",
          reason_json("UnableToConnectToProject: the database cannot answer now, "
                      "try again"));
  }
  owner_->on_channel_ended(*this);
}

void channel::send_snapshot(const topic_snapshot& s) {
  const std::string head = R"({"cursor":")" + encode_cursor(s.at, *s.history) + R"(",)";
  auto frame = encode_broadcast(owner_->version(), id_.wire_topic, "snapshot", {head, s.body, "}"});
  owner_->send(std::make_shared<const outbound_frame>(std::move(frame)), 0);
}

// ---- the hub's events

void channel::hold(delivery& d) {
  const bool is_new_chunk = held_.empty() || held_.back().chunk != d.chunk();
  if (is_new_chunk) ++held_chunks_;
  if (held_.size() >= k_held_events || held_chunks_ > k_held_chunks) forget_held();
  if (!has_overflowed_) held_.push_back({d.chunk(), &d.changed(), d.view()});
}

/// What was held is read from the outbox instead.
void channel::forget_held() {
  held_ = {};
  held_chunks_ = 0;
  has_overflowed_ = true;
}

void channel::on_event(delivery& d) {
  switch (state_) {
    case state::joining:
    case state::catching_up:
      return hold(d);
    case state::parked:
    case state::ended:
      return;
    case state::live:
      break;
  }
  const auto& span = d.chunk()->batch;
  switch (seam_.judge(d.changed(), *span)) {
    case seam::verdict::drop:
      return;
    case seam::verdict::deliver_with_own_cursor:
      send_row(own_span(span), d.changed(), d.view(), id_.number);
      return;
    case seam::verdict::deliver:
      break;
  }
  if (!d.frame()) return;
  metrics().events_delivered.add();
  owner_->send(d.frame(), id_.number);
}

void channel::on_broadcast(const shared_frame& frame) {
  if (!is_joined() || !owner_->has_room()) return;
  owner_->send(frame, 0);
}

/// The batch as this channel sees it: what it has read before is behind its start.
std::shared_ptr<const batch_span> channel::own_span(const std::shared_ptr<const batch_span>& span) {
  return std::make_shared<batch_span>(batch_span{span->history, seam_.not_before(span->start)});
}

void channel::send_row(const std::shared_ptr<const batch_span>& span, const event& e,
                       event_view view, std::uint32_t channel_number) {
  auto payload = encode_event(e, view, encode_cursor(span->at(e.id), *span->history));
  if (!payload) {
    metrics().rows_unparsable.add();
    spdlog::error("event {} skipped: {}", e.id, payload.error().detail);
    return;
  }
  metrics().events_delivered.add();
  auto frame = encode_broadcast(owner_->version(), id_.wire_topic, e.table, {*payload});
  owner_->send(std::make_shared<const outbound_frame>(std::move(frame), span, e.id),
               channel_number);
}

// ---- slow clients

void channel::park(const position* before) {
  if (state_ != state::live || id_.name.kind == topic_kind::plain) return;
  state_ = state::parked;
  parked_at_ = seam_.not_before(before != nullptr ? *before : services_.topics.published());
}

void channel::unpark() {
  if (state_ != state::parked) return;
  state_ = state::catching_up;
  spawn(run_catch_up(std::move(parked_at_)));
}

// ---- tokens

void channel::renew(claims who) {
  auto viewer = services_.policies.class_of(who.role, who.class_key);
  who_ = std::move(who);
  ++renewals_;
  if (viewer == viewer_ || id_.name.kind == topic_kind::plain) return;
  spawn(run_renew(std::move(viewer)));
}

asio::awaitable<void> channel::run_renew(std::shared_ptr<viewer_class> viewer) {
  const auto self = shared_from_this();
  const auto renewal = renewals_;
  auto taken = co_await services_.snapshots.read(id_.name, viewer, request_.sizes,
                                                 snapshot_content::permission_only);
  if (has_ended() || renewal != renewals_) co_return;  // a newer token decides
  if (!taken || !taken->is_allowed) {
    lose_permission();
    co_return;
  }
  viewer_ = std::move(viewer);
  register_member();
  if (id_.name.kind == topic_kind::phone) follow(followed_session_);
  // What is being decided right now is decided for the old class only: read it again.
  if (state_ == state::live) {
    co_await catch_up(seam_.not_before(services_.topics.published()));
  } else if (state_ != state::parked) {
    forget_held();
  }
}

void channel::lose_permission() {
  tell({"system", "error", "",
        "You no longer have permission to read from this Channel topic: " + id_.name.name});
  push_end("phx_error", "{}");
  owner_->on_channel_ended(*this);
}

void channel::expire(wall_time now) {
  const auto ago = std::chrono::duration_cast<std::chrono::seconds>(now - who_.expires_at).count();
  tell({"system", "error", "", "Token has expired " + std::to_string(ago) + " seconds ago"});
  push_end("phx_error", "{}");
}

// ---- wire

void channel::push(std::string_view event, std::string_view payload_json) {
  auto frame =
      encode_push(owner_->version(), id_.join_ref, "null", id_.wire_topic, event, payload_json);
  owner_->send(std::make_shared<const outbound_frame>(std::move(frame)), 0);
}

void channel::tell(const system_message& m) {
  std::string payload = R"({"extension":)" + json_quote(m.extension);
  payload += R"(,"status":)" + json_quote(m.status);
  if (!m.code.empty()) payload += R"(,"code":)" + json_quote(m.code);
  payload += R"(,"message":)" + json_quote(m.message);
  payload += R"(,"channel":)" + json_quote(id_.name.name);
  push("system", payload + "}");
}

void channel::push_end(std::string_view event, std::string_view payload_json) {
  auto frame = encode_push(owner_->version(), id_.join_ref, id_.join_ref, id_.wire_topic, event,
                           payload_json);
  owner_->send(std::make_shared<const outbound_frame>(std::move(frame)), 0);
}

void channel::reply(std::string_view ref, std::string_view status, std::string_view response_json) {
  auto frame =
      encode_reply(owner_->version(), id_.join_ref, ref, id_.wire_topic, status, response_json);
  owner_->send(std::make_shared<const outbound_frame>(std::move(frame)), 0);
}

}  // namespace pgcast
