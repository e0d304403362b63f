// What the triggers write into pgcast.outbox, and that they never fail the application's write.

#include "tests/integration/outbox_fixture.hpp"

#include <algorithm>
#include <cstdlib>

namespace pgcast::test {
namespace {

using outbox_capture = outbox_test;

TEST_F(outbox_capture, Insert_CarriesWholeRecordAndKeys) {
  sql(owner_,
      "INSERT INTO campaign_info (campaign) VALUES ('c');"
      "INSERT INTO session_info (session_id, campaign) VALUES ('s1', 'c');"
      "INSERT INTO numbers VALUES ('s1', '+44 7700 900101')");
  EXPECT_EQ(events("schema_name, table_name, operation, session_id, campaign, phone, old_record"),
            (lines{"public campaign_info I - c - -", "public session_info I s1 c - -",
                   "public numbers I s1 - +44 7700 900101 -"}));
  EXPECT_EQ(sql_value(owner_,
                      "SELECT bool_and(record::jsonb = to_jsonb(s)) FROM pgcast.outbox o, "
                      "session_info s WHERE o.table_name = 'session_info'"),
            "t");
}

TEST_F(outbox_capture, EventFields_NameTransactionAndStatementTime) {
  sql(owner_, "BEGIN");
  const std::string expected = sql_value(owner_, "SELECT pg_current_xact_id()");
  sql(owner_, "INSERT INTO chat_history (session_id, message) VALUES ('s', '{}')");
  EXPECT_EQ(events("xid, at > now() AND at < clock_timestamp()"), lines{expected + " t"});
  sql(owner_, "COMMIT");
}

TEST_F(outbox_capture, Update_OldRecordHoldsOnlyChangedColumns) {
  add_sessions();
  sql(owner_, "UPDATE session_info SET reminder_count = 1, tz = NULL WHERE session_id = 's1'");
  EXPECT_EQ(events("operation, session_id, old_session_id, campaign, old_campaign, old_record"),
            lines{R"(U s1 - c - {"tz": "Europe/London", "reminder_count": 0})"});
  EXPECT_EQ(sql_value(owner_, "SELECT record::jsonb ->> 'reminder_count' FROM pgcast.outbox"), "1");
}

TEST_F(outbox_capture, UpdateThatChangesNothing_WritesNoEvent) {
  add_sessions();
  sql(owner_, "UPDATE session_info SET tz = tz");
  EXPECT_EQ(events(), lines{});
}

TEST_F(outbox_capture, UpdateThatOnlyEqualityMisses_WritesEvent) {
  sql(owner_,
      "CREATE TABLE price (session_id text, amount numeric, raw json);"
      "SELECT pgcast.relay('price');"
      "INSERT INTO price VALUES ('s', 1.0, '{\"a\": 1}');"
      "UPDATE price SET amount = 1.00; UPDATE price SET raw = '{\"a\": 2}'");
  EXPECT_EQ(events("operation, record"),
            (lines{R"(I {"raw": {"a": 1}, "amount": 1.0, "session_id": "s"})",
                   R"(U {"raw": {"a": 1}, "amount": 1.00, "session_id": "s"})",
                   R"(U {"raw": {"a": 2}, "amount": 1.00, "session_id": "s"})"}));
}

TEST_F(outbox_capture, UpdateOfKeys_CarriesOldKeys) {
  add_sessions();
  sql(owner_,
      "INSERT INTO numbers VALUES ('s1', '1'); DELETE FROM pgcast.outbox;"
      "UPDATE session_info SET campaign = 'd' WHERE session_id = 's1';"
      "UPDATE session_info SET campaign = NULL WHERE session_id = 's1';"
      "UPDATE numbers SET session_id = NULL;"
      "UPDATE numbers SET session_id = 's2', phone_number = '2'");
  EXPECT_EQ(events("session_id, old_session_id, campaign, old_campaign, phone, old_phone"),
            (lines{"s1 - d c - -", "s1 - - d - -", "- s1 - - 1 -", "s2 - - - 2 1"}));
}

TEST_F(outbox_capture, Delete_CarriesWholeOldRowAndItsKeys) {
  add_sessions();
  sql(owner_, "DELETE FROM session_info WHERE session_id = 's1'");
  EXPECT_EQ(events("operation, session_id, old_session_id, campaign, record, "
                   "old_record::jsonb ->> 'tz'"),
            lines{"D s1 - c - Europe/London"});
}

TEST_F(outbox_capture, TruncateCascade_WritesOneEventATable) {
  add_sessions();
  sql(owner_, "TRUNCATE session_info CASCADE");
  lines expected;
  for (const char* table :
       {"call_info", "campaigns", "numbers", "session_info", "session_objective_events"}) {
    expected.push_back(std::string(table) + " T - - -");
  }
  lines seen = events("table_name, operation, session_id, record, old_record");
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, expected);
}

TEST_F(outbox_capture, ApplicationTriggersOnSameRow_KeepOrderOfChanges) {
  sql(owner_, R"(
    CREATE TABLE t (session_id text, step int);
    CREATE FUNCTION app_before() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN NEW.step := NEW.step + 1; RETURN NEW; END';
    CREATE FUNCTION app_after() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN UPDATE t SET step = step + 10 WHERE session_id = NEW.session_id; RETURN NULL; END';
    CREATE TRIGGER "00_app_before" BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION app_before();
    CREATE TRIGGER a_app_after AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION app_after();
    SELECT pgcast.relay('t');
    INSERT INTO t VALUES ('s', 0))");
  EXPECT_EQ(events("operation, record::jsonb ->> 'step'"), (lines{"I 1", "U 11"}));
}

TEST_F(outbox_capture, SavepointRollback_LeavesNoEvent) {
  sql(owner_,
      "BEGIN; INSERT INTO chat_history (session_id) VALUES ('kept');"
      "SAVEPOINT a; INSERT INTO chat_history (session_id) VALUES ('undone');"
      "ROLLBACK TO a; INSERT INTO chat_history (session_id) VALUES ('also kept'); COMMIT");
  EXPECT_EQ(events("session_id"), (lines{"kept", "also kept"}));
}

TEST_F(outbox_capture, Upsert_IsWhatItDid) {
  add_sessions();
  sql(owner_,
      "INSERT INTO session_info (session_id, tz) VALUES ('s1', 'UTC'), ('s3', 'UTC')"
      "  ON CONFLICT (session_id) DO UPDATE SET tz = excluded.tz;"
      "INSERT INTO session_info (session_id) VALUES ('s1') ON CONFLICT DO NOTHING");
  EXPECT_EQ(events("operation, session_id, old_record"),
            (lines{R"(U s1 {"tz": "Europe/London"})", "I s3 -"}));
}

TEST_F(outbox_capture, Merge_IsWhatItDid) {
  if (server_.version() < 15) {
    GTEST_SKIP() << "MERGE came with PostgreSQL 15";
  }
  add_sessions();
  sql(owner_,
      "MERGE INTO session_info s USING (VALUES ('s1'), ('s2'), ('s3')) v(id) ON s.session_id = v.id"
      " WHEN MATCHED AND v.id = 's2' THEN DELETE"
      " WHEN MATCHED THEN UPDATE SET tz = 'UTC'"
      " WHEN NOT MATCHED THEN INSERT (session_id) VALUES (v.id)");
  lines seen = events("operation, session_id");
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, (lines{"D s2", "I s3", "U s1"}));
}

