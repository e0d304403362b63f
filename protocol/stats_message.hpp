#pragma once

#include "protocol/sql_time.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace pgcast {

/// How many sessions have met an objective, by its name.
using objective_counts = std::map<std::string, std::size_t, std::less<>>;

/// What the rows of one session or of several sum up to.
struct row_sums {
  std::int64_t messages = 0;
  std::int64_t user_messages = 0;
  std::int64_t agent_messages = 0;
  std::int64_t calls = 0;
  wide_us call_us = 0;
  std::optional<std::int64_t> last_activity_us;
};

/// The numbers of a campaign (contract, section 4, "Stats").
struct campaign_totals : row_sums {
  std::int64_t sessions = 0;
  std::int64_t active = 0;
};

/// The members of their JSON object: "\"campaign\":..,\"sessions\":..".
std::string stats_members(const std::string& campaign, const campaign_totals& totals,
                          const objective_counts& objectives);

}  // namespace pgcast
