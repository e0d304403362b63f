#include "daemon/channel.hpp"

#include "daemon/metrics.hpp"
#include "protocol/error_reply.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <random>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

constexpr auto k_reviews_apart = 1s;  // of a channel's rights, where answers are not kept
constexpr auto k_review_retry = 2s;
constexpr auto k_expiry_notice = 60s;

/// A client that named itself has the same key when it is back.
std::string make_presence_key(const place_key& place, const std::string& wire_topic) {
  std::array<std::uint32_t, 4> bits{};
  if (place.client_id.empty()) {
    std::random_device random;
    for (auto& b : bits) b = random();
  } else {
    const auto digest = place_key{place.client_id, "", "", wire_topic, "presence"}.digest();
    std::memcpy(bits.data(), digest.data(), sizeof bits);
  }
  return make_uuid(bits);
}

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

channel::channel(shard_services& services, channel_owner& owner, identity id, claims who)
    : services_(services),
      owner_(&owner),
      id_(std::move(id)),
      who_(std::move(who)),
      viewer_(services.policies.class_of(who_.role, who_.class_key)),
      version_(owner.version()) {
  metrics().channels.add();
}

channel::~channel() { metrics().channels.subtract(); }

void channel::end(departure how) {
  owner_ = nullptr;
  if (presence_) presence_->leave(how);
  presence_.reset();
  membership_.reset();
  if (rows_) rows_->end();
  if (changes_) changes_->end();
  if (kept_) kept_->end();
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

void channel::join(join_request request, std::vector<change_binding> bindings, std::string ref,
                   std::shared_ptr<unsigned> running, place_key place) {
  wants_own_broadcasts_ = request.broadcast_self;
  wants_broadcast_acks_ = request.broadcast_ack;
  wants_replication_ready_ = request.wants_replication_ready;
  presence_key_ = std::move(request.presence_key);
  if (presence_key_.empty()) presence_key_ = make_presence_key(place, id_.wire_topic);
  if (request.presence_enabled) enable_presence();
  if (id_.name.is_private) rights_ = {};
  if (id_.name.kind == topic_kind::plain) {
    audience as{viewer_, version_, id_.wire_topic, audience::part::member};
    membership_ =
        services_.topics.subscribe(topic_key(id_.name), id_.name.kind, std::move(as), *this);
  } else {
    rows_ = std::make_unique<topic_feed>(services_, *this, owner_->next_feed_number(), viewer_,
                                         id_.name, request);
  }
  if (!bindings.empty()) {
    changes_ = std::make_unique<changes_feed>(services_, *this, owner_->next_feed_number(), viewer_,
                                              std::move(bindings));
  }
  if (request.replay) {
    kept_ = std::make_unique<broadcast_feed>(services_, *this, owner_->next_feed_number(), viewer_,
                                             id_.name, *request.replay);
  }
  if (!has_feeds() && !id_.name.is_private) {
    answer_joined(ref);
    return begin();
  }
  if (carries_rows() && !place.client_id.empty()) {
    key_ = std::make_unique<place_key>(std::move(place));
  }
  if (changes_ && request.waits_for_changes) spawn(refuse_late(ref, request.changes_timeout));
  ++*running;
  spawn(run_join(std::move(ref), std::move(running)));
}

asio::awaitable<void> channel::run_join(std::string ref, std::shared_ptr<unsigned> running) {
  co_await answer_join(std::move(ref));
  --*running;
}

asio::awaitable<void> channel::answer_join(std::string ref) {
  if (id_.name.is_private) {
    auto asked = co_await ask_rights();
    if (has_ended()) co_return;
    if (!asked) co_return refuse(ref, asked.error());
    if (kept_ && !rights_.read_broadcast) co_return refuse(ref, may_not_read());
  }
  std::optional<held_place> held;
  if (key_) {
    place_key key = *key_;
    co_await owner_->settle_place(std::move(key));
    if (has_ended()) co_return;
    held = owner_->take_place(*key_);
  }
  if (held) acknowledged_ = *held;  // that much the client has, should it drop once more
  result<void> prepared{};
  if (rows_) {
    std::optional<position> at;
    if (held) at = held->rows;
    prepared = co_await rows_->prepare(std::move(at));
    if (has_ended()) co_return;
  }
  if (prepared && changes_) {
    std::optional<position> at;
    if (held) at = held->changes;
    prepared = co_await changes_->prepare(std::move(at));
    if (has_ended()) co_return;
  }
  if (prepared && kept_) {
    prepared = co_await kept_->prepare();
    if (has_ended()) co_return;
  }
  if (!prepared) co_return refuse(ref, prepared.error());
  answer_joined(ref);
  if (kept_) {
    co_await kept_->start();
    if (has_ended()) co_return;
  }
  begin();
  if (changes_) spawn(changes_->start());
  if (rows_) co_await rows_->start();
}

// ---- private channels

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
    if (rights_.read_broadcast || rights_.read_presence) co_return result<void>{};
    co_return may_not_read();
  }
}

