#pragma once

#include "protocol/event.hpp"
#include "protocol/json_document.hpp"
#include "protocol/sql_time.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// Who wrote a message, by its member `sender`, or by `type` where that is missing or null.
enum class message_side : std::uint8_t { other, user, agent };

/// Of a message's JSON.
message_side side_of_message(std::string_view json);

/// What one row says that counts. Which members mean something depends on the table.
struct counted_row {
  std::optional<std::string> session;
  message_side side = message_side::other;
  wide_us call_us = 0;
  bool is_active = false;               ///< of a session
  std::vector<std::string> objectives;  ///< that are met in a session, ascending
  /// Microseconds since 2000 of the columns that say when something happened.
  std::array<std::optional<std::int64_t>, 5> times;

  std::optional<std::int64_t> last_activity_us() const;
};

/// An event's row before and after it; nullopt where there is none.
struct counted_rows {
  std::optional<counted_row> before;
  std::optional<counted_row> after;
};

/// The names that are met in the JSON of a session's objectives, ascending. Empty for what is no
/// object.
std::vector<std::string> met_objectives(std::string_view json);
std::vector<std::string> met_objectives(json_value objectives);

/// Reads what counts of an event of a table that counts (not a TRUNCATE). nullopt if its JSON
/// cannot be read. The definitions are those of the contract, section 4, "Stats".
std::optional<counted_rows> read_counted_rows(const event& e);

}  // namespace pgcast
