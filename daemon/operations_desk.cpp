#include "daemon/operations_desk.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <set>
#include <utility>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::size_t k_told_topics = 20;
constexpr std::size_t k_told_events = 30;

}  // namespace

operations_desk::operations_desk(asio::any_io_executor main,
                                 const std::vector<std::unique_ptr<shard>>& shards,
                                 std::function<source_report()> source)
    : main_(std::move(main)), shards_(shards), source_(std::move(source)) {}

void operations_desk::observe(const event_chunk& chunk) {
  if (chunk.events.empty()) return;
  const auto now = std::chrono::system_clock::now();
  for (const auto& e : chunk.events) events_.add(e, now);
  read_lag_.add(lag_since(chunk.events.back().commit_timestamp, now), lag_window::clock::now());
}

asio::awaitable<std::string> operations_desk::report() {
  auto gathering = gather();
  auto text = co_await asio::co_spawn(main_, std::move(gathering), asio::use_awaitable);
  co_return text;
}

asio::awaitable<std::string> operations_desk::follow(std::uint64_t event_id) {
  auto tracing = trace(event_id);
  auto text = co_await asio::co_spawn(main_, std::move(tracing), asio::use_awaitable);
  co_return text;
}

asio::awaitable<std::string> operations_desk::gather() {
  std::vector<thread_report> threads;
  for (const auto& s : shards_) {
    auto one = co_await s->report();
    threads.push_back(std::move(one));
  }
  auto busiest = co_await count_busiest(threads);
  operations_report out;
  out.at = std::chrono::system_clock::now();
  out.started_at = started_at_;
  out.version = PGCAST_VERSION;
  out.source = source_();
  out.read_lag = {read_lag_.newest(), read_lag_.longest(lag_window::clock::now())};
  out.threads = std::move(threads);
  out.topics = std::move(busiest);
  for (std::size_t age = 0; age < std::min(k_told_events, events_.size()); ++age) {
    out.events.push_back(&events_.at(age));
  }
  out.problems = recent_problems();
  co_return encode_operations(out);
}

/// Each thread has named its own largest; what the others have of these is asked for, so that the
/// sums are exact.
asio::awaitable<std::vector<topic_audience>> operations_desk::count_busiest(
    const std::vector<thread_report>& threads) {
  std::set<std::string> named;
  for (const auto& t : threads) {
    for (const auto& topic : t.busiest) named.insert(topic.topic);
  }
  const std::vector<std::string> names(named.begin(), named.end());
  std::vector<std::size_t> sums(names.size());
  for (const auto& s : shards_) {
    const auto counts = co_await s->count_members(names);
    for (std::size_t i = 0; i < counts.size(); ++i) sums[i] += counts[i];
  }
  busiest_topics busiest(k_told_topics);
  for (std::size_t i = 0; i < names.size(); ++i) busiest.add(names[i], sums[i]);
  co_return busiest.sorted();
}

asio::awaitable<std::string> operations_desk::trace(std::uint64_t event_id) {
  const auto* found = events_.find(event_id);
  if (found == nullptr) co_return std::string{};
  const traced_event kept = *found;  // others come while the threads are asked
  std::vector<std::optional<handed_event>> handed;
  for (const auto& s : shards_) {
    const auto one = co_await s->find_handed(event_id);
    handed.push_back(one);
  }
  co_return encode_trace(kept, handed);
}

}  // namespace pgcast
