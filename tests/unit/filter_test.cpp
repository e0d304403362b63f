#include "protocol/filter.hpp"

#include "protocol/json_document.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace pgcast {
namespace {

const std::vector<table_column>& columns() {
  static const std::vector<table_column> all{
      {"id", "int8", {}},         {"age", "int4", {}},
      {"price", "numeric", {}},   {"ratio", "float8", {}},
      {"name", "text", {}},       {"code", "bpchar", {}},
      {"is_open", "bool", {}},    {"token", "uuid", {}},
      {"day", "date", {}},        {"at", "timestamptz", {}},
      {"length", "interval", {}}, {"tags", "_text", {}},
      {"data", "jsonb", {}},      {"raw", "json", {}},
      {"place", "point", {}},     {"state", "mood", {"new", "open", "closed"}},
      {"peer", "inet", {}},       {"odd, name", "text", {}},
      {"wall", "timestamp", {}},  {"bytes", "bytea", {}},
      {"mail", "citext", {}},     {"docs", "_jsonb", {}}};
  return all;
}

bool matches(std::string_view text, std::string_view record) {
  const auto parsed = filter::parse(text, columns());
  if (!parsed) {
    ADD_FAILURE() << text << ": " << parsed.error().detail;
    return false;
  }
  row_values row(record);
  return parsed->matches(row);
}

/// The sentence that refuses `text`; "" if nothing does.
std::string refusal(std::string_view text) {
  const auto parsed = filter::parse(text, columns());
  if (parsed) return "";
  EXPECT_EQ(parsed.error().code, errc::filter_malformed);
  return parsed.error().detail;
}

testing::AssertionResult is_refused(std::string_view text, std::string_view because) {
  const auto sentence = refusal(text);
  if (sentence.find(because) != sentence.npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << text << " -> " << sentence;
}

TEST(Filter, Empty_MatchesEveryRow) {
  EXPECT_TRUE(matches("", R"({"id": 1})"));
  EXPECT_TRUE(matches("  ", R"({})"));
  row_values row("");
  EXPECT_TRUE(filter().matches(row));
  EXPECT_TRUE(filter().columns().empty());
}

TEST(Filter, EachOperator_ComparesWithTheColumn) {
  const std::string_view row = R"({"age": 30, "name": "Ann", "is_open": true})";
  for (const char* const holds :
       {"age=eq.30", "age=neq.31", "age=lt.31", "age=lte.30", "age=gt.29", "age=gte.30",
        "age=in.(1,30)", "name=like.A%", "name=ilike.a_N", "name=match.^A", "name=imatch.^an+$",
        "is_open=is.true", "age=isdistinct.31", "age=isdistinct.null", "age=not.is.null"}) {
    EXPECT_TRUE(matches(holds, row)) << holds;
    std::string negated(holds);
    const auto dot = negated.find("not.");
    dot == negated.npos ? negated.insert(negated.find('=') + 1, "not.") : negated.erase(dot, 4);
    EXPECT_FALSE(matches(negated, row)) << negated;
  }
}

TEST(Filter, Conditions_AllMustHold) {
  const std::string_view row = R"({"age": 30, "name": "a,b"})";
  EXPECT_TRUE(matches(R"(age=gt.1,name=eq."a,b",age=lt.40)", row));
  EXPECT_FALSE(matches(R"(age=gt.1,name=eq."a,b",age=lt.30)", row));
}

TEST(Filter, Null_IsNeitherEqualNorUnequal) {
  const std::string_view row = R"({"age": null, "is_open": null, "name": null})";
  for (const char* const open :
       {"age=eq.1", "age=not.eq.1", "age=neq.1", "age=in.(1)", "age=not.in.(1)", "name=like.%",
        "name=not.match.a", "is_open=is.true", "is_open=is.false"}) {
    EXPECT_FALSE(matches(open, row)) << open;
  }
  EXPECT_TRUE(matches("age=is.null", row));
  EXPECT_TRUE(matches("is_open=is.unknown", row));
  EXPECT_TRUE(matches("is_open=not.is.true", row));
  EXPECT_TRUE(matches("age=isdistinct.1", row));
  EXPECT_TRUE(matches("age=not.isdistinct.null", row));
}

TEST(Filter, AbsentColumn_LeavesEveryConditionOpen) {
  for (const char* const open : {"age=eq.1", "age=is.null", "age=not.is.null", "age=isdistinct.1",
                                 "age=not.isdistinct.null", "age=not.eq.1"}) {
    EXPECT_FALSE(matches(open, R"({"id": 1})")) << open;
    EXPECT_FALSE(matches(open, "")) << open;
    EXPECT_FALSE(matches(open, "no json")) << open;
  }
}

TEST(Filter, Int8_BeyondDoubles_IsExact) {
  const std::string_view row = R"({"id": 9007199254740993})";
  EXPECT_TRUE(matches("id=eq.9007199254740993", row));
  EXPECT_FALSE(matches("id=eq.9007199254740992", row));
  EXPECT_TRUE(matches("id=gt.9007199254740992", row));
  EXPECT_TRUE(matches("id=eq.-9223372036854775808", R"({"id": -9223372036854775808})"));
  EXPECT_TRUE(is_refused("id=eq.9223372036854775808", "is no value of column `id` of type int8"));
}

TEST(Filter, Numbers_AreComparedByValue) {
  EXPECT_TRUE(matches("price=eq.1", R"({"price": 1.00})"));
  EXPECT_TRUE(matches("price=eq.0.1e1", R"({"price": 1.00})"));
  EXPECT_TRUE(matches("price=lt.123456789012345678901234567890.2",
                      R"({"price": 123456789012345678901234567890.1})"));
  EXPECT_TRUE(matches("price=gt.-12", R"({"price": -1.2})"));
  EXPECT_TRUE(matches("price=lt.-12", R"({"price": -12.3})"));
  EXPECT_TRUE(matches("price=eq.NaN", R"({"price": "NaN"})"));
  EXPECT_TRUE(matches("price=gt.Infinity", R"({"price": "NaN"})"));
  EXPECT_TRUE(matches("price=lt.-1e1000", R"({"price": "-Infinity"})"));
  EXPECT_TRUE(matches("ratio=eq.-0", R"({"ratio": 0})"));
  EXPECT_TRUE(matches("ratio=gt.Infinity", R"({"ratio": "NaN"})"));
  EXPECT_TRUE(matches("ratio=lt.-1e308", R"({"ratio": "-Infinity"})"));
}

TEST(Filter, Text_IsComparedByBytes) {
  EXPECT_TRUE(matches("name=gt.Z", R"({"name": "a"})"));
  EXPECT_TRUE(matches("name=eq.", R"({"name": ""})"));
  EXPECT_TRUE(matches("name=eq.null", R"({"name": "null"})"));
  EXPECT_TRUE(matches(R"(name=isdistinct."null")", R"({"name": "x"})"));
  EXPECT_FALSE(matches(R"(name=isdistinct."null")", R"({"name": "null"})"));
  EXPECT_TRUE(matches("code=eq.ab", R"({"code": "ab   "})"));
  EXPECT_FALSE(matches("code=like.ab", R"({"code": "ab   "})"));
  EXPECT_TRUE(matches("mail=eq.Ann@Example.org", R"({"mail": "ann@example.ORG"})"));
  EXPECT_TRUE(matches("name=ilike.STRASSE É", R"({"name": "strasse é"})"));
  EXPECT_TRUE(matches("name=eq.a\"b\"c", R"({"name": "a\"b\"c"})"));
}

TEST(Filter, DatesAndTimes_AreMoments) {
  const std::string_view row =
      R"({"day": "2026-01-31", "at": "2026-01-31T12:00:00.5+00:00", "wall": "infinity",
          "length": "1 mon"})";
  EXPECT_TRUE(matches("at=eq.2026-01-31T13:30:00.5+01:30", row));
  EXPECT_TRUE(matches("at=eq.2026-01-31 12:00:00.5", row));
  EXPECT_TRUE(matches("at=gt.2026-01-31T12:00:00.499999Z", row));
  EXPECT_TRUE(matches("day=gt.2025-12-31", row));
  EXPECT_TRUE(matches("wall=gt.294276-12-31T23:59:59", row));
  EXPECT_TRUE(matches("length=eq.30 days", row));
  EXPECT_TRUE(matches("length=gt.719:59:59", row));
  EXPECT_TRUE(is_refused("at=eq.tomorrow", "write 2026-01-31T12:30:00Z"));
  EXPECT_TRUE(is_refused("day=eq.2026-02-29", "is no value of column `day` of type date"));
}