TEST_F(outbox_capture, ForeignKeyCascade_ParentsChangeComesFirst) {
  sql(owner_,
      "CREATE TABLE parent (session_id text PRIMARY KEY);"
      "CREATE TABLE child (session_id text REFERENCES parent ON UPDATE CASCADE ON DELETE CASCADE);"
      "SELECT pgcast.relay('parent'), pgcast.relay('child');"
      "INSERT INTO parent VALUES ('a'); INSERT INTO child VALUES ('a'); DELETE FROM pgcast.outbox;"
      "UPDATE parent SET session_id = 'b'; DELETE FROM parent");
  EXPECT_EQ(events("table_name, operation, session_id, old_session_id"),
            (lines{"parent U b a", "child U b a", "parent D b -", "child D b -"}));
}

TEST_F(outbox_capture, RowThatJsonbCannotHold_IsRelayedWithKeys) {
  sql(owner_, R"(
    CREATE TABLE raw (session_id text, body json);
    SELECT pgcast.relay('raw');
    INSERT INTO raw VALUES ('s1', '"a\u0000b"'), ('s2', '"\ud800"');
    UPDATE raw SET body = '1' WHERE session_id = 's1';
    UPDATE raw SET session_id = 's3' WHERE session_id = 's2';
    DELETE FROM raw WHERE session_id = 's3')");
  EXPECT_EQ(
      events("operation, session_id, old_session_id, record, old_record"),
      (lines{R"(I s1 - {"session_id":"s1","body":"a\u0000b"} -)",
             R"(I s2 - {"session_id":"s2","body":"\ud800"} -)",
             R"(U s1 - {"session_id":"s1","body":1} {"session_id":"s1","body":"a\u0000b"})",
             R"(U s3 s2 {"session_id":"s3","body":"\ud800"} {"session_id":"s2","body":"\ud800"})",
             R"(D s3 - - {"session_id":"s3","body":"\ud800"})"}));
}

