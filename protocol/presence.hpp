#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pgcast {

/// One change of who is present, on its way to every copy. Changes of one owner arrive in order.
struct presence_change {
  enum class kind { track, leave };
  kind what = kind::leave;
  std::string topic;    ///< a key of topic_key()
  std::string key;      ///< the presence key
  std::string owner;    ///< whose presence it is: unique, of one channel
  std::string ref;      ///< of track: its phx_ref, unique
  std::string members;  ///< of track: presence_request::members
  /// Of leave: within this time whoever tracks under the same key takes the place over.
  std::chrono::milliseconds hold{0};

  /// Bytes that a presence counts against limits: its text, and for what is kept beside that
  /// (measured: 420 bytes, and 540 for each copy).
  std::size_t cost() const { return key.size() + members.size() + k_overhead_bytes; }
  static constexpr std::size_t k_overhead_bytes = 512;
};

/// What the subscribers of a topic are told: payloads of presence_diff, to be sent in this order.
struct presence_news {
  std::string topic;
  std::vector<std::string> diffs;
};

/// Who is present where: one copy of all presences of the daemon, and what has been told of it.
///
/// Who comes to a quiet topic is told at once; other changes when the topic's window is over, all
/// of a window at once. Nothing is told of what has cancelled itself out: who leaves and comes back
/// in time, under the same key and with the same members, has never been away. Who comes back with
/// others is an update.
///
/// A diff is such that clients of any version end up with the right list (docs/decisions/0009): a
/// join names all metas of its key, a leave takes all of them away, and what stays of them joins
/// again in a second diff. Pure: time is given. Not thread-safe: one shard, one copy.
class presences {
 public:
  using clock = std::chrono::steady_clock;

  explicit presences(std::chrono::milliseconds window) : window_(window) {}

  void apply(const std::shared_ptr<const presence_change>& change, clock::time_point now);
  /// When take() has something to do next.
  std::optional<clock::time_point> next() const;
  /// All that is due, one entry a topic. What it gives is told: state() includes it.
  std::vector<presence_news> take(clock::time_point now);

  /// Payload of presence_state: what has been told, {"key":{"metas":[..]}}. Never null.
  std::shared_ptr<const std::string> state(const std::string& topic);
  /// Bytes of a topic's presences and of all, by presence_change::cost().
  std::size_t bytes(const std::string& topic) const;
  std::size_t bytes() const { return bytes_; }

 private:
  struct meta {
    std::shared_ptr<const presence_change> change;  ///< nullptr: none
    std::string ref;
    std::string previous_ref;
  };
  struct entry {
    std::string owner;
    meta told;
    meta current;
    std::optional<clock::time_point> leaves_at;
  };
  struct room {
    std::map<std::string, std::vector<entry>> keys;
    std::set<std::string> changed;         ///< keys with something to tell, now or later
    std::optional<clock::time_point> due;  ///< where it stands in due_
    clock::time_point quiet_until{};       ///< no diff before that
    std::size_t bytes = 0;
    std::shared_ptr<const std::string> state;  ///< nullptr: not written since the last diff
  };
  /// Fragments of the two diffs of a topic, `"key":{"metas":[..]}` with commas between.
  struct written {
    std::string joins;
    std::string leaves;
    std::string joins_after;  ///< of keys that left as a whole although some metas stay
  };

  void track(room& r, const std::shared_ptr<const presence_change>& change);
  void count(room& r, const meta& gone, const meta& come);
  void schedule(const std::string& topic, room& r, clock::time_point at);
  void tell(room& r, clock::time_point now, presence_news& out);
  /// Returns when the key is to be looked at again.
  std::optional<clock::time_point> tell_key(room& r, const std::string& key, clock::time_point now,
                                            written& out);
  static void write(std::string& out, const std::string& key, const std::vector<meta>& metas);
  static void write(std::string& out, const meta& m);

  std::chrono::milliseconds window_;
  std::unordered_map<std::string, room> rooms_;
  std::set<std::pair<clock::time_point, std::string>> due_;
  std::size_t bytes_ = 0;
};

}  // namespace pgcast
