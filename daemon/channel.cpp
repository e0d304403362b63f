#include "daemon/channel.hpp"

#include "daemon/metrics.hpp"
#include "daemon/random_uuid.hpp"
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
  if (late_) late_->cancel();
  if (presence_) presence_->leave(how);
  presence_.reset();
  membership_.reset();
  if (rows_) rows_->end();
  if (changes_) changes_->end();
  if (kept_) kept_->end();
  if (numbers_) numbers_->end();
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

// ---- the client's queue

void channel::send(shared_frame frame, std::uint32_t feed_number) {
  if (owner_ != nullptr) owner_->send(std::move(frame), feed_number);
}

void channel::send_newest(shared_frame frame, std::uint32_t feed_number) {
  if (owner_ != nullptr) owner_->send_newest(std::move(frame), feed_number);
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
  if (numbers_) numbers_->renew(viewer);
}

void channel::tick(wall_time now) {
  if (presence_) presence_->catch_up();
  refresh_presence();
  if (is_joined_) tell_when_ready();
  if (changes_) changes_->refresh();
  if (numbers_) numbers_->refresh();
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
