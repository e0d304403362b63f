#include "protocol/router.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgcast {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using text = std::optional<std::string_view>;

/// The directory as the reader keeps it, and what it makes of events.
class Router : public testing::Test {
 protected:
  using routes = std::vector<std::string>;

  /// "topic old", "topic new" or "topic both" of each route, as the reader works them out.
  routes take(std::string_view op, std::string_view table, text record, text old_record) {
    auto e = *parse_outbox_row({"1", "1", "", "public", table, op, record, old_record},
                               recruiting_description());
    e.routes = route_event(e, [&](std::string_view session, directory::lookup which) {
      return sessions_.campaign_of(session, which);
    });
    add_phone_routes(e, sessions_, recruiting_description());
    sessions_.fold(e);
    routes out;
    for (const auto& r : e.routes) {
      out.push_back(r.topic + (r.had_old && r.has_new ? " both" : r.had_old ? " old" : " new"));
    }
    return out;
  }
  std::optional<std::string> campaign_of(std::string_view session) const {
    return sessions_.campaign_of(session, directory::lookup::alive_only);
  }

  directory sessions_{recruiting_description()};
};

TEST_F(Router, RowsOfASession_GoToItAndToItsCampaign) {
  sessions_.put_session("s1", "spring");
  for (const auto* table : {"chat_history", "call_info", "session_objective_events"}) {
    const auto record = R"({"id": 5, "session_id": "s1"})";
    EXPECT_THAT(take("I", table, record, {}),
                UnorderedElementsAre("session:s1 new", "campaign:spring new"))
        << table;
    EXPECT_THAT(take("U", table, record, R"({"id": 4})"),
                UnorderedElementsAre("session:s1 both", "campaign:spring both"))
        << table;
    EXPECT_THAT(take("D", table, {}, record),
                UnorderedElementsAre("session:s1 old", "campaign:spring old"))
        << table;
  }
}

TEST_F(Router, RowThatMovesToAnotherSession_LeavesOneAndEntersTheOther) {
  sessions_.put_session("s1", "spring");
  sessions_.put_session("s2", "summer");
  EXPECT_THAT(take("U", "chat_history", R"({"session_id": "s2"})", R"({"session_id": "s1"})"),
              UnorderedElementsAre("session:s1 old", "session:s2 new", "campaign:spring old",
                                   "campaign:summer new"));
  sessions_.put_session("s3", "summer");
  EXPECT_THAT(take("U", "chat_history", R"({"session_id": "s3"})", R"({"session_id": "s2"})"),
              UnorderedElementsAre("session:s2 old", "session:s3 new", "campaign:summer both"));
}

TEST_F(Router, RowsWithoutSessionOrOfAnUnknownOne_GoToNoCampaign) {
  EXPECT_THAT(take("I", "chat_history", R"({"session_id": null})", {}), IsEmpty());
  EXPECT_THAT(take("I", "chat_history", R"({})", {}), IsEmpty());
  EXPECT_THAT(take("I", "chat_history", R"({"session_id": "s9"})", {}),
              ElementsAre("session:s9 new"));
  sessions_.put_session("s1", std::nullopt);
  EXPECT_THAT(take("I", "chat_history", R"({"session_id": "s1"})", {}),
              ElementsAre("session:s1 new"));
}

TEST_F(Router, Sessions_GoToThemselvesAndToTheirCampaigns) {
  EXPECT_THAT(take("I", "session_info", R"({"session_id": "s1", "campaign": "spring"})", {}),
              UnorderedElementsAre("session:s1 new", "campaign:spring new"));
  EXPECT_EQ(campaign_of("s1"), "spring");
  EXPECT_THAT(
      take("U", "session_info", R"({"session_id": "s1", "campaign": "summer"})",
           R"({"campaign": "spring"})"),
      UnorderedElementsAre("session:s1 both", "campaign:spring old", "campaign:summer new"));
  EXPECT_EQ(campaign_of("s1"), "summer");
  EXPECT_THAT(take("U", "session_info", R"({"session_id": "s1", "campaign": null})",
                   R"({"campaign": "summer"})"),
              UnorderedElementsAre("session:s1 both", "campaign:summer old"));
  EXPECT_EQ(campaign_of("s1"), std::nullopt);
}

