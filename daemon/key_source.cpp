#include "daemon/key_source.hpp"

#include "daemon/key_document.hpp"
#include "daemon/metrics.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <exception>
#include <utility>

#include <sys/stat.h>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

constexpr auto k_look_at_file = 1s;
constexpr auto k_fetch = 5min;
constexpr auto k_fetch_again = 10s;
constexpr auto k_search = 1min;

}  // namespace

key_source::key_source(std::string location, std::function<void(keys)> publish)
    : location_(std::move(location)),
      publish_(std::move(publish)),
      work_(context_.get_executor()) {}

key_source::~key_source() {
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

result<void> key_source::start() {
  if (location_.empty()) return {};
  publish({});
  if (!is_key_url(location_)) {
    seen_ = state_of_file();
    if (auto good = read(); !good) return good.error();
  }
  asio::co_spawn(context_, watch(), [](std::exception_ptr failed) {
    if (failed) std::terminate();
  });
  thread_ = std::thread([this] { context_.run(); });
  return {};
}

// ---- on the thread of the source

asio::awaitable<void> key_source::watch() {
  asio::steady_timer timer(context_);
  const bool is_url = is_key_url(location_);
  for (;;) {
    if (is_url)
      refresh();
    else
      refresh_file();
    timer.expires_after(!is_url       ? std::chrono::seconds{k_look_at_file}
                        : is_failing_ ? std::chrono::seconds{k_fetch_again}
                                      : std::chrono::seconds{k_fetch});
    co_await timer.async_wait(asio::use_awaitable);
  }
}

key_source::file_state key_source::state_of_file() const {
  struct stat facts {};
  if (::stat(location_.c_str(), &facts) != 0) return {};
  const auto& at = facts.st_mtim;
  return {std::int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec, facts.st_ino, facts.st_size};
}

/// A file that is being written is read again when it has changed again.
void key_source::refresh_file() {
  const auto now = state_of_file();
  if (now == seen_) return;
  seen_ = now;
  is_failing_ = false;  // what is wrong with the new one is news
  refresh();
}

void key_source::refresh() {
  const auto good = read();
  metrics().key_loads[good ? load_outcome::ok : load_outcome::failed].add();
  const bool was_failing = std::exchange(is_failing_, !good);
  if (good || was_failing) return;
  spdlog::warn("{}; the keys of before ({}) stay", good.error().detail, current_->size());
}

result<void> key_source::read() {
  auto text = read_key_document(location_);
  if (!text) return text.error();
  if (*text == text_) return {};
  auto set = parse_keys(location_, *text);
  if (!set) return set.error();
  text_ = *std::move(text);
  for (const auto& objection : set->objections()) spdlog::warn("auth.jwks: {}", objection);
  spdlog::info("auth.jwks: tokens are verified with {}", set->summary());
  publish(*std::move(set));
  return {};
}

void key_source::publish(json_web_key_set set) {
  current_ = std::make_shared<const json_web_key_set>(std::move(set));
  metrics().token_keys.set(static_cast<std::int64_t>(current_->size()));
  publish_(current_);
}

asio::awaitable<void> key_source::look_again(std::string kid) {
  if (current_->has(kid)) co_return;  // it came while this waited
  if (!is_key_url(location_)) {
    refresh_file();
    co_return;
  }
  const auto now = clock::now();
  if (searched_at_ && now - *searched_at_ < k_search) co_return;
  searched_at_ = now;
  spdlog::info("auth.jwks: a token names an unknown key, so {} is fetched again", location_);
  refresh();
}

// ---- on any thread

asio::awaitable<void> key_source::look_for(std::string kid) {
  if (location_.empty()) co_return;
  auto looking = look_again(std::move(kid));
  co_await asio::co_spawn(context_, std::move(looking), asio::use_awaitable);
}

}  // namespace pgcast