TEST_F(outbox_capture, NumbersThatJsonLacks_AreStrings) {
  sql(owner_,
      "CREATE TABLE n (a numeric, b float8, c float8); SELECT pgcast.relay('n');"
      "INSERT INTO n VALUES ('NaN', 'Infinity', 0.1)");
  EXPECT_EQ(events("session_id, record"), lines{R"(- {"a": "NaN", "b": "Infinity", "c": 0.1})"});
}

TEST_F(outbox_capture, LargeTranscript_IsCarriedWhole) {
  sql(owner_,
      "INSERT INTO call_info (call_id, transcript) VALUES ('c', repeat('0123456789', 100000))");
  EXPECT_EQ(sql_value(owner_, "SELECT length(record::jsonb ->> 'transcript') FROM pgcast.outbox"),
            "1000000");
}

/// Minutes and gigabytes of memory: only with PGCAST_TEST_LARGE=1.
TEST_F(outbox_capture, ValuesThatNoOutboxRowCanHold_NeverFailTheWrite) {
  if (std::getenv("PGCAST_TEST_LARGE") == nullptr) GTEST_SKIP() << "PGCAST_TEST_LARGE is not set";
  sql(owner_,
      "CREATE TABLE large (session_id text, body text, other int); SELECT pgcast.relay('large');"
      "INSERT INTO large VALUES ('jsonb cannot', repeat('0123456789', 27000000));"
      "INSERT INTO large VALUES ('text cannot', repeat(E'\\x01', 190000000));"
      "UPDATE large SET other = 1; DELETE FROM large");
  EXPECT_EQ(events("operation, session_id, octet_length(record), octet_length(old_record)"),
            (lines{"I jsonb cannot 270000052 -", "I text cannot - -",
                   "U jsonb cannot 270000049 270000052", "U text cannot - -",
                   "D jsonb cannot - 270000049", "D text cannot - -"}));
}

TEST_F(outbox_capture, WritersSettings_DoNotChangeTheRendering) {
  sql(owner_,
      "CREATE TABLE r (at timestamptz, span interval, bytes bytea, f float8, range tstzrange);"
      "SELECT pgcast.relay('r')");
  const std::string insert =
      "INSERT INTO public.r VALUES ('2026-01-02 03:04:05+00', '1 day 2 hours', '\\x00ff', 1.0/3, "
      "'[2026-01-02 03:04:05+00,)')";
  sql(owner_, insert);
  sql(owner_,
      "SET TimeZone = 'Asia/Tokyo'; SET IntervalStyle = 'iso_8601'; SET bytea_output = escape;"
      "SET extra_float_digits = -10; SET DateStyle = 'SQL, DMY';"
      "CREATE SCHEMA evil; CREATE FUNCTION evil.to_jsonb(anyelement) RETURNS jsonb"
      " LANGUAGE sql AS 'SELECT ''666''::jsonb'; SET search_path = evil, pg_catalog, public");
  sql(owner_, insert);
  const lines seen = events("record");
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_NE(seen[0].find("2026-01-02T03:04:05+00:00"), std::string::npos) << seen[0];
  EXPECT_EQ(sql_value(owner_, "SHOW TimeZone"), "Asia/Tokyo");
}

