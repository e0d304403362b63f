#pragma once

#include "protocol/error.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace pgcast {

/// What a client says in an event `presence`.
struct presence_request {
  enum class kind { track, untrack } what = kind::untrack;
  std::string members;  ///< of track: the payload's members as JSON, `"name":"ada","n":1`
};

/// Reads {"event":"track","payload":{..}} or {"event":"untrack"}; the event in any case, an absent
/// payload is empty. Members that the server writes (phx_ref, phx_ref_prev) are left out. Fails
/// with payload_malformed; the detail is the reason that the client is told.
result<presence_request> parse_presence(std::string_view payload_json);

/// True for keys that clients in JavaScript cannot hold: the names that every object of theirs has
/// already ("constructor"). One of them in a state makes such a client fail at each later diff.
bool is_reserved_presence_key(std::string_view key);

/// A random UUID (version 4) of these bits.
std::string make_uuid(const std::array<std::uint32_t, 4>& bits);

/// Texts of which no two are alike, also not from two sources with different seeds.
class unique_refs {
 public:
  explicit unique_refs(std::uint64_t seed);
  std::string next();

 private:
  std::string prefix_;
  std::uint64_t count_ = 0;
};

}  // namespace pgcast
