#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// What one asks of tables: a filter object of postgres_changes.
struct table_filter {
  std::string schema = "public";
  std::string table;   ///< "" = all
  std::string filter;  ///< "" = none
};

/// The client's side of one Phoenix channel (vsn 2.0.0), as `pgcast tail` and `pgcast compare` need
/// it: what to send and what the server's messages mean. Pure: no socket, no clock.
///
/// It remembers the last cursor, so that a join after a lost connection resumes there, unless it is
/// told not to.
class topic_follower {
 public:
  enum class after_loss { resumes, starts_afresh };

  /// `topic` without "realtime:".
  explicit topic_follower(std::string topic) : topic_follower(std::move(topic), {}) {}

  /// Asks for the changes of tables (postgres_changes) on that channel.
  topic_follower(std::string topic, std::vector<table_filter> tables,
                 after_loss rule = after_loss::resumes);

  /// The join of a new connection; forgets what the last one waited for.
  std::string join(std::string_view token);

  /// To be sent every 25 s, while connected.
  std::string heartbeat();

  /// True when the last heartbeat got no answer: the connection is dead.
  bool is_silent() const { return awaits_heartbeat_; }

  /// What one message of the server means.
  struct step {
    enum class kind {
      none,   ///< nothing for the user
      event,  ///< `text` is the line to print
      joined,
      subscribed,  ///< the changes of tables come from now on
      change,      ///< of a table; `text` is its data
      refused,     ///< the join; `text` says why
      warning,     ///< `text` is what the server says about the channel, which goes on
      closed       ///< the channel is over; `text` says why
    };
    kind what = kind::none;
    std::string text;
  };
  step on_text(std::string_view message);
  step on_binary(std::string_view message);

  const std::string& cursor() const { return cursor_; }

 private:
  std::string table_filters() const;
  step on_payload(std::string_view event, std::string_view payload);
  step on_system(std::string_view payload);
  step on_change(std::string_view payload);
  step on_reply(std::string_view ref, std::string_view payload);

  std::string topic_;
  std::vector<table_filter> tables_;
  after_loss rule_;
  std::string cursor_;        ///< "" = none yet
  std::string last_warning_;  ///< of the server, in case it closes the channel next
  unsigned next_ref_ = 1;
  std::string join_ref_;
  bool is_joined_ = false;
  bool awaits_heartbeat_ = false;
};

}  // namespace pgcast