TEST(Filter, OtherTypes_AreComparedAsPostgresDoes) {
  EXPECT_TRUE(matches("is_open=eq.yes", R"({"is_open": true})"));
  EXPECT_TRUE(matches("token=eq.A0EEBC999C0B4EF8BB6D6BB9BD380A11",
                      R"({"token": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"})"));
  EXPECT_TRUE(matches("state=gt.open", R"({"state": "closed"})"));
  EXPECT_TRUE(matches(R"(tags=eq."{a,\"b c\",NULL}")", R"({"tags": ["a", "b c", null]})"));
  EXPECT_TRUE(matches(R"(tags=lt."{a,b}")", R"({"tags": ["a"]})"));
  EXPECT_FALSE(matches(R"(tags=eq."{NULL}")", R"({"tags": ["NULL"]})"));
  EXPECT_TRUE(matches(R"(data=eq."{\"b\": [1.0], \"a\": \"x\"}")",
                      R"({"data": {"a": "\u0078", "b": [1]}})"));
  EXPECT_TRUE(matches("peer=lt.10.1.0.0/16", R"({"peer": "10.0.0.1/8"})"));
  EXPECT_TRUE(matches("bytes=eq.\\xDEAD", R"({"bytes": "\\xdead"})"));
  EXPECT_TRUE(matches("raw=is.null", R"({"raw": null})"));
  EXPECT_TRUE(matches("raw=isdistinct.null", R"({"raw": {}})"));
  EXPECT_TRUE(matches("place=not.is.null", R"x({"place": "(1,2)"})x"));
}

TEST(Filter, Enum_NamedLikeAnArray_IsAnEnum) {
  const std::vector<table_column> odd{{"v", "_mood", {"new", "open"}}};
  row_values one(R"({"v": "open"})");
  row_values many(R"({"v": ["new", "open"]})");
  EXPECT_TRUE(filter::parse("v=gt.new", odd)->matches(one));
  EXPECT_TRUE(filter::parse(R"(v=eq."{new,open}")", odd)->matches(many));
}

TEST(Filter, Quotes_KeepCommasParenthesesAndQuotes) {
  EXPECT_TRUE(matches(R"x(name=eq."a,b=eq.(")x", R"x({"name": "a,b=eq.("})x"));
  EXPECT_TRUE(matches(R"x(name=eq."say \"hi\" \\")x", R"x({"name": "say \"hi\" \\"})x"));
  const std::string_view list = R"x(name=in.("a,b", "c)" ,d e))x";
  EXPECT_TRUE(matches(list, R"x({"name": "a,b"})x"));
  EXPECT_TRUE(matches(list, R"x({"name": "c)"})x"));
  EXPECT_TRUE(matches(list, R"x({"name": "d e"})x"));
  EXPECT_TRUE(matches("name=match.^(a,|b)$", R"x({"name": "a,"})x"));
  EXPECT_TRUE(matches(R"x("odd, name"=eq.x)x", R"x({"odd, name": "x"})x"));
}

TEST(Filter, Grammar_IsRefusedWithARemedy) {
  EXPECT_TRUE(is_refused("age", "write column=operator.value"));
  EXPECT_TRUE(is_refused("age=5", "write age=eq.value"));
  EXPECT_TRUE(is_refused("age=eq.1,", "stands no condition"));
  EXPECT_TRUE(is_refused(",age=eq.1", "stands no condition"));
  EXPECT_TRUE(is_refused("=eq.1", "names no column"));
  EXPECT_TRUE(is_refused("name=eq.\"a", "a quote that is not closed"));
  EXPECT_TRUE(is_refused("name=eq.\"a\"b", "goes on behind its closing quote"));
  EXPECT_TRUE(is_refused("name=eq.:(", "put the value in double quotes"));
  EXPECT_TRUE(is_refused("name=eq.a,b", "a value with a comma in double quotes"));
  EXPECT_TRUE(is_refused("age=in.1", "must stand in parentheses"));
  EXPECT_TRUE(is_refused("nope=eq.1", "no column `nope`"));
  EXPECT_TRUE(is_refused("age=foo.1", "no operator `foo`; use eq, neq"));
  EXPECT_TRUE(is_refused("age=not.not.eq.1", "no operator `not`"));
  EXPECT_TRUE(is_refused(std::string("name=eq.\0", 9), "zero byte"));
  EXPECT_TRUE(is_refused("name=eq.\xC3", "not UTF-8"));
  EXPECT_LT(refusal("nope=eq." + std::string(5000, 'x')).size(), 300U);
}

TEST(Filter, Operator_OfAnotherType_IsRefused) {
  EXPECT_TRUE(is_refused("age=is.true", "is cannot be used for column `age` of type int4"));
  EXPECT_TRUE(is_refused("age=is.5", "does not go with is"));
  EXPECT_TRUE(is_refused("age=like.1%", "like cannot be used for column `age`"));
  EXPECT_TRUE(is_refused("data=match.a", "it is for text"));
  EXPECT_TRUE(is_refused("data=lt.1", "use eq, neq, in, is or isdistinct"));
  EXPECT_TRUE(is_refused("data=eq.null", "cannot be told from NULL"));
  EXPECT_TRUE(is_refused("raw=eq.{}", "cannot be compared"));
  EXPECT_TRUE(is_refused("raw=in.()", "cannot be compared"));
  EXPECT_TRUE(is_refused("place=eq.(1,2)", "cannot be compared"));
  EXPECT_TRUE(is_refused("docs=eq.{1}", "cannot be compared"));
  EXPECT_TRUE(is_refused("state=eq.lost", "one of the type's labels"));
  EXPECT_TRUE(is_refused("age=eq.null", "is no value of column `age` of type int4"));
  EXPECT_TRUE(is_refused("age=in.(1,x)", "`x` is no value"));
  EXPECT_TRUE(is_refused("name=like.a\\", "lone backslash"));
  EXPECT_TRUE(is_refused("name=match.\"a(\"", "is not closed"));
  EXPECT_TRUE(is_refused("name=match.(a)\\1", "back references"));
  EXPECT_TRUE(is_refused("name=match.a(?=b)", "look-ahead"));
}

TEST(Filter, In_WithoutValues_MatchesNothing) {
  EXPECT_FALSE(matches("age=in.()", R"({"age": 1})"));
  EXPECT_TRUE(matches("age=not.in.()", R"({"age": 1})"));
}

TEST(Filter, In_WithTenThousandValues_FindsThemAll) {
  std::string text = "id=in.(";
  for (int i = 0; i < 10'000; ++i) text += (i == 0 ? "" : ",") + std::to_string(i * 7);
  const auto parsed = filter::parse(text + ')', columns());
  ASSERT_TRUE(parsed) << parsed.error().detail;
  for (int id = 0; id < 70'000; id += 1'001) {
    const std::string record = "{\"id\": " + std::to_string(id) + '}';
    row_values row(record);
    EXPECT_EQ(parsed->matches(row), id % 7 == 0) << id;
  }
}

TEST(Filter, Pattern_ThatBacktracksBadly_EndsSoon) {
  const std::string record = R"({"name": ")" + std::string(20'000, 'a') + "\"}";
  const auto begin = std::clock();
  EXPECT_FALSE(matches("name=match.(a+)+$b", record));
  EXPECT_FALSE(matches("name=match.(a|a)*b", record));
  EXPECT_FALSE(matches("name=like.%a%a%a%a%a%a%a%b", record));
  EXPECT_LT(std::clock() - begin, 2 * CLOCKS_PER_SEC);
}

TEST(Filter, IndexedEquality_IsTheCanonicalValueOfRowsThatFulfilIt) {
  const auto parsed = filter::parse("age=gt.1,price=eq.1.0,name=eq.x", columns());
  ASSERT_TRUE(parsed);
  const auto equality = parsed->indexed_equality();
  ASSERT_TRUE(equality);
  EXPECT_EQ(equality->column, "price");
  const table_column price{"price", "numeric", {}};
  for (const auto& [record, is_equal] : {std::pair{R"({"price": 1})", true},
                                         {R"({"price": 1.000})", true},
                                         {R"({"price": 2})", false},
                                         {R"({"price": null})", false},
                                         {R"({})", false}}) {
    row_values row(record);
    EXPECT_EQ(canonical_value(row, price) == equality->value, is_equal) << record;
  }
  EXPECT_EQ(parsed->columns(), (std::vector<std::string>{"age", "price", "name"}));
}

TEST(Filter, IndexedEquality_OfWhatIsNoEquality_IsNone) {
  for (const char* const text : {"", "age=not.eq.1", "age=gt.1", "age=in.(1,2)", "age=is.null"}) {
    EXPECT_FALSE(filter::parse(text, columns())->indexed_equality()) << text;
  }
  EXPECT_TRUE(filter::parse("age=in.(1)", columns())->indexed_equality());
}

TEST(Filter, Copies_AreTheSameFilter) {
  const auto parsed = filter::parse("age=in.(1,2),name=match.^a", columns());
  const filter copy = *parsed;
  row_values row(R"({"age": 2, "name": "ab"})");
  EXPECT_TRUE(copy.matches(row));
}

TEST(RowValues, UnreadableValue_IsUnknownAndHarmsNoOther) {
  const std::string_view row =
      R"({"raw": "\u0000", "data": {"a": "\ud800"}, "age": "x", "name": "\ud800", "id": 5})";
  EXPECT_TRUE(matches("id=eq.5", row));
  EXPECT_FALSE(matches("data=eq.1", row));
  EXPECT_FALSE(matches("data=neq.1", row));
  EXPECT_FALSE(matches("age=isdistinct.1", row));
  EXPECT_FALSE(matches("name=not.like.a", row));
  EXPECT_TRUE(matches("data=not.is.null", row));
  EXPECT_TRUE(matches("raw=isdistinct.null", row));
}

TEST(RowValues, BrokenRecord_NeverCrashes) {
  const std::string whole =
      R"({"data": {"a": [1, "\u00e9\\", {}]}, "tags": [["a", null]], "name": "\ud83d\ude00", "id": 5})";
  const auto parsed = filter::parse(R"(id=eq.5,name=neq.a,tags=neq."{a}",data=neq.1)", columns());
  ASSERT_TRUE(parsed);
  for (std::size_t bytes = 0; bytes <= whole.size(); ++bytes) {
    const std::string cut = whole.substr(0, bytes);
    row_values row(cut);
    EXPECT_EQ(parsed->matches(row), bytes == whole.size()) << cut;
    std::string changed = whole;
    if (bytes < whole.size()) changed[bytes] = '"';
    row_values other(changed);
    std::ignore = parsed->matches(other);
  }
}

TEST(RowValues, DeepJson_IsUnknown) {
  const std::string deep = "{\"data\": " + std::string(600, '[') + std::string(600, ']') + "}";
  EXPECT_FALSE(matches("data=neq.1", deep));
  EXPECT_TRUE(is_refused("data=eq." + std::string(100'000, '['), "is no value"));
}

}  // namespace
}  // namespace pgcast
