#include "daemon/snapshot.hpp"

#include "daemon/metrics.hpp"
#include "daemon/snapshot_sql.hpp"
#include "daemon/source_session.hpp"

#include <chrono>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_snapshot_timeout{10'000};

}  // namespace

asio::awaitable<result<topic_snapshot>> snapshot_reader::read(topic t,
                                                              std::shared_ptr<viewer_class> viewer,
                                                              join_request::snapshot_sizes sizes,
                                                              snapshot_content content) {
  auto may = co_await policies_.policies_of(viewer->role());
  if (!may) co_return may.error();
  if (content == snapshot_content::permission_only) sizes = {0, 0, 0};
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
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
  if (t.kind == topic_kind::session) {
    statements.push_back(session_snapshot(**may, t.key, sizes));
  } else if (t.kind == topic_kind::campaign) {
    statements.push_back(campaign_snapshot(**may, t.key, sizes));
  } else {
    const std::string ids{(*begun)[2].text(0, 0)};
    const std::string numbers{(*begun)[2].text(0, 1)};
    statements.push_back(phone_snapshot(**may, ids, numbers, sizes));
  }
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
