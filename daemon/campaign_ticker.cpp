#include "daemon/campaign_ticker.hpp"

#include "daemon/metrics.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>

namespace pgcast {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

constexpr auto k_questions_apart = 50ms;  // of one campaign
constexpr auto k_first_retry = 100ms;
constexpr auto k_longest_retry = 2'000ms;
constexpr campaign_ticker::clock::duration k_hopeless_retry = 1min;

}  // namespace

campaign_ticker::campaign_ticker(asio::any_io_executor executor, hub& topics, ticker_reader& source,
                                 std::string campaign, std::chrono::milliseconds interval)
    : executor_(std::move(executor)),
      topics_(topics),
      source_(source),
      campaign_(std::move(campaign)),
      interval_(interval),
      numbers_(campaign_),
      left_at_(clock::now()),
      asked_(executor_, clock::time_point::max()),
      later_(executor_) {
  metrics().tickers.add();
}

campaign_ticker::~campaign_ticker() {
  metrics().tickers.subtract();
  metrics().ticker_sessions.subtract(static_cast<std::int64_t>(reported_sessions_));
}

void campaign_ticker::start(std::shared_ptr<viewer_class> everybody) {
  audience as{std::move(everybody), wire_version::v2, "", audience::part::follower};
  events_ = topics_.subscribe(topic_key(topic_kind::campaign, campaign_), topic_kind::campaign,
                              std::move(as), *this);
  complete_up_to_ = topics_.published().start;
  numbers_.on_incarnation(complete_up_to_.incarnation);
  ask_if_needed();
}

void campaign_ticker::end() {
  has_ended_ = true;
  events_.reset();
  asked_.cancel();
  later_.cancel();
}

void campaign_ticker::tick() {
  numbers_.on_incarnation(topics_.published().start.incarnation);
  if (numbers_.has_question()) work_soon();
  const auto count = numbers_.session_count();
  metrics().ticker_sessions.add(static_cast<std::int64_t>(count) -
                                static_cast<std::int64_t>(reported_sessions_));
  reported_sessions_ = count;
}

// ---- watchers

void campaign_ticker::add(stats_watcher& who) { watchers_.push_back({&who}); }

void campaign_ticker::remove(stats_watcher& who) {
  std::erase_if(watchers_, [&](const place& p) { return p.who == &who; });
  left_at_ = clock::now();
}

campaign_ticker::clock::duration campaign_ticker::idle_for(clock::time_point now) const {
  return watchers_.empty() ? now - left_at_ : clock::duration{0};
}

void campaign_ticker::tell(stats_watcher& who) {
  const auto found = std::find_if(watchers_.begin(), watchers_.end(),
                                  [&](const place& p) { return p.who == &who; });
  if (found == watchers_.end() || !numbers_.is_warm()) return;
  note_place();
  write_numbers();
  write_payload();  // the numbers may be old, the cursor must not be
  tell(*found, clock::now());
}

void campaign_ticker::tell(place& p, clock::time_point now) {
  p.is_told = true;
  p.version = version_;
  p.told_at = now;
  metrics().stats_sent.add();
  p.who->on_numbers(frame_for(*p.who));
}

const shared_frame& campaign_ticker::frame_for(const stats_watcher& who) {
  for (const auto& known : forms_) {
    if (known.version == who.version() && known.wire_topic == who.wire_topic()) return known.frame;
  }
  auto bytes = encode_event_of_daemon(who.version(), who.wire_topic(), "stats", {payload_});
  forms_.push_back(
      {who.version(), who.wire_topic(), std::make_shared<const outbound_frame>(std::move(bytes))});
  return forms_.back().frame;
}

asio::awaitable<result<void>> campaign_ticker::wait() {
  if (failed_ && failed_->code == errc::campaign_too_large) co_return *failed_;
  while (!has_ended_ && !numbers_.is_warm()) {
    boost::system::error_code cancelled;
    co_await asked_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    if (!numbers_.is_warm() && failed_) co_return *failed_;
  }
  if (has_ended_) co_return error{errc::database_unreachable, "the source has begun a new history"};
  co_return result<void>{};
}

// ---- events

void campaign_ticker::on_event(delivery& d) {
  const auto& e = d.changed();
  // The table of campaigns themselves says who may watch.
  if (e.description->session_column().empty()) has_campaign_changed_ = true;
  numbers_.on_event(e, *d.chunk()->batch, d.sides());
  work_soon();
}

