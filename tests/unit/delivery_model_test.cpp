// The whole algebra of positions against a simulated database: whatever transactions do and
// wherever somebody stops reading, every committed row comes exactly once.

#include "protocol/seam.hpp"
#include "tests/unit/simulated_database.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <set>
#include <string>

namespace pgcast {
namespace {

using ids = std::set<std::uint64_t>;
using topic_id = std::optional<unsigned>;

constexpr std::uint32_t k_databases = 64;
constexpr int k_steps = 800;  // of each

topic_id any_topic(simulated_database& db) {
  const auto pick = db.below(simulated_database::k_keys + 1);
  return pick == simulated_database::k_keys ? topic_id{} : static_cast<unsigned>(pick);
}

ids committed(const simulated_database& db, topic_id topic) {
  ids out;
  for (const auto& r : db.committed()) {
    if (!topic || *topic == r.key) out.insert(r.id);
  }
  return out;
}

ids without(ids all, const ids& those) {
  for (const auto id : those) all.erase(id);
  return all;
}

position through_cursor(const simulated_database& db, const position& p) {
  const auto history = db.history();
  const auto back = decode_cursor(encode_cursor(p, *history), *history);
  EXPECT_TRUE(back);
  return back ? *back : p;
}

ids read_to_end(simulated_database& db, position after, topic_id topic) {
  ids out;
  for (;;) {
    auto page = db.read(after, topic, 1 + db.below(7));
    for (const auto& item : page.items) EXPECT_TRUE(out.insert(item.changed.id).second);
    if (page.is_end) return out;
    after = page.next;
  }
}

/// Somebody who reads the events of a topic after a place in pages, and now and then comes back
/// with the cursor of the last event that it had.
struct resuming_client {
  topic_id topic;
  position place;
  ids expected_not = {};  ///< committed before the place
  ids had = {};
  std::map<unsigned, std::uint64_t> last_of_item = {};

