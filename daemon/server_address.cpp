#include "daemon/server_address.hpp"

#include "daemon/commands.hpp"
#include "daemon/config_text.hpp"
#include "protocol/claims.hpp"

#include <boost/url/encode.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>
#include <boost/url/url_view.hpp>

#include <array>
#include <cstdlib>
#include <fstream>
#include <string>

namespace pgcast {
namespace {

constexpr auto k_base_path = "/realtime/v1";
constexpr std::string_view k_endpoint = "/websocket";
constexpr auto k_version = "vsn=2.0.0";

struct scheme {
  std::string_view name;
  bool is_tls;
  const char* port;
};
constexpr std::array<scheme, 4> k_schemes{{
    {"ws", false, "80"},
    {"http", false, "80"},
    {"wss", true, "443"},
    {"https", true, "443"},
}};

error unusable(std::string sentence) { return {errc::config_invalid, std::move(sentence)}; }

/// Boost.URL 1.81 takes a port that is no number for a path, and numbers of any size.
bool has_good_port(const boost::urls::url_view& url) {
  const auto path = url.encoded_path();
  if (!path.empty() && !path.starts_with('/')) return false;
  return url.port().empty() ||
         (url.port().size() <= 5 && std::stoi(std::string(url.port())) <= 65535);
}

void add_query(std::string& target, std::string_view parameter) {
  target += target.find('?') == std::string::npos ? '?' : '&';
  target += parameter;
}

}  // namespace

result<websocket_client::address> parse_server_url(std::string_view text,
                                                   const std::string& option) {
  const auto parsed = boost::urls::parse_uri({text.data(), text.size()});
  const scheme* found = nullptr;
  for (const auto& one : k_schemes) {
    if (parsed && std::string_view(parsed->scheme()) == one.name) found = &one;
  }
  if (found == nullptr || parsed->host_address().empty() || !has_good_port(*parsed)) {
    return unusable(option + " " + std::string(text) +
                    " is not accepted; it takes wss://HOST[:PORT][/PATH] (or ws, https, http)");
  }
  // An argument can be read by everybody on the machine.
  if (parsed->has_userinfo() || parsed->params().contains("apikey")) {
    return unusable(option +
                    " carries a key or password, which others can read in the list of "
                    "processes; give it by a file or by the environment");
  }
  websocket_client::address where;
  where.host = parsed->host_address();
  where.port = parsed->port().empty() ? found->port : std::string(parsed->port());
  where.is_tls = found->is_tls;
  where.target = std::string(parsed->encoded_path());
  while (where.target.ends_with('/')) where.target.pop_back();
  if (where.target.empty()) where.target = k_base_path;
  if (!where.target.ends_with(k_endpoint)) where.target += k_endpoint;
  if (parsed->has_query()) add_query(where.target, std::string(parsed->encoded_query()));
  add_query(where.target, k_version);
  return where;
}

websocket_client::address listener_address(const config& c) {
  const auto listen = parse_listen(c.listen).value_or(listen_address{});
  websocket_client::address where;
  where.host = listen.host;
  if (listen.host == "0.0.0.0") where.host = "127.0.0.1";
  if (listen.host == "::") where.host = "::1";
  where.port = std::to_string(listen.port);
  where.unix_path = listen.unix_path;
  where.target = std::string(k_base_path) + std::string(k_endpoint);
  add_query(where.target, k_version);
  return where;
}

websocket_client::address with_api_key(websocket_client::address where, std::string_view key) {
  // Also what a query may carry bare: some servers read a plus as a blank.
  const boost::urls::string_view text(key.data(), key.size());
  add_query(where.target, "apikey=" + boost::urls::encode(text, boost::urls::unreserved_chars));
  return where;
}

result<std::string> read_token(const std::string& path, const std::string& option,
                               const char* variable) {
  if (path.empty()) {
    const char* token = std::getenv(variable);
    return std::string(token == nullptr ? "" : token);
  }
  std::ifstream file(path);
  std::string token;
  if (!(file >> token)) {
    return unusable(option + " " + path + " cannot be read or is empty; give a file with a token");
  }
  return token;
}

result<std::string> find_own_token(const config& c, const std::string& path) {
  auto given = read_token(path, "--token-file", "PGCAST_TOKEN");
  if (!given || !given->empty()) return given;
  if (!c.tokens.secrets.empty()) {
    token_options service;
    service.role = "service_role";
    const auto claims =
        make_claims(service, std::chrono::hours(24), std::chrono::system_clock::now());
    if (!claims) return claims.error();
    return mint_token(*claims, c.tokens.secrets.front());
  }
  if (c.mode == auth_mode::off) return std::string();
  return unusable(
      "there is no token; give --token-file or PGCAST_TOKEN, or configure "
      "auth.jwt_secret so that one can be made");
}

}  // namespace pgcast
