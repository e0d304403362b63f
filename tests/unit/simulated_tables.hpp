#pragma once

#include "protocol/event.hpp"
#include "tests/unit/simulated_database.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pgcast {

/// The rows behind a simulated outbox: sessions that move between campaigns, come and go, their
/// chats, TRUNCATE. A transaction locks the sessions that it writes, so that what happened to one
/// session has one order. Who may see what, and under which topic, is said here a second time, as
/// plainly as possible.
class simulated_tables : public simulated_database {
 public:
  enum class table { session_info, chat_history, campaign_info };
  /// One side of a change: the row as it was, or as it is now.
  struct version {
    unsigned session = 0;
    std::optional<unsigned> campaign;  ///< of its session at that moment
    unsigned tag = 0;                  ///< decides who may see the row
    bool operator==(const version&) const = default;
  };
  struct change {
    table of = table::chat_history;
    operation op = operation::insert;
    std::optional<version> before, after;
  };
  struct watched {
    topic_kind kind = topic_kind::session;
    unsigned key = 0;
    std::string name() const {
      return topic_key(kind, (kind == topic_kind::session ? "s" : "c") + std::to_string(key));
    }
  };
  static constexpr unsigned k_sessions = 6;
  static constexpr unsigned k_campaigns = 3;
  static constexpr unsigned k_viewers = 4;

  using simulated_database::simulated_database;
  bool has_bulk = false;  ///< now and then one transaction writes more than a feed holds

  const change& of(std::uint64_t id) const { return changes_.at(id); }

  // ---- the naive answers

  static bool is_in(const watched& topic, const version& v) {
    return topic.kind == topic_kind::session ? v.session == topic.key : v.campaign == topic.key;
  }
  /// Viewer 0 sees all; 1 and 3, who differ in their claims only, odd tags; 2 no session_info.
  static bool may_see(unsigned viewer, table of) {
    return viewer != 2 || of != table::session_info;
  }
  static bool may_see(unsigned viewer, const version& v) {
    return viewer % 2 == 0 || v.tag % 2 == 1;
  }
  /// How a viewer of a topic sees a change: "INSERT", ..., "" = not at all.
  static std::string_view seen_as(const watched& topic, unsigned viewer, const change& c) {
    if (!may_see(viewer, c.of)) return "";
    if (c.op == operation::truncate) {
      const bool is_carried = c.of != table::campaign_info || topic.kind == topic_kind::campaign;
      return is_carried ? "TRUNCATE" : "";
    }
    const bool had = c.before && is_in(topic, *c.before) && may_see(viewer, *c.before);
    const bool has = c.after && is_in(topic, *c.after) && may_see(viewer, *c.after);
    if (had && has) return "UPDATE";
    return has ? "INSERT" : had ? "DELETE" : "";
  }
  /// Whether a change belongs to a topic, whoever looks.
  static bool touches(const watched& topic, const change& c) {
    return !seen_as(topic, 0, c).empty();
  }

  static std::string_view name_of(table t) {
    switch (t) {
      case table::session_info:
        return "session_info";
      case table::chat_history:
        return "chat_history";
      case table::campaign_info:
        break;
    }
    return "campaign_info";
  }
  /// The row of the outbox, as the daemon reads it.
  event event_of(const row& r) const {
    const auto& c = of(r.id);
    const auto id = std::to_string(r.id);
    const auto xid = std::to_string(r.xid);
    const std::string op(1, static_cast<char>(c.op));
    outbox_row out{id, xid, "2026-01-02T03:04:05.000000Z", "public", name_of(c.of), op, {}, {}};
    std::string now;
    std::string old;
    if (c.after) now = json_of(c.of, *c.after, nullptr);
    if (c.before) old = json_of(c.of, *c.before, c.after ? &*c.after : nullptr);
    if (c.after) out.record = now;
    if (c.before) out.old_record = old;
    auto e = parse_outbox_row(out, recruiting_description());
    return *std::move(e);
  }

 protected:
  void write(std::uint64_t xid) override {
    const auto s = static_cast<unsigned>(below(k_sessions));
    const auto chance = below(200);
    if (chance == 0) return truncate(xid);
    if (!lock(xid, s)) return;
    auto& session = writing_[xid].sessions[s];
    if (has_bulk && chance == 1 && session.exists) {
      const auto count = 100 + below(700);
      for (std::size_t i = 0; i < count; ++i) add_chat(xid, s);
    } else if (!session.exists) {
      session.exists = chance > 20 || session.chats.empty();
      if (!session.exists) return remove_chat(xid, s);
      session.campaign = any_campaign();
      session.tag = any_tag();
      add(xid,
          {table::session_info, operation::insert, {}, version{s, session.campaign, session.tag}});
    } else if (chance < 100) {
      add_chat(xid, s);
    } else if (chance < 120 && !session.chats.empty()) {
      change_chat(xid, s);
    } else if (chance < 135) {
      remove_chat(xid, s);
    } else if (chance < 190) {
      const version before{s, session.campaign, session.tag};
      if (chance < 170) session.campaign = any_campaign();
      if (chance > 160) session.tag = any_tag();
      const version after{s, session.campaign, session.tag};
      if (before != after) add(xid, {table::session_info, operation::update, before, after});
    } else {
      const version before{s, session.campaign, session.tag};
      session.exists = false;  // its chats go later, as with a cascade
      add(xid, {table::session_info, operation::remove, before, {}});
    }
  }

