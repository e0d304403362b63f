#include "daemon/compared_server.hpp"

#include "daemon/server_address.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <sysexits.h>

namespace pgcast {
namespace {

using namespace std::chrono_literals;
using wake = websocket_client::wake;
using kind = compared_server::news::kind;
using clock = std::chrono::steady_clock;

constexpr auto k_heartbeat = 25s;
constexpr auto k_connect_limit = 10s;
constexpr std::array<std::chrono::seconds, 4> k_pauses{1s, 2s, 5s, 10s};
constexpr auto k_topic = "pgcast-compare";

}  // namespace

compared_server::compared_server(settings options, std::function<void(news)> tell)
    : options_(std::move(options)),
      tell_(std::move(tell)),
      follower_(k_topic, options_.tables, options_.rule),
      thread_([this] { run(); }) {}

compared_server::~compared_server() {
  client_.interrupt();
  thread_.join();
}

void compared_server::report(kind what, std::string text, int exit_code) {
  tell_({what, std::move(text), clock::now(), exit_code, {}});
}

void compared_server::run() {
  std::size_t attempts = 0;
  while (true) {
    const auto end = follow();
    if (client_.is_interrupted()) return client_.close();
    const bool was_dropped = std::exchange(is_subscribed_, false);
    if (end.exit_code && !was_subscribed_) return report(kind::failed, end.reason, *end.exit_code);
    report(was_dropped ? kind::dropped : kind::warning, end.reason);
    if (was_dropped) attempts = 0;
    const auto pause = k_pauses[std::min(attempts++, k_pauses.size() - 1)];
    if (client_.sleep(pause) == wake::interrupted) return;
  }
}

/// Connects, joins and reads until something ends it.
compared_server::ending compared_server::follow() {
  const auto connected =
      client_.connect(with_api_key(options_.where, options_.token), {}, k_connect_limit);
  if (!connected) {
    const bool is_refused = connected.error().code == errc::unauthorized;
    return {connected.error().detail, is_refused ? EX_NOPERM : EX_UNAVAILABLE};
  }
  if (!client_.send(follower_.join(options_.token))) return {"the join cannot be sent", {}};
  auto heartbeat_at = clock::now() + k_heartbeat;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(heartbeat_at - clock::now());
    switch (client_.wait(std::max<std::chrono::milliseconds>(left, 0ms))) {
      case wake::interrupted:
        return {};
      case wake::closed:
        return {"the connection is lost: " + client_.close_reason(), {}};
      case wake::timeout:
        break;
      case wake::message:
        if (const auto end = handle()) return *end;
        break;
    }
    if (clock::now() < heartbeat_at) continue;
    if (follower_.is_silent()) return {"no answer to the heartbeat", {}};
    if (!client_.send(follower_.heartbeat())) return {"the heartbeat cannot be sent", {}};
    heartbeat_at = clock::now() + k_heartbeat;
  }
}

/// One message of the server; an ending when it is the last.
std::optional<compared_server::ending> compared_server::handle() {
  using step_kind = topic_follower::step::kind;
  const auto at = clock::now();
  if (client_.is_binary()) return std::nullopt;  // a broadcast of somebody
  const auto step = follower_.on_text(client_.message());
  switch (step.what) {
    case step_kind::none:
    case step_kind::joined:
    case step_kind::event:
      break;
    case step_kind::subscribed:
      is_subscribed_ = was_subscribed_ = true;
      report(kind::subscribed, "");
      break;
    case step_kind::change:
      // Read here, where a server that sends too fast is held up, not on the thread of both.
      if (auto change = read_change(step.text)) {
        tell_({kind::change, "", at, 0, *std::move(change)});
      }
      break;
    case step_kind::warning:
      report(kind::warning, "the server says: " + step.text);
      break;
    case step_kind::refused:
      return ending{"the join is refused: " + step.text, EX_NOPERM};
    case step_kind::closed:
      return ending{"the channel is closed: " + step.text, {}};
  }
  return std::nullopt;
}

}  // namespace pgcast
