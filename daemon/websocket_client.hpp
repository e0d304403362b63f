#pragma once

#include "protocol/error.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pgcast {

/// One WebSocket connection as a client, for commands: blocking, with time limits, and woken by
/// Ctrl-C (SIGINT, SIGTERM), which it takes over while it lives, or by interrupt() alone. TCP, bare
/// or with TLS, or a Unix socket. One thread at a time.
class websocket_client {
 public:
  /// Where to connect: host and port, or a Unix socket; then the request's target.
  struct address {
    /// "host:port" or "unix:/path".
    std::string name() const;

    std::string host;
    std::string port;
    std::string unix_path;  ///< wins when not empty
    bool is_tls = false;    ///< the certificate must be good, and that of `host`
    std::string target;     ///< "/realtime/v1/websocket?vsn=2.0.0"
  };
  using headers = std::vector<std::pair<std::string, std::string>>;

  enum class wake {
    message,     ///< see message()
    timeout,     ///< nothing came in this time
    closed,      ///< by the peer or the network; see close_reason()
    interrupted  ///< Ctrl-C or interrupt(), now or before
  };

  /// Who ends it before its time.
  enum class interrupts { by_signal, by_call };

  explicit websocket_client(interrupts from = interrupts::by_signal);
  ~websocket_client();
  websocket_client(const websocket_client&) = delete;
  websocket_client& operator=(const websocket_client&) = delete;

  /// Connects and upgrades, dropping a connection that is there. Fails with source_unavailable, or
  /// with unauthorized when the server answers 401 or 403. `extra` is sent with the request.
  result<void> connect(const address& where, const headers& extra, std::chrono::milliseconds limit);

  /// Sends one text message; false when the connection is gone or does not take it in 10 s.
  bool send(const std::string& text);

  /// Waits for the next message, at most `limit`.
  wake wait(std::chrono::milliseconds limit);

  /// The last message; valid until the next wait().
  const std::string& message() const;
  bool is_binary() const;

  /// "1012 going away", or the network's words.
  const std::string& close_reason() const;

  /// Does nothing for this time; timeout or interrupted.
  wake sleep(std::chrono::milliseconds time);

  bool is_interrupted() const;

  /// As Ctrl-C does; from any thread.
  void interrupt();

  /// Says goodbye; waits a second for the answer.
  void close();

 private:
  class connection;
  std::unique_ptr<connection> connection_;
};

}  // namespace pgcast
