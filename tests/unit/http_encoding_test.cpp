#include "daemon/http_encoding.hpp"

#include <gtest/gtest.h>

namespace pgcast {
namespace {

TEST(HttpEncoding, Gzip_IsTakenWhereItIsAccepted) {
  for (const auto* yes :
       {"gzip", "br, gzip", "GZIP;q=0.1", "*", "deflate;q=0, *;q=0.5", " x-gzip "}) {
    EXPECT_TRUE(accepts_gzip(yes)) << yes;
  }
  for (const auto* no : {"", "identity", "gzip;q=0", "gzip; q=0.0, *", "*;q=0", "br"}) {
    EXPECT_FALSE(accepts_gzip(no)) << no;
  }
}

TEST(HttpEncoding, Tags_AreComparedWeakly) {
  for (const auto* yes : {R"(W/"a")", R"("a")", R"("b", W/"a")", "*"}) {
    EXPECT_TRUE(has_tag(yes, R"(W/"a")")) << yes;
  }
  for (const auto* no : {"", "a", R"("b")", R"("a)"}) EXPECT_FALSE(has_tag(no, R"(W/"a")")) << no;
}

http_request asking(const char* accepted, std::string_view tag = "") {
  http_request r{boost::beast::http::verb::get, "/", 11};
  r.set("Accept-Encoding", accepted);
  if (!tag.empty()) r.set("If-None-Match", tag);
  return r;
}

TEST(HttpEncoding, FixedBody_IsSentInTheFormThatIsAccepted) {
  const std::string text(5'000, 'a');
  const auto body = make_fixed_body(text);
  EXPECT_EQ(body.packed.substr(0, 2), "\x1f\x8b");
  const auto packed = encode_answer(asking("gzip"), "text/css", body);
  EXPECT_EQ(packed.body(), body.packed);
  EXPECT_EQ(packed["Content-Encoding"], "gzip");
  const auto whole = encode_answer(asking("identity"), "text/css", body);
  EXPECT_EQ(whole.body(), text);
  EXPECT_EQ(whole.count("Content-Encoding"), 0u);
  EXPECT_EQ(whole["ETag"], packed["ETag"]);
}

TEST(HttpEncoding, FixedBodyThatDoesNotShrink_IsSentWhole) {
  const auto answer = encode_answer(asking("gzip"), "text/css", make_fixed_body("a{}"));
  EXPECT_EQ(answer.body(), "a{}");
  EXPECT_EQ(answer.count("Content-Encoding"), 0u);
}

TEST(HttpEncoding, FixedBodyThatIsKnown_IsNotSentAgain) {
  const auto body = make_fixed_body("a{}");
  const auto answer = encode_answer(asking("gzip", body.tag), "text/css", body);
  EXPECT_EQ(answer.result_int(), 304u);
  EXPECT_EQ(answer["ETag"], body.tag);
  EXPECT_TRUE(answer.body().empty());
}

}  // namespace
}  // namespace pgcast
