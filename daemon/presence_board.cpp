#include "daemon/presence_board.hpp"

namespace pgcast {
namespace {

using namespace std::chrono_literals;

/// Long enough for a leave and the join behind it to meet, too short to be felt.
constexpr auto k_window = 50ms;

}  // namespace

presence_board::presence_board(boost::asio::any_io_executor executor, hub& topics)
    : topics_(topics), present_(k_window), timer_(std::move(executor)) {}

void presence_board::apply(const std::shared_ptr<const presence_change>& change) {
  present_.apply(change, presences::clock::now());
  if (change->what == presence_change::kind::track) {
    tell();
  } else {
    wait();
  }
}

void presence_board::wait() {
  const auto next = present_.next();
  if (!next || (waits_until_ && *waits_until_ <= *next)) return;
  waits_until_ = next;
  timer_.expires_at(*next);  // ends the wait before
  timer_.async_wait([this](const boost::system::error_code& ended) {
    if (!ended) tell();
  });
}

void presence_board::tell() {
  waits_until_.reset();
  for (const auto& news : present_.take(presences::clock::now())) topics_.publish(news);
  wait();
}

}  // namespace pgcast
