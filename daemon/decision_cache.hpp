#pragma once

#include "daemon/authorizer.hpp"

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace pgcast {

/// What a class of viewers may do with named things, kept for auth.cache. `Answer` has a
/// `decided_at`. One thread.
template <class Answer>
class decision_cache {
 public:
  using clock = std::chrono::steady_clock;

  explicit decision_cache(std::chrono::milliseconds longest) : longest_(longest) {}

  /// nullptr if it is not known, or too old. Good until the next call.
  const Answer* find(const viewer_class& viewer, const std::string& name) const {
    const auto found = answers_.find({name, &viewer});
    const bool is_fresh = found != answers_.end() && !is_old(found->second.answer);
    return is_fresh ? &found->second.answer : nullptr;
  }

  void keep(std::shared_ptr<viewer_class> viewer, const std::string& name, Answer answer) {
    const auto now = clock::now();
    if (now - swept_at_ >= longest_ || answers_.size() >= k_most) {
      std::erase_if(answers_, [&](const auto& entry) { return is_old(entry.second.answer); });
      swept_at_ = now;
    }
    if (answers_.size() >= k_most) answers_.clear();
    const key k{name, viewer.get()};
    answers_[k] = {std::move(viewer), std::move(answer)};
  }

  /// Of all classes.
  void forget(const std::string& name) {
    const auto first = answers_.lower_bound({name, nullptr});
    auto last = first;
    while (last != answers_.end() && last->first.first == name) ++last;
    answers_.erase(first, last);
  }

 private:
  static constexpr std::size_t k_most = 10'000;  // more are asked again

  struct kept {
    std::shared_ptr<viewer_class> viewer;  ///< its address is part of the key
    Answer answer;
  };
  using key = std::pair<std::string, const viewer_class*>;

  bool is_old(const Answer& answer) const { return clock::now() - answer.decided_at >= longest_; }

  std::chrono::milliseconds longest_;
  std::map<key, kept> answers_;
  clock::time_point swept_at_{};
};

}  // namespace pgcast
