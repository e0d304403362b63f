#pragma once

#include "protocol/json_web_key.hpp"

#include <string>

namespace pgcast {

/// True if auth.jwks names a URL and no file.
bool is_key_url(const std::string& location);

// Both fail with one sentence that has the location and the remedy.

/// What stands at `location`, a file or a URL; 1 MiB at most. Blocks, 5 s at most; from any thread.
/// No redirect is followed: the URL of the configuration is the one that is trusted. Fails with
/// config_invalid (the file) or keys_unreachable (the URL).
result<std::string> read_key_document(const std::string& location);

/// The keys in it. Fails with config_invalid.
result<json_web_key_set> parse_keys(const std::string& location, const std::string& text);

}  // namespace pgcast
