#pragma once

#include "daemon/connection.hpp"
#include "daemon/event_stream.hpp"
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
  census::seat seat;
};

/// A socket that has become a client of server-sent events.
struct stream_client {
  client_socket::stream socket;
  event_stream_request request;
  event_stream::refusal_writer refuse;
  census::seat seat;
};

/// Who goes on with a socket that HTTP is done with.
struct http_successors {
  std::function<void(upgraded_client)> upgraded;
  std::function<void(stream_client)> streaming;
};

/// Answers the requests of one socket until it closes or becomes a WebSocket client or one of
/// server-sent events, which is given to `next`: console files at `/`, the snapshot API,
/// broadcasts. Each request is read whole within limits.handshake, headers within
/// limits.header_bytes.
boost::asio::awaitable<void> serve_http(shard_services& services, client_socket::stream socket,
                                        http_successors next);

/// The state that the admin listener reports.
struct readiness {
  bool is_ready = false;
  std::string reason;  ///< why not; when ready: what is less than it could be, "" = nothing
};

/// Answers /healthz, /readyz and /metrics on one socket until it closes.
boost::asio::awaitable<void> serve_admin(client_socket::stream socket,
                                         std::function<readiness()> state);

}  // namespace pgcast
