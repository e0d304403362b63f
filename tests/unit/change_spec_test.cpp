#include "protocol/change_spec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgcast {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::vector<change_binding> bindings(const std::vector<std::string>& objects) {
  auto read = parse_bindings(objects);
  EXPECT_TRUE(read);
  return read ? *std::move(read) : std::vector<change_binding>{};
}

shape_column column(std::string name, std::string type, bool is_selectable = true) {
  return {{name, type, {}}, type, is_selectable, name == "id"};
}

std::shared_ptr<const table_shapes> shapes(bool has_table_grant = true) {
  table_shapes all;
  all.tables.push_back({"public",
                        "offer",
                        {column("id", "int8"), column("price", "numeric"),
                         column("secret", "text", has_table_grant)},
                        true,
                        has_table_grant});
  all.tables.push_back({"public", "closed", {column("id", "int8", false)}, true, false});
  all.tables.push_back({"public", "quiet", {column("id", "int8")}, false, true});
  return std::make_shared<const table_shapes>(std::move(all));
}

event change(std::string_view op, std::optional<std::string_view> record,
             std::optional<std::string_view> old_record, std::string_view table = "offer") {
  auto e = parse_outbox_row(
      {"7", "9", "2026-01-02T03:04:05.678901Z", "public", table, op, record, old_record},
      recruiting_description());
  EXPECT_TRUE(e);
  return *std::move(e);
}

change_spec spec_of(const std::vector<std::string>& objects, bool has_table_grant = true) {
  change_spec spec(bindings(objects));
  spec.use(shapes(has_table_grant));
  return spec;
}

std::vector<std::string> written(const change_spec& spec, const event& e,
                                 event_sides sides = {true, true},
                                 const std::vector<bool>& wanted = {}) {
  event_rows rows(e);
  std::vector<std::string> payloads;
  for (auto& m : spec.write(e, rows, sides, wanted, "CURSOR")) {
    EXPECT_EQ(m.event, "postgres_changes");
    payloads.push_back(std::move(m.payload));
  }
  return payloads;
}

constexpr auto k_row = R"({"id": 1, "price": 10, "secret": "s"})";

TEST(ChangeBinding, Event_InAnyCaseAndUnknown_IsReadAsSupabaseDoes) {
  const auto all = bindings({R"({"event":"insert","table":"t"})", R"({"event":"Update"})",
                             R"({"event":"DELETE","schema":"s","table":"t"})",
                             R"({"event":"other","schema":"s"})", R"({})"});
  EXPECT_EQ(all[0].op, operation::insert);
  EXPECT_EQ(all[1].op, operation::update);
  EXPECT_EQ(all[2].op, operation::remove);
  EXPECT_EQ(all[3].op, std::nullopt);
  const auto place = [](const auto& b) { return b.schema + "." + b.table; };
  EXPECT_EQ(place(all[0]), "public.t");
  EXPECT_EQ(place(all[1]), "*.*");
  EXPECT_EQ(place(all[2]), "s.t");
  EXPECT_EQ(place(all[3]), "s.*");
}

TEST(ChangeBinding, Ids_AreUniqueAndTheSameAtEveryJoin) {
  const std::string a = R"({"event":"*","schema":"public","table":"a"})";
  const std::string b = R"({"event":"*","schema":"public","table":"b"})";
  const auto once = bindings({a, b, a});
  const auto again = bindings({a, b, a});
  EXPECT_NE(once[0].id, once[1].id);
  EXPECT_NE(once[0].id, once[2].id);
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_EQ(once[i].id, again[i].id);
  const auto resumed = bindings({R"({"event":"*","schema":"public","table":"a","resume":"x"})"});
  const auto later = bindings({R"({"event":"*","schema":"public","table":"a","resume":"y"})"});
  EXPECT_EQ(resumed[0].id, later[0].id);
}

TEST(ChangeBinding, Reply_EchoesEveryObjectByteForByte) {
  const auto all = bindings({R"({ "event" : "*", "filter":"a=eq.}" })", R"({ })"});
  EXPECT_EQ(bindings_reply(all), R"([{ "event" : "*", "filter":"a=eq.}" ,"id":)" +
                                     std::to_string(all[0].id) + R"(},{ "id":)" +
                                     std::to_string(all[1].id) + "}]");
  EXPECT_EQ(bindings_reply({}), "[]");
}

