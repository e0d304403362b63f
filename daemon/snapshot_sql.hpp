#pragma once

#include "daemon/pg_connection.hpp"
#include "daemon/table_policy.hpp"
#include "protocol/join.hpp"

#include <string>

namespace pgcast {

// The snapshot queries of the recruiting topics. Each gives one row: is_allowed, body, followed
// session. Tables that the role may not SELECT, or that do not exist, are left out of the query
// and are null or [] in the body.

/// `session:`.
pg_statement session_snapshot(const role_policies& may, const std::string& session,
                              const join_request::snapshot_sizes& sizes);

/// `phone:`, given what carries the number: session ids and the numbers as they are written
/// (Postgres array literals).
pg_statement phone_snapshot(const role_policies& may, const std::string& session_ids,
                            const std::string& numbers, const join_request::snapshot_sizes& sizes);

/// The sessions among these that the role sees with one of these numbers ("carriers AS (..)"; $1
/// and $2 as of phone_snapshot()), and of them the one that is followed.
std::string carriers_of_number();
std::string followed_carrier();

/// Sessions and spellings that carry a canonical number: two arrays. Run before a role is taken.
pg_statement find_number(const std::string& canonical);

/// `campaign:`.
pg_statement campaign_snapshot(const role_policies& may, const std::string& campaign,
                               const join_request::snapshot_sizes& sizes);

}  // namespace pgcast
