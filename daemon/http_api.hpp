#pragma once

#include "daemon/http_exchange.hpp"
#include "daemon/shard_services.hpp"

#include <boost/asio/awaitable.hpp>

namespace pgcast {

/// True for what begins with /api/v1.
bool is_api_path(const request_target& t);

/// The snapshot API (contract, section 5): a whole answer to whatever request. `r` and `target`
/// outlive the call.
boost::asio::awaitable<http_response> answer_api(shard_services& services, const http_request& r,
                                                 const request_target& target);

}  // namespace pgcast
