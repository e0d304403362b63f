#pragma once

#include "tests/integration/postgres_server.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgcast::test {

/// "done", or the SQLSTATE with which the server refused.
inline std::string sqlstate_of(const sql_connection& connection, const std::string& text) {
  try {
    sql(connection, text);
  } catch (const sql_error& error) {
    return error.sqlstate();
  }
  return "done";
}

/// What `pgcast uninstall` runs.
inline std::string uninstall_text() {
  return "BEGIN;" + source_text("deploy/sql/uninstall.sql") + "COMMIT;";
}

/// A fresh database with the seven tables and pgcast installed, seen by their owner.
class outbox_test : public ::testing::Test {
 protected:
  outbox_test() : database_(server_.create_database()), owner_(server_.conninfo(database_)) {
    sql(owner_, install_text());
  }

  /// `columns` of the outbox rows, one text an event, in the order of the changes; null is "-".
  std::vector<std::string> events(const std::string& columns = "table_name, operation") {
    std::vector<std::string> lines;
    for (const auto& row : sql(owner_, "SELECT " + columns + " FROM pgcast.outbox ORDER BY id")) {
      std::string line;
      for (const auto& value : row) {
        line += (line.empty() ? "" : " ") + value.value_or("-");
      }
      lines.push_back(line);
    }
    return lines;
  }

  /// One campaign "c", two sessions "s1" (of c) and "s2" (of none); the outbox is emptied after.
  void add_sessions() {
    sql(owner_,
        "INSERT INTO campaign_info (campaign) VALUES ('c'), ('d');"
        "INSERT INTO session_info (session_id, campaign) VALUES ('s1', 'c'), ('s2', NULL);"
        "DELETE FROM pgcast.outbox");
  }

  sql_connection connect_as(const std::string& role) const {
    return sql_connection(server_.conninfo(database_, role));
  }

  postgres_server& server_ = postgres_server::shared();
  std::string database_;
  sql_connection owner_;
};

using lines = std::vector<std::string>;

}  // namespace pgcast::test
