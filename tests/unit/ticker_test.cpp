// A ticker against the tables that it counts: whatever transactions, batches, answers and crashes
// do, its numbers are those of the tables when all has arrived.

#include "protocol/ticker.hpp"

#include "protocol/codec.hpp"
#include "protocol/sql_time.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <random>

namespace pgcast {
namespace {

using text = std::optional<std::string>;
/// Column -> JSON token.
using row = std::map<std::string, std::string>;

std::string json_of(const row& r) {
  std::string out = "{";
  for (const auto& [column, value] : r) {
    out.append(out.size() > 1 ? ", " : "").append(json_quote(column) + ": " + value);
  }
  return out + "}";
}

std::string column(const row& r, const std::string& name) {
  const auto found = r.find(name);
  return found == r.end() ? "null" : found->second;
}

/// The tables, transactions over them, and what a reader and a ticker get to see.
class simulation {
 public:
  explicit simulation(std::uint32_t seed) : random_(seed) {}

  void step() {
    const auto chance = below(100);
    if (chance < 25) {
      open_.push_back(next_xid_++);
    } else if (chance < 55) {
      commit();
    } else if (chance < 75) {
      read_batch();
    } else if (chance < 90) {
      publish();
    } else if (!answer_) {
      ask();
    } else if (below(8) == 0) {
      ticker_.give_up();
      answer_.reset();
    } else {
      take_answer();
    }
  }

  /// Nothing more happens; the numbers of the ticker and those of the tables.
  std::pair<std::string, std::string> rest() {
    while (!open_.empty()) commit();
    read_batch();
    while (!batches_.empty()) publish();
    if (answer_) take_answer();
    while (ticker_.has_question()) ask(), take_answer();
    return {ticker_.numbers(), truth()};
  }

 private:
  struct change {
    std::string table, op;
    row before, after;
  };
  struct committed {
    std::uint64_t id, xid;
    change what;
    std::uint32_t incarnation;
  };
  struct answers {
    position at;
    std::vector<ticker::answer> found;
  };

  std::size_t below(std::size_t n) { return random_() % n; }
  template <class List>
  auto one_of(const List& from) {
    return *(std::begin(from) + static_cast<std::ptrdiff_t>(below(std::size(from))));
  }

  // ---- writers

