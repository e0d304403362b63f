#pragma once

#include "daemon/ticker_board.hpp"

#include <boost/asio/steady_timer.hpp>

#include <optional>

namespace pgcast {

/// A ticker at work: see ticker_board. A coroutine that outlives its place on the board finds it
/// ended and stops.
class campaign_ticker : public subscriber, public std::enable_shared_from_this<campaign_ticker> {
 public:
  using clock = std::chrono::steady_clock;

  campaign_ticker(boost::asio::any_io_executor executor, hub& topics, ticker_reader& source,
                  std::string campaign, std::chrono::milliseconds interval);
  ~campaign_ticker() override;

  /// Subscribes and begins to ask.
  void start(std::shared_ptr<viewer_class> everybody);
  void end();

  void add(stats_watcher& who);
  void remove(stats_watcher& who);
  void tell(stats_watcher& who);
  boost::asio::awaitable<result<void>> wait();
  /// How long nobody has watched.
  clock::duration idle_for(clock::time_point now) const;
  /// Notices that the source has crashed, also where no event follows; sessions into the gauge of
  /// all. Called about four times a second.
  void tick();

  void on_event(delivery& d) override;
  void on_broadcast(const shared_frame&) override {}
  void on_number_moved(const event&, const batch_span&) override {}

 private:
  struct place {
    stats_watcher* who;
    bool is_told = false;       ///< at all; before that it is not told by itself
    std::uint64_t version = 0;  ///< of the numbers that it has
    clock::time_point told_at{};
  };
  struct form {
    wire_version version;
    std::string wire_topic;
    shared_frame frame;
  };

  void work_soon();
  void work();
  void ask_if_needed();
  void publish(clock::time_point now);
  void tell_all(clock::time_point now);
  void work_at(clock::time_point when);
  void note_place();
  void write_numbers();
  void write_payload();
  void tell(place& p, clock::time_point now);
  const shared_frame& frame_for(const stats_watcher& who);
  boost::asio::awaitable<void> ask();
  boost::asio::awaitable<void> pause(clock::duration length);

  boost::asio::any_io_executor executor_;
  hub& topics_;
  ticker_reader& source_;
  std::string campaign_;
  std::chrono::milliseconds interval_;
  ticker numbers_;
  subscription events_;
  std::vector<place> watchers_;
  clock::time_point left_at_;
  bool has_ended_ = false;
  bool is_work_due_ = false;  ///< it is posted
  bool has_campaign_changed_ = false;
  bool is_asking_ = false;  ///< ask() runs
  clock::time_point ask_after_{};
  std::optional<error> failed_;      ///< the last question
  boost::asio::steady_timer asked_;  ///< never over; cancelled when a question has its answer
  boost::asio::steady_timer later_;
  std::optional<clock::time_point> later_at_;
  position complete_up_to_;    ///< the hub's place when nothing was left to be asked
  std::string body_;           ///< of the newest numbers
  std::string payload_;        ///< with its cursor
  std::uint64_t version_ = 0;  ///< of body_
  clock::time_point written_at_{};
  std::optional<clock::time_point> incomplete_since_;
  std::vector<form> forms_;  ///< payload_ as it was written already
  std::size_t reported_sessions_ = 0;
};

}  // namespace pgcast