TEST_F(Router, SessionThatIsRenamed_IsAnotherOneFromThenOn) {
  sessions_.put_session("s1", "spring");
  EXPECT_THAT(take("U", "session_info", R"({"session_id": "s2", "campaign": "spring"})",
                   R"({"session_id": "s1"})"),
              UnorderedElementsAre("session:s1 old", "session:s2 new", "campaign:spring both"));
  EXPECT_EQ(campaign_of("s1"), std::nullopt);
  EXPECT_EQ(campaign_of("s2"), "spring");
}

TEST_F(Router, DeletesAfterTheirSessionWasDeleted_StillReachItsCampaign) {
  sessions_.put_session("s1", "spring");
  take("D", "session_info", {}, R"({"session_id": "s1", "campaign": "spring"})");
  EXPECT_EQ(campaign_of("s1"), std::nullopt);
  EXPECT_THAT(take("D", "chat_history", {}, R"({"session_id": "s1"})"),
              UnorderedElementsAre("session:s1 old", "campaign:spring old"));
  EXPECT_THAT(take("I", "chat_history", R"({"session_id": "s1"})", {}),
              ElementsAre("session:s1 new"));
  EXPECT_THAT(take("U", "chat_history", R"({"session_id": "s1"})", R"({"id": 2})"),
              ElementsAre("session:s1 both"));
  take("I", "session_info", R"({"session_id": "s1", "campaign": "summer"})", {});
  EXPECT_THAT(take("D", "chat_history", {}, R"({"session_id": "s1"})"),
              UnorderedElementsAre("session:s1 old", "campaign:summer old"));
}

TEST_F(Router, CampaignRows_GoToTheirSessionAndTheCampaignTheyName) {
  sessions_.put_session("s1", "spring");
  EXPECT_THAT(take("I", "campaigns", R"({"session_id": "s1", "campaign": "autumn"})", {}),
              UnorderedElementsAre("session:s1 new", "campaign:spring new", "campaign:autumn new"));
  EXPECT_EQ(campaign_of("s1"), "spring") << "it never changes where a session belongs";
  EXPECT_THAT(
      take("U", "campaigns", R"({"session_id": "s1", "campaign": "spring"})",
           R"({"campaign": "autumn"})"),
      UnorderedElementsAre("session:s1 both", "campaign:spring both", "campaign:autumn old"));
  EXPECT_THAT(take("U", "campaign_info", R"({"campaign": "spring", "x": 1})", R"({"x": 0})"),
              ElementsAre("campaign:spring both"));
}

TEST_F(Router, Numbers_AreRoutedInTheirCanonicalForm) {
  sessions_.put_session("s1", "spring");
  EXPECT_THAT(take("I", "numbers", R"({"session_id": "s1", "phone_number": "0044 77-1"})", {}),
              UnorderedElementsAre("session:s1 new", "campaign:spring new", "phone:+44771 new"));
  EXPECT_THAT(sessions_.numbers_of("s1"), ElementsAre("+44771"));
}

TEST_F(Router, NumberThatMoves_LeavesOneSessionAndEntersTheOther) {
  sessions_.put_session("s1", "spring");
  sessions_.put_session("s2", "spring");
  sessions_.put_number("s1", "+1");
  EXPECT_THAT(take("U", "numbers", R"({"session_id": "s2", "phone_number": "+1"})",
                   R"({"session_id": "s1"})"),
              UnorderedElementsAre("session:s1 old", "session:s2 new", "campaign:spring both",
                                   "phone:+1 both"));
  EXPECT_THAT(sessions_.numbers_of("s1"), IsEmpty());
  EXPECT_THAT(sessions_.numbers_of("s2"), ElementsAre("+1"));
  EXPECT_THAT(take("U", "numbers", R"({"session_id": "s2", "phone_number": "+2"})",
                   R"({"phone_number": "+1"})"),
              testing::IsSupersetOf({"phone:+1 old", "phone:+2 new"}));
  EXPECT_THAT(sessions_.numbers_of("s2"), ElementsAre("+2"));
}

