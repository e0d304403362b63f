#pragma once

#include "protocol/kept_broadcast.hpp"
#include "protocol/position.hpp"
#include "protocol/topic.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

enum class operation : char {
  insert = 'I',
  update = 'U',
  remove = 'D',
  truncate = 'T',
  broadcast = 'B'  ///< no row: a message to a topic
};

/// One row of pgcast.outbox as text columns; views live as long as the query result.
struct outbox_row {
  std::string_view id, xid, commit_timestamp, schema, table, operation;
  std::optional<std::string_view> record, old_record;
};

/// The topic that an event touches: did it have the old row, does it have the new one?
struct route {
  std::string topic;  ///< hub key, topic_key()
  bool had_old = false;
  bool has_new = false;
};

/// One committed row change, or a broadcast from the database. Not copyable: the parser reads spare
/// bytes behind the JSON texts, which a copied string does not have.
struct event {
  event() = default;
  event(event&&) = default;
  event& operator=(event&&) = default;

  std::uint64_t id = 0;
  std::uint64_t xid = 0;
  operation op = operation::insert;
  std::string schema;
  std::string table;
  const table_description* description = nullptr;  ///< nullptr: no topic of its own
  std::string commit_timestamp;
  std::string record;       ///< JSON; "" for DELETE and TRUNCATE
  std::string old_record;   ///< JSON; of an UPDATE the changed columns, of a DELETE the whole row
  bool is_parsable = true;  ///< false: the JSON could not be read; only key columns are known
  std::vector<route> routes;
  std::unique_ptr<const kept_broadcast> broadcast;  ///< of operation::broadcast, which has no rows
};

/// Values of an event's routing columns before and after it; nullopt = NULL, or no such row.
struct column_values {
  std::optional<std::string> before;
  std::optional<std::string> after;
};

/// Reads a row of the outbox. Never fails for odd JSON: see event::is_parsable. Fails with
/// row_malformed only when id, xid or operation are no such things, or as parse_kept_broadcast().
result<event> parse_outbox_row(const outbox_row& row, const relay_description& description);

/// The value of a column in the event's old and new row, as text (strings unescaped, other values
/// as their JSON text).
column_values values_of(const event& e, std::string_view column);

/// The raw JSON token of each column in a record, in the order asked; "null" where it is absent.
/// Fails with row_malformed if the record cannot be parsed.
result<std::vector<std::string>> raw_values(std::string_view record,
                                            const std::vector<std::string>& columns);

/// The whole old row: the old values of an UPDATE laid over its new row; of a DELETE its
/// old_record. "" where there is none. Fails with row_malformed.
result<std::string> whole_old_record(const event& e);

/// A batch is one visibility step of the source: what s2 sees and s1 does not.
struct batch_span {
  std::shared_ptr<const source_history> history;
  position start;  ///< s1 = batch start, s2 = batch end, id = 0

  position at(std::uint64_t id) const;
};

/// A part of a batch on its way to the shards, never of two; immutable once posted. Without events
/// it only says where the stream stands (batch->start).
struct event_chunk {
  std::shared_ptr<const batch_span> batch;
  std::vector<event> events;
};

/// How a subscriber sees an event: an UPDATE of which it sees one side only is an INSERT or a
/// DELETE to it (contract, section 4).
enum class event_view : std::uint8_t { hidden, insert, update, remove, truncate };

/// Which rows of an event a subscriber gets: those that are in its topic and visible to it.
struct event_sides {
  bool old_row = false;
  bool new_row = false;
};

/// Folds topic membership and visibility into what the subscriber sees.
event_view view_of(operation op, event_sides sees);

/// The payload of a row event, {"id","cursor","schema",...}, with the row JSON spliced as it came.
/// `view` is not hidden. Fails with row_malformed if an old row is needed and cannot be built.
result<std::string> encode_event(const event& e, event_view view, std::string_view cursor);

}  // namespace pgcast
