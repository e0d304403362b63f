#include "protocol/presence.hpp"

#include "protocol/codec.hpp"

#include <algorithm>

namespace pgcast {
namespace {

/// What presence of one topic may cost each of its subscribers: a large diff is followed by a
/// longer pause, in which changes fold.
constexpr std::size_t k_bytes_a_second = 1'048'576;

presences::clock::duration pause_after(std::size_t bytes) {
  return std::chrono::milliseconds(bytes * 1'000 / k_bytes_a_second);
}

void begin_key(std::string& out, const std::string& key) {
  if (!out.empty()) out += ',';
  append_json_quoted(out, key);
  out += R"(:{"metas":[)";
}

std::string object_of(const std::string& joins, const std::string& leaves) {
  return R"({"joins":{)" + joins + R"(},"leaves":{)" + leaves + "}}";
}

}  // namespace

void presences::apply(const std::shared_ptr<const presence_change>& change, clock::time_point now) {
  const auto& c = *change;
  if (c.what == presence_change::kind::track) {
    auto& r = rooms_[c.topic];
    track(r, change);
    r.changed.insert(c.key);
    return schedule(c.topic, r, now);
  }
  const auto found = rooms_.find(c.topic);
  if (found == rooms_.end()) return;
  auto& r = found->second;
  const auto at_key = r.keys.find(c.key);
  if (at_key == r.keys.end()) return;
  for (auto& e : at_key->second) {
    if (e.owner != c.owner) continue;
    e.leaves_at = now + std::max(c.hold, window_);
    r.changed.insert(c.key);
    schedule(c.topic, r, *e.leaves_at);
  }
}

/// An owner's place, else that of somebody who is leaving, else a new one.
void presences::track(room& r, const std::shared_ptr<const presence_change>& change) {
  auto& entries = r.keys[change->key];
  const auto find = [&](auto matches) {
    return std::find_if(entries.begin(), entries.end(), matches);
  };
  auto place = find([&](const entry& e) { return e.owner == change->owner; });
  if (place == entries.end()) {
    place = find([&](const entry& e) {
      return e.leaves_at && e.current.change->members == change->members;
    });
  }
  if (place == entries.end()) place = find([](const entry& e) { return e.leaves_at.has_value(); });
  if (place == entries.end()) place = entries.insert(entries.end(), entry{});
  place->owner = change->owner;
  place->leaves_at.reset();
  if (place->current.change && place->current.change->members == change->members) return;
  meta come{change, change->ref, {}};
  count(r, place->current, come);
  place->current = std::move(come);
}

void presences::count(room& r, const meta& gone, const meta& come) {
  const std::size_t less = gone.change ? gone.change->cost() : 0;
  const std::size_t more = come.change ? come.change->cost() : 0;
  r.bytes += more - less;
  bytes_ += more - less;
}

void presences::schedule(const std::string& topic, room& r, clock::time_point at) {
  at = std::max(at, r.quiet_until);
  if (r.due && *r.due <= at) return;
  if (r.due) due_.erase({*r.due, topic});
  r.due = at;
  due_.emplace(at, topic);
}

std::optional<presences::clock::time_point> presences::next() const {
  if (due_.empty()) return std::nullopt;
  return due_.begin()->first;
}

std::vector<presence_news> presences::take(clock::time_point now) {
  std::vector<presence_news> out;
  while (!due_.empty() && due_.begin()->first <= now) {
    presence_news news{due_.begin()->second, {}};
    due_.erase(due_.begin());
    auto& r = rooms_.at(news.topic);
    r.due.reset();
    tell(r, now, news);
    if (r.keys.empty()) rooms_.erase(news.topic);
    if (!news.diffs.empty()) out.push_back(std::move(news));
  }
  return out;
}

void presences::tell(room& r, clock::time_point now, presence_news& out) {
  written w;
  std::optional<clock::time_point> again;
  for (const auto& key : std::exchange(r.changed, {})) {
    const auto at = tell_key(r, key, now, w);
    if (!at) continue;
    r.changed.insert(key);
    again = std::min(again.value_or(*at), *at);
  }
  if (!w.joins.empty() || !w.leaves.empty()) out.diffs.push_back(object_of(w.joins, w.leaves));
  if (!w.joins_after.empty()) out.diffs.push_back(object_of(w.joins_after, ""));
  std::size_t bytes = 0;
  for (const auto& d : out.diffs) bytes += d.size();
  if (bytes > 0) r.state = nullptr;
  r.quiet_until = now + std::max<clock::duration>(window_, pause_after(bytes));
  if (again) schedule(out.topic, r, *again);
}

std::optional<presences::clock::time_point> presences::tell_key(room& r, const std::string& key,
                                                                clock::time_point now,
                                                                written& out) {
  auto& entries = r.keys.at(key);
  std::optional<clock::time_point> again;
  std::vector<meta> before;
  std::vector<meta> after;
  bool any_left = false;
  bool any_joined = false;
  for (auto& e : entries) {
    if (e.told.change) before.push_back(e.told);
    const bool is_gone = e.leaves_at && *e.leaves_at <= now;
    if (is_gone) {
      count(r, e.current, {});
      e.current = {};
    } else if (e.leaves_at) {  // may come back: what was told of it stands, no more is told
      again = std::min(again.value_or(*e.leaves_at), *e.leaves_at);
      if (e.told.change) after.push_back(e.told);
      continue;
    }
    const bool was_there = e.told.change != nullptr;
    const bool is_there = e.current.change != nullptr;
    if (was_there && is_there && e.told.change->members == e.current.change->members) {
      e.current.ref = e.told.ref;  // back to what it was
      e.current.previous_ref = e.told.previous_ref;
    } else {
      any_left = any_left || was_there;
      any_joined = any_joined || is_there;
      if (was_there && is_there) e.current.previous_ref = e.told.ref;
    }
    e.told = e.current;
    if (is_there) after.push_back(e.told);
  }
  std::erase_if(entries, [](const entry& e) { return !e.told.change && !e.current.change; });
  if (any_left) write(out.leaves, key, before);
  if (any_left && !after.empty()) write(out.joins_after, key, after);
  if (!any_left && any_joined) write(out.joins, key, after);
  if (entries.empty()) r.keys.erase(key);
  return again;
}

std::shared_ptr<const std::string> presences::state(const std::string& topic) {
  static const auto nobody = std::make_shared<const std::string>("{}");
  const auto found = rooms_.find(topic);
  if (found == rooms_.end()) return nobody;
  auto& r = found->second;
  if (r.state) return r.state;
  std::string text;
  for (const auto& [key, entries] : r.keys) {
    bool is_first = true;
    for (const auto& e : entries) {
      if (!e.told.change) continue;
      if (is_first) begin_key(text, key);
      if (!std::exchange(is_first, false)) text += ',';
      write(text, e.told);
    }
    if (!is_first) text += "]}";
  }
  r.state = std::make_shared<const std::string>("{" + text + "}");
  return r.state;
}

std::size_t presences::bytes(const std::string& topic) const {
  const auto found = rooms_.find(topic);
  return found == rooms_.end() ? 0 : found->second.bytes;
}

void presences::write(std::string& out, const std::string& key, const std::vector<meta>& metas) {
  begin_key(out, key);
  for (const auto& m : metas) {
    if (&m != &metas.front()) out += ',';
    write(out, m);
  }
  out += "]}";
}

void presences::write(std::string& out, const meta& m) {
  out += R"({"phx_ref":)";
  append_json_quoted(out, m.ref);
  if (!m.previous_ref.empty()) {
    out += R"(,"phx_ref_prev":)";
    append_json_quoted(out, m.previous_ref);
  }
  if (!m.change->members.empty()) out.append(",").append(m.change->members);
  out += '}';
}

}  // namespace pgcast
