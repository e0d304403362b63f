#include "daemon/shard.hpp"

#include "daemon/http_events.hpp"
#include "daemon/metrics.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <exception>
#include <random>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

constexpr std::size_t k_receive_bytes = 256 * 1024;
constexpr std::size_t k_chunk_backlog = 4;
constexpr auto k_tick = 250ms;
constexpr auto k_decision_retry = 200ms;
constexpr auto k_suspicion = 20s;

void log_failure(const char* what, std::exception_ptr failed) {
  if (!failed) return;
  try {
    std::rethrow_exception(failed);
  } catch (const std::exception& e) {
    spdlog::critical("{}: {}", what, e.what());
  }
}

std::uint64_t random_seed() {
  std::random_device random;
  return std::uint64_t{random()} << 32 | random();
}

/// For loops without which the shard is useless: a bug there ends the process, loudly.
void die_on_failure(std::exception_ptr failed) {
  if (!failed) return;
  log_failure("shard", failed);
  std::terminate();
}

}  // namespace

shard::shard(const config& c, const relay_description& description, siblings others)
    : settings_(c),
      work_(context_.get_executor()),
      pool_(context_.get_executor(), c.database_url, c.limits.database_connections),
      deciding_(context_.get_executor(), c.database_url, 1),
      streams_(context_.get_executor(), c.database_url, 1),
      counting_(context_.get_executor(), c.database_url, 1),
      serving_(context_.get_executor(), c.database_url, c.limits.database_connections),
      policies_(deciding_, description, c.auth_cache),
      rights_(pool_, c.auth_cache),
      watchers_(pool_, policies_, c.auth_cache),
      snapshots_(pool_, policies_, {}),
      snapshot_api_(serving_, policies_, c.limits.api_requests),
      numbers_(counting_, policies_, c.limits.ticker_sessions),
      past_(pool_, streams_, description),
      store_(pool_),
      topics_(description),
      places_(c.limits.held_place, (c.limits.held_places + c.threads - 1) / c.threads),
      board_(context_.get_executor(), topics_),
      tickers_(context_.get_executor(), topics_, numbers_, policies_.class_of("", ""),
               c.stats_interval),
      others_(std::move(others)),
      services_{context_.get_executor(),
                settings_,
                description,
                topics_,
                policies_,
                rights_,
                watchers_,
                snapshots_,
                snapshot_api_,
                past_,
                store_,
                pressure_,
                others_.held,
                places_,
                board_,
                tickers_,
                others_.keys,
                others_.broadcast,
                others_.announce,
                others_.report_operations,
                others_.follow_event,
                {},
                {},
                {},
                0,
                std::vector<char>(k_receive_bytes),
                unique_refs{random_seed()},
                others_.clients,
                others_.proxies,
                {}},
      chunks_(context_.get_executor(), 64) {
  services_.flush_soon = [this] { asio::post(context_, [this] { flush(); }); };
}

shard::~shard() {
  stop();
  services_.announce = [](const auto&) {};  // the other shards may be gone
  for (const auto& c : connections_) c->end();
  connections_.clear();
}

void shard::start() {
  asio::co_spawn(context_, publish_chunks(), die_on_failure);
  asio::co_spawn(context_, tick(), die_on_failure);
  thread_ = std::thread([this] { context_.run(); });
}

void shard::stop() {
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

// ---- clients

void shard::adopt(int descriptor, int family) {
  count_.fetch_add(1, std::memory_order_relaxed);
  asio::post(context_, [this, descriptor, family] {
    asio::co_spawn(context_, serve(descriptor, family), [this](std::exception_ptr failed) {
      log_failure("http", failed);
      count_.fetch_sub(1, std::memory_order_relaxed);
    });
  });
}

client_socket::stream shard::open_stream(int descriptor, int family) {
  client_socket::stream socket(context_);
  boost::system::error_code failed;
  socket.assign(asio::generic::stream_protocol{family, family == AF_UNIX ? 0 : IPPROTO_TCP},
                descriptor, failed);
  if (failed) ::close(descriptor);
  return socket;
}

asio::awaitable<void> shard::serve(int descriptor, int family) {
  auto socket = open_stream(descriptor, family);
  if (!socket.is_open()) co_return;
  http_successors next;
  next.upgraded = [this, family](upgraded_client client) {
    if (client.upgrade.client_id.empty()) return start_client(std::move(client));
    boost::system::error_code failed;
    const int freed = client.socket.release(failed);
    if (failed) return;
    others_.home_of(client.upgrade.client_id)
        .welcome(freed, family, std::move(client.upgrade), std::move(client.early),
                 std::move(client.seat));
  };
  next.streaming = [this](stream_client client) { start_stream(std::move(client)); };
  co_await serve_http(services_, std::move(socket), std::move(next));
}

void shard::welcome(int descriptor, int family, upgrade_request upgrade, std::string early,
                    census::seat seat) {
  asio::post(context_, [this, descriptor, family, upgrade = std::move(upgrade),
                        early = std::move(early), seat = std::move(seat)]() mutable {
    auto socket = open_stream(descriptor, family);
    if (!socket.is_open()) return;
    start_client({std::move(socket), std::move(upgrade), std::move(early), std::move(seat)});
  });
}

void shard::start_client(upgraded_client client) {
  auto& u = client.upgrade;
  const auto c = std::make_shared<connection>(services_, client_socket{std::move(client.socket)},
                                              u.version, std::move(u.who), std::move(u.client_id));
  c->take(std::move(client.seat));
  keep(c);
  c->start(std::move(client.early));
}

void shard::start_stream(stream_client client) {
  const auto c =
      std::make_shared<event_stream>(services_, client_socket{std::move(client.socket)},
                                     client.request.who, events_head(), std::move(client.refuse));
  c->take(std::move(client.seat));
  keep(c);
  c->start("");
  c->open(std::move(client.request));
}

void shard::keep(std::shared_ptr<connection> c) {
  metrics().connections_accepted.add();
  count_.fetch_add(1, std::memory_order_relaxed);
  connections_.push_back(std::move(c));
}

void shard::flush() {
  const auto dirty = std::move(services_.dirty);
  services_.dirty.clear();
  for (const auto& c : dirty) c->flush();
}

asio::awaitable<void> shard::tick() {
  asio::steady_timer timer(context_);
  for (;;) {
    timer.expires_after(k_tick);
    co_await timer.async_wait(asio::use_awaitable);
    const auto now = connection::clock::now();
    const auto wall = std::chrono::system_clock::now();
    if (now < suspect_until_) {
      for (auto* pool : {&pool_, &deciding_, &streams_, &counting_, &serving_})
        pool->give_up_silent(k_answer_timeout);
    }
    for (const auto& c : connections_) c->tick(now, wall);
    const auto gone = std::erase_if(connections_, [](const auto& c) { return c->is_closed(); });
    count_.fetch_sub(gone, std::memory_order_relaxed);
    tickers_.tick();
    metrics().places[place_outcome::expired].add(places_.expire(now));
    metrics().held_places.add(static_cast<std::int64_t>(places_.size()) - counted_places_);
    counted_places_ = static_cast<std::int64_t>(places_.size());
    if (drain_total_ == 0) continue;
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - drain_start_);
    const auto due = drain_duration_.count() <= 0
                         ? drain_total_
                         : drain_total_ * static_cast<std::size_t>(passed.count()) /
                               static_cast<std::size_t>(drain_duration_.count());
    const std::size_t staying = due >= drain_total_ ? 0 : drain_total_ - due;
    for (std::size_t i = staying; i < connections_.size(); ++i) {
      connections_[i]->close(1012, "the server restarts");
    }
  }
}

