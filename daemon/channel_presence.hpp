#pragma once

#include "daemon/shard_services.hpp"
#include "protocol/allowance.hpp"
#include "protocol/presence_message.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pgcast {

/// How a channel ended: for good, or so that its client may be back in a moment.
enum class departure { left, dropped };

/// What one channel says about itself to the others of its topic. It is told to all shards; what a
/// client says faster than it may is kept back, and only the last of it counts.
class channel_presence {
 public:
  /// `key` is the presence key, not empty.
  channel_presence(shard_services& services, std::string topic_key, std::string key);
  channel_presence(const channel_presence&) = delete;
  channel_presence& operator=(const channel_presence&) = delete;
  ~channel_presence() { leave(departure::left); }

  /// Says it now, or as soon as the client's rate allows. Fails with presence_refused. `pace` is
  /// the client's and outlives this; nullptr: no limit.
  result<void> change(presence_request request, allowance* pace);
  /// Says what was kept back, if it may. Called about four times a second.
  void catch_up();
  void leave(departure how);

  /// A client that was not told everything must be told the whole state.
  bool needs_state = true;

 private:
  std::string_view objection_to(const presence_request& request) const;
  bool may_change();
  void say(presence_request request);
  void announce(presence_change::kind what, std::string members, departure how);

  shard_services& services_;
  std::string topic_;
  std::string key_;
  std::string owner_;
  allowance* pace_ = nullptr;
  std::optional<std::string> members_;  ///< said last; nullopt: not there
  std::optional<presence_request> kept_back_;
};

}  // namespace pgcast
