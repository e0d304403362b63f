#include "daemon/api_reader.hpp"

#include "daemon/api_sql.hpp"
#include "daemon/snapshot_sql.hpp"
#include "daemon/source_session.hpp"
#include "daemon/ticker_sql.hpp"
#include "protocol/codec.hpp"

#include <spdlog/spdlog.h>

#include <chrono>
#include <map>
#include <vector>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_deadline{5'000};  // of a statement
constexpr std::chrono::milliseconds k_timeout{8'000};   // for the server to say so

/// What `not there` is between the functions of this file; it is told as not_found().
error nothing() { return {errc::unauthorized, ""}; }

api_problem problem_of(const error& e, const api_request& r) {
  if (e.code == errc::unauthorized) return not_found();
  if (e.code == errc::query_failed && e.detail.starts_with("57014")) {
    return {503, "query_timeout", "the database needed more than 5 seconds",
            "ask for fewer rows, and let pgcast check name missing indexes"};
  }
  if (e.code == errc::query_failed && e.detail.starts_with("22") && r.before) {
    return before_invalid();
  }
  spdlog::warn("a request of the snapshot API failed: {}", e.detail);
  if (e.code == errc::query_failed) {
    return {500, "query_failed", "the database refused the query", "the log has its words"};
  }
  return {503, "source_unavailable", "the database cannot answer now", "try again in a moment"};
}

topic topic_of(const api_request& r) {
  const bool is_phone = r.route == api_route::phone || r.route == api_route::phone_messages;
  return {is_phone ? topic_kind::phone : topic_kind::session, r.id,
          is_phone ? normalize_phone(r.id) : r.id};
}

std::string stats_member(const std::string& campaign, const named_totals& sums) {
  return R"("stats":{)" + stats_members(campaign, sums.totals, sums.objectives) + "}";
}

}  // namespace

api_reader::api_reader(pg_pool& pool, authorizer& policies, unsigned most_waiting)
    : pool_(pool),
      policies_(policies),
      snapshots_(pool, policies, k_deadline),
      most_waiting_(most_waiting) {}

asio::awaitable<api_result<api_answer>> api_reader::read(api_request r,
                                                         std::shared_ptr<viewer_class> viewer) {
  if (waiting_ >= most_waiting_) {
    co_return api_problem(503, "overloaded", "too many requests wait for the database",
                          "try again in a second, or raise limits.api_requests");
  }
  ++waiting_;
  result<api_answer> found = nothing();
  switch (r.route) {
    case api_route::session:
    case api_route::phone:
      found = co_await read_snapshot(r, viewer);
      break;
    case api_route::campaigns:
    case api_route::campaign:
      found = co_await read_campaigns(r, viewer);
      break;
    default:
      found = co_await read_page(r, viewer);
  }
  --waiting_;
  if (!found) co_return problem_of(found.error(), r);
  co_return *std::move(found);
}

api_reader::answer api_reader::read_snapshot(const api_request& r,
                                             std::shared_ptr<viewer_class> viewer) {
  topic name = topic_of(r);
  const join_request::snapshot_sizes sizes;
  auto found =
      co_await snapshots_.read(std::move(name), std::move(viewer), sizes, snapshot_content::full);
  if (!found) co_return found.error();
  if (!found->is_allowed || found->body.starts_with(R"("session":null)")) co_return nothing();
  api_answer out(encode_cursor(found->at, *found->history), std::move(found->body));
  co_return out;
}

