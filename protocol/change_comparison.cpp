#include "protocol/change_comparison.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <iterator>
#include <utility>

namespace pgcast {
namespace {

constexpr std::size_t k_recent = std::size_t{1} << 17;
constexpr int k_sub_bits = 5;  // 32 buckets an octave

std::size_t mix(std::size_t seed, std::size_t value) {
  return seed ^ (value + 0x9E3779B97F4A7C15 + (seed << 6) + (seed >> 2));
}

std::size_t mix(std::size_t seed, std::string_view text) {
  return mix(seed, std::hash<std::string_view>()(text));
}

/// Of the values of these columns; the change has them all.
std::size_t bucket_key(const observed_change& change, const std::vector<std::size_t>& names) {
  std::size_t key = 0;
  auto column = change.columns.begin();
  for (const auto name : names) {
    while (column != change.columns.end() && column->name < name) ++column;
    if (column != change.columns.end()) key = mix(key, column->value);
  }
  return key;
}

/// Equal in all columns that both have, and they have some; a change without its row is like any.
bool is_alike(const observed_change& a, const observed_change& b) {
  if (a.columns.empty() || b.columns.empty()) return true;
  std::size_t shared = 0;
  auto in_a = a.columns.begin();
  auto in_b = b.columns.begin();
  while (in_a != a.columns.end() && in_b != b.columns.end()) {
    if (in_a->name < in_b->name) {
      ++in_a;
    } else if (in_b->name < in_a->name) {
      ++in_b;
    } else {
      if (in_a->value != in_b->value) return false;
      ++shared;
      ++in_a;
      ++in_b;
    }
  }
  return shared > 0;
}

std::size_t lag_bucket(std::uint64_t us) {
  const auto bits = static_cast<int>(std::bit_width(us));
  if (bits <= k_sub_bits) return static_cast<std::size_t>(us);
  const int shift = bits - k_sub_bits - 1;
  const auto octave = static_cast<std::size_t>(shift + 1) << k_sub_bits;
  return octave + static_cast<std::size_t>((us >> shift) & ((1U << k_sub_bits) - 1));
}

/// The greatest lag of a bucket.
std::uint64_t lag_limit(std::size_t bucket) {
  const auto octave = bucket >> k_sub_bits;
  const std::uint64_t low = bucket & ((1U << k_sub_bits) - 1);
  if (octave == 0) return low;
  return (((std::uint64_t{1} << k_sub_bits) + low + 1) << (octave - 1)) - 1;
}

}  // namespace

void lag_histogram::add(duration lag) {
  lag = std::max(lag, duration{0});
  const auto us = static_cast<std::uint64_t>(lag.count());
  const auto bucket = lag_bucket(us);
  if (counts_.size() <= bucket) counts_.resize(bucket + 1);
  ++counts_[bucket];
  ++total_;
  max_ = std::max(max_, lag);
}

lag_histogram::duration lag_histogram::quantile(double share) const {
  const auto wanted = static_cast<std::size_t>(std::ceil(share * static_cast<double>(total_)));
  std::size_t seen = 0;
  for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    seen += counts_[bucket];
    if (seen > 0 && seen >= wanted) {
      return std::min(duration(static_cast<std::int64_t>(lag_limit(bucket))), max_);
    }
  }
  return duration{0};
}

void change_comparison::add(side from, const observed_change& change, duration at_time) {
  auto& g = groups_[change.table + '\n' + change.type];
  const bool is_newer = change.committed > newest_watched_;
  if (phase_ == phase::watching && is_newer) newest_watched_ = change.committed;
  const bool is_counted = phase_ == phase::counting && (is_newer || change.committed.empty());
  waiting arrived{change, at_time, is_repeat(from, change), is_counted};
  narrow(g, change);
  if (take_match(g, from, arrived, true)) return;
  if (phase_ != phase::closing) remember(g, from, std::move(arrived));
}

bool change_comparison::is_repeat(side from, const observed_change& change) {
  if (change.id.empty()) return false;
  std::size_t hash = mix(mix(mix(0, change.table), change.type), change.id);
  for (const auto& column : change.columns) hash = mix(mix(hash, column.name), column.value);
  auto& [known, in_order] = at(recent_, from);
  if (!known.insert(hash).second) return true;
  in_order.push_back(hash);
  if (in_order.size() > k_recent) {
    known.erase(in_order.front());
    in_order.pop_front();
  }
  return false;
}