TEST(ChangeBinding, MembersOfTheWrongType_AreRefusedByName) {
  for (const auto& [object, member] :
       {std::pair{R"({"event":1})", "event"}, std::pair{R"({"schema":["s"]})", "schema"},
        std::pair{R"({"table":7})", "table"}, std::pair{R"({"filter":{"a":1}})", "filter"},
        std::pair{R"({"leave":"yes"})", "leave"}, std::pair{R"({"int8":"number"})", "int8"},
        std::pair{R"({"table":"t","select":"id"})", "select"},
        std::pair{R"({"table":"t","select":[1]})", "select"}}) {
    const auto read = parse_bindings({object});
    ASSERT_FALSE(read) << object;
    EXPECT_THAT(read.error().detail, HasSubstr(member));
  }
  EXPECT_TRUE(parse_bindings({R"({"event":null,"schema":null,"table":null,"filter":null})"}));
}

TEST(ChangeBinding, Select_WithoutOneTable_IsRefused) {
  EXPECT_FALSE(parse_bindings({R"({"schema":"public","select":["id"]})"}));
}

TEST(ChangeSpec, Insert_IsWrittenAsSupabaseWritesIt) {
  const auto spec = spec_of({R"({"event":"INSERT","schema":"public","table":"offer"})"});
  const auto id = std::to_string(spec.bindings()[0].id);
  EXPECT_THAT(written(spec, change("I", k_row, std::nullopt)),
              ElementsAre(R"({"ids":[)" + id +
                          R"(],"data":{"schema":"public","table":"offer","type":"INSERT",)"
                          R"("commit_timestamp":"2026-01-02T03:04:05.678Z","columns":[)"
                          R"({"name":"id","type":"int8"},{"name":"price","type":"numeric"},)"
                          R"({"name":"secret","type":"text"}],"record":)" +
                          k_row + R"(,"errors":null}})"));
}

TEST(ChangeSpec, Update_HasTheWholeOldRowIfThatIsVisible) {
  const auto spec = spec_of({R"({"event":"*","schema":"public","table":"offer"})"});
  const auto e = change("U", k_row, R"({"price": 9})");
  EXPECT_THAT(written(spec, e)[0],
              HasSubstr(R"("old_record":{"id": 1, "price": 9, "secret": "s"})"));
  EXPECT_THAT(written(spec, e, {false, true})[0], HasSubstr(R"("type":"UPDATE")"));
  EXPECT_THAT(written(spec, e, {false, true})[0], HasSubstr(R"("old_record":{})"));
  EXPECT_THAT(written(spec, e, {true, false}), IsEmpty()) << "the new row is not visible";
}

TEST(ChangeSpec, Delete_IsComparedAndShownByItsOldRow) {
  const auto spec =
      spec_of({R"({"event":"DELETE","schema":"public","table":"offer","filter":"price=gt.5"})"});
  const auto all = written(spec, change("D", std::nullopt, k_row), {true, false});
  ASSERT_EQ(all.size(), 1U);
  EXPECT_THAT(all[0], HasSubstr(std::string{R"("old_record":)"} + k_row));
  EXPECT_THAT(all[0], Not(HasSubstr(R"("record":{)"))) << "no new row";
  EXPECT_THAT(written(spec, change("D", std::nullopt, R"({"id": 1, "price": 5})"), {true, false}),
              IsEmpty());
}

TEST(ChangeSpec, ColumnsWithoutPrivilege_AreLeftOut) {
  const auto spec = spec_of({R"({"event":"*","schema":"public","table":"offer"})"}, false);
  const auto all = written(spec, change("U", k_row, R"({"secret": "t"})"));
  ASSERT_EQ(all.size(), 1U);
  EXPECT_THAT(all[0], Not(HasSubstr("secret")));
  EXPECT_THAT(all[0], HasSubstr(R"("record":{"id": 1, "price": 10})"));
}

TEST(ChangeSpec, Select_KeepsTheKey) {
  const auto spec =
      spec_of({R"({"event":"*","schema":"public","table":"offer","select":["price"]})"});
  EXPECT_THAT(written(spec, change("I", k_row, std::nullopt))[0],
              HasSubstr(R"("record":{"id": 1, "price": 10},)"));
}

