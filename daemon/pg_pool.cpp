#include "daemon/pg_pool.hpp"

#include "daemon/source_session.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_trusted_idle{1'000};
constexpr std::chrono::milliseconds k_ping_timeout{1'000};
constexpr std::chrono::milliseconds k_first_back_off{50};
constexpr std::chrono::milliseconds k_longest_back_off{500};
constexpr std::size_t k_most_prepared = 200;            // of a connection
constexpr std::chrono::milliseconds k_patience{4'000};  // a client waits 10 s for its join

}  // namespace

pg_pool::pg_pool(asio::any_io_executor executor, std::string conninfo, unsigned size)
    : executor_(executor), conninfo_(std::move(conninfo)), free_(executor, size) {
  for (unsigned i = 0; i < size; ++i) {
    connections_.push_back(std::make_unique<pooled_connection>(executor));
    free_.try_send(boost::system::error_code{}, connections_.back().get());
  }
}

pg_pool::lease::~lease() {
  if (connection_ == nullptr) return;
  connection_->used_at = clock::now();
  pool_->free_.try_send(boost::system::error_code{}, connection_);
}

void pg_pool::renew() { ++generation_; }

void pg_pool::give_up_silent(std::chrono::milliseconds longest) {
  for (const auto& c : connections_) c->pg.give_up_if_silent(longest);
}

asio::awaitable<result<void>> pg_pool::open(pooled_connection& c, clock::time_point deadline) {
  auto back_off = k_first_back_off;
  for (;;) {
    c.generation = generation_;
    c.prepared.clear();
    c.is_direct.reset();
    auto history = co_await open_source(c.pg, conninfo_, "pgcast worker");
    if (history) {
      c.history = *history;
      co_return result<void>{};
    }
    const bool may_pass = is_refused_for_now(c.pg) && clock::now() + back_off < deadline;
    c.pg.close();
    if (!may_pass) co_return history.error();
    asio::steady_timer timer(executor_, back_off);
    co_await timer.async_wait(asio::use_awaitable);
    back_off = std::min(back_off * 2, k_longest_back_off);
  }
}

asio::awaitable<pg_statement> pg_pool::lease::prepare(pg_statement s) const {
  auto& c = *connection_;
  if (!c.is_direct) {
    std::vector<pg_statement> question;
    question.emplace_back("SELECT pg_backend_pid()");
    auto pid = co_await c.pg.run(std::move(question), k_ping_timeout);
    if (!pid) co_return s;
    c.is_direct = (*pid)[0].text(0, 0) == std::to_string(c.pg.backend_pid());
  }
  if (!*c.is_direct) co_return s;
  auto known = c.prepared.find(s.sql);
  if (known == c.prepared.end()) {
    if (c.prepared.size() >= k_most_prepared) co_return s;
    std::string name = "pgcast_" + std::to_string(c.prepared.size());
    std::string sql = s.sql;
    auto made = co_await c.pg.prepare(name, std::move(sql), k_ping_timeout);
    if (!made) co_return s;
    known = c.prepared.emplace(s.sql, std::move(name)).first;
  }
  s.sql = known->second;
  s.is_prepared = true;
  co_return s;
}

asio::awaitable<result<pg_pool::lease>> pg_pool::acquire() {
  const auto deadline = clock::now() + k_patience;
  pooled_connection* const free = co_await free_.async_receive(asio::use_awaitable);
  lease leased(this, free);
  if (free->generation != generation_) free->pg.close();
  const auto idle = clock::now() - free->used_at;
  if (free->pg.is_open() && idle > k_trusted_idle) {
    std::vector<pg_statement> ping;
    ping.emplace_back("SELECT 1");
    auto alive = co_await free->pg.run(std::move(ping), k_ping_timeout);
    if (!alive) free->pg.close();
  }
  if (!free->pg.is_open()) {
    auto opened = co_await open(*free, deadline);
    if (!opened) co_return opened.error();
  }
  co_return leased;
}

}  // namespace pgcast