  std::string any_session() {
    static const std::vector<std::string> k_ids{"null",   R"("a")", R"("b")",
                                                R"("c")", R"("d")", R"("é \"e")"};
    return one_of(k_ids);
  }
  std::string any_time() {
    if (below(4) == 0) return "null";
    return '"' + timestamp_text(1'700'000'000'000'000 + static_cast<std::int64_t>(below(40))) + '"';
  }
  row any_row(const std::string& table, const std::string& key) {
    row r{{"id", key}, {"session_id", any_session()}};
    if (table == "chat_history") {
      r["message"] = one_of(std::vector<std::string>{
          R"({"sender": "user", "text": "type"})", R"({"type": "human"})",
          R"({"sender": "agent", "type": "human"})", R"({"sender": null, "type": "ai"})",
          R"({"type": "assistant", "data": {"sender": "user"}})", R"({"sender": 5, "type": "ai"})",
          R"(["user"])", R"("user")", "null"});
    } else if (table == "call_info") {
      r["called_at"] = any_time();
      r["duration"] = one_of(std::vector<std::string>{
          "null", R"("00:01:30.25")", R"("-00:00:00.000001")", R"("1 year 2 mons 3 days")"});
    } else if (table == "session_objective_events") {
      r["occurred_at"] = any_time();
    }
    return r;
  }
  row any_session_row(const std::string& key) {
    row r{{"session_id", key}};
    r["campaign"] = one_of(std::vector<std::string>{R"("x")", R"("x")", R"("y")", "null"});
    r["session_status"] = one_of(std::vector<std::string>{R"("active")", R"("done")", "null"});
    r["objectives"] = one_of(std::vector<std::string>{
        R"({"p": true, "q": {"value": true}, "r": "true"})", R"({"q": {"met": true}, "p": 1})",
        R"({"r": {"value": false, "met": true}, "": true})", "[true]", "true", "null"});
    for (const auto* name : {"last_user_msg_at", "last_outbound_at", "agent_updated"}) {
      r[name] = any_time();
    }
    return r;
  }

  void commit() {
    if (open_.empty()) return;
    const auto at = open_.begin() + static_cast<std::ptrdiff_t>(below(open_.size()));
    const auto xid = *at;
    open_.erase(at);
    for (auto n = below(4); n > 0; --n) write(xid);
    if (below(300) == 0) {  // all others are lost with it
      open_.clear();
      ++incarnation_;
    }
  }
  void write(std::uint64_t xid) {
    static const std::vector<std::string> k_tables{"session_info", "chat_history", "call_info",
                                                   "session_objective_events"};
    const auto table = one_of(k_tables);
    auto& rows = tables_[table];
    const bool is_session = table == "session_info";
    auto fresh = [&](const std::string& key) {
      return is_session ? any_session_row(key) : any_row(table, key);
    };
    if (below(150) == 0) {
      rows.clear();
      return log(xid, {table, "T", {}, {}});
    }
    std::string key = std::to_string(++last_key_);
    if (is_session) {
      do key = any_session();
      while (key == "null");
      if (!rows.contains(key)) return insert(xid, table, fresh(key), key);
    } else if (rows.empty() || below(3) == 0) {
      return insert(xid, table, fresh(key), key);
    } else {
      key = std::next(rows.begin(), static_cast<std::ptrdiff_t>(below(rows.size())))->first;
    }
    const row before = rows.at(key);
    rows.erase(key);
    if (below(4) == 0) return log(xid, {table, "D", before, {}});
    std::string new_key = key;
    if (is_session && below(4) == 0) {
      do new_key = any_session();
      while (new_key == "null");
      if (rows.contains(new_key)) new_key = key;
    }
    row after = fresh(new_key);
    for (auto& [name, value] : after) {
      if (name != "session_id" && below(2) == 0) value = before.at(name);
    }
    if (!is_session && below(4) != 0) after["session_id"] = before.at("session_id");
    rows[new_key] = after;
    log(xid, {table, "U", before, after});
  }
  void insert(std::uint64_t xid, const std::string& table, row r, const std::string& key) {
    tables_[table][key] = r;
    log(xid, {table, "I", {}, std::move(r)});
  }
  void log(std::uint64_t xid, change what) {
    log_.push_back({++last_id_, xid, std::move(what), incarnation_});
  }

  // ---- reader

  std::shared_ptr<const pg_snapshot> snapshot() const {
    auto running = open_;
    std::sort(running.begin(), running.end());
    const auto xmin = running.empty() ? next_xid_ : running.front();
    return std::make_shared<pg_snapshot>(xmin, next_xid_, std::move(running));
  }
  void read_batch() {
    const auto now = snapshot();
    auto span = std::make_shared<batch_span>();
    auto history = std::make_shared<source_history>();
    for (std::uint32_t i = 0; i <= incarnation_; ++i) history->incarnations.push_back({i, 0});
    span->history = history;
    span->start = position::at(incarnation_, read_up_to_);
    span->start.s2 = now;
    std::vector<event> events;
    for (const auto& c : log_) {
      if (!now->sees(c.xid) || read_up_to_->sees(c.xid)) continue;
      events.push_back(event_of(c));
    }
    read_up_to_ = now;
    batches_.emplace_back(span, std::move(events));
  }
  event event_of(const committed& c) {
    const auto& [table, op, before, after] = c.what;
    row replaced = before;
    if (op == "U") {
      std::erase_if(replaced, [&](const auto& v) { return after.at(v.first) == v.second; });
    }
    const auto record = json_of(after);
    const auto old_record = json_of(replaced);
    std::optional<std::string_view> new_json;
    std::optional<std::string_view> old_json;
    if (op == "I" || op == "U") new_json = record;
    if (op == "D" || op == "U") old_json = old_record;
    auto e = *parse_outbox_row(
        {std::to_string(c.id), std::to_string(c.xid), "", "public", table, op, new_json, old_json},
        recruiting_description());
    e.routes = route_event(e, [&](std::string_view session, directory::lookup which) {
      return directory_.campaign_of(session, which);
    });
    directory_.fold(e);
    return e;
  }
  void publish() {
    if (batches_.empty()) return;
    const auto [span, events] = std::move(batches_.front());
    batches_.pop_front();
    for (const auto& e : events) {
      if (e.op == operation::truncate) ticker_.on_event(e, *span, {true, true});
      for (const auto& r : e.routes) {
        if (r.topic == "campaign:x") ticker_.on_event(e, *span, {r.had_old, r.has_new});
      }
    }
  }

  // ---- answers

  void ask() {
    if (!ticker_.has_question()) return;
    const auto q = ticker_.ask();
    answers a{position::at(incarnation_, snapshot()), {}};
    for (const auto& [key, session] : tables_["session_info"]) {
      const auto id = *scalar(key);
      const bool is_named = std::find(q.sessions.begin(), q.sessions.end(), id) != q.sessions.end();
      const auto campaign = scalar(column(session, "campaign"));
      if (q.is_of_all ? campaign == "x" : is_named) {
        a.found.push_back({id, campaign, numbers_of(session)});
      }
    }
    answer_ = std::move(a);
  }
  void take_answer() {
    ticker_.take_answers(answer_->at, answer_->found);
    answer_.reset();
  }

  // ---- the truth, from the tables alone

  static text scalar(const std::string& token) {
    if (token == "null") return std::nullopt;
    return token == R"("é \"e")" ? "é \"e" : token.substr(1, token.size() - 2);
  }
  session_numbers numbers_of(const row& session) {
    static const std::map<std::string, std::vector<std::string>> k_met{
        {R"({"p": true, "q": {"value": true}, "r": "true"})", {"p", "q"}},
        {R"({"q": {"met": true}, "p": 1})", {"q"}},
        {R"({"r": {"value": false, "met": true}, "": true})", {"", "r"}}};
    static const std::map<std::string, int> k_sides{
        {R"({"sender": "user", "text": "type"})", 1},
        {R"({"type": "human"})", 1},
        {R"({"sender": "agent", "type": "human"})", 2},
        {R"({"sender": null, "type": "ai"})", 2},
        {R"({"type": "assistant", "data": {"sender": "user"}})", 2}};
    static const std::map<std::string, std::int64_t> k_durations{
        {"null", 0},
        {R"("00:01:30.25")", 90'250'000},
        {R"("-00:00:00.000001")", -1},
        {R"("1 year 2 mons 3 days")", (31'557'600LL + 63 * 86'400LL) * 1'000'000}};
    session_numbers n;
    const auto note = [&](const std::string& token) {
      const auto at = scalar(token);
      if (at) n.last_activity_us = std::max(n.last_activity_us, timestamp_us(*at));
    };
    n.is_active = column(session, "session_status") == R"("active")";
    const auto met = k_met.find(column(session, "objectives"));
    if (met != k_met.end()) n.objectives = met->second;
    for (const auto* name : {"last_user_msg_at", "last_outbound_at", "agent_updated"}) {
      note(column(session, name));
    }
    const auto each = [&](const std::string& table, const std::function<void(const row&)>& visit) {
      for (const auto& [key, r] : tables_[table]) {
        if (column(r, "session_id") == column(session, "session_id")) visit(r);
      }
    };
    each("chat_history", [&](const row& r) {
      const auto side = k_sides.find(column(r, "message"));
      ++n.messages;
      n.user_messages += side != k_sides.end() && side->second == 1 ? 1 : 0;
      n.agent_messages += side != k_sides.end() && side->second == 2 ? 1 : 0;
    });
    each("call_info", [&](const row& r) {
      ++n.calls;
      n.call_us += k_durations.at(column(r, "duration"));
      note(column(r, "called_at"));
    });
    each("session_objective_events", [&](const row& r) { note(column(r, "occurred_at")); });
    return n;
  }
  std::string truth() {
    session_numbers sum;
    std::int64_t sessions = 0;
    std::int64_t active = 0;
    std::map<std::string, int> met;
    for (const auto& [key, session] : tables_["session_info"]) {
      if (column(session, "campaign") != R"("x")") continue;
      const auto n = numbers_of(session);
      ++sessions;
      active += n.is_active ? 1 : 0;
      sum.messages += n.messages;
      sum.user_messages += n.user_messages;
      sum.agent_messages += n.agent_messages;
      sum.calls += n.calls;
      sum.call_us += n.call_us;
      sum.last_activity_us = std::max(sum.last_activity_us, n.last_activity_us);
      for (const auto& name : n.objectives) ++met[name];
    }
    std::string objectives;
    for (const auto& [name, count] : met) {
      objectives +=
          (objectives.empty() ? "" : ",") + json_quote(name) + ":" + std::to_string(count);
    }
    const auto n = [](std::int64_t number) { return std::to_string(number); };
    return R"("campaign":"x","sessions":)" + n(sessions) + R"(,"active":)" + n(active) +
           R"(,"messages":{"total":)" + n(sum.messages) + R"(,"user":)" + n(sum.user_messages) +
           R"(,"agent":)" + n(sum.agent_messages) + R"(},"calls":{"total":)" + n(sum.calls) +
           R"(,"seconds":)" + seconds_text(sum.call_us) + R"(},"objectives":{)" + objectives +
           R"(},"last_activity_at":)" +
           (sum.last_activity_us ? '"' + timestamp_text(*sum.last_activity_us) + '"' : "null");
  }

  std::mt19937 random_;
  std::map<std::string, std::map<std::string, row>> tables_;
  std::vector<std::uint64_t> open_;
  std::uint64_t next_xid_ = 10;
  std::uint64_t last_id_ = 0;
  std::uint32_t incarnation_ = 0;
  int last_key_ = 0;
  std::vector<committed> log_;
  std::shared_ptr<const pg_snapshot> read_up_to_ =
      std::make_shared<pg_snapshot>(10, 10, std::vector<std::uint64_t>{});
  directory directory_{recruiting_description()};
  std::deque<std::pair<std::shared_ptr<const batch_span>, std::vector<event>>> batches_;
  std::optional<answers> answer_;
  ticker ticker_{"x"};
};

TEST(Ticker, HasTheNumbersOfTheTables_WheneverWritersPause) {
  std::string last;
  int distinct = 0;
  for (std::uint32_t seed = 1; seed <= 300; ++seed) {
    simulation world(seed);
    for (int pause = 0; pause < 8; ++pause) {
      for (int i = 0; i < 100; ++i) world.step();
      const auto [ticker, truth] = world.rest();
      ASSERT_EQ(ticker, truth) << "seed " << seed << ", pause " << pause;
      distinct += last == truth ? 0 : 1;
      last = truth;
    }
  }
  EXPECT_GT(distinct, 2'000) << "the tables change between pauses";
}

TEST(Ticker, BeforeItsFirstAnswer_AsksForAll) {
  ticker t("spring");
  EXPECT_FALSE(t.is_warm());
  ASSERT_TRUE(t.has_question());
  EXPECT_TRUE(t.ask().is_of_all);
  t.give_up();
  EXPECT_TRUE(t.ask().is_of_all);
  t.take_answers(position{}, {});
  EXPECT_TRUE(t.is_warm());
  EXPECT_FALSE(t.has_question());
  EXPECT_EQ(t.numbers(),
            R"("campaign":"spring","sessions":0,"active":0,"messages":{"total":0,"user":0,)"
            R"("agent":0},"calls":{"total":0,"seconds":0},"objectives":{},)"
            R"("last_activity_at":null)");
}

}  // namespace
}  // namespace pgcast
