#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// One change as a Realtime server told it, read so that it compares with what another server made
/// of the same change: the order of members, blanks and the spelling of numbers and of timestamptz
/// do not count, columns are hashes, and what pgcast adds to a row (`_pgcast_id`) is left out.
struct observed_change {
  /// Hashes of a column's name and of its value; good within one process.
  struct column {
    std::size_t name = 0;
    std::size_t value = 0;
    bool operator==(const column&) const = default;
  };

  std::string table;  ///< schema.table
  std::string type;   ///< "INSERT", "UPDATE" or "DELETE"
  std::string key;    ///< for people: what most likely is the primary key, "id=5"
  std::string commit_timestamp;
  std::string committed;        ///< commit_timestamp in order under memcmp; "" = it cannot be read
  std::string id;               ///< `_pgcast_id`, else commit_timestamp: equal ones came twice
  std::vector<column> columns;  ///< of the row, of a DELETE of the old one; sorted by name
};

/// Reads `data` of a postgres_changes message; nothing when it is no change of a table. A change
/// that came without its row (an error of the server) has no columns.
std::optional<observed_change> read_change(std::string_view data_json);

}  // namespace pgcast
