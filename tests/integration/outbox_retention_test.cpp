// What is kept and for how long: maintain(), and the pause while no daemon is there. Time is moved
// by changing the tables, never waited for.

#include "tests/integration/outbox_fixture.hpp"

#include <chrono>

namespace pgcast::test {
namespace {

class outbox_retention : public outbox_test {
 protected:
  using counts = sql_rows;  ///< created, dropped, stray

  counts maintain(const std::string& retention = "1 day") const {
    return sql(owner_, "SELECT * FROM pgcast.maintain('" + retention + "')");
  }

  /// A partition of a day long past, with `rows` in it under transaction ids 41 and on.
  void add_old_partition(int rows) const {
    sql(owner_,
        "CREATE TABLE pgcast.outbox_20200101 PARTITION OF pgcast.outbox"
        " FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-01-02 00:00+00')");
    for (int i = 0; i < rows; ++i) add_old_row(owner_, std::to_string(41 + i));
  }

  static void add_old_row(const sql_connection& writer, const std::string& xid) {
    sql(writer,
        "INSERT INTO pgcast.outbox (xid, at, schema_name, table_name, operation)"
        " VALUES ('" +
            xid + "', '2020-01-01', 's', 'old', 'T')");
  }

  /// As if what was declared expired had been so for a while.
  void pass_a_minute() const {
    sql(owner_, "UPDATE pgcast.upkeep SET expired_at = expired_at - interval '61 s'");
  }

  /// As if nobody had made partitions for days.
  void drop_days() const {
    sql(owner_,
        "DO $$ DECLARE p text; BEGIN FOR p IN SELECT inhrelid::regclass FROM pg_inherits"
        " WHERE inhparent = 'pgcast.outbox'::regclass"
        " AND inhrelid <> 'pgcast.outbox_default'::regclass"
        " LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$");
  }

  /// As if no daemon had been there for longer than the retention.
  void pass_the_retention() const {
    sql(owner_,
        "SELECT setval('pgcast.wanted_until',"
        " (extract(epoch FROM clock_timestamp() - interval '1 s') * 1000000)::bigint);"
        // an earlier pause is longer ago then
        "UPDATE pgcast.upkeep SET handled_pause = greatest(handled_pause - 3600000000, 0);"
        "SELECT setval('pgcast.paused_at', last_value - 3600000000) FROM pgcast.paused_at"
        " WHERE is_called");
  }

  static std::string write(const sql_connection& writer) {
    return sql_value(writer,
                     "INSERT INTO chat_history (session_id) VALUES ('s')"
                     " RETURNING pg_current_xact_id()");
  }

