#include "protocol/router.hpp"

#include <algorithm>

namespace pgcast {
namespace {

void mark(std::vector<route>& routes, topic_kind kind, const std::string& key, bool route::*side) {
  const std::string name = topic_key(kind, kind == topic_kind::phone ? normalize_phone(key) : key);
  auto at =
      std::find_if(routes.begin(), routes.end(), [&](const auto& r) { return r.topic == name; });
  if (at == routes.end()) at = routes.insert(routes.end(), route{name, false, false});
  (*at).*side = true;
}

}  // namespace

void directory::clear() { sessions_.clear(); }

void directory::put_session(std::string_view session, std::optional<std::string_view> campaign) {
  auto& e = sessions_[std::string{session}];
  e.is_deleted = false;
  e.campaign = campaign ? std::optional<std::string>{*campaign} : std::nullopt;
}

void directory::put_number(std::string_view session, std::string_view number) {
  sessions_[std::string{session}].numbers.insert(normalize_phone(number));
}

std::optional<std::string> directory::campaign_of(std::string_view session, lookup which) const {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return std::nullopt;
  if (found->second.is_deleted && which == lookup::alive_only) return std::nullopt;
  return found->second.campaign;
}

std::vector<std::string> directory::numbers_of(std::string_view session) const {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return {};
  return {found->second.numbers.begin(), found->second.numbers.end()};
}

void directory::fold(const event& e) {
  if (e.description == nullptr) return;
  if (e.description->name == description_.membership_table) fold_membership(e);
  if (e.description->name == description_.numbers_table) fold_numbers(e);
}

void directory::fold_membership(const event& e) {
  if (e.op == operation::truncate) {
    for (auto& [session, known] : sessions_) known.is_deleted = true;
    return;
  }
  const auto session = values_of(e, description_.membership_session);
  if (session.before && session.before != session.after) {
    sessions_[*session.before].is_deleted = true;
  }
  if (session.after) {
    const auto campaign = values_of(e, description_.membership_campaign);
    put_session(*session.after, campaign.after);
  }
}

void directory::fold_numbers(const event& e) {
  if (e.op == operation::truncate) {
    for (auto& [session, known] : sessions_) known.numbers.clear();
    return;
  }
  const auto session = values_of(e, description_.numbers_session);
  const auto number = values_of(e, description_.numbers_number);
  if (session.before && number.before) {
    auto& numbers = sessions_[*session.before].numbers;
    const auto at = numbers.find(normalize_phone(*number.before));
    if (at != numbers.end()) numbers.erase(at);
  }
  if (session.after && number.after) put_number(*session.after, *number.after);
}

std::vector<route> route_event(const event& e, const campaign_lookup& campaign_of) {
  std::vector<route> routes;
  if (e.description == nullptr || e.op == operation::truncate) return routes;
  for (const auto& r : e.description->routes) {
    auto key = values_of(e, r.column);
    if (r.how == table_route::by::campaign_of_session) {
      const auto which = e.op == operation::remove ? directory::lookup::deleted_too
                                                   : directory::lookup::alive_only;
      if (key.before) key.before = campaign_of(*key.before, which);
      if (key.after) key.after = campaign_of(*key.after, which);
    }
    if (key.before) mark(routes, r.kind, *key.before, &route::had_old);
    if (key.after) mark(routes, r.kind, *key.after, &route::has_new);
  }
  return routes;
}

void add_phone_routes(event& e, const directory& sessions, const relay_description& description) {
  if (e.description == nullptr || e.description->name != description.membership_table) return;
  const auto& order = description.number_order;
  const bool order_changed = std::any_of(order.begin(), order.end(), [&](const auto& column) {
    const auto value = values_of(e, column);
    return value.before != value.after;
  });
  const auto session = values_of(e, description.membership_session);
  if (!order_changed && session.before == session.after) return;
  for (const auto& id : {session.before, session.after}) {
    if (!id) continue;
    for (const auto& number : sessions.numbers_of(*id)) {
      mark(e.routes, topic_kind::phone, number, &route::has_new);
    }
  }
}

}  // namespace pgcast
