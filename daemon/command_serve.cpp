#include "daemon/command_serve.hpp"

#include "daemon/commands.hpp"
#include "daemon/event_sink.hpp"
#include "daemon/http.hpp"
#include "daemon/key_source.hpp"
#include "daemon/listener.hpp"
#include "daemon/log.hpp"
#include "daemon/maintenance.hpp"
#include "daemon/metrics.hpp"
#include "daemon/operations_desk.hpp"
#include "daemon/reader.hpp"
#include "daemon/shard.hpp"
#include "daemon/systemd.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdlib>
#include <optional>

#include <sys/resource.h>
#include <sysexits.h>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

constexpr auto k_ready_lag = 5s;
constexpr auto k_noticed_outage = 2s;
constexpr auto k_drain_check = 50ms;
constexpr auto k_catch_up_check = 20ms;
constexpr auto k_patience_at_start = 10s;
constexpr auto k_pause_at_start = 250ms;
constexpr auto k_last_words = 500ms;  // for close frames that are still on their way

/// As many descriptors as the system allows: one a client.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// The whole daemon: the main thread reads, accepts and reports; shards serve the clients.
class daemon_process : public event_sink {
 public:
  explicit daemon_process(const config& c)
      : config_(c),
        census_({c.limits.address_connections, c.limits.user_connections}),
        proxies_(c.trusted_proxies),
        clients_(context_.get_executor()),
        admin_(context_.get_executor()),
        reader_(context_.get_executor(), c, *this, recruiting_description()),
        maintenance_(context_.get_executor(), c),
        desk_(context_.get_executor(), shards_, [this] { return report_source(); }),
        keys_(c.jwks, [this](key_source::keys keys) { use_keys(keys); }),
        signals_(context_, SIGTERM, SIGINT, SIGHUP),
        timer_(context_) {
    const shard::siblings others{
        [this](client_broadcast b) { broadcast(std::move(b)); },
        [this](const std::shared_ptr<const presence_change>& change) {
          for (const auto& s : shards_) s->announce(change);
        },
        [this](const std::string& client_id) -> shard& {
          return *shards_[std::hash<std::string>{}(client_id) % shards_.size()];
        },
        [this] { return desk_.report(); },
        [this](std::uint64_t event_id) { return desk_.follow(event_id); },
        held_,
        keys_,
        census_,
        proxies_};
    for (unsigned i = 0; i < c.threads; ++i) {
      shards_.push_back(std::make_unique<shard>(c, recruiting_description(), others));
    }
  }

  int run() {
    if (auto started = keys_.start(); !started) return report_failure(started.error());
    if (auto failed = first_contact(); !failed) return report_failure(failed.error());
    if (auto opened = clients_.open(config_.listen); !opened) return report_failure(opened.error());
    if (auto opened = admin_.open(config_.admin_listen); !opened) {
      return report_failure(opened.error());
    }
    for (const auto& s : shards_) s->start();
    spawn(reader_.run());
    spawn(maintenance_.run());
    spawn(clients_.run([this](int fd, int family) { adopt(fd, family); }));
    spawn(admin_.run([this](int fd, int family) { adopt_admin(fd, family); }));
    spawn(watch_signals());
    if (const auto interval = watchdog_interval()) spawn(feed_watchdog(*interval / 3));
    spdlog::info("clients are served on {} by {} threads, health and metrics on {}",
                 clients_.address(), config_.threads, admin_.address());
    notify_ready();
    context_.restart();
    context_.run();
    return EX_OK;
  }

  // event_sink, on the main thread

  void deliver(std::shared_ptr<const event_chunk> chunk) override {
    desk_.observe(*chunk);
    for (const auto& s : shards_) s->deliver(chunk);
  }

  bool has_room() override {
    std::size_t queued = 0;
    for (const auto& s : shards_) {
      if (s->has_full_clients()) held_.extend(std::chrono::steady_clock::now());
    }
    for (const auto& s : shards_) {
      if (!s->has_room()) return false;
      queued += s->queued_bytes();
    }
    return queued < config_.limits.queues_bytes;
  }

