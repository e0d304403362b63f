#include "protocol/presence.hpp"

#include "presence_client.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <random>
#include <set>

namespace pgcast {
namespace {

using namespace std::chrono_literals;
using change_ptr = std::shared_ptr<const presence_change>;

constexpr auto k_window = 50ms;
const auto k_start = presences::clock::time_point{} + 1h;

int next_ref = 0;

change_ptr come(std::string owner, std::string key, std::string members,
                std::string topic = "public:room") {
  presence_change c;
  c.what = presence_change::kind::track;
  c.topic = std::move(topic);
  c.key = std::move(key);
  c.owner = std::move(owner);
  c.ref = "r" + std::to_string(++next_ref);
  c.members = std::move(members);
  return std::make_shared<const presence_change>(std::move(c));
}

change_ptr go(std::string owner, std::string key, std::chrono::milliseconds hold = 0ms,
              std::string topic = "public:room") {
  presence_change c;
  c.topic = std::move(topic);
  c.key = std::move(key);
  c.owner = std::move(owner);
  c.hold = hold;
  return std::make_shared<const presence_change>(std::move(c));
}

/// One topic, its time, and two clients that hear all of it: a right one and one that forgets refs.
class Presence : public testing::Test {
 protected:
  void apply(const change_ptr& c) { present_.apply(c, now_); }

  /// Lets `time` pass; gives the diffs.
  std::vector<std::string> pass(std::chrono::milliseconds time) {
    const auto until = now_ + time;
    std::vector<std::string> out;
    while (present_.next() && *present_.next() <= until) {
      now_ = std::max(now_, *present_.next());
      for (const auto& news : present_.take(now_)) {
        for (const auto& diff : news.diffs) {
          out.push_back(diff);
          right_.take_diff(diff);
          forgetful_.take_diff(diff);
        }
      }
    }
    now_ = until;
    return out;
  }

  void expect_shown(const std::vector<std::string>& wanted) {
    EXPECT_EQ(right_.shown(), wanted);
    EXPECT_EQ(forgetful_.shown(), wanted);
  }

  presences present_{k_window};
  presences::clock::time_point now_ = k_start;
  presence_client right_{false};
  presence_client forgetful_{true};
};

TEST_F(Presence, State_OfNobody_IsAnEmptyObject) {
  EXPECT_EQ(*present_.state("public:room"), "{}");
  EXPECT_EQ(present_.next(), std::nullopt);
}

TEST_F(Presence, Track_IsAJoinInOneDiff) {
  apply(come("a", "ada", R"("n":1)"));
  const auto ref = "r" + std::to_string(next_ref);
  const auto diffs = pass(0ms);  // the topic was quiet
  ASSERT_EQ(diffs.size(), 1U);
  EXPECT_EQ(pass(1s).size(), 0U);
  EXPECT_EQ(diffs[0],
            R"({"joins":{"ada":{"metas":[{"phx_ref":")" + ref + R"(","n":1}]}},"leaves":{}})");
  EXPECT_EQ(*present_.state("public:room"),
            R"({"ada":{"metas":[{"phx_ref":")" + ref + R"(","n":1}]}})");
}

TEST_F(Presence, Track_WithoutMembers_IsAMetaWithItsRefOnly) {
  apply(come("a", "quote\"d", ""));
  const auto ref = "r" + std::to_string(next_ref);
  pass(k_window);
  EXPECT_EQ(*present_.state("public:room"),
            R"({"quote\"d":{"metas":[{"phx_ref":")" + ref + R"("}]}})");
}

TEST_F(Presence, State_HoldsOnlyWhatWasTold) {
  apply(come("a", "ada", ""));
  EXPECT_EQ(*present_.state("public:room"), "{}");
  pass(k_window);
  apply(go("a", "ada"));
  EXPECT_NE(*present_.state("public:room"), "{}");
  pass(k_window);
  EXPECT_EQ(*present_.state("public:room"), "{}");
}

TEST_F(Presence, Changes_OfOneWindow_AreOneDiff) {
  apply(come("z", "z", ""));
  EXPECT_EQ(pass(0ms).size(), 1U);
  apply(go("z", "z"));
  for (const auto* name : {"a", "b", "c"}) apply(come(name, name, R"("n":1)"));
  EXPECT_EQ(pass(1s).size(), 1U);
  apply(come("d", "d", ""));
  EXPECT_EQ(pass(0ms).size(), 1U);
  apply(go("a", "a"));
  apply(come("e", "e", ""));
  apply(go("b", "b"));
  const auto diffs = pass(1s);
  ASSERT_EQ(diffs.size(), 1U);
  expect_shown({R"(c {"n":1})", "d {}", "e {}"});
}

TEST_F(Presence, Update_LeavesWithTheOldRefAndJoinsWithTheNew) {
  apply(come("a", "ada", R"("n":1)"));
  pass(1s);
  const auto old = right_.refs().at(0);
  apply(come("a", "ada", R"("n":2)"));
  const auto diffs = pass(1s);
  ASSERT_EQ(diffs.size(), 2U);
  EXPECT_EQ(diffs[0],
            R"({"joins":{},"leaves":{"ada":{"metas":[{"phx_ref":")" + old + R"(","n":1}]}}})");
  EXPECT_EQ(diffs[1], R"({"joins":{"ada":{"metas":[{"phx_ref":"r)" + std::to_string(next_ref) +
                          R"(","phx_ref_prev":")" + old + R"(","n":2}]}},"leaves":{}})");
  expect_shown({R"(ada {"n":2})"});
}

