#include "daemon/hub.hpp"

#include "daemon/metrics.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <optional>

namespace pgcast {

struct subscription::place {
  hub* owner;
  hub::entry* topic;
  hub::group* among;
  subscriber* who;
  std::size_t slot;
};

struct hub::group {
  audience as;
  std::vector<subscription::place*> places;
};

struct hub::entry {
  std::string key;
  topic_kind kind;
  std::vector<std::unique_ptr<group>> groups;
  bool is_of_changes = false;
  std::string indexed_table;  ///< of changes with a value: where it is counted in indexed_
  table_column indexed_column;
};

bool audience::is_alike(const audience& other) const {
  return viewer == other.viewer && version == other.version && role == other.role &&
         wire_topic == other.wire_topic && (changes == nullptr) == (other.changes == nullptr) &&
         (changes == nullptr || changes->identity() == other.changes->identity());
}

subscription::subscription(subscription&& other) noexcept
    : place_(std::exchange(other.place_, nullptr)) {}

subscription& subscription::operator=(subscription&& other) noexcept {
  std::swap(place_, other.place_);
  return *this;
}

void subscription::reset() {
  if (place_ != nullptr) place_->owner->remove(place_);
  place_ = nullptr;
}

namespace {

/// Frames of one event: a payload per view, a frame per view, wire version and topic name.
class encoded_event {
 public:
  encoded_event(const std::shared_ptr<const event_chunk>& chunk, const event& e)
      : chunk_(chunk), event_(e) {}

  const shared_frame& frame(const audience& as, event_view view) {
    for (const auto& f : frames_) {
      if (f.view == view && f.version == as.version && *f.wire_topic == as.wire_topic) {
        return f.frame;
      }
    }
    frames_.push_back({view, as.version, &as.wire_topic, encode(as, view)});
    return frames_.back().frame;
  }

  const std::shared_ptr<const event_chunk>& chunk() const { return chunk_; }
  const event& changed() const { return event_; }

 private:
  struct known_frame {
    event_view view;
    wire_version version;
    const std::string* wire_topic;
    shared_frame frame;
  };

  shared_frame encode(const audience& as, event_view view) {
    auto& payload = payloads_[static_cast<std::size_t>(view)];
    if (!payload) {
      const auto& span = *chunk_->batch;
      auto encoded = encode_event(event_, view, encode_cursor(span.at(event_.id), *span.history));
      if (!encoded) {
        metrics().rows_unparsable.add();
        spdlog::error("event {} skipped: {}", event_.id, encoded.error().detail);
      }
      payload = encoded ? *std::move(encoded) : std::string{};
    }
    if (payload->empty()) return nullptr;
    return std::make_shared<const outbound_frame>(
        encode_broadcast(as.version, as.wire_topic, event_.table, {*payload}), chunk_->batch,
        event_.id);
  }

  const std::shared_ptr<const event_chunk>& chunk_;
  const event& event_;
  std::array<std::optional<std::string>, 5> payloads_;
  std::vector<known_frame> frames_;
};

class group_delivery : public delivery {
 public:
  group_delivery(encoded_event& encoded, const audience& as, event_sides sides, event_view view)
      : encoded_(encoded), as_(as), sides_(sides), view_(view) {}
  const std::shared_ptr<const event_chunk>& chunk() const override { return encoded_.chunk(); }
  const event& changed() const override { return encoded_.changed(); }
  event_sides sides() const override { return sides_; }
  const shared_frame& frame() override {
    if (!is_asked_) frame_ = encoded_.frame(as_, view_);
    is_asked_ = true;
    return frame_;
  }

