-- pgcast, part 2 of 6: the triggers.

-- Text of one column of any row, for rows that jsonb cannot hold; null when there is none.
CREATE OR REPLACE FUNCTION pgcast.plain_key(whole record, column_name text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, MDY'
SET "IntervalStyle" = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
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

-- Any row as JSON text that need not fit into jsonb; null when it is too large for the outbox.
CREATE OR REPLACE FUNCTION pgcast.plain_record(whole record) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, MDY'
SET "IntervalStyle" = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
AS $$
DECLARE
  answer text;
BEGIN
  answer := row_to_json(whole);
  RETURN CASE WHEN octet_length(answer) < 1000000000 THEN answer END;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END $$;

-- Any row as jsonb, whatever the settings of the writer's session: they would show in times,
-- intervals, bytes, floats and ranges. Fails where jsonb cannot hold the row.
CREATE OR REPLACE FUNCTION pgcast.rendered(whole record) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, MDY'
SET "IntervalStyle" = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
AS $$
BEGIN
  RETURN to_jsonb(whole);
END $$;

-- Writes one outbox row for the change and rings the doorbell if a reader sleeps.
--
-- TG_ARGV: names of the columns for session, campaign and phone, '' = none; then 'careful' for a
-- table with types that are not Postgres' own. A column that is not there (dropped, renamed) gives a
-- null key. Nothing in here may fail on its own: it would fail the application's write.
--
-- This runs at every write, and its cost is why it looks as it does (docs/decisions/0004). It has no
-- SET clauses: it asks whether the writer's settings are the usual ones instead, else lets
-- pgcast.rendered() render the row. SECURITY DEFINER without a search_path of its own, so every name,
-- type and operator is written with its schema (of types the writer's pg_temp comes before pg_catalog),
-- IS DISTINCT FROM and IN are not used (they look an operator up), and types that could bring a cast
-- function of their own are 'careful'.
CREATE OR REPLACE FUNCTION pgcast.capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
  root pg_catalog.oid := pg_catalog.pg_partition_root(TG_RELID);
  in_schema pg_catalog.text := TG_TABLE_SCHEMA;
  in_table pg_catalog.text := TG_TABLE_NAME;
  is_usual pg_catalog.bool := TG_ARGV[3] IS NULL
    AND pg_catalog.current_setting('TimeZone')
        OPERATOR(pg_catalog.=) ANY ('{UTC,Etc/UTC,GMT}'::pg_catalog.text[])
    AND ARRAY[pg_catalog.current_setting('DateStyle'), pg_catalog.current_setting('IntervalStyle'),
              pg_catalog.current_setting('bytea_output'),
              pg_catalog.current_setting('extra_float_digits')]
        OPERATOR(pg_catalog.=) '{"ISO, MDY",postgres,hex,1}'::pg_catalog.text[];
  new_row pg_catalog.jsonb;
  old_row pg_catalog.jsonb;
  new_text pg_catalog.text;
  old_text pg_catalog.text;
  session pg_catalog.text;
  campaign pg_catalog.text;
  phone pg_catalog.text;
  old_session pg_catalog.text;
  old_campaign pg_catalog.text;
  old_phone pg_catalog.text;
BEGIN
  IF root OPERATOR(pg_catalog.<>) TG_RELID THEN
    -- A partition: the event belongs to the table that it is a part of.
    SELECT n.nspname, c.relname INTO in_schema, in_table
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.oid OPERATOR(pg_catalog.=) root;
  END IF;

  BEGIN
    IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' OR TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
      IF is_usual THEN
        new_row := pg_catalog.to_jsonb(NEW);
      ELSE
        new_row := pgcast.rendered(NEW);
      END IF;
      new_text := new_row;
      session := new_row OPERATOR(pg_catalog.->>) TG_ARGV[0];
      campaign := new_row OPERATOR(pg_catalog.->>) TG_ARGV[1];
      phone := new_row OPERATOR(pg_catalog.->>) TG_ARGV[2];
    END IF;
    IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' OR TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
      IF is_usual THEN
        old_row := pg_catalog.to_jsonb(OLD);
      ELSE
        old_row := pgcast.rendered(OLD);
      END IF;
      old_session := old_row OPERATOR(pg_catalog.->>) TG_ARGV[0];
      old_campaign := old_row OPERATOR(pg_catalog.->>) TG_ARGV[1];
      old_phone := old_row OPERATOR(pg_catalog.->>) TG_ARGV[2];
      IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
        SELECT coalesce(pg_catalog.jsonb_object_agg(c.key, c.value), '{}') INTO old_row
        FROM pg_catalog.jsonb_each(old_row) c
        WHERE coalesce((new_row OPERATOR(pg_catalog.->) c.key) OPERATOR(pg_catalog.<>) c.value,
                       true);
      END IF;
      old_text := old_row;
    END IF;
  EXCEPTION WHEN OTHERS THEN
    -- jsonb cannot hold the row: \u0000 or a lone surrogate in a json column, a value over 256 MB.
    -- An UPDATE then carries the whole old row, because the changed columns cannot be told.
    IF NOT TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
      new_text := pgcast.plain_record(NEW);
      session := pgcast.plain_key(NEW, TG_ARGV[0]);
      campaign := pgcast.plain_key(NEW, TG_ARGV[1]);
      phone := pgcast.plain_key(NEW, TG_ARGV[2]);
    END IF;
    IF NOT TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
      old_text := pgcast.plain_record(OLD);
      old_session := pgcast.plain_key(OLD, TG_ARGV[0]);
      old_campaign := pgcast.plain_key(OLD, TG_ARGV[1]);
      old_phone := pgcast.plain_key(OLD, TG_ARGV[2]);
    END IF;
  END;

  -- A row of the outbox cannot be larger than 1 GB.
  IF coalesce(pg_catalog.octet_length(new_text), 0) OPERATOR(pg_catalog.+)
     coalesce(pg_catalog.octet_length(old_text), 0) OPERATOR(pg_catalog.>) 1000000000 THEN
    IF new_text IS NOT NULL THEN
      old_text := NULL;
    END IF;
    IF pg_catalog.octet_length(coalesce(new_text, old_text)) OPERATOR(pg_catalog.>) 1000000000 THEN
      new_text := NULL;
      old_text := NULL;
    END IF;
  END IF;

  IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
    INSERT INTO pgcast.outbox (schema_name, table_name, operation, session_id, campaign, phone,
                               record)
    VALUES (in_schema, in_table, 'I', session, campaign, phone, new_text);
  ELSIF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
    IF old_session OPERATOR(pg_catalog.=) session THEN
      old_session := NULL;
    END IF;
    IF old_campaign OPERATOR(pg_catalog.=) campaign THEN
      old_campaign := NULL;
    END IF;
    IF old_phone OPERATOR(pg_catalog.=) phone THEN
      old_phone := NULL;
    END IF;
    INSERT INTO pgcast.outbox (schema_name, table_name, operation, session_id, old_session_id,
                               campaign, old_campaign, phone, old_phone, record, old_record)
    VALUES (in_schema, in_table, 'U', session, old_session, campaign, old_campaign, phone,
            old_phone, new_text, old_text);
  ELSE
    INSERT INTO pgcast.outbox (schema_name, table_name, operation, session_id, campaign, phone,
                               old_record)
    VALUES (in_schema, in_table, pg_catalog."left"(TG_OP, 1)::pg_catalog."char", old_session,
            old_campaign, old_phone, old_text);
  END IF;

  -- A sleeping reader holds the key in shared mode. Locked and unlocked in one expression: a cancel
  -- between two would leave the lock behind. Where NOTIFY could fail the application's commit it is
  -- not rung, and the reader's safety poll finds the row: with a queue that a foreign listener lets
  -- fill up, and on servers with prepared transactions, which must not have notified.
  IF (CASE WHEN pg_catalog.pg_try_advisory_lock(8099551725049085953)
           THEN NOT pg_catalog.pg_advisory_unlock(8099551725049085953)
           ELSE pg_catalog.pg_notification_queue_usage() OPERATOR(pg_catalog.<) 0.5
                AND pg_catalog.current_setting('max_prepared_transactions')
                    OPERATOR(pg_catalog.=) '0' END) THEN
    NOTIFY pgcast;
  END IF;
  RETURN NULL;
END $$;

-- Rings the doorbell if a reader sleeps, as capture() does, for what is written rarely.
CREATE OR REPLACE FUNCTION pgcast.ring() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF (CASE WHEN pg_try_advisory_lock(8099551725049085953)
           THEN NOT pg_advisory_unlock(8099551725049085953)
           ELSE pg_notification_queue_usage() < 0.5
                AND current_setting('max_prepared_transactions') = '0' END) THEN
    NOTIFY pgcast;
  END IF;
END $$;

-- Writes the outbox row of an INSERT that jsonb cannot hold, and rings.
CREATE OR REPLACE FUNCTION pgcast.capture_plain_insert(in_schema text, in_table text,
                                                       session_column text, whole record)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO pgcast.outbox (schema_name, table_name, operation, session_id, record)
  VALUES (in_schema, in_table, 'I', pgcast.plain_key(whole, session_column),
          pgcast.plain_record(whole));
  PERFORM pgcast.ring();
END $$;

-- What capture() does, for INSERTs into ordinary tables that have a session at most and that are not
-- 'careful': chat messages, calls. As few expressions as there can be, because each is set up anew in
-- every transaction, like those in the list of the INSERT.
CREATE OR REPLACE FUNCTION pgcast.capture_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
  image pg_catalog.jsonb;
  whole pg_catalog.text;
BEGIN
  BEGIN
    image := CASE WHEN pg_catalog.current_setting('TimeZone')
                       OPERATOR(pg_catalog.=) ANY ('{UTC,Etc/UTC,GMT}'::pg_catalog.text[])
                   AND ARRAY[pg_catalog.current_setting('DateStyle'),
                             pg_catalog.current_setting('IntervalStyle'),
                             pg_catalog.current_setting('bytea_output'),
                             pg_catalog.current_setting('extra_float_digits')]
                       OPERATOR(pg_catalog.=) '{"ISO, MDY",postgres,hex,1}'::pg_catalog.text[]
                  THEN pg_catalog.to_jsonb(NEW) ELSE pgcast.rendered(NEW) END;
    whole := image;
  EXCEPTION WHEN OTHERS THEN
    PERFORM pgcast.capture_plain_insert(TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0], NEW);
    RETURN NULL;
  END;
  INSERT INTO pgcast.outbox (schema_name, table_name, operation, session_id, record)
  VALUES (TG_TABLE_SCHEMA, TG_TABLE_NAME, 'I', image OPERATOR(pg_catalog.->>) TG_ARGV[0],
          CASE WHEN pg_catalog.octet_length(whole) OPERATOR(pg_catalog.<) 1000000000 THEN whole END);
  IF (CASE WHEN pg_catalog.pg_try_advisory_lock(8099551725049085953)
           THEN NOT pg_catalog.pg_advisory_unlock(8099551725049085953)
           ELSE pg_catalog.pg_notification_queue_usage() OPERATOR(pg_catalog.<) 0.5
                AND pg_catalog.current_setting('max_prepared_transactions')
                    OPERATOR(pg_catalog.=) '0' END) THEN
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
  for_insert text := 'pgcast.capture';
  session text := coalesce(session_column, (
    SELECT a.attname FROM pg_attribute a
    WHERE a.attrelid = target AND a.attname = 'session_id' AND NOT a.attisdropped), '');
  is_careful boolean := EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped
      AND a.atttypid >= 16384);  -- from there on types are not Postgres' own
  wanted_arguments text[] := ARRAY[session, campaign_column, phone_column]
                             || CASE WHEN is_careful THEN ARRAY['careful'] ELSE '{}' END;
  arguments bytea := (SELECT string_agg(convert_to(w, 'UTF8') || '\x00', '' ORDER BY i)
                      FROM unnest(wanted_arguments) WITH ORDINALITY u (w, i));
