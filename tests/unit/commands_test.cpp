#include "daemon/commands.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sysexits.h>

namespace pgcast {
namespace {

using namespace std::chrono_literals;
using testing::StartsWith;

const std::chrono::system_clock::time_point k_now{1'700'000'000s};

TEST(Claims, HaveRoleTimesAndWhatWasAsked) {
  token_options options;
  options.role = "authenticated";
  options.sub = "user \"1\"";
  options.claims = {"n=1.50", "list=[1, 2]", "text=hello", "empty=", "quoted=\"5\"", "eq=a=b"};
  EXPECT_EQ(make_claims(options, 1h, k_now).value(),
            R"({"role":"authenticated","sub":"user \"1\"","iat":1700000000,"exp":1700003600,)"
            R"("n":1.50,"list":[1, 2],"text":"hello","empty":"","quoted":"5","eq":"a=b"})");
}

TEST(Claims, NeverOverrideRoleOrTimes) {
  for (const std::string claim :
       {"role=service_role", "exp=9", "iat=1", "sub=x", "noequals", "=x"}) {
    token_options options;
    options.role = "anon";
    options.claims = {claim};
    const auto claims = make_claims(options, 1h, k_now);
    ASSERT_FALSE(claims) << claim;
    EXPECT_THAT(claims.error().detail, StartsWith("--claim "));
  }
}

TEST(Claims, GivenTwice_AreRefused) {
  token_options options;
  options.role = "anon";
  options.claims = {"a=1", "a=2"};
  EXPECT_FALSE(make_claims(options, 1h, k_now));
}

TEST(ExitCode, FollowsSysexits) {
  EXPECT_EQ(exit_code(errc::config_invalid), EX_CONFIG);
  EXPECT_EQ(exit_code(errc::database_unreachable), EX_UNAVAILABLE);
  EXPECT_EQ(exit_code(errc::database_unsuitable), EX_CONFIG);
  EXPECT_EQ(exit_code(errc::not_installed), EX_CONFIG);
  EXPECT_EQ(exit_code(errc::unauthorized), EX_NOPERM);
  EXPECT_EQ(exit_code(errc::frame_malformed), EX_SOFTWARE);
}

}  // namespace
}  // namespace pgcast
