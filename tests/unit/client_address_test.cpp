#include "daemon/client_address.hpp"

#include <gtest/gtest.h>

namespace pgcast {
namespace {

std::string client_of(const char* peer, const char* forwarded,
                      const std::vector<std::string>& trusted) {
  return client_address(boost::asio::ip::make_address(peer), forwarded, trusted_networks{trusted})
      .to_string();
}

TEST(ClientAddress, OfAStranger_IsItsOwn_WhateverItSays) {
  EXPECT_EQ(client_of("192.0.2.1", "", {}), "192.0.2.1");
  EXPECT_EQ(client_of("192.0.2.1", "198.51.100.7", {}), "192.0.2.1");
  EXPECT_EQ(client_of("192.0.2.1", "198.51.100.7", {"10.0.0.0/8"}), "192.0.2.1");
}

TEST(ClientAddress, BehindTrustedProxies_IsTheLastOneThatIsNotTrusted) {
  const std::vector<std::string> trusted{"10.0.0.0/8", "127.0.0.1", "2001:db8:1::/48"};
  EXPECT_EQ(client_of("10.0.0.1", "198.51.100.7", trusted), "198.51.100.7");
  EXPECT_EQ(client_of("127.0.0.1", "6.6.6.6, 198.51.100.7 , 10.9.9.9", trusted), "198.51.100.7")
      << "what stands before it is only what it says itself";
  EXPECT_EQ(client_of("2001:db8:1::5", "203.0.113.9:4711", trusted), "203.0.113.9");
  EXPECT_EQ(client_of("10.0.0.1", "[2001:db8::9]:4711", trusted), "2001:db8::9");
  EXPECT_EQ(client_of("10.0.0.1", "10.0.0.2,10.0.0.3", trusted), "10.0.0.2");
}

TEST(ClientAddress, ThatCannotBeRead_IsTheProxys) {
  for (const auto* text :
       {"unknown", "_hidden", "198.51.100.7, ", ",", "1.2.3", "[", "]", "[]:5"}) {
    EXPECT_EQ(client_of("10.0.0.1", text, {"10.0.0.0/8"}), "10.0.0.1") << text;
  }
}

TEST(ClientAddress, MappedIntoV6_IsTheV4One) {
  EXPECT_EQ(client_of("10.0.0.1", "::ffff:198.51.100.7", {"10.0.0.0/8"}), "198.51.100.7");
}

TEST(CountedAddress, OfV6_IsItsNetwork_OfLoopbackNothing) {
  const auto counted = [](const char* text) {
    return counted_address(boost::asio::ip::make_address(text));
  };
  EXPECT_EQ(counted("198.51.100.7"), "198.51.100.7");
  EXPECT_EQ(counted("2001:db8:1:2:3:4:5:6"), counted("2001:db8:1:2::9"));
  EXPECT_NE(counted("2001:db8:1:2::9"), counted("2001:db8:1:3::9"));
  EXPECT_EQ(counted("127.0.0.1"), "");
  EXPECT_EQ(counted("127.9.9.9"), "");
  EXPECT_EQ(counted("::1"), "");
}

}  // namespace
}  // namespace pgcast
