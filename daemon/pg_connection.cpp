#include "daemon/pg_connection.hpp"

#include "daemon/sql_text.hpp"
#include "daemon/with_timeout.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cstdlib>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using asio::use_awaitable;

asio::awaitable<void> wait_for(asio::posix::stream_descriptor& descriptor,
                               asio::posix::stream_descriptor::wait_type type) {
  boost::system::error_code ignored;
  co_await descriptor.async_wait(type, asio::redirect_error(use_awaitable, ignored));
}

constexpr std::chrono::milliseconds k_share_of_a_server{3'000};

PGconn* start_connection(const pg_options& options) {
  std::vector<const char*> keys;
  std::vector<const char*> values;
  for (const auto& [key, value] : options) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  return PQconnectStartParams(keys.data(), values.data(), 0);
}

/// What each server of a list may take, unless connect_timeout says otherwise.
std::chrono::milliseconds share_of(const pg_options& options, std::size_t servers,
                                   std::chrono::milliseconds timeout) {
  const auto found = options.find("connect_timeout");
  const int seconds = found == options.end() ? 0 : std::atoi(found->second.c_str());
  if (seconds > 0) return std::chrono::seconds{std::max(seconds, 2)};  // 2: as libpq has it
  return servers > 1 ? std::min(timeout, k_share_of_a_server) : timeout;
}

/// Takes SQLSTATE and place in the source out of a message of PQERRORS_VERBOSE: "FATAL:  53300: too
/// many.. LOCATION:  InitProcess, proc.c:359". Gives the SQLSTATE.
std::string take_sqlstate(std::string& message) {
  if (const auto place = message.find(" LOCATION: "); place != std::string::npos) {
    message.resize(place);
  }
  const auto is_code = [&](std::size_t at) {
    bool has_digit = false;  // unlike "FATAL"
    for (std::size_t i = at; i < at + 5; ++i) {
      const char c = message[i];
      const bool is_digit = c >= '0' && c <= '9';
      if (!is_digit && !(c >= 'A' && c <= 'Z')) return false;
      has_digit = has_digit || is_digit;
    }
    return has_digit;
  };
  for (std::size_t at = message.find(": "); at != std::string::npos;
       at = message.find(": ", at + 2)) {
    if (at + 9 > message.size() || message.compare(at + 7, 2, ": ") != 0) continue;
    if (!is_code(at + 2)) continue;
    auto code = message.substr(at + 2, 5);
    message.erase(at + 2, 7);
    return code;
  }
  return {};
}

}  // namespace

void pg_connection::close() {
  if (descriptor_) {
    descriptor_->release();
    descriptor_.reset();
  }
  if (connection_ != nullptr) PQfinish(connection_);
  connection_ = nullptr;
}

error pg_connection::lost(std::string what) {
  const std::string why = connection_ == nullptr ? "" : on_one_line(PQerrorMessage(connection_));
  close();
  return {errc::database_unreachable, why.empty() ? std::move(what) : why};
}

void pg_connection::follow_descriptor() {
  const int fd = PQsocket(connection_);
  if (descriptor_ && descriptor_->native_handle() == fd) return;
  if (descriptor_) descriptor_->release();
  descriptor_.emplace(executor_);
  if (fd >= 0) descriptor_->assign(fd);
}

asio::awaitable<bool> pg_connection::wait(readiness what, milliseconds timeout) {
  using wait_type = asio::posix::stream_descriptor::wait_type;
  const auto type = what == readiness::readable ? wait_type::wait_read : wait_type::wait_write;
  auto* const descriptor = &*descriptor_;
  const auto cancel = [descriptor] { descriptor->cancel(); };
  waits_since_ = std::chrono::steady_clock::now();
  const bool in_time = co_await with_timeout(wait_for(*descriptor, type), timeout, cancel);
  waits_since_.reset();
  co_return !std::exchange(is_given_up_, false) && in_time;
}

