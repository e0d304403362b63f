#pragma once

#include "protocol/codec.hpp"
#include "protocol/error.hpp"
#include "protocol/topic.hpp"

#include <boost/system/result.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// That a broadcast is kept for those who join later, and for how long at most.
struct keeping {
  std::optional<std::chrono::seconds> ttl;
};

/// A broadcast that came over HTTP, checked.
struct requested_broadcast {
  topic to;
  std::string event;
  std::string payload;  ///< JSON, or bytes
  payload_encoding encoding = payload_encoding::json;
  std::optional<keeping> keep;
};

struct broadcast_limits {
  std::size_t payload_bytes = 3'000'000;
  std::size_t messages = 10'000;  ///< of one batch
};

/// Why a request is not taken. Nothing of it is sent.
struct refused_broadcast {
  errc code = errc::payload_malformed;  ///< of the first fault: also payload_too_large,
                                        ///< reserved_event
  std::string sentence;                 ///< the first fault, with its field
  std::string errors;                   ///< JSON: the faults of each field
  std::size_t reserved_events = 0;
};
[[noreturn]] void throw_exception_from_error(const refused_broadcast& e,
                                             const boost::source_location& where);

template <class T>
using broadcast_result = boost::system::result<T, refused_broadcast>;

/// Reads {"messages":[{"topic","event","payload","private"}, ..]}. A payload is an object, as
/// Supabase Realtime wants it; unknown members are ignored. `errors` is as its changesets are
/// printed: {"messages":[{},{"topic":["can't be blank"]}]}.
broadcast_result<std::vector<requested_broadcast>> parse_batch(std::string_view json,
                                                               const relay_description& description,
                                                               const broadcast_limits& limits);

/// One message whose topic and event stand in the path of the request. `persist` and `ttl` are
/// those of its query. A JSON payload is any value but null.
struct single_request {
  std::string topic;
  std::string event;
  std::string payload;
  payload_encoding encoding = payload_encoding::json;
  bool is_private = false;
  std::optional<std::string> persist;
  std::optional<std::string> ttl;
};
broadcast_result<requested_broadcast> check_single(single_request said,
                                                   const relay_description& description,
                                                   const broadcast_limits& limits);

/// Metadata of a push: {"persist": true} or {"persist": {"ttl": <seconds>}}; nullopt without.
/// Fails with payload_malformed for a ttl that is no number of seconds from 1.
result<std::optional<keeping>> parse_push_metadata(std::string_view json);

}  // namespace pgcast
