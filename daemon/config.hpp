#pragma once

#include "protocol/claims.hpp"
#include "protocol/error.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

enum class auth_mode { rls, off };
enum class log_format { automatic, text, json, journald };

/// Every limit of the daemon (docs/config.md); bytes, counts or durations as the name says.
struct limit_config {
  std::size_t connections = 100'000;
  std::size_t address_connections = 10'000;  ///< of one address; loopback is not counted
  std::size_t user_connections = 1'000;      ///< of one user
  std::size_t header_bytes = 32'768;
  std::size_t message_bytes = 5'000'000;
  std::size_t payload_bytes = 3'000'000;  ///< of a broadcast
  std::size_t bodies_bytes = 67'108'864;  ///< of HTTP broadcasts that are read at the same time
  unsigned batch_messages = 10'000;       ///< of one HTTP broadcast
  unsigned fragments = 1'024;
  unsigned channels = 100;                ///< a client
  unsigned join_rate = 100;               ///< joins a client and second
  unsigned message_rate = 500;            ///< messages of any kind a client and second
  std::size_t queue_bytes = 1'048'576;    ///< a client
  std::size_t queues_bytes = 67'108'864;  ///< all clients; the reader pauses above
  std::chrono::milliseconds handshake{10'000};
  std::chrono::milliseconds idle{45'000};        ///< a silent peer is pinged, then dropped
  std::chrono::milliseconds slow_client{2'000};  ///< a full queue for this long parks the client
  unsigned database_connections = 2;             ///< a thread, for joins and decisions
  std::chrono::milliseconds held_place{60'000};  ///< of a dropped client with a client_id
  std::size_t held_places = 100'000;
  unsigned api_requests = 64;                      ///< a thread, that run or wait
  std::size_t ticker_sessions = 100'000;           ///< of one campaign, for its live numbers
  std::size_t presence_bytes = 16'384;             ///< key and payload of one presence
  std::size_t presence_topic_bytes = 4'194'304;    ///< all presences of a topic
  std::size_t presence_total_bytes = 134'217'728;  ///< of all topics
  unsigned presence_rate = 10;                     ///< changes a client and second
  std::chrono::milliseconds presence_hold{2'000};  ///< who dropped stays present for it
};

/// The whole configuration, valid and immutable.
struct config {
  std::string database_url;  ///< "" = libpq's own defaults
  std::string listen = "127.0.0.1:4000";
  std::string admin_listen = "127.0.0.1:4001";
  unsigned threads = 0;                      ///< never 0 after load
  std::vector<std::string> allowed_origins;  ///< empty = same origin and loopback
  std::vector<std::string> trusted_proxies;
  std::chrono::milliseconds drain{5'000};
  auth_mode mode = auth_mode::rls;
  token_rules tokens;  ///< secrets, roles, api keys; keys: what `jwks` has now
  std::string jwks;    ///< path or URL of the public keys, "" = none
  std::chrono::milliseconds auth_cache{30'000};
  std::chrono::seconds retention{86'400};
  std::size_t outbox_warn_bytes = std::size_t{10} << 30;
  std::chrono::milliseconds stats_interval{250};
  limit_config limits;
  std::string log_level = "info";
  log_format format = log_format::automatic;
};

/// One effective setting, for `pgcast config`.
struct config_entry {
  std::string key;     ///< "server.listen"
  std::string value;   ///< as text; secrets masked
  std::string origin;  ///< "default", "file /etc/pgcast/pgcast.toml:3", "environment
                       ///< PGCAST_LISTEN", "flag --listen"
};

struct loaded_config {
  config values;
  std::vector<config_entry> entries;  ///< in the order of docs/config.md
};

/// Reads file (explicit path, else /etc/pgcast/pgcast.toml when it exists), environment and flags,
/// each overriding the one before. `flags` maps a key ("server.listen") to its text. Fails with
/// config_invalid; the detail is one sentence with file, line and the accepted values. Secrets'
/// presence is not checked here: see check_serving().
result<loaded_config> load_config(const std::string& file,
                                  const std::map<std::string, std::string>& flags);

/// config_invalid with the remedy when `mode` is rls and nothing verifies tokens, or when `mode` is
/// off and the listener is not loopback.
result<void> check_serving(const config& c);

/// One key of the configuration. The table drives loading, `pgcast config` and docs/config.md.
struct setting {
  std::string key;                ///< "server.listen"
  std::string short_environment;  ///< "PGCAST_LISTEN"; "" when there is only the long name
  std::string accepted;           ///< completes "it takes ..."
  std::string purpose;            ///< for docs/config.md
  bool is_secret = false;         ///< may come from a file: <key>_file, <ENVIRONMENT>_FILE
  std::function<bool(std::string_view, config&)> parse;  ///< false: not accepted
  std::function<std::string(const config&)> format;      ///< canonical text; secrets masked

  /// "PGCAST_SERVER_LISTEN"
  std::string long_environment() const;
};

/// Every key, in the order of docs/config.md. Valid for ever.
std::span<const setting> settings();

/// What holds when nothing is set: all cores, the three roles of Supabase.
config default_config();

}  // namespace pgcast
