#pragma once

#include "protocol/position.hpp"

#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

namespace pgcast {

/// Where a client was in the rows of one channel.
struct held_place {
  std::optional<position> rows;     ///< of the topic's own rows
  std::optional<position> changes;  ///< of postgres_changes
  bool is_somewhere() const { return rows || changes; }
};

/// Whose place it is. Only who comes back as the same, for the same, goes on there.
struct place_key {
  std::string client_id;
  std::string role;
  std::string sub;
  std::string topic;         ///< as on the wire
  std::string join_options;  ///< the join's `config`, byte for byte

  bool operator==(const place_key&) const = default;
  /// 32 bytes that stand for all of it (SHA-256).
  std::string digest() const;
};

/// Places of clients that are gone for a while, each kept for the same time and given out once.
///
/// At most `capacity` of them: the oldest goes first. Pure: time is given. One a shard.
class held_places {
 public:
  using clock = std::chrono::steady_clock;

  /// `hold` 0 keeps nothing.
  held_places(std::chrono::milliseconds hold, std::size_t capacity)
      : hold_(hold), capacity_(capacity) {}

  /// A place under the same key is replaced. False if it is not kept.
  bool put(const place_key& key, held_place place, clock::time_point now);
  /// Gives the place out and forgets it.
  std::optional<held_place> take(const place_key& key, clock::time_point now);
  /// Forgets what was kept for too long; returns how many.
  std::size_t expire(clock::time_point now);
  void clear();
  std::size_t size() const { return by_key_.size(); }

 private:
  struct entry {
    std::string key;
    held_place place;
    clock::time_point until;
  };
  std::chrono::milliseconds hold_;
  std::size_t capacity_;
  std::list<entry> by_age_;  ///< oldest first
  std::unordered_map<std::string, std::list<entry>::iterator> by_key_;
};

}  // namespace pgcast
