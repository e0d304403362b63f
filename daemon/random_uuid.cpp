#include "daemon/random_uuid.hpp"

#include "protocol/presence_message.hpp"

#include <array>
#include <cstdint>
#include <random>

namespace pgcast {

std::string random_uuid() {
  std::random_device random;
  std::array<std::uint32_t, 4> bits{};
  for (auto& b : bits) b = random();
  return make_uuid(bits);
}

}  // namespace pgcast
