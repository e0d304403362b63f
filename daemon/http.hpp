#pragma once

#include "daemon/connection.hpp"
#include "daemon/handshake.hpp"
#include "daemon/shard_services.hpp"

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <memory>

namespace pgcast {

/// A socket that has become a WebSocket client.
struct upgraded_client {
  client_socket::stream socket;
  upgrade_request upgrade;
  std::string early;  ///< bytes that came behind the request
};

/// Answers the requests of one socket until it closes or becomes a WebSocket client, which is then
/// given to `adopt`: console files at `/`, the snapshot API (its first request) and the upgrade.
/// Each request is read whole within limits.handshake, headers within limits.header_bytes.
boost::asio::awaitable<void> serve_http(shard_services& services, client_socket::stream socket,
                                        std::function<void(upgraded_client)> adopt);

/// The state that the admin listener reports.
struct readiness {
  bool is_ready = false;
  std::string reason;  ///< why not; when ready: what is less than it could be, "" = nothing
};

/// Answers /healthz, /readyz and /metrics on one socket until it closes.
boost::asio::awaitable<void> serve_admin(client_socket::stream socket,
                                         std::function<readiness()> state);

}  // namespace pgcast
