// What the daemon calls: attach() after every kind of restart, normalize_phone().

#include "tests/integration/outbox_fixture.hpp"

#include <signal.h>

#include <thread>

namespace pgcast::test {
namespace {

class outbox_upkeep : public outbox_test {
 protected:
  struct attached {
    std::string epoch;
    int incarnation = 0;
    std::string cursor_key;
    bool operator==(const attached&) const = default;
  };

  attached attach() const {
    const auto row = sql(connect_as("postgres"), "SELECT * FROM pgcast.attach()").at(0);
    return {row[0].value(), std::stoi(row[1].value()), row[2].value()};
  }

  long long number(const std::string& query) const {
    return std::stoll(sql_value(connect_as("postgres"), query));
  }

  long long write() const {
    return number(
        "INSERT INTO chat_history (session_id) VALUES ('s') RETURNING pg_current_xact_id()");
  }

  void restart(postgres_server::shutdown how) {
    server_.stop(how);
    server_.start();
    owner_ = connect_as("postgres");
  }
};

TEST_F(outbox_upkeep, Attach_GivesTheSameUntilACrash) {
  const attached first = attach();
  EXPECT_EQ(first.incarnation, 1);
  EXPECT_EQ(number("SELECT first_xid FROM pgcast.incarnation"), 3);
  EXPECT_EQ(attach(), first);
  restart(postgres_server::shutdown::fast);
  EXPECT_EQ(attach(), first);
}

TEST_F(outbox_upkeep, AttachAfterImmediateStop_IsANewIncarnation) {
  const attached before = attach();
  const long long kept = write();
  const long long last_id = number("SELECT max(id) FROM pgcast.outbox");
  restart(postgres_server::shutdown::immediate);

  const long long first_new = write();  // before any reader is back
  const attached after = attach();
  EXPECT_EQ(after.epoch, before.epoch);
  EXPECT_EQ(after.cursor_key, before.cursor_key);
  EXPECT_EQ(after.incarnation, 2);
  const long long from = number("SELECT first_xid FROM pgcast.incarnation WHERE number = 2");
  EXPECT_GT(from, kept);
  EXPECT_LE(from, first_new);
  EXPECT_EQ(attach(), after);
  write();
  EXPECT_GT(number("SELECT max(id) FROM pgcast.outbox"), last_id);
}

TEST_F(outbox_upkeep, AttachAfterCrash_CountsTransactionIdsThatComeAgainAsNew) {
  const attached before = attach();
  const sql_connection admin(server_.conninfo(database_, "supabase_admin"));
  const int wal_writer = std::stoi(
      sql_value(admin, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"));
  const long long kept = write();
  kill(wal_writer,
       SIGSTOP);  // or it may flush the rolled-back work, whose ids then do not come again
  const sql_connection loser = connect_as("postgres");
  sql(loser, "BEGIN; INSERT INTO chat_history (session_id) VALUES ('undone')");
  const long long undone = std::stoll(sql_value(loser, "SELECT pg_current_xact_id()"));
  sql(loser, "ROLLBACK");
  server_.kill_backend(wal_writer);
  owner_ = connect_as("postgres");

  const attached after = attach();
  EXPECT_EQ(after.epoch, before.epoch);
  EXPECT_EQ(after.incarnation, 2);
  const long long from = number("SELECT first_xid FROM pgcast.incarnation WHERE number = 2");
  EXPECT_GT(from, kept);
  EXPECT_LE(from, undone);
  EXPECT_LE(from, write());
}

TEST_F(outbox_upkeep, AttachAfterCrashAndLaterCheckpoint_IsANewEpoch) {
  const attached before = attach();
  restart(postgres_server::shutdown::immediate);
  write();
  sql(sql_connection(server_.conninfo(database_, "supabase_admin")), "CHECKPOINT");
  const attached after = attach();
  EXPECT_NE(after.epoch, before.epoch);
  EXPECT_EQ(after.incarnation, 2);
  EXPECT_EQ(attach(), after);
}

TEST_F(outbox_upkeep, AttachAfterCrashAndCleanRestart_IsANewEpoch) {
  const attached before = attach();
  restart(postgres_server::shutdown::immediate);
  write();
  restart(postgres_server::shutdown::fast);  // its checkpoint looks like that of recovery
  EXPECT_NE(attach().epoch, before.epoch);
}

TEST_F(outbox_upkeep, AttachOfFourReadersAtOnce_MakesOneIncarnation) {
  restart(postgres_server::shutdown::immediate);
  std::vector<attached> seen(4);
  std::vector<std::thread> readers;
  for (attached& one : seen) {
    readers.emplace_back([this, &one] { one = attach(); });
  }
  for (std::thread& reader : readers) {
    reader.join();
  }
  EXPECT_EQ(seen[0].incarnation, 2);
  EXPECT_EQ(seen, std::vector<attached>(4, seen[0]));
}

TEST_F(outbox_upkeep, AttachOnAnotherServer_IsANewEpochWithoutGhosts) {
  const attached before = attach();
  write();
  sql(owner_,
      "INSERT INTO pgcast.outbox (xid, schema_name, table_name, operation)"
      " VALUES ('900000000000', 'public', 'from_the_future', 'I');"
      "UPDATE pgcast.meta SET system_identifier = system_identifier - 1,"
      " dropped_xid = '900000000000'");
  const long long last_id = number("SELECT max(id) FROM pgcast.outbox");
  const attached after = attach();
  EXPECT_NE(after.epoch, before.epoch);
  EXPECT_EQ(after.incarnation, 2);
  EXPECT_EQ(number("SELECT first_xid FROM pgcast.incarnation WHERE number = 2"), 3);
  EXPECT_EQ(events(), lines{"chat_history I"});
  EXPECT_EQ(sql_value(owner_, "SELECT dropped_xid FROM pgcast.meta"), "<null>");
  EXPECT_EQ(attach(), after);
  write();
  EXPECT_GT(number("SELECT max(id) FROM pgcast.outbox"), last_id);
}

TEST_F(outbox_upkeep, AttachOnAnotherTimeline_IsANewEpoch) {
  const attached before = attach();
  sql(owner_, "UPDATE pgcast.meta SET timeline = timeline + 1");
  EXPECT_NE(attach().epoch, before.epoch);
}

TEST_F(outbox_upkeep, NormalizePhone_ComparesNumbersAsDigits) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"+447700900123", "+447700900123"},
      {"00447700900123", "+447700900123"},
      {"+44 (7700) 900-123", "+447700900123"},
      {"+44\u00A07700\u2013900\u2212123", "+447700900123"},
      {"0044.7700/900\t[123]", "+447700900123"},
      {"07700 900123", "07700900123"},
      {"447700900123", "447700900123"},
      {"", ""},
      {"00", "00"},
      {"+", "+"},
      {"+44+7", "+44+7"},
      {"call me: 07700", "call me: 07700"},
      {"user@example.com", "user@example.com"},
      {"\u0660\u0661", "\u0660\u0661"},
  };
  for (const auto& [number, expected] : cases) {
    EXPECT_EQ(sql(owner_, "SELECT pgcast.normalize_phone($1)", {number}), (sql_rows{{expected}}))
        << number;
  }
  EXPECT_EQ(sql_value(owner_, "SELECT pgcast.normalize_phone(NULL)"), "<null>");
}

}  // namespace
}  // namespace pgcast::test
