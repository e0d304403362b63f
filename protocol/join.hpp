#pragma once

#include "protocol/error.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// What a join asks for, out of the payload of phx_join (realtime-protocol facts, section 5).
struct join_request {
  struct snapshot_sizes {
    unsigned messages = 1'000;
    unsigned calls = 200;
    unsigned sessions = 1'000;
    bool operator==(const snapshot_sizes&) const = default;
  };

  std::string access_token;  ///< "" when absent or a key ("sb_...")
  bool broadcast_ack = false;
  bool broadcast_self = false;
  bool wants_replication_ready = false;  ///< to be told when broadcasts from the database are heard
  bool presence_enabled = false;
  std::string presence_key;
  bool is_private = false;
  std::vector<std::string> postgres_changes;  ///< each binding's object, byte for byte
  bool wants_snapshot = true;                 ///< false by {"snapshot": false}
  snapshot_sizes sizes;  ///< {"snapshot": {"messages": N, ..}}, capped at the defaults
  std::optional<std::string> resume_cursor;  ///< {"resume": "<cursor>"}
  std::optional<std::string> resume_since;   ///< {"resume": {"since": "<ISO time>"}}, unchecked
  /// {"replay": {"since": ms, "limit": n}}: broadcasts that were kept.
  struct replay_wish {
    static constexpr unsigned k_most = 1'000;
    std::int64_t since_ms = 0;  ///< since 1970
    unsigned limit = 25;        ///< 1 .. k_most
  };
  bool wants_replay = false;
  std::optional<replay_wish> replay;  ///< nullopt though wanted: not valid
  std::string options;                ///< `config` as it came; "": there is none
  /// Of the first realtime API: there is no `config`, and perhaps a `user_token`.
  bool has_user_token = false;
  bool waits_for_changes = false;                     ///< postgres_changes_options.wait
  std::chrono::milliseconds changes_timeout{15'000};  ///< how long it may take then
};

/// Reads the payload leniently, as Supabase Realtime does: booleans may be the strings "true" and
/// "false" in any case, null stands for absent, unknown keys are ignored, wrong types are
/// defaults. Only a `resume` that is not understood is kept as JSON text (null and false are none),
/// for the cursor parser to refuse. Fails with payload_malformed only if the payload is no JSON
/// object.
result<join_request> parse_join(std::string_view payload_json);

}  // namespace pgcast
