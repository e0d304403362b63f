#pragma once

#include "daemon/log.hpp"
#include "protocol/busiest_topics.hpp"
#include "protocol/event_trace.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// How late events came, of lag_window.
struct told_lag {
  std::optional<std::chrono::microseconds> newest;
  std::optional<std::chrono::microseconds> longest;  ///< of the last minute
};

/// One shard as it is now.
struct thread_report {
  thread_report() = default;

  std::size_t connections = 0;
  std::size_t topics = 0;  ///< that somebody has joined
  std::size_t queued_bytes = 0;
  std::size_t slow_clients = 0;    ///< over limits.queue_bytes and not yet parked
  std::size_t waiting_chunks = 0;  ///< of events, not yet published
  told_lag lag;                    ///< from commit to publishing
  std::vector<topic_audience> busiest;
};

struct source_report {
  std::string_view state;  ///< "connecting", "live" or "lost"
  std::string detail;      ///< a sentence about it
  bool is_ready = false;
  std::string reason;  ///< as /readyz gives it
};

/// The daemon as it is now (Operations in daemon/api/openapi.json).
struct operations_report {
  std::chrono::system_clock::time_point at{};
  std::chrono::system_clock::time_point started_at{};
  std::string_view version;
  source_report source;
  told_lag read_lag;  ///< from commit to reading
  std::vector<thread_report> threads;
  std::vector<topic_audience> topics;  ///< the busiest of all threads together
  std::vector<const traced_event*> events;
  std::vector<log_record> problems;
};

/// As JSON, with all metrics of the process.
std::string encode_operations(const operations_report& r);

/// An event with what became of it on each thread; nothing: not published there yet.
std::string encode_trace(const traced_event& e,
                         const std::vector<std::optional<handed_event>>& handed);

}  // namespace pgcast