TEST_F(Presence, ManyUpdatesOfAWindow_AreOne) {
  apply(come("a", "ada", R"("n":0)"));
  pass(1s);
  for (int i = 1; i <= 100; ++i) apply(come("a", "ada", "\"n\":" + std::to_string(i)));
  EXPECT_EQ(pass(1s).size(), 2U);
  EXPECT_EQ(right_.joined, 2);
  expect_shown({R"(ada {"n":100})"});
}

TEST_F(Presence, UpdateAndBack_IsSilent) {
  apply(come("a", "ada", R"("n":1)"));
  pass(1s);
  const auto ref = right_.refs();
  apply(come("a", "ada", R"("n":2)"));
  apply(come("a", "ada", R"("n":1)"));
  EXPECT_EQ(pass(1s).size(), 0U);
  apply(go("a", "ada"));
  pass(1s);
  expect_shown({});
}

TEST_F(Presence, JoinAndLeaveOfOneWindow_IsSilent) {
  apply(come("z", "z", ""));
  pass(0ms);
  const auto bytes = present_.bytes();
  apply(come("a", "ada", ""));
  apply(go("a", "ada"));
  EXPECT_EQ(pass(1s).size(), 0U);
  EXPECT_EQ(present_.bytes(), bytes);
}

TEST_F(Presence, LeaveAndJoinOfAnotherOwnerWithTheSame_IsSilent) {
  apply(come("a", "ada", R"("n":1)"));
  pass(1s);
  const auto refs = right_.refs();
  apply(go("a", "ada"));
  pass(k_window - 1ms);
  apply(come("b", "ada", R"("n":1)"));
  EXPECT_EQ(pass(1s).size(), 0U);
  EXPECT_EQ(right_.refs(), refs);
  apply(go("a", "ada"));  // it is not there any more
  EXPECT_EQ(pass(1s).size(), 0U);
  apply(go("b", "ada"));
  EXPECT_EQ(pass(1s).size(), 1U);
  expect_shown({});
}

TEST_F(Presence, LeaveAndLaterJoin_AreTold) {
  apply(come("a", "ada", ""));
  pass(1s);
  apply(go("a", "ada"));
  EXPECT_EQ(pass(k_window).size(), 1U);
  apply(come("b", "ada", ""));
  EXPECT_EQ(pass(k_window).size(), 1U);
}

