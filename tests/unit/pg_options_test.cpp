#include "daemon/pg_options.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace pgcast {
namespace {

std::vector<pg_options> servers_of(const std::string& text) {
  const auto options = parse_conninfo(text);
  EXPECT_TRUE(options) << text;
  return split_servers(*options);
}

TEST(pg_options, OneServer_IsLeftAsItIs) {
  const auto servers = servers_of("postgres://u:secret@db1:5433/app?sslmode=require");
  ASSERT_EQ(servers.size(), 1U);
  EXPECT_EQ(servers[0], *parse_conninfo("postgres://u:secret@db1:5433/app?sslmode=require"));
  EXPECT_FALSE(servers[0].contains("target_session_attrs"));
  EXPECT_EQ(name_of_server(servers[0]), "db1:5433");
}

TEST(pg_options, List_GivesEachServerItsPortAndAsksForAPrimary) {
  const auto servers = servers_of("postgres://u@db1:5433,db2,[::1]:5435/app");
  ASSERT_EQ(servers.size(), 3U);
  EXPECT_EQ(name_of_server(servers[0]), "db1:5433");
  EXPECT_EQ(name_of_server(servers[1]), "db2");
  EXPECT_EQ(name_of_server(servers[2]), "::1:5435");
  for (const auto& server : servers) {
    EXPECT_EQ(server.at("target_session_attrs"), "primary");
    EXPECT_EQ(server.at("dbname"), "app");
    EXPECT_EQ(server.at("user"), "u");
  }
}

TEST(pg_options, ListWithOnePort_GivesItToAll) {
  const auto servers = servers_of("host=a,b port=6000 target_session_attrs=read-write");
  ASSERT_EQ(servers.size(), 2U);
  EXPECT_EQ(servers[1].at("port"), "6000");
  EXPECT_EQ(servers[1].at("target_session_attrs"), "read-write") << "what is asked for stays";
}

TEST(pg_options, ListOfAddresses_KeepsTheirNames) {
  const auto servers = servers_of("hostaddr=127.0.0.1,127.0.0.2 host=a,b");
  ASSERT_EQ(servers.size(), 2U);
  EXPECT_EQ(servers[1].at("hostaddr"), "127.0.0.2");
  EXPECT_EQ(servers[1].at("host"), "b");
}

TEST(pg_options, ListThatDoesNotMatchItsPorts_IsLeftToLibpq) {
  EXPECT_EQ(servers_of("host=a,b,c port=1,2").size(), 1U);
  EXPECT_EQ(servers_of("hostaddr=127.0.0.1 host=a,b").size(), 1U);
}

TEST(pg_options, ListOfTheEnvironment_IsSplitAsWell) {
  ::setenv("PGHOST", "a,b", 1);
  ::setenv("PGPORT", "1,2", 1);
  const auto servers = servers_of("dbname=app");
  const auto other = servers_of("dbname=app host=c port=3");
  ::unsetenv("PGHOST");
  ::unsetenv("PGPORT");
  ASSERT_EQ(servers.size(), 2U);
  EXPECT_EQ(name_of_server(servers[1]), "b:2");
  ASSERT_EQ(other.size(), 1U);
  EXPECT_EQ(name_of_server(other[0]), "c:3");
}

TEST(pg_options, TextThatCannotBeRead_IsToldWithoutThePassword) {
  const auto options = parse_conninfo("postgres://u:secret@db1:5433/app?nonsense=1");
  ASSERT_FALSE(options);
  EXPECT_EQ(options.error().code, errc::database_unreachable);
  EXPECT_NE(options.error().detail.find("nonsense"), std::string::npos);
  EXPECT_EQ(options.error().detail.find("secret"), std::string::npos);
}

}  // namespace
}  // namespace pgcast
