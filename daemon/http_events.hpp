#pragma once

#include "daemon/event_stream.hpp"
#include "daemon/http_exchange.hpp"
#include "protocol/api_request.hpp"

#include <string>

namespace pgcast {

bool is_events_path(const request_target& t);

/// Whom a ticket was given to may open a stream with it: the target with the token in its place
/// (`ticket=` becomes `apikey=`). Fails with the problem to answer.
api_result<request_target> with_opened_ticket(const request_target& t, const config& c,
                                              wall_time now);

/// A ticket for the token of that request: {"ticket":..,"expires_in":..}. `token` has been
/// verified.
std::string make_ticket(std::string_view token, const config& c, wall_time now);

/// What a GET /events asks for; `t` has no ticket any more. Fails with the problem to answer.
api_result<event_stream_request> check_events(const http_request& r, const request_target& t,
                                              const config& c, wall_time now);

/// The same for what is refused before that.
api_problem problem_of(const refused_request& e);

/// The header of the answer, and the first lines behind it.
std::string events_head();

/// A whole response that refuses.
std::string events_refusal(const http_request& r, const error& e);

}  // namespace pgcast
