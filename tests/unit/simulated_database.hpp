#pragma once

#include "protocol/event.hpp"
#include "protocol/position.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace pgcast {

/// An outbox in a Postgres so simple that it is right by inspection: transactions that write rows
/// with rising ids and end in any order, snapshots, crashes after which transaction ids are given
/// out again, and the query for events after a position (select_events in daemon/) row by row.
class simulated_database {
 public:
  struct row {
    std::uint64_t id = 0;
    std::uint64_t xid = 0;
    unsigned key = 0;   ///< the topic
    unsigned item = 0;  ///< the changed row: locked by its transaction until that ends
  };
  struct page {
    struct item {
      row changed;
      std::shared_ptr<const batch_span> span;
    };
    std::vector<item> items;
    position next;
    bool is_end = false;
  };
  using filter = std::function<bool(const row&)>;
  static constexpr unsigned k_keys = 3;

  explicit simulated_database(std::uint32_t seed) : random_(seed) {
    history_.epoch = 0x0123456789abcdef;
    history_.cursor_key = "key";
    history_.incarnations = {{1, 3}};
  }
  virtual ~simulated_database() = default;

  std::size_t below(std::size_t limit) { return random_() % limit; }

  /// Something happens.
  void step() {
    const auto chance = below(100);
    if (chance < 20 && running_.size() < 6) {
      running_[next_xid_];
      next_xid_ += 1 + (below(8) == 0);  // some ids never write
    } else if (chance < 70) {
      if (!running_.empty()) write(any_running());
    } else if (chance < 99 && !running_.empty()) {
      end(any_running(), chance < 92 ? outcome::commit : outcome::roll_back);
    } else if (chance == 99) {
      crash();
    }
  }
  void end_all() {
    while (!running_.empty()) end(any_running(), outcome::commit);
  }

  std::shared_ptr<const pg_snapshot> snapshot() const {
    std::vector<std::uint64_t> in_progress;
    for (const auto& [xid, rows] : running_) {
      if (xid < first_unended_) in_progress.push_back(xid);
    }
    const auto xmin = in_progress.empty() ? first_unended_ : in_progress.front();
    return std::make_shared<pg_snapshot>(xmin, first_unended_, std::move(in_progress));
  }
  std::shared_ptr<const source_history> history() const {
    return std::make_shared<source_history>(history_);
  }
  std::uint32_t incarnation_number() const { return history_.current(); }
  position now() const { return position::at(history_.current(), snapshot()); }
  /// Rows of committed transactions, in the order of the commits.
  const std::vector<row>& committed() const { return committed_; }

  /// Rows after a place, at most `limit` (0 = all) of one key (nullopt = all).
  page read(position after, std::optional<unsigned> key, std::size_t limit) const {
    return read(
        std::move(after), [&](const row& r) { return !key || *key == r.key; }, limit);
  }
  page read(position after, const filter& is_wanted, std::size_t limit) const {
    after = after.in(history_);
    std::vector<std::pair<bool, row>> found;
    for (const auto& r : committed_) {
      if (!is_wanted(r)) continue;
      if (!after.covers(r.xid, r.id)) found.emplace_back(!after.s2->sees(r.xid), r);
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
      return std::pair{a.first, a.second.id} < std::pair{b.first, b.second.id};
    });
    page out;
    out.is_end = limit == 0 || found.size() < limit;
    if (!out.is_end) found.resize(limit);
    const auto seen = snapshot();
    const auto known = history();
    position rest = position::at(history_.current(), after.s2);
    rest.s2 = seen;
    position first = after;
    first.id = 0;
    const auto first_span = std::make_shared<batch_span>(batch_span{known, first});
    const auto rest_span = std::make_shared<batch_span>(batch_span{known, rest});
    for (const auto& [is_rest, r] : found) {
      out.items.push_back({r, is_rest ? rest_span : first_span});
    }
    out.next = position::at(history_.current(), seen);
    if (!out.is_end) out.next = out.items.back().span->at(out.items.back().changed.id);
    return out;
  }

 protected:
  enum class outcome { commit, roll_back };

  /// A running transaction writes; `add_row` gives the id.
  virtual void write(std::uint64_t xid) {
    const auto item = static_cast<unsigned>(below(12));
    for (const auto& [other, rows] : running_) {
      const bool is_locked =
          std::any_of(rows.begin(), rows.end(), [&](const auto& r) { return r.item == item; });
      if (other != xid && is_locked) return;
    }
    add_row(xid, item % k_keys, item);
  }
  std::uint64_t add_row(std::uint64_t xid, unsigned key, unsigned item) {
    next_id_ += 1 + below(3);
    running_[xid].push_back({next_id_, xid, key, item});
    return next_id_;
  }
  /// A transaction has ended; a crash rolls back all that run.
  virtual void has_ended(std::uint64_t, outcome) {}

 private:
  std::uint64_t any_running() {
    return std::next(running_.begin(), static_cast<std::ptrdiff_t>(below(running_.size())))->first;
  }

  void end(std::uint64_t xid, outcome how) {
    if (how == outcome::commit) {
      const auto& rows = running_[xid];
      committed_.insert(committed_.end(), rows.begin(), rows.end());
      if (!rows.empty()) durable_xid_ = std::max(durable_xid_, xid);
    }
    running_.erase(xid);
    has_ended(xid, how);
    first_unended_ = std::max(first_unended_, xid + 1);
  }

  /// Recovery knows ids up to some place in the log, but every one that committed rows.
  void crash() {
    for (const auto& [xid, rows] : running_) has_ended(xid, outcome::roll_back);
    running_.clear();
    next_xid_ = durable_xid_ + 1 + below(next_xid_ - durable_xid_);
    first_unended_ = next_xid_;
    next_id_ += 32;
    history_.incarnations.push_back({history_.current() + 1, next_xid_});
  }

  std::mt19937 random_;
  std::map<std::uint64_t, std::vector<row>> running_;
  std::vector<row> committed_;
  std::uint64_t next_id_ = 0;
  std::uint64_t next_xid_ = 3;
  std::uint64_t first_unended_ = 3;  ///< behind the newest xid that ended
  std::uint64_t durable_xid_ = 2;
  source_history history_;
};

}  // namespace pgcast
