#pragma once

#include "daemon/operations_report.hpp"
#include "daemon/shard.hpp"
#include "protocol/event_trace.hpp"
#include "protocol/lag_window.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pgcast {

/// Answers how the daemon is, by asking every thread on that thread; lives on the main one. What it
/// keeps of events is bounded (protocol/event_trace.hpp, docs/decisions/0016-operations.md).
class operations_desk {
 public:
  /// `shards` outlives the desk and is whole before the first question; `source` is called on the
  /// main thread.
  operations_desk(boost::asio::any_io_executor main,
                  const std::vector<std::unique_ptr<shard>>& shards,
                  std::function<source_report()> source);

  /// The source has read these. On the main thread.
  void observe(const event_chunk& chunk);

  /// The report as JSON. From any thread.
  boost::asio::awaitable<std::string> report();
  /// An event with what became of it, as JSON; "": it is not among the newest. From any thread.
  boost::asio::awaitable<std::string> follow(std::uint64_t event_id);

 private:
  boost::asio::awaitable<std::string> gather();
  boost::asio::awaitable<std::string> trace(std::uint64_t event_id);
  boost::asio::awaitable<std::vector<topic_audience>> count_busiest(
      const std::vector<thread_report>& threads);

  boost::asio::any_io_executor main_;
  const std::vector<std::unique_ptr<shard>>& shards_;
  std::function<source_report()> source_;
  std::chrono::system_clock::time_point started_at_ = std::chrono::system_clock::now();
  event_trace events_;
  lag_window read_lag_;
};

}  // namespace pgcast
