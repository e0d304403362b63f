#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// Only ever grows. One relaxed add, from any thread; on a cache line of its own, because every
/// shard counts.
class alignas(64) counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Goes up and down. Relaxed, from any thread.
class alignas(64) gauge {
 public:
  void add(std::int64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  void subtract(std::int64_t n = 1) { value_.fetch_sub(n, std::memory_order_relaxed); }
  void set(std::int64_t n) { value_.store(n, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

/// A gauge that is shown in seconds.
class alignas(64) duration_gauge {
 public:
  void set(std::chrono::microseconds d) { value_.store(d.count(), std::memory_order_relaxed); }
  std::chrono::microseconds value() const {
    return std::chrono::microseconds(value_.load(std::memory_order_relaxed));
  }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Label values. The names that operators see stand in metrics.cpp, in the same order.
enum class refusal {
  malformed,
  too_large,
  timeout,
  path,
  origin,
  host,
  token,
  full,
  address,
  user,
  draining
};
enum class join_outcome { ok, unauthorized, malformed, limit, unavailable };
enum class broadcast_source { client, http };
enum class drop_reason { unauthorized, too_large, unavailable, slow_client };
enum class slow_verdict { parked, closed };
enum class decision_source { cache, database };
enum class poll_reason { doorbell, safety, busy, falling_asleep, poll_only, reconnected };
enum class place_outcome { held, resumed, expired };
enum class api_outcome { ok, refused, unavailable };
enum class ticker_question { campaign, sessions, failed };
enum class load_outcome { ok, failed };
enum class start_over_reason { new_history, dropped };
enum class resume_outcome { ok, cursor_invalid, cursor_foreign, cursor_too_old, cursor_ahead };

/// One counter for each value of the enumeration Label; `N` = how many there are.
template <class Label, std::size_t N>
class counter_family {
 public:
  counter& operator[](Label label) { return counters_[static_cast<std::size_t>(label)]; }
  const counter& at(std::size_t i) const { return counters_[i]; }

 private:
  std::array<counter, N> counters_;
};

/// Everything the daemon counts; names, help and types stand in metric_list().
struct metric_set {
  gauge connections;
  counter connections_accepted;
  counter_family<refusal, 11> handshakes_refused;
  gauge channels;
  counter_family<join_outcome, 5> joins;
  gauge token_keys;
  counter_family<load_outcome, 2> key_loads;
  counter messages_received;
  counter messages_malformed;
  counter input_pauses;
  counter events_read;
  counter events_delivered;
  counter frames_sent_bytes;
  counter_family<slow_verdict, 2> slow_clients;
  counter_family<broadcast_source, 2> broadcasts;
  counter_family<drop_reason, 4> broadcasts_dropped;
  counter reserved_events_refused;
  counter rows_unparsable;
  counter_family<decision_source, 2> decisions;
  gauge source_up;
  counter_family<poll_reason, 6> source_polls;
  counter doorbells;
  counter source_reconnects;
  gauge source_poll_only;
  counter_family<start_over_reason, 2> start_overs;
  duration_gauge source_lag;
  gauge queued_frame_bytes;
  counter snapshots;
  counter_family<resume_outcome, 5> resumes;
  gauge held_places;
  counter_family<place_outcome, 3> places;
  counter_family<api_outcome, 3> api_requests;
  gauge tickers;
  gauge ticker_sessions;
  counter_family<ticker_question, 3> ticker_questions;
  counter stats_sent;
  gauge presences;
  counter presence_changes;
  counter presence_changes_coalesced;
  gauge outbox_default_partition_rows;
  gauge outbox_bytes;
  gauge outbox_rows_estimate;
  duration_gauge outbox_oldest;
};

/// The process' metrics: `metrics().events_delivered.add(n)`. Lives as long as the process.
inline metric_set& metrics() {
  static constinit metric_set all;
  return all;
}

enum class metric_type { counter, gauge };

/// What operators read about one metric.
struct metric_description {
  std::string_view name;  ///< "pgcast_joins_total"
  metric_type type;
  std::string_view help;
  std::string_view label;                ///< "" or the one label's name
  std::vector<std::string_view> values;  ///< of the label
};

/// All metrics, in the order of docs/metrics.md. Valid for ever.
std::span<const metric_description> metric_list();

/// `all` in Prometheus' text format 0.0.4, for `Content-Type: text/plain; version=0.0.4`.
std::string render_metrics(const metric_set& all);

/// The same as JSON: {"<name>": number, or {"<label's value>": number, ..}, ..}.
std::string encode_metrics(const metric_set& all);

}  // namespace pgcast
