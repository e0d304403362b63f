#pragma once

#include "protocol/change_binding.hpp"
#include "protocol/change_message.hpp"
#include "protocol/event.hpp"
#include "protocol/filter.hpp"
#include "protocol/table_shape.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pgcast {

/// The rows of one event as filters ask for them, read when the first one does.
class event_rows {
 public:
  explicit event_rows(const event& e) : event_(e) {}

  /// What filters are compared with: the new row, of a DELETE the old one.
  row_values& compared();
  /// The whole old row; "" where there is none or it cannot be built.
  const std::string& whole_old();
  /// The same for filters.
  row_values& compared_old();
  /// Of an UPDATE the old values of the columns that it changed.
  row_values& replaced();

 private:
  const event& event_;
  std::optional<std::string> whole_old_;
  std::optional<row_values> compared_;
  std::optional<row_values> compared_old_;
  std::optional<row_values> replaced_;
};

/// All bindings of a channel: which changes they get, and how a change is written for them.
///
/// Everything that changes with grants and columns comes from the shapes that use() was given last;
/// filters are read anew then, and one that has lost its column matches nothing. One thread.
class change_spec {
 public:
  explicit change_spec(std::vector<change_binding> bindings);

  const std::vector<change_binding>& bindings() const { return bindings_; }
  /// Equal texts get the same changes in the same form.
  const std::string& identity() const { return identity_; }

  /// The tables as the subscriber's role may see them. True if they are others than before.
  bool use(std::shared_ptr<const table_shapes> shapes);
  /// Whether the role may have all that the bindings name. Fails with unauthorized,
  /// filter_malformed or binding_malformed and a sentence with the remedy.
  result<void> check(std::string_view role) const;

  /// Under which keys a hub finds this spec for an event: one table, perhaps with one value that a
  /// column must have. "*" as in change_binding.
  struct key {
    std::string schema;
    std::string table;
    std::optional<filter::equality> equality;
    table_column column;  ///< of the equality
  };
  std::vector<key> keys() const;

  /// False if it is certain that no binding gets the event. A table that the shapes do not know, or
  /// a filter that they do not fit, leaves it open: they may be older than the table is now.
  bool may_match(const event& e, event_rows& rows) const;

  /// One message for all bindings that want the same. `wanted[i]` false leaves binding i out; empty
  /// = all. `cursor` is the event's place. Empty if nothing matches or the subscriber does not see
  /// the side that counts.
  std::vector<change_message> write(const event& e, event_rows& rows, event_sides sides,
                                    const std::vector<bool>& wanted, std::string_view cursor) const;

 private:
  using parsed_filter = std::optional<filter>;  // nullopt: it cannot be read for that table
  const parsed_filter& filter_for(std::size_t binding, const table_shape& shape) const;
  /// As what the binding gets the event, if it does: as an UPDATE that leaves its filter, a DELETE.
  std::optional<operation> match(std::size_t binding, const table_shape& shape, const event& e,
                                 event_rows& rows) const;

  std::vector<change_binding> bindings_;
  std::string identity_;
  std::shared_ptr<const table_shapes> shapes_;
  mutable std::map<std::pair<std::size_t, const table_shape*>, parsed_filter> filters_;
};

}  // namespace pgcast
