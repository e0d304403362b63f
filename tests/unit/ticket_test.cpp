#include "protocol/ticket.hpp"

#include <gtest/gtest.h>

#include <set>

namespace pgcast {
namespace {

using namespace std::chrono_literals;

const wall_time k_now{std::chrono::seconds{1'800'000'000}};
const std::vector<std::string> k_secrets{"new secret", "old secret"};

TEST(Ticket, IsOpenedByWhoHasTheSecret_UntilItExpires) {
  for (const auto& secret : k_secrets) {
    const auto ticket = seal_ticket("a.token\nof.ours", secret, k_now + 60s);
    const auto token = open_ticket(ticket, k_secrets, k_now + 59s);
    ASSERT_TRUE(token);
    EXPECT_EQ(*token, "a.token\nof.ours");
    EXPECT_EQ(open_ticket(ticket, k_secrets, k_now + 60s).error().code, errc::token_expired);
  }
}

TEST(Ticket, OfAnotherSecretOrChanged_IsRefused) {
  const auto ticket = seal_ticket("token", "new secret", k_now + 60s);
  const std::vector<std::string> others{"third secret"};
  EXPECT_EQ(open_ticket(ticket, others, k_now).error().code, errc::token_malformed);
  for (std::size_t i = 0; i < ticket.size(); ++i) {
    auto changed = ticket;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(open_ticket(changed, k_secrets, k_now)) << i;
    EXPECT_FALSE(open_ticket(ticket.substr(0, i), k_secrets, k_now)) << i;
  }
  EXPECT_FALSE(open_ticket("not base64!", k_secrets, k_now));
}

TEST(Ticket, OfTheSameToken_IsNeverTheSame_AndDoesNotShowIt) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) seen.insert(seal_ticket("token", "new secret", k_now));
  EXPECT_EQ(seen.size(), 100U);
}

}  // namespace
}  // namespace pgcast
