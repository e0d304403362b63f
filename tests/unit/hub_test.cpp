// The hub and what decides for its subscribers against a naive implementation: whatever the
// database, the network and the clients do, every client gets what is committed in its topic and
// visible to it, once and in order, and can go on from every place that it was ever given.

#include "daemon/hub.hpp"
#include "tests/unit/simulated_client.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
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

// ---- single promises

class listening : public subscriber {
 public:
  void on_event(delivery& d) override { events.push_back(d.changed().id); }
  void on_broadcast(const shared_frame&) override { ++broadcasts; }
  void on_presence(std::span<const shared_frame> frames) override {
    presence.assign(frames.begin(), frames.end());
  }
  void on_number_moved(const event&, const batch_span&) override { ++moves; }

  std::vector<std::uint64_t> events;
  std::vector<shared_frame> presence;
  int broadcasts = 0;
  int moves = 0;
};

/// Keeps what it is told, byte for byte.
class reading : public listening {
 public:
  void on_event(delivery& d) override { frames.push_back(d.frame()); }

  std::vector<shared_frame> frames;
};

class Hub : public testing::Test {
 protected:
  subscription join(const std::string& name, subscriber& who,
                    wire_version version = wire_version::v2,
                    audience::part role = audience::part::member) {
    const auto t = parse_topic(name);
    return topics_.subscribe(topic_key(t->kind, t->key), t->kind,
                             {everyone_, version, "realtime:" + name, role}, who);
  }
  void publish(std::vector<event> events, position start = {}, const visibility_map& seen = {}) {
    auto chunk = std::make_shared<event_chunk>();
    chunk->batch = std::make_shared<batch_span>(
        batch_span{std::make_shared<source_history>(), std::move(start)});
    chunk->events = std::move(events);
    topics_.publish(chunk, seen);
  }
  void publish_chat(std::uint64_t id, const std::string& topic_of) {
    std::vector<event> events(1);
    events[0].id = id;
    events[0].table = "chat_history";
    events[0].record = "{}";
    events[0].routes = {{topic_of, false, true}};
    publish(std::move(events));
  }

  hub topics_{recruiting_description()};
  std::shared_ptr<viewer_class> everyone_ = std::make_shared<viewer_class>("", "");
};

