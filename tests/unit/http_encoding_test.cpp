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

}  // namespace
}  // namespace pgcast
