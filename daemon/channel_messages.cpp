#include "daemon/channel.hpp"
#include "daemon/metrics.hpp"
#include "daemon/random_uuid.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

// What the members of a topic tell each other: broadcasts and presence.

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::size_t k_own_messages = 100;  // that are kept and have not come back yet

}  // namespace

// ---- broadcasts

const subscriber* channel::listener() const {
  return rows_ ? static_cast<const subscriber*>(rows_.get()) : this;
}

/// A message that is kept comes back through the database, which does not know who sent it. Its id
/// is known here before it can.
void channel::keep(requested_broadcast said, std::string ref, std::shared_ptr<unsigned> running) {
  ++*running;
  std::string id = random_uuid();
  if (!wants_own_broadcasts_) own_messages_.push_back(id);
  if (own_messages_.size() > k_own_messages) own_messages_.erase(own_messages_.begin());
  spawn(run_keep(std::move(said), std::move(id), std::move(ref), std::move(running)));
}

asio::awaitable<void> channel::run_keep(requested_broadcast said, std::string id, std::string ref,
                                        std::shared_ptr<unsigned> running) {
  auto kept = co_await services_.store.keep(std::move(said), id);
  --*running;
  if (!kept) {
    metrics().broadcasts_dropped[drop_reason::unavailable].add();
    spdlog::warn("a broadcast to {} is not kept: {}", id_.wire_topic, kept.error().detail);
  }
  if (has_ended() || !wants_broadcast_acks_) co_return;
  if (kept) co_return reply(ref, "ok", R"({"id":)" + json_quote(id) + "}");
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
  if (!presence_ || !is_joined()) return;
  if (!rights_.read_presence || !owner_->has_room()) presence_->needs_state = true;
  if (presence_->needs_state) return refresh_presence();
  for (const auto& frame : frames) owner_->send(frame, 0);
}

void channel::on_kept(delivery& d) {
  if (!rights_.read_broadcast) return;
  if (!own_messages_.empty() && std::erase(own_messages_, d.changed().broadcast->id) > 0) return;
  if (kept_) return kept_->on_event(d);
  if (!is_joined() || !d.frame()) return;
  if (!owner_->has_room()) return metrics().broadcasts_dropped[drop_reason::slow_client].add();
  metrics().events_delivered.add();
  owner_->send(d.frame(), 0);
}

}  // namespace pgcast
