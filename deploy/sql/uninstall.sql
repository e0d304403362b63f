-- Removes pgcast from a database: its triggers, the schema pgcast with all that is in it, and the
-- schema realtime if pgcast has made it and nothing else depends on it.
-- Runs in one transaction, also where nothing is installed. lock_not_available, and nothing
-- changed, when a relayed table is in use by a long transaction.

SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;
SET LOCAL lock_timeout = '2s';

DO $$
DECLARE
  relayed regclass[];
BEGIN
  PERFORM pg_advisory_xact_lock(8099551725049085954);
  IF to_regprocedure('pgcast.capture()') IS NOT NULL THEN
    relayed := ARRAY(SELECT DISTINCT t.tgrelid::regclass FROM pg_trigger t
                     WHERE t.tgparentid = 0 AND t.tgfoid IN
                       (to_regprocedure('pgcast.capture()'),
                        to_regprocedure('pgcast.capture_insert()')));
    PERFORM pgcast.lock_tables(relayed, 'ACCESS EXCLUSIVE');
    PERFORM pgcast.unrelay(t) FROM unnest(relayed) t;
  END IF;
END $$;

-- A trigger on somebody else's realtime.messages goes with its function below.
DO $$
DECLARE
  messages regclass;
  function regprocedure;
BEGIN
  IF to_regprocedure('pgcast.owns_realtime()') IS NULL
     OR has_schema_privilege(to_regnamespace('realtime'), 'USAGE') IS NOT TRUE THEN
    RETURN;
  END IF;
  messages := to_regclass('realtime.messages');
  IF has_table_privilege(messages, 'UPDATE') THEN
    PERFORM pgcast.lock_tables(ARRAY[messages], 'ACCESS EXCLUSIVE');
  END IF;
  IF NOT pgcast.owns_realtime() THEN
    RETURN;
  END IF;
  DROP TABLE IF EXISTS realtime.messages;
  FOR function IN
    SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'realtime'::regnamespace
      AND p.proname IN ('topic', 'send', 'send_binary', 'broadcast_changes')
  LOOP
    EXECUTE format('DROP FUNCTION %s', function);
  END LOOP;
  DROP SCHEMA realtime;
EXCEPTION WHEN dependent_objects_still_exist THEN
  SET LOCAL client_min_messages = notice;
  RAISE NOTICE 'pgcast: the schema realtime stays, something of yours depends on it: %', SQLERRM;
END $$;

SET LOCAL client_min_messages = warning;
DROP SCHEMA IF EXISTS pgcast CASCADE;