  void source_changed(source_state state, std::string detail) override {
    const bool is_news = state != source_ || detail != detail_;
    source_ = state;
    detail_ = detail;
    if (!is_news) return;
    if (state == source_state::lost) {
      spdlog::warn("source lost: {}", detail);
      for (const auto& s : shards_) s->suspect_source();
    }
    if (state == source_state::live) spdlog::info("source {}", detail);
    notify_status("source: " + detail);
    if (state == source_state::live) {
      outage_timer_.reset();
      if (is_outage_told_) spawn(announce_return());
    }
    if (state == source_state::lost && !outage_timer_) spawn(announce_outage());
  }

  void start_over() override {
    spdlog::warn("all clients join again");
    for (const auto& s : shards_) s->start_over();
  }

 private:
  void spawn(asio::awaitable<void> work) {
    asio::co_spawn(context_, std::move(work), [](std::exception_ptr failed) {
      if (!failed) return;
      try {
        std::rethrow_exception(failed);
      } catch (const std::exception& e) {
        spdlog::critical("main thread: {}", e.what());
      }
      std::terminate();
    });
  }

  /// A database that cannot serve is a mistake of the set-up now; later it is an outage.
  result<void> first_contact() {
    std::optional<error> failed;
    spawn(try_source(failed));
    context_.run();
    if (!failed) return {};
    if (failed->code == errc::database_unreachable) {
      failed->detail += "; start the server, or correct database.url (PGCAST_DATABASE_URL)";
    }
    return *failed;
  }

  asio::awaitable<void> try_source(std::optional<error>& failed) {
    pg_connection pg(context_.get_executor());
    const auto deadline = std::chrono::steady_clock::now() + k_patience_at_start;
    for (;;) {
      auto opened = co_await open_source(pg, config_.database_url, "pgcast start");
      if (opened) co_return;
      // Full, or starting up together with us.
      const bool may_pass = is_refused_for_now(pg) && std::chrono::steady_clock::now() < deadline;
      if (!may_pass) {
        failed = opened.error();
        co_return;
      }
      co_await pause(k_pause_at_start);
    }
  }

  void adopt(int descriptor, int family) {
    std::size_t open = 0;
    for (const auto& s : shards_) open += s->connections();
    if (open >= config_.limits.connections) {
      metrics().handshakes_refused[refusal::full].add();
      ::close(descriptor);
      return;
    }
    shards_[next_shard_++ % shards_.size()]->adopt(descriptor, family);
  }

  void adopt_admin(int descriptor, int family) {
    client_socket::stream socket(context_);
    boost::system::error_code failed;
    socket.assign(asio::generic::stream_protocol{family, family == AF_UNIX ? 0 : IPPROTO_TCP},
                  descriptor, failed);
    if (failed) return;
    asio::co_spawn(context_, serve_admin(std::move(socket), [this] { return state(); }),
                   asio::detached);
  }

  readiness state() const {
    if (is_draining_) return {false, "the daemon is draining"};
    if (source_ != source_state::live) return {false, detail_};
    if (metrics().source_lag.value() > k_ready_lag) return {false, "the source is behind"};
    if (metrics().source_poll_only.value() != 0) return {true, detail_};
    return {true, ""};
  }

  source_report report_source() const {
    const auto now = state();
    const std::string_view name = source_ == source_state::live   ? "live"
                                  : source_ == source_state::lost ? "lost"
                                                                  : "connecting";
    return {name, detail_, now.is_ready, now.reason};
  }

  /// Clients are told of an outage that lasts, and of its end; short ones pass unnoticed.
  asio::awaitable<void> announce_outage() {
    outage_timer_.emplace(context_, k_noticed_outage);
    boost::system::error_code cancelled;
    co_await outage_timer_->async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    if (cancelled) co_return;
    if (std::exchange(is_outage_told_, true)) co_return;  // it is not over for the clients yet
    for (const auto& s : shards_) {
      s->tell({"pgcast", "error", "source_away",
               "the database is away; what happens meanwhile follows"});
    }
  }

