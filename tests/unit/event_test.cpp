#include "protocol/event.hpp"

#include "protocol/json_document.hpp"

#include <gtest/gtest.h>

namespace pgcast {
namespace {

using text = std::optional<std::string_view>;

result<event> row(std::string_view op, text record, text old_record,
                  std::string_view table = "chat_history") {
  return parse_outbox_row(
      {"7", "99", "2026-01-02T03:04:05.678901Z", "public", table, op, record, old_record},
      recruiting_description());
}

std::string whole_old(std::string_view op, text record, text old_record) {
  const auto e = row(op, record, old_record);
  const auto old = whole_old_record(*e);
  return old ? *old : "failed";
}

TEST(OutboxRow, IsReadWithItsDescription) {
  const auto e = row("U", R"({"id": 1})", R"({"id": 2})");
  ASSERT_TRUE(e);
  EXPECT_EQ(e->id, 7U);
  EXPECT_EQ(e->xid, 99U);
  EXPECT_EQ(e->op, operation::update);
  EXPECT_EQ(e->description, recruiting_description().find("public", "chat_history"));
  EXPECT_EQ(e->commit_timestamp, "2026-01-02T03:04:05.678901Z");
  EXPECT_TRUE(e->is_parsable);
  EXPECT_EQ(row("I", "{}", std::nullopt, "unknown")->description, nullptr);
}

TEST(OutboxRow, WithBadNumbersOrOperation_IsMalformed) {
  using fields = std::array<std::string_view, 3>;
  for (const auto& [id, xid, op] :
       {fields{"", "1", "I"}, fields{"1x", "1", "I"}, fields{"-1", "1", "I"}, fields{"1", "", "I"},
        fields{"1", "18446744073709551616", "I"}, fields{"1", "1", ""}, fields{"1", "1", "X"},
        fields{"1", "1", "IU"}}) {
    const auto e =
        parse_outbox_row({id, xid, "", "public", "t", op, {}, {}}, recruiting_description());
    ASSERT_FALSE(e) << id << ' ' << xid << ' ' << op;
    EXPECT_EQ(e.error().code, errc::row_malformed);
  }
}

TEST(OutboxRow, WithJsonThatIsNoObject_IsKeptButNotParsable) {
  for (const auto* json : {"", "[1]", "1", "\"a\"", "{\"a\":1", "{\"a\":\"\xff\"}", "null"}) {
    const auto e = row("I", json, std::nullopt);
    ASSERT_TRUE(e) << json;
    EXPECT_EQ(e->is_parsable, *json == '\0') << json;
    EXPECT_FALSE(values_of(*e, "a").after) << json;
  }
  EXPECT_FALSE(row("U", "{}", "[")->is_parsable);
}

TEST(Values, AreTextWhateverTheType) {
  const auto e = row("I",
                     R"({"text": "a\"b\\c\n\u00e9\ud83d\ude00", "empty": "", "none": null, )"
                     R"("number": 123456789012345678901234567890.5, "nan": "NaN", "yes": true, )"
                     R"("nested": {"a": [1, {"b": "}"}]}, "last": 5 })",
                     std::nullopt);
  const auto after = [&](std::string_view column) { return values_of(*e, column).after; };
  EXPECT_EQ(after("text"), "a\"b\\c\né😀");
  EXPECT_EQ(after("empty"), "");
  EXPECT_EQ(after("none"), std::nullopt);
  EXPECT_EQ(after("absent"), std::nullopt);
  EXPECT_EQ(after("number"), "123456789012345678901234567890.5");
  EXPECT_EQ(after("nan"), "NaN");
  EXPECT_EQ(after("yes"), "true");
  EXPECT_EQ(after("nested"), R"({"a": [1, {"b": "}"}]})");
  EXPECT_EQ(after("last"), "5");
  EXPECT_EQ(after("b"), std::nullopt) << "only columns, nothing inside them";
  EXPECT_EQ(values_of(*e, "text").before, std::nullopt);
}

TEST(Values, ThatAreNoUnicode_HurtNobody) {
  const auto e = row("I",
                     R"({"zero": "a\u0000b", "half": "\ud800", "turned": "\udc00\ud800x",)"
                     R"( "key": "k"})",
                     std::nullopt);
  ASSERT_TRUE(e->is_parsable);
  EXPECT_EQ(values_of(*e, "zero").after, std::string("a\0b", 3));
  EXPECT_EQ(values_of(*e, "half").after, R"("\ud800")") << "as it stands";
  EXPECT_EQ(values_of(*e, "turned").after, R"("\udc00\ud800x")");
  EXPECT_EQ(values_of(*e, "key").after, "k");
}

