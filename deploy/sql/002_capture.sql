-- pgcast, part 2 of 4: the triggers.

-- Text of one column of any row, for rows that jsonb cannot hold; null when there is none.
CREATE OR REPLACE FUNCTION pgcast.plain_key(whole record, column_name text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  answer text;
BEGIN
  IF column_name <> '' THEN
    EXECUTE format('SELECT ($1).%I::text', column_name) INTO answer USING whole;
  END IF;
  RETURN answer;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END $$;

-- Any row as JSON text that need not fit into jsonb; null when it is too large for a text.
CREATE OR REPLACE FUNCTION pgcast.plain_record(whole record) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN row_to_json(whole)::text;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END $$;

-- Writes one outbox row for the change and rings the doorbell if a reader sleeps.
--
-- TG_ARGV: names of the columns for session, campaign and phone; '' = none. A column that is not
-- there (dropped, renamed) gives a null key. The settings make the rendering independent of the
-- writer's session. Nothing in here may fail on its own: it would fail the application's write.
CREATE OR REPLACE FUNCTION pgcast.capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, MDY'
SET "IntervalStyle" = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
AS $$
DECLARE
  root oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
  in_schema text := TG_TABLE_SCHEMA;
  in_table text := TG_TABLE_NAME;
  new_row jsonb;
  old_row jsonb;
  new_text text;
  old_text text;
  keys text[];      -- session, campaign, phone
  old_keys text[];
BEGIN
  IF root <> TG_RELID THEN  -- a partition: the event belongs to the table that it is a part of
    SELECT n.nspname, c.relname INTO in_schema, in_table
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = root;
  END IF;

  BEGIN
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
      new_row := to_jsonb(NEW);
      new_text := new_row::text;
      keys := ARRAY[new_row ->> TG_ARGV[0], new_row ->> TG_ARGV[1], new_row ->> TG_ARGV[2]];
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
      old_row := to_jsonb(OLD);
      old_keys := ARRAY[old_row ->> TG_ARGV[0], old_row ->> TG_ARGV[1], old_row ->> TG_ARGV[2]];
      IF TG_OP = 'UPDATE' THEN
        SELECT coalesce(jsonb_object_agg(c.key, c.value), '{}') INTO old_row
        FROM jsonb_each(old_row) c WHERE new_row -> c.key IS DISTINCT FROM c.value;
      END IF;
      old_text := old_row::text;
    END IF;
  EXCEPTION WHEN OTHERS THEN
    -- jsonb cannot hold the row: \u0000 or a lone surrogate in a json column, a value over 256 MB.
    -- An UPDATE then carries the whole old row, because the changed columns cannot be told.
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
      new_text := pgcast.plain_record(NEW);
      keys := ARRAY[pgcast.plain_key(NEW, TG_ARGV[0]), pgcast.plain_key(NEW, TG_ARGV[1]),
                    pgcast.plain_key(NEW, TG_ARGV[2])];
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
      old_text := pgcast.plain_record(OLD);
      old_keys := ARRAY[pgcast.plain_key(OLD, TG_ARGV[0]), pgcast.plain_key(OLD, TG_ARGV[1]),
                        pgcast.plain_key(OLD, TG_ARGV[2])];
    END IF;
  END;
  IF octet_length(new_text) + octet_length(old_text) > 900000000 THEN
    old_text := NULL;  -- a row of the outbox cannot be larger than 1 GB
  END IF;
  IF TG_OP = 'DELETE' THEN
    keys := old_keys;
  END IF;

  INSERT INTO pgcast.outbox (schema_name, table_name, operation, session_id, old_session_id,
                             campaign, old_campaign, phone, old_phone, record, old_record)
  VALUES (in_schema, in_table, left(TG_OP, 1)::"char",
          keys[1], CASE WHEN old_keys[1] IS DISTINCT FROM keys[1] THEN old_keys[1] END,
          keys[2], CASE WHEN old_keys[2] IS DISTINCT FROM keys[2] THEN old_keys[2] END,
          keys[3], CASE WHEN old_keys[3] IS DISTINCT FROM keys[3] THEN old_keys[3] END,
          new_text, old_text);

  -- A sleeping reader holds the key in shared mode. Locked and unlocked in one expression: a cancel
  -- between two would leave the lock behind. Where NOTIFY could fail the application's commit it is
  -- not rung, and the reader's safety poll finds the row: with a queue that a foreign listener lets
  -- fill up, and on servers with prepared transactions, which must not have notified.
  IF (CASE WHEN pg_try_advisory_lock(8099551725049085953)
           THEN NOT pg_advisory_unlock(8099551725049085953)
           ELSE pg_notification_queue_usage() < 0.5
                AND current_setting('max_prepared_transactions') = '0' END) THEN
    NOTIFY pgcast;
  END IF;
  RETURN NULL;
END $$;

-- Locks tables for a change of their triggers, for as long as the transaction lasts.
--
-- A waiting lock makes every later writer wait, and locks on several tables can deadlock with a
-- transaction that writes to them in another order. So it waits only briefly, and between attempts
-- holds nothing; under deadlock_timeout (1 s) the application is never the victim. Gives up with
-- lock_not_available after 1.5 s or so; the command then tries again.
CREATE OR REPLACE FUNCTION pgcast.lock_tables(targets regclass[], mode text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '300ms'
AS $$
DECLARE
  names text;
BEGIN
  IF cardinality(targets) = 0 THEN
    RETURN;
  END IF;
  FOR attempt IN 1..7 LOOP
    BEGIN
      SELECT string_agg(t::text, ', ' ORDER BY random()) INTO names FROM unnest(targets) t;
      PERFORM set_config('lock_timeout', least(50 * attempt, 250) || 'ms', true);
      EXECUTE format('LOCK TABLE %s IN %s MODE', names, mode);
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      PERFORM pg_sleep(0.02 + 0.08 * random());
    END;
  END LOOP;
  RAISE EXCEPTION 'in use by a long transaction: one of %', array_to_string(targets, ', ')
    USING ERRCODE = 'lock_not_available',
          HINT = 'Nothing was changed. Try again when it has ended (see pg_stat_activity).';
END $$;

-- Relays a table: creates its triggers and its row in pgcast.relation.
--
-- session_column null = session_id if the table has such a column, else none; '' = none. Triggers
-- that are there and as they should be are not touched, so that a second run locks nothing. The
-- names sort before those of other triggers, so a change is written before the changes it causes.
-- A change is what differs in the stored image: equality would miss 'a' -> 'A' in citext, and json
-- has none.
CREATE OR REPLACE FUNCTION pgcast.relay(target regclass, session_column text DEFAULT NULL,
                                        campaign_column text DEFAULT '',
                                        phone_column text DEFAULT '') RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  wanted record;
  place record;
  session text := coalesce(session_column, (
    SELECT a.attname FROM pg_attribute a
    WHERE a.attrelid = target AND a.attname = 'session_id' AND NOT a.attisdropped), '');
  arguments bytea := convert_to(session, 'UTF8') || '\x00' || convert_to(campaign_column, 'UTF8')
                     || '\x00' || convert_to(phone_column, 'UTF8') || '\x00';
BEGIN
  SELECT n.nspname, c.relname, c.relkind INTO STRICT place
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = target;
  IF place.relkind NOT IN ('r', 'p') OR place.nspname IN ('pgcast', 'pg_catalog') THEN
    RAISE EXCEPTION 'pgcast cannot relay %: it relays ordinary and partitioned tables', target
      USING ERRCODE = 'wrong_object_type';
  END IF;

  FOR wanted IN
    SELECT * FROM (VALUES
      ('000_pgcast', 'INSERT OR DELETE', 'ROW', '', 13),
      ('000_pgcast_update', 'UPDATE', 'ROW', 'WHEN (OLD.* OPERATOR(pg_catalog.*<>) NEW.*)', 17),
      ('000_pgcast_truncate', 'TRUNCATE', 'STATEMENT', '', 32))
      AS v(name, events, level, condition, type)
  LOOP
    CONTINUE WHEN EXISTS (
      SELECT FROM pg_trigger t
      WHERE t.tgrelid = target AND t.tgname = wanted.name AND t.tgtype = wanted.type
        AND t.tgfoid = 'pgcast.capture()'::regprocedure AND t.tgargs = arguments
        AND (t.tgqual IS NULL) = (wanted.condition = ''));
    PERFORM pgcast.lock_tables(ARRAY[target], 'SHARE ROW EXCLUSIVE');
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON %s FOR EACH %s %s '
                   'EXECUTE FUNCTION pgcast.capture(%L, %L, %L)',
                   wanted.name, wanted.events, target, wanted.level, wanted.condition,
                   session, campaign_column, phone_column);
  END LOOP;

  INSERT INTO pgcast.relation AS r
  VALUES (place.nspname, place.relname, session, campaign_column, phone_column)
  ON CONFLICT ON CONSTRAINT relation_pkey DO UPDATE
    SET session_column = excluded.session_column, campaign_column = excluded.campaign_column,
        phone_column = excluded.phone_column
    WHERE (r.session_column, r.campaign_column, r.phone_column)
          <> (excluded.session_column, excluded.campaign_column, excluded.phone_column);
END $$;

-- Stops relaying a table: drops its triggers and its row in pgcast.relation.
CREATE OR REPLACE FUNCTION pgcast.unrelay(target regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  doomed text;
BEGIN
  PERFORM pgcast.lock_tables(ARRAY[target], 'ACCESS EXCLUSIVE');
  FOR doomed IN
    SELECT t.tgname FROM pg_trigger t
    WHERE t.tgrelid = target AND t.tgfoid = 'pgcast.capture()'::regprocedure AND t.tgparentid = 0
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', doomed, target);
  END LOOP;
  DELETE FROM pgcast.relation r USING pg_class c, pg_namespace n
  WHERE c.oid = target AND n.oid = c.relnamespace
    AND r.schema_name = n.nspname AND r.table_name = c.relname;
END $$;
