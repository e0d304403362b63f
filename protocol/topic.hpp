#pragma once

#include "protocol/error.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// How a kind of topic finds its rows.
enum class topic_kind { session, phone, campaign, stats, plain };

/// A topic as a client names it, without "realtime:".
struct topic {
  topic_kind kind = topic_kind::plain;
  std::string name;         ///< as typed, "phone:+44 7700 900001"
  std::string key;          ///< what rows are compared with: the id; of phone: the canonical number
  bool is_private = false;  ///< plain ones only: another topic than the public one of that name
};

/// Splits at the first colon. Names without a known prefix are plain channels (broadcast only).
/// Fails with topic_missing for an empty name, one over 1,024 bytes and an empty id of a known
/// kind.
result<topic> parse_topic(std::string_view name);

/// The key under which a hub keeps a topic of this kind ("session:abc"); of a plain one the public
/// topic ("public:room"). No two topics have the same.
std::string topic_key(topic_kind kind, std::string_view key);
/// The same, of a private one "private:room".
std::string topic_key(const topic& t);

/// A phone number in the form in which numbers are compared: separators (blanks, dots, dashes,
/// slashes, brackets) dropped, a leading 00 turned into +, if that leaves digits with at most one
/// leading +; any other text is returned as it is. The same as pgcast.normalize_phone in SQL.
std::string normalize_phone(std::string_view text);

/// One way in which the rows of a table find a kind of topic.
struct table_route {
  enum class by {
    column,              ///< the value of `column` is the topic's key
    campaign_of_session  ///< the campaign to which the session named in `column` belongs
  };
  topic_kind kind;
  by how;
  std::string column;
};

/// What a row is to the numbers of its session's campaign (protocol/ticker.hpp).
enum class counted_as { nothing, session, message, call, objective_change };

/// A relayed table and its routes.
struct table_description {
  std::string schema;
  std::string name;
  std::vector<table_route> routes;
  counted_as counts = counted_as::nothing;

  bool carries(topic_kind kind) const;
  /// The column that names the row's session, "" = none.
  std::string_view session_column() const;
};

/// All that this service knows about its tables: topics are data, not code.
struct relay_description {
  std::vector<table_description> tables;
  /// Where session -> campaign and number -> sessions come from (names of entries of `tables`).
  std::string membership_table, membership_session, membership_campaign;
  std::string numbers_table, numbers_session, numbers_number;
  std::vector<std::string>
      number_order;  ///< columns of membership_table that choose among sessions

  /// nullptr if the table is not described (it is relayed without a topic of its own).
  const table_description* find(std::string_view schema, std::string_view name) const;
  /// True for event names that only the daemon may use on topics of this description.
  bool is_reserved_event(std::string_view event) const;
  /// True if only the daemon may use that name on that topic.
  bool reserves(const topic& t, std::string_view event) const;
};

/// The recruiting topics that the service ships with.
const relay_description& recruiting_description();

}  // namespace pgcast
