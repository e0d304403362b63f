#pragma once

#include "daemon/hub.hpp"
#include "protocol/router.hpp"
#include "tests/unit/simulated_tables.hpp"

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace pgcast {

/// How often a run has taken each of its paths.
using tally = std::map<std::string_view, std::size_t>;

/// Reader, decisions and hub of a daemon with one thread: batches in chunks with their routes, lost
/// connections in the middle of them, and a pause between the questions of a chunk and its
/// publication.
class simulated_shard {
 public:
  simulated_shard(simulated_tables& source, tally& counts)
      : db(source), paths(counts), topics(recruiting_description()), place_(db.now()) {
    viewers_[0] = std::make_shared<viewer_class>("", "");
    for (unsigned i = 1; i < viewers_.size(); ++i) {
      viewers_[i] = std::make_shared<viewer_class>("role", std::to_string(i));
    }
  }

  simulated_tables& db;
  tally& paths;
  hub topics;

  std::shared_ptr<viewer_class> viewer(unsigned number) const { return viewers_[number]; }
  bool is_deciding() const { return visible_.has_value(); }
  bool has_published() const { return has_published_; }
  bool is_idle() const { return chunks_.empty(); }

  /// One batch, in chunks of at most `chunk_events`; the connection may be lost in the middle.
  enum class fate { complete, perhaps_lost };
  void read(std::size_t chunk_events, fate f) {
    if (chunks_.size() > 24) return;
    if (incarnation_ != db.incarnation_number()) must_announce_ = true;
    incarnation_ = db.incarnation_number();
    place_ = place_.in(*db.history());
    if (std::exchange(must_announce_, false)) announce();
    auto batch = db.read(place_, simulated_database::filter{[](const auto&) { return true; }}, 0);
    const bool is_lost = f == fate::perhaps_lost && !batch.items.empty() && db.below(6) == 0;
    const auto count = is_lost ? db.below(batch.items.size()) : batch.items.size();
    std::shared_ptr<event_chunk> chunk;
    for (std::size_t i = 0; i < count; ++i) {
      const auto& [row, span] = batch.items[i];
      if (!chunk || chunk->batch != span || chunk->events.size() >= chunk_events) {
        if (chunk) chunks_.push_back(std::move(chunk));
        chunk = std::make_shared<event_chunk>();
        chunk->batch = span;
      }
      chunk->events.push_back(routed(row));
      place_ = span->at(row.id);
    }
    if (chunk) chunks_.push_back(std::move(chunk));
    if (!is_lost) place_ = batch.next;
    must_announce_ = is_lost;
    if (is_lost) ++paths["batch lost"];
  }

  /// Asks what the next chunk's events may show, or publishes it.
  void step() {
    if (chunks_.empty()) return;
    if (!visible_) return decide();
    const auto chunk = std::move(chunks_.front());
    chunks_.pop_front();
    topics.publish(chunk, *visible_);
    visible_.reset();
    has_published_ = true;
    paths["event published"] += chunk->events.size();
  }

  /// A row's event without routes, its sides for one viewer.
  event_sides sides_of(const simulated_tables::watched& topic, unsigned number,
                       const simulated_tables::change& c) const {
    const auto seen = simulated_tables::seen_as(topic, number, c);
    return {seen == "UPDATE" || seen == "DELETE" || seen == "TRUNCATE",
            seen == "UPDATE" || seen == "INSERT" || seen == "TRUNCATE"};
  }

 private:
  void announce() {
    auto chunk = std::make_shared<event_chunk>();
    chunk->batch = std::make_shared<batch_span>(batch_span{db.history(), place_});
    chunks_.push_back(std::move(chunk));
  }

  event routed(const simulated_database::row& row) {
    auto e = db.event_of(row);
    e.routes = route_event(e, [&](std::string_view session, directory::lookup which) {
      return directory_.campaign_of(session, which);
    });
    directory_.fold(e);
    return e;
  }

  /// Only what the hub asks gets an answer.
  void decide() {
    visible_.emplace();
    for (const auto& q : topics.questions(*chunks_.front())) {
      const auto number = static_cast<unsigned>(
          std::find(viewers_.begin(), viewers_.end(), q.viewer) - viewers_.begin());
      const auto& c = db.of(q.e->id);
      const bool is_truncate = c.op == operation::truncate;
      auto& answer = visible_->at(*q.e, *q.viewer);
      answer.old_row = is_truncate || (c.before && simulated_tables::may_see(number, *c.before));
      answer.new_row = is_truncate || (c.after && simulated_tables::may_see(number, *c.after));
      answer.all_columns = simulated_tables::may_see(number, c.of);
    }
  }

  std::array<std::shared_ptr<viewer_class>, simulated_tables::k_viewers> viewers_;
  directory directory_{recruiting_description()};
  position place_;
  std::uint32_t incarnation_ = 0;
  bool must_announce_ = true;
  bool has_published_ = false;
  std::deque<std::shared_ptr<const event_chunk>> chunks_;
  std::optional<visibility_map> visible_;  ///< of the first chunk, once it is decided
};

}  // namespace pgcast