/// For a joined channel: what it may not read any more ends it. While nobody can tell, it stays as
/// it is.
asio::awaitable<void> channel::review_rights() {
  is_in_review_ = true;
  auto asked = co_await ask_rights();
  is_in_review_ = false;
  if (asked || has_ended()) co_return;
  if (asked.error().code == errc::unauthorized) co_return lose_permission();
  review_at_ = std::chrono::steady_clock::now() + k_review_retry;
}

/// Memberships change: asked again when the answer is as old as answers may be.
void channel::refresh_rights() {
  if (!id_.name.is_private || !is_joined_ || is_in_review_ || viewer_->sees_everything()) return;
  if (std::chrono::steady_clock::now() >= review_at_) spawn(review_rights());
}

void channel::answer_joined(const std::string& ref) {
  is_joined_ = true;
  metrics().joins[join_outcome::ok].add();
  std::string bindings = "[]";
  if (changes_) bindings = bindings_reply(changes_->bindings());
  reply(ref, "ok", R"({"postgres_changes":)" + bindings + "}");
}

/// Once the source has said where it begins, nothing that is sent from the database is missed.
void channel::tell_when_ready() {
  if (!wants_replication_ready_ || services_.topics.published().history->epoch == 0) return;
  wants_replication_ready_ = false;
  tell({"system", "ok", "", "Replication connection established"});
}

/// What follows the answer, after broadcasts that are replayed.
void channel::begin() {
  if (presence_) push_presence_state();
  if (changes_) {
    tell({"postgres_changes", "ok", "", "Subscribed to PostgreSQL", changes_->first_cursor()});
  }
  if (carries_rows() && !fallback_.empty()) {
    tell({"pgcast", "ok", "joined_as", "joined as role " + who_.role + ": " + fallback_});
  }
  tell_when_ready();
}

/// Who waits for his changes wants to know when they do not begin.
asio::awaitable<void> channel::refuse_late(std::string ref, std::chrono::milliseconds timeout) {
  asio::steady_timer timer(services_.executor, timeout);
  co_await timer.async_wait(asio::use_awaitable);
  if (has_ended() || is_joined_) co_return;
  refuse(ref, {errc::subscribe_timeout, "Timed out after " + std::to_string(timeout.count()) +
                                            "ms waiting for the postgres_changes subscription"});
}

void channel::refuse(const std::string& ref, const error& e) {
  const bool is_malformed = e.code == errc::binding_malformed || e.code == errc::filter_malformed;
  const auto outcome = e.code == errc::unauthorized ? join_outcome::unauthorized
                       : is_malformed               ? join_outcome::malformed
                                                    : join_outcome::unavailable;
  metrics().joins[outcome].add();
  const bool is_told = outcome != join_outcome::unavailable || e.code == errc::subscribe_timeout ||
                       e.code == errc::not_installed;
  if (is_told) {
    reply_error(ref, e);
  } else {
    spdlog::warn("join of {} failed: {}", id_.wire_topic, e.detail);
    reply_error(ref, {errc::source_unavailable, "the database cannot answer now, try again"});
  }
  owner_->on_channel_ended(*this);
}

// ---- broadcasts

const subscriber* channel::listener() const {
  return rows_ ? static_cast<const subscriber*>(rows_.get()) : this;
}

void channel::keep(requested_broadcast said, std::string ref, std::shared_ptr<unsigned> running) {
  ++*running;
  spawn(run_keep(std::move(said), std::move(ref), std::move(running)));
}

asio::awaitable<void> channel::run_keep(requested_broadcast said, std::string ref,
                                        std::shared_ptr<unsigned> running) {
  auto kept = co_await services_.store.keep(std::move(said));
  --*running;
  if (!kept) {
    metrics().broadcasts_dropped[drop_reason::unavailable].add();
    spdlog::warn("a broadcast to {} is not kept: {}", id_.wire_topic, kept.error().detail);
  }
  if (has_ended() || !wants_broadcast_acks_) co_return;
  if (kept) co_return reply(ref, "ok", R"({"id":)" + json_quote(*kept) + "}");
  const auto code = kept.error().code;
  if (code == errc::not_installed) co_return reply_error(ref, kept.error());
  if (code == errc::payload_malformed) {
    co_return reply_error(ref, {code, "Postgres cannot hold the payload"});
  }
  reply_error(ref, {errc::source_unavailable, "the message could not be kept, try again"});
}

void channel::on_broadcast(const shared_frame& frame) {
  if (!is_joined() || !rights_.read_broadcast) return;
  if (owner_->has_room()) return owner_->send(frame, 0);
  metrics().broadcasts_dropped[drop_reason::slow_client].add();
}

// ---- presence

result<void> channel::change_presence(presence_request request, allowance* pace) {
  if (!rights_.write_presence) {
    return error{errc::unauthorized,
                 "You do not have permissions to write to this Channel topic: " + id_.name.name};
  }
  if (!presence_ && request.what == presence_request::kind::untrack) return result<void>{};
  if (!presence_) enable_presence();
  return presence_->change(std::move(request), pace);
}

void channel::enable_presence() {
  presence_ = std::make_unique<channel_presence>(services_, topic_key(id_.name), presence_key_);
}

