#include "protocol/api_request.hpp"

#include "protocol/base64url.hpp"

#include <array>
#include <charconv>
#include <stdexcept>

namespace pgcast {
namespace {

constexpr std::size_t k_most_id_bytes = 1'024;  // as of topics
constexpr std::size_t k_most_token_bytes = 4'096;

struct route_pattern {
  std::string_view collection;
  std::string_view below;
  api_route of_one;
};
constexpr std::array k_patterns{
    route_pattern{"campaigns", "", api_route::campaign},
    route_pattern{"campaigns", "sessions", api_route::campaign_sessions},
    route_pattern{"sessions", "", api_route::session},
    route_pattern{"sessions", "calls", api_route::session_calls},
    route_pattern{"phones", "", api_route::phone},
    route_pattern{"phones", "messages", api_route::phone_messages},
};

std::optional<api_request> match(std::span<const std::string> path) {
  api_request out;
  if (path.size() == 1 && path[0] == "campaigns") return out;
  if (path.size() < 2 || path.size() > 3) return std::nullopt;
  const std::string_view below = path.size() == 3 ? std::string_view{path[2]} : "";
  for (const auto& p : k_patterns) {
    if (path[0] != p.collection || below != p.below || (path.size() == 3 && below.empty()))
      continue;
    out.route = p.of_one;
    out.id = path[1];
    const bool is_id = !out.id.empty() && out.id.size() <= k_most_id_bytes &&
                       out.id.find('\0') == std::string::npos;
    return is_id ? std::optional{out} : std::nullopt;
  }
  return std::nullopt;
}

bool has_pages(api_route route) {
  return route == api_route::campaign_sessions || route == api_route::session_calls ||
         route == api_route::phone_messages;
}

std::optional<api_request::place> decode_page_place(api_route route, std::string_view token) {
  if (token.size() > k_most_token_bytes) return std::nullopt;
  const auto bytes = base64url_decode(token);
  if (!bytes || bytes->size() < 3 ||
      (*bytes)[0] != static_cast<char>('a' + static_cast<int>(route)))
    return std::nullopt;
  const auto split = bytes->find('\n');
  if (split == std::string::npos || bytes->find('\0') != std::string::npos) return std::nullopt;
  api_request::place out;
  out.key = bytes->substr(split + 1);
  if ((*bytes)[1] == '=') out.value = bytes->substr(2, split - 2);
  return out;
}

}  // namespace

void throw_exception_from_error(const api_problem& e, const boost::source_location&) {
  throw std::runtime_error(std::string{e.code} + ": " + e.title);
}

api_problem not_found() {
  return {404, "not_found", "there is nothing here, or it is not yours",
          "compare the path with /api/v1/openapi.json, and the token with the tables' policies"};
}

api_problem before_invalid() {
  return {400, "before_invalid", "before is not the `next` of such a page",
          "pass on `next` as it is, or leave it out for the newest rows"};
}

std::string encode_page_place(api_route route, const api_request::place& last) {
  std::string bytes(1, static_cast<char>('a' + static_cast<int>(route)));
  bytes += last.value ? "=" + *last.value : "-";
  return base64url_encode(bytes + "\n" + last.key);
}

api_result<api_request> parse_api_request(std::span<const std::string> path,
                                          const query_parameters& query) {
  auto out = match(path);
  if (!out) return not_found();
  for (const auto& [name, value] : query) {
    const bool is_page = has_pages(out->route);
    if (name == "limit" && is_page) {
      const auto* const end = value.data() + value.size();
      const auto [rest, failed] = std::from_chars(value.data(), end, out->limit);
      if (failed != std::errc{} || rest != end || out->limit < 1 ||
          out->limit > api_request::k_most_rows) {
        return api_problem{400, "limit_invalid", "limit is no whole number from 1 to 1000",
                           "leave it out for 100 rows"};
      }
    } else if (name == "before" && is_page) {
      out->before = decode_page_place(out->route, value);
      if (!out->before) return before_invalid();
    } else if (name == "sender" && out->route == api_route::phone_messages) {
      if (value != "user" && value != "agent") {
        return api_problem{400, "sender_invalid", "sender is neither user nor agent",
                           "leave it out for both"};
      }
      out->sender = value;
    }
  }
  return *std::move(out);
}

}  // namespace pgcast
