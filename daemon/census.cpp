#include "daemon/census.hpp"

namespace pgcast {

census::counted* census::find_room(counts& of, const std::string& name) {
  return name.empty() ? nullptr : &*of.try_emplace(name, 0).first;
}

census::verdict census::admit(const std::string& address, const std::string& user, seat& given) {
  seat taken;
  const std::scoped_lock lock(mutex_);
  const auto is_full = [](const counts& of, const std::string& name, std::size_t most) {
    const auto found = of.find(name);
    return found != of.end() && found->second >= most;
  };
  if (is_full(addresses_, address, most_.per_address)) return verdict::address_is_full;
  if (is_full(users_, user, most_.per_user)) return verdict::user_is_full;
  taken = seat(*this, find_room(addresses_, address), find_room(users_, user));
  for (auto* one : {taken.address_, taken.user_}) {
    if (one != nullptr) ++one->second;
  }
  given = std::move(taken);
  return verdict::admitted;
}

void census::leave(const seat& s) {
  const std::scoped_lock lock(mutex_);
  const auto count_out = [](counts& of, counted* one) {
    if (one != nullptr && --one->second == 0) of.erase(of.find(one->first));
  };
  count_out(addresses_, s.address_);
  count_out(users_, s.user_);
}

}  // namespace pgcast