void pg_connection::give_up_if_silent(milliseconds longest) {
  if (!waits_since_ || std::chrono::steady_clock::now() - *waits_since_ < longest) return;
  is_given_up_ = true;
  descriptor_->cancel();
}

asio::awaitable<result<void>> pg_connection::connect(std::string text, std::string name,
                                                     milliseconds timeout) {
  close();
  refused_with_.clear();
  auto options = parse_conninfo(text);
  if (!options) co_return options.error();
  (*options)["fallback_application_name"] = std::move(name);
  (*options)["client_encoding"] = "UTF8";
  options->try_emplace("keepalives_idle", "10");
  options->try_emplace("keepalives_interval", "5");
  options->try_emplace("keepalives_count", "3");
  options->try_emplace("tcp_user_timeout", "15000");
  auto servers = split_servers(*options);
  const auto share = share_of(*options, servers.size(), timeout);
  const auto preferred = std::find_if(servers.begin(), servers.end(), [&](const pg_options& s) {
    return name_of_server(s) == server_;
  });
  if (preferred != servers.end()) std::rotate(servers.begin(), preferred, preferred + 1);
  std::string why;
  for (const auto& server : servers) {
    const auto server_name = name_of_server(server);
    auto connected = co_await connect_to(server, share);
    if (connected) {
      server_ = server_name;
      co_return connected;
    }
    if (!why.empty()) why += "; ";
    if (servers.size() > 1) why += server_name + ": ";
    why += connected.error().detail;
  }
  const bool is_standby = why.find("read-only") != why.npos || why.find("standby") != why.npos;
  if (is_standby)
    why += "; none of the servers in database.url is a primary that can be written to";
  co_return error{errc::database_unreachable, why};
}

asio::awaitable<result<void>> pg_connection::connect_to(pg_options server, milliseconds share) {
  const auto deadline = std::chrono::steady_clock::now() + share;
  auto addresses = co_await resolve_server(std::move(server), share);
  if (!addresses) co_return addresses.error();
  error failed{errc::database_unreachable, "the host name has no address"};
  for (std::size_t i = 0; i < addresses->size(); ++i) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
    const auto each = left / static_cast<int>(addresses->size() - i);
    const auto& address = (*addresses)[i];
    auto connected = co_await connect_to_address(address, each);
    if (connected) co_return connected;
    failed = connected.error();
  }
  co_return failed;
}

asio::awaitable<result<void>> pg_connection::connect_to_address(const pg_options& address,
                                                                milliseconds share) {
  const auto deadline = std::chrono::steady_clock::now() + share;
  connection_ = start_connection(address);
  if (connection_ == nullptr || PQstatus(connection_) == CONNECTION_BAD) {
    co_return lost("the database cannot be reached");
  }
  PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);  // for the SQLSTATE of a refusal
  auto poll = PGRES_POLLING_WRITING;
  while (poll != PGRES_POLLING_OK) {
    if (poll == PGRES_POLLING_FAILED) {
      auto failed = lost("the database cannot be reached");
      refused_with_ = take_sqlstate(failed.detail);
      co_return failed;
    }
    follow_descriptor();
    const auto what = poll == PGRES_POLLING_READING ? readiness::readable : readiness::writable;
    const auto left = std::max(milliseconds{1}, std::chrono::duration_cast<milliseconds>(
                                                    deadline - std::chrono::steady_clock::now()));
    const bool in_time = co_await wait(what, left);
    if (!in_time) {
      close();
      co_return error{errc::database_unreachable, "the database did not answer in time"};
    }
    poll = PQconnectPoll(connection_);
  }
  follow_descriptor();
  PQsetErrorVerbosity(connection_, PQERRORS_DEFAULT);
  PQsetnonblocking(connection_, 1);
  PQsetNoticeProcessor(
      connection_, [](void*, const char*) {}, nullptr);
  if (PQenterPipelineMode(connection_) != 1) co_return lost("pipeline mode refused");
  co_return result<void>{};
}

}  // namespace pgcast