TEST_F(outbox_capture, WritersOperators_AreNotUsed) {
  const std::string change =
      "INSERT INTO public.chat_history (session_id) VALUES ('a');"
      "INSERT INTO public.session_info (session_id, campaign) VALUES ('a', NULL);"
      "UPDATE public.session_info SET tz = 'UTC'; DELETE FROM public.session_info;"
      "DELETE FROM public.chat_history";
  sql(owner_, change);
  const auto as_usual = events("table_name, operation, session_id, old_session_id, old_record");
  sql(owner_, "DELETE FROM pgcast.outbox; ALTER SEQUENCE chat_history_id_seq RESTART");
  sql(owner_, R"(
    CREATE SCHEMA evil;
    CREATE FUNCTION evil.no(text, text) RETURNS bool LANGUAGE sql AS 'SELECT false';
    CREATE FUNCTION evil.no(jsonb, jsonb) RETURNS bool LANGUAGE sql AS 'SELECT false';
    CREATE FUNCTION evil.key(jsonb, text) RETURNS text LANGUAGE sql AS $$SELECT '666'$$;
    CREATE FUNCTION evil.octet_length(text) RETURNS int LANGUAGE sql AS 'SELECT 1/0';
    CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT (1/0)::text';
    CREATE OPERATOR evil.= (FUNCTION = evil.no, LEFTARG = text, RIGHTARG = text);
    CREATE OPERATOR evil.<> (FUNCTION = evil.no, LEFTARG = text, RIGHTARG = text);
    CREATE OPERATOR evil.= (FUNCTION = evil.no, LEFTARG = jsonb, RIGHTARG = jsonb);
    CREATE OPERATOR evil.<> (FUNCTION = evil.no, LEFTARG = jsonb, RIGHTARG = jsonb);
    CREATE OPERATOR evil.->> (FUNCTION = evil.key, LEFTARG = jsonb, RIGHTARG = text))");
  const sql_connection writer = connect_as("postgres");
  sql(writer, "SET search_path = evil, pg_catalog");
  sql(writer, change);
  EXPECT_EQ(events("table_name, operation, session_id, old_session_id, old_record"), as_usual);
}

TEST_F(outbox_capture, WritersTypes_AreNotUsed) {
  add_sessions();
  sql(owner_,
      "GRANT INSERT, UPDATE, DELETE, SELECT ON chat_history, session_info TO authenticated;"
      "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO authenticated");
  const sql_connection writer = connect_as("postgres");
  sql(writer, "SET ROLE authenticated");
  // Whoever may write may also make temporary types, and of types pg_temp is searched first.
  sql(writer, R"(
    CREATE TEMP TABLE seen (who text);
    CREATE FUNCTION pg_temp.evil(anyelement) RETURNS boolean LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO pg_temp.seen VALUES (current_user); RETURN true; END $$;
    CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (pg_temp.evil(VALUE));
    CREATE DOMAIN pg_temp.jsonb AS pg_catalog.jsonb CHECK (pg_temp.evil(VALUE));
    CREATE DOMAIN pg_temp.bool AS pg_catalog.bool CHECK (pg_temp.evil(VALUE));
    CREATE DOMAIN pg_temp.oid AS pg_catalog.oid CHECK (pg_temp.evil(VALUE));
    CREATE DOMAIN pg_temp."char" AS pg_catalog."char" CHECK (pg_temp.evil(VALUE));
    INSERT INTO public.chat_history (session_id) VALUES ('a');
    INSERT INTO public.session_info (session_id, campaign) VALUES ('a', 'c');
    UPDATE public.session_info SET campaign = 'd' WHERE session_id = 'a';
    SET TimeZone = 'Asia/Tokyo';
    UPDATE public.session_info SET campaign = NULL WHERE session_id = 'a';
    DELETE FROM public.session_info WHERE session_id = 'a'; DELETE FROM public.chat_history)");
  EXPECT_EQ(sql_value(writer, "SELECT count(*) FROM pg_temp.seen WHERE who <> 'authenticated'"),
            "0");
  EXPECT_EQ(events().size(), 6U);
}