BEGIN
  SELECT n.nspname, c.relname, c.relkind, c.relispartition INTO STRICT place
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = target;
  IF place.relkind NOT IN ('r', 'p') OR place.nspname IN ('pgcast', 'pg_catalog') THEN
    RAISE EXCEPTION 'pgcast cannot relay %: it relays ordinary and partitioned tables', target
      USING ERRCODE = 'wrong_object_type';
  END IF;
  IF NOT is_careful AND campaign_column = '' AND phone_column = ''
     AND place.relkind = 'r' AND NOT place.relispartition THEN
    for_insert := 'pgcast.capture_insert';
  END IF;

  FOR wanted IN
    SELECT * FROM (VALUES
      ('000_pgcast', 'INSERT', 'ROW', '', 5, for_insert),
      ('000_pgcast_delete', 'DELETE', 'ROW', '', 9, 'pgcast.capture'),
      ('000_pgcast_update', 'UPDATE', 'ROW', 'WHEN (OLD.* OPERATOR(pg_catalog.*<>) NEW.*)', 17,
       'pgcast.capture'),
      ('000_pgcast_truncate', 'TRUNCATE', 'STATEMENT', '', 32, 'pgcast.capture'))
      AS v(name, events, level, condition, type, function)
  LOOP
    CONTINUE WHEN EXISTS (
      SELECT FROM pg_trigger t
      WHERE t.tgrelid = target AND t.tgname = wanted.name AND t.tgtype = wanted.type
        AND t.tgfoid = (wanted.function || '()')::regprocedure AND t.tgargs = arguments
        AND (t.tgqual IS NULL) = (wanted.condition = ''));
    PERFORM pgcast.lock_tables(ARRAY[target], 'SHARE ROW EXCLUSIVE');
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON %s FOR EACH %s %s '
                   'EXECUTE FUNCTION %s(%s)',
                   wanted.name, wanted.events, target, wanted.level, wanted.condition,
                   wanted.function,
                   (SELECT string_agg(quote_literal(w), ', ' ORDER BY i)
                    FROM unnest(wanted_arguments) WITH ORDINALITY u (w, i)));
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
    WHERE t.tgrelid = target AND t.tgparentid = 0
      AND t.tgfoid IN ('pgcast.capture()'::regprocedure, 'pgcast.capture_insert()'::regprocedure)
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', doomed, target);
  END LOOP;
  DELETE FROM pgcast.relation r USING pg_class c, pg_namespace n
  WHERE c.oid = target AND n.oid = c.relnamespace
    AND r.schema_name = n.nspname AND r.table_name = c.relname;
END $$;
