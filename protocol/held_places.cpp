#include "protocol/held_places.hpp"

#include <openssl/sha.h>

#include <initializer_list>

namespace pgcast {

std::string place_key::digest() const {
  std::string text;  // lengths first: no part can pass for another
  for (const auto* part : {&client_id, &role, &sub, &topic, &join_options}) {
    text.append(std::to_string(part->size())).append(":").append(*part);
  }
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

bool held_places::put(const place_key& key, held_place place, clock::time_point now) {
  if (hold_.count() == 0 || capacity_ == 0 || !place.is_somewhere()) return false;
  take(key, now);
  if (by_key_.size() >= capacity_) {
    by_key_.erase(by_age_.front().key);
    by_age_.pop_front();
  }
  by_age_.push_back({key.digest(), std::move(place), now + hold_});
  by_key_.emplace(by_age_.back().key, std::prev(by_age_.end()));
  return true;
}

std::optional<held_place> held_places::take(const place_key& key, clock::time_point now) {
  const auto found = by_key_.find(key.digest());
  if (found == by_key_.end()) return std::nullopt;
  const auto at = found->second;
  std::optional<held_place> place;
  if (at->until > now) place = std::move(at->place);
  by_key_.erase(found);
  by_age_.erase(at);
  return place;
}

std::size_t held_places::expire(clock::time_point now) {
  std::size_t count = 0;
  for (; !by_age_.empty() && by_age_.front().until <= now; ++count) {
    by_key_.erase(by_age_.front().key);
    by_age_.pop_front();
  }
  return count;
}

void held_places::clear() {
  by_key_.clear();
  by_age_.clear();
}

}  // namespace pgcast