TEST_F(outbox_capture, Privileges_AreEnoughForPartitionsAndIndexesOfOthers) {
  add_sessions();
  sql(owner_,
      "CREATE TABLE parted (id int, session_id text) PARTITION BY LIST (id);"
      "SELECT pgcast.relay('parted'); GRANT CREATE ON SCHEMA public TO authenticated;"
      "ALTER TABLE parted OWNER TO authenticated;"
      "CREATE INDEX ON numbers (pgcast.normalize_phone(phone_number));"
      "GRANT INSERT ON numbers TO authenticated; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "
      "authenticated");
  const sql_connection other = connect_as("postgres");
  sql(other,
      "SET ROLE authenticated;"
      "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);"
      "INSERT INTO parted VALUES (1, 's1');"
      "INSERT INTO numbers (session_id, phone_number) VALUES ('s1', '+44 7700 900001')");
  EXPECT_EQ(events(), (lines{"parted I", "numbers I"}));
  EXPECT_EQ(sqlstate_of(other, "SELECT pgcast.normalize_phone('1')"), "42501") << "not by its name";
}

TEST_F(outbox_capture, TypesOfTheDatabase_AreRenderedCarefully) {
  sql(owner_,
      "CREATE TYPE mood AS ENUM ('ok'); CREATE DOMAIN moment AS timestamptz;"
      "CREATE TYPE pair AS (a text, at timestamptz);"
      "CREATE TABLE odd (session_id text, m mood, t moment, p pair, l moment[]);"
      "SELECT pgcast.relay('odd'); SET TimeZone = 'Asia/Tokyo';"
      "INSERT INTO odd VALUES ('s', 'ok', '2026-01-02 03:04:05+00', ('x', '2026-01-02 "
      "03:04:05+00'),"
      " '{2026-01-02 03:04:05+00}'); UPDATE odd SET m = NULL; RESET TimeZone");
  const auto at = std::string{"\"2026-01-02T03:04:05+00:00\""};
  const auto rest = std::string{R"("p": {"a": "x", "at": )"} + at + R"(}, "t": )" + at +
                    R"(, "session_id": "s"})";
  EXPECT_EQ(events("operation, session_id, record, old_record"),
            (lines{R"(I s {"l": [)" + at + R"(], "m": "ok", )" + rest + " -",
                   R"(U s {"l": [)" + at + R"(], "m": null, )" + rest + R"( {"m": "ok"})"}));
  EXPECT_EQ(sql_value(owner_,
                      "SELECT string_agg(DISTINCT t.tgfoid::regproc || ' ' || t.tgnargs, ',')"
                      " FROM pg_trigger t WHERE t.tgrelid = 'odd'::regclass"),
            "pgcast.capture 4");
}

TEST_F(outbox_capture, ColumnAddedAfterwards_IsRenderedWhateverTheWritersSettings) {
  sql(owner_,
      "ALTER TABLE chat_history ADD at timestamptz, ADD raw json; SET TimeZone = 'Asia/Tokyo';"
      "INSERT INTO chat_history (session_id, at) VALUES ('s', '2026-01-02 03:04:05+00');"
      "INSERT INTO chat_history (session_id, at, raw) VALUES ('s', '2026-01-02 03:04:05+00',"
      " '\"a\\u0000b\"'); RESET TimeZone");
  EXPECT_EQ(events("session_id, record ~ '2026-01-02T03:04:05\\+00:00'"), (lines{"s t", "s t"}));
}

TEST_F(outbox_capture, QuotedNames_AreRelayed) {
  sql(owner_,
      R"(CREATE SCHEMA "My Schema"; CREATE TABLE "My Schema"."T ""x"" 'y'" ("Sess 'id" text);
    SELECT pgcast.relay('"My Schema"."T ""x"" ''y''"', 'Sess ''id');
    INSERT INTO "My Schema"."T ""x"" 'y'" VALUES ('a'))");
  EXPECT_EQ(events("schema_name, table_name, session_id"), lines{R"(My Schema T "x" 'y' a)"});
}

