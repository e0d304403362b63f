#pragma once

#include "daemon/http_exchange.hpp"

#include <optional>
#include <string_view>

namespace pgcast {

/// The console's file of that path; nullopt: there is none.
std::optional<http_response> console_file(const http_request& r, std::string_view path);

}  // namespace pgcast
