#pragma once

#include "protocol/change_binding.hpp"
#include "protocol/event.hpp"
#include "protocol/table_shape.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// A change as a client gets it.
struct change_message {
  std::string event;    ///< "postgres_changes"; of a bare binding "INSERT", "UPDATE" or "DELETE"
  std::string payload;  ///< JSON
};

/// What a message is written from; everything outlives the call.
struct change_to_write {
  const event& e;
  const table_shape& shape;               ///< what the role may see of the table
  const change_binding& binding;          ///< one of those that get it
  const std::vector<std::uint32_t>& ids;  ///< of all of them
  operation as;                           ///< a DELETE also of an UPDATE that leaves the filter
  std::string_view old_row;               ///< the whole one; "" if there is none to be seen
  std::string_view cursor;                ///< the event's place
};

/// {"ids":..,"data":{..}} of Supabase Realtime (realtime-protocol facts, section 6), of a bare
/// binding the data alone. Columns are those that the role may SELECT and the binding selects.
change_message write_change_message(const change_to_write& what);

}  // namespace pgcast
