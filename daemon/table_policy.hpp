#pragma once

#include "daemon/pg_connection.hpp"
#include "protocol/table_shape.hpp"
#include "protocol/topic.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace pgcast {

/// What a role may see of one table.
struct table_policy {
  std::string schema;
  std::string name;
  std::string relation;              ///< quoted, "public.chat_history"
  bool may_select = false;           ///< SELECT on all its columns
  bool may_select_some = false;      ///< on one of them at least
  bool sees_every_row = false;       ///< no row-level security for this role
  std::string expression;            ///< the SELECT policies for the role as one boolean expression
  std::vector<std::string> columns;  ///< of this table, that the expression reads
  bool is_cacheable = true;          ///< false: whole-row reference or volatile function
  /// They read no claims but sub, role and email, through auth.uid(), auth.role(), auth.email().
  bool reads_identity_only = false;
  bool needs_whole_record = false;  ///< a column's domain may refuse the NULL of one left out

  bool operator==(const table_policy&) const = default;
};

/// All described and all relayed tables that exist, for one role.
struct role_policies {
  std::vector<table_policy> tables;
  std::shared_ptr<const table_shapes> shapes = std::make_shared<table_shapes>();

  const table_policy* find(std::string_view schema, std::string_view name) const;
  /// find() and may_select.
  bool may_select(std::string_view schema, std::string_view name) const;
  /// may_select() and no row-level security.
  bool sees_all(std::string_view schema, std::string_view name) const;
  bool operator==(const role_policies& other) const {
    return tables == other.tables && *shapes == *other.shapes;
  }
};

/// Reads grants, columns and policies of the description's tables and of those in pgcast.relation
/// for `role` ("": the connection's own) from the catalogs. Expressions are printed with an empty
/// search_path, so they mean the same wherever they are evaluated. Fails with query_failed, also
/// when the role does not exist.
boost::asio::awaitable<result<role_policies>> read_policies(pg_connection& pg, std::string role,
                                                            const relay_description& description);

/// For each record of $1 (jsonb[]) whether the policy lets it be seen, in order, evaluated on the
/// record's own values under the table's name.
std::string decision_sql(const table_policy& policy);

constexpr std::chrono::milliseconds k_statement_timeout{2'000};  ///< of a decision

/// Begins a transaction of decisions. A policy that takes longer than the statement timeout (a row,
/// at worst) hides the row from its class; without it everybody would wait for ever.
void begin_decisions(std::vector<pg_statement>& statements);

/// True if the same statement may succeed next time (the error says its SQLSTATE).
bool may_pass(const error& e);

/// Takes a role and its claims for the rest of the transaction, as PostgREST does.
std::vector<pg_statement> become(const std::string& role, const std::string& claims_json);

}  // namespace pgcast
