#include "protocol/error.hpp"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>

namespace pgcast {
namespace {

TEST(Error, TextCode_OfEveryNumber_IsStableAndUnique) {
  std::set<std::string_view> codes;
  int known = 0;
  for (int number = 0; number < 100; ++number) {
    const auto code = text_code(static_cast<errc>(number));
    ASSERT_FALSE(code.empty());
    if (code == "unknown") continue;
    ++known;
    EXPECT_TRUE(codes.insert(code).second) << code;
  }
  EXPECT_EQ(known, 42);
  EXPECT_EQ(text_code(errc::cursor_too_old), "cursor_too_old");
  EXPECT_EQ(text_code(errc::cursor_invalid), "cursor_invalid");
  EXPECT_EQ(text_code(errc::cursor_foreign), "cursor_foreign");
  EXPECT_EQ(text_code(errc::cursor_ahead), "cursor_ahead");
  EXPECT_EQ(text_code(errc::reserved_event), "reserved_event");
}

TEST(Error, Value_OfAFailure_ThrowsCodeAndDetail) {
  const result<int> failure = error{errc::query_failed, "select 1"};
  try {
    std::ignore = failure.value();
    FAIL() << "did not throw";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "query_failed: select 1");
  }
}

}  // namespace
}  // namespace pgcast
