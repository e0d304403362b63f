// The schema realtime: made, upkept, removed; and somebody else's, as on a hosted Supabase.

#include "protocol/topic.hpp"
#include "tests/integration/outbox_fixture.hpp"

namespace pgcast::test {
namespace {

class realtime_schema : public outbox_test {
 protected:
  std::string value(const std::string& text) { return sql_value(owner_, text); }
};

/// A database in which somebody else has the schema, and a table that has not all columns of ours.
class foreign_realtime_schema : public ::testing::Test {
 protected:
  foreign_realtime_schema() {
    sql(admin_,
        "CREATE SCHEMA realtime;"
        "CREATE TABLE realtime.messages (topic text NOT NULL, extension text NOT NULL,"
        " payload jsonb, event text, private boolean DEFAULT false, id uuid DEFAULT"
        " gen_random_uuid(), inserted_at timestamp DEFAULT now()) PARTITION BY RANGE (inserted_at);"
        "CREATE TABLE realtime.messages_all PARTITION OF realtime.messages DEFAULT;"
        "CREATE FUNCTION realtime.topic() RETURNS text LANGUAGE sql AS $$ SELECT 'theirs' $$;"
        "GRANT USAGE ON SCHEMA realtime TO postgres;"
        "GRANT SELECT, INSERT, UPDATE ON realtime.messages TO postgres");
  }
  void allow_triggers() {
    sql(admin_, "GRANT TRIGGER ON ALL TABLES IN SCHEMA realtime TO postgres");
  }

  static constexpr const char* k_insert =
      "INSERT INTO realtime.messages (topic, extension, event, payload, private)"
      " VALUES ('room', 'broadcast', 'said', '{\"n\": 1}', true)";