TEST(ChangeSpec, Bindings_ThatLookAlike_ShareOneMessage) {
  const auto spec = spec_of({R"({"schema":"public","table":"offer"})",
                             R"({"schema":"public","table":"offer","filter":"price=eq.10.0"})",
                             R"({"schema":"public","table":"offer","select":["id"]})",
                             R"({"schema":"public","table":"offer","filter":"price=eq.11"})"});
  const auto id = [&](std::size_t i) { return std::to_string(spec.bindings()[i].id); };
  const auto e = change("I", k_row, std::nullopt);
  const auto all = written(spec, e);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_THAT(all[0], HasSubstr("\"ids\":[" + id(0) + "," + id(1) + "]"));
  EXPECT_THAT(all[1], HasSubstr("\"ids\":[" + id(2) + "]"));
  const auto some = written(spec, e, {true, true}, {false, true, false, true});
  ASSERT_EQ(some.size(), 1U);
  EXPECT_THAT(some[0], HasSubstr("\"ids\":[" + id(1) + "]"));
}

TEST(ChangeSpec, Cursors_ComeOnlyWithResume) {
  const auto plain = spec_of({R"({"schema":"public","table":"offer"})"});
  const auto resuming = spec_of({R"({"schema":"public","table":"offer","resume":""})"});
  const auto e = change("D", std::nullopt, k_row);
  EXPECT_THAT(written(plain, e)[0], Not(HasSubstr("_pgcast")));
  EXPECT_THAT(written(resuming, e)[0],
              HasSubstr(R"("secret": "s", "_pgcast_id": "7", "_pgcast_cursor": "CURSOR"})"));
  const auto hidden_old = written(resuming, change("U", k_row, "{}"), {false, true})[0];
  EXPECT_THAT(hidden_old,
              HasSubstr(R"("old_record":{"_pgcast_id": "7", "_pgcast_cursor": "CURSOR"})"));
}

TEST(ChangeSpec, Update_OutOfTheFilter_IsADeleteForWhoAskedForIt) {
  const std::string filter = R"({"table":"offer","filter":"price=gt.5")";
  const auto e = change("U", R"({"id": 1, "price": 3, "secret": "s"})", R"({"price": 10})");
  EXPECT_THAT(written(spec_of({filter + "}"}), e), IsEmpty());
  EXPECT_THAT(written(spec_of({filter + R"(,"leave":false})"}), e), IsEmpty());
  EXPECT_THAT(written(spec_of({filter + R"(,"event":"UPDATE","leave":true})"}), e), IsEmpty());
  for (const std::string event : {"*", "DELETE"}) {
    const auto spec = spec_of({filter + R"(,"leave":true,"event":")" + event + "\"}"});
    event_rows rows(e);
    EXPECT_TRUE(spec.may_match(e, rows));
    const auto all = written(spec, e);
    ASSERT_EQ(all.size(), 1U);
    EXPECT_THAT(all[0], HasSubstr(R"("type":"DELETE")"));
    EXPECT_THAT(all[0], HasSubstr(R"("old_record":{"id": 1, "price": 10, "secret": "s"})"));
    EXPECT_THAT(all[0], Not(HasSubstr(R"("record":{)")));
    EXPECT_THAT(written(spec, e, {false, true}), IsEmpty()) << "it never saw the row";
    EXPECT_THAT(written(spec, e, {true, false}), IsEmpty()) << "as Supabase: the new row counts";
  }
  const auto all =
      written(spec_of({filter + R"(,"leave":true})"}), change("U", k_row, R"({"price": 3})"));
  ASSERT_EQ(all.size(), 1U);
  EXPECT_THAT(all[0], HasSubstr(R"("type":"UPDATE")")) << "it comes into the filter";
}

TEST(ChangeSpec, Int8_ThatIsAskedForAsText_KeepsItsDigits) {
  const auto spec = spec_of({R"({"table":"offer","int8":"text"})"});
  const auto all =
      written(spec, change("U", R"({"id": 9007199254740993, "price": 1})", R"({"id": null})"));
  EXPECT_THAT(all[0],
              HasSubstr(R"({"name":"id","type":"text"},{"name":"price","type":"numeric"})"));
  EXPECT_THAT(all[0], HasSubstr(R"("record":{"id": "9007199254740993", "price": 1)"));
  EXPECT_THAT(all[0], HasSubstr(R"("old_record":{"id": null, "price": 1)"));
}

