#include "daemon/server_address.hpp"

#include "daemon/commands.hpp"
#include "daemon/config_text.hpp"
#include "protocol/claims.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>

#include <array>
#include <cstdlib>
#include <fstream>

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
  if (found == nullptr || parsed->host_address().empty()) {
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
  boost::urls::url query;
  const boost::urls::string_view value(key.data(), key.size());
  query.params().append(boost::urls::param_view("apikey", value));
  add_query(where.target, std::string(query.encoded_query()));
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
