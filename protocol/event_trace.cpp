#include "protocol/event_trace.hpp"

#include "protocol/sql_time.hpp"

#include <algorithm>
#include <string_view>

namespace pgcast {
namespace {

using std::chrono::microseconds;
using std::chrono::system_clock;

constexpr std::size_t k_most_topics = 8;
constexpr std::size_t k_most_name_bytes = 256;

/// The beginning of `name`, no character cut in two.
std::string_view cut(std::string_view name) {
  if (name.size() <= k_most_name_bytes) return name;
  std::size_t end = k_most_name_bytes;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xc0) == 0x80) --end;
  return name.substr(0, end);
}

template <class Ring>
auto* find_in(Ring& events, std::uint64_t id) {
  for (std::size_t age = 0; age < events.size(); ++age) {
    if (events.at(age).id == id) return &events.at(age);
  }
  return static_cast<decltype(&events.at(0))>(nullptr);
}

}  // namespace

void event_trace::add(const event& e, system_clock::time_point read_at) {
  auto& slot = events_.next();
  slot.id = e.id;
  slot.op = e.op;
  slot.schema = cut(e.schema);
  slot.table = cut(e.table);
  slot.commit_timestamp = e.commit_timestamp;
  slot.read_at = read_at;
  const bool is_broadcast = e.broadcast != nullptr;
  slot.topics.resize(is_broadcast ? 1 : std::min(e.routes.size(), k_most_topics));
  for (std::size_t i = 0; i < slot.topics.size(); ++i) {
    auto& topic = slot.topics[i];
    topic.key = cut(is_broadcast ? e.broadcast->key : e.routes[i].topic);
    topic.had_old = !is_broadcast && e.routes[i].had_old;
    topic.has_new = is_broadcast || e.routes[i].has_new;
  }
}

const traced_event* event_trace::find(std::uint64_t id) const { return find_in(events_, id); }

void handed_events::add(std::uint64_t id, std::size_t subscribers, std::size_t changes) {
  events_.next() = {
      id, static_cast<std::uint32_t>(subscribers), static_cast<std::uint32_t>(changes), {}};
}

void handed_events::published(std::size_t count, system_clock::time_point now) {
  for (std::size_t age = 0; age < std::min(count, events_.size()); ++age) {
    events_.at(age).published_at = now;
  }
}

const handed_event* handed_events::find(std::uint64_t id) const { return find_in(events_, id); }

microseconds lag_since(const std::string& commit_timestamp, system_clock::time_point now) {
  const auto committed = timestamp_us(commit_timestamp);
  if (!committed) return microseconds{0};
  return std::max(microseconds{0}, microseconds{timestamp_us_of(now) - *committed});
}

}  // namespace pgcast
