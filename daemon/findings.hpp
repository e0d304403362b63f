#pragma once

#include "daemon/config.hpp"
#include "daemon/pg_session.hpp"

#include <string>
#include <vector>

namespace pgcast {

/// What `pgcast check` has found: printed at once, one line each.
class findings {
 public:
  using row = pg_session::row;

  void ok(const std::string& what) { print("ok  ", what); }
  void warn(const std::string& what) { print("warn", what); }
  void fail(const std::string& what);
  bool has_failure() const { return has_failure_; }

  /// The rows of a question to the server, or none and a failure when the question itself fails.
  std::vector<row> ask(pg_session& session, const std::string& what, const std::string& sql,
                       const std::vector<std::string>& parameters = {});

 private:
  static void print(const char* verdict, const std::string& what);
  bool has_failure_ = false;
};

/// A column of an answer, "" for NULL.
std::string text(const findings::row& r, std::size_t column);

/// Looks at what `pgcast install` has made in the database, and at what it is used for.
void check_installation(pg_session& session, const config& c, findings& found);

}  // namespace pgcast
