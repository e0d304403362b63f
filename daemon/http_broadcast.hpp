#pragma once

#include "daemon/http_exchange.hpp"
#include "daemon/shard_services.hpp"

#include <boost/asio/awaitable.hpp>

namespace pgcast {

/// Paths of the broadcast API: /api/broadcast and below, also behind /realtime/v1.
bool is_broadcast_path(const request_target& t);

/// Answers a request of the broadcast API, of which the header has been read: messages for those
/// who have joined a topic, several as JSON, or one whose topic and event stand in the path. 202:
/// they are on their way; to topics that the caller may not speak on nothing goes, and it is not
/// told (as with Supabase Realtime). Who has no good token does not get its body read. Any origin
/// is fine: a page can only send what it has a token for.
boost::asio::awaitable<void> serve_broadcast(shard_services& services, http_exchange& client,
                                             const request_target& target);

}  // namespace pgcast
