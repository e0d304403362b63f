#pragma once

#include "protocol/error.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace pgcast {

/// What a connection string says, by libpq's keywords; what libpq takes from the environment or a
/// service file by itself is not in it, except the servers.
using pg_options = std::map<std::string, std::string>;

/// Reads a conninfo or URI; "" = libpq's defaults. Fails with database_unreachable; the sentence
/// quotes no password.
result<pg_options> parse_conninfo(const std::string& text);

/// One connection string for each server that the list names, in the order in which to try them.
/// libpq would wait for a silent server as long as for the whole list; one by one, each has its own
/// share of time. Where several are named and nothing else is asked for, only a primary will do.
std::vector<pg_options> split_servers(const pg_options& options);

/// The same with an address for each host name, one entry an address: libpq would block the thread
/// while it looks names up. A name that cannot be looked up within `timeout` gives an error.
boost::asio::awaitable<result<std::vector<pg_options>>> resolve_server(
    pg_options server, std::chrono::milliseconds timeout);

/// "db1:5432", for sentences.
std::string name_of_server(const pg_options& server);

}  // namespace pgcast
