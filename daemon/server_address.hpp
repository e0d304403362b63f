#pragma once

#include "daemon/config.hpp"
#include "daemon/websocket_client.hpp"
#include "protocol/error.hpp"

#include <string>
#include <string_view>

namespace pgcast {

// Where a command that is a client of a Realtime server connects, and as whom.

/// Of `url`, the base of a Realtime server as supabase-js has it: ws, wss, http or https,
/// /realtime/v1 where it has no path; the target is that of a client of vsn 2.0.0. `option` is the
/// one that `url` came with. Fails with config_invalid and one sentence, also for a key or password
/// in the URL.
result<websocket_client::address> parse_server_url(std::string_view url, const std::string& option);

/// The listener of the configuration.
websocket_client::address listener_address(const config& c);

/// The address with the key in the query, as supabase-js sends it.
websocket_client::address with_api_key(websocket_client::address where, std::string_view key);

/// What stands in the file `path`, which `option` named; without one, in the environment variable;
/// "" where that is not set either.
result<std::string> read_token(const std::string& path, const std::string& option,
                               const char* variable);

/// read_token() of --token-file and PGCAST_TOKEN; else one of service_role is minted, if the
/// configuration has a secret. "" where auth.mode is off.
result<std::string> find_own_token(const config& c, const std::string& path);

}  // namespace pgcast
