#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

namespace pgcast {

/// How many clients there are of each address and each user, of all shards together.
///
/// Thread-safe. It has a lock of its own, because a client's address is known on the thread that
/// reads its handshake; the lock is taken twice in a client's life, for two look-ups.
class census {
 public:
  struct limits {
    std::size_t per_address;
    std::size_t per_user;
  };
  enum class verdict { admitted, address_is_full, user_is_full };

 private:
  using counts = std::unordered_map<std::string, std::size_t>;
  using counted = counts::value_type;

 public:
  /// One client that counts as long as this exists; must not outlive the census.
  class seat {
   public:
    seat() = default;
    seat(census& c, counted* address, counted* user) : of_(&c), address_(address), user_(user) {}
    seat(seat&& other) noexcept
        : of_(std::exchange(other.of_, nullptr)), address_(other.address_), user_(other.user_) {}
    seat& operator=(seat&& other) noexcept {
      std::swap(of_, other.of_);
      std::swap(address_, other.address_);
      std::swap(user_, other.user_);
      return *this;
    }
    ~seat() {
      if (of_ != nullptr) of_->leave(*this);
    }

   private:
    friend class census;
    census* of_ = nullptr;
    counted* address_ = nullptr;
    counted* user_ = nullptr;
  };

  explicit census(limits most) : most_(most) {}
  census(const census&) = delete;
  census& operator=(const census&) = delete;

  /// Counts a client and gives its seat, unless there are too many already. "" is not counted.
  verdict admit(const std::string& address, const std::string& user, seat& given);

 private:
  static counted* find_room(counts& of, const std::string& name);
  void leave(const seat& s);

  const limits most_;
  std::mutex mutex_;
  counts addresses_;
  counts users_;
};

}  // namespace pgcast