  void has_ended(std::uint64_t xid, outcome how) override {
    const auto found = writing_.find(xid);
    if (found == writing_.end()) return;
    if (how == outcome::commit) {
      for (auto& [number, session] : found->second.sessions) {
        sessions_[number] = std::move(session);
      }
    }
    writing_.erase(found);
  }

 private:
  struct session_state {
    bool exists = false;
    std::optional<unsigned> campaign;  ///< of a deleted session: its last one
    unsigned tag = 0;
    std::vector<unsigned> chats;  ///< their tags
  };
  struct transaction {
    std::map<unsigned, session_state> sessions;  ///< locked, as this transaction sees them
  };

  unsigned any_tag() { return static_cast<unsigned>(below(4)); }
  std::optional<unsigned> any_campaign() {
    const auto pick = static_cast<unsigned>(below(k_campaigns + 1));
    return pick == k_campaigns ? std::optional<unsigned>{} : pick;
  }

  bool lock(std::uint64_t xid, unsigned session) {
    for (const auto& [other, t] : writing_) {
      if (other != xid && t.sessions.contains(session)) return false;
    }
    auto& mine = writing_[xid].sessions;
    if (!mine.contains(session)) mine[session] = sessions_[session];
    return true;
  }

  void add(std::uint64_t xid, change c) {
    const auto& side = c.after ? c.after : c.before;
    changes_.emplace(add_row(xid, 0, side ? side->session : 0), std::move(c));
  }
  void add_chat(std::uint64_t xid, unsigned s) {
    auto& session = writing_[xid].sessions[s];
    session.chats.push_back(any_tag());
    add(xid, {table::chat_history,
              operation::insert,
              {},
              version{s, session.campaign, session.chats.back()}});
  }
  /// Now and then into another session.
  void change_chat(std::uint64_t xid, unsigned s) {
    const auto to = below(3) == 0 ? static_cast<unsigned>(below(k_sessions)) : s;
    if (!lock(xid, to) || !writing_[xid].sessions[to].exists) return;
    auto& from_session = writing_[xid].sessions[s];
    auto& to_session = writing_[xid].sessions[to];
    const version before{s, from_session.campaign, from_session.chats.back()};
    from_session.chats.pop_back();
    to_session.chats.push_back(any_tag());
    add(xid, {table::chat_history, operation::update, before,
              version{to, to_session.campaign, to_session.chats.back()}});
  }
  void remove_chat(std::uint64_t xid, unsigned s) {
    auto& session = writing_[xid].sessions[s];
    if (session.chats.empty()) return;
    add(xid, {table::chat_history,
              operation::remove,
              version{s, session.campaign, session.chats.back()},
              {}});
    session.chats.pop_back();
  }
  void truncate(std::uint64_t xid) {
    for (unsigned s = 0; s < k_sessions; ++s) {
      if (!lock(xid, s)) return;
    }
    const bool is_of_chats = below(2) == 0;
    if (is_of_chats) {
      for (auto& [number, session] : writing_[xid].sessions) session.chats.clear();
    }
    add(xid,
        {is_of_chats ? table::chat_history : table::campaign_info, operation::truncate, {}, {}});
  }

  /// Of an UPDATE's old row only what is not as in `now`.
  static std::string json_of(table of, const version& v, const version* now) {
    std::string out = "{";
    const auto put = [&](const char* name, const std::string& json) {
      out.append(out.size() > 1 ? ", \"" : "\"").append(name).append("\": ").append(json);
    };
    const bool with_campaign = of == table::session_info;
    if (now == nullptr || now->session != v.session) {
      put("session_id", "\"s" + std::to_string(v.session) + "\"");
    }
    if (with_campaign && (now == nullptr || now->campaign != v.campaign)) {
      put("campaign", v.campaign ? "\"c" + std::to_string(*v.campaign) + "\"" : "null");
    }
    if (now == nullptr || now->tag != v.tag) put("tag", std::to_string(v.tag));
    return out + "}";
  }

  std::map<unsigned, session_state> sessions_;
  std::map<std::uint64_t, transaction> writing_;
  std::unordered_map<std::uint64_t, change> changes_;
};

}  // namespace pgcast