  postgres_server& server_ = postgres_server::shared();
  std::string database_ = server_.create_database();
  sql_connection admin_{server_.conninfo(database_, "supabase_admin")};
  sql_connection owner_{server_.conninfo(database_)};
};

TEST_F(realtime_schema, Send_WritesTheMessageAndItsEvent) {
  sql(owner_, "SELECT realtime.send('{\"n\": 1}', 'said', 'room')");
  EXPECT_EQ(events("operation, session_id, record::json->>'event', old_record::json->>'n'"),
            (lines{"B private:room said 1"}));
  EXPECT_EQ(value("SELECT record::json->>'id' = m.id::text AND old_record = payload::text"
                  " FROM pgcast.outbox o, realtime.messages m"),
            "t");
}

TEST_F(realtime_schema, Keys_AreThoseOfTheHubs) {
  for (const std::string name :
       {"room", "a:b", "session:x y", "session", "phone:0044 (7) 7-8.9", "phone:12 34",
        "phone:none", "campaign:ö", "Session:x", "public:x"}) {
    for (const bool is_private : {false, true}) {
      auto t = parse_topic(name);
      ASSERT_TRUE(t) << name;
      t->is_private = is_private;
      const auto key = sql(owner_, "SELECT pgcast.topic_key($1, $2)",
                           {name, std::string(is_private ? "true" : "false")});
      EXPECT_EQ(key, (sql_rows{{topic_key(*t)}})) << name;
    }
  }
}

TEST_F(realtime_schema, WhatCannotBeSent_FailsNobodysWork) {
  const std::string long_topic = "repeat('x', 3000)";
  EXPECT_EQ(sqlstate_of(owner_, "SELECT realtime.send('1', 'said', 'room')"), "done");
  EXPECT_NE(owner_.take_notices().find("WarnSendingBroadcastMessage"), std::string::npos);
  EXPECT_EQ(sqlstate_of(owner_, "SELECT realtime.send(NULL, 'said', 'room')"), "done");
  EXPECT_EQ(sqlstate_of(owner_, "SELECT realtime.send('{}', NULL, 'room')"), "done");
  EXPECT_EQ(events(), lines{});
  EXPECT_EQ(sqlstate_of(owner_, "SELECT realtime.send('{}', 'said', " + long_topic + ")"), "done");
  EXPECT_EQ(events("session_id, length(record::json->>'topic')"), (lines{"- 3000"}))
      << "sent, but not to be found again";
  EXPECT_EQ(sqlstate_of(owner_, "SET pgcast.message_ttl = 'for ever'; " +
                                    std::string("SELECT realtime.send('{}', 'said', 'room')")),
            "done");
}

TEST_F(realtime_schema, ApiRoles_WriteUnderThePoliciesAndNotIntoPartitions) {
  sql_connection api(server_.conninfo(database_));
  sql(api, "SET ROLE authenticated");
  sql(api, "SELECT realtime.send('{}', 'said', 'room')");
  EXPECT_NE(api.take_notices().find("row-level security"), std::string::npos);
  sql(owner_,
      "CREATE POLICY speak ON realtime.messages FOR INSERT TO authenticated"
      " WITH CHECK (realtime.topic() = 'room')");
  sql(api, "SELECT realtime.send('{}', 'said', 'room'), realtime.send('{}', 'said', 'other')");
  EXPECT_EQ(events("session_id"), (lines{"private:room"}));
  for (const auto& part : sql(owner_,
                              "SELECT inhrelid::regclass FROM pg_inherits"
                              " WHERE inhparent = 'realtime.messages'::regclass")) {
    EXPECT_EQ(sqlstate_of(api, "SELECT * FROM " + *part[0]), "42501");
    EXPECT_EQ(sqlstate_of(api, "TRUNCATE " + *part[0]), "42501");
  }
}

TEST_F(realtime_schema, DefaultPrivileges_OpenNoPartition) {
  sql(owner_, uninstall_text());
  sql(owner_, "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, PUBLIC");
  sql(owner_, install_text());
  EXPECT_EQ(
      value("SELECT count(*) FROM pg_class c, aclexplode(c.relacl) a"
            " WHERE c.relnamespace = 'realtime'::regnamespace AND c.relname LIKE 'messages\\__%'"
            " AND c.relkind = 'r' AND a.grantee <> c.relowner"),
      "0");
  EXPECT_EQ(value("SELECT bool_and(relrowsecurity) FROM pg_class"
                  " WHERE relnamespace = 'realtime'::regnamespace AND relkind IN ('r', 'p')"),
            "t");
  EXPECT_EQ(value("SELECT has_table_privilege('anon', 'realtime.messages', 'DELETE')"
                  " OR has_table_privilege('anon', 'realtime.messages', 'TRUNCATE')"),
            "f");
}

TEST_F(realtime_schema, Maintain_MakesDaysAheadAndDropsWhatIsOlderThanThreeDays) {
  const std::string parts =
      "SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY inhrelid::regclass::text)"
      " FROM pg_inherits WHERE inhparent = 'realtime.messages'::regclass";
  const auto before = value(parts);
  sql(owner_,
      "CREATE TABLE realtime.messages_2020_01_01 PARTITION OF realtime.messages"
      " FOR VALUES FROM ('2020-01-01') TO ('2020-01-02');"
      "INSERT INTO realtime.messages (topic, extension, inserted_at) VALUES"
      " ('t', 'broadcast', '2020-01-01 12:00'), ('t', 'broadcast', '2020-02-02'),"
      " ('t', 'broadcast', (now() AT TIME ZONE 'UTC') - interval '71 hours')");
  sql(owner_,
      "DO $$ BEGIN EXECUTE 'DROP TABLE realtime.messages_'"
      " || to_char(clock_timestamp() AT TIME ZONE 'UTC' + interval '2 days', 'YYYY_MM_DD');"
      " END $$");
  sql(owner_, "SELECT pgcast.maintain('1 day')");
  EXPECT_EQ(value(parts), before);
  EXPECT_EQ(value("SELECT count(*) FROM realtime.messages"), "1") << "the one of 71 hours";
  EXPECT_EQ(value("SELECT count(*) FROM pg_trigger WHERE tgfoid ="
                  " 'pgcast.capture_broadcast()'::regprocedure"),
            "5")
      << "of the whole, three days and DEFAULT";
}

TEST_F(realtime_schema, MaintainWhileAPartitionIsInUse_GivesWay) {
  sql(owner_,
      "CREATE TABLE realtime.messages_2020_01_01 PARTITION OF realtime.messages"
      " FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')");
  const sql_connection reader(server_.conninfo(database_));
  sql(reader, "BEGIN; SELECT * FROM realtime.messages");
  EXPECT_EQ(sqlstate_of(owner_, "SELECT pgcast.maintain('1 day')"), "done");
  EXPECT_EQ(value("SELECT to_regclass('realtime.messages_2020_01_01') IS NULL"), "f");
  sql(reader, "COMMIT");
  sql(owner_, "SELECT pgcast.maintain('1 day')");
  EXPECT_EQ(value("SELECT to_regclass('realtime.messages_2020_01_01') IS NULL"), "t");
}

TEST_F(realtime_schema, DefaultPartition_IsBoundedWhileNoDaemonIsThere) {
  const std::string far =
      "INSERT INTO realtime.messages (topic, extension, inserted_at) VALUES ('t', 'broadcast',"
      " now() + interval '30 days')";
  sql(owner_, far);
  sql(owner_, "SELECT setval('pgcast.wanted_until', 1)");
  sql(owner_, far);
  EXPECT_EQ(value("SELECT count(*) FROM realtime.messages"), "1");
  const sql_connection daemon(server_.conninfo(database_));
  sql(daemon, "SELECT pg_advisory_lock_shared(8099551725049085955)");
  sql(owner_, far);
  EXPECT_EQ(value("SELECT count(*) FROM realtime.messages"), "2");
}

TEST_F(realtime_schema, Uninstall_KeepsWhatSomethingElseDependsOn) {
  sql(owner_, "CREATE VIEW my_messages AS SELECT * FROM realtime.messages");
  sql(owner_, uninstall_text());
  EXPECT_NE(owner_.take_notices().find("schema realtime stays"), std::string::npos);
  EXPECT_EQ(value("SELECT to_regnamespace('pgcast') IS NULL"), "t");
  EXPECT_EQ(sqlstate_of(owner_, "SELECT realtime.send('{}', 'said', 'room')"), "done");
  EXPECT_EQ(value("SELECT count(*) FROM my_messages"), "1");
  sql(owner_, install_text());
  sql(owner_, "SELECT realtime.send('{}', 'said', 'room')");
  EXPECT_EQ(events("session_id"), (lines{"private:room"})) << "taken over again";
}

TEST_F(realtime_schema, SecondInstall_KeepsGrantsPoliciesAndMessages) {
  sql(owner_,
      "SELECT realtime.send('{}', 'said', 'room'); REVOKE INSERT ON realtime.messages FROM anon;"
      "CREATE POLICY mine ON realtime.messages USING (true)");
  sql(owner_, install_text());
  EXPECT_EQ(value("SELECT count(*) FROM realtime.messages"), "1");
  EXPECT_EQ(value("SELECT has_table_privilege('anon', 'realtime.messages', 'INSERT')"), "f");
  EXPECT_EQ(value("SELECT count(*) FROM pg_policies WHERE schemaname = 'realtime'"), "1");
}

TEST_F(realtime_schema, WhatStandsInTheWayOfItsUpkeep_DoesNotStopThatOfTheOutbox) {
  sql(owner_,
      "CREATE TABLE realtime.messages_2020_01_01 PARTITION OF realtime.messages"
      " FOR VALUES FROM ('2020-01-01') TO ('2020-01-02');"
      "CREATE VIEW of_old AS SELECT id FROM realtime.messages_2020_01_01");
  EXPECT_EQ(sqlstate_of(owner_, "SELECT pgcast.maintain('1 day')"), "done");
  EXPECT_NE(owner_.take_notices().find("realtime.messages is not kept in order"),
            std::string::npos);
  sql(owner_, "DROP VIEW of_old; SELECT pgcast.maintain('1 day')");
  EXPECT_EQ(sql_value(owner_, "SELECT to_regclass('realtime.messages_2020_01_01') IS NULL"), "t");
}

TEST_F(foreign_realtime_schema, WithThePrivilege_GetsOnlyTheTrigger) {
  allow_triggers();
  sql(owner_, install_text());
  EXPECT_EQ(owner_.take_notices(), "");
  EXPECT_EQ(sql_value(owner_, "SELECT realtime.topic()"), "theirs");
  EXPECT_EQ(sql_value(owner_, "SELECT to_regproc('realtime.send') IS NULL"), "t");
  sql(owner_, k_insert);
  EXPECT_EQ(sql_value(owner_, "SELECT session_id || old_record FROM pgcast.outbox"),
            "private:room{\"n\": 1}");
  sql(owner_, "SELECT pgcast.maintain('1 day')");
  sql(owner_, uninstall_text());
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM pg_trigger WHERE tgname = 'pgcast_broadcast'"),
            "0");
  sql(owner_, k_insert);
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM realtime.messages"), "2");
}

TEST_F(foreign_realtime_schema, WithoutThePrivilege_IsToldAndTheRestIsInstalled) {
  sql(owner_, install_text());
  EXPECT_NE(owner_.take_notices().find("may not put a trigger on realtime.messages"),
            std::string::npos);
  EXPECT_EQ(sql_value(owner_, "SELECT schema_version FROM pgcast.meta"), "3");
  EXPECT_EQ(sqlstate_of(owner_, k_insert), "done");
  const std::string keep = "SELECT pgcast.keep_broadcast('room', 'said', '{}', NULL, true)";
  EXPECT_EQ(sqlstate_of(owner_, keep), "42883") << "nobody would hear of it";
  allow_triggers();
  sql(owner_, install_text());
  EXPECT_EQ(owner_.take_notices(), "");
  sql(owner_, k_insert);
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM pgcast.outbox"), "1");
}

TEST_F(foreign_realtime_schema, NobodysTable_IsToldToo) {
  sql(admin_, "DROP TABLE realtime.messages");
  sql(owner_, install_text());
  EXPECT_NE(owner_.take_notices().find("finds no table messages"), std::string::npos);
  sql(admin_, "REVOKE USAGE ON SCHEMA realtime FROM postgres");
  sql(owner_, install_text());
  EXPECT_NE(owner_.take_notices().find("finds no table messages"), std::string::npos);
  sql(owner_, uninstall_text());
  EXPECT_EQ(sql_value(admin_, "SELECT realtime.topic()"), "theirs");
}

TEST_F(foreign_realtime_schema, TableOfAnotherKind_IsNeverInTheWay) {
  sql(admin_,
      "DROP TABLE realtime.messages; CREATE TABLE realtime.messages (text int);"
      "GRANT ALL ON realtime.messages TO postgres");
  sql(owner_, install_text());
  EXPECT_EQ(sqlstate_of(owner_, "INSERT INTO realtime.messages VALUES (1)"), "done");
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM pgcast.outbox"), "0");
}

}  // namespace
}  // namespace pgcast::test
