#include "daemon/ticker_board.hpp"

#include "daemon/campaign_ticker.hpp"

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::seconds k_linger{10};  // a page that is loaded again finds its numbers

}  // namespace

void ticker_board::watch::reset() {
  if (of_) of_->remove(*who_);
  of_.reset();
}

asio::awaitable<result<void>> ticker_board::watch::wait() {
  const auto of = of_;
  co_return co_await of->wait();
}

void ticker_board::watch::tell() {
  if (of_) of_->tell(*who_);
}

ticker_board::ticker_board(asio::any_io_executor executor, hub& topics, ticker_reader& source,
                           std::shared_ptr<viewer_class> everybody,
                           std::chrono::milliseconds interval)
    : executor_(std::move(executor)),
      topics_(topics),
      source_(source),
      everybody_(std::move(everybody)),
      interval_(interval) {}

ticker_board::~ticker_board() { start_over(); }

ticker_board::watch ticker_board::join(const std::string& campaign, stats_watcher& who) {
  auto& slot = tickers_[campaign];
  if (!slot) {
    slot = std::make_shared<campaign_ticker>(executor_, topics_, source_, campaign, interval_);
    slot->start(everybody_);
  }
  slot->add(who);
  return {slot, &who};
}

void ticker_board::tick() {
  const auto now = clock::now();
  std::erase_if(tickers_, [&](const auto& entry) {
    const auto& one = entry.second;
    one->tick();
    if (one->idle_for(now) <= k_linger) return false;
    one->end();
    return true;
  });
}

void ticker_board::start_over() {
  for (const auto& [campaign, one] : tickers_) one->end();
  tickers_.clear();
}

}  // namespace pgcast
