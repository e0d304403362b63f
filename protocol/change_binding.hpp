#pragma once

#include "protocol/error.hpp"
#include "protocol/event.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pgcast {

/// One `.on('postgres_changes', {..})` of a channel, as the join carries it.
struct change_binding {
  std::string json;                   ///< the object, byte for byte: the client compares its echo
  std::optional<operation> op;        ///< nullopt: every change
  std::string schema;                 ///< "*": every schema
  std::string table;                  ///< "*": every table
  std::string filter;                 ///< "": no condition
  std::vector<std::string> select;    ///< columns; empty: all
  std::optional<std::string> resume;  ///< a cursor, "" = from now; only then rows carry cursors
  std::uint32_t id = 0;               ///< unique in the channel

  bool is_for(const event& e) const;
  /// What decides which changes it gets and how they look; not where it resumes.
  std::string identity() const;
};

/// Reads the objects as Supabase Realtime does: the event in any case, an unknown one is "*"; the
/// schema is public if only a table is named; without a table it is all tables. What is of the
/// wrong type is refused. Ids are small, the
/// same for the same binding at every join, and made unique among those of one channel. Fails with
/// payload_malformed for `select` without one table.
result<std::vector<change_binding>> parse_bindings(const std::vector<std::string>& objects);

/// The answer's `postgres_changes`: each object as it came, with its id.
std::string bindings_reply(const std::vector<change_binding>& bindings);

}  // namespace pgcast
