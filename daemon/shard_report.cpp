#include "daemon/shard.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <utility>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::size_t k_named_topics = 64;

}  // namespace

// What others want to know of the shard: each question is answered on its thread.

asio::awaitable<thread_report> shard::report() {
  auto here = survey();
  auto found = co_await asio::co_spawn(context_, std::move(here), asio::use_awaitable);
  co_return found;
}

asio::awaitable<std::vector<std::size_t>> shard::count_members(std::vector<std::string> topics) {
  auto here = count_here(std::move(topics));
  auto found = co_await asio::co_spawn(context_, std::move(here), asio::use_awaitable);
  co_return found;
}

asio::awaitable<std::optional<handed_event>> shard::find_handed(std::uint64_t event_id) {
  auto here = find_here(event_id);
  auto found = co_await asio::co_spawn(context_, std::move(here), asio::use_awaitable);
  co_return found;
}

asio::awaitable<thread_report> shard::survey() {
  busiest_topics busiest(k_named_topics);
  std::optional<std::size_t> step = 0;
  while (step) {
    step = topics_.survey(*step, busiest);
    if (step) co_await asio::post(context_, asio::use_awaitable);
  }
  thread_report out;
  out.connections = connections_.size();
  out.topics = topics_.topics();
  out.queued_bytes = queued_bytes();
  out.slow_clients = pressure_.full_clients.load(std::memory_order_relaxed);
  out.waiting_chunks = waiting_chunks_.load(std::memory_order_relaxed);
  out.lag = {publish_lag_.newest(), publish_lag_.longest(lag_window::clock::now())};
  out.busiest = busiest.sorted();
  co_return out;
}

asio::awaitable<std::vector<std::size_t>> shard::count_here(std::vector<std::string> topics) {
  std::vector<std::size_t> out;
  for (const auto& topic : topics) out.push_back(topics_.members_of(topic));
  co_return out;
}

asio::awaitable<std::optional<handed_event>> shard::find_here(std::uint64_t event_id) {
  const auto* found = topics_.handed().find(event_id);
  std::optional<handed_event> out;
  if (found != nullptr) out = *found;
  co_return out;
}

}  // namespace pgcast
