#include "daemon/topic_follower.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgcast {
namespace {

using kind = topic_follower::step::kind;
using testing::HasSubstr;
using testing::Not;

std::string broadcast(const std::string& topic, const std::string& event,
                      const std::string& payload) {
  std::string frame{4, static_cast<char>(topic.size()), static_cast<char>(event.size()), 0, 1};
  return frame + topic + event + payload;
}

std::string reply(const std::string& ref, const std::string& payload) {
  return "[\"" + ref + "\",\"" + ref + "\",\"realtime:session:a\",\"phx_reply\"," + payload + "]";
}

TEST(TopicFollower, Join_CarriesTokenAndNoCursorAtFirst) {
  topic_follower follower("session:\"a");
  EXPECT_EQ(follower.join("tok"),
            R"(["1","1","realtime:session:\"a","phx_join",{"config":{"broadcast":)"
            R"({"ack":false,"self":false},"presence":{"key":"","enabled":false},)"
            R"("postgres_changes":[],"private":false},"access_token":"tok"}])");
}

TEST(TopicFollower, Join_AfterEvents_ResumesAtLastCursor) {
  topic_follower follower("session:a");
  follower.join("t");
  follower.on_binary(broadcast("realtime:session:a", "snapshot", R"({"cursor":"c1"})"));
  follower.on_binary(broadcast("realtime:session:a", "chat_history", R"({"cursor":"c2"})"));
  follower.on_binary(broadcast("realtime:session:a", "typing", R"({"by":"me"})"));
  EXPECT_THAT(follower.join("t"), HasSubstr(R"("self":false,"resume":"c2"})"));
}

TEST(TopicFollower, Event_IsOneLineAndKeepsValuesAsTheyAre) {
  topic_follower follower("session:a");
  follower.join("t");
  const auto step = follower.on_binary(broadcast(
      "realtime:session:a", "call_info", "{\"n\": 12345678901234567890.10,\n \"t\": \"a  b\"}"));
  EXPECT_EQ(step.what, kind::event);
  EXPECT_EQ(step.text,
            R"({"event":"call_info","payload":{"n":12345678901234567890.10,"t":"a  b"}})");
}

TEST(TopicFollower, TextBroadcast_ReadsLikeBinary) {
  topic_follower follower("session:a");
  follower.join("t");
  const auto step = follower.on_text(
      R"([null,null,"realtime:session:a","broadcast",)"
      R"({"type":"broadcast","event":"stats","payload":{"cursor":"c9","sessions": 2}}])");
  EXPECT_EQ(step.text, R"({"event":"stats","payload":{"cursor":"c9","sessions":2}})");
  EXPECT_EQ(follower.cursor(), "c9");
}

TEST(TopicFollower, BytesBroadcast_IsBase64) {
  topic_follower follower("session:a");
  auto frame = broadcast("realtime:session:a", "raw", std::string("\0\xff", 2));
  frame[4] = 0;
  EXPECT_EQ(follower.on_binary(frame).text, R"({"event":"raw","payload_base64url":"AP8"})");
}

TEST(TopicFollower, Reply_TellsJoinedOrWhyNot) {
  topic_follower follower("session:a");
  follower.join("t");
  EXPECT_EQ(follower.on_text(reply("7", R"({"status":"ok","response":{}})")).what, kind::none);
  EXPECT_EQ(follower.on_text(reply("1", R"({"status":"ok","response":{}})")).what, kind::joined);
  follower.join("t");
  const auto refused = follower.on_text(
      reply("2", R"({"status":"error","response":{"reason":"Unauthorized: no"}})"));
  EXPECT_EQ(refused.what, kind::refused);
  EXPECT_EQ(refused.text, "Unauthorized: no");
}

TEST(TopicFollower, SystemError_IsWarningAndExplainsClose) {
  topic_follower follower("session:a");
  follower.join("t");
  const auto warning = follower.on_text(
      R"(["1",null,"realtime:session:a","system",{"extension":"pgcast","status":"error",)"
      R"("code":"cursor_too_old","message":"ask again","channel":"session:a"}])");
  EXPECT_EQ(warning.what, kind::warning);
  EXPECT_EQ(warning.text, "cursor_too_old: ask again");
  const auto closed = follower.on_text(R"(["1","1","realtime:session:a","phx_close",{}])");
  EXPECT_EQ(closed.what, kind::closed);
  EXPECT_EQ(closed.text, "cursor_too_old: ask again");
}

TEST(TopicFollower, Heartbeat_WithoutAnswer_IsSilent) {
  topic_follower follower("session:a");
  follower.join("t");
  EXPECT_EQ(follower.heartbeat(), R"([null,"2","phoenix","heartbeat",{}])");
  EXPECT_TRUE(follower.is_silent());
  follower.on_text(R"([null,"2","phoenix","phx_reply",{"status":"ok","response":{}}])");
  EXPECT_FALSE(follower.is_silent());
}

TEST(TopicFollower, ForeignOrBrokenMessage_IsIgnored) {
  topic_follower follower("session:a");
  follower.join("t");
  for (const std::string text :
       {"", "x", "{}", "[]", "[1,2,3,4,5]", "[null,null,\"realtime:other\",\"broadcast\",{}]",
        "[\"9\",null,\"realtime:session:a\",\"phx_close\",{}]"}) {
    EXPECT_EQ(follower.on_text(text).what, kind::none) << text;
  }
  const std::string whole = broadcast("realtime:session:a", "e", "{}");
  for (std::size_t length = 0; length < whole.size() - 2; ++length) {
    EXPECT_EQ(follower.on_binary(whole.substr(0, length)).what, kind::none) << length;
  }
  EXPECT_EQ(follower.on_binary(broadcast("realtime:other", "e", "{}")).what, kind::none);
}

std::string pushed(const std::string& event, const std::string& payload) {
  return "[\"1\",null,\"realtime:t\",\"" + event + "\"," + payload + "]";
}

TEST(TopicFollower, OfTables_AsksForThemAndTellsOfChanges) {
  topic_follower follower("t", {{"public", "", ""}, {"app", "a\"b", "id=eq.1"}},
                          topic_follower::after_loss::starts_afresh);
  EXPECT_THAT(follower.join("tok"),
              HasSubstr(R"("postgres_changes":[{"event":"*","schema":"public"},{"event":"*",)"
                        R"("schema":"app","table":"a\"b","filter":"id=eq.1"}],"private":false},)"
                        R"("access_token":"tok")"));
  EXPECT_EQ(follower.on_text(pushed("system", R"({"extension":"system","status":"ok"})")).what,
            kind::none);
  EXPECT_EQ(follower
                .on_text(pushed("system", R"({"extension":"postgres_changes","status":"ok",)"
                                          R"("message":"Subscribed to PostgreSQL","cursor":"c"})"))
                .what,
            kind::subscribed);
  const auto change = follower.on_text(
      pushed("postgres_changes", R"({"ids":[1],"data":{"type":"INSERT","record":{"id":1}}})"));
  EXPECT_EQ(change.what, kind::change);
  EXPECT_EQ(change.text, R"({"type":"INSERT","record":{"id":1}})");
  EXPECT_THAT(follower.join("tok"), Not(HasSubstr("resume")));
}

TEST(TopicFollower, OfTables_ResumesAtTheLastCursor) {
  topic_follower follower("t", {{"public", "a", ""}});
  EXPECT_THAT(follower.join(""), HasSubstr(R"("table":"a","resume":""})"));
  follower.on_text(pushed("system", R"({"extension":"postgres_changes","status":"ok",)"
                                    R"("cursor":"c0"})"));
  EXPECT_EQ(follower.cursor(), "c0") << "where it began";
  follower.on_text(
      pushed("postgres_changes", R"({"data":{"record":{"_pgcast_cursor":"c1"},"old_record":{}}})"));
  EXPECT_EQ(follower.cursor(), "c1");
  follower.on_text(
      pushed("postgres_changes", R"({"data":{"old_record":{"_pgcast_cursor":"c2"}}})"));
  EXPECT_THAT(follower.join(""), HasSubstr(R"("table":"a","resume":"c2"})"));
}

}  // namespace
}  // namespace pgcast
