#include "daemon/findings.hpp"

#include "daemon/log.hpp"

#include <cstdio>

namespace pgcast {

void findings::fail(const std::string& what) {
  print("fail", what);
  has_failure_ = true;
}

void findings::print(const char* verdict, const std::string& what) {
  std::printf("%s  %s\n", verdict, escape_control_characters(what).c_str());
}

std::vector<findings::row> findings::ask(pg_session& session, const std::string& what,
                                         const std::string& sql,
                                         const std::vector<std::string>& parameters) {
  auto rows = session.query(sql, parameters);
  if (rows) return std::move(*rows);
  fail(what + ": " + rows.error().detail);
  return {};
}

std::string text(const findings::row& r, std::size_t column) { return r.at(column).value_or(""); }

}  // namespace pgcast
