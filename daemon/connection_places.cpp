#include "daemon/connection.hpp"
#include "daemon/metrics.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>

// Places of clients with an id (docs/decisions/0006): a client that only says who it is goes on
// where it was when its connection dropped.

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

constexpr auto k_pong_deadline = 2s;  // who does not answer for longer is gone
constexpr auto k_pong_check = 10ms;
constexpr auto k_quiet_refresh = 15s;  // of a place on which nothing happens
constexpr std::size_t k_options_bytes = 4'096;
constexpr std::size_t k_topic_bytes = 1'024;
constexpr std::size_t k_connections_of_one = 16;  // with the same id; more have no places

}  // namespace

void connection::start_places(std::string client_id) {
  const auto known = services_.named.find(client_id);
  if (known != services_.named.end() && known->second.size() >= k_connections_of_one) return;
  places_ = std::make_unique<place_keeping>();
  places_->client_id = std::move(client_id);
  services_.named[places_->client_id].push_back(this);
}

void connection::end_places() {
  if (!places_) return;
  const auto found = services_.named.find(places_->client_id);
  if (found == services_.named.end()) return;
  std::erase(found->second, this);
  if (found->second.empty()) services_.named.erase(found);
}

place_key connection::key_of(const channel& c, const join_request& request) const {
  const bool is_long =
      request.options.size() > k_options_bytes || c.id().wire_topic.size() > k_topic_bytes;
  if (!places_ || is_long) return {};
  return {places_->client_id, c.who().role, c.who().sub, c.id().wire_topic, request.options};
}

/// Keeps what the client has acknowledged of a channel that ends without its will.
void connection::hold_place(const channel& c) {
  if (c.key() == nullptr || !c.acknowledged().is_somewhere()) return;
  const bool is_held = services_.places.put(*c.key(), c.acknowledged(), clock::now());
  if (is_held) metrics().places[place_outcome::held].add();
}

void connection::ping_for_places() {
  ++places_->pings;
  if (!places_->waits_since) places_->waits_since = clock::now();
  places_->marked_at = clock::now();
  for (const auto& c : channels_) c->mark_place();
  const auto frame = make_frame(opcode::ping, std::to_string(places_->pings));
  send(std::make_shared<const outbound_frame>(frame), 0);
  has_news_ = false;
}

void connection::on_pong(std::string_view payload) {
  if (!places_ || payload != std::to_string(places_->pings)) return;
  places_->pongs = places_->pings;
  places_->waits_since.reset();
  for (const auto& c : channels_) c->acknowledge_place();
}

void connection::void_marks() {
  for (const auto& c : channels_) c->forget_mark();
}

void connection::refresh_places(clock::time_point now) {
  if (!places_ || is_closed() || is_closing_ || is_parked_ || places_->waits_since) return;
  if (!has_news_ && now - places_->marked_at < k_quiet_refresh) return;
  const bool keeps_any = std::any_of(channels_.begin(), channels_.end(),
                                     [](const auto& c) { return c->key() != nullptr; });
  if (keeps_any) ping_for_places();
}

bool connection::is_at(const place_key& key) const {
  return std::any_of(channels_.begin(), channels_.end(),
                     [&](const auto& c) { return c->key() != nullptr && *c->key() == key; });
}

/// Waits for the answer to its last ping, 2 s from when that was sent.
asio::awaitable<bool> connection::prove_alive() {
  const auto self = shared_from_this();
  const auto asked = places_->pings;
  const auto deadline = places_->waits_since.value_or(clock::now()) + k_pong_deadline;
  asio::steady_timer timer(services_.executor);
  while (!is_closed() && places_->pongs < asked && clock::now() < deadline) {
    boost::system::error_code ignored;
    timer.expires_after(k_pong_check);
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  co_return !is_closed() && places_->pongs >= asked;
}

asio::awaitable<void> connection::settle_place(place_key key) {
  const auto self = shared_from_this();
  std::vector<std::shared_ptr<connection>> others;
  for (auto* c : services_.named[key.client_id]) {
    if (c != this && !c->is_closed() && c->is_at(key)) others.push_back(c->shared_from_this());
  }
  for (const auto& other : others) {  // all at once: together they have 2 s
    if (!other->places_->waits_since) other->ping_for_places();
  }
  for (const auto& other : others) {
    const bool is_alive = co_await other->prove_alive();
    if (is_alive || other->is_closed() || is_closed()) continue;
    spdlog::info("a client that is back on another connection did not answer: closed");
    other->end();
  }
}

std::optional<held_place> connection::take_place(const place_key& key) {
  auto place = services_.places.take(key, clock::now());
  if (place) metrics().places[place_outcome::resumed].add();
  return place;
}

}  // namespace pgcast