  std::string meta(const std::string& column) const {
    return sql_value(owner_, "SELECT " + column + " FROM pgcast.meta");
  }
};

TEST_F(outbox_retention, Maintain_MakesPartitionsAheadInUtc) {
  sql(owner_,
      "DO $$ BEGIN EXECUTE 'DROP TABLE pgcast.outbox_' || to_char(now() AT TIME ZONE 'UTC'"
      " + '2 days', 'YYYYMMDD'); END $$; SET TimeZone = 'Pacific/Kiritimati'");
  EXPECT_EQ(maintain("100 years"), (counts{{"1", "0", "0"}}));
  EXPECT_EQ(maintain("0"), (counts{{"0", "0", "0"}}));
  write(owner_);
  EXPECT_EQ(events("tableoid::regclass = ('pgcast.outbox_' || to_char(now() AT TIME ZONE 'UTC', "
                   "'YYYYMMDD'))::regclass"),
            lines{"t"});
  EXPECT_EQ(sql_value(owner_,
                      "SELECT count(*) = 3 * (SELECT count(*) FROM pg_index"
                      " WHERE indrelid = 'pgcast.outbox'::regclass)"
                      " FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
                      " JOIN pg_inherits p ON p.inhrelid = i.indexrelid"
                      " WHERE c.relname ~ '^outbox_[0-9]{8}$'"),
            "t")
      << "every index on each of the three days";
}

TEST_F(outbox_retention, Maintain_DeclaresAPartitionExpiredBeforeItDropsIt) {
  add_old_partition(2);
  EXPECT_EQ(maintain("100 years"), (counts{{"0", "0", "0"}}));
  EXPECT_EQ(meta("dropped_xid"), "<null>");
  EXPECT_EQ(maintain(), (counts{{"0", "0", "0"}}));
  EXPECT_EQ(meta("dropped_xid"), "42");
  EXPECT_EQ(meta("dropped_before = '2020-01-02 00:00+00'"), "t");
  EXPECT_EQ(maintain(), (counts{{"0", "0", "0"}})) << "not at once";
  pass_a_minute();
  EXPECT_EQ(maintain(), (counts{{"0", "1", "0"}}));
  EXPECT_EQ(meta("dropped_xid"), "42");
  EXPECT_EQ(maintain(), (counts{{"0", "0", "0"}}));
}

TEST_F(outbox_retention, ReaderWithASnapshotOfBefore_StillFindsAllRows) {
  add_old_partition(2);
  const sql_connection reader = connect_as("postgres");
  sql(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  EXPECT_EQ(sql_value(reader, "SELECT dropped_xid FROM pgcast.meta"), "<null>");
  maintain();
  maintain();
  EXPECT_EQ(sql_value(reader, "SELECT count(*) FROM pgcast.outbox"), "2");
  pass_a_minute();
  const auto started = std::chrono::steady_clock::now();
  EXPECT_EQ(maintain(), (counts{{"0", "0", "0"}})) << "it has opened the partition";
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(5));
  EXPECT_EQ(sql_value(reader, "SELECT count(*) FROM pgcast.outbox"), "2");
  sql(reader, "COMMIT");
  EXPECT_EQ(maintain(), (counts{{"0", "1", "0"}}));
}

TEST_F(outbox_retention, DropThatWaits_HoldsNobodyUpForASecond) {
  add_old_partition(1);
  maintain();
  pass_a_minute();
  const sql_connection reader = connect_as("postgres");
  sql(reader, "BEGIN; SELECT count(*) FROM pgcast.outbox");
  const sql_connection upkeep = connect_as("postgres");
  ASSERT_EQ(PQsendQuery(upkeep.native(), "SELECT pgcast.maintain('1 day')"), 1);
  sql(owner_, "SET statement_timeout = '1s'");
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(3);
  while (std::chrono::steady_clock::now() < until) EXPECT_NO_THROW(write(owner_));
  while (PGresult* answer = PQgetResult(upkeep.native())) {
    EXPECT_EQ(PQresultStatus(answer), PGRES_TUPLES_OK) << PQresultErrorMessage(answer);
    PQclear(answer);
  }
}

TEST_F(outbox_retention, RowsCommittedAfterTheDeclaration_AreDeclaredBeforeTheyAreDropped) {
  add_old_partition(1);
  const sql_connection late = connect_as("postgres");
  sql(late, "BEGIN");
  add_old_row(late, "77");
  maintain();
  EXPECT_EQ(meta("dropped_xid"), "41");
  pass_a_minute();
  EXPECT_EQ(maintain(), (counts{{"0", "0", "0"}})) << "an open transaction wrote to it";
  sql(late, "COMMIT");
  EXPECT_EQ(maintain(), (counts{{"0", "0", "0"}}));
  EXPECT_EQ(meta("dropped_xid"), "77");
  EXPECT_EQ(events("xid"), (lines{"41", "77"}));
  pass_a_minute();
  EXPECT_EQ(maintain(), (counts{{"0", "1", "0"}}));
}

TEST_F(outbox_retention, ExpiredRowsInDefault_AreDeletedAndDeclared) {
  drop_days();
  const auto kept = write(owner_);
  add_old_row(owner_, "42");
  EXPECT_EQ(maintain("100 years"), (counts{{"2", "0", "2"}})) << "today has a row in DEFAULT";
  EXPECT_EQ(maintain(), (counts{{"0", "0", "1"}}));
  EXPECT_EQ(events("xid"), lines{kept});
  EXPECT_EQ(meta("dropped_xid"), "42");
  EXPECT_EQ(meta("dropped_before BETWEEN now() - interval '25 h' AND now() - interval '23 h'"),
            "t");
}

TEST_F(outbox_retention, DayWhoseRowsInDefaultAreGone_GetsItsPartition) {
  drop_days();
  write(owner_);
  EXPECT_EQ(maintain(), (counts{{"2", "0", "1"}}));
  sql(owner_, "UPDATE pgcast.outbox_default SET at = at - interval '3 days'");
  EXPECT_EQ(maintain(), (counts{{"1", "0", "0"}}));
  write(owner_);
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM pgcast.outbox_default"), "0");
}

TEST_F(outbox_retention, MaintainWithNegativeRetention_IsRefused) {
  EXPECT_THROW(sql(owner_, "SELECT pgcast.maintain('-1 day')"), sql_error);
}

TEST_F(outbox_retention, MaintainInASnapshot_IsRefused) {
  sql(owner_, "SET default_transaction_isolation = 'repeatable read'");
  EXPECT_THROW(maintain(), sql_error);
}

// ---- while no daemon is there -------------------------------------------------------------------

TEST_F(outbox_retention, RowsWithinTheRetention_AreKeptWithoutADaemon) {
  drop_days();
  write(owner_);
  EXPECT_EQ(events(), lines{"chat_history I"}) << "the first day after the installation";
  maintain("7 days");
  EXPECT_EQ(sql_value(owner_,
                      "SELECT last_value / 1000000 - extract(epoch FROM now())"
                      " BETWEEN 7 * 86400 AND 7 * 86400 + 660 FROM pgcast.wanted_until"),
            "t");
  maintain("1 day");
  EXPECT_EQ(sql_value(owner_,
                      "SELECT last_value / 1000000 - extract(epoch FROM now()) > 7 * 86400 - 60"
                      " FROM pgcast.wanted_until"),
            "t")
      << "another daemon's longer retention holds";
}

TEST_F(outbox_retention, RowsThatNobodyCanAskFor_AreLeftOutAndTheWriteSucceeds) {
  drop_days();
  pass_the_retention();
  sql(owner_,
      "INSERT INTO chat_history (session_id) SELECT 's' FROM generate_series(1, 1000);"
      "UPDATE chat_history SET session_id = 't'; DELETE FROM chat_history WHERE id % 2 = 0;"
      "TRUNCATE chat_history");
  EXPECT_EQ(events(), lines{});
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
}

TEST_F(outbox_retention, DayWithAPartition_IsKeptWhateverTheTime) {
  pass_the_retention();
  write(owner_);
  EXPECT_EQ(events(), lines{"chat_history I"});
}

TEST_F(outbox_retention, ConnectedDaemon_KeepsRowsEvenIfItsMaintenanceFails) {
  const sql_connection daemon = connect_as("postgres");
  sql(daemon, "SELECT pgcast.attach()");
  drop_days();
  pass_the_retention();
  write(owner_);
  EXPECT_EQ(events(), lines{"chat_history I"});
}

TEST_F(outbox_retention, WriterThatLooksForADaemon_IsNotTakenForOne) {
  drop_days();
  pass_the_retention();
  const sql_connection other = connect_as("postgres");
  sql(other, "SELECT pg_advisory_lock(8099551725049085955)");  // as it does for a moment
  write(owner_);
  EXPECT_EQ(events(), lines{});
}

TEST_F(outbox_retention, AttachAfterAPause_DeclaresWhatWasLeftOut) {
  sql(connect_as("postgres"), "SELECT pgcast.attach()");
  EXPECT_EQ(meta("dropped_xid"), "<null>") << "nothing was left out yet";
  drop_days();
  pass_the_retention();
  const auto left_out = write(owner_);
  sql(connect_as("postgres"), "SELECT pgcast.attach()");
  const auto declared = meta("dropped_xid");
  EXPECT_EQ(meta("dropped_xid > '" + left_out + "'"), "t");
  EXPECT_EQ(meta("dropped_before > now() - interval '1 minute'"), "t");

  const auto kept = write(owner_);
  EXPECT_EQ(events("xid"), lines{kept});
  EXPECT_EQ(meta("dropped_xid < '" + kept + "'"), "t");
  sql(connect_as("postgres"), "SELECT pgcast.attach()");
  EXPECT_EQ(meta("dropped_xid"), declared) << "once for a pause";

  pass_the_retention();
  const auto second = write(owner_);
  sql(connect_as("postgres"), "SELECT pgcast.attach()");
  EXPECT_EQ(meta("dropped_xid > '" + second + "'"), "t") << "and again for the next one";
}

TEST_F(outbox_retention, TransactionOpenAcrossAttach_IsDeclaredToo) {
  drop_days();
  pass_the_retention();
  const sql_connection writer = connect_as("postgres");
  sql(writer, "BEGIN");
  const auto open = write(writer);
  sql(connect_as("postgres"), "SELECT pgcast.attach()");
  EXPECT_EQ(meta("dropped_xid > '" + open + "'"), "t");
  EXPECT_EQ(
      sql_value(owner_, "SELECT pg_visible_in_snapshot('" + open + "', pg_current_snapshot())"),
      "f")
      << "a place of now does not cover what is declared, so it is found too old";
  sql(writer, "COMMIT");
  EXPECT_EQ(events(), lines{});
}

TEST_F(outbox_retention, WriterWithASnapshotOfThePause_SeesTheDaemonAtOnce) {
  drop_days();
  pass_the_retention();
  const sql_connection writer = connect_as("postgres");
  sql(writer, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pgcast.meta");
  const sql_connection daemon = connect_as("postgres");
  sql(daemon, "SELECT pgcast.attach()");
  write(writer);
  sql(writer, "COMMIT");
  EXPECT_EQ(events(), lines{"chat_history I"});
}

TEST_F(outbox_retention, PauseOfARolledBackTransaction_IsNoted) {
  drop_days();
  pass_the_retention();
  sql(owner_, "BEGIN");
  write(owner_);
  const sql_connection other = connect_as("postgres");
  const auto left_out = write(other);  // finds the pause noted already
  sql(owner_, "ROLLBACK");
  sql(connect_as("postgres"), "SELECT pgcast.attach()");
  EXPECT_EQ(meta("dropped_xid > '" + left_out + "'"), "t");
}

}  // namespace
}  // namespace pgcast::test
