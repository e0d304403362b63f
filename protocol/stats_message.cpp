#include "protocol/stats_message.hpp"

#include "protocol/codec.hpp"

namespace pgcast {

std::string stats_members(const std::string& campaign, const campaign_totals& totals,
                          const objective_counts& objectives) {
  std::string out = R"("campaign":)" + json_quote(campaign);
  const auto add = [&](std::string_view name, std::int64_t n) {
    out.append(name).append(std::to_string(n));
  };
  add(R"(,"sessions":)", totals.sessions);
  add(R"(,"active":)", totals.active);
  add(R"(,"messages":{"total":)", totals.messages);
  add(R"(,"user":)", totals.user_messages);
  add(R"(,"agent":)", totals.agent_messages);
  add(R"(},"calls":{"total":)", totals.calls);
  out += R"(,"seconds":)" + seconds_text(totals.call_us) + R"(},"objectives":{)";
  for (const auto& [name, count] : objectives) {
    if (out.back() != '{') out += ',';
    append_json_quoted(out, name);
    add(":", static_cast<std::int64_t>(count));
  }
  const auto last = totals.last_activity_us;
  return out + R"(},"last_activity_at":)" + (last ? '"' + timestamp_text(*last) + '"' : "null");
}

}  // namespace pgcast
