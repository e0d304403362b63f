#pragma once

#include "protocol/error.hpp"
#include "protocol/event.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
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
  bool wants_leaving = false;         ///< "leave": an UPDATE out of the filter comes as a DELETE
  bool int8_as_text = false;          ///< "int8": "text", for numbers that JavaScript would round
  bool is_bare = false;  ///< of a client from before postgres_changes, see binding_of_topic()
  std::uint32_t id = 0;  ///< unique in the channel

  bool is_for(const event& e) const { return is_for(e, e.op); }
  /// The same if the event came as `as`.
  bool is_for(const event& e, operation as) const;
  /// Both get a change in the same bytes, but for their ids.
  bool looks_like(const change_binding& other) const;
  /// What decides which changes it gets and how they look; not where it resumes.
  std::string identity() const;
};

/// Reads the objects as Supabase Realtime does: the event in any case, an unknown one is "*"; the
/// schema is public if only a table is named; without a table it is all tables. What is of the
/// wrong type is refused. Ids are small, the
/// same for the same binding at every join, and made unique among those of one channel. Fails with
/// binding_malformed for `select` without one table.
result<std::vector<change_binding>> parse_bindings(const std::vector<std::string>& objects);

/// What a client of the first realtime API asks for by its topic, "schema[:table[:filter]]": all
/// changes, each as a message of the name of its type that carries the bare data.
change_binding binding_of_topic(std::string_view name);

/// The answer's `postgres_changes`: each object as it came, with its id.
std::string bindings_reply(const std::vector<change_binding>& bindings);

}  // namespace pgcast
