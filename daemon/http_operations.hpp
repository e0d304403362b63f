#pragma once

#include "daemon/shard_services.hpp"
#include "protocol/api_request.hpp"
#include "protocol/claims.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace pgcast {

/// What is asked about the daemon itself.
struct operations_request {
  enum class kind { report, event, token } wanted = kind::report;
  std::uint64_t event_id = 0;  ///< of an event; 0 is none's
};

/// `path` is what follows /api/v1. Nothing if it is another one's.
std::optional<operations_request> parse_operations_request(std::span<const std::string> path);

/// The answer as JSON, for service_role alone. `body` is that of the request. Fails with
/// unauthorized, not_found or body_invalid.
boost::asio::awaitable<api_result<std::string>> answer_operations(shard_services& services,
                                                                  operations_request r,
                                                                  std::string role,
                                                                  std::string body);

}  // namespace pgcast
