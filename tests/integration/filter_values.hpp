#pragma once

#include <random>
#include <set>
#include <string>
#include <vector>

namespace pgcast::test {

/// What the differential test tries on one type.
struct tried_type {
  std::string sql;        ///< as a column is declared
  std::string typname{};  ///< pg_type.typname; "" = as `sql`
  std::string cast{};     ///< what a literal is cast to: `sql` without its length; "" = the same
  bool has_order = true;
  bool is_text = false;
  std::vector<std::string> literals{};  ///< good ones and bad ones
  std::set<std::string> narrower{};     ///< good for Postgres, documented as refused here
  std::set<std::string> newer{};        ///< good for later versions of Postgres only
  std::vector<std::string> labels{};
};

/// Every type that a filter compares, with its odd values and `count` random ones.
std::vector<tried_type> tried_types(std::mt19937& random, int count);

/// Patterns for LIKE and expressions for ~, good and bad.
std::vector<std::string> like_patterns(std::mt19937& random, int count);
std::vector<std::string> regular_expressions(std::mt19937& random, int count);

/// A number from `least` to `most`.
long long between(std::mt19937& random, long long least, long long most);

}  // namespace pgcast::test
