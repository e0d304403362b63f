-- Removes pgcast from a database: its triggers and the schema pgcast with all that is in it.
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

DROP SCHEMA IF EXISTS pgcast CASCADE;
