// The hub and what decides for its subscribers against a naive implementation: whatever the
// database, the network and the clients do, every client gets what is committed in its topic and
// visible to it, once and in order, and can go on from every place that it was ever given.

#include "daemon/hub.hpp"
#include "tests/unit/simulated_client.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <vector>

namespace pgcast {
namespace {

constexpr std::uint32_t k_worlds = 500;
constexpr int k_steps = 3'000;  // of each
constexpr int k_steps_between_rests = 750;

class world {
 public:
  world(std::uint32_t seed, tally& paths) : db_(seed), shard_(db_, paths) {
    db_.has_bulk = seed % 8 == 0;
    reading_ = 2 + db_.below(8);
    publishing_ = 4 + db_.below(20);
    const auto count = 1 + db_.below(8);
    for (unsigned i = 0; i < count; ++i) {
      clients_.push_back(std::make_unique<simulated_client>(shard_, i));
    }
  }

  void step() {
    ++shard_.paths["step"];
    const auto chance = db_.below(100);
    if (chance < 35) {
      db_.step();
    } else if (chance < 35 + reading_) {
      shard_.read(db_.below(4) == 0 ? 512 : 1 + db_.below(4), simulated_shard::fate::perhaps_lost);
    } else if (chance < 35 + reading_ + publishing_) {
      shard_.step();
    } else {
      clients_[db_.below(clients_.size())]->step();
    }
  }

  /// Nothing more happens until everything has arrived; then it is compared.
  void rest() {
    for (int i = 0; i < 3; ++i) {
      shard_.read(512, simulated_shard::fate::complete);
      while (!shard_.is_idle()) shard_.step();
    }
    for (auto& c : clients_) c->settle();
    for (auto& c : clients_) c->check();
  }
  void end_all() { db_.end_all(); }

 private:
  simulated_tables db_;
  simulated_shard shard_;
  std::size_t reading_ = 0;  ///< how often, in percent of the steps
  std::size_t publishing_ = 0;
  std::vector<std::unique_ptr<simulated_client>> clients_;
};

/// What a run must have met, and how often at least.
const tally k_wanted{{"step", 1'000'000},
                     {"event published", 50'000},
                     {"row received", 50'000},
                     {"batch lost", 1'000},
                     {"connection dropped", 1'000},
                     {"left", 1'000},
                     {"snapshot", 2'000},
                     {"started afresh", 50},
                     {"live at once", 500},
                     {"resumed by cursor", 1'000},
                     {"resumed by place", 1'000},
                     {"place checked", 20'000},
                     {"page read", 5'000},
                     {"held event released", 1'000},
                     {"too much held while joining", 50},
                     {"too much held while reading", 200},
                     {"held events forgotten for want of room", 500},
                     {"dropped at the seam", 500},
                     {"own cursor", 200},
                     {"client parked", 200},
                     {"parked, rows wait", 300},
                     {"parked, none wait", 50},
                     {"parked while it reads", 20},
                     {"parked instead of live", 5},
                     {"row dropped from a queue", 1'000},
                     {"unparked", 300},
                     {"token renewed", 1'000},
                     {"one side seen", 5'000},
                     {"truncate received", 500},
                     {"row of a channel that was left", 500}};

TEST(HubModel, Clients_ThatComeGoAndRead_HaveWhatIsCommittedOnceAndInOrder) {
  tally paths;
  for (std::uint32_t seed = 0; seed < k_worlds; ++seed) {
    world w(seed, paths);
    for (int i = 1; i <= k_steps; ++i) {
      w.step();
      if (i % k_steps_between_rests == 0) w.rest();
      ASSERT_FALSE(HasFailure()) << "seed " << seed << ", step " << i;
    }
    w.end_all();
    w.rest();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
  for (const auto& [path, count] : paths) std::cout << "  " << count << " x " << path << "\n";
  for (const auto& [path, least] : k_wanted) EXPECT_GE(paths[path], least) << path;
}

}  // namespace
}  // namespace pgcast
