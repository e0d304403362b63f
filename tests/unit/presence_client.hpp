#pragma once

#include "protocol/json_document.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// A client's list of who is present, after presence.js of Phoenix: a join replaces metas with its
/// refs and keeps the others of its key, then a leave takes refs away.
///
/// Clients of supabase-js from the Phoenix adapter to supabase-js#2565 drop the refs of metas that
/// they show to a callback, also in their own list: `forgets_refs`.
class presence_client {
 public:
  struct meta {
    std::string ref;
    std::string previous_ref;
    std::string members;
  };
  using list = std::map<std::string, std::vector<meta>>;

  explicit presence_client(bool forgets_refs) : forgets_refs_(forgets_refs) {}

  void take_state(std::string_view json) {
    const auto fresh = read(json);
    list joins;
    list leaves;
    for (const auto& [key, metas] : state_) {
      for (const auto& m : metas) {
        if (!has_ref(fresh, key, m->ref)) leaves[key].push_back(*m);
      }
    }
    for (const auto& [key, metas] : fresh) {
      for (const auto& m : metas) {
        const auto known = state_.find(key);
        const bool is_known =
            known != state_.end() && std::any_of(known->second.begin(), known->second.end(),
                                                 [&](const auto& k) { return k->ref == m.ref; });
        if (!is_known) joins[key].push_back(m);
      }
    }
    sync(joins, leaves);
  }

  void take_diff(std::string_view json) {
    list joins;
    list leaves;
    json_document document(json);
    for_each_member(document.root(), [&](std::string_view key, json_value value) {
      (key == "joins" ? joins : leaves) = read(raw_json(value));
    });
    sync(joins, leaves);
  }

  /// Key and members of everybody, "k {..}", sorted.
  std::vector<std::string> shown() const {
    std::vector<std::string> out;
    for (const auto& [key, metas] : state_) {
      for (const auto& m : metas) out.push_back(key + " {" + m->members + "}");
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  std::vector<std::string> refs() const {
    std::vector<std::string> out;
    for (const auto& [key, metas] : state_) {
      for (const auto& m : metas) out.push_back(m->ref);
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  static list read(std::string_view json) {
    list out;
    json_document document(json);
    for_each_member(document.root(), [&](std::string_view key, json_value value) {
      auto& metas = out[std::string(key)];
      for_each_member(value, [&](std::string_view, json_value array) {
        for_each_element(array, [&](json_value m) { metas.push_back(read_meta(m)); });
      });
    });
    return out;
  }

  int joined = 0;  ///< calls of the callbacks
  int left = 0;

 private:
  static meta read_meta(json_value value) {
    meta out;
    for_each_member(value, [&](std::string_view key, json_value member) {
      if (key == "phx_ref") {
        out.ref = string_of(member).value_or("");
      } else if (key == "phx_ref_prev") {
        out.previous_ref = string_of(member).value_or("");
      } else {
        if (!out.members.empty()) out.members += ',';
        out.members.append("\"").append(key).append("\":").append(raw_json(member));
      }
    });
    return out;
  }

  static bool has_ref(const list& all, const std::string& key, const std::string& ref) {
    const auto found = all.find(key);
    return found != all.end() && std::any_of(found->second.begin(), found->second.end(),
                                             [&](const auto& m) { return m.ref == ref; });
  }

  using held = std::vector<std::shared_ptr<meta>>;

  void show_to_callback(const held& shown) const {
    if (!forgets_refs_) return;
    for (const auto& m : shown) m->ref = "";
  }

  void sync(const list& joins, const list& leaves) {
    for (const auto& [key, come] : joins) {
      const auto before = state_[key];
      held after;
      for (const auto& m : before) {
        const bool is_replaced =
            std::any_of(come.begin(), come.end(), [&](const auto& c) { return c.ref == m->ref; });
        if (!is_replaced) after.push_back(m);
      }
      for (const auto& m : come) after.push_back(std::make_shared<meta>(m));
      state_[key] = after;
      show_to_callback(before);
      ++joined;
    }
    for (const auto& [key, gone] : leaves) {
      const auto found = state_.find(key);
      if (found == state_.end()) continue;
      std::erase_if(found->second, [&](const auto& m) {
        return std::any_of(gone.begin(), gone.end(),
                           [&](const auto& g) { return g.ref == m->ref; });
      });
      show_to_callback(found->second);
      if (found->second.empty()) state_.erase(found);
      ++left;
    }
  }

  bool forgets_refs_;
  std::map<std::string, held> state_;
};

}  // namespace pgcast
