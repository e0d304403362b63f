#pragma once

#include "protocol/error.hpp"

#include <string>
#include <string_view>

namespace pgcast {

/// What a client can do about an error that it is told of; "" for errors that no client hears of.
/// The same words stand in docs/errors.md.
std::string_view hint_of(errc code);

/// The sentence of a refusal as Supabase Realtime begins it, "Unauthorized: ..", which is what apps
/// look at (realtime-protocol facts, section 12).
std::string reason_of(const error& e);

/// The payload of a phx_reply, {"status":"error","response":{"reason":..},"code":..,"hint":..}.
/// Code and hint stand beside the response: supabase-js makes one text of all that is in there, and
/// apps compare it.
std::string error_reply(const error& e);

/// The body of a refused handshake: {"error":..,"code":..,"hint":..}.
std::string error_body(const error& e);

}  // namespace pgcast
