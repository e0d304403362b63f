#include "daemon/hub.hpp"

#include <algorithm>

namespace pgcast {

struct subscription::place {
  hub* owner;
  hub::entry* topic;
  hub::group* among;
  subscriber* who;
  std::size_t slot;
};

/// Subscribers of one class: they see the same.
struct hub::group {
  std::shared_ptr<viewer_class> viewer;
  form* of;
  std::vector<subscription::place*> places;
};

/// Classes that get the same bytes of what they see.
struct hub::form {
  audience as;  ///< of the first
  std::vector<std::unique_ptr<group>> groups;
};

struct hub::entry {
  std::string key;
  topic_kind kind;
  std::vector<std::unique_ptr<form>> forms;
  std::size_t members = 0;  ///< places that are no follower's
  bool is_of_changes = false;
  std::string indexed_table;  ///< of changes with a value: where it is counted in indexed_
  table_column indexed_column;
};

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

constexpr std::size_t k_surveyed_buckets = 2'048;

/// Whether the same bytes are for both, where they see the same. Changes show the columns that a
/// role may read.
bool is_same_form(const audience& a, const audience& b) {
  if (a.version != b.version || a.role != b.role || a.wire_topic != b.wire_topic) return false;
  if (a.changes == nullptr || b.changes == nullptr) return a.changes == b.changes;
  return a.viewer->role() == b.viewer->role() && a.changes->identity() == b.changes->identity();
}

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

hub::hub(const relay_description& description)
    : description_(description), published_{std::make_shared<source_history>(), {}} {}
hub::~hub() = default;

subscription hub::subscribe(const std::string& topic, topic_kind kind, audience as,
                            subscriber& who) {
  return add(topics_, std::make_unique<entry>(entry{topic, kind, {}, 0, false, {}, {}}),
             std::move(as), who);
}

subscription hub::subscribe_changes(const change_spec::key& key, audience as, subscriber& who) {
  const auto table = table_key(key.schema, key.table);
  auto fresh = std::make_unique<entry>(entry{table, topic_kind::plain, {}, 0, true, {}, {}});
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
  if (as.role == audience::part::member) ++slot->members;
  auto& g = group_for(*slot, std::move(as));
  g.places.push_back(new subscription::place{this, slot.get(), &g, &who, g.places.size()});
  return subscription{g.places.back()};
}

hub::group& hub::group_for(entry& topic, audience as) {
  auto f = std::find_if(topic.forms.begin(), topic.forms.end(),
                        [&](const auto& known) { return is_same_form(known->as, as); });
  if (f == topic.forms.end()) {
    f = topic.forms.insert(f, std::make_unique<form>(form{as, {}}));
  }
  auto& groups = (*f)->groups;
  auto g = std::find_if(groups.begin(), groups.end(),
                        [&](const auto& known) { return known->viewer == as.viewer; });
  if (g == groups.end()) {
    g = groups.insert(g, std::make_unique<group>(group{std::move(as.viewer), f->get(), {}}));
  }
  return **g;
}

void hub::remove(subscription::place* p) {
  auto& places = p->among->places;
  places[p->slot] = places.back();
  places[p->slot]->slot = p->slot;
  places.pop_back();
  auto* topic = p->topic;
  if (p->among->of->as.role == audience::part::member) --topic->members;
  if (places.empty()) {
    auto* const f = p->among->of;
    std::erase_if(f->groups, [&](const auto& g) { return g.get() == p->among; });
    std::erase_if(topic->forms, [&](const auto& known) { return known->groups.empty(); });
  }
  delete p;
  if (!topic->forms.empty()) return;
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
    for (const auto& f : topic.forms) {
      for (const auto& g : f->groups) {
        if (g->viewer && !g->viewer->sees_everything()) out.push_back({&e, g->viewer});
      }
    }
  };
  for (const auto& e : chunk.events) {
    if (e.broadcast) continue;
    for (const auto& r : e.routes) {
      const auto found = topics_.find(r.topic);
      if (found != topics_.end() && found->second->kind != topic_kind::phone)
        ask(e, *found->second);
    }
    event_rows rows(e);
    for (const auto* changes : change_entries(e, rows)) {
      for (const auto& f : changes->forms) {
        if (!f->as.changes->may_match(e, rows)) continue;
        for (const auto& g : f->groups) out.push_back({&e, g->viewer});
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

std::size_t hub::publish_event(const std::shared_ptr<const event_chunk>& chunk, const event& e,
                               const visibility_map& visible) {
  std::size_t told = 0;
  event_payloads payloads(*chunk->batch, e);
  const auto to_topic = [&](entry& topic, bool had_old, bool has_new) {
    for (const auto& f : topic.forms) {
      row_delivery d(chunk, e, f->as, payloads);
      for (const auto& g : f->groups) {
        const auto seen = visible.of(e, *g->viewer);
        const event_sides sides{had_old && seen.old_row, has_new && seen.new_row};
        if (view_of(e.op, sides) == event_view::hidden || !seen.all_columns) continue;
        d.turn_to(sides);
        told += g->places.size();
        for (auto* p : g->places) p->who->on_event(d);
      }
    }
  };
  const auto move_numbers = [&](entry& topic) {
    for (const auto& f : topic.forms) {
      for (const auto& g : f->groups) {
        for (auto* p : g->places) p->who->on_number_moved(e, *chunk->batch);
      }
    }
  };
  if (e.op == operation::truncate) {
    if (e.description == nullptr) return told;
    const bool moves = e.description->carries(topic_kind::phone) ||
                       e.description->name == description_.membership_table;
    for (const auto& [key, topic] : topics_) {
      if (topic->kind == topic_kind::plain) continue;
      if (topic->kind == topic_kind::phone && moves) move_numbers(*topic);
      if (topic->kind != topic_kind::phone && e.description->carries(topic->kind)) {
        to_topic(*topic, true, true);
      }
    }
    return told;
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
  return told;
}

std::size_t hub::publish_changes(const std::shared_ptr<const event_chunk>& chunk, const event& e,
                                 const visibility_map& visible) {
  std::size_t told = 0;
  event_rows rows(e);
  for (const auto* topic : change_entries(e, rows)) {
    for (const auto& f : topic->forms) {
      auto& spec = *f->as.changes;
      if (auto shapes = visible.shapes_for(f->as.viewer->role())) spec.use(std::move(shapes));
      if (!spec.may_match(e, rows)) continue;
      change_delivery d(chunk, e, f->as, rows);
      for (const auto& g : f->groups) {
        const auto seen = visible.of(e, *g->viewer);
        const bool is_seen = e.op == operation::remove ? seen.old_row : seen.new_row;
        if (!is_seen) continue;
        d.turn_to({seen.old_row, seen.new_row});
        told += g->places.size();
        for (auto* p : g->places) p->who->on_event(d);
      }
    }
  }
  return told;
}

void hub::publish(const std::shared_ptr<const event_chunk>& chunk, const visibility_map& visible) {
  if (chunk->events.empty()) published_ = *chunk->batch;
  for (const auto& e : chunk->events) {
    const auto told = e.broadcast ? publish_kept(chunk, e) : publish_event(chunk, e, visible);
    handed_.add(e.id, told, e.broadcast ? 0 : publish_changes(chunk, e, visible));
    published_ = {chunk->batch->history, chunk->batch->at(e.id)};
  }
}

std::size_t hub::publish_kept(const std::shared_ptr<const event_chunk>& chunk, const event& e) {
  std::size_t told = 0;
  const auto found = topics_.find(e.broadcast->key);
  if (found == topics_.end()) return told;
  for (const auto& f : found->second->forms) {
    if (f->as.role == audience::part::follower) continue;
    kept_delivery d(chunk, e, f->as);
    for (const auto& g : f->groups) {
      told += g->places.size();
      for (auto* p : g->places) p->who->on_kept(d);
    }
  }
  return told;
}

void hub::forget_place() { published_ = {std::make_shared<source_history>(), {}}; }

std::size_t hub::members_of(std::string_view topic) const {
  const auto found = topics_.find(topic);
  return found == topics_.end() ? 0 : found->second->members;
}

std::optional<std::size_t> hub::survey(std::size_t from, busiest_topics& into) const {
  const auto end = std::min(from + k_surveyed_buckets, topics_.bucket_count());
  for (auto bucket = from; bucket < end; ++bucket) {
    for (auto at = topics_.begin(bucket); at != topics_.end(bucket); ++at) {
      into.add(at->first, at->second->members);
    }
  }
  return end < topics_.bucket_count() ? std::optional{end} : std::nullopt;
}

void hub::publish(const client_broadcast& b) {
  const auto found = topics_.find(b.topic);
  if (found == topics_.end()) return;
  for (const auto& f : found->second->forms) {
    if (f->as.role == audience::part::follower) continue;
    const bool is_binary = b.encoding == payload_encoding::binary;
    if (is_binary && f->as.version != wire_version::v2) continue;
    auto bytes = is_binary
                     ? encode_binary_broadcast(f->as.wire_topic, b.event, b.payload)
                     : encode_broadcast(f->as.version, f->as.wire_topic, b.event, {b.payload});
    if (bytes.empty()) continue;  // names too long for the binary form
    const auto frame = std::make_shared<const outbound_frame>(std::move(bytes));
    for (const auto& g : f->groups) {
      for (auto* p : g->places) {
        if (p->who != b.sender) p->who->on_broadcast(frame);
      }
    }
  }
}

void hub::publish(const presence_news& news) {
  const auto found = topics_.find(news.topic);
  if (found == topics_.end()) return;
  for (const auto& f : found->second->forms) {
    if (f->as.role == audience::part::follower) continue;
    std::vector<shared_frame> frames;
    for (const auto& diff : news.diffs) {
      frames.push_back(std::make_shared<const outbound_frame>(
          encode_push(f->as.version, "null", "null", f->as.wire_topic, "presence_diff", diff)));
    }
    for (const auto& g : f->groups) {
      for (auto* p : g->places) p->who->on_presence(frames);
    }
  }
}

}  // namespace pgcast
