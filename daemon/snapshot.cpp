#include "daemon/snapshot.hpp"

#include "daemon/metrics.hpp"
#include "daemon/snapshot_sql.hpp"
#include "daemon/source_session.hpp"

#include <chrono>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_snapshot_timeout{10'000};
constexpr join_request::snapshot_sizes k_all;
constexpr join_request::snapshot_sizes k_nothing{0, 0, 0};

/// Of `phone:` without its arguments: what carries the number is not known yet.
pg_statement snapshot_of(const topic& t, const role_policies& may,
                         const join_request::snapshot_sizes& sizes) {
  if (t.kind == topic_kind::session) return session_snapshot(may, t.key, sizes);
  if (t.kind == topic_kind::campaign) return campaign_snapshot(may, t.key, sizes);
  return phone_snapshot(may, "", "", sizes);
}

}  // namespace

asio::awaitable<result<topic_snapshot>> snapshot_reader::read(topic t,
                                                              std::shared_ptr<viewer_class> viewer,
                                                              join_request::snapshot_sizes sizes,
                                                              snapshot_content content) {
  auto may = co_await policies_.policies_of(viewer->role());
  if (!may) co_return may.error();
  if (content == snapshot_content::permission_only) sizes = k_nothing;
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  auto snapshot = snapshot_of(t, **may, sizes);
  // Sizes stand in the text: those that clients make up would fill a connection with statements.
  if (sizes == k_all || sizes == k_nothing)
    snapshot = co_await leased->prepare(std::move(snapshot));
  auto begin = begin_read(deadline_);
  if (t.kind == topic_kind::phone) {
    auto find = find_number(t.key);
    auto prepared = co_await leased->prepare(std::move(find));
    begin.push_back(std::move(prepared));
  }
  auto begun = co_await leased->pg().run(std::move(begin), k_snapshot_timeout);
  if (!begun) co_return begun.error();
  auto at = place_of_read(*begun, *leased->history());
  if (!at) co_return at.error();

  auto statements = become(viewer->role(), viewer->claims());
  if (t.kind == topic_kind::phone && !snapshot.parameters.empty()) {
    snapshot.parameters[0] = std::string{begun->back().text(0, 0)};
    snapshot.parameters[1] = std::string{begun->back().text(0, 1)};
  }
  statements.push_back(std::move(snapshot));
  const std::size_t answer = statements.size() - 1;
  statements.emplace_back("COMMIT");
  auto rows = co_await leased->pg().run(std::move(statements), k_snapshot_timeout);
  if (!rows) co_return rows.error();
  metrics().snapshots.add();
  topic_snapshot out;
  out.is_allowed = (*rows)[answer].text(0, 0) == "t";
  out.body = (*rows)[answer].text(0, 1);
  out.followed_session = (*rows)[answer].text(0, 2);
  out.at = *at;
  out.history = leased->history();
  co_return out;
}

}  // namespace pgcast