  /// When what was missed is on its way to every client.
  asio::awaitable<void> announce_return() {
    asio::steady_timer timer(context_);
    std::vector<std::size_t> missed;
    for (const auto& s : shards_) missed.push_back(s->delivered_chunks());
    for (std::size_t i = 0; i < shards_.size();) {
      if (shards_[i]->published_chunks() >= missed[i]) {
        ++i;
        continue;
      }
      timer.expires_after(k_catch_up_check);
      co_await timer.async_wait(asio::use_awaitable);
    }
    const bool is_back = source_ == source_state::live;
    if (!is_back || !std::exchange(is_outage_told_, false)) co_return;
    for (const auto& s : shards_) {
      s->tell({"pgcast", "ok", "source_back",
               "the database is back; all that was missed has followed"});
    }
  }

  void broadcast(client_broadcast b) {
    const auto shared = std::make_shared<const client_broadcast>(std::move(b));
    for (const auto& s : shards_) s->broadcast(shared);
  }

  /// On the thread of the keys; they are there before the first client.
  void use_keys(const key_source::keys& keys) {
    for (const auto& s : shards_) s->use_keys(keys);
  }

  asio::awaitable<void> pause(std::chrono::milliseconds delay) {
    boost::system::error_code ignored;
    timer_.expires_after(delay);
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

  asio::awaitable<void> watch_signals() {
    for (;;) {
      const int signal = co_await signals_.async_wait(asio::use_awaitable);
      if (signal != SIGHUP) break;
      spdlog::warn("SIGHUP: nothing is re-read yet; restart to take over a new configuration");
    }
    signals_.cancel();
    std::signal(SIGTERM, SIG_DFL);  // a second signal ends the process at once
    std::signal(SIGINT, SIG_DFL);
    co_await drain();
    context_.stop();
  }

  /// Not ready, no new clients, old ones told to go over server.drain; then the end.
  asio::awaitable<void> drain() {
    is_draining_ = true;
    notify_stopping();
    clients_.close();
    spdlog::info("draining for {} ms", config_.drain.count());
    for (const auto& s : shards_) s->drain(config_.drain);
    const auto deadline = std::chrono::steady_clock::now() + config_.drain + k_last_words;
    while (std::chrono::steady_clock::now() < deadline) {
      std::size_t left = 0;
      for (const auto& s : shards_) left += s->connections();
      if (left == 0) break;
      co_await pause(k_drain_check);
    }
    admin_.close();
    reader_.stop();
  }

  asio::awaitable<void> feed_watchdog(std::chrono::microseconds interval) {
    asio::steady_timer timer(context_);
    for (;;) {
      notify_watchdog();
      timer.expires_after(interval);
      co_await timer.async_wait(asio::use_awaitable);
    }
  }

  const config& config_;
  asio::io_context context_{1};
  hold_up held_;
  census census_;
  trusted_networks proxies_;
  std::vector<std::unique_ptr<shard>> shards_;
  listener clients_;
  listener admin_;
  reader reader_;
  maintenance maintenance_;
  operations_desk desk_;
  key_source keys_;
  asio::signal_set signals_;
  asio::steady_timer timer_;
  std::size_t next_shard_ = 0;
  source_state source_ = source_state::connecting;
  std::string detail_;
  bool is_draining_ = false;
  std::optional<asio::steady_timer> outage_timer_;  ///< set while an outage lasts
  bool is_outage_told_ = false;
};

}  // namespace

int run_serve(const loaded_config& loaded) {
  if (auto good = check_serving(loaded.values); !good) return report_failure(good.error());
  start_logging(loaded.values.format, loaded.values.log_level);
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  daemon_process daemon(loaded.values);
  const int code = daemon.run();
  // The threads of the shards still run: the kernel takes back what is left, and nobody has to
  // order destructors between threads.
  spdlog::shutdown();
  std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace pgcast
