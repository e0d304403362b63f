#include "daemon/channel.hpp"

#include "daemon/metrics.hpp"
#include "protocol/error_reply.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <exception>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

constexpr auto k_expiry_notice = 60s;

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
