#include "protocol/error_reply.hpp"

#include "protocol/json_document.hpp"

#include <gtest/gtest.h>

namespace pgcast {
namespace {

TEST(ErrorReply, Refusal_HasReasonCodeAndHint) {
  EXPECT_EQ(error_reply({errc::unauthorized, "no \"such\" topic"}),
            R"({"status":"error","response":{"reason":"Unauthorized: no \"such\" topic"},)"
            R"("code":"unauthorized",)"
            R"("hint":"look at the role's grants, the policies and the token's claims"})");
}

TEST(ErrorReply, Handshake_HasItsSentenceAsSupabaseWritesIt) {
  EXPECT_EQ(error_body({errc::token_missing, "API key is missing"}),
            R"({"error":"API key is missing","code":"token_missing",)"
            R"("hint":"pass a token as apikey"})");
}

TEST(ErrorReply, EveryReasonWithAWordOfSupabase_HasAHint) {
  for (int number = 1; number < 100; ++number) {
    const error e{static_cast<errc>(number), "x"};
    EXPECT_TRUE(is_json(error_reply(e)));
    if (reason_of(e) == "x") continue;
    EXPECT_NE(hint_of(e.code), "") << text_code(e.code);
  }
}

}  // namespace
}  // namespace pgcast
