#include "daemon/setting_kinds.hpp"

#include <algorithm>
#include <thread>

namespace pgcast {
namespace {

using namespace std::chrono_literals;

bool is_role(std::string_view text) {
  return text.size() < 64 && text.find_first_of(" \t\"'=") == std::string_view::npos;
}

// ---- kinds of settings --------------------------------------------------------------------------

template <class Field, class Check>
setting list(label l, std::string accepted, Check is_good, Field field) {
  auto parse = [=](std::string_view text, config& c) {
    auto elements = parse_list(text);
    if (!elements || !std::all_of(elements->begin(), elements->end(), is_good)) return false;
    field(c) = std::move(*elements);
    return true;
  };
  return make_setting(std::move(l), std::move(accepted), parse,
                      [=](const config& c) { return format_list(field(c)); });
}

template <class Field>
setting address(label l, Field field) {
  auto parse = [=](std::string_view text, config& c) {
    const auto where = parse_listen(text);
    if (!where) return false;
    const bool is_name = text.starts_with("localhost:");
    field(c) = is_name ? where->host + ":" + std::to_string(where->port) : std::string(text);
    return true;
  };
  return make_setting(std::move(l),
                      "IP:PORT such as 127.0.0.1:4000 or [::1]:4000, localhost:PORT or unix:/path",
                      parse, [=](const config& c) { return field(c); });
}

/// The few words that a setting takes, and the values of type Value that they stand for.
template <class Value>
using words = std::vector<std::pair<std::string, Value>>;

template <class Value, class Field>
setting choice(label l, const words<Value>& all, Field field) {
  std::string accepted;
  for (const auto& [word, value] : all) {
    if (!accepted.empty()) accepted += word == all.back().first ? " or " : ", ";
    accepted += word;
  }
  auto parse = [=](std::string_view text, config& c) {
    for (const auto& [word, value] : all) {
      if (word != text) continue;
      field(c) = value;
      return true;
    }
    return false;
  };
  auto format = [=](const config& c) {
    for (const auto& [word, value] : all) {
      if (value == field(c)) return word;
    }
    return std::string();
  };
  return make_setting(std::move(l), accepted, parse, format);
}

setting secret(setting s) {
  s.is_secret = true;
  return s;
}

// ---- the keys with rules of their own -----------------------------------------------------------

bool parse_secrets(std::string_view text, config& c) {
  const auto secrets = parse_list(text);
  if (!secrets || secrets->size() > 2) return false;
  c.tokens.secrets = *secrets;
  return true;
}

bool parse_api_keys(std::string_view text, config& c) {
  const auto pairs = parse_list(text);
  if (!pairs) return false;
  std::map<std::string, std::string> keys;
  for (const auto& pair : *pairs) {
    const auto equals = pair.rfind('=');
    if (equals == std::string::npos || equals == 0) return false;
    const auto role = pair.substr(equals + 1);
    if (role.empty() || !is_role(role)) return false;
    keys[pair.substr(0, equals)] = role;
  }
  c.tokens.api_keys = std::move(keys);
  return true;
}

bool parse_jwks(std::string_view text, config& c) {
  const bool is_url = text.find("://") != std::string_view::npos;
  if (is_url && !is_key_set_url(text)) return false;
  c.jwks = text;
  return true;
}

std::string format_secrets(const config& c) {
  return format_list(std::vector<std::string>(c.tokens.secrets.size(), "***"));
}

std::string format_api_keys(const config& c) {
  std::vector<std::string> pairs;
  for (const auto& [key, role] : c.tokens.api_keys) pairs.push_back("***=" + role);
  return format_list(pairs);
}

setting database_url() {
  auto parse = [](std::string_view text, config& c) {
    const std::string url(text);
    if (!is_connection_string(url)) return false;
    c.database_url = url;
    return true;
  };
  return secret(make_setting(
      {"database.url", "", "the database; empty: libpq's own PG* variables and defaults"},
      "a libpq connection string such as \"host=db dbname=app\" or a URI postgresql://...", parse,
      [](const config& c) { return format_connection_string(c.database_url); }));
}

const words<std::string> k_levels = {
    {"debug", "debug"}, {"info", "info"}, {"warn", "warn"}, {"error", "error"}};
const words<auth_mode> k_modes = {{"rls", auth_mode::rls}, {"off", auth_mode::off}};
const words<log_format> k_formats = {{"auto", log_format::automatic},
                                     {"text", log_format::text},
                                     {"json", log_format::json},
                                     {"journald", log_format::journald}};

void add_server(std::vector<setting>& all) {
  all.push_back(address(
      {"server.listen", "PGCAST_LISTEN", "where clients connect"},
      [](auto& c) -> auto& { return c.listen; }));
  all.push_back(address(
      {"server.admin_listen", "PGCAST_ADMIN_LISTEN", "health and metrics; never public"},
      [](auto& c) -> auto& { return c.admin_listen; }));
  all.push_back(count(
      {"server.threads", "PGCAST_THREADS", "threads that serve clients"}, 1, 1'024,
      [](auto& c) -> auto& { return c.threads; }));
  all.push_back(list(
      {"server.allowed_origins", "PGCAST_ALLOWED_ORIGINS",
       "origins of browsers; empty: the same origin and loopback"},
      "a comma list of origins such as https://app.example, or *", is_origin,
      [](auto& c) -> auto& { return c.allowed_origins; }));
  all.push_back(list(
      {"server.trusted_proxies", "PGCAST_TRUSTED_PROXIES", "proxies whose X-Forwarded-For counts"},
      "a comma list of IP addresses or networks such as 10.0.0.0/8", is_network,
      [](auto& c) -> auto& { return c.trusted_proxies; }));
  all.push_back(duration(
      {"server.drain", "PGCAST_DRAIN", "clients are told to go over this time at SIGTERM"}, 0s,
      10min, [](auto& c) -> auto& { return c.drain; }));
}

void add_auth(std::vector<setting>& all) {
  all.push_back(secret(make_setting(
      {"auth.jwt_secret", "PGCAST_JWT_SECRET",
       "signs the clients' tokens (HS256, HS384, HS512); without it and auth.jwks the daemon "
       "refuses to start"},
      "one secret, or two with a comma between them during a rotation", parse_secrets,
      format_secrets)));
  all.push_back(make_setting(
      {"auth.jwks", "PGCAST_JWKS",
       "a JSON Web Key Set that verifies tokens (RS, PS, ES, EdDSA), taken anew when it changes"},
      "the path of a file, or an https:// URL without a password in it (http:// for a server on "
      "this "
      "machine)",
      parse_jwks, [](const config& c) { return c.jwks; }));
  all.push_back(choice(
      {"auth.mode", "",
       "rls: tokens and row-level security; off: everybody is "
       "service_role, on a loopback listener only"},
      k_modes, [](auto& c) -> auto& { return c.mode; }));
  all.push_back(list(
      {"auth.roles", "", "the only roles that a token may name"}, "a comma list of database roles",
      is_role, [](auto& c) -> auto& { return c.tokens.roles; }));
  all.push_back(secret(make_setting(
      {"auth.api_keys", "", "keys that are not tokens, and their roles"},
      "a comma list of KEY=ROLE, each role one of auth.roles", parse_api_keys, format_api_keys)));
  all.push_back(duration(
      {"auth.cache", "", "how long a decision about who sees what is reused"}, 0s, 1h,
      [](auto& c) -> auto& { return c.auth_cache; }));
}

std::vector<setting> make_settings() {
  std::vector<setting> all;
  all.push_back(database_url());
  add_server(all);
  add_auth(all);
  all.push_back(duration(
      {"outbox.retention", "", "how far back a client can resume"}, 1min,
      std::chrono::hours(24 * 365), [](auto& c) -> auto& { return c.retention; }));
  all.push_back(size(
      {"outbox.warn_bytes", "", "a larger outbox is warned of in the log and by pgcast check"},
      1 << 20, std::size_t{1} << 50, [](auto& c) -> auto& { return c.outbox_warn_bytes; }));
  all.push_back(duration(
      {"stats.interval", "", "at most one ticker message per campaign and client in this time"},
      10ms, 1min, [](auto& c) -> auto& { return c.stats_interval; }));
  add_limits(all);
  all.push_back(choice(
      {"log.level", "", "the least level that is logged"}, k_levels,
      [](auto& c) -> auto& { return c.log_level; }));
  all.push_back(choice(
      {"log.format", "",
       "auto: text on a terminal, journald under systemd, "
       "json otherwise"},
      k_formats, [](auto& c) -> auto& { return c.format; }));
  return all;
}

}  // namespace

std::string setting::long_environment() const {
  std::string name = "PGCAST_";
  for (const char c : key) {
    if (c == '.')
      name += '_';
    else
      name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return name;
}

std::span<const setting> settings() {
  static const std::vector<setting> all = make_settings();
  return all;
}

config default_config() {
  config c;
  c.threads = std::max(1U, std::thread::hardware_concurrency());
  c.tokens.roles = {"anon", "authenticated", "service_role"};
  return c;
}

}  // namespace pgcast
