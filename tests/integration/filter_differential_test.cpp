// Filters against Postgres itself: the same values, the same questions, the same answers.
//
// The values are random, with a fixed seed; PGCAST_TEST_SEED takes another one.

#include "tests/integration/filter_values.hpp"
#include "tests/integration/postgres_server.hpp"

#include "protocol/filter.hpp"
#include "protocol/lower_case.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

namespace pgcast::test {
namespace {

using strings = std::vector<std::string>;

unsigned seed() {
  const char* const chosen = std::getenv("PGCAST_TEST_SEED");
  return chosen != nullptr ? static_cast<unsigned>(std::atol(chosen)) : 20261127U;
}

std::string sql_literal(const std::string& text) {
  std::string out = " E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  return out + '\'';
}

/// `text` as an operand of a filter.
std::string operand(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

bool is_true(const std::optional<std::string>& answer) { return answer && *answer == "t"; }

class filter_differential : public ::testing::Test {
 protected:
  filter_differential()
      : database_(server_.create_database(postgres_server::content::empty)),
        db_(server_.conninfo(database_)),
        random_(seed()) {
    RecordProperty("seed", static_cast<int>(seed()));
    std::cout << "seed " << seed() << "\n";
    sql(db_,
        "SET \"TimeZone\" = 'UTC'; SET \"DateStyle\" = 'ISO, MDY';"
        "SET \"IntervalStyle\" = 'postgres'; SET bytea_output = 'hex';"
        "CREATE TYPE mood AS ENUM ('new', 'open', 'on hold', 'Closed', 'a,b');"
        "CREATE FUNCTION is_value(value text, type text) RETURNS bool LANGUAGE plpgsql AS $$ "
        "BEGIN EXECUTE format('SELECT %L::%s', value, type); RETURN true; "
        "EXCEPTION WHEN OTHERS THEN RETURN false; END $$;"
        "CREATE FUNCTION is_regex(pattern text) RETURNS bool LANGUAGE plpgsql AS $$ "
        "BEGIN PERFORM 'a' ~ pattern; RETURN true; "
        "EXCEPTION WHEN OTHERS THEN RETURN false; END $$");
  }

  void TearDown() override { std::cout << comparisons_ << " comparisons\n"; }

  /// Puts `literals` and a NULL into table t (id, v); gives the records, by id.
  std::map<std::string, std::string> fill(const tried_type& type, const strings& literals,
                                          const std::string& make_json = "to_jsonb") {
    const std::string collation = type.is_text || type.typname == "_text" ? " COLLATE \"C\"" : "";
    std::string values = "(0, NULL)";
    for (std::size_t i = 0; i < literals.size(); ++i) {
      values += ", (" + std::to_string(i + 1) + ',' + sql_literal(literals[i]) + ')';
    }
    sql(db_, "DROP TABLE IF EXISTS t; CREATE TABLE t (id int, v " + type.sql + collation +
                 "); INSERT INTO t SELECT n, x::" + type.sql + " FROM (VALUES " + values +
                 ") AS l (n, x)");
    std::map<std::string, std::string> records;
    for (const auto& row : sql(db_, "SELECT id, " + make_json + "(t)::text FROM t")) {
      records[*row[0]] = *row[1];
    }
    return records;
  }

  /// Runs `select`, whose rows are: the row's id, the operand's number, then the answers to
  /// `operators`; compares each, and its negation, with what the filter says.
  void compare(const std::map<std::string, std::string>& records, const table_column& column,
               const strings& operators, const strings& operands, const std::string& select) {
    std::map<std::string, std::vector<filter>> filters;
    for (const auto& op : operators) {
      for (const auto& text : operands) {
        for (const std::string negation : {"", "not."}) {
          auto parsed = filter::parse("v=" + negation + op + '.' + text, {column});
          ASSERT_TRUE(parsed) << parsed.error().detail;
          filters[negation + op].push_back(*parsed);
        }
      }
    }
    std::map<std::string, std::unique_ptr<row_values>> rows;
    for (const auto& [id, record] : records) rows[id] = std::make_unique<row_values>(record);
    for (const auto& answer : sql(db_, select)) {
      auto& row = *rows.at(*answer[0]);
      const auto number = static_cast<std::size_t>(std::stoul(*answer[1]));
      for (std::size_t i = 0; i < operators.size(); ++i) {
        const auto& expected = answer[i + 2];
        const bool is_yes = filters[operators[i]][number].matches(row);
        const bool is_no = filters["not." + operators[i]][number].matches(row);
        comparisons_ += 2;
        EXPECT_TRUE(is_yes == is_true(expected) && is_no == (expected == "f"))
            << column.type << ' ' << operators[i] << ' ' << operands[number] << " on "
            << records.at(*answer[0]) << ": Postgres says " << expected.value_or("NULL")
            << ", the filter " << is_yes << ", negated " << is_no;
      }
    }
  }

  /// The literals that Postgres takes; they and the refused ones must be judged alike here.
  strings accepted(const tried_type& type) {
    std::string values;
    for (std::size_t i = 0; i < type.literals.size(); ++i) {
      values +=
          (i == 0 ? "(" : ", (") + std::to_string(i) + ',' + sql_literal(type.literals[i]) + ')';
    }
    strings good;
    const table_column column{"v", type.typname, type.labels};
    for (const auto& row : sql(db_, "SELECT n, is_value(x, " + sql_literal(type.cast) +
                                        ") FROM (VALUES " + values + ") AS l (n, x) ORDER BY n")) {
      const auto& literal = type.literals[std::stoul(*row[0])];
      const bool is_ours = filter::parse("v=eq." + operand(literal), {column}).has_value();
      const bool is_theirs = is_true(row[1]);
      EXPECT_TRUE(!is_ours || is_theirs || type.newer.contains(literal))
          << type.sql << ": only we take `" << literal << '`';
      if (is_theirs && !is_ours) {
        EXPECT_TRUE(type.narrower.contains(literal))
            << type.sql << ": Postgres takes `" << literal << "`, we do not";
      }
      if (is_ours && is_theirs) good.push_back(literal);
    }
    return good;
  }

  postgres_server& server_ = postgres_server::shared();
  std::string database_;
  sql_connection db_;
  std::mt19937 random_;
  long comparisons_ = 0;
};

/// VALUES (0, 'a'), (1, 'b').. AS l (n, x)
std::string numbered(const strings& texts) {
  std::string out = "(VALUES ";
  for (std::size_t i = 0; i < texts.size(); ++i) {
    out += (i == 0 ? "(" : ", (") + std::to_string(i) + ',' + sql_literal(texts[i]) + "::text)";
  }
  return out + ") AS l (n, x)";
}

strings operands_of(const strings& texts) {
  strings out;
  for (const auto& text : texts) out.push_back(operand(text));
  return out;
}

/// Classes are those of collation C here while letters are folded beyond ASCII: no collation of
/// Postgres does both.
bool mixes_classes_and_letters(const std::string& pattern) {
  const bool has_class = pattern.find("[:") != pattern.npos ||
                         pattern.find_first_of("dDsSwWy", pattern.find('\\')) != pattern.npos;
  return has_class && pattern.find_first_of("\xC3\xE6") != pattern.npos;
}

TEST_F(filter_differential, Comparison_OfEveryType_IsThatOfPostgres) {
  for (const auto& type : tried_types(random_, 20)) {
    const auto literals = accepted(type);
    const table_column column{"v", type.typname, type.labels};
    for (const char* const make_json : {"to_jsonb", "row_to_json"}) {
      const auto records = fill(type, literals, make_json);
      strings operators{"eq", "neq", "isdistinct"};
      std::string answers = "v = y, v <> y, v IS DISTINCT FROM y";
      if (type.has_order) {
        operators.insert(operators.end(), {"lt", "lte", "gt", "gte"});
        answers += ", v < y, v <= y, v > y, v >= y";
      }
      compare(records, column, operators, operands_of(literals),
              "SELECT id, n, " + answers + " FROM t, (SELECT n, x::" + type.cast + " AS y FROM " +
                  numbered(literals) + ") AS o");
    }
  }
  EXPECT_GT(comparisons_, 20'000);
}

TEST_F(filter_differential, CanonicalValues_OfEqualValues_AreEqualAndOfOthersNot) {
  for (const auto& type : tried_types(random_, 15)) {
    const auto literals = accepted(type);
    const table_column column{"v", type.typname, type.labels};
    std::map<std::string, std::string> canonical;
    std::map<std::string, std::string> indexed;
    for (const auto& [id, record] : fill(type, literals)) {
      row_values row(record);
      const auto value = canonical_value(row, column);
      EXPECT_EQ(value.has_value(), id != "0") << record;
      if (!value) continue;
      canonical[id] = *value;
      const auto& literal = literals[std::stoul(id) - 1];
      const auto equal = filter::parse("v=eq." + operand(literal), {column});
      ASSERT_TRUE(equal && equal->indexed_equality());
      indexed[id] = equal->indexed_equality()->value;
    }
    for (const auto& row : sql(db_,
                               "SELECT a.id, b.id, a.v = b.v FROM t a, t b "
                               "WHERE a.id > 0 AND b.id > 0")) {
      EXPECT_EQ(canonical[*row[0]] == canonical[*row[1]], is_true(row[2]))
          << type.sql << ' ' << literals[std::stoul(*row[0]) - 1] << " and "
          << literals[std::stoul(*row[1]) - 1];
    }
    EXPECT_EQ(canonical, indexed) << type.sql;
  }
}

TEST_F(filter_differential, In_OfRandomLists_IsThatOfPostgres) {
  for (const auto& type : tried_types(random_, 10)) {
    const auto literals = accepted(type);
    const auto records = fill(type, literals);
    strings lists;
    std::string select;
    for (int number = 0; number < 10; ++number) {
      std::string list;
      std::string in;
      for (auto left = between(random_, 1, 5); left > 0; --left) {
        const auto& literal = literals[static_cast<std::size_t>(
            between(random_, 0, static_cast<long long>(literals.size()) - 1))];
        list += (list.empty() ? "" : ",") + operand(literal);
        in += (in.empty() ? "" : ",") + sql_literal(literal) + "::" + type.cast;
      }
      lists.push_back('(' + list + ')');
      select += (number == 0 ? "" : " UNION ALL ") + std::string("SELECT id, ") +
                std::to_string(number) + ", v IN (" + in + ") FROM t";
    }
    compare(records, {"v", type.typname, type.labels}, {"in"}, lists, select);
  }
  EXPECT_GT(comparisons_, 10'000);
}

TEST_F(filter_differential, Like_OfEveryTextType_IsThatOfPostgres) {
  const auto patterns = like_patterns(random_, 60);
  for (const auto& type : tried_types(random_, 40)) {
    if (!type.is_text) continue;
    const auto records = fill(type, accepted(type));
    compare(records, {"v", type.typname, {}}, {"like", "ilike"}, operands_of(patterns),
            "SELECT id, n, v LIKE x, v COLLATE \"C.utf8\" ILIKE x FROM t, " + numbered(patterns));
  }
  EXPECT_GT(comparisons_, 20'000);
}

TEST_F(filter_differential, RegularExpression_OfEveryTextType_IsThatOfPostgres) {
  const std::set<std::string> narrower{"[[.a.]]", "[[=a=]]", "\\m", "\\Y",   "(a)\\1", "a(?=b)",
                                       "a(?!b)",  "\\x61",   "\\0", "(?q)a", "(?n)a",  "\\cA"};
  const auto tried = regular_expressions(random_, 300);
  strings good;
  for (const auto& row :
       sql(db_, "SELECT n, is_regex(x) FROM " + numbered(tried) + " ORDER BY n")) {
    const auto& pattern = tried[std::stoul(*row[0])];
    const auto ours = filter::parse("v=match." + operand(pattern), {{"v", "text", {}}});
    EXPECT_FALSE(ours && !is_true(row[1])) << "only we take `" << pattern << '`';
    if (!ours && is_true(row[1])) {
      EXPECT_TRUE(narrower.contains(pattern)) << pattern << ": " << ours.error().detail;
    }
    if (ours && is_true(row[1]) && !mixes_classes_and_letters(pattern)) good.push_back(pattern);
  }
  EXPECT_GT(good.size(), 150U);
  for (const auto& type : tried_types(random_, 30)) {
    if (!type.is_text) continue;
    const auto records = fill(type, accepted(type));
    compare(records, {"v", type.typname, {}}, {"match", "imatch"}, operands_of(good),
            "SELECT id, n, v ~ x, CASE WHEN x ~ '[^\\x01-\\x7f]|u00e9' THEN "
            "v COLLATE \"C.utf8\" ~* x ELSE v ~* x END FROM t, " +
                numbered(good));
  }
  EXPECT_GT(comparisons_, 20'000);
}

TEST_F(filter_differential, Citext_InAnUnicodeLocale_IsThatOfPostgres) {
  sql(db_, "CREATE DATABASE with_letters TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'");
  const sql_connection db(server_.conninfo("with_letters"));
  try {
    sql(db, "CREATE EXTENSION citext");
  } catch (const sql_error& missing) {
    GTEST_SKIP() << missing.what();
  }
  const strings texts{"a", "A", "é", "É", "b%", "B%", "aé", "", "ss", "ß", "a b", "_"};
  sql(db, "CREATE TABLE t AS SELECT n, x::citext AS v FROM " + numbered(texts));
  const strings operators{"eq", "neq", "lt", "gte", "like", "ilike", "match"};
  for (const auto& answer :
       sql(db,
           "SELECT to_jsonb(t)::text, l.n, v = x::citext, v <> x::citext, v < x::citext, "
           "v >= x::citext, v LIKE x::citext, v ILIKE x::citext, v ~ x::citext FROM t, " +
               numbered(texts))) {
    row_values row(*answer[0]);
    for (std::size_t i = 0; i < operators.size(); ++i) {
      const auto& text = texts[std::stoul(*answer[1])];
      const auto asked =
          filter::parse("v=" + operators[i] + '.' + operand(text), {{"v", "citext", {}}});
      ASSERT_TRUE(asked) << asked.error().detail;
      EXPECT_EQ(asked->matches(row), is_true(answer[i + 2]))
          << *answer[0] << ' ' << operators[i] << ' ' << text;
    }
  }
}

TEST_F(filter_differential, LowerCase_OfEveryLetter_IsThatOfPostgres) {
  // Up to here later versions of Unicode add no letters with case; beyond, Postgres may know more.
  const std::string settled = "7295";
  const auto blocks = sql(db_,
                          "SELECT string_agg(chr(n), '' ORDER BY n), "
                          "lower(string_agg(chr(n), '' ORDER BY n) COLLATE \"C.utf8\") "
                          "FROM generate_series(1, " +
                              settled + ") AS n GROUP BY n / 100");
  for (const auto& block : blocks) EXPECT_EQ(to_lower(*block[0]), *block[1]);
  const auto others = sql(db_,
                          "SELECT chr(n), lower(chr(n) COLLATE \"C.utf8\") "
                          "FROM generate_series(" +
                              settled +
                              ", 131071) AS n "
                              "WHERE n NOT BETWEEN 55296 AND 57343 AND "
                              "lower(chr(n) COLLATE \"C.utf8\") <> chr(n)");
  EXPECT_GT(others.size(), 500U);
  for (const auto& letter : others) {
    const auto lower = to_lower(*letter[0]);
    EXPECT_TRUE(lower == *letter[1] || lower == *letter[0]) << *letter[0];
  }
}

TEST_F(filter_differential, Conditions_OfSeveralColumns_AreThatOfPostgres) {
  sql(db_,
      "CREATE TABLE many (id int, a int8, b text COLLATE \"C\", c timestamptz, d bool, e jsonb);"
      "INSERT INTO many SELECT n, nullif(n % 7, 3), nullif(substr('abcABC', n % 6 + 1, 2), 'b'),"
      " nullif('2026-01-01'::timestamptz + n % 5 * interval '1 day', '2026-01-02'), "
      "(array[true, false, null])[n % 3 + 1], "
      "nullif(jsonb_build_object('n', n % 4), '{\"n\": 2}') FROM generate_series(1, 200) AS n");
  const std::vector<table_column> columns{{"a", "int8", {}},
                                          {"b", "text", {}},
                                          {"c", "timestamptz", {}},
                                          {"d", "bool", {}},
                                          {"e", "jsonb", {}}};
  const std::vector<std::pair<std::string, std::string>> conditions{
      {"a=eq.5", "a = 5"},
      {"a=gt.2", "a > 2"},
      {"a=in.(1,2,5)", "a IN (1, 2, 5)"},
      {"a=is.null", "a IS NULL"},
      {"a=isdistinct.4", "a IS DISTINCT FROM 4"},
      {"a=isdistinct.null", "a IS DISTINCT FROM NULL"},
      {"b=like.%b%", "b LIKE '%b%'"},
      {"b=ilike.%b%", "b ILIKE '%b%'"},
      {"b=match.^[A-C]", "b ~ '^[A-C]'"},
      {"b=imatch.c", "b ~* 'c'"},
      {"b=lte.b", "b <= 'b'"},
      {"b=is.null", "b IS NULL"},
      {"c=gte.2026-01-03T02:00:00+02:00", "c >= '2026-01-03T02:00:00+02:00'"},
      {"c=neq.2026-01-04", "c <> '2026-01-04'"},
      {"d=is.true", "d IS TRUE"},
      {"d=is.false", "d IS FALSE"},
      {"d=is.unknown", "d IS UNKNOWN"},
      {"d=eq.t", "d = 't'"},
      {"e=eq.\"{\\\"n\\\": 1.0}\"", "e = '{\"n\": 1.0}'"}};
  std::vector<filter> filters;
  std::string select = "SELECT to_jsonb(many)::text";
  for (int i = 0; i < 500; ++i) {
    std::string text;
    std::string where;
    for (auto left = between(random_, 1, 3); left > 0; --left) {
      auto [ours, theirs] = conditions[static_cast<std::size_t>(
          between(random_, 0, static_cast<long long>(conditions.size()) - 1))];
      if (between(random_, 0, 2) == 0) {
        ours.insert(ours.find('=') + 1, "not.");
        theirs = "NOT (" + theirs + ')';
      }
      text += (text.empty() ? "" : ",") + ours;
      where += (where.empty() ? "" : " AND ") + theirs;
    }
    const auto parsed = filter::parse(text, columns);
    ASSERT_TRUE(parsed) << parsed.error().detail;
    filters.push_back(*parsed);
    select += ", coalesce(" + where + ", false)";
  }
  for (const auto& row : sql(db_, select + " FROM many")) {
    row_values values(*row[0]);
    for (std::size_t i = 0; i < filters.size(); ++i) {
      EXPECT_EQ(filters[i].matches(values), is_true(row[i + 1])) << *row[0] << " filter " << i;
    }
  }
}

}  // namespace
}  // namespace pgcast::test
