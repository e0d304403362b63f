#pragma once

#include "protocol/observed_change.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace pgcast {

/// The two servers of a comparison.
enum class side : std::uint8_t { ours, theirs };
constexpr side other(side s) { return s == side::ours ? side::theirs : side::ours; }

/// How often which lag was seen, in buckets 3 % wide.
class lag_histogram {
 public:
  using duration = std::chrono::microseconds;

  /// Less than nothing is none.
  void add(duration lag);
  /// The lag that `share` (0 to 1) of all do not exceed; 0 without any. max() is exact.
  duration quantile(double share) const;
  duration max() const { return max_; }

 private:
  std::vector<std::size_t> counts_;
  std::size_t total_ = 0;
  duration max_{0};
};

/// Tells apart, from what two servers sent of the same tables, what both had, what one of them
/// missed and what came twice; see docs/decisions/0011-compare.md.
///
/// It begins by watching: what is seen then is remembered, so that it does not count when the other
/// server sends it later. Then it counts; then it closes: only what the other side waits for is
/// still taken. What both have had is forgotten. Times are those of one clock, from any beginning.
class change_comparison {
 public:
  using duration = std::chrono::microseconds;

  /// At `limit` unmatched changes is_full() becomes true, and the caller is to close().
  explicit change_comparison(std::size_t limit) : limit_(limit) {}

  void add(side from, const observed_change& change, duration at);

  /// Ends the watching: from now on changes count that are newer than all seen until now.
  void start_counting();

  /// Forgets what was watched and did not come from the other server; to be called some time after
  /// start_counting().
  void forget_watched();

  /// Ends the counting.
  void close();

  bool is_full() const { return is_full_; }

  /// Changes that count and that only one of the two has had.
  std::size_t unmatched() const { return counted_; }

  /// Changes that came from that server and count, until now.
  std::size_t received(side of) const { return at(received_, of); }

  struct missed_change {
    std::string table;
    std::string type;
    std::string key;
    std::string commit_timestamp;
  };
  struct server_figures {
    std::size_t received = 0;
    std::size_t missed = 0;   ///< the other server had it
    std::size_t doubled = 0;  ///< came once more than from the other, and is the same one
    lag_histogram behind;     ///< the other server, over the changes that both had
    std::vector<missed_change> first_missed;
  };
  struct figures {
    std::size_t both = 0;
    server_figures ours;
    server_figures theirs;
  };
  /// The result, with the first `most_missed` of each; ends the comparison.
  figures finish(std::size_t most_missed);

 private:
  enum class phase : std::uint8_t { watching, counting, closing };

  /// A change that the other server has not had yet.
  struct waiting {
    observed_change change;
    duration at;
    bool is_repeat;
    bool is_counted;
  };
  using bucket = std::list<waiting>;
  using buckets = std::unordered_map<std::size_t, bucket>;
  template <class T>
  using by_side = std::array<T, 2>;

  /// Changes of one type of one table. They are found by the columns that both servers always sent.
  struct group {
    bool is_new = true;
    std::vector<std::size_t> names;  ///< of those columns, sorted
    by_side<buckets> waiting_at;
  };

  template <class T>
  static T& at(by_side<T>& both, side of) {
    return both[static_cast<std::size_t>(of)];
  }
  template <class T>
  static const T& at(const by_side<T>& both, side of) {
    return both[static_cast<std::size_t>(of)];
  }

  bool is_repeat(side from, const observed_change& change);
  static void narrow(group& g, const observed_change& change);
  bool take_match(group& g, side from, const waiting& arrived, bool like_repeats_only);
  void remember(group& g, side from, waiting arrived);
  void pair_repeats(group& g);
  void settle(side from, const waiting& arrived, const waiting& earlier);

  std::size_t limit_;
  phase phase_ = phase::watching;
  std::string newest_watched_;  ///< observed_change::committed
  std::unordered_map<std::string, group> groups_;
  std::size_t counted_ = 0;
  std::size_t watched_ = 0;  ///< waiting, not counted
  bool is_full_ = false;

  /// The latest changes of each server, to know one that comes again.
  struct recent {
    std::unordered_set<std::size_t> known;
    std::deque<std::size_t> in_order;
  };
  by_side<recent> recent_;

  std::size_t both_ = 0;
  by_side<std::size_t> received_{};
  by_side<lag_histogram> behind_;
};

}  // namespace pgcast