 private:
  encoded_event& encoded_;
  const audience& as_;
  event_sides sides_;
  event_view view_;
  bool is_asked_ = false;
  shared_frame frame_;
};

/// The same for subscribers of table changes: all of a group want the same bytes.
class change_delivery : public delivery {
 public:
  change_delivery(const std::shared_ptr<const event_chunk>& chunk, const event& e, event_rows& rows,
                  const audience& as, event_sides sides)
      : chunk_(chunk), event_(e), rows_(rows), as_(as), sides_(sides) {}
  const std::shared_ptr<const event_chunk>& chunk() const override { return chunk_; }
  const event& changed() const override { return event_; }
  event_sides sides() const override { return sides_; }
  const shared_frame& frame() override {
    if (!is_asked_) {
      frame_ = write_change(*as_.changes, as_.version, as_.wire_topic, chunk_->batch, event_, rows_,
                            sides_, {});
    }
    is_asked_ = true;
    return frame_;
  }

 private:
  const std::shared_ptr<const event_chunk>& chunk_;
  const event& event_;
  event_rows& rows_;
  const audience& as_;
  event_sides sides_;
  bool is_asked_ = false;
  shared_frame frame_;
};

/// Lengths first: no part can pass for another.
void append_part(std::string& key, std::string_view part) {
  key.append(std::to_string(part.size())).append(":").append(part);
}

std::string table_key(std::string_view schema, std::string_view table) {
  std::string key;
  append_part(key, schema);
  append_part(key, table);
  return key;
}

/// By the column as it is now: another type has other values.
std::string value_key(const std::string& table, const table_column& column,
                      std::string_view value) {
  std::string key = table;
  append_part(key, column.name);
  append_part(key, column.type);
  for (const auto& label : column.labels) append_part(key, label);
  key += '=';
  append_part(key, value);
  return key;
}

}  // namespace

shared_frame write_change(const change_spec& spec, wire_version version,
                          const std::string& wire_topic,
                          const std::shared_ptr<const batch_span>& span, const event& e,
                          event_rows& rows, event_sides sides, const std::vector<bool>& wanted) {
  const auto cursor = encode_cursor(span->at(e.id), *span->history);
  std::string bytes;
  for (const auto& m : spec.write(e, rows, sides, wanted, cursor)) {
    bytes += encode_push(version, "null", "null", wire_topic, m.event, m.payload);
  }
  if (bytes.empty()) return nullptr;
  return std::make_shared<const outbound_frame>(std::move(bytes), span, e.id);
}

hub::hub(const relay_description& description)
    : description_(description), published_{std::make_shared<source_history>(), {}} {}
hub::~hub() = default;

subscription hub::subscribe(const std::string& topic, topic_kind kind, audience as,
                            subscriber& who) {
  return add(topics_, std::make_unique<entry>(entry{topic, kind, {}, false, {}, {}}), std::move(as),
             who);
}

subscription hub::subscribe_changes(const change_spec::key& key, audience as, subscriber& who) {
  const auto table = table_key(key.schema, key.table);
  auto fresh = std::make_unique<entry>(entry{table, topic_kind::plain, {}, true, {}, {}});
  if (key.equality) {
    fresh->key = value_key(table, key.column, key.equality->value);
    fresh->indexed_table = table;
    fresh->indexed_column = key.column;
    if (!changes_.contains(fresh->key)) {
      auto& columns = indexed_[table];
      auto known = std::find_if(columns.begin(), columns.end(),
                                [&](const auto& c) { return c.column == key.column; });
      if (known == columns.end()) known = columns.insert(columns.end(), {key.column, 0});
      ++known->count;
    }
  }
  return add(changes_, std::move(fresh), std::move(as), who);
}

subscription hub::add(entries& among, std::unique_ptr<entry> fresh, audience as, subscriber& who) {
  auto& slot = among[fresh->key];
  if (!slot) slot = std::move(fresh);
  auto found = std::find_if(slot->groups.begin(), slot->groups.end(),
                            [&](const auto& g) { return g->as.is_alike(as); });
  if (found == slot->groups.end()) {
    slot->groups.push_back(std::make_unique<group>(group{std::move(as), {}}));
    found = slot->groups.end() - 1;
  }
  auto& g = **found;
  g.places.push_back(new subscription::place{this, slot.get(), &g, &who, g.places.size()});
  return subscription{g.places.back()};
}

void hub::remove(subscription::place* p) {
  auto& places = p->among->places;
  places[p->slot] = places.back();
  places[p->slot]->slot = p->slot;
  places.pop_back();
  auto* topic = p->topic;
  if (places.empty()) {
    std::erase_if(topic->groups, [&](const auto& g) { return g.get() == p->among; });
  }
  delete p;
  if (!topic->groups.empty()) return;
  if (!topic->indexed_table.empty()) {
    auto& columns = indexed_[topic->indexed_table];
    auto at = std::find_if(columns.begin(), columns.end(),
                           [&](const auto& c) { return c.column == topic->indexed_column; });
    if (--at->count == 0) columns.erase(at);
    if (columns.empty()) indexed_.erase(topic->indexed_table);
  }
  auto& among = topic->is_of_changes ? changes_ : topics_;
  among.erase(among.find(topic->key));
}

/// All under whose key the event falls: its table, its schema, everything, and the values that it
/// has now or, of a DELETE, had; those that an UPDATE replaced as well, for who wants to hear of
/// rows that leave a filter.
std::vector<const hub::entry*> hub::change_entries(const event& e, event_rows& rows) const {
  std::vector<const entry*> out;
  if (changes_.empty() || e.op == operation::truncate) return out;
  const auto table = table_key(e.schema, e.table);
  const auto look = [&](std::string_view key) {
    const auto found = changes_.find(key);
    if (found != changes_.end()) out.push_back(found->second.get());
  };
  look(table);
  look(table_key(e.schema, "*"));
  look(table_key("*", e.table));
  look(table_key("*", "*"));
  const auto indexed = indexed_.find(table);
  if (indexed == indexed_.end()) return out;
  for (const auto& c : indexed->second) {
    for (auto* row : {&rows.compared(), &rows.replaced()}) {
      const auto value = canonical_value(*row, c.column);
      if (value) look(value_key(table, c.column, *value));
    }
  }
  return out;
}

std::vector<authorizer::question> hub::questions(const event_chunk& chunk) const {
  std::vector<authorizer::question> out;
  const auto ask = [&](const event& e, const entry& topic) {
    for (const auto& g : topic.groups) {
      if (g->as.viewer && !g->as.viewer->sees_everything()) out.push_back({&e, g->as.viewer});
    }
  };
  for (const auto& e : chunk.events) {
    for (const auto& r : e.routes) {
      const auto found = topics_.find(r.topic);
      if (found != topics_.end() && found->second->kind != topic_kind::phone)
        ask(e, *found->second);
    }
    event_rows rows(e);
    for (const auto* changes : change_entries(e, rows)) {
      for (const auto& g : changes->groups) {
        if (g->as.changes->may_match(e, rows)) out.push_back({&e, g->as.viewer});
      }
    }
    if (e.op != operation::truncate || e.description == nullptr) continue;
    for (const auto& [key, topic] : topics_) {
      if (e.description->carries(topic->kind)) ask(e, *topic);
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

void hub::publish_event(const std::shared_ptr<const event_chunk>& chunk, const event& e,
                        const visibility_map& visible) {
  encoded_event encoded(chunk, e);
  const auto to_topic = [&](entry& topic, bool had_old, bool has_new) {
    for (const auto& g : topic.groups) {
      const auto seen = visible.of(e, *g->as.viewer);
      const event_sides sides{had_old && seen.old_row, has_new && seen.new_row};
      const auto view = view_of(e.op, sides);
      if (view == event_view::hidden || !seen.all_columns) continue;
      group_delivery d(encoded, g->as, sides, view);
      for (auto* p : g->places) p->who->on_event(d);
    }
  };
  const auto move_numbers = [&](entry& topic) {
    for (const auto& g : topic.groups) {
      for (auto* p : g->places) p->who->on_number_moved(e, *chunk->batch);
    }
  };
  if (e.op == operation::truncate) {
    if (e.description == nullptr) return;
    const bool moves = e.description->carries(topic_kind::phone) ||
                       e.description->name == description_.membership_table;
    for (const auto& [key, topic] : topics_) {
      if (topic->kind == topic_kind::plain) continue;
      if (topic->kind == topic_kind::phone && moves) move_numbers(*topic);
      if (topic->kind != topic_kind::phone && e.description->carries(topic->kind)) {
        to_topic(*topic, true, true);
      }
    }
    return;
  }
  for (const auto& r : e.routes) {
    const auto found = topics_.find(r.topic);
    if (found == topics_.end()) continue;
    if (found->second->kind == topic_kind::phone) {
      move_numbers(*found->second);
    } else {
      to_topic(*found->second, r.had_old, r.has_new);
    }
  }
}

void hub::publish_changes(const std::shared_ptr<const event_chunk>& chunk, const event& e,
                          const visibility_map& visible) {
  event_rows rows(e);
  for (const auto* topic : change_entries(e, rows)) {
    for (const auto& g : topic->groups) {
      if (auto shapes = visible.shapes_for(*g->as.viewer)) g->as.changes->use(std::move(shapes));
      const auto seen = visible.of(e, *g->as.viewer);
      const bool is_seen = e.op == operation::remove ? seen.old_row : seen.new_row;
      if (!is_seen || !g->as.changes->may_match(e, rows)) continue;
      change_delivery d(chunk, e, rows, g->as, {seen.old_row, seen.new_row});
      for (auto* p : g->places) p->who->on_event(d);
    }
  }
}

void hub::publish(const std::shared_ptr<const event_chunk>& chunk, const visibility_map& visible) {
  if (chunk->events.empty()) published_ = *chunk->batch;
  for (const auto& e : chunk->events) {
    publish_event(chunk, e, visible);
    publish_changes(chunk, e, visible);
    published_ = {chunk->batch->history, chunk->batch->at(e.id)};
  }
}

void hub::forget_place() { published_ = {std::make_shared<source_history>(), {}}; }

void hub::publish(const client_broadcast& b) {
  const auto found = topics_.find(b.topic);
  if (found == topics_.end()) return;
  for (const auto& g : found->second->groups) {
    if (g->as.role == audience::part::follower) continue;
    const bool is_binary = b.encoding == payload_encoding::binary;
    if (is_binary && g->as.version == wire_version::v1) continue;
    auto bytes = is_binary
                     ? encode_binary_broadcast(g->as.wire_topic, b.event, b.payload)
                     : encode_broadcast(g->as.version, g->as.wire_topic, b.event, {b.payload});
    if (bytes.empty()) continue;  // names too long for the binary form
    const auto frame = std::make_shared<const outbound_frame>(std::move(bytes));
    for (auto* p : g->places) {
      if (p->who != b.sender) p->who->on_broadcast(frame);
    }
  }
}

void hub::publish(const presence_news& news) {
  const auto found = topics_.find(news.topic);
  if (found == topics_.end()) return;
  struct known_frames {
    wire_version version;
    const std::string* wire_topic;
    std::vector<shared_frame> frames;
  };
  std::vector<known_frames> known;
  const auto frames_for = [&](const audience& as) -> std::span<const shared_frame> {
    for (const auto& k : known) {
      if (k.version == as.version && *k.wire_topic == as.wire_topic) return k.frames;
    }
    auto& k = known.emplace_back(known_frames{as.version, &as.wire_topic, {}});
    for (const auto& diff : news.diffs) {
      k.frames.push_back(std::make_shared<const outbound_frame>(
          encode_push(as.version, "null", "null", as.wire_topic, "presence_diff", diff)));
    }
    return k.frames;
  };
  for (const auto& g : found->second->groups) {
    if (g->as.role == audience::part::follower) continue;
    const auto frames = frames_for(g->as);
    for (auto* p : g->places) p->who->on_presence(frames);
  }
}

}  // namespace pgcast
