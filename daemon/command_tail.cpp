#include "daemon/commands.hpp"
#include "daemon/event_rendering.hpp"
#include "daemon/server_address.hpp"
#include "daemon/topic_follower.hpp"
#include "daemon/websocket_client.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <random>

#include <sysexits.h>
#include <unistd.h>

namespace pgcast {
namespace {

using namespace std::chrono_literals;
using wake = websocket_client::wake;
using kind = topic_follower::step::kind;
using clock = std::chrono::steady_clock;

constexpr auto k_heartbeat = 25s;
constexpr auto k_connect_limit = 10s;
constexpr std::chrono::milliseconds k_least_pause = 500ms;
constexpr std::chrono::milliseconds k_longest_pause = 15s;

/// A refusal that trying again may change: the database or a server is away, or too much happens.
bool may_pass(std::string_view reason) {
  return reason.starts_with("UnableToConnectToProject") || reason.starts_with("ClientJoinRate") ||
         reason.starts_with("ChannelRateLimitReached");
}

std::string time_of_day() {
  const auto now = std::time(nullptr);
  std::tm local{};
  std::array<char, 16> text{};
  localtime_r(&now, &local);
  std::strftime(text.data(), text.size(), "%H:%M:%S", &local);
  return text.data();
}

/// How events are printed.
struct printing {
  bool is_for_people = false;
  color_use colors = color_use::plain;
};

printing choose_printing(const tail_options& options) {
  const bool is_terminal = isatty(STDOUT_FILENO) == 1;
  const char* no_color = std::getenv("NO_COLOR");
  const bool is_dark = no_color != nullptr && *no_color != '\0';
  printing out;
  out.is_for_people = !options.is_json && (is_terminal || options.color == "always");
  const bool is_colored = options.color == "always" || (options.color == "auto" && !is_dark);
  out.colors = is_colored ? color_use::colored : color_use::plain;
  return out;
}

/// How one connection ended.
struct ending {
  enum class kind { lost, over, stopped };
  kind what = kind::lost;
  int exit_code = EX_OK;
  std::string sentence{};
  bool was_joined = false;
};

class tail {
 public:
  tail(const config& c, const tail_options& options)
      : config_(c),
        options_(options),
        printing_(choose_printing(options)),
        follower_(options.topic) {}

  int run() {
    const auto where =
        options_.url.empty() ? listener_address(config_) : parse_server_url(options_.url, "--url");
    if (!where) return report_failure(EX_USAGE, where.error().detail);
    auto pause = k_least_pause;
    for (bool was_joined = false;;) {
      const auto end = follow(*where, was_joined);
      was_joined = was_joined || end.was_joined;
      if (end.what == ending::kind::stopped) return EX_OK;
      if (end.what == ending::kind::over) return report_failure(end.exit_code, end.sentence);
      pause = end.was_joined ? k_least_pause : std::min(2 * pause, k_longest_pause);
      std::fprintf(stderr, "pgcast: %s; trying again\n", end.sentence.c_str());
      if (client_.sleep(with_jitter(pause)) == wake::interrupted) return EX_OK;
    }
  }

 private:
  /// Connects, joins and prints until something ends it. Before the first success a failure is
  /// final: the user has most likely mistyped something.
  ending follow(const websocket_client::address& where, bool may_repeat) {
    const auto token = find_own_token(config_, options_.token_file);
    if (!token) return {ending::kind::over, exit_code(token.error().code), token.error().detail};
    const auto connected = client_.connect(where, {{"apikey", *token}}, k_connect_limit);
    if (client_.is_interrupted()) return {ending::kind::stopped};
    if (!connected) {
      const auto& failure = connected.error();
      if (may_repeat && failure.code != errc::unauthorized) {
        return {ending::kind::lost, 0, failure.detail};
      }
      const auto remedy = failure.code == errc::unauthorized
                              ? "; check the token, or the secret that it is made with"
                              : "; check that pgcast serve runs there, or give --url";
      return {ending::kind::over, exit_code(failure.code), failure.detail + remedy};
    }
    return read(*token);
  }

  ending read(const std::string& token) {
    bool is_joined = false;
    const auto lost = [&](const std::string& why) {
      return ending{ending::kind::lost, 0, "the connection is lost: " + why, is_joined};
    };
    if (!client_.send(follower_.join(token))) return lost("the join cannot be sent");
    auto heartbeat_at = clock::now() + k_heartbeat;
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(heartbeat_at - clock::now());
      switch (client_.wait(std::max<std::chrono::milliseconds>(left, 0ms))) {
        case wake::interrupted:
          client_.close();
          return {ending::kind::stopped};
        case wake::closed:
          return lost(client_.close_reason());
        case wake::timeout:
          break;
        case wake::message: {
          const auto end = handle(is_joined);
          if (end) return *end;
          break;
        }
      }
      if (clock::now() < heartbeat_at) continue;
      if (follower_.is_silent()) return lost("no answer to the heartbeat");
      if (!client_.send(follower_.heartbeat())) return lost("the heartbeat cannot be sent");
      heartbeat_at = clock::now() + k_heartbeat;
    }
  }

  /// One message of the server; an ending when it is the last.
  std::optional<ending> handle(bool& is_joined) {
    const auto step = client_.is_binary() ? follower_.on_binary(client_.message())
                                          : follower_.on_text(client_.message());
    switch (step.what) {
      case kind::none:
      case kind::subscribed:
      case kind::change:
        return std::nullopt;
      case kind::joined:
        is_joined = true;
        return std::nullopt;
      case kind::event:
        // A reader that has enough (head -1) closes the pipe.
        if (!print(step.text)) return ending{ending::kind::stopped};
        return std::nullopt;
      case kind::warning:
        std::fprintf(stderr, "pgcast: the server says: %s\n", step.text.c_str());
        return std::nullopt;
      case kind::refused: {
        client_.close();
        const bool is_final = !may_pass(step.text);
        return ending{is_final ? ending::kind::over : ending::kind::lost, EX_NOPERM,
                      "the join of " + options_.topic + " is refused: " + step.text};
      }
      case kind::closed:
        client_.close();
        return ending{ending::kind::lost, 0, "the channel is closed: " + step.text, is_joined};
    }
    return std::nullopt;
  }

  /// False when nobody reads it any more.
  bool print(const std::string& line) {
    const auto text =
        printing_.is_for_people ? render_event(line, time_of_day(), printing_.colors) : line;
    return std::printf("%s\n", text.c_str()) >= 0 && std::fflush(stdout) == 0;
  }

  std::chrono::milliseconds with_jitter(std::chrono::milliseconds pause) {
    std::uniform_int_distribution<std::int64_t> jitter(0, pause.count() / 2);
    return pause + std::chrono::milliseconds(jitter(random_));
  }

  const config& config_;
  const tail_options& options_;
  printing printing_;
  topic_follower follower_;
  websocket_client client_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace

int run_tail(const loaded_config& loaded, const tail_options& options) {
  std::signal(SIGPIPE, SIG_IGN);
  return tail(loaded.values, options).run();
}

}  // namespace pgcast
