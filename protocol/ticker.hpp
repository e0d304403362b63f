#pragma once

#include "protocol/event.hpp"
#include "protocol/router.hpp"
#include "protocol/seam.hpp"
#include "protocol/stats_message.hpp"
#include "protocol/ticker_rows.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pgcast {

/// What one session adds to the numbers of its campaign.
struct session_numbers : row_sums {
  bool is_active = false;
  std::vector<std::string> objectives;  ///< that are met, without repeats
};

/// The numbers of one campaign, kept by folding the events of its topic.
///
/// A session's numbers are asked of the database once, when it is first met, and are true at that
/// snapshot; from there on events that the snapshot does not see are folded in. What an event does
/// not tell is asked again: the rows that a session brings along when it joins the campaign, the
/// latest time when the row that had it goes, everything after a TRUNCATE or a crash of the source.
/// Events that come for a session while it is being asked are not kept: if the answer does not see
/// them all, the session is asked once more. So whenever writers pause, the numbers are those of
/// the tables.
///
/// Pure, not thread-safe. About 300 bytes a session.
class ticker {
 public:
  explicit ticker(std::string campaign) : campaign_(std::move(campaign)) {}
  ticker(const ticker&) = delete;
  ticker& operator=(const ticker&) = delete;

  /// An event of the campaign's topic, in the hub's order; `sides`: which rows are of the campaign.
  void on_event(const event& e, const batch_span& span, event_sides sides);

  /// The source lives in that incarnation now. With a new one all is asked again: what was counted
  /// before a crash may not have survived it.
  void on_incarnation(std::uint32_t number);

  /// Sessions to be asked of the database.
  struct question {
    bool is_of_all = false;  ///< all that the campaign has
    std::vector<std::string> sessions;
  };
  struct answer {
    std::string session;
    std::optional<std::string> campaign;
    session_numbers numbers;
  };
  bool has_question() const { return is_all_due_ || !due_.empty(); }
  bool is_asking() const { return asking_.has_value(); }
  /// The next question; to be ended by take_answers() or give_up() before the next one.
  const question& ask();
  /// Those asked for that there are, as a snapshot has them (`at`: s1 = s2).
  void take_answers(const position& at, const std::vector<answer>& found);
  /// It was not answered: it is asked again.
  void give_up();

  /// True once all sessions have been asked; before that there are no numbers.
  bool is_warm() const { return is_warm_; }
  std::size_t session_count() const { return sessions_.size(); }
  /// The members of the payload of `stats` behind "cursor".
  std::string numbers();

 private:
  struct entry : row_sums {
    bool is_active = false;
    std::vector<objective_counts::iterator> objectives;
    std::shared_ptr<seam> asked_at;  ///< nullptr: all that comes is behind it
  };
  using entries = std::unordered_map<std::string, entry, string_hash, std::equal_to<>>;
  /// What came for a session while it was asked.
  struct missed_event {
    std::uint32_t incarnation;
    std::uint64_t xid;
  };

  void on_session_row(const counted_rows& rows, const event& e, const batch_span& span,
                      event_sides sides);
  void on_row_of_session(const counted_rows& rows, const event& e, const batch_span& span,
                         event_sides sides);
  bool is_left_to_an_answer(const std::string& session, const event& e, const batch_span& span);
  static bool has_seen(entry& known, const event& e, const batch_span& span);
  entry* find(const std::string& session);
  void change(entry& known, counted_as kind, const counted_row* before, const counted_row* after);
  bool change_times(entry& known, const counted_row* before, const counted_row* after);
  void put(const answer& one, const std::shared_ptr<seam>& at);
  void remove(const std::string& session);
  void count(const entry& e, int sign);
  std::vector<objective_counts::iterator> count_objectives(const std::vector<std::string>& met);
  void forget_objectives(const std::vector<objective_counts::iterator>& met);
  void ask_all_again();
  void find_last_activity();

  std::string campaign_;
  entries sessions_;
  campaign_totals
      total_;  ///< but `sessions`; last_activity_us is void while it is to be looked for
  bool is_last_activity_known_ = true;
  objective_counts objectives_;
  bool is_warm_ = false;
  bool is_all_due_ = true;
  std::set<std::string, std::less<>> due_;
  std::optional<question> asking_;
  std::set<std::string, std::less<>> asked_;  ///< sessions of `asking_`
  std::unordered_map<std::string, std::vector<missed_event>> missed_;
  std::optional<std::uint32_t> incarnation_;  ///< the last that was heard of
};

}  // namespace pgcast
