#pragma once

#include "daemon/authorizer.hpp"
#include "daemon/delivery.hpp"
#include "protocol/busiest_topics.hpp"
#include "protocol/event_trace.hpp"
#include "protocol/presence.hpp"
#include "protocol/router.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pgcast {

class hub;

/// What a client said to the others of a topic.
struct client_broadcast {
  std::string topic;  ///< hub key
  std::string event;
  std::string payload;
  payload_encoding encoding = payload_encoding::json;
  const void* sender = nullptr;  ///< not to be echoed to this subscriber; nullptr: to all
};

/// Who hears of a topic. Calls come from hub::publish() and must not subscribe or unsubscribe.
class subscriber {
 public:
  virtual ~subscriber() = default;
  virtual void on_event(delivery& d) = 0;
  virtual void on_broadcast(const shared_frame& frame) = 0;
  /// Who is present has changed: frames of presence_diff, to be taken together.
  virtual void on_presence(std::span<const shared_frame>) {}
  /// A broadcast from the database, in the order of the events.
  virtual void on_kept(delivery&) {}
  /// The number of a `phone:` topic may have another session now; `d` is the event that says so.
  virtual void on_number_moved(const event& e, const batch_span& span) = 0;
};

/// A place among a topic's subscribers; leaves it on destruction.
class subscription {
 public:
  subscription() = default;
  subscription(subscription&& other) noexcept;
  subscription& operator=(subscription&& other) noexcept;
  ~subscription() { reset(); }
  void reset();
  explicit operator bool() const { return place_ != nullptr; }

 private:
  friend class hub;
  struct place;
  explicit subscription(place* p) : place_(p) {}
  place* place_ = nullptr;
};

/// Topic -> subscribers of one shard. Publishing is a loop of function calls: an event is encoded
/// once per wire form, and its bytes are shared, also by classes that are decided for one by one.
/// One thread.
class hub {
 public:
  explicit hub(const relay_description& description);
  ~hub();
  hub(const hub&) = delete;
  hub& operator=(const hub&) = delete;

  /// `topic` is a key of topic_key(). `who` outlives the subscription.
  subscription subscribe(const std::string& topic, topic_kind kind, audience as, subscriber& who);

  /// Subscribes to the changes of `as.changes` that come under one of its keys. Who has several
  /// keys may hear of an event several times in a row.
  subscription subscribe_changes(const change_spec::key& key, audience as, subscriber& who);

  /// Every event of the chunk with every class that subscribes to a topic of it.
  std::vector<authorizer::question> questions(const event_chunk& chunk) const;
  void publish(const std::shared_ptr<const event_chunk>& chunk, const visibility_map& visible);
  void publish(const client_broadcast& b);
  void publish(const presence_news& news);

  /// Where publishing stands: everything that `start` covers has been handed to the subscribers.
  /// Its history has epoch 0 until the source has said where it is.
  const batch_span& published() const { return published_; }
  /// The source begins a new history: where publishing stands is not known until it says so.
  void forget_place();

  /// The newest events and how many were told of each. Times are the caller's to add.
  handed_events& handed() { return handed_; }
  const handed_events& handed() const { return handed_; }

  std::size_t topics() const { return topics_.size(); }
  /// Those who have joined a topic; who follows it through another topic, or counts, is none.
  std::size_t members_of(std::string_view topic) const;
  /// One step of a walk over all topics: adds those of 2,048 buckets of the table, about 0.1 ms.
  /// `from` is 0 at first, then what came back; nothing: that was the last step. A table that
  /// grows between two steps may show a topic twice or not at all.
  std::optional<std::size_t> survey(std::size_t from, busiest_topics& into) const;

 private:
  friend class subscription;
  struct group;
  struct form;
  struct entry;
  /// Values of which columns subscribers of a table's changes ask for, and how many do.
  struct indexed_column {
    table_column column;
    std::size_t count = 0;
  };
  using entries =
      std::unordered_map<std::string, std::unique_ptr<entry>, string_hash, std::equal_to<>>;

  // Each gives the number of subscribers that were told.
  std::size_t publish_event(const std::shared_ptr<const event_chunk>& chunk, const event& e,
                            const visibility_map& visible);
  std::size_t publish_kept(const std::shared_ptr<const event_chunk>& chunk, const event& e);
  std::size_t publish_changes(const std::shared_ptr<const event_chunk>& chunk, const event& e,
                              const visibility_map& visible);
  std::vector<const entry*> change_entries(const event& e, event_rows& rows) const;
  subscription add(entries& among, std::unique_ptr<entry> fresh, audience as, subscriber& who);
  static group& group_for(entry& topic, audience as);
  void remove(subscription::place* p);

  const relay_description& description_;
  entries topics_;
  entries changes_;  ///< of postgres_changes, by table, or by table, column and value
  std::unordered_map<std::string, std::vector<indexed_column>> indexed_;  ///< by table
  batch_span published_;
  handed_events handed_;
};

}  // namespace pgcast
