#include "protocol/sent_event.hpp"

#include <gtest/gtest.h>

namespace pgcast {
namespace {

TEST(SentEvent, OfTheDaemon_HasItsCursorAsIdAndItsTopic) {
  EXPECT_EQ(
      encode_sent_event("session:a\"b", "chat_history",
                        {R"({"id":"7","cursor":"Ab-_","record":)", "{\"n\":\n1}", "}"}),
      "id: Ab-_\nevent: chat_history\n"
      "data: {\"topic\":\"session:a\\\"b\",\"id\":\"7\",\"cursor\":\"Ab-_\",\"record\":{\"n\": "
      "1}}\n\n");
  EXPECT_EQ(encode_sent_event("t", "system", {R"({"status":"ok"})"}),
            "event: system\ndata: {\"topic\":\"t\",\"status\":\"ok\"}\n\n");
  EXPECT_EQ(encode_sent_event("t", "e", {"{}"}), "event: e\ndata: {\"topic\":\"t\"}\n\n");
}

TEST(SentEvent, OfOthers_IsOneLineWhateverItSays) {
  EXPECT_EQ(encode_sent_broadcast("t", "two\r\nlines", {"[1,\r\n2]"}),
            "event: two  lines\ndata: {\"topic\":\"t\",\"payload\":[1,  2]}\n\n");
  EXPECT_EQ(encode_sent_broadcast("t", "e", {R"({"cursor":"x"})"}),
            "event: e\ndata: {\"topic\":\"t\",\"payload\":{\"cursor\":\"x\"}}\n\n");
}

TEST(SentEvent, GetsAnotherId_WhereItHasOne) {
  const auto sent = encode_sent_event("t", "e", {R"({"cursor":"old"})"});
  const auto rest = sent.substr(sent.find('\n') + 1);
  EXPECT_EQ(with_event_id(sent, "new"), "id: new\n" + rest);
  EXPECT_EQ(with_event_id(sent, ""), rest);
  const auto without = encode_sent_broadcast("t", "e", {"1"});
  EXPECT_EQ(with_event_id(without, "new"), without);
}

}  // namespace
}  // namespace pgcast
