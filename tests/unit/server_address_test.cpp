#include "daemon/server_address.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgcast {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(ServerUrl, IsTheBaseThatSupabaseJsHas) {
  struct expectation {
    std::string url, host, port, target;
    bool is_tls;
  };
  for (const auto& e : std::vector<expectation>{
           {"ws://127.0.0.1:4000", "127.0.0.1", "4000", "/realtime/v1/websocket?vsn=2.0.0", false},
           {"http://h/", "h", "80", "/realtime/v1/websocket?vsn=2.0.0", false},
           {"https://a.example", "a.example", "443", "/realtime/v1/websocket?vsn=2.0.0", true},
           {"wss://a.example/realtime/v1/", "a.example", "443", "/realtime/v1/websocket?vsn=2.0.0",
            true},
           {"ws://h/socket", "h", "80", "/socket/websocket?vsn=2.0.0", false},
           {"ws://h/socket/websocket", "h", "80", "/socket/websocket?vsn=2.0.0", false},
           {"ws://[::1]:1?log_level=info", "::1", "1",
            "/realtime/v1/websocket?log_level=info&vsn=2.0.0", false}}) {
    const auto where = parse_server_url(e.url, "--url");
    ASSERT_TRUE(where) << e.url;
    EXPECT_EQ(where->host, e.host) << e.url;
    EXPECT_EQ(where->port, e.port) << e.url;
    EXPECT_EQ(where->target, e.target) << e.url;
    EXPECT_EQ(where->is_tls, e.is_tls) << e.url;
  }
}

TEST(ServerUrl, ThatIsNone_SaysWhatIsTaken) {
  for (const auto* url :
       {"", "host", "ftp://h", "ws://", "ws://:80", "ws://h:x", "ws://h:65536", "ws:// h"}) {
    const auto refused = parse_server_url(url, "--with");
    ASSERT_FALSE(refused) << url;
    EXPECT_THAT(refused.error().detail, AllOf(HasSubstr("--with"), HasSubstr("wss://HOST"))) << url;
  }
}

TEST(ServerUrl, WithASecret_IsRefusedAndNotRepeated) {
  for (const auto* url : {"wss://u:hunter2@h", "wss://h?apikey=hunter2"}) {
    const auto refused = parse_server_url(url, "--with");
    ASSERT_FALSE(refused) << url;
    EXPECT_THAT(refused.error().detail, AllOf(HasSubstr("environment"), Not(HasSubstr("hunter2"))));
  }
}

TEST(ApiKey, StandsInTheQueryEscaped) {
  const auto where = parse_server_url("ws://h", "--url").value();
  EXPECT_EQ(with_api_key(where, "a b&c=+").target,
            "/realtime/v1/websocket?vsn=2.0.0&apikey=a%20b%26c%3D%2B");
}

}  // namespace
}  // namespace pgcast
