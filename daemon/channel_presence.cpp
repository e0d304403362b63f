#include "daemon/channel_presence.hpp"

#include "daemon/metrics.hpp"

namespace pgcast {

channel_presence::channel_presence(shard_services& services, std::string topic_key, std::string key)
    : services_(services),
      topic_(std::move(topic_key)),
      key_(std::move(key)),
      owner_(services.refs.next()) {}

result<void> channel_presence::change(presence_request request, allowance* pace) {
  pace_ = pace;
  const auto objection = objection_to(request);
  if (!objection.empty()) return error{errc::presence_refused, std::string{objection}};
  if (kept_back_ || !may_change()) {
    metrics().presence_changes_coalesced.add();
    kept_back_ = std::move(request);
  } else {
    say(std::move(request));
  }
  return result<void>{};
}

std::string_view channel_presence::objection_to(const presence_request& request) const {
  if (request.what == presence_request::kind::untrack) return {};
  if (is_reserved_presence_key(key_)) {
    return "Presence key is a name that JavaScript objects have already";
  }
  const auto& limits = services_.settings.limits;
  const auto& present = services_.board.present();
  const std::size_t bytes = key_.size() + request.members.size();
  if (bytes > limits.presence_bytes) return "Track message size exceeded";
  const std::size_t had = members_ ? key_.size() + members_->size() : 0;
  if (bytes <= had) return {};
  const std::size_t more = bytes - had + (members_ ? 0 : presence_change::k_overhead_bytes);
  if (present.bytes(topic_) + more > limits.presence_topic_bytes) {
    return "PresenceLimitReached: Too many presences in this topic";
  }
  if (present.bytes() + more > limits.presence_total_bytes) {
    return "PresenceLimitReached: Too many presences";
  }
  return {};
}

bool channel_presence::may_change() {
  const auto rate = services_.settings.limits.presence_rate;
  return pace_ == nullptr || pace_->take(allowance::clock::now(), rate);
}

void channel_presence::catch_up() {
  if (!kept_back_ || !may_change()) return;
  say(*std::exchange(kept_back_, std::nullopt));
}

void channel_presence::say(presence_request request) {
  if (request.what == presence_request::kind::untrack) return leave(departure::left);
  if (members_ == request.members) return;
  if (!members_) metrics().presences.add();
  members_ = request.members;
  announce(presence_change::kind::track, std::move(request.members), departure::left);
}

void channel_presence::leave(departure how) {
  kept_back_.reset();
  if (!members_) return;
  metrics().presences.subtract();
  members_.reset();
  announce(presence_change::kind::leave, "", how);
}

void channel_presence::announce(presence_change::kind what, std::string members, departure how) {
  metrics().presence_changes.add();
  presence_change c;
  c.what = what;
  c.topic = topic_;
  c.key = key_;
  c.owner = owner_;
  c.ref = services_.refs.next();
  c.members = std::move(members);
  if (how == departure::dropped) c.hold = services_.settings.limits.presence_hold;
  services_.announce(std::make_shared<const presence_change>(std::move(c)));
}

}  // namespace pgcast
