#pragma once

#include "daemon/hub.hpp"
#include "daemon/ticker_reader.hpp"
#include "protocol/codec.hpp"
#include "protocol/ticker.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace pgcast {

class campaign_ticker;

/// Who watches the numbers of a campaign. Calls come from the board, never from watch().
class stats_watcher {
 public:
  virtual ~stats_watcher() = default;
  virtual wire_version version() const = 0;
  virtual const std::string& wire_topic() const = 0;
  /// The message `stats` with the newest numbers.
  virtual void on_numbers(const shared_frame& frame) = 0;
  /// The row that says who may watch has changed.
  virtual void on_campaign_changed() = 0;
};

/// The tickers of one shard: one for every campaign that somebody watches, and for a moment longer.
/// It folds the events of the campaign's topic, asks the database what they do not tell, and tells
/// its watchers: at once after a change, at most once each in stats.interval. One thread.
class ticker_board {
 public:
  using clock = std::chrono::steady_clock;

  /// A place among a campaign's watchers; leaves it on destruction.
  class watch {
   public:
    watch() = default;
    watch(watch&& other) noexcept { swap(other); }
    watch& operator=(watch&& other) noexcept {
      swap(other);
      return *this;
    }
    ~watch() { reset(); }
    void reset();
    /// Returns when there are numbers. Fails with the error of the last attempt to get them.
    boost::asio::awaitable<result<void>> wait();
    /// Tells the watcher the newest numbers now.
    void tell();

   private:
    friend class ticker_board;
    watch(std::shared_ptr<campaign_ticker> of, stats_watcher* who)
        : of_(std::move(of)), who_(who) {}
    void swap(watch& other) {
      std::swap(of_, other.of_);
      std::swap(who_, other.who_);
    }
    std::shared_ptr<campaign_ticker> of_;
    stats_watcher* who_ = nullptr;
  };

  ticker_board(boost::asio::any_io_executor executor, hub& topics, ticker_reader& source,
               std::shared_ptr<viewer_class> everybody, std::chrono::milliseconds interval);
  ~ticker_board();

  /// `who` outlives the watch, and is told nothing before watch::tell().
  watch join(const std::string& campaign, stats_watcher& who);
  /// Called about four times a second.
  void tick();
  /// The history of the database is a new one: what was counted in the old one means nothing.
  void start_over();

 private:
  boost::asio::any_io_executor executor_;
  hub& topics_;
  ticker_reader& source_;
  std::shared_ptr<viewer_class> everybody_;
  std::chrono::milliseconds interval_;
  std::unordered_map<std::string, std::shared_ptr<campaign_ticker>> tickers_;
};

}  // namespace pgcast
