#include "daemon/stats_policy.hpp"

#include "daemon/source_session.hpp"

#include <spdlog/spdlog.h>

#include <vector>

namespace pgcast {
namespace asio = boost::asio;
namespace {

pg_statement find_campaign(const std::string& campaign) {
  return {"SELECT EXISTS (SELECT FROM public.campaign_info WHERE campaign = $1)", {campaign}};
}

constexpr std::size_t k_is_there = 2;  // behind begin_decisions()

/// Whether the row is there, then, last but one, whether the class sees it.
std::vector<pg_statement> questions(const std::string& campaign, const viewer_class& viewer,
                                    bool may_select) {
  std::vector<pg_statement> out;
  begin_decisions(out);
  out.push_back(find_campaign(campaign));
  for (auto& s : become(viewer.role(), viewer.claims())) out.push_back(std::move(s));
  out.push_back(may_select ? find_campaign(campaign) : pg_statement{"SELECT false"});
  out.emplace_back("COMMIT");
  return out;
}

}  // namespace

asio::awaitable<result<stats_policy::answer>> stats_policy::ask(
    std::string campaign, std::shared_ptr<viewer_class> viewer) {
  answer out;
  out.decided_at = std::chrono::steady_clock::now();
  out.may_watch = true;
  if (viewer->sees_everything()) co_return out;
  if (const auto* known = answers_.find(*viewer, campaign)) co_return *known;
  auto may = co_await policies_.policies_of(viewer->role());
  if (!may) co_return may.error();
  const auto* campaigns = (*may)->find("public", "campaign_info");
  const bool sees_all_sessions = (*may)->sees_all("public", "session_info");
  const bool sees_all_campaigns = !campaigns || (*may)->sees_all("public", "campaign_info");
  if (sees_all_sessions && sees_all_campaigns) co_return out;
  if (!campaigns) {
    out.may_watch = false;
    co_return out;
  }
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  auto statements = questions(campaign, *viewer, campaigns->may_select);
  const std::size_t is_seen = statements.size() - 2;
  auto rows = co_await leased->pg().run(std::move(statements), k_answer_timeout);
  if (!rows && (rows.error().code != errc::query_failed || may_pass(rows.error()))) {
    co_return rows.error();
  }
  if (!rows) {
    spdlog::warn("a policy of campaign_info fails for role {}: {}", viewer->role(),
                 rows.error().detail);
  }
  const auto says_yes = [&](std::size_t i) { return rows && (*rows)[i].text(0, 0) == "t"; };
  const bool is_there = !rows || says_yes(k_is_there);
  out.may_watch = says_yes(is_seen) || (!is_there && sees_all_sessions);
  answers_.keep(std::move(viewer), campaign, out);
  co_return out;
}

}  // namespace pgcast
