#include "protocol/topic.hpp"

#include <gtest/gtest.h>

#include <set>
#include <tuple>

namespace pgcast {
namespace {

TEST(Topic, Name_IsSplitAtTheFirstColon) {
  for (const auto& [name, kind, key] : {
           std::tuple{"session:abc", topic_kind::session, "abc"},
           {"session:a:b c", topic_kind::session, "a:b c"},
           {"session::", topic_kind::session, ":"},
           {"campaign: spring ", topic_kind::campaign, " spring "},
           {"phone:0044 (7700) 900-001", topic_kind::phone, "+447700900001"},
           {"phone:nobody at all", topic_kind::phone, "nobody at all"},
           {"session", topic_kind::plain, "session"},
           {"Session:abc", topic_kind::plain, "Session:abc"},
           {" session:abc", topic_kind::plain, " session:abc"},
           {"stats:spring 26: a", topic_kind::stats, "spring 26: a"},
           {"room:1", topic_kind::plain, "room:1"},
           {":abc", topic_kind::plain, ":abc"},
       }) {
    const auto t = parse_topic(name);
    ASSERT_TRUE(t) << name;
    EXPECT_EQ(t->kind, kind) << name;
    EXPECT_EQ(t->key, key) << name;
    EXPECT_EQ(t->name, name);
  }
}

TEST(Topic, WithoutNameOrId_IsMissing) {
  for (const auto* name : {"", "session:", "campaign:", "phone:"}) {
    const auto t = parse_topic(name);
    ASSERT_FALSE(t) << name;
    EXPECT_EQ(t.error().code, errc::topic_missing) << name;
  }
}

TEST(Topic, Name_OverAKibibyte_IsRefused) {
  EXPECT_TRUE(parse_topic(std::string(1'024, 'x')));
  EXPECT_EQ(parse_topic(std::string(1'025, 'x')).error().code, errc::topic_missing);
}

TEST(Topic, HubKey_OfEveryKind_CannotBeMistakenForAnother) {
  std::set<std::string> keys;
  for (const auto kind :
       {topic_kind::session, topic_kind::phone, topic_kind::campaign, topic_kind::stats}) {
    EXPECT_TRUE(keys.insert(topic_key(kind, "x")).second);
    EXPECT_EQ(parse_topic(topic_key(kind, "x"))->kind, kind);
    EXPECT_EQ(parse_topic(topic_key(kind, "x"))->key, "x");
  }
  for (const std::string_view name : {"x", "public:x", "private:x", "sessions:x"}) {
    auto t = *parse_topic(name);
    EXPECT_TRUE(keys.insert(topic_key(t)).second) << name;
    EXPECT_EQ(topic_key(t), topic_key(t.kind, t.key));
    t.is_private = true;
    EXPECT_TRUE(keys.insert(topic_key(t)).second) << name;
  }
}

TEST(Topic, HubKey_OfARelayedTopic_IsTheSamePrivateOrNot) {
  auto t = *parse_topic("session:x");
  t.is_private = true;
  EXPECT_EQ(topic_key(t), "session:x");
}

TEST(Phone, Number_IsComparedAsDigitsWithALeadingPlus) {
  for (const auto& [typed, number] : {
           std::pair{"+447700900001", "+447700900001"},
           {"00447700900001", "+447700900001"},
           {"0 0 44", "+44"},
           {" (0)7700.900-001/2\t", "077009000012"},
           {"+44\u00a07700\u202f900\u2011001\u2013\u2212", "+447700900001"},
           {"[+1] 2", "+12"},
           {"000", "+0"},
           {"1", "1"},
       }) {
    EXPECT_EQ(normalize_phone(typed), number) << typed;
    EXPECT_EQ(normalize_phone(number), number) << "stays as it is";
  }
}

TEST(Phone, OtherText_StaysByteForByte) {
  for (const auto* text : {"", "+", "00", " ", "+ 44a", "++44", "4+4", "anonymous", "sip:1@x",
                           "\u0661\u0662", "+44 7700 900001 ext. 5", "\xe2\x80", "12\n"}) {
    EXPECT_EQ(normalize_phone(text), text);
  }
}

TEST(RecruitingDescription, ReservedEvents_AreItsTablesAndWhatTheServiceSays) {
  const auto& d = recruiting_description();
  for (const auto* name : {"snapshot", "stats", "session_info", "chat_history", "call_info",
                           "session_objective_events", "numbers", "campaigns", "campaign_info"}) {
    EXPECT_TRUE(d.is_reserved_event(name)) << name;
  }
  for (const auto* name : {"", "typing", "Snapshot", "chat_history "}) {
    EXPECT_FALSE(d.is_reserved_event(name)) << name;
  }
}

TEST(RecruitingDescription, Tables_AreFoundInTheirSchemaOnly) {
  const auto& d = recruiting_description();
  ASSERT_NE(d.find("public", "numbers"), nullptr);
  EXPECT_EQ(d.find("public", "numbers")->name, "numbers");
  EXPECT_EQ(d.find("other", "numbers"), nullptr);
  EXPECT_EQ(d.find("public", "Numbers"), nullptr);
}

TEST(RecruitingDescription, TopicsCarryTheTablesOfTheContract) {
  const auto& d = recruiting_description();
  for (const auto& t : d.tables) {
    EXPECT_EQ(t.carries(topic_kind::session), t.name != "campaign_info") << t.name;
    EXPECT_TRUE(t.carries(topic_kind::campaign)) << t.name;
    EXPECT_EQ(t.carries(topic_kind::phone), t.name == "numbers") << t.name;
  }
  EXPECT_EQ(d.tables.size(), 7U);
}

}  // namespace
}  // namespace pgcast
