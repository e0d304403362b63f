#pragma once

#include "tests/unit/simulated_feed.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgcast {

/// A client that watches a few topics through connections that come and go, remembers what it was
/// given, and compares with what the database has committed.
class simulated_client {
 public:
  simulated_client(simulated_shard& s, unsigned number) : shard_(s), db_(s.db) {
    version_ = db_.below(2) == 0 ? wire_version::v1 : wire_version::v2;
    limit_ = 800 + db_.below(6'000);
    for (unsigned i = 0; i < 3; ++i) {
      simulated_tables::watched topic{topic_kind::session,
                                      (number + i) % simulated_tables::k_sessions};
      if ((number + i) % 2 == 0) topic = {topic_kind::campaign, i};
      view v;
      v.topic = topic;
      v.viewer = static_cast<unsigned>(db_.below(simulated_tables::k_viewers));
      v.wire_topic = "realtime:" + topic.name();
      v.role = db_.below(4) == 0 ? audience::part::follower : audience::part::member;
      v.is_wanted = true;
      views_.push_back(std::move(v));
    }
  }

  bool is_connected() const { return connection_ != nullptr; }
  bool is_idle() const {
    return is_connected() && connection_->is_idle() &&
           std::none_of(views_.begin(), views_.end(),
                        [](const auto& v) { return v.feed && v.feed->is_busy(); });
  }

  /// Something happens to it.
  void step() {
    const auto chance = db_.below(1'000);
    if (!is_connected()) {
      if (chance < 100) connect();
      return;
    }
    if (connection_->is_parked() && db_.below(8) == 0) {
      auto& v = any_view();
      v.feed ? leave(v) : join(v);
    } else if (chance < 10) {
      is_stalled_ = !is_stalled_;
    } else if (chance < 250) {
      if (!is_stalled_) connection_->flush(db_.below(4'000));
    } else if (chance < 450) {
      if (!is_stalled_) receive(db_.below(4'000));
    } else if (chance < 850) {
      auto& v = any_view();
      if (v.feed) v.feed->advance();
    } else if (chance < 900) {
      connection_->park_if_full();
    } else if (chance < 940) {
      mark();
    } else if (chance < 965) {
      auto& v = any_view();
      v.feed ? leave(v) : join(v);
    } else if (chance < 995) {
      renew(any_view());
    } else {
      drop();
    }
  }

  /// Until nothing waits for it. Connects if it has to.
  void settle() {
    is_stalled_ = false;
    if (!is_connected()) connect();
    for (int i = 0; i < 10'000 && !is_idle(); ++i) {
      connection_->flush(100'000);
      receive(100'000);
      for (auto& v : views_) {
        if (v.feed) v.feed->advance();
      }
    }
    EXPECT_TRUE(is_idle()) << "a client does not come to rest";
  }

  /// While nothing is under way: it has exactly what is committed, and so says its place.
  void check() {
    for (auto& v : views_) {
      if (!v.feed) continue;
      EXPECT_TRUE(v.is_confirmed);
      std::set<std::uint64_t> expected;
      for (const auto& r : db_.committed()) {
        if (is_for(v, r)) expected.insert(r.id);
      }
      EXPECT_EQ(v.got.had, expected) << v.wire_topic << " of viewer " << v.viewer;
    }
    mark();
    settle();
  }

 private:
  /// What the application has of one topic.
  struct memory {
    std::set<std::uint64_t> had;
    std::map<unsigned, std::uint64_t> last_of_session;
    std::string cursor;  ///< "" = none yet
  };
  struct view {
    simulated_tables::watched topic;
    unsigned viewer = 0;
    std::string wire_topic;
    audience::part role = audience::part::member;
    bool is_wanted = false;
    bool is_confirmed = false;  ///< the answer to its last join has come
    unsigned join = 0;
    memory got;
    std::optional<std::pair<position, memory>> acknowledged;
    std::unique_ptr<simulated_feed> feed;
  };
  struct message {
    std::string_view topic, event, json;
  };

  view& any_view() { return views_[db_.below(views_.size())]; }
  bool is_for(const view& v, const simulated_database::row& r) const {
    return !simulated_tables::seen_as(v.topic, v.viewer, db_.of(r.id)).empty();
  }

  // ---- its connection

  void connect() {
    connection_ = std::make_unique<simulated_connection>(shard_, limit_);
    for (auto& v : views_) {
      if (v.is_wanted) join(v);
    }
  }
  /// A part of what the socket held has arrived.
  void drop() {
    ++shard_.paths["connection dropped"];
    receive(db_.below(connection_->bytes_in_socket() + 1));
    for (auto& v : views_) v.feed.reset();
    connection_.reset();
    received_.clear();
    is_stalled_ = false;
  }
  void leave(view& v) {
    ++shard_.paths["left"];
    v.feed.reset();
    v.is_wanted = v.is_confirmed = false;
  }

  void join(view& v) {
    v.is_wanted = true;
    v.is_confirmed = false;
    v.feed = std::make_unique<simulated_feed>(
        shard_, *connection_,
        simulated_feed::identity{v.topic, v.viewer, version_, v.wire_topic, ++v.join, v.role});
    std::optional<position> from;
    if (v.acknowledged && db_.below(2) == 0) {
      from = std::move(v.acknowledged->first);
      v.got = std::move(v.acknowledged->second);
      ++shard_.paths["resumed by place"];
    } else if (!v.got.cursor.empty() && db_.below(10) != 0) {
      from = place_of(v.got.cursor);
      ++shard_.paths["resumed by cursor"];
    } else {
      v.got = {};
    }
    v.acknowledged.reset();  // given out once
    if (db_.below(3) == 0) renew(v);  // at once, while the join still asks
    if (from || !shard_.has_published() || shard_.is_deciding() || db_.below(3) != 0) {
      return v.feed->join(std::move(from));
    }
    ++shard_.paths["live at once"];
    const auto place = shard_.topics.published().start.in(*db_.history());
    for (const auto& r : db_.committed()) {
      if (is_for(v, r) && place.covers(r.xid, r.id)) v.got.had.insert(r.id);
    }
    v.feed->join_live();
  }

  void renew(view& v) {
    if (!v.feed || v.viewer % 2 == 0) return;
    v.viewer = 4 - v.viewer;
    v.feed->renew(v.viewer);
  }

  /// Asks for a sign that everything until now has arrived.
  void mark() {
    ++marks_;
    for (auto& v : views_) {
      if (v.feed) v.feed->mark(marks_);
    }
    connection_->send(
        std::make_shared<const outbound_frame>(make_frame(opcode::ping, std::to_string(marks_))),
        0);
  }

  // ---- what it receives

  void receive(std::size_t bytes) {
    received_ += connection_->receive(bytes);
    std::string_view rest = received_;
    for (;;) {
      if (rest.size() < 2) break;
      const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(rest[i]); };
      const std::size_t head = byte(1) == 126 ? 4 : 2;
      ASSERT_LT(byte(1), 127) << "no row is so large";
      if (rest.size() < head) break;
      const std::size_t size = head == 4 ? std::size_t{byte(2)} << 8 | byte(3) : byte(1);
      if (rest.size() < head + size) break;
      on_frame(byte(0) & 0x0f, rest.substr(head, size));
      rest.remove_prefix(head + size);
    }
    received_.erase(0, received_.size() - rest.size());
  }

  void on_frame(unsigned op, std::string_view payload) {
    if (op == static_cast<unsigned>(opcode::ping)) {
      return on_ping(static_cast<unsigned>(std::stoul(std::string{payload})));
    }
    const auto m = parse(payload);
    const auto found = std::find_if(views_.begin(), views_.end(),
                                    [&](const auto& v) { return v.wire_topic == m.topic; });
    ASSERT_NE(found, views_.end()) << "a message of another topic: " << payload;
    auto& v = *found;
    if (m.event == "joined") {
      if (v.feed && m.json == std::to_string(v.join)) v.is_confirmed = true;
    } else if (!v.is_confirmed) {
      ++shard_.paths["row of a channel that was left"];
    } else if (m.event == "snapshot") {
      on_snapshot(v, m.json);
    } else {
      on_row(v, m);
    }
  }

  /// v1 {"ref":null,"topic":T,"event":"broadcast","payload":{"type":..,"event":E,"payload":P}}, or
  /// v2's kind 4.
  message parse(std::string_view text) const {
    if (version_ == wire_version::v1) {
      const auto topic = between(text, R"("topic":")", R"(")");
      text.remove_prefix(text.find(R"("type":"broadcast")"));
      const auto event = between(text, R"("event":")", R"(")");
      text.remove_prefix(text.find(R"("payload":)") + 10);
      return {topic, event, text.substr(0, text.size() - 2)};
    }
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const std::size_t topic = byte(1);
    const std::size_t event = byte(2);
    return {text.substr(5, topic), text.substr(5 + topic, event),
            text.substr(5 + topic + event + byte(3))};
  }
  static std::string_view between(std::string_view text, std::string_view a, std::string_view b) {
    text.remove_prefix(std::min(text.size(), text.find(a) + a.size()));
    return text.substr(0, text.find(b));
  }

  void on_snapshot(view& v, std::string_view json) {
    v.got = {};
    v.got.cursor = between(json, R"("cursor":")", R"(")");
    const auto count = std::stoul(std::string{between(json, R"("committed":)", "}")});
    for (std::size_t i = 0; i < count; ++i) {
      if (is_for(v, db_.committed()[i])) v.got.had.insert(db_.committed()[i].id);
    }
    check_place(v, place_of(v.got.cursor), v.got);
  }

  void on_row(view& v, const message& m) {
    ++shard_.paths["row received"];
    const auto id = std::stoull(std::string{between(m.json, R"("id":")", R"(")")});
    const auto operation_name = between(m.json, R"("operation":")", R"(")");
    const auto& c = db_.of(id);
    EXPECT_EQ(operation_name, simulated_tables::seen_as(v.topic, v.viewer, c))
        << "event " << id << " for viewer " << v.viewer << " of " << v.wire_topic;
    EXPECT_EQ(m.event, simulated_tables::name_of(c.of));
    EXPECT_TRUE(v.got.had.insert(id).second) << "twice: " << id << " in " << v.wire_topic;
    if (c.op == operation::update && operation_name != "UPDATE") ++shard_.paths["one side seen"];
    if (c.op == operation::truncate) ++shard_.paths["truncate received"];
    for (unsigned s = 0; s < simulated_tables::k_sessions; ++s) {
      const bool is_changed = c.op == operation::truncate || (c.before && c.before->session == s) ||
                              (c.after && c.after->session == s);
      if (!is_changed) continue;
      EXPECT_LT(v.got.last_of_session[s], id) << "changes of one session out of order";
      v.got.last_of_session[s] = id;
    }
    v.got.cursor = between(m.json, R"("cursor":")", R"(")");
    if (db_.below(16) == 0) check_place(v, place_of(v.got.cursor), v.got);
  }

  void on_ping(unsigned number) {
    for (auto& v : views_) {
      if (!v.feed) continue;
      auto place = v.feed->acknowledge(number);
      if (!place || !v.is_confirmed) continue;
      ++shard_.paths["place acknowledged"];
      check_place(v, *place, v.got);
      v.acknowledged = {*std::move(place), v.got};
    }
  }

  // ---- places

  position place_of(const std::string& cursor) const {
    auto place = decode_cursor(cursor, *db_.history());
    EXPECT_TRUE(place) << cursor;
    return place ? *std::move(place) : position{};
  }
  /// What comes after a place is what it has not had.
  void check_place(const view& v, const position& place, const memory& got) {
    ++shard_.paths["place checked"];
    const auto now = place.in(*db_.history());
    for (const auto& r : db_.committed()) {
      if (!is_for(v, r) || now.covers(r.xid, r.id) == got.had.contains(r.id)) continue;
      ADD_FAILURE() << "a place of " << v.wire_topic << " would "
                    << (got.had.contains(r.id) ? "repeat " : "lose ") << r.id;
      return;
    }
  }

  simulated_shard& shard_;
  simulated_tables& db_;
  wire_version version_;
  std::size_t limit_;
  bool is_stalled_ = false;
  unsigned marks_ = 0;
  std::string received_;
  std::unique_ptr<simulated_connection> connection_;
  std::vector<view> views_;  ///< their feeds go before the connection
};

}  // namespace pgcast
