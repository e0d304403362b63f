#pragma once

#include "daemon/pg_connection.hpp"
#include "daemon/table_policy.hpp"
#include "protocol/api_request.hpp"

#include <string>
#include <vector>

namespace pgcast {

// The pages of the snapshot API. Each statement gives one row, page_column, under a role; JSON is
// that of to_jsonb, as in events. One row more than the page is looked for: is there another page?

enum page_column : int {
  page_is_there,  ///< the session or campaign exists for the role
  page_rows,      ///< a JSON array
  page_has_more,
  page_last_value,  ///< sort value and key of the last row
  page_last_key
};

/// Newest page first, within a page oldest first. Of the session that a `phone:` topic follows;
/// arguments as of phone_snapshot().
pg_statement messages_page(const role_policies& may, const api_request& r,
                           const std::string& session_ids, const std::string& numbers);

/// Newest called_at first, those without at the end.
pg_statement calls_page(const role_policies& may, const api_request& r);

/// Newest created_at first, those without at the end.
pg_statement sessions_page(const role_policies& may, const api_request& r);

/// All visible rows of campaign_info, or the one of a campaign: its name, the row as JSON.
pg_statement visible_campaigns(const role_policies& may);
pg_statement visible_campaign(const role_policies& may, const std::string& campaign);

}  // namespace pgcast
