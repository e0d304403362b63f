#pragma once

#include "daemon/http_exchange.hpp"
#include "daemon/shard_services.hpp"

#include <boost/asio/awaitable.hpp>

namespace pgcast {

/// GET /api/v1/campaigns: those that the caller may see. `r` and `target` outlive the call.
boost::asio::awaitable<http_response> list_campaigns(shard_services& services,
                                                     const http_request& r,
                                                     const request_target& target);

}  // namespace pgcast