TEST_F(Presence, Dropped_StaysForItsTime) {
  apply(come("a", "ada", ""));
  pass(1s);
  apply(go("a", "ada", 2s));
  EXPECT_EQ(pass(1'999ms).size(), 0U);
  EXPECT_EQ(pass(1ms).size(), 1U);
  expect_shown({});
}

TEST_F(Presence, DroppedAndBackWithOtherMembers_IsAnUpdate) {
  apply(come("a", "ada", R"("n":1)"));
  pass(1s);
  const auto old = right_.refs().at(0);
  apply(go("a", "ada", 2s));
  pass(1s);
  apply(come("b", "ada", R"("n":2)"));
  const auto diffs = pass(5s);
  ASSERT_EQ(diffs.size(), 2U);
  EXPECT_NE(diffs[1].find(R"("phx_ref_prev":")" + old), std::string::npos);
  expect_shown({R"(ada {"n":2})"});
}

TEST_F(Presence, DroppedBeforeItWasTold_IsNeverTold) {
  apply(come("a", "ada", ""));
  apply(go("a", "ada", 2s));
  EXPECT_EQ(pass(5s).size(), 0U);
  EXPECT_EQ(present_.bytes(), 0U);
}

TEST_F(Presence, SeveralMetasOfAKey_EndOneByOne) {
  apply(come("a", "ada", R"("tab":1)"));
  pass(1s);
  apply(come("b", "ada", R"("tab":2)"));
  auto diffs = pass(1s);
  ASSERT_EQ(diffs.size(), 1U) << "nobody has left";
  EXPECT_EQ(right_.left, 0);
  expect_shown({R"(ada {"tab":1})", R"(ada {"tab":2})"});
  apply(go("a", "ada"));
  pass(1s);
  expect_shown({R"(ada {"tab":2})"});
  apply(come("b", "ada", R"("tab":3)"));
  pass(1s);
  expect_shown({R"(ada {"tab":3})"});
  apply(go("b", "ada"));
  pass(1s);
  expect_shown({});
}

TEST_F(Presence, EqualMetasOfAKey_AreCountedEach) {
  apply(come("a", "ada", R"("n":1)"));
  apply(come("b", "ada", R"("n":1)"));
  pass(1s);
  expect_shown({R"(ada {"n":1})", R"(ada {"n":1})"});
  apply(go("b", "ada"));
  pass(1s);
  expect_shown({R"(ada {"n":1})"});
}

TEST_F(Presence, SeveralDroppedOfAKey_WhoComesBackTakesItsEqual) {
  apply(come("a", "ada", R"("tab":1)"));
  apply(come("b", "ada", R"("tab":2)"));
  pass(1s);
  apply(go("a", "ada", 2s));
  apply(go("b", "ada", 2s));
  apply(come("c", "ada", R"("tab":2)"));
  EXPECT_EQ(pass(1s).size(), 0U);
  pass(5s);
  expect_shown({R"(ada {"tab":2})"});
}

TEST_F(Presence, Topics_AreApart) {
  apply(come("a", "ada", "", "public:room"));
  apply(come("b", "ada", "", "private:room"));
  const auto news = [&] {
    now_ += k_window;
    return present_.take(now_);
  }();
  EXPECT_EQ(news.size(), 2U);
  apply(go("a", "ada", 0ms, "public:room"));
  now_ += 1s;
  ASSERT_EQ(present_.take(now_).size(), 1U);
  EXPECT_EQ(*present_.state("public:room"), "{}");
  EXPECT_NE(*present_.state("private:room"), "{}");
}

TEST_F(Presence, LargeDiff_IsFollowedByALongerPause) {
  for (int i = 0; i < 64; ++i) {
    apply(come("o" + std::to_string(i), "k" + std::to_string(i),
               "\"text\":\"" + std::string(16'384, 'x') + '"'));
  }
  ASSERT_EQ(pass(k_window).size(), 1U);  // a mebibyte
  apply(come("a", "ada", ""));
  EXPECT_EQ(pass(900ms).size(), 0U);
  EXPECT_EQ(pass(150ms).size(), 1U);
}

TEST_F(Presence, Bytes_CountWhatIsThere) {
  const auto first = come("a", "ada", R"("n":1)");
  const auto other = come("b", "bob", R"("name":"bob")", "public:other");
  apply(first);
  apply(other);
  EXPECT_EQ(present_.bytes(), first->cost() + other->cost());
  EXPECT_EQ(present_.bytes("public:room"), first->cost());
  const auto longer = come("a", "ada", R"("n":1,"text":"longer")");
  apply(longer);
  EXPECT_EQ(present_.bytes("public:room"), longer->cost());
  apply(go("a", "ada"));
  apply(go("b", "bob", 2s, "public:other"));
  pass(5s);
  EXPECT_EQ(present_.bytes(), 0U);
  EXPECT_EQ(present_.next(), std::nullopt);
}

// ---- the model: random changes, two copies that get them in different orders, clients that come
// at random moments; the truth is a map from owner to what it said last

struct said {
  std::string key;
  std::string members;
};

class copy_with_clients {
 public:
  void apply(const change_ptr& c, presences::clock::time_point now) { present_.apply(c, now); }

  void take(presences::clock::time_point now) {
    for (const auto& news : present_.take(now)) {
      for (auto& c : clients_) {
        for (const auto& diff : news.diffs) {
          if (!c.is_deaf) c.list.take_diff(diff);
        }
      }
    }
  }

  void expect_alike() {
    presence_client fresh(false);
    fresh.take_state(*present_.state("public:room"));
    const auto refs = fresh.refs();
    ASSERT_EQ(std::set<std::string>(refs.begin(), refs.end()).size(), refs.size());
    for (const auto& c : clients_) {
      if (c.is_deaf) continue;
      ASSERT_EQ(c.list.shown(), fresh.shown());
    }
  }

  void add_client(bool forgets_refs) {
    clients_.push_back({presence_client(forgets_refs), forgets_refs, false});
    clients_.back().list.take_state(*present_.state("public:room"));
  }

  /// A right client misses diffs from now on, or is given the state after that.
  void toggle_client(std::size_t i) {
    auto& c = clients_[i];
    if (c.forgets_refs) return;
    if (c.is_deaf) c.list.take_state(*present_.state("public:room"));
    c.is_deaf = !c.is_deaf;
  }

  struct client {
    presence_client list;
    bool forgets_refs;
    bool is_deaf;
  };
  presences present_{k_window};
  std::deque<client> clients_;
};

TEST(PresenceModel, RandomChanges_EveryClientEndsWithTheTruth) {
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    std::minstd_rand random(seed);
    const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    std::array<copy_with_clients, 2> copies;
    std::array<std::deque<change_ptr>, 2> from_threads;  // each owner's thread: in order
    std::array<std::array<std::size_t, 2>, 2> taken{};   // [copy][thread]
    std::map<std::string, said> truth;
    auto now = k_start;
    for (int step = 0; step < 300; ++step) {
      const auto name = std::to_string(below(8));
      const unsigned thread = static_cast<unsigned>(name[0] - '0') % 2;
      const auto known = truth.find(name);
      if (known != truth.end() && below(3) == 0) {
        from_threads[thread].push_back(
            go(name, known->second.key, std::chrono::milliseconds(below(3) * 60)));
        truth.erase(known);
      } else {
        const auto key = known != truth.end() ? known->second.key : "k" + std::to_string(below(3));
        const auto members = "\"n\":" + std::to_string(below(3));
        from_threads[thread].push_back(come(name, key, members));
        truth[name] = {key, members};
      }
      const bool is_last = step == 299;
      for (unsigned c = 0; c < 2; ++c) {
        for (unsigned t = 0; t < 2; ++t) {
          auto& at = taken[c][t];
          while (at < from_threads[t].size() && (is_last || below(3) > 0)) {
            copies[c].apply(from_threads[t][at++], now);
          }
        }
        if (below(10) == 0) copies[c].add_client(below(2) == 0);
        const auto clients = static_cast<unsigned>(copies[c].clients_.size());
        if (clients > 0 && below(5) == 0) copies[c].toggle_client(below(clients));
        copies[c].take(now);
        if (step % 5 == 0) copies[c].expect_alike();
        ASSERT_FALSE(testing::Test::HasFatalFailure());
      }
      now += std::chrono::milliseconds(below(40));
    }
    for (int i = 0; i < 20; ++i) {
      now += 50ms;
      for (auto& c : copies) c.take(now);
    }
    std::vector<std::string> wanted;
    for (const auto& [owner, s] : truth) wanted.push_back(s.key + " {" + s.members + "}");
    std::sort(wanted.begin(), wanted.end());
    std::size_t bytes = 0;
    for (const auto& [owner, s] : truth)
      bytes += s.key.size() + s.members.size() + presence_change::k_overhead_bytes;
    for (auto& c : copies) {
      for (std::size_t i = 0; i < c.clients_.size(); ++i) {
        if (c.clients_[i].is_deaf) c.toggle_client(i);
        ASSERT_EQ(c.clients_[i].list.shown(), wanted);
      }
      EXPECT_EQ(c.present_.bytes(), bytes);
      EXPECT_EQ(c.present_.next(), std::nullopt);
    }
  }
}

}  // namespace
}  // namespace pgcast
