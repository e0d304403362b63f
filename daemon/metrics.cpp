#include "daemon/metrics.hpp"

#include <fmt/format.h>

#include <functional>

namespace pgcast {
namespace {

/// A description and where its numbers are. Every name, help and label value is a literal of this
/// file without quotes, backslashes and line breaks, so that nothing needs escaping.
struct metric {
  metric_description what;
  std::function<std::string(const metric_set&, std::size_t)> value;  ///< of the i-th label value
};

using set = metric_set;

template <class Number>
std::string show(const Number& number) {
  return std::to_string(number.value());
}

std::string show(const duration_gauge& lag) {
  return fmt::format("{:.6f}", std::chrono::duration<double>(lag.value()).count());
}

template <class Member>
metric one(metric_type type, std::string_view name, std::string_view help, Member set::*member) {
  return {{name, type, help, "", {}},
          [=](const set& all, std::size_t) { return show(all.*member); }};
}

template <class Member>
metric count(std::string_view name, std::string_view help, Member set::*member) {
  return one(metric_type::counter, name, help, member);
}

template <class Member>
metric level(std::string_view name, std::string_view help, Member set::*member) {
  return one(metric_type::gauge, name, help, member);
}

template <class Label, std::size_t N>
metric family(std::string_view name, std::string_view help, std::string_view label,
              const std::string_view (&values)[N], counter_family<Label, N> set::*member) {
  return {{name, metric_type::counter, help, label, {std::begin(values), std::end(values)}},
          [=](const set& all, std::size_t i) { return show((all.*member).at(i)); }};
}

// In the order of the enumerations.
constexpr std::string_view k_refusals[] = {"malformed", "too_large", "timeout", "path",
                                           "origin",    "host",      "token",   "full",
                                           "address",   "user",      "draining"};
constexpr std::string_view k_joins[] = {"ok", "unauthorized", "malformed", "limit", "unavailable"};
constexpr std::string_view k_sources[] = {"client", "http"};
constexpr std::string_view k_drops[] = {"unauthorized", "too_large", "unavailable", "slow_client"};
constexpr std::string_view k_answers[] = {"ok", "refused", "unavailable"};
constexpr std::string_view k_questions[] = {"campaign", "sessions", "failed"};
constexpr std::string_view k_loads[] = {"ok", "failed"};
constexpr std::string_view k_verdicts[] = {"parked", "closed"};
constexpr std::string_view k_decisions[] = {"cache", "database"};
constexpr std::string_view k_polls[] = {"doorbell",       "safety",    "busy",
                                        "falling_asleep", "poll_only", "reconnected"};
constexpr std::string_view k_places[] = {"held", "resumed", "expired"};
constexpr std::string_view k_start_overs[] = {"new_history", "dropped"};
constexpr std::string_view k_resumes[] = {"ok", "cursor_invalid", "cursor_foreign",
                                          "cursor_too_old", "cursor_ahead"};

const std::vector<metric>& all_metrics() {
  static const std::vector<metric> all = {
      level("pgcast_connections", "Clients connected now.", &set::connections),
      count("pgcast_connections_total", "Clients accepted after a good handshake.",
            &set::connections_accepted),
      family("pgcast_handshakes_refused_total", "Handshakes refused, by reason.", "reason",
             k_refusals, &set::handshakes_refused),
      level("pgcast_channels", "Channels joined now.", &set::channels),
      family("pgcast_joins_total", "Joins answered, by result.", "result", k_joins, &set::joins),
      level("pgcast_token_keys", "Keys of auth.jwks that verify tokens.", &set::token_keys),
      family("pgcast_key_loads_total", "Reads of auth.jwks after the start, by result.", "result",
             k_loads, &set::key_loads),
      count("pgcast_messages_received_total", "Messages that clients sent.",
            &set::messages_received),
      count("pgcast_messages_malformed_total", "Messages of clients that could not be read.",
            &set::messages_malformed),
      count("pgcast_input_pauses_total",
            "Times that a client was read later, for limits.message_rate or limits.join_rate.",
            &set::input_pauses),
      count("pgcast_events_read_total", "Events read from the outbox.", &set::events_read),
      count("pgcast_events_delivered_total", "Events queued for a client, once for each.",
            &set::events_delivered),
      count("pgcast_frames_sent_bytes_total", "Bytes of frames handed to the kernel.",
            &set::frames_sent_bytes),
      family("pgcast_slow_clients_total", "Clients whose queue stayed full, by verdict.", "verdict",
             k_verdicts, &set::slow_clients),
      family("pgcast_broadcasts_total", "Broadcasts taken, by where they came from.", "source",
             k_sources, &set::broadcasts),
      family("pgcast_broadcasts_dropped_total",
             "Broadcasts not sent on, or not to one client (slow_client), by reason.", "reason",
             k_drops, &set::broadcasts_dropped),
      count("pgcast_reserved_events_refused_total",
            "Broadcasts refused because only the daemon speaks under that event name.",
            &set::reserved_events_refused),
      count("pgcast_rows_unparsable_total", "Rows of the outbox that could not be parsed.",
            &set::rows_unparsable),
      family("pgcast_decisions_total", "Decisions about who sees a row, by where they came from.",
             "source", k_decisions, &set::decisions),
      level("pgcast_source_up", "1 while the reader is connected to the database.",
            &set::source_up),
      family("pgcast_source_polls_total", "Reads of the outbox, by what caused them.", "reason",
             k_polls, &set::source_polls),
      count("pgcast_doorbells_total", "Notifications that woke the reader.", &set::doorbells),
      count("pgcast_source_reconnects_total", "Connections to the database made again.",
            &set::source_reconnects),
      level("pgcast_source_poll_only",
            "1 while the reader polls because notifications cannot reach it.",
            &set::source_poll_only),
      family(
          "pgcast_source_start_overs_total",
          "All clients made to join again, because of a new history or of events dropped unread.",
          "reason", k_start_overs, &set::start_overs),
      level("pgcast_source_lag_seconds", "Age of the oldest event that is not yet delivered.",
            &set::source_lag),
      level("pgcast_queued_frame_bytes", "Bytes of frames that wait for clients.",
            &set::queued_frame_bytes),
      count("pgcast_snapshots_total", "Snapshots sent.", &set::snapshots),
      family("pgcast_resumes_total", "Resumes asked for, by result.", "result", k_resumes,
             &set::resumes),
      level("pgcast_held_places", "Places of dropped clients that are kept now.",
            &set::held_places),
      family("pgcast_held_places_total",
             "Places of dropped clients with a client_id, by what became of them.", "outcome",
             k_places, &set::places),
      family("pgcast_api_requests_total", "Requests of the snapshot API, by result.", "result",
             k_answers, &set::api_requests),
      level("pgcast_tickers",
            "Campaigns whose numbers are kept because somebody watches, of each thread.",
            &set::tickers),
      level("pgcast_ticker_sessions", "Sessions that they count.", &set::ticker_sessions),
      family("pgcast_ticker_questions_total",
             "Questions about sessions that the events do not answer.", "of", k_questions,
             &set::ticker_questions),
      count("pgcast_stats_sent_total", "Messages with the numbers of a campaign, sent to clients.",
            &set::stats_sent),
      level("pgcast_presences", "Channels whose clients are tracked as present now.",
            &set::presences),
      count("pgcast_presence_changes_total", "Changes of presence: come, other payload, gone.",
            &set::presence_changes),
      count("pgcast_presence_changes_coalesced_total",
            "Changes of presence kept back because a client was over its rate.",
            &set::presence_changes_coalesced),
      level("pgcast_outbox_default_partition_rows",
            "Rows in the outbox's default partition; more than 0 means that maintenance is late.",
            &set::outbox_default_partition_rows),
      level("pgcast_outbox_bytes", "Disk space of the outbox with its indexes, every ten minutes.",
            &set::outbox_bytes),
      level("pgcast_outbox_rows_estimate",
            "Rows of the outbox by the server's statistics, every ten minutes.",
            &set::outbox_rows_estimate),
      level("pgcast_outbox_oldest_seconds", "Age of the oldest event that is kept.",
            &set::outbox_oldest),
  };
  return all;
}

}  // namespace

std::span<const metric_description> metric_list() {
  static const std::vector<metric_description> list = [] {
    std::vector<metric_description> descriptions;
    for (const auto& m : all_metrics()) descriptions.push_back(m.what);
    return descriptions;
  }();
  return list;
}

std::string render_metrics(const metric_set& all) {
  std::string text;
  auto out = std::back_inserter(text);
  for (const auto& [what, value] : all_metrics()) {
    const auto type = what.type == metric_type::counter ? "counter" : "gauge";
    fmt::format_to(out, "# HELP {0} {1}\n# TYPE {0} {2}\n", what.name, what.help, type);
    if (what.label.empty()) fmt::format_to(out, "{} {}\n", what.name, value(all, 0));
    for (std::size_t i = 0; i < what.values.size(); ++i) {
      fmt::format_to(out, "{}{{{}=\"{}\"}} {}\n", what.name, what.label, what.values[i],
                     value(all, i));
    }
  }
  return text;
}

std::string encode_metrics(const metric_set& all) {
  std::string text = "{";
  auto out = std::back_inserter(text);
  for (const auto& [what, value] : all_metrics()) {
    if (text.size() > 1) text += ',';
    fmt::format_to(out, "\"{}\":", what.name);
    if (what.label.empty()) {
      text += value(all, 0);
      continue;
    }
    text += '{';
    for (std::size_t i = 0; i < what.values.size(); ++i) {
      fmt::format_to(out, "{}\"{}\":{}", i == 0 ? "" : ",", what.values[i], value(all, i));
    }
    text += '}';
  }
  return text + "}";
}

}  // namespace pgcast