TEST_F(outbox_capture, ColumnsChangedInLiveSession_AreSeenAtOnce) {
  const sql_connection writer = connect_as("postgres");
  const auto write = [&] {
    sql(writer, "INSERT INTO numbers DEFAULT VALUES; UPDATE numbers SET extra = 1");
  };
  sql(owner_,
      "ALTER TABLE numbers ADD extra int DEFAULT 0; ALTER TABLE numbers DROP CONSTRAINT "
      "numbers_session_id_fkey");
  write();
  sql(owner_,
      "ALTER TABLE numbers RENAME session_id TO sid; ALTER TABLE numbers DROP phone_number;"
      "DELETE FROM numbers; DELETE FROM pgcast.outbox");
  write();
  sql(owner_, "ALTER TABLE numbers ALTER extra TYPE text");
  sql(writer, "INSERT INTO numbers (sid, extra) VALUES ('s', 'x')");
  EXPECT_EQ(events("operation, session_id, phone, record, old_record"),
            (lines{R"(I - - {"sid": null, "extra": 0} -)",
                   R"(U - - {"sid": null, "extra": 1} {"extra": 0})",
                   R"(I - - {"sid": "s", "extra": "x"} -)"}));
}

TEST_F(outbox_capture, RenamedTable_IsRelayedUnderItsNewName) {
  sql(owner_, "ALTER TABLE numbers RENAME TO phones; INSERT INTO phones DEFAULT VALUES");
  EXPECT_EQ(events(), lines{"phones I"});
}

TEST_F(outbox_capture, PartitionedTable_IsRelayedUnderItsOwnName) {
  sql(owner_,
      "CREATE TABLE parts (session_id text, n int) PARTITION BY LIST (n);"
      "CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1); SELECT pgcast.relay('parts');"
      "CREATE TABLE part_2 PARTITION OF parts FOR VALUES IN (2);"
      "INSERT INTO parts VALUES ('a', 1), ('b', 2); UPDATE part_2 SET session_id = 'c'");
  EXPECT_EQ(events("table_name, operation, session_id"),
            (lines{"parts I a", "parts I b", "parts U c"}));
}

TEST_F(outbox_capture, DayWithoutPartition_GoesToDefault) {
  sql(owner_,
      "DO $$ DECLARE p text; BEGIN FOR p IN SELECT inhrelid::regclass FROM pg_inherits"
      " WHERE inhparent = 'pgcast.outbox'::regclass AND inhrelid <> "
      "'pgcast.outbox_default'::regclass"
      " LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$;"
      "INSERT INTO chat_history (session_id) VALUES ('s')");
  EXPECT_EQ(events("tableoid::regclass, session_id"), lines{"pgcast.outbox_default s"});
}

TEST_F(outbox_capture, PreparedTransaction_WorksAlsoWhileAReaderSleeps) {
  const auto configure = [this](const std::string& statement) {
    sql(connect_as("supabase_admin"), "ALTER SYSTEM " + statement);
    server_.stop(postgres_server::shutdown::fast);
    server_.start();
    owner_ = connect_as("postgres");
  };
  configure("SET max_prepared_transactions = 2");
  {
    const sql_connection reader = connect_as("postgres");
    sql(reader, "SELECT pg_advisory_lock_shared(8099551725049085953)");
    sql(owner_,
        "BEGIN; INSERT INTO chat_history (session_id) VALUES ('s'); PREPARE TRANSACTION 'p'");
    EXPECT_EQ(events(), lines{});
    sql(owner_, "COMMIT PREPARED 'p'");
    EXPECT_EQ(events(), lines{"chat_history I"});
  }
  configure("RESET max_prepared_transactions");
}

TEST_F(outbox_capture, Doorbell_RingsOnlyWhileAReaderSleeps) {
  sql_connection reader = connect_as("postgres");
  sql(reader, "LISTEN pgcast");
  const std::string write =
      "INSERT INTO chat_history (session_id) SELECT 's' FROM generate_series(1, 3)";
  sql(owner_, write);
  EXPECT_EQ(reader.take_notifications(100), lines{}) << "nobody slept";

  sql(reader, "SELECT pg_advisory_lock_shared(8099551725049085953)");
  sql(owner_, write);
  EXPECT_EQ(reader.take_notifications(2000), lines{"pgcast"}) << "once a transaction";

  sql(reader, "SELECT pg_advisory_unlock_shared(8099551725049085953)");
  sql(owner_, write);
  EXPECT_EQ(reader.take_notifications(100), lines{}) << "awake again";
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
}

}  // namespace
}  // namespace pgcast::test
