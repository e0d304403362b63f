#include "daemon/pg_options.hpp"

#include "daemon/sql_text.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <libpq-fe.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>

namespace pgcast {
namespace asio = boost::asio;
namespace {

std::string value_of(const pg_options& options, const std::string& key) {
  const auto found = options.find(key);
  return found == options.end() ? "" : found->second;
}

std::vector<std::string> split_list(const std::string& list) {
  std::vector<std::string> parts(1);
  for (const char c : list) {
    if (c == ',')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

/// Servers may also be named by the environment.
void take_from_environment(pg_options& options) {
  const auto take = [&](const char* key, const char* variable) {
    const char* value = std::getenv(variable);
    if (!options.contains(key) && value != nullptr && *value != '\0') options[key] = value;
  };
  if (!options.contains("host") && !options.contains("hostaddr")) {
    take("host", "PGHOST");
    take("hostaddr", "PGHOSTADDR");
  }
  take("port", "PGPORT");
  take("target_session_attrs", "PGTARGETSESSIONATTRS");
}

bool is_name(const std::string& host) {
  boost::system::error_code failed;
  asio::ip::make_address(host, failed);
  return failed && !host.empty() && host.front() != '/' && host.front() != '@';
}

/// A look-up that may be left behind: getaddrinfo() cannot be cancelled.
struct lookup {
  explicit lookup(const asio::any_io_executor& executor) : resolver(executor), done(executor) {}
  asio::ip::tcp::resolver resolver;
  asio::steady_timer done;
  boost::system::error_code failed = asio::error::timed_out;
  std::vector<std::string> addresses;
};

}  // namespace

result<pg_options> parse_conninfo(const std::string& text) {
  char* message = nullptr;
  PQconninfoOption* options =
      text.empty() ? PQconndefaults() : PQconninfoParse(text.c_str(), &message);
  if (options == nullptr) {
    const auto why = on_one_line(message == nullptr ? "out of memory" : message);
    PQfreemem(message);
    return error{errc::database_unreachable, "database.url cannot be read: " + why};
  }
  pg_options out;
  for (auto* o = options; o->keyword != nullptr; ++o) {
    if (o->val != nullptr && *o->val != '\0') out[o->keyword] = o->val;
  }
  PQconninfoFree(options);
  if (!text.empty()) take_from_environment(out);
  return out;
}

std::vector<pg_options> split_servers(const pg_options& options) {
  const bool has_addresses = options.contains("hostaddr");
  const auto hosts = split_list(value_of(options, "host"));
  const auto addresses = split_list(value_of(options, "hostaddr"));
  const auto ports = split_list(value_of(options, "port"));
  const std::size_t count = has_addresses ? addresses.size() : hosts.size();
  const bool is_even = (ports.size() == 1 || ports.size() == count) &&
                       (!options.contains("host") || hosts.size() == count);
  if (count == 1 || !is_even) return {options};  // libpq has the right words for a mistake
  std::vector<pg_options> servers;
  for (std::size_t i = 0; i < count; ++i) {
    pg_options one = options;
    const auto put = [&](const char* key, const std::string& value) {
      if (value.empty())
        one.erase(key);
      else
        one[key] = value;
    };
    if (options.contains("host")) put("host", hosts[i]);
    if (has_addresses) put("hostaddr", addresses[i]);
    put("port", ports.size() == 1 ? ports[0] : ports[i]);
    one.try_emplace("target_session_attrs", "primary");
    servers.push_back(std::move(one));
  }
  if (value_of(options, "load_balance_hosts") == "random") {
    std::shuffle(servers.begin(), servers.end(), std::minstd_rand{std::random_device{}()});
  }
  return servers;
}

asio::awaitable<result<std::vector<pg_options>>> resolve_server(pg_options server,
                                                                std::chrono::milliseconds timeout) {
  const std::string host = value_of(server, "host");
  std::vector<pg_options> out;
  if (server.contains("hostaddr") || !is_name(host)) {
    out.push_back(std::move(server));
    co_return out;
  }
  const auto looked_up = std::make_shared<lookup>(co_await asio::this_coro::executor);
  looked_up->done.expires_after(timeout);
  looked_up->resolver.async_resolve(
      host, "", [looked_up](boost::system::error_code failed, const auto& found) {
        looked_up->failed = failed;
        for (const auto& entry : found) {
          const auto address = entry.endpoint().address().to_string();
          auto& all = looked_up->addresses;
          if (std::find(all.begin(), all.end(), address) == all.end()) all.push_back(address);
        }
        looked_up->done.cancel();
      });
  boost::system::error_code ignored;
  co_await looked_up->done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  for (const auto& address : looked_up->addresses) {
    out.push_back(server);
    out.back()["hostaddr"] = address;
  }
  if (out.empty()) {
    co_return error{errc::database_unreachable,
                    "the host name cannot be looked up (" + looked_up->failed.message() + ")"};
  }
  co_return out;
}

std::string name_of_server(const pg_options& server) {
  const auto host = value_of(server, "host");
  const auto port = value_of(server, "port");
  const auto& named = host.empty() ? value_of(server, "hostaddr") : host;
  return (named.empty() ? "the local server" : named) + (port.empty() ? "" : ":" + port);
}

}  // namespace pgcast