  void read(simulated_database& db, std::size_t limit) {
    const auto page = db.read(place, topic, limit);
    const bool drops_out = !page.items.empty() && db.below(2) == 0;
    const auto count = drops_out ? 1 + db.below(page.items.size()) : page.items.size();
    for (std::size_t i = 0; i < count; ++i) take(page.items[i].changed);
    place = page.next;
    if (!drops_out) return;
    const auto& last = page.items[count - 1];
    place = through_cursor(db, last.span->at(last.changed.id));
  }
  void take(const simulated_database::row& r) {
    EXPECT_TRUE(had.insert(r.id).second) << "twice: " << r.id;
    EXPECT_FALSE(expected_not.contains(r.id)) << "before the place: " << r.id;
    EXPECT_LT(last_of_item[r.item], r.id) << "changes of one row out of order";
    last_of_item[r.item] = r.id;
  }
};

TEST(DeliveryModel, Pages_FromAnyResumePoint_GiveEveryCommittedRowOnceAndInOrder) {
  for (std::uint32_t seed = 0; seed < k_databases; ++seed) {
    simulated_database db(seed);
    std::vector<resuming_client> clients;
    for (int i = 0; i < k_steps; ++i) {
      db.step();
      if (i % 100 == 50) {
        const auto topic = any_topic(db);
        clients.push_back({topic, through_cursor(db, db.now()), committed(db, topic)});
      }
      if (!clients.empty() && db.below(8) == 0) {
        clients[db.below(clients.size())].read(db, db.below(6));
      }
    }
    db.end_all();
    for (auto& client : clients) {
      while (!db.read(client.place, client.topic, 0).items.empty()) client.read(db, db.below(6));
      EXPECT_EQ(client.had, without(committed(db, client.topic), client.expected_not));
    }
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

/// The reader and one hub: everything in visibility steps, in pieces, with breaks in the middle.
class live_tail {
 public:
  struct published {
    event e;
    std::shared_ptr<const batch_span> span;
    unsigned key = 0;
  };

  explicit live_tail(const simulated_database& db) : place_(db.now()), published_at_(place_) {}

  void read(simulated_database& db) {
    auto batch = db.read(place_, std::nullopt, 0);
    const bool is_lost = !batch.items.empty() && db.below(5) == 0;
    const auto count = is_lost ? db.below(batch.items.size()) : batch.items.size();
    for (std::size_t i = 0; i < count; ++i) {
      auto& [changed, span] = batch.items[i];
      event e;
      e.id = changed.id;
      e.xid = changed.xid;
      place_ = span->at(e.id);
      read_.push_back({std::move(e), std::move(span), changed.key});
    }
    if (!is_lost) place_ = batch.next;
  }
  /// The next one that the hub publishes; nullptr: nothing has been read.
  const published* publish() {
    if (next_ == read_.size()) return nullptr;
    published_at_ = read_[next_].span->at(read_[next_].e.id);
    return &read_[next_++];
  }
  const position& published_at() const { return published_at_; }

 private:
  position place_;
  position published_at_;
  std::deque<published> read_;
  std::size_t next_ = 0;
};

/// A channel from its registration on: snapshot at a later time, live at a later time still.
class simulated_channel {
 public:
  explicit simulated_channel(topic_id topic) : topic_(topic) {}

  void step(simulated_database& db) {
    if (!snapshot_) {
      snapshot_ = db.now();
      shown_ = committed(db, topic_);
    } else if (!is_live_) {
      is_live_ = true;
      seam_.open(*snapshot_);
      for (const auto* p : held_) deliver(*p);
    }
  }
  void on_event(const live_tail::published& p) {
    if (topic_ && *topic_ != p.key) return;
    if (is_live_) return deliver(p);
    held_.push_back(&p);
  }

  /// What a client that goes on from each place it was ever given would get.
  void check(simulated_database& db) const {
    const auto after_snapshot = without(committed(db, topic_), shown_);
    ids had;
    for (const auto& [id, cursor] : delivered_) {
      EXPECT_FALSE(shown_.contains(id)) << "in the snapshot and live: " << id;
      EXPECT_TRUE(had.insert(id).second) << "twice: " << id;
      if (db.below(8) != 0) continue;
      EXPECT_EQ(read_to_end(db, through_cursor(db, cursor), topic_), without(after_snapshot, had));
    }
    EXPECT_EQ(had, after_snapshot);
    EXPECT_EQ(read_to_end(db, through_cursor(db, *snapshot_), topic_), after_snapshot);
  }
  /// Goes on from what the hub has published, not from an event of its own.
  void check_place(simulated_database& db, const position& published) const {
    if (!is_live_) return;
    ids had = shown_;
    for (const auto& [id, cursor] : delivered_) had.insert(id);
    EXPECT_EQ(read_to_end(db, seam_.not_before(published, *db.history()), topic_),
              without(committed(db, topic_), had));
  }

 private:
  void deliver(const live_tail::published& p) {
    const auto verdict = seam_.judge(p.e, *p.span);
    if (verdict == seam::verdict::drop) return;
    const bool is_own = verdict == seam::verdict::deliver_with_own_cursor;
    delivered_.emplace_back(p.e.id, is_own ? seam_.not_before(p.span->at(p.e.id), *p.span->history) : p.span->at(p.e.id));
  }

  topic_id topic_;
  std::optional<position> snapshot_;
  ids shown_;
  bool is_live_ = false;
  seam seam_;
  std::vector<const live_tail::published*> held_;
  std::vector<std::pair<std::uint64_t, position>> delivered_;
};

TEST(DeliveryModel, SnapshotAndLiveTail_GiveEveryCommittedRowOnce_AndSoDoesEveryCursor) {
  for (std::uint32_t seed = 0; seed < k_databases; ++seed) {
    simulated_database db(seed);
    live_tail tail(db);
    std::vector<simulated_channel> channels;
    const auto publish = [&] {
      const auto* p = tail.publish();
      if (p == nullptr) return false;
      for (auto& c : channels) c.on_event(*p);
      return true;
    };
    for (int i = 0; i < k_steps; ++i) {
      db.step();
      if (db.below(6) == 0) tail.read(db);
      if (db.below(20) == 0) {
        for (auto burst = db.below(16); burst > 0; --burst) publish();
      }
      if (i % 50 == 0) channels.emplace_back(any_topic(db));
      for (auto& c : channels) {
        if (db.below(16) == 0) c.step(db);
      }
      if (db.below(30) == 0) channels.back().check_place(db, tail.published_at());
    }
    for (auto& c : channels) c.step(db), c.step(db);
    db.end_all();
    for (int i = 0; i < 50; ++i) tail.read(db);
    while (publish()) continue;
    for (const auto& c : channels) c.check(db);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace pgcast
