#include "daemon/event_rendering.hpp"

#include <gtest/gtest.h>

namespace pgcast {
namespace {

std::string render(std::string_view line) {
  return render_event(line, "12:00:00", color_use::plain);
}

TEST(EventRendering, SaysWhatHappened) {
  const std::string of_chat = R"({"event":"chat_history","payload":{"schema":"public",)"
                              R"("table":"chat_history","operation":)";
  EXPECT_EQ(render(of_chat + R"("INSERT","record":{"message":{"sender":"user","text":"hi"}}}})"),
            "12:00:00 user       hi");
  EXPECT_EQ(render(of_chat + R"("UPDATE","record":{"message":{"type":"ai","content":"x"}}}})"),
            "12:00:00 agent      x (changed)");
  EXPECT_EQ(render(of_chat + R"("DELETE","old_record":{"message":[1]}}})"),
            "12:00:00 message    [1] (deleted)");
  EXPECT_EQ(render(of_chat + R"("TRUNCATE","record":null}})"),
            "12:00:00 chat_history all rows are deleted");
  EXPECT_EQ(render(R"({"event":"typing","payload":{"who":"ada"}})"),
            R"(12:00:00 typing     {"who":"ada"})");
}

TEST(EventRendering, ShowsNothingThatATerminalObeys) {
  const auto shown = render(R"({"event":"\u001b[2J","payload":"a\u0007\u009bb\u007f\nc"})");
  EXPECT_EQ(shown, "12:00:00 .[2J       a..b. c");
}

TEST(EventRendering, OddLines_DoNoHarm) {
  for (const auto* line : {"", "{}", "[", "null", R"({"event":5})", R"({"event":"stats"})",
                           R"({"event":"snapshot","payload":{"messages":5}})"}) {
    EXPECT_TRUE(render(line).starts_with("12:00:00 ")) << line;
  }
}

}  // namespace
}  // namespace pgcast
