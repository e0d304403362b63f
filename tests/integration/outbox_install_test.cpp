// Installing, relaying further tables, privileges, uninstalling.

#include "tests/integration/outbox_fixture.hpp"

#include <atomic>
#include <thread>

namespace pgcast::test {
namespace {

/// A database with the seven tables, pgcast not yet installed.
class outbox_install : public ::testing::Test {
 protected:
  sql_connection connect() const { return sql_connection(server_.conninfo(database_)); }

  /// Everything that SQL can have left in the database.
  static sql_rows catalog(const sql_connection& connection) {
    return sql(connection, R"(
      SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
      UNION ALL SELECT 'relation ' || oid::regclass FROM pg_class
        WHERE relnamespace <> 'pg_toast'::regnamespace
      UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc
      UNION ALL SELECT 'trigger ' || tgname || tgrelid::regclass FROM pg_trigger
        WHERE NOT tgisinternal
      UNION ALL SELECT 'type ' || oid::regtype FROM pg_type
        WHERE typnamespace <> 'pg_toast'::regnamespace
      UNION ALL SELECT 'advisory ' || objid FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      ORDER BY 1)");
  }

  /// What the installation consists of, with everything that makes a difference.
  static sql_rows shape(const sql_connection& connection) {
    return sql(connection, R"(
      SELECT 'function ' || pg_get_functiondef(p.oid) FROM pg_proc p
        WHERE p.pronamespace IN ('pgcast'::regnamespace, 'realtime'::regnamespace)
      UNION ALL SELECT 'column ' || c.relname || ' ' || a.attname || ' '
          || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull
          || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
          AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace IN ('pgcast'::regnamespace, 'realtime'::regnamespace)
          AND c.relkind IN ('r', 'p', 'S')
      UNION ALL SELECT 'index ' || pg_get_indexdef(i.indexrelid) FROM pg_index i
        JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'pgcast'::regnamespace
      UNION ALL SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t
        WHERE NOT t.tgisinternal AND t.tgname ~ 'pgcast|unwanted'
      ORDER BY 1)");
  }

  static constexpr const char* k_trigger_count =
      "SELECT count(*) FROM pg_trigger WHERE tgname ~ '^000_pgcast'";