TEST(Values, OfQuotedColumnNames_AreFound) {
  const auto e =
      row("I", R"({"a\"b": 1, "back\\slash": 2, "tab\there": 3, "\u0001": 4, "Üb er": 5})",
          std::nullopt);
  EXPECT_EQ(values_of(*e, "a\"b").after, "1");
  EXPECT_EQ(values_of(*e, "back\\slash").after, "2");
  EXPECT_EQ(values_of(*e, "tab\there").after, "3");
  EXPECT_EQ(values_of(*e, "\x01").after, "4");
  EXPECT_EQ(values_of(*e, "Üb er").after, "5");
  EXPECT_EQ(values_of(*e, "a").after, std::nullopt);
  EXPECT_EQ(*raw_values(e->record, {"back\\slash", "a\"b"}), (std::vector<std::string>{"2", "1"}));
}

TEST(Values, OldAndNew_AreThoseOfTheOperation) {
  const auto updated = row("U", R"({"a": "new", "b": "same"})", R"({"a": "old"})");
  EXPECT_EQ(values_of(*updated, "a").before, "old");
  EXPECT_EQ(values_of(*updated, "a").after, "new");
  EXPECT_EQ(values_of(*updated, "b").before, "same");
  const auto from_null = row("U", R"({"a": "new"})", R"({"a": null})");
  EXPECT_EQ(values_of(*from_null, "a").before, std::nullopt);
  const auto removed = row("D", std::nullopt, R"({"a": "old"})");
  EXPECT_EQ(values_of(*removed, "a").before, "old");
  EXPECT_EQ(values_of(*removed, "a").after, std::nullopt);
  const auto truncated = row("T", std::nullopt, std::nullopt);
  EXPECT_FALSE(values_of(*truncated, "a").before || values_of(*truncated, "a").after);
}

TEST(Values, OfEventsThatMovedAbout_AreStillFound) {
  std::vector<event> events;
  for (int i = 0; i < 100; ++i) events.push_back(*row("D", std::nullopt, R"({"a": 1})"));
  for (const auto& e : events) ASSERT_EQ(values_of(e, "a").before, "1");
}

TEST(RawValues, AreTheTokensInTheOrderAsked) {
  const auto values = raw_values(R"({"a": "x\ny", "b": [1, 2], "c": null, "d": 1.50})",
                                 {"d", "c", "b", "absent", "a", "d"});
  ASSERT_TRUE(values);
  EXPECT_EQ(*values,
            (std::vector<std::string>{"1.50", "null", "[1, 2]", "null", R"("x\ny")", "1.50"}));
  EXPECT_FALSE(raw_values("[]", {"a"}));
  EXPECT_FALSE(raw_values("", {"a"}));
}

TEST(WholeOldRecord, IsTheNewRowWithTheOldValuesOverIt) {
  EXPECT_EQ(whole_old("U", R"({"a": 1, "b": {"x": [1]}, "c": "z"})",
                      R"({"c": null, "b": {"x": [2], "y": "}"}})"),
            R"({"a": 1, "b": {"x": [2], "y": "}"}, "c": null})");
  EXPECT_EQ(whole_old("U", R"({"a\"b": 1, "c\\": 2})", R"({"a\"b": 5, "c\\": 6})"),
            R"({"a\"b": 5, "c\\": 6})");
  EXPECT_EQ(whole_old("U", R"({"a": 1})", "{}"), R"({"a": 1})");
  EXPECT_EQ(whole_old("U", "{}", "{}"), "{}");
  EXPECT_EQ(whole_old("U", R"({"n": 12345678901234567890123, "s": "\u0000\ud800"})", "{}"),
            R"({"n": 12345678901234567890123, "s": "\u0000\ud800"})");
}

TEST(WholeOldRecord, OfOtherOperations_IsWhatTheOutboxHas) {
  EXPECT_EQ(whole_old("D", std::nullopt, R"({"a": 1})"), R"({"a": 1})");
  EXPECT_EQ(whole_old("I", R"({"a": 1})", std::nullopt), "");
  EXPECT_EQ(whole_old("T", std::nullopt, std::nullopt), "");
  EXPECT_EQ(whole_old("U", "[]", "{}"), "failed");
  EXPECT_EQ(whole_old("U", "{}", std::nullopt), "failed");
  EXPECT_EQ(whole_old("U", R"({"a": 1, "b"})", "{}"), "failed");
}

