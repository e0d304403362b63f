#pragma once

#include "protocol/error.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgcast {

/// What the snapshot API is asked for (contract, section 5).
enum class api_route : std::uint8_t {
  campaigns,
  campaign,
  campaign_sessions,
  session,
  session_calls,
  phone,
  phone_messages
};

struct api_request {
  static constexpr unsigned k_most_rows = 1'000;
  api_request() = default;

  api_route route = api_route::campaigns;
  std::string id;        ///< as typed, "" of campaigns
  unsigned limit = 100;  ///< rows of a page, 1 to k_most_rows
  /// The last row of the page before: its sort value (nullopt: NULL) and its key.
  struct place {
    std::optional<std::string> value;
    std::string key;
  };
  std::optional<place> before;
  std::string sender;  ///< "user", "agent", "" = both
};

/// Why a request is refused: the members of an RFC 9457 problem.
struct api_problem {
  api_problem() = default;
  api_problem(unsigned s, std::string_view c, std::string t, std::string_view h)
      : status(s), code(c), title(std::move(t)), hint(h) {}
  unsigned status = 0;
  std::string_view code;  ///< stable, docs/errors.md
  std::string title;
  std::string_view hint;
};
[[noreturn]] void throw_exception_from_error(const api_problem& e,
                                             const boost::source_location& where);
template <class T>
using api_result = boost::system::result<T, api_problem>;

using query_parameters = std::vector<std::pair<std::string, std::string>>;

/// `path` is what follows /api/v1, percent-decoded. Fails with not_found, limit_invalid,
/// before_invalid or sender_invalid; parameters that it does not know mean nothing.
api_result<api_request> parse_api_request(std::span<const std::string> path,
                                          const query_parameters& query);

/// The `next` of a page of that route, to be given back as `before`.
std::string encode_page_place(api_route route, const api_request::place& last);

api_problem not_found();
api_problem before_invalid();

}  // namespace pgcast