api_reader::answer api_reader::read_page(const api_request& r,
                                         std::shared_ptr<viewer_class> viewer) {
  auto may = co_await policies_.policies_of(viewer->role());
  if (!may) co_return may.error();
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  auto begin = begin_read(k_deadline);
  const bool is_of_phone = r.route == api_route::phone_messages;
  if (is_of_phone) begin.push_back(find_number(normalize_phone(r.id)));
  pg_statement page =
      r.route == api_route::session_calls ? calls_page(**may, r) : sessions_page(**may, r);
  if (is_of_phone) page = messages_page(**may, r, "", "");
  auto prepared = co_await leased->prepare(std::move(page));
  auto begun = co_await leased->pg().run(std::move(begin), k_timeout);
  if (!begun) co_return begun.error();
  auto at = place_of_read(*begun, *leased->history());
  if (!at) co_return at.error();
  if (is_of_phone) {
    prepared.parameters[0] = std::string{begun->back().text(0, 0)};
    prepared.parameters[1] = std::string{begun->back().text(0, 1)};
  }
  auto statements = become(viewer->role(), viewer->claims());
  const std::size_t place = statements.size();
  statements.push_back(std::move(prepared));
  statements.emplace_back("COMMIT");
  auto rows = co_await leased->pg().run(std::move(statements), k_timeout);
  if (!rows) co_return rows.error();
  const auto& found = (*rows)[place];
  if (found.text(0, page_is_there) != "t") co_return nothing();
  const std::string_view name = is_of_phone                           ? "messages"
                                : r.route == api_route::session_calls ? "calls"
                                                                      : "sessions";
  api_answer out(encode_cursor(*at, *leased->history()), "");
  out.members.append("\"").append(name).append("\":").append(found.text(0, page_rows));
  out.members += R"(,"next":)";
  if (found.text(0, page_has_more) == "t") {
    api_request::place last;
    if (const auto value = found.at(0, page_last_value)) last.value = std::string{*value};
    last.key = found.text(0, page_last_key);
    out.members += '"' + encode_page_place(r.route, last) + '"';
  } else {
    out.members += "null";
  }
  co_return out;
}

/// First those that the caller sees, then, with the daemon's own rights, the sums of all their
/// sessions, in one snapshot.
api_reader::answer api_reader::read_campaigns(const api_request& r,
                                              std::shared_ptr<viewer_class> viewer) {
  auto may = co_await policies_.policies_of(viewer->role());
  if (!may) co_return may.error();
  auto tables = co_await policies_.policies_of("");
  if (!tables) co_return tables.error();
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  const bool is_list = r.route == api_route::campaigns;
  pg_statement seen = is_list ? visible_campaigns(**may) : visible_campaign(**may, r.id);
  auto prepared = co_await leased->prepare(std::move(seen));
  auto statements = begin_read(k_deadline);
  for (auto& s : become(viewer->role(), viewer->claims())) statements.push_back(std::move(s));
  statements.push_back(std::move(prepared));
  auto begun = co_await leased->pg().run(std::move(statements), k_timeout);
  if (!begun) co_return begun.error();
  auto at = place_of_read(*begun, *leased->history());
  if (!at) co_return at.error();
  const auto& visible = begun->back();
  std::vector<std::string> names;
  for (int i = 0; i < visible.size(); ++i) names.emplace_back(visible.text(i, 0));
  if (!is_list) names = {r.id};
  std::vector<pg_statement> more;
  more.emplace_back("SET LOCAL ROLE NONE");
  more.push_back(totals_of_campaigns(**tables, names));
  more.emplace_back("COMMIT");
  auto summed = co_await leased->pg().run(std::move(more), k_timeout);
  if (!summed) co_return summed.error();
  std::map<std::string, named_totals> totals;
  for (int i = 0; i < (*summed)[1].size(); ++i) {
    auto one = read_totals((*summed)[1], i);
    totals[one.campaign] = one;
  }
  api_answer out(encode_cursor(*at, *leased->history()), "");
  if (!is_list) {
    const bool sees_all = (*may)->sees_all("public", "session_info");
    if (visible.size() == 0 && !(sees_all && totals.contains(r.id))) co_return nothing();
    out.members = R"("campaign":)";
    out.members.append(visible.size() == 0 ? "null" : visible.text(0, 1)).append(",");
    out.members += stats_member(r.id, totals[r.id]);
    co_return out;
  }
  out.members = R"("campaigns":[)";
  for (int i = 0; i < visible.size(); ++i) {
    auto row = visible.text(i, 1);
    row.remove_suffix(1);
    if (i > 0) out.members += ',';
    out.members.append(row).append(",").append(stats_member(
        names[static_cast<std::size_t>(i)], totals[names[static_cast<std::size_t>(i)]]));
    out.members += '}';
  }
  out.members += ']';
  co_return out;
}

}  // namespace pgcast