  postgres_server& server_ = postgres_server::shared();
  std::string database_ = server_.create_database();
  sql_connection owner_ = connect();
};

TEST_F(outbox_install, Install_RelaysTheSevenTables) {
  sql(owner_, install_text());
  EXPECT_EQ(owner_.take_notices(), "");
  EXPECT_EQ(sql_value(owner_, k_trigger_count), "28");
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM pgcast.relation"), "7");
  EXPECT_EQ(
      sql_value(owner_,
                "SELECT epoch ~ '^[0-9a-f]{16}$' AND length(cursor_key) = 32 FROM pgcast.meta"),
      "t");
  EXPECT_EQ(
      sql_value(owner_,
                "SELECT count(*) FROM pg_inherits WHERE inhparent = 'pgcast.outbox'::regclass"),
      "4")
      << "three days and DEFAULT";
}

TEST_F(outbox_install, SecondInstall_ChangesNothing) {
  const char* state =
      "SELECT (SELECT m::text FROM pgcast.meta m),"
      " (SELECT string_agg(t.oid::text, ',' ORDER BY t.oid) FROM pg_trigger t),"
      " (SELECT string_agg(c.oid::text || c.relfilenode, ',' ORDER BY c.oid) FROM pg_class c),"
      " (SELECT string_agg(i::text, ',') FROM pgcast.incarnation i)";
  sql(owner_, install_text());
  const sql_rows before = sql(owner_, state);
  sql(owner_, install_text());
  EXPECT_EQ(sql(owner_, state), before);
}

TEST_F(outbox_install, SecondInstall_DoesNotWaitForWriters) {
  sql(owner_, install_text());
  const sql_connection writer = connect();
  sql(writer,
      "BEGIN; INSERT INTO campaign_info (campaign) VALUES ('c');"
      "INSERT INTO session_info (session_id) VALUES ('s');"
      "INSERT INTO chat_history (session_id) VALUES ('s'); SELECT count(*) FROM pgcast.outbox");
  sql(owner_, "SET lock_timeout = '200ms'");
  EXPECT_NO_THROW(sql(owner_, install_text()));
  sql(writer, "COMMIT");
}

TEST_F(outbox_install, FourInstallsAtOnce_AllSucceed) {
  std::vector<std::string> failures(4);
  std::vector<std::thread> installers;
  for (std::string& failure : failures) {
    installers.emplace_back([this, &failure] {
      try {
        sql(connect(), install_text());
      } catch (const std::exception& error) {
        failure = error.what();
      }
    });
  }
  for (std::thread& installer : installers) {
    installer.join();
  }
  EXPECT_EQ(failures, std::vector<std::string>(4));
  EXPECT_EQ(sql_value(owner_, k_trigger_count), "28");
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM pgcast.incarnation"), "1");
}

TEST_F(outbox_install, TableInUse_FailsSoonAndChangesNothing) {
  const sql_rows before = catalog(owner_);
  const sql_connection writer = connect();
  sql(writer, "BEGIN; INSERT INTO chat_history (session_id) VALUES ('s')");
  const sql_connection installer = connect();
  EXPECT_EQ(sqlstate_of(installer, install_text()), "55P03");
  sql(installer, "ROLLBACK");
  EXPECT_EQ(catalog(owner_), before);
  sql(writer, "COMMIT");
  EXPECT_EQ(sqlstate_of(installer, install_text()), "done");
}

TEST_F(outbox_install, MissingTables_AreNamedAndSkipped) {
  sql(owner_, "DROP TABLE numbers, campaigns");
  sql(owner_, install_text());
  EXPECT_NE(owner_.take_notices().find("not relayed: public.campaigns, public.numbers"),
            std::string::npos);
  EXPECT_EQ(sql_value(owner_, k_trigger_count), "20");
}

TEST_F(outbox_install, NewerSchema_IsRefused) {
  sql(owner_, install_text());
  sql(owner_, "UPDATE pgcast.meta SET schema_version = 99");
  EXPECT_EQ(sqlstate_of(owner_, install_text()), "0A000");
  sql(owner_, "ROLLBACK");
}

class outbox_install_over : public outbox_install,
                            public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(EveryVersion, outbox_install_over, ::testing::Values("1", "2"));

TEST_P(outbox_install_over, OlderVersion_IsBroughtUpToDateWithItsEvents) {
  const auto older = source_text(std::string("tests/data/install_version_") + GetParam() + ".sql");
  const std::string extra_table =
      "CREATE TABLE extra (session_id text) PARTITION BY LIST (session_id);"
      "CREATE TABLE extra_1 PARTITION OF extra DEFAULT;"
      "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE odd (mood mood)";
  sql(owner_, extra_table);
  sql(owner_, "BEGIN;" + older + "SELECT pgcast.relay('public.extra'); COMMIT");
  sql(owner_,
      "SELECT pgcast.relay('odd');"
      "INSERT INTO chat_history (session_id) VALUES ('s1'); INSERT INTO extra VALUES ('s1')");
  const auto place = sql(owner_, "SELECT * FROM pgcast.attach()");
  const sql_connection writer = connect();
  const sql_connection reader = connect();
  sql(reader, "BEGIN; SELECT * FROM pgcast.meta, pgcast.outbox");

  EXPECT_EQ(sqlstate_of(owner_, install_text()), "done") << "readers are in nobody's way";
  sql(reader, "COMMIT");
  EXPECT_EQ(sql_value(owner_, "SELECT schema_version FROM pgcast.meta"), "3");
  EXPECT_EQ(sql(owner_, "SELECT * FROM pgcast.attach()"), place) << "cursors stay good";
  sql(writer,
      "INSERT INTO chat_history (session_id) VALUES ('s2'); INSERT INTO extra VALUES ('s2')");
  EXPECT_EQ(
      sql(owner_, "SELECT table_name, session_id FROM pgcast.outbox ORDER BY id"),
      (sql_rows{{"chat_history", "s1"}, {"extra", "s1"}, {"chat_history", "s2"}, {"extra", "s2"}}));
  EXPECT_EQ(sql(owner_, "SELECT * FROM pgcast.maintain('1 day')"), (sql_rows{{"0", "0", "0"}}));

  const sql_connection fresh(server_.conninfo(server_.create_database()));
  sql(fresh, extra_table);
  sql(fresh, install_text());
  sql(fresh, "SELECT pgcast.relay('extra'), pgcast.relay('odd')");
  EXPECT_EQ(shape(owner_), shape(fresh)) << "the same as a fresh installation";
  EXPECT_EQ(sql_value(owner_, k_trigger_count), sql_value(fresh, k_trigger_count));
}

TEST_F(outbox_install, OlderVersionUnderLoad_IsBroughtUpToDateWithoutAFailedOrMissedWrite) {
  sql(owner_, "BEGIN;" + source_text("tests/data/install_version_1.sql") + "COMMIT");
  sql(owner_, "INSERT INTO session_info (session_id) VALUES ('s'); DELETE FROM pgcast.outbox");
  std::atomic<bool> is_over = false;
  std::atomic<int> written = 0;
  std::vector<std::string> failures(4);
  std::vector<std::thread> writers;
  for (std::string& failure : failures) {
    writers.emplace_back([&] {
      try {
        const sql_connection writer = connect();
        while (!is_over) {
          sql(writer,
              "BEGIN; INSERT INTO chat_history (session_id) VALUES ('s');"
              "DELETE FROM chat_history WHERE id = currval('chat_history_id_seq');"
              "INSERT INTO numbers VALUES ('s', '1'); COMMIT");
          written += 3;
        }
      } catch (const std::exception& error) {
        failure = error.what();
      }
    });
  }
  while (written < 100) std::this_thread::yield();
  std::string state = "not tried";
  for (int attempt = 0; attempt < 20 && state != "done"; ++attempt) {
    state = sqlstate_of(owner_, install_text());
    if (state != "done") sql(owner_, "ROLLBACK");
  }
  EXPECT_EQ(state, "done");
  const int before = written;
  while (written < before + 100) std::this_thread::yield();
  is_over = true;
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(failures, std::vector<std::string>(4));
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM pgcast.outbox"), std::to_string(written));
}

TEST_F(outbox_install, ForeignOwnersSchema_IsRefused) {
  sql(sql_connection(server_.conninfo(database_, "supabase_admin")), "CREATE SCHEMA pgcast");
  EXPECT_EQ(sqlstate_of(owner_, install_text()), "42501");
  sql(owner_, "ROLLBACK");
}

TEST_F(outbox_install, FurtherTable_IsRoutedBySessionIdOrNotAtAll) {
  sql(owner_, install_text());
  sql(owner_,
      "CREATE TABLE notes (note text, session_id int); CREATE TABLE log (line text);"
      "SELECT pgcast.relay('notes'), pgcast.relay('log');"
      "INSERT INTO notes VALUES ('n', 7); INSERT INTO log VALUES ('l')");
  EXPECT_EQ(sql(owner_, "SELECT table_name, session_id FROM pgcast.outbox ORDER BY id"),
            (sql_rows{{"notes", "7"}, {"log", std::nullopt}}));
  sql(owner_, "SELECT pgcast.unrelay('notes'); INSERT INTO notes VALUES ('n', 8)");
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM pgcast.outbox"), "2");
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM pgcast.relation"), "8");
}

TEST_F(outbox_install, RelayWithOtherColumns_ReplacesTheTriggers) {
  sql(owner_, install_text());
  sql(owner_,
      "CREATE TABLE notes (a text, b text); SELECT pgcast.relay('notes', 'a');"
      "SELECT pgcast.relay('notes', 'b'); INSERT INTO notes VALUES ('x', 'y')");
  EXPECT_EQ(sql_value(owner_, "SELECT session_id FROM pgcast.outbox"), "y");
  EXPECT_EQ(
      sql_value(owner_, "SELECT session_column FROM pgcast.relation WHERE table_name = 'notes'"),
      "b");
}

TEST_F(outbox_install, ViewsAndOwnTables_CannotBeRelayed) {
  sql(owner_, install_text());
  sql(owner_, "CREATE VIEW v AS SELECT 1");
  EXPECT_EQ(sqlstate_of(owner_, "SELECT pgcast.relay('v')"), "42809");
  EXPECT_EQ(sqlstate_of(owner_, "SELECT pgcast.relay('pgcast.outbox')"), "42809");
}

TEST_F(outbox_install, Uninstall_LeavesNothing) {
  sql(owner_,
      "CREATE TABLE extra (session_id text); CREATE TABLE \"Parts\" (n int) PARTITION BY LIST (n);"
      "CREATE TABLE part_1 PARTITION OF \"Parts\" FOR VALUES IN (1)");
  const sql_rows before = catalog(owner_);
  sql(owner_, install_text());
  sql(owner_,
      "SELECT pgcast.relay('extra'), pgcast.relay('\"Parts\"'); INSERT INTO extra VALUES ('s')");
  ASSERT_NE(catalog(owner_), before);
  sql(owner_, uninstall_text());
  EXPECT_EQ(catalog(owner_), before);
  sql(owner_, uninstall_text());
  EXPECT_EQ(owner_.take_notices(), "");
  sql(owner_, "INSERT INTO extra VALUES ('s')");
}

TEST_F(outbox_install, UninstallWithTableInUse_FailsSoonAndChangesNothing) {
  sql(owner_, install_text());
  const sql_rows before = catalog(owner_);
  const sql_connection writer = connect();
  sql(writer, "BEGIN; INSERT INTO chat_history (session_id) VALUES ('s')");
  EXPECT_EQ(sqlstate_of(owner_, uninstall_text()), "55P03");
  sql(owner_, "ROLLBACK");
  sql(writer, "COMMIT");
  EXPECT_EQ(catalog(owner_), before);
}

TEST_F(outbox_install, InstallAndUninstallUnderLoad_NeverFailAWrite) {
  sql(owner_, "INSERT INTO session_info (session_id) VALUES ('s')");
  std::atomic<bool> is_over = false;
  std::vector<std::string> failures(4);
  std::vector<std::thread> writers;
  for (std::size_t i = 0; i < failures.size(); ++i) {
    writers.emplace_back([&, i] {
      const std::string chat = "INSERT INTO chat_history (session_id) VALUES ('s');";
      const std::string number = "INSERT INTO numbers VALUES ('s', '1');";
      const std::string statements =
          "BEGIN;" + (i % 2 == 0 ? chat + number : number + chat) + "COMMIT";
      try {
        const sql_connection writer = connect();
        while (!is_over) {
          sql(writer, statements);
        }
      } catch (const std::exception& error) {
        failures[i] = error.what();
      }
    });
  }
  const auto insist = [this](const std::string& text) {
    for (int attempt = 0; attempt < 20; ++attempt) {
      if (sqlstate_of(owner_, text) == "done") {
        return true;
      }
      sql(owner_, "ROLLBACK");
    }
    return false;
  };
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(insist(install_text()));
    EXPECT_TRUE(insist(install_text()));
    EXPECT_TRUE(insist(uninstall_text()));
  }
  is_over = true;
  for (std::thread& writer : writers) {
    writer.join();
  }
  EXPECT_EQ(failures, std::vector<std::string>(4));
}

TEST_F(outbox_install, EventIds_AreNeverGivenOutAgain) {
  const char* write = "INSERT INTO chat_history (session_id) VALUES ('s')";
  sql(owner_, install_text());
  sql(owner_, write);
  const std::string first = sql_value(owner_, "SELECT max(id) FROM pgcast.outbox");
  sql(owner_, uninstall_text());
  sql(owner_, install_text());
  sql(owner_, write);
  EXPECT_EQ(sql_value(owner_, "SELECT max(id) > " + first + " FROM pgcast.outbox"), "t");
}

TEST_F(outbox_install, ApiRoles_CannotTouchPgcast) {
  sql(owner_,
      "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated;"
      "ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, authenticated;"
      "ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO anon, authenticated");
  sql(owner_, install_text());
  for (const std::string role : {"anon", "authenticated", "service_role", "pgcast_reader"}) {
    SCOPED_TRACE(role);
    const sql_connection intruder(server_.conninfo(database_, "supabase_admin"));
    sql(intruder, "CREATE TABLE own_" + role + " (); ALTER TABLE own_" + role + " OWNER TO " +
                      role + "; SET ROLE " + role);
    for (const std::string attempt :
         {"SELECT * FROM pgcast.outbox", "SELECT * FROM pgcast.outbox_default",
          "SELECT cursor_key FROM pgcast.meta",
          "INSERT INTO pgcast.outbox (schema_name, table_name, operation) VALUES ('public', 'x', "
          "'I')",
          "DELETE FROM pgcast.outbox", "SELECT nextval('pgcast.outbox_id')",
          "SELECT pgcast.attach()", "SELECT pgcast.maintain('1 day')",
          "SELECT pgcast.relay('session_info')"}) {
      EXPECT_EQ(sqlstate_of(intruder, attempt), "42501") << attempt;
    }
    EXPECT_EQ(
        sqlstate_of(intruder, "CREATE TRIGGER t AFTER INSERT ON own_" + role +
                                  " FOR EACH ROW EXECUTE FUNCTION pgcast.capture('', '', '')"),
        "42501");
  }
  EXPECT_EQ(sql(sql_connection(server_.conninfo(database_)),
                "SELECT c.oid::regclass, a.grantee::regrole FROM pg_class c, aclexplode(c.relacl) a"
                " WHERE c.relnamespace = 'pgcast'::regnamespace AND a.grantee <> c.relowner"),
            sql_rows{});
}

TEST_F(outbox_install, WritesOfApiRolesUnderRowSecurity_AreCaptured) {
  sql(owner_, source_text("deploy/demo/rls.sql"));
  sql(owner_, install_text());
  sql(owner_,
      "INSERT INTO session_info (session_id) VALUES ('s1'), ('s2'); DELETE FROM pgcast.outbox");
  const sql_connection api = connect();
  sql(api, "SET ROLE authenticated; SET request.jwt.claims = '{\"sub\": \"s1\"}'");
  sql(api, "INSERT INTO chat_history (session_id) VALUES ('s1')");
  EXPECT_EQ(sqlstate_of(api, "INSERT INTO chat_history (session_id) VALUES ('s2')"), "42501");
  EXPECT_EQ(sql(owner_, "SELECT table_name, session_id FROM pgcast.outbox"),
            (sql_rows{{"chat_history", "s1"}}));
}

TEST_F(outbox_install, Reader_NeedsOnlyTheseGrants) {
  sql(owner_, install_text());
  sql(owner_,
      "GRANT USAGE ON SCHEMA pgcast TO pgcast_reader;"
      "GRANT SELECT ON pgcast.outbox, pgcast.incarnation, pgcast.relation TO pgcast_reader;"
      "GRANT SELECT (dropped_xid) ON pgcast.meta TO pgcast_reader;"
      "GRANT EXECUTE ON FUNCTION pgcast.attach(), pgcast.maintain(interval),"
      " pgcast.normalize_phone(text) TO pgcast_reader");
  sql(owner_, install_text());  // a second run leaves the grants alone
  sql(owner_, "INSERT INTO chat_history (session_id) VALUES ('s')");
  const sql_connection reader(server_.conninfo(database_, "pgcast_reader"));
  EXPECT_EQ(sql_value(reader, "SELECT incarnation FROM pgcast.attach()"), "1");
  EXPECT_EQ(sql_value(reader, "SELECT stray FROM pgcast.maintain('1 day')"), "0");
  EXPECT_EQ(sql_value(reader, "SELECT session_id FROM pgcast.outbox"), "s");
  EXPECT_EQ(sqlstate_of(reader, "SELECT cursor_key FROM pgcast.meta"), "42501");
}

TEST_F(outbox_install, DemoData_LoadsOnceAndIsCaptured) {
  sql(owner_, source_text("deploy/demo/rls.sql"));
  sql(owner_, install_text());
  sql(owner_, source_text("deploy/demo/data.sql"));
  sql(owner_, source_text("deploy/demo/data.sql"));
  EXPECT_EQ(sql_value(owner_, "SELECT count(*) FROM chat_history"), "58");
  EXPECT_EQ(
      sql_value(owner_, "SELECT count(*) FROM pgcast.outbox WHERE table_name = 'chat_history'"),
      "58");
  EXPECT_EQ(
      sql_value(
          owner_,
          "SELECT bool_and(pgcast.normalize_phone(phone_number) ~ '^(\\+|00)447700900[0-9]{3}$')"
          " FROM numbers"),
      "t");
}

}  // namespace
}  // namespace pgcast::test
