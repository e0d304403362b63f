#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace pgcast {

/// The newest values, as many as there are slots; a new one takes the place of the oldest. Memory
/// is taken once. Not thread-safe.
template <class T>
class ring {
 public:
  /// `slots` > 0.
  explicit ring(std::size_t slots) : slots_(slots) {}

  /// The slot of the next value, with what stood there before: what it has allocated serves again.
  T& next() { return slots_[written_++ % slots_.size()]; }

  std::size_t size() const { return std::min(written_, slots_.size()); }
  /// `age` 0 is the newest, below size().
  const T& at(std::size_t age) const { return slots_[(written_ - 1 - age) % slots_.size()]; }
  T& at(std::size_t age) { return slots_[(written_ - 1 - age) % slots_.size()]; }

 private:
  std::vector<T> slots_;
  std::size_t written_ = 0;
};

}  // namespace pgcast
