#pragma once

#include "daemon/pg_connection.hpp"
#include "protocol/position.hpp"
#include "protocol/router.hpp"

#include <boost/asio/awaitable.hpp>

namespace pgcast {

/// Fills `into` with every session's campaign and numbers, and gives the snapshot at which that is
/// true. Tables that do not exist count as empty. Fails with query_failed, also when row-level
/// security would hide rows from the daemon's role.
boost::asio::awaitable<result<pg_snapshot>> load_directory(pg_connection& pg,
                                                           const relay_description& description,
                                                           directory& into);

}  // namespace pgcast