/// Once for all events of a turn, and not within hub::publish().
void campaign_ticker::work_soon() {
  if (is_work_due_) return;
  is_work_due_ = true;
  asio::post(executor_, [self = shared_from_this()] {
    self->is_work_due_ = false;
    if (!self->has_ended_) self->work();
  });
}

void campaign_ticker::work() {
  if (std::exchange(has_campaign_changed_, false)) {
    const auto watchers = watchers_;
    for (const auto& p : watchers) p.who->on_campaign_changed();
  }
  ask_if_needed();
  note_place();
  if (numbers_.is_warm()) publish(clock::now());
}

void campaign_ticker::note_place() {
  if (!numbers_.has_question() && !numbers_.is_asking()) {
    complete_up_to_ = topics_.published().start;
    incomplete_since_.reset();
  } else if (!incomplete_since_) {
    incomplete_since_ = clock::now();
  }
}

/// Numbers that lack an answer wait for it, but no longer than stats.interval.
void campaign_ticker::publish(clock::time_point now) {
  const auto due =
      std::max(written_at_ + interval_, incomplete_since_ ? *incomplete_since_ + interval_ : now);
  if (due <= now) {
    write_numbers();
  } else {
    work_at(due);
  }
  tell_all(now);
}

void campaign_ticker::write_numbers() {
  auto body = numbers_.numbers();
  if (body == body_) return;
  body_ = std::move(body);
  ++version_;
  written_at_ = clock::now();
  write_payload();
}

void campaign_ticker::write_payload() {
  payload_ = R"({"cursor":")" + encode_cursor(complete_up_to_, *topics_.published().history) +
             R"(",)" + body_ + "}";
  forms_.clear();
}

/// Who was told less than stats.interval ago is told later, together with others.
void campaign_ticker::tell_all(clock::time_point now) {
  for (auto& p : watchers_) {
    if (!p.is_told || p.version == version_) continue;
    if (now - p.told_at >= interval_) {
      tell(p, now);
    } else {
      work_at(std::max(p.told_at + interval_, now + interval_ / 4));
    }
  }
}

void campaign_ticker::work_at(clock::time_point when) {
  if (later_at_ && *later_at_ <= when) return;
  later_at_ = when;
  later_.expires_at(when);
  later_.async_wait([self = shared_from_this()](const boost::system::error_code& cancelled) {
    if (cancelled || self->has_ended_) return;
    self->later_at_.reset();
    self->work();
  });
}

// ---- questions

void campaign_ticker::ask_if_needed() {
  if (is_asking_ || has_ended_ || !numbers_.has_question()) return;
  is_asking_ = true;
  asio::co_spawn(executor_, ask(), [self = shared_from_this()](std::exception_ptr failed) {
    self->is_asking_ = false;
    if (!failed) return;
    try {
      std::rethrow_exception(failed);
    } catch (const std::exception& e) {
      spdlog::critical("ticker of campaign {}: {}", self->campaign_, e.what());
    }
  });
}

asio::awaitable<void> campaign_ticker::pause(clock::duration length) {
  asio::steady_timer timer(executor_, length);
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

/// All that is left to be asked, question after question, not closer together than twice the time
/// that the database needs for one.
asio::awaitable<void> campaign_ticker::ask() {
  clock::duration retry = k_first_retry;
  while (!has_ended_ && numbers_.has_question()) {
    const auto early = ask_after_ - clock::now();
    if (early > clock::duration{0}) co_await pause(early);
    if (has_ended_) co_return;
    const auto asked_at = clock::now();
    ticker::question q = numbers_.ask();
    auto found = co_await source_.read(campaign_, std::move(q));
    if (has_ended_) co_return;
    const auto now = clock::now();
    ask_after_ = std::max<clock::time_point>(asked_at + k_questions_apart, now + (now - asked_at));
    if (found) {
      numbers_.take_answers(found->at, found->found);
      failed_.reset();
      retry = k_first_retry;
    } else {
      numbers_.give_up();
      if (!failed_) {
        spdlog::warn("the numbers of campaign {} cannot be asked for: {}", campaign_,
                     found.error().detail);
      }
      failed_ = found.error();
      ask_after_ = now + (failed_->code == errc::campaign_too_large ? k_hopeless_retry : retry);
      retry = std::min<clock::duration>(retry * 2, k_longest_retry);
      metrics().ticker_questions[ticker_question::failed].add();
    }
    asked_.cancel();
    work_soon();
  }
}

}  // namespace pgcast