TEST(EventView, IsThatOfTheSidesThatOneSees) {
  struct row_of_table {
    operation op;
    bool sees_old, sees_new;
    event_view view;
  };
  using enum event_view;
  for (const auto& [op, sees_old, sees_new, view] : {
           row_of_table{operation::insert, false, false, hidden},
           row_of_table{operation::insert, true, false, hidden},
           row_of_table{operation::insert, false, true, insert},
           row_of_table{operation::insert, true, true, insert},
           row_of_table{operation::update, false, false, hidden},
           row_of_table{operation::update, true, false, event_view::remove},
           row_of_table{operation::update, false, true, insert},
           row_of_table{operation::update, true, true, update},
           row_of_table{operation::remove, false, false, hidden},
           row_of_table{operation::remove, true, false, event_view::remove},
           row_of_table{operation::remove, false, true, hidden},
           row_of_table{operation::remove, true, true, event_view::remove},
           row_of_table{operation::truncate, false, false, hidden},
           row_of_table{operation::truncate, true, true, truncate},
       }) {
    EXPECT_EQ(view_of(op, {sees_old, sees_new}), view)
        << static_cast<char>(op) << sees_old << sees_new;
  }
}

std::string rows_of(const event& e, event_view view) {
  const auto payload = encode_event(e, view, "CURSOR");
  if (!payload) return "failed";
  EXPECT_TRUE(is_json(*payload)) << *payload;
  const std::string head = R"({"id":"7","cursor":"CURSOR","schema":"public",)"
                           R"("table":"chat_history","operation":")";
  const std::string time = R"("commit_timestamp":"2026-01-02T03:04:05.678901Z",)";
  EXPECT_EQ(payload->substr(0, head.size()), head);
  EXPECT_NE(payload->find(time), std::string::npos);
  auto rest = payload->substr(head.size());
  return rest.erase(rest.find(time), time.size());
}

TEST(EncodeEvent, ShowsEachViewItsRows) {
  const auto updated = row("U", R"({"a": 1, "b": 2})", R"({"a": 0})");
  EXPECT_EQ(rows_of(*updated, event_view::update),
            R"(UPDATE","record":{"a": 1, "b": 2},"old_record":{"a": 0}})");
  EXPECT_EQ(rows_of(*updated, event_view::insert),
            R"(INSERT","record":{"a": 1, "b": 2},"old_record":null})");
  EXPECT_EQ(rows_of(*updated, event_view::remove),
            R"(DELETE","record":null,"old_record":{"a": 0, "b": 2}})");
  EXPECT_EQ(rows_of(*updated, event_view::hidden), "failed");
  const auto inserted = row("I", R"({"a": 1})", std::nullopt);
  EXPECT_EQ(rows_of(*inserted, event_view::insert),
            R"(INSERT","record":{"a": 1},"old_record":null})");
  const auto removed = row("D", std::nullopt, R"({"a": 1})");
  EXPECT_EQ(rows_of(*removed, event_view::remove),
            R"(DELETE","record":null,"old_record":{"a": 1}})");
  const auto truncated = row("T", std::nullopt, std::nullopt);
  EXPECT_EQ(rows_of(*truncated, event_view::truncate),
            R"(TRUNCATE","record":null,"old_record":null})");
}

TEST(EncodeEvent, WithoutARowThatWasTooLarge_IsStillJson) {
  EXPECT_EQ(rows_of(*row("U", R"({"a": 1})", std::nullopt), event_view::update),
            R"(UPDATE","record":{"a": 1},"old_record":null})");
  EXPECT_EQ(rows_of(*row("D", std::nullopt, std::nullopt), event_view::remove),
            R"(DELETE","record":null,"old_record":null})");
}

TEST(EncodeEvent, EscapesNamesOfTables) {
  auto e = row("I", "{}", std::nullopt, "odd\"table\n");
  const auto payload = encode_event(*e, event_view::insert, "C");
  ASSERT_TRUE(payload);
  EXPECT_NE(payload->find(R"("table":"odd\"table\n")"), std::string::npos) << *payload;
}

}  // namespace
}  // namespace pgcast
