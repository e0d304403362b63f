#include "daemon/directory_loader.hpp"

#include "daemon/source_session.hpp"
#include "daemon/sql_text.hpp"

#include <chrono>

namespace pgcast {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::milliseconds k_load_timeout{60'000};

}  // namespace

asio::awaitable<result<pg_snapshot>> load_directory(pg_connection& pg,
                                                    const relay_description& description,
                                                    directory& into) {
  const auto* sessions = description.find("public", description.membership_table);
  const auto* numbers = description.find("public", description.numbers_table);
  const auto relation = [](const table_description& t) {
    return quote_identifier(t.schema) + "." + quote_identifier(t.name);
  };
  std::vector<pg_statement> exist;
  exist.emplace_back(
      "SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL",
      std::vector<std::optional<std::string>>{relation(*sessions), relation(*numbers)});
  auto there = co_await pg.run(std::move(exist), k_answer_timeout);
  if (!there) co_return there.error();

  auto statements = begin_read();
  statements.emplace_back("SET LOCAL row_security = off");
  const auto columns = [&](const std::string& a, const std::string& b, const table_description& t,
                           bool exists) {
    return exists ? "SELECT " + quote_identifier(a) + ", " + quote_identifier(b) + " FROM " +
                        relation(t)
                  : std::string{"SELECT NULL, NULL WHERE false"};
  };
  statements.emplace_back(columns(description.membership_session, description.membership_campaign,
                                  *sessions, (*there)[0].text(0, 0) == "t"));
  statements.emplace_back(columns(description.numbers_session, description.numbers_number, *numbers,
                                  (*there)[0].text(0, 1) == "t"));
  statements.emplace_back("COMMIT");
  auto rows = co_await pg.run(std::move(statements), k_load_timeout);
  if (!rows) co_return rows.error();
  into.clear();
  for (int i = 0; i < (*rows)[3].size(); ++i) {
    into.put_session((*rows)[3].text(i, 0), (*rows)[3].at(i, 1));
  }
  for (int i = 0; i < (*rows)[4].size(); ++i) {
    if ((*rows)[4].at(i, 0) && (*rows)[4].at(i, 1)) {
      into.put_number((*rows)[4].text(i, 0), (*rows)[4].text(i, 1));
    }
  }
  co_return pg_snapshot::parse((*rows)[1].text(0, 0));
}

}  // namespace pgcast
