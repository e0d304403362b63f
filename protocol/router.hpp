#pragma once

#include "protocol/event.hpp"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pgcast {

/// A hash for string keys that are looked up by view.
struct string_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
};

/// Which campaign a session belongs to and which numbers it carries, folded from the events of
/// the membership tables in order. About 200 bytes a session. Not thread-safe: the reader's.
class directory {
 public:
  explicit directory(const relay_description& description) : description_(description) {}

  void clear();
  void put_session(std::string_view session, std::optional<std::string_view> campaign);
  void put_number(std::string_view session, std::string_view number);

  /// The campaign of a session; a deleted session keeps its last one for the DELETEs of its rows
  /// that a cascade sends after it (`alive_only` = no such answer).
  enum class lookup { alive_only, deleted_too };
  std::optional<std::string> campaign_of(std::string_view session, lookup which) const;
  /// Canonical numbers that a session carries.
  std::vector<std::string> numbers_of(std::string_view session) const;

  /// Takes over what `e` changes.
  void fold(const event& e);

 private:
  struct entry {
    std::optional<std::string> campaign;
    bool is_deleted = false;
    std::multiset<std::string> numbers;
  };
  void fold_membership(const event& e);
  void fold_numbers(const event& e);

  const relay_description& description_;
  std::unordered_map<std::string, entry, string_hash, std::equal_to<>> sessions_;
};

/// Whether a session is in the campaign that a route asks for, before and after the event.
using campaign_lookup =
    std::function<std::optional<std::string>(std::string_view session, directory::lookup)>;

/// The topics that `e` touches. Call before directory::fold(e) for events of rows; membership of
/// other tables' rows does not change by their own events. TRUNCATE has no routes: it goes to
/// every topic that carries the table.
std::vector<route> route_event(const event& e, const campaign_lookup& campaign_of);

/// Adds the `phone:` topics that must look again for their session because of `e`: the numbers
/// of a session that came, went or changed a column of number_order.
void add_phone_routes(event& e, const directory& sessions, const relay_description& description);

}  // namespace pgcast