void channel::refresh_presence() {
  if (presence_ && presence_->needs_state && is_joined() && owner_->has_room()) {
    push_presence_state();
  }
}

void channel::push_presence_state() {
  if (!rights_.read_presence) return;
  push("presence_state", *services_.board.present().state(topic_key(id_.name)));
  presence_->needs_state = false;
}

/// A diff that was missed is made good by the whole state: it holds the diffs of this call as well.
void channel::on_presence(std::span<const shared_frame> frames) {
  if (!presence_ || !is_joined() || !rights_.read_presence) return;
  if (!owner_->has_room()) presence_->needs_state = true;
  if (presence_->needs_state) return refresh_presence();
  for (const auto& frame : frames) owner_->send(frame, 0);
}

void channel::on_kept(delivery& d) {
  if (!rights_.read_broadcast) return;
  if (kept_) return kept_->on_event(d);
  if (!is_joined() || !owner_->has_room() || !d.frame()) return;
  metrics().events_delivered.add();
  owner_->send(d.frame(), 0);
}

// ---- the client's queue

void channel::send(shared_frame frame, std::uint32_t feed_number) {
  if (owner_ != nullptr) owner_->send(std::move(frame), feed_number);
}

void channel::keep_rows(std::uint32_t feed_number) {
  if (owner_ != nullptr) owner_->keep_rows(feed_number);
}

bool channel::has_room() const { return owner_ == nullptr || owner_->has_room(); }

bool channel::is_parked() const { return owner_ != nullptr && owner_->is_parked(); }

void channel::park(const outbound_queue& waiting) {
  if (rows_) rows_->park(waiting);
  if (changes_) changes_->park(waiting);
  if (kept_) kept_->park(waiting);
}

void channel::unpark() {
  if (rows_) rows_->unpark();
  if (changes_) changes_->unpark();
  if (kept_) kept_->unpark();
}

void channel::mark_place() {
  if (rows_) marked_.rows = rows_->place();
  if (changes_) marked_.changes = changes_->place();
}

void channel::acknowledge_place() {
  if (marked_.is_somewhere()) acknowledged_ = std::exchange(marked_, {});
}

// ---- tokens

void channel::renew(claims who) {
  auto viewer = services_.policies.class_of(who.role, who.class_key);
  if (who.expires_at != who_.expires_at) is_expiry_told_ = false;
  who_ = std::move(who);
  if (key_) key_->role = who_.role, key_->sub = who_.sub;
  if (viewer == viewer_) return;
  viewer_ = viewer;
  review_at_ = {};
  refresh_rights();
  if (rows_) spawn(rows_->renew(viewer));
  if (changes_) spawn(changes_->renew(viewer));
}

void channel::tick(wall_time now) {
  if (presence_) presence_->catch_up();
  refresh_presence();
  if (is_joined_) tell_when_ready();
  if (changes_) changes_->refresh();
  refresh_rights();
  const auto left = std::chrono::ceil<std::chrono::seconds>(who_.expires_at - now);
  if (!is_joined_ || is_expiry_told_ || left > k_expiry_notice) return;
  is_expiry_told_ = true;
  tell({"pgcast", "ok", "token_expires_soon",
        "the token expires in " + std::to_string(left.count()) +
            " seconds; setAuth() with a new one renews it in place"});
}

void channel::refuse_cursor(const error& e) {
  metrics().resumes[outcome_of(e.code)].add();
  tell({"pgcast", "error", text_code(e.code), e.detail});
}

void channel::lose_permission() {
  if (has_ended()) return;
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
  auto frame = encode_push(version_, id_.join_ref, "null", id_.wire_topic, event, payload_json);
  send(std::make_shared<const outbound_frame>(std::move(frame)), 0);
}

void channel::tell(const system_message& m) {
  std::string payload = R"({"extension":)" + json_quote(m.extension);
  payload += R"(,"status":)" + json_quote(m.status);
  if (!m.code.empty()) payload += R"(,"code":)" + json_quote(m.code);
  payload += R"(,"message":)" + json_quote(m.message);
  payload += R"(,"channel":)" + json_quote(id_.name.name);
  if (!m.cursor.empty()) payload += R"(,"cursor":)" + json_quote(m.cursor);
  push("system", payload + "}");
}

void channel::push_end(std::string_view event, std::string_view payload_json) {
  auto frame =
      encode_push(version_, id_.join_ref, id_.join_ref, id_.wire_topic, event, payload_json);
  send(std::make_shared<const outbound_frame>(std::move(frame)), 0);
}

void channel::reply(std::string_view ref, std::string_view status, std::string_view response_json) {
  auto frame = encode_reply(version_, id_.join_ref, ref, id_.wire_topic, status, response_json);
  send(std::make_shared<const outbound_frame>(std::move(frame)), 0);
}

void channel::reply_error(std::string_view ref, const error& e) {
  auto frame =
      encode_push(version_, id_.join_ref, ref, id_.wire_topic, "phx_reply", error_reply(e));
  send(std::make_shared<const outbound_frame>(std::move(frame)), 0);
}

}  // namespace pgcast