void shard::drain(std::chrono::milliseconds duration) {
  asio::post(context_, [this, duration] {
    drain_start_ = connection::clock::now();
    drain_duration_ = duration;
    drain_total_ = connections_.size();
  });
}

void shard::tell(channel::system_message m) {
  asio::post(context_, [this, m = std::move(m)] {
    for (const auto& c : connections_) c->tell(m);
  });
}

void shard::start_over() {
  asio::post(context_, [this] {
    places_.clear();
    tickers_.start_over();
    topics_.forget_place();
    awaits_place_ = true;
    pool_.renew();
    deciding_.renew();
    streams_.renew();
    counting_.renew();
    serving_.renew();
    for (const auto& c : connections_) c->start_over();
  });
}

void shard::use_keys(key_source::keys keys) {
  asio::post(context_, [this, keys = std::move(keys)] { settings_.tokens.keys = keys; });
}

void shard::suspect_source() {
  asio::post(context_, [this] { suspect_until_ = connection::clock::now() + k_suspicion; });
}

// ---- events

void shard::deliver(std::shared_ptr<const event_chunk> chunk) {
  ++delivered_chunks_;
  waiting_chunks_.fetch_add(1, std::memory_order_relaxed);
  asio::post(context_, [this, chunk = std::move(chunk)]() mutable {
    if (!chunks_.try_send(boost::system::error_code{}, std::move(chunk))) {
      spdlog::critical("the shard's chunk backlog overflowed");
      std::terminate();
    }
  });
}

bool shard::has_room() const {
  return waiting_chunks_.load(std::memory_order_relaxed) < k_chunk_backlog && !has_full_clients();
}

/// Chunks in order: first what may be seen is decided, then all is published. While the database
/// cannot decide, nothing is published: never unseen, never skipped.
asio::awaitable<void> shard::publish_chunks() {
  for (;;) {
    auto chunk = co_await chunks_.async_receive(asio::use_awaitable);
    while (chunk) {  // all that wait in one turn: their frames leave in one send a client
      co_await publish_chunk(chunk);
      waiting_chunks_.fetch_sub(1, std::memory_order_relaxed);
      published_chunks_.fetch_add(1, std::memory_order_relaxed);
      chunk = nullptr;
      chunks_.try_receive(
          [&](const boost::system::error_code&, std::shared_ptr<const event_chunk> next) {
            chunk = std::move(next);
          });
    }
  }
}

asio::awaitable<void> shard::publish_chunk(std::shared_ptr<const event_chunk> chunk) {
  policies_.observe(chunk->events);
  result<visibility_map> visible = visibility_map{};
  for (;;) {
    auto questions = topics_.questions(*chunk);
    if (questions.empty()) break;
    visible = co_await policies_.decide(std::move(questions));
    if (visible) break;
    asio::steady_timer timer(context_, k_decision_retry);
    co_await timer.async_wait(asio::use_awaitable);
  }
  // What is left of a history that is over: the new one begins with a chunk without events.
  if (chunk->events.empty()) awaits_place_ = false;
  if (awaits_place_) co_return;
  topics_.publish(chunk, *visible);
  if (chunk->events.empty()) co_return;
  const auto now = std::chrono::system_clock::now();
  topics_.handed().published(chunk->events.size(), now);
  publish_lag_.add(lag_since(chunk->events.back().commit_timestamp, now), lag_window::clock::now());
}

void shard::broadcast(std::shared_ptr<const client_broadcast> b) {
  asio::post(context_, [this, b = std::move(b)] { topics_.publish(*b); });
}

void shard::announce(std::shared_ptr<const presence_change> change) {
  // At once from its own thread: a track is answered after those who see it are told.
  asio::dispatch(context_, [this, change = std::move(change)] { board_.apply(change); });
}

}  // namespace pgcast