TEST_F(Router, NumberInTwoRows_StaysUntilBothAreGone) {
  sessions_.put_number("s1", "+1");
  sessions_.put_number("s1", "00 1");
  take("D", "numbers", {}, R"({"session_id": "s1", "phone_number": "+1"})");
  EXPECT_THAT(sessions_.numbers_of("s1"), ElementsAre("+1"));
  take("U", "numbers", R"({"session_id": "s1", "phone_number": null})",
       R"({"phone_number": "001"})");
  EXPECT_THAT(sessions_.numbers_of("s1"), IsEmpty());
}

TEST_F(Router, SessionThatComesGoesOrChangesItsAge_MakesItsNumbersLookAgain) {
  sessions_.put_number("s1", "+1");
  sessions_.put_number("s1", "+2");
  const auto both = testing::IsSupersetOf({"phone:+1 new", "phone:+2 new"});
  EXPECT_THAT(take("I", "session_info", R"({"session_id": "s1", "created_at": null})", {}), both);
  EXPECT_THAT(take("U", "session_info", R"({"session_id": "s1", "created_at": "2026"})",
                   R"({"created_at": null})"),
              both);
  EXPECT_THAT(take("U", "session_info", R"({"session_id": "s1", "created_at": "2026", "x": 1})",
                   R"({"x": 0})"),
              ElementsAre("session:s1 both"));
  EXPECT_THAT(take("D", "session_info", {}, R"({"session_id": "s1", "created_at": "2026"})"), both);
  EXPECT_THAT(take("I", "chat_history", R"({"session_id": "s1", "created_at": "2027"})", {}),
              ElementsAre("session:s1 new"));
}

TEST_F(Router, RenamedSession_MakesTheNumbersOfBothLookAgain) {
  sessions_.put_number("s1", "+1");
  sessions_.put_number("s2", "+2");
  EXPECT_THAT(take("U", "session_info", R"({"session_id": "s2"})", R"({"session_id": "s1"})"),
              testing::IsSupersetOf({"phone:+1 new", "phone:+2 new"}));
}

TEST_F(Router, Truncate_HasNoRoutesAndEmptiesWhatItsTableSaid) {
  sessions_.put_session("s1", "spring");
  sessions_.put_number("s1", "+1");
  EXPECT_THAT(take("T", "chat_history", {}, {}), IsEmpty());
  EXPECT_EQ(campaign_of("s1"), "spring");
  EXPECT_THAT(take("T", "numbers", {}, {}), IsEmpty());
  EXPECT_THAT(sessions_.numbers_of("s1"), IsEmpty());
  EXPECT_THAT(take("T", "session_info", {}, {}), IsEmpty());
  EXPECT_EQ(campaign_of("s1"), std::nullopt);
  EXPECT_EQ(sessions_.campaign_of("s1", directory::lookup::deleted_too), "spring");
}

TEST_F(Router, TablesThatAreNotDescribed_HaveNoRoutes) {
  EXPECT_THAT(take("I", "other", R"({"session_id": "s1", "campaign": "spring"})", {}), IsEmpty());
  EXPECT_EQ(campaign_of("s1"), std::nullopt);
}

TEST_F(Router, OddIds_AreTakenByteForByte) {
  take("I", "session_info", R"({"session_id": "a:\"b\\ \u00e9", "campaign": "c: d"})", {});
  EXPECT_THAT(take("I", "chat_history", R"({"session_id": "a:\"b\\ é"})", {}),
              UnorderedElementsAre("session:a:\"b\\ é new", "campaign:c: d new"));
  EXPECT_THAT(take("I", "chat_history", R"({"session_id": 17})", {}),
              ElementsAre("session:17 new"));
}

}  // namespace
}  // namespace pgcast