TEST(ChangeSpec, FirstApi_NamesItsTableInTheTopicAndGetsTheBareData) {
  change_spec spec({binding_of_topic("public:offer:price=gt.5")});
  spec.use(shapes());
  ASSERT_TRUE(spec.check("anon"));
  const auto e = change("I", k_row, std::nullopt);
  event_rows rows(e);
  const auto all = spec.write(e, rows, {true, true}, {}, "CURSOR");
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].event, "INSERT");
  EXPECT_THAT(all[0].payload, testing::StartsWith(R"({"schema":"public","table":"offer")"));
  EXPECT_THAT(bindings_reply(spec.bindings()), HasSubstr(R"("filter":"price=gt.5")"));
  const auto place = [](std::string_view topic) {
    const auto b = binding_of_topic(topic);
    return b.schema + "|" + b.table + "|" + b.filter;
  };
  EXPECT_EQ(place("*"), "*|*|");
  EXPECT_EQ(place("public"), "public|*|");
  EXPECT_EQ(place("public:t:at=eq.12:30"), "public|t|at=eq.12:30");
}

TEST(ChangeSpec, Keys_AreOneForEachTableAndValue) {
  const auto spec = spec_of({R"({"schema":"public","table":"offer","filter":"price=eq.1.0"})",
                             R"({"schema":"public","table":"offer","filter":"price=eq.1"})",
                             R"({"schema":"public","table":"offer","filter":"price=gt.1"})",
                             R"({"schema":"public"})"});
  const auto keys = spec.keys();
  ASSERT_EQ(keys.size(), 3U);
  EXPECT_EQ(keys[0].equality->column, "price");
  EXPECT_FALSE(keys[1].equality);
  EXPECT_EQ(keys[2].table, "*");
}

TEST(ChangeSpec, Check_NamesTheRemedy) {
  const auto refusal = [](const std::string& object) {
    auto spec = spec_of({object}, false);
    const auto checked = spec.check("anon");
    EXPECT_FALSE(checked);
    return checked ? std::string{} : checked.error().detail;
  };
  EXPECT_FALSE(parse_bindings(std::vector<std::string>(101, R"({"table":"offer"})")));
  EXPECT_FALSE(parse_bindings({R"({"filter":")" + std::string(2'000'000, 'x') + "\"}"}));
  EXPECT_THAT(refusal(R"({"table":"nowhere"})"),
              HasSubstr("pgcast install --table public.nowhere"));
  EXPECT_THAT(refusal(R"({"table":"quiet"})"), HasSubstr("pgcast install --table public.quiet"));
  EXPECT_THAT(refusal(R"({"table":"closed"})"), HasSubstr("GRANT SELECT ON public.closed TO anon"));
  EXPECT_THAT(refusal(R"({"table":"offer","select":["secret"]})"), HasSubstr("\"secret\""));
  EXPECT_THAT(refusal(R"({"table":"offer","filter":"secret=eq.s"})"), HasSubstr("secret"));
  EXPECT_TRUE(spec_of({R"({"table":"offer","filter":"price=eq.1"})"}).check("anon"));
}

TEST(ChangeSpec, Shapes_OfAnotherKind_AreTakenOver) {
  auto spec = spec_of({R"({"table":"offer","filter":"secret=eq.s"})"});
  const auto e = change("I", k_row, std::nullopt);
  EXPECT_EQ(written(spec, e).size(), 1U);
  EXPECT_TRUE(spec.use(shapes(false)));
  EXPECT_THAT(written(spec, e), IsEmpty()) << "the role has lost the column";
  const auto same = shapes();
  EXPECT_TRUE(spec.use(same));
  EXPECT_FALSE(spec.use(same));
  EXPECT_EQ(written(spec, e).size(), 1U);
}

TEST(Earliest, CoversOnlyWhatAllCover) {
  const auto at = [](std::uint64_t xmax, std::vector<std::uint64_t> running) {
    const auto xmin = running.empty() ? xmax : running.front();
    return position::at(1, std::make_shared<pg_snapshot>(xmin, xmax, std::move(running)));
  };
  const auto p = earliest({at(20, {12, 15}), at(18, {13}), at(25, {})});
  for (std::uint64_t xid = 3; xid < 30; ++xid) {
    const bool is_covered = xid < 18 && xid != 12 && xid != 13 && xid != 15;
    EXPECT_EQ(p.covers(xid, 1), is_covered) << xid;
  }
  const auto one = at(20, {12});
  EXPECT_EQ(earliest({one}).s1, one.s1);
}

}  // namespace
}  // namespace pgcast
