#pragma once

#include "protocol/event.hpp"
#include "protocol/ring.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pgcast {

// What is remembered of the newest events, so that one can be followed from its commit to the
// clients. Written once an event, never for each client.

constexpr std::size_t k_traced_events = 1'024;

/// What the source told of one event.
struct traced_event {
  /// A topic that had the old row or has the new one.
  struct touched_topic {
    std::string key;  ///< cut at 256 bytes
    bool had_old = false;
    bool has_new = false;
  };
  std::uint64_t id = 0;
  operation op = operation::insert;
  std::string schema;
  std::string table;
  std::string commit_timestamp;
  std::chrono::system_clock::time_point read_at{};
  std::vector<touched_topic> topics;  ///< the first 8
};

/// The newest events of the source, about 500 bytes each. Not thread-safe.
class event_trace {
 public:
  void add(const event& e, std::chrono::system_clock::time_point read_at);
  /// nullptr: not among the newest. Good until the next add(). O(k_traced_events).
  const traced_event* find(std::uint64_t id) const;
  std::size_t size() const { return events_.size(); }
  /// 0 is the newest.
  const traced_event& at(std::size_t age) const { return events_.at(age); }

 private:
  ring<traced_event> events_{k_traced_events};
};

/// To how many subscribers of one shard an event was handed.
struct handed_event {
  std::uint64_t id = 0;
  std::uint32_t subscribers = 0;  ///< of its topics
  std::uint32_t changes = 0;      ///< bindings of postgres_changes that it came under
  std::chrono::system_clock::time_point published_at{};
};

/// The newest events that a shard has published. 24 bytes each. Not thread-safe.
class handed_events {
 public:
  void add(std::uint64_t id, std::size_t subscribers, std::size_t changes);
  /// The newest `count` of them, at most all, are with the clients' queues since `now`.
  void published(std::size_t count, std::chrono::system_clock::time_point now);
  /// nullptr: not among the newest. Good until the next add(). O(k_traced_events).
  const handed_event* find(std::uint64_t id) const;

 private:
  ring<handed_event> events_{k_traced_events};
};

/// Time from the commit that a record of the outbox tells (`2026-01-02T03:04:05.678901Z`) to `now`;
/// 0 if it cannot be read or lies ahead.
std::chrono::microseconds lag_since(const std::string& commit_timestamp,
                                    std::chrono::system_clock::time_point now);

}  // namespace pgcast