/// Leaves out the columns that this change lacks, and sorts anew what waits.
void change_comparison::narrow(group& g, const observed_change& change) {
  std::vector<std::size_t> names;
  for (const auto& column : change.columns) names.push_back(column.name);
  if (std::exchange(g.is_new, false)) {
    g.names = std::move(names);
    return;
  }
  if (std::ranges::includes(names, g.names)) return;
  std::vector<std::size_t> shared;
  std::ranges::set_intersection(g.names, names, std::back_inserter(shared));
  g.names = std::move(shared);
  for (auto& all : g.waiting_at) {
    bucket in_order;
    for (auto& [key, some] : all) in_order.splice(in_order.end(), some);
    in_order.sort([](const waiting& a, const waiting& b) { return a.at < b.at; });
    all.clear();
    while (!in_order.empty()) {
      auto& target = all[bucket_key(in_order.front().change, g.names)];
      target.splice(target.end(), in_order, in_order.begin());
    }
  }
}

/// Takes the oldest like change of the other server; repeats only for repeats, if so asked: a
/// change that was made twice is a repeat on both, one that was sent twice on one.
bool change_comparison::take_match(group& g, side from, const waiting& arrived,
                                   bool like_repeats_only) {
  auto& candidates = at(g.waiting_at, other(from));
  const auto found = candidates.find(bucket_key(arrived.change, g.names));
  if (found == candidates.end()) return false;
  const auto match = std::ranges::find_if(found->second, [&](const waiting& w) {
    return (!like_repeats_only || w.is_repeat == arrived.is_repeat) &&
           is_alike(w.change, arrived.change);
  });
  if (match == found->second.end()) return false;
  settle(from, arrived, *match);
  found->second.erase(match);
  if (found->second.empty()) candidates.erase(found);
  return true;
}

/// Both have had it. It counts if both times do; while closing, the second need not.
void change_comparison::settle(side from, const waiting& arrived, const waiting& earlier) {
  --(earlier.is_counted ? counted_ : watched_);
  if (!earlier.is_counted || !(arrived.is_counted || phase_ == phase::closing)) {
    if (earlier.is_counted) --at(received_, other(from));
    return;
  }
  ++both_;
  ++at(received_, from);
  at(behind_, from).add(arrived.at - earlier.at);
  at(behind_, other(from)).add(earlier.at - arrived.at);
}

void change_comparison::remember(group& g, side from, waiting arrived) {
  ++(arrived.is_counted ? counted_ : watched_);
  if (arrived.is_counted) ++at(received_, from);
  is_full_ = is_full_ || counted_ >= limit_;
  auto& target = at(g.waiting_at, from)[bucket_key(arrived.change, g.names)];
  target.push_back(std::move(arrived));
  if (watched_ >= limit_) forget_watched();
}

void change_comparison::start_counting() { phase_ = phase::counting; }

void change_comparison::close() { phase_ = phase::closing; }

void change_comparison::forget_watched() {
  for (auto& [name, g] : groups_) {
    for (auto& all : g.waiting_at) {
      for (auto& [key, some] : all) {
        some.remove_if([](const waiting& w) { return !w.is_counted; });
      }
      std::erase_if(all, [](const auto& entry) { return entry.second.empty(); });
    }
  }
  watched_ = 0;
}

/// What is left of repeats may still stand for a change of the other server that is none there: it
/// gave other times to the two.
void change_comparison::pair_repeats(group& g) {
  for (const auto from : {side::ours, side::theirs}) {
    auto& all = at(g.waiting_at, from);
    for (auto& [key, some] : all) {
      std::erase_if(some, [&](const waiting& w) {
        if (!w.is_repeat || !w.is_counted || !take_match(g, from, w, false)) return false;
        --counted_;
        --at(received_, from);  // settle() has counted it again
        return true;
      });
    }
  }
}

change_comparison::figures change_comparison::finish(std::size_t most_missed) {
  close();
  forget_watched();
  figures result;
  for (auto& [name, g] : groups_) pair_repeats(g);
  for (const auto from : {side::ours, side::theirs}) {
    auto& own = from == side::ours ? result.ours : result.theirs;
    auto& others = from == side::ours ? result.theirs : result.ours;
    std::vector<const waiting*> missed;
    for (const auto& [name, g] : groups_) {
      for (const auto& [key, some] : at(g.waiting_at, from)) {
        for (const auto& w : some) {
          if (w.is_repeat) {
            ++own.doubled;
          } else {
            missed.push_back(&w);
          }
        }
      }
    }
    std::ranges::sort(missed, {}, [](const waiting* w) { return w->at; });
    others.missed = missed.size();
    missed.resize(std::min(missed.size(), most_missed));
    for (const auto* w : missed) {
      const auto& c = w->change;
      others.first_missed.push_back({c.table, c.type, c.key, c.commit_timestamp});
    }
    own.received = received(from);
    own.behind = at(behind_, from);
  }
  result.both = both_;
  return result;
}

}  // namespace pgcast