TEST_F(Hub, Subscription_ThatEnds_TakesNobodyElseAway) {
  std::array<listening, 4> clients;
  std::array<subscription, 4> places;
  for (std::size_t i = 0; i < 4; ++i) places[i] = join("session:a", clients[i]);
  places[1].reset();
  publish_chat(1, "session:a");
  places[3].reset();  // was moved into the gap
  publish_chat(2, "session:a");
  EXPECT_EQ(clients[0].events, (std::vector<std::uint64_t>{1, 2}));
  EXPECT_TRUE(clients[1].events.empty());
  EXPECT_EQ(clients[2].events, (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(clients[3].events, (std::vector<std::uint64_t>{1}));
}

/// Two users of one role and one of another, each a class, all of one topic and of the same
/// changes.
class HubOfClasses : public Hub {
 protected:
  HubOfClasses() {
    auto shapes = std::make_shared<table_shapes>();
    table_shape chat;
    chat.schema = "public";
    chat.name = "chat_history";
    chat.is_relayed = true;
    for (const auto* name : {"id", "secret"}) {
      shape_column c;
      c.of.name = name;
      c.of.type = c.type_name = "text";
      c.is_selectable = true;
      chat.columns.push_back(std::move(c));
    }
    shapes->tables.push_back(chat);
    all_columns_ = shapes;
    auto fewer = std::make_shared<table_shapes>(*shapes);
    fewer->tables[0].columns[1].is_selectable = false;
    without_secret_ = std::move(fewer);
  }

  subscription join_changes(std::size_t number) {
    auto bindings = parse_bindings({R"({"event":"*","schema":"public","table":"chat_history"})"});
    auto spec = std::make_shared<change_spec>(*std::move(bindings));
    const auto& viewer = classes_[number];
    spec->use(viewer->role() == "other" ? without_secret_ : all_columns_);
    const auto keys = spec->keys();
    return topics_.subscribe_changes(
        keys.front(),
        {viewer, wire_version::v2, "realtime:rows", audience::part::member, std::move(spec)},
        users_[number]);
  }
  subscription join_topic(std::size_t number) {
    return topics_.subscribe("session:a", topic_kind::session,
                             {classes_[number], wire_version::v2, "realtime:session:a"},
                             users_[number]);
  }
  /// An UPDATE of which the classes see the sides given.
  void publish_update(const std::array<visibility, 3>& seen) {
    std::vector<event> events(1);
    events[0].id = 1;
    events[0].op = operation::update;
    events[0].schema = "public";
    events[0].table = "chat_history";
    for (auto* record : {&events[0].record, &events[0].old_record}) record->reserve(256);
    events[0].record = R"({"id": "new", "secret": "s"})";
    events[0].old_record = R"({"id": "old"})";
    events[0].routes = {{"session:a", true, true}};
    visibility_map visible;
    for (std::size_t i = 0; i < seen.size(); ++i) visible.at(events[0], *classes_[i]) = seen[i];
    publish(std::move(events), {}, visible);  // moving keeps the address
  }
  const std::string& bytes_of(std::size_t number) const {
    return users_[number].frames.at(0)->bytes;
  }

  std::shared_ptr<const table_shapes> all_columns_;
  std::shared_ptr<const table_shapes> without_secret_;
  std::array<std::shared_ptr<viewer_class>, 3> classes_{
      std::make_shared<viewer_class>("role", "1"), std::make_shared<viewer_class>("role", "2"),
      std::make_shared<viewer_class>("other", "3")};
  std::array<reading, 3> users_;
};

TEST_F(HubOfClasses, Row_ThatAllSee_IsOneFrame) {
  const std::array places{join_topic(0), join_topic(1), join_topic(2)};
  publish_update({visibility{true, true}, visibility{true, true}, visibility{true, true}});
  ASSERT_EQ(users_[0].frames.size(), 1U);
  EXPECT_EQ(users_[0].frames, users_[1].frames);
  EXPECT_EQ(users_[0].frames, users_[2].frames);
}

TEST_F(HubOfClasses, Row_OfWhichOneSeesOneSide_IsAnInsertOrADeleteToHim) {
  const std::array places{join_topic(0), join_topic(1), join_topic(2)};
  publish_update({visibility{true, true}, visibility{false, true}, visibility{true, false}});
  EXPECT_NE(bytes_of(0).find(R"("UPDATE")"), std::string::npos);
  EXPECT_NE(bytes_of(1).find(R"("INSERT")"), std::string::npos);
  EXPECT_EQ(bytes_of(1).find("old\""), std::string::npos);
  EXPECT_NE(bytes_of(2).find(R"("DELETE")"), std::string::npos);
  EXPECT_EQ(bytes_of(2).find("new\""), std::string::npos);
}

TEST_F(HubOfClasses, Change_ThatTwoOfARoleSee_IsOneFrameWithTheColumnsOfTheRole) {
  const std::array places{join_changes(0), join_changes(1), join_changes(2)};
  publish_update({visibility{true, true}, visibility{true, true}, visibility{true, true}});
  ASSERT_EQ(users_[0].frames.size(), 1U);
  EXPECT_EQ(users_[0].frames, users_[1].frames);
  EXPECT_NE(bytes_of(0).find("secret"), std::string::npos);
  EXPECT_EQ(bytes_of(2).find("secret"), std::string::npos);
}

TEST_F(HubOfClasses, Change_WhoseOldRowOneDoesNotSee_IsWithoutItForHim) {
  const std::array places{join_changes(0), join_changes(1), join_changes(2)};
  publish_update({visibility{true, true}, visibility{false, true}, visibility{true, false}});
  EXPECT_NE(bytes_of(0).find(R"("old")"), std::string::npos);
  EXPECT_EQ(bytes_of(1).find(R"("old")"), std::string::npos);
  EXPECT_TRUE(users_[2].frames.empty()) << "who does not see the new row hears nothing";
}

TEST_F(HubOfClasses, Form_WhoseFirstSubscriberLeaves_StaysForTheOthers) {
  auto first = join_changes(0);
  const auto second = join_changes(1);
  first.reset();
  publish_update({visibility{true, true}, visibility{true, true}, visibility{}});
  EXPECT_TRUE(users_[0].frames.empty());
  EXPECT_EQ(users_[1].frames.size(), 1U);
}

TEST_F(Hub, Broadcast_GoesToMembersOfTheTopicButItsSender) {
  listening sender, member, follower, elsewhere;
  const auto a = join("session:a", sender);
  const auto b = join("session:a", member, wire_version::v1);
  const auto c = join("session:a", follower, wire_version::v2, audience::part::follower);
  const auto d = join("session:b", elsewhere);
  client_broadcast said{"session:a", "typing", "{}"};
  said.sender = &sender;
  topics_.publish(said);
  EXPECT_EQ(sender.broadcasts, 0);
  EXPECT_EQ(member.broadcasts, 1);
  EXPECT_EQ(follower.broadcasts, 0);
  EXPECT_EQ(elsewhere.broadcasts, 0);
}

TEST_F(Hub, BinaryBroadcast_GoesOnlyToWhomCanReadIt) {
  listening old, young;
  const auto a = join("session:a", old, wire_version::v1);
  const auto b = join("session:a", young, wire_version::v2);
  topics_.publish(client_broadcast{"session:a", "typing", "x", payload_encoding::binary});
  EXPECT_EQ(old.broadcasts, 0);
  EXPECT_EQ(young.broadcasts, 1);
}

TEST_F(Hub, Presence_IsEncodedOnceForAllThatReadItAlike) {
  listening one, other, old, follower, elsewhere;
  const auto a = join("session:a", one);
  const auto b = join("session:a", other);
  const auto c = join("session:a", old, wire_version::v1);
  const auto d = join("session:a", follower, wire_version::v2, audience::part::follower);
  const auto e = join("session:b", elsewhere);
  topics_.publish(presence_news{"session:a", {"{}", R"({"joins":{}})"}});
  ASSERT_EQ(one.presence.size(), 2U);
  EXPECT_EQ(one.presence, other.presence);
  EXPECT_EQ(one.presence[1]->bytes.substr(2),
            R"([null,null,"realtime:session:a","presence_diff",{"joins":{}}])");
  ASSERT_EQ(old.presence.size(), 2U);
  EXPECT_NE(old.presence[0]->bytes, one.presence[0]->bytes);
  EXPECT_TRUE(follower.presence.empty());
  EXPECT_TRUE(elsewhere.presence.empty());
}

TEST_F(Hub, NumberThatMoves_IsSaidToItsTopicAndCarriesNoRow) {
  listening caller, other;
  const auto a = join("phone:+1", caller);
  const auto b = join("phone:+2", other);
  publish_chat(1, "phone:+1");
  EXPECT_EQ(caller.moves, 1);
  EXPECT_TRUE(caller.events.empty());
  EXPECT_EQ(other.moves, 0);
}

TEST_F(Hub, Published_IsTheLastEvent_OrWhereAnEmptyChunkSaysTheStreamStands) {
  EXPECT_EQ(topics_.published().start.incarnation, 0U) << "nothing yet";
  publish({}, position::at(3, std::make_shared<pg_snapshot>()));
  EXPECT_EQ(topics_.published().start.incarnation, 3U);
  publish_chat(7, "session:a");
  EXPECT_EQ(topics_.published().start.id, 7U);
}

}  // namespace
}  // namespace pgcast
