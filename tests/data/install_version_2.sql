-- pgcast, part 1 of 4: the schema and its tables.
--
-- `pgcast install` runs all parts in one transaction, as the owner of the relayed tables (no
-- superuser needed). Every part can be run again at any time: what exists already is left alone and
-- not locked. All objects are in the schema pgcast, except the triggers on the relayed tables.
--
-- Advisory keys are 'pgcast' and a number: 8099551725049085953 is the doorbell (part 2),
-- 8099551725049085954 is held by whoever changes anything here (install, attach, maintain),
-- 8099551725049085955 in shared mode by every connected daemon (part 3).

SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;

DO $$
DECLARE
  installed int := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(8099551725049085954);
  IF current_setting('server_version_num')::int < 140000 THEN
    RAISE EXCEPTION 'pgcast needs PostgreSQL 14 or newer, this server is %',
      current_setting('server_version') USING ERRCODE = 'feature_not_supported';
  ELSIF getdatabaseencoding() <> 'UTF8' THEN
    RAISE EXCEPTION 'pgcast needs a database with encoding UTF8, this one has %',
      getdatabaseencoding() USING ERRCODE = 'feature_not_supported';
  ELSIF EXISTS (SELECT FROM pg_namespace
                WHERE nspname = 'pgcast' AND NOT pg_has_role(nspowner, 'USAGE')) THEN
    RAISE EXCEPTION 'schema pgcast belongs to another role: install as its owner'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF to_regclass('pgcast.meta') IS NOT NULL THEN
    SELECT max(schema_version) INTO installed FROM pgcast.meta;
  END IF;
  IF installed > 2 THEN
    RAISE EXCEPTION 'schema pgcast has version %, this program knows up to 2: use the newer pgcast',
      installed USING ERRCODE = 'feature_not_supported';
  END IF;
END $$;

CREATE SCHEMA IF NOT EXISTS pgcast;

-- One row: what a cursor must fit to. A new epoch makes every older cursor void.
CREATE TABLE IF NOT EXISTS pgcast.meta (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  schema_version int NOT NULL,
  epoch text NOT NULL,                -- 16 random hex digits
  cursor_key bytea NOT NULL,          -- 32 random bytes, key of the cursors' check value
  system_identifier bigint NOT NULL,  -- 0 where the role may not ask for it
  timeline int NOT NULL,
  dropped_xid xid8,                   -- highest of what is not kept: older cursors are too old
  dropped_before timestamptz          -- its end: times before it are too old
);

-- Crash recovery hands out the transaction ids of rolled-back work once more. Each life of the
-- server in between is an incarnation: from first_xid on, ids seen in an earlier one mean nothing.
CREATE TABLE IF NOT EXISTS pgcast.incarnation (
  number int PRIMARY KEY,
  first_xid xid8 NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row; UNLOGGED, so that crash recovery, failover and physical restore leave it empty.
CREATE UNLOGGED TABLE IF NOT EXISTS pgcast.marker (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);

-- One row: what maintain() and attach() have to remember.
CREATE TABLE IF NOT EXISTS pgcast.upkeep (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  retention interval NOT NULL DEFAULT '24 hours',  -- of the last maintain()
  expired_at timestamptz,                  -- when maintain() last declared a partition expired
  handled_pause bigint NOT NULL DEFAULT 0  -- the value of paused_at that attach() has dealt with
);

-- Two times in microseconds since 1970, as sequences because those are outside of transactions: a
-- writer with an old snapshot has to see at once that a daemon is back.
DO $$
BEGIN
  IF to_regclass('pgcast.wanted_until') IS NULL THEN
    CREATE SEQUENCE pgcast.wanted_until;  -- until then somebody may resume; maintain() moves it on
    PERFORM setval('pgcast.wanted_until',
                   (extract(epoch FROM clock_timestamp() + interval '24 hours') * 1000000)::bigint);
    CREATE SEQUENCE pgcast.paused_at;     -- when a row was last left out, part 2
  END IF;
END $$;

-- What is relayed, and the columns that route it ('' = none).
CREATE TABLE IF NOT EXISTS pgcast.relation (
  schema_name text NOT NULL,
  table_name text NOT NULL,
  session_column text NOT NULL,
  campaign_column text NOT NULL,
  phone_column text NOT NULL,
  PRIMARY KEY (schema_name, table_name)
);

-- One row per changed row. Written by the triggers of part 2 only. There is no primary key: nothing looks
-- a row up by its id alone, and the index would cost every write.
DO $$
BEGIN
  IF to_regclass('pgcast.outbox') IS NOT NULL THEN
    RETURN;
  END IF;

  CREATE SEQUENCE pgcast.outbox_id AS bigint CACHE 1;
  CREATE TABLE pgcast.outbox (
    id bigint NOT NULL DEFAULT nextval('pgcast.outbox_id'),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT statement_timestamp(),
    schema_name text NOT NULL,
    table_name text NOT NULL,
    operation "char" NOT NULL,  -- I, U, D or T (TRUNCATE)
    session_id text,            -- keys: the row's own, for D those of the deleted row
    old_session_id text,        -- old keys: only where an UPDATE changed them
    campaign text,
    old_campaign text,
    phone text,
    old_phone text,
    record text,                -- to_jsonb of the row; null for D and T
    old_record text             -- U: the changed columns; D: the whole row; else null
  ) PARTITION BY RANGE (at);
  ALTER SEQUENCE pgcast.outbox_id OWNED BY pgcast.outbox.id;

  CREATE INDEX outbox_xid ON pgcast.outbox (xid);
  CREATE INDEX outbox_session ON pgcast.outbox (session_id, xid) WHERE session_id IS NOT NULL;
  -- One index for what is rare: changes that move a row between topics. Each further index would be
  -- one more lock in every writing transaction, and over 16 locks Postgres leaves its fast path.
  CREATE INDEX outbox_moves ON pgcast.outbox (xid)
    WHERE old_session_id IS NOT NULL OR campaign IS NOT NULL OR old_campaign IS NOT NULL
       OR phone IS NOT NULL OR old_phone IS NOT NULL OR operation = 'T';

  -- The safety net for a day without a partition: a write never fails for want of one.
  CREATE TABLE pgcast.outbox_default PARTITION OF pgcast.outbox DEFAULT;
END $$;
-- pgcast, part 2 of 4: the triggers.

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
-- pgcast.rendered() render the row. SECURITY DEFINER without a search_path of its own, so every name
-- and operator is written with its schema, IS DISTINCT FROM and IN are not used (they look an operator
-- up), and types that could bring a cast function of their own are 'careful'.
CREATE OR REPLACE FUNCTION pgcast.capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
  root oid := pg_catalog.pg_partition_root(TG_RELID);
  in_schema text := TG_TABLE_SCHEMA;
  in_table text := TG_TABLE_NAME;
  is_usual boolean := TG_ARGV[3] IS NULL
    AND pg_catalog.current_setting('TimeZone')
        OPERATOR(pg_catalog.=) ANY ('{UTC,Etc/UTC,GMT}'::pg_catalog.text[])
    AND ARRAY[pg_catalog.current_setting('DateStyle'), pg_catalog.current_setting('IntervalStyle'),
              pg_catalog.current_setting('bytea_output'),
              pg_catalog.current_setting('extra_float_digits')]
        OPERATOR(pg_catalog.=) '{"ISO, MDY",postgres,hex,1}'::pg_catalog.text[];
  new_row jsonb;
  old_row jsonb;
  new_text text;
  old_text text;
  session text;
  campaign text;
  phone text;
  old_session text;
  old_campaign text;
  old_phone text;
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
    VALUES (in_schema, in_table, pg_catalog."left"(TG_OP, 1)::"char", old_session, old_campaign,
            old_phone, old_text);
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
  IF (CASE WHEN pg_try_advisory_lock(8099551725049085953)
           THEN NOT pg_advisory_unlock(8099551725049085953)
           ELSE pg_notification_queue_usage() < 0.5
                AND current_setting('max_prepared_transactions') = '0' END) THEN
    NOTIFY pgcast;
  END IF;
END $$;

-- What capture() does, for INSERTs into ordinary tables that have a session at most and that are not
-- 'careful': chat messages, calls. As few expressions as there can be, because each is set up anew in
-- every transaction, like those in the list of the INSERT.
CREATE OR REPLACE FUNCTION pgcast.capture_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
  image jsonb;
  whole text;
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
-- pgcast, part 3 of 4: what the daemon calls.

-- A phone number as it is compared: separators and brackets dropped, a leading 00 becomes +.
-- What is then not digits with an optional + is no number and is returned unchanged.
CREATE OR REPLACE FUNCTION pgcast.normalize_phone(number text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  SELECT CASE WHEN bare ~ '^\+?[0-9]+$' THEN bare ELSE number END
  FROM (
    -- blank, tab, no-break spaces, . - / Unicode dashes and minus, round and square brackets
    SELECT regexp_replace(
      translate(number,
                E' \t\u00A0\u202F./-\u2010\u2011\u2012\u2013\u2014\u2015\u2212()[]', ''),
      '^00', '+') AS bare
  ) AS s;
END;

-- Moves the time until which rows are wanted, never back and in steps of a minute.
CREATE OR REPLACE FUNCTION pgcast.want_until(wanted timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  at bigint := (extract(epoch FROM wanted) * 1000000)::bigint;
BEGIN
  IF at > coalesce(pg_sequence_last_value('pgcast.wanted_until'), 0) + 60000000 THEN
    PERFORM setval('pgcast.wanted_until', at);
  END IF;
END $$;

-- Bounds the outbox while no daemon is there: leaves a row out when nobody can ask for it any more.
--
-- A trigger of the DEFAULT partition alone, where rows go only on days for which nobody has made a
-- partition. Every position that anyone holds is then older than the retention, and attach() says
-- so: it declares all up to its own transaction as not kept, which covers every row that was left
-- out, also in transactions that are still open. For that the pause is noted *before* the look for
-- a daemon, and attach() shows that it is there before it reads the note; neither obeys snapshots.
CREATE OR REPLACE FUNCTION pgcast.leave_out_unwanted() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  wanted_until bigint := coalesce(pg_sequence_last_value('pgcast.wanted_until'), 0);
  at bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
BEGIN
  IF at <= wanted_until THEN
    RETURN NEW;
  END IF;
  IF coalesce(pg_sequence_last_value('pgcast.paused_at'), 0) <= wanted_until THEN
    PERFORM setval('pgcast.paused_at', at);
  END IF;
  IF (CASE WHEN pg_try_advisory_lock(8099551725049085955)
           THEN pg_advisory_unlock(8099551725049085955)
           ELSE NOT EXISTS (  -- or is it only another writer that looks just now?
            SELECT FROM pg_locks l
            WHERE l.locktype = 'advisory' AND l.mode = 'ShareLock' AND l.granted AND l.objsubid = 1
              AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
              AND (l.classid::bigint << 32) + l.objid::bigint = 8099551725049085955) END) THEN
    RETURN NULL;
  END IF;
  RETURN NEW;
END $$;

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'pgcast.outbox_default'::regclass
                 AND tgname = 'leave_out_unwanted') THEN
    CREATE TRIGGER leave_out_unwanted BEFORE INSERT ON pgcast.outbox_default
      FOR EACH ROW EXECUTE FUNCTION pgcast.leave_out_unwanted();
  END IF;
END $$;

-- Makes the partitions of today and the next two days (UTC). Never waits long and never fails for
-- a lock. A day that has rows in the DEFAULT partition gets none.
CREATE OR REPLACE FUNCTION pgcast.make_partitions() RETURNS int
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, MDY'
SET lock_timeout = '500ms'
AS $$
DECLARE
  today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  starts timestamptz;
  part text;
  created int := 0;
BEGIN
  FOR day IN 0..2 LOOP
    starts := (today + day)::timestamptz;
    part := 'outbox_' || to_char(today + day, 'YYYYMMDD');
    -- Looked for without a lock first: attaching reads the DEFAULT partition while it is locked.
    CONTINUE WHEN to_regclass('pgcast.' || part) IS NOT NULL
      OR EXISTS (SELECT FROM pgcast.outbox_default d
                 WHERE d.at >= starts AND d.at < starts + interval '1 day');
    BEGIN
      EXECUTE format('CREATE TABLE pgcast.%I (LIKE pgcast.outbox INCLUDING ALL)', part);
      EXECUTE format('ALTER TABLE pgcast.outbox ATTACH PARTITION pgcast.%I '
                     'FOR VALUES FROM (%L) TO (%L)', part, starts, starts + interval '1 day');
      created := created + 1;
    EXCEPTION WHEN lock_not_available OR deadlock_detected OR check_violation THEN
      NULL;  -- check_violation: a row for that day came meanwhile
    END;
  END LOOP;
  RETURN created;
END $$;

-- Drops a partition if what meta says about it is still true once it is locked.
--
-- A waiting lock makes every later writer and reader wait, so it waits only briefly, less than the
-- usual deadlock_timeout. False when the partition is in use, also by a transaction that wrote to
-- it long ago, or when such a one has ended meanwhile.
CREATE OR REPLACE FUNCTION pgcast.drop_partition(part text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $$
DECLARE
  has_more boolean;
BEGIN
  FOR attempt IN 1..4 LOOP
    BEGIN
      PERFORM set_config('lock_timeout', 200 * attempt || 'ms', true);
      LOCK TABLE ONLY pgcast.outbox IN ACCESS EXCLUSIVE MODE;  -- the parent first, as everybody does
      EXECUTE format('LOCK TABLE pgcast.%I IN ACCESS EXCLUSIVE MODE', part);
      EXECUTE format('SELECT EXISTS (SELECT FROM pgcast.%I p, pgcast.meta m '
                     'WHERE p.xid > coalesce(m.dropped_xid, ''0''))', part) INTO has_more;
      IF NOT has_more THEN
        EXECUTE format('DROP TABLE pgcast.%I', part);
      END IF;
      RETURN NOT has_more;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      PERFORM pg_sleep(0.05 + 0.1 * random());
    END;
  END LOOP;
  RETURN false;
END $$;

-- Declares that nothing up to a transaction and before a time is kept any more.
CREATE OR REPLACE FUNCTION pgcast.declare_dropped(last_xid xid8, before timestamptz) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  UPDATE pgcast.meta SET dropped_xid = greatest(dropped_xid, last_xid),
                         dropped_before = greatest(dropped_before, before)
$$;

-- Keeps the outbox to what can be resumed: says until when rows are wanted, makes partitions ahead,
-- deletes from the DEFAULT partition (at most 100,000 rows a call) and drops partitions that hold
-- only rows older than `retention`. Never waits long and never fails for a lock: the next call tries
-- again. `stray` counts rows in the DEFAULT partition, up to 100,000; it should be 0.
--
-- A partition is first declared expired and dropped by a call at least a minute later. Dropping does
-- not obey snapshots: a reader that has taken its snapshot but not yet opened the partitions would
-- miss the rows and the declaration.
CREATE OR REPLACE FUNCTION pgcast.maintain(retention interval, OUT created int, OUT dropped int,
                                           OUT stray bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, MDY'
SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
  today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  oldest timestamptz := clock_timestamp() - retention;
  part text;
  part_end timestamptz;
  last_xid xid8;
BEGIN
  IF retention IS NULL OR retention < interval '0' THEN
    RAISE EXCEPTION 'the retention must not be negative, it is %', retention
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION 'pgcast.maintain() must see what is committed, so it needs READ COMMITTED'
      USING ERRCODE = 'invalid_transaction_state';
  END IF;
  created := 0;
  dropped := 0;
  stray := 0;
  PERFORM pgcast.want_until(clock_timestamp() + retention + interval '10 minutes');
  IF NOT pg_try_advisory_xact_lock(8099551725049085954) THEN
    RETURN;  -- somebody else is at it
  END IF;
  UPDATE pgcast.upkeep u SET retention = maintain.retention
  WHERE u.retention <> maintain.retention;

  WITH gone AS (
    DELETE FROM pgcast.outbox_default d
    WHERE d.ctid = ANY (ARRAY(SELECT e.ctid FROM pgcast.outbox_default e
                              WHERE e.at < oldest LIMIT 100000))
    RETURNING d.xid)
  SELECT g.xid INTO last_xid FROM gone g ORDER BY g.xid DESC LIMIT 1;
  IF last_xid IS NOT NULL THEN
    PERFORM pgcast.declare_dropped(last_xid, oldest);
  END IF;
  created := pgcast.make_partitions();
  SELECT count(*) INTO stray FROM (SELECT FROM pgcast.outbox_default LIMIT 100000) s;

  FOR part IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'pgcast.outbox'::regclass AND c.relname ~ '^outbox_[0-9]{8}$'
      AND (right(c.relname, 8)::date + 1)::timestamptz <= oldest
      AND right(c.relname, 8)::date < today
    ORDER BY c.relname
  LOOP
    part_end := (right(part, 8)::date + 1)::timestamptz;
    EXECUTE format('SELECT xid FROM pgcast.%I ORDER BY xid DESC LIMIT 1', part) INTO last_xid;
    IF EXISTS (SELECT FROM pgcast.meta m
               WHERE m.dropped_before >= part_end
                 AND coalesce(m.dropped_xid, '0') >= coalesce(last_xid, '0')) THEN
      -- Partitions made in this transaction keep readers out; then it must not wait for another one.
      CONTINUE WHEN created > 0 OR NOT EXISTS (
        SELECT FROM pgcast.upkeep u WHERE u.expired_at < clock_timestamp() - interval '1 minute');
      EXIT WHEN NOT pgcast.drop_partition(part);  -- the others would wait for the same lock
      dropped := dropped + 1;
    ELSE
      PERFORM pgcast.declare_dropped(last_xid, part_end);
      UPDATE pgcast.upkeep SET expired_at = clock_timestamp();
    END IF;
  END LOOP;
END $$;

-- Which server this is, and the first transaction id that crash recovery handed out anew.
--
-- recovered_xid is null unless the last checkpoint is still the one that ended crash recovery. That
-- one begins where it stands, as one of a clean shutdown does; but only recovery in this life of
-- the postmaster leaves statistics that were reset since its start. With wal_level minimal an
-- ordinary checkpoint can look the same. The timeline is that of the WAL being written: after a
-- promotion the control file shows the old one for a while.
CREATE OR REPLACE FUNCTION pgcast.server_state(OUT system_identifier bigint, OUT timeline int,
                                               OUT recovered_xid xid8)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  timeline := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int;
  SELECT s.system_identifier INTO system_identifier FROM pg_control_system() s;
  SELECT ((split_part(c.next_xid, ':', 1)::numeric * 4294967296
           + split_part(c.next_xid, ':', 2)::numeric)::text)::xid8 INTO recovered_xid
  FROM pg_control_checkpoint() c, pg_stat_bgwriter b
  WHERE c.checkpoint_lsn = c.redo_lsn
    AND c.timeline_id = timeline
    AND c.checkpoint_time >= date_trunc('second', pg_postmaster_start_time())
    AND b.stats_reset >= pg_postmaster_start_time()
    AND current_setting('wal_level') <> 'minimal';
EXCEPTION WHEN insufficient_privilege THEN
  system_identifier := 0;  -- a host that hides its control file: a crash is then a new epoch
  timeline := coalesce(timeline, 0);
  recovered_xid := NULL;
END $$;

-- Called by a reader at every connect: which history a position of now belongs to.
--
-- An empty marker means that the server has recovered from a crash since the last call: a new
-- incarnation if it is known from which id on transactions are new, else a new epoch. Another
-- system identifier or timeline is a new epoch as well. After either, event ids go on from a number
-- that was never given out, and rows of another server's future transactions are deleted: they
-- would turn up as new when this one reaches those ids.
--
-- The session holds a key from now on that tells writers that a daemon is there. If rows were left
-- out while none was, nothing up to here counts as kept.
CREATE OR REPLACE FUNCTION pgcast.attach(OUT epoch text, OUT incarnation int, OUT cursor_key bytea)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  server record;
  from_xid xid8;
  is_same_server boolean;
  last_pause bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(8099551725049085954);
  PERFORM pg_advisory_lock_shared(8099551725049085955);
  PERFORM pgcast.want_until(clock_timestamp() + u.retention) FROM pgcast.upkeep u;
  SELECT * INTO server FROM pgcast.server_state();
  SELECT m.system_identifier = server.system_identifier AND m.timeline = server.timeline
    INTO STRICT is_same_server FROM pgcast.meta m;

  IF NOT is_same_server OR NOT EXISTS (SELECT FROM pgcast.marker) THEN
    from_xid := server.recovered_xid;
    IF NOT is_same_server OR from_xid IS NULL THEN
      from_xid := '3';
      UPDATE pgcast.meta
      SET epoch = pgcast.random_epoch(),
          system_identifier = server.system_identifier, timeline = server.timeline,
          dropped_xid = NULL;  -- it was about cursors of the old epoch
      DELETE FROM pgcast.outbox WHERE xid >= pg_snapshot_xmax(pg_current_snapshot());
    END IF;
    INSERT INTO pgcast.incarnation (number, first_xid)
    SELECT max(i.number) + 1, from_xid FROM pgcast.incarnation i;
    PERFORM pgcast.advance_id();
    INSERT INTO pgcast.marker DEFAULT VALUES ON CONFLICT DO NOTHING;
    IF current_setting('synchronous_commit') = 'off' THEN
      -- An incarnation that a cursor names must not be lost in the next crash.
      PERFORM set_config('synchronous_commit', 'local', true);
    END IF;
  END IF;

  last_pause := coalesce(pg_sequence_last_value('pgcast.paused_at'), 0);
  IF last_pause > (SELECT u.handled_pause FROM pgcast.upkeep u) THEN
    -- The id is drawn after the key was taken: whoever left a row out has a lower one.
    PERFORM pgcast.declare_dropped(pg_current_xact_id(), clock_timestamp());
    UPDATE pgcast.upkeep SET handled_pause = last_pause;
  END IF;

  SELECT m.epoch, (SELECT max(i.number) FROM pgcast.incarnation i), m.cursor_key
    INTO STRICT epoch, incarnation, cursor_key FROM pgcast.meta m;
END $$;

-- 16 random hex digits.
CREATE OR REPLACE FUNCTION pgcast.random_epoch() RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT left(encode(sha256(uuid_send(gen_random_uuid())), 'hex'), 16) $$;

-- Moves event ids past all that were ever given out, also by a database that this one replaces:
-- they start at the microseconds since 1970, which no stream of events overtakes. Clients drop what
-- has an id that they have seen.
CREATE OR REPLACE FUNCTION pgcast.advance_id() RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT setval('pgcast.outbox_id',
                greatest(last_value, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint))
  FROM pgcast.outbox_id
$$;
-- pgcast, part 4 of 4: first rows, triggers on the tables, privileges.

INSERT INTO pgcast.meta (schema_version, epoch, cursor_key, system_identifier, timeline)
SELECT 2, pgcast.random_epoch(),
       sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
              || uuid_send(gen_random_uuid())),
       s.system_identifier, s.timeline
FROM pgcast.server_state() s
WHERE NOT EXISTS (SELECT FROM pgcast.meta);
UPDATE pgcast.meta SET schema_version = 2 WHERE schema_version <> 2;
INSERT INTO pgcast.upkeep DEFAULT VALUES ON CONFLICT DO NOTHING;

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pgcast.incarnation) THEN
    INSERT INTO pgcast.incarnation (number, first_xid) VALUES (1, '3');
    INSERT INTO pgcast.marker DEFAULT VALUES;
    PERFORM pgcast.advance_id();
  END IF;
  PERFORM pgcast.make_partitions();
END $$;

SET LOCAL client_min_messages = notice;

-- The recruiting tables, and once more what was relayed before. All tables without them, or with those of the first version, are
-- locked together: one after another they could deadlock with the application.
DO $$
DECLARE
  recruiting pgcast.relation[] := ARRAY[
    ('public', 'session_info', 'session_id', 'campaign', ''),
    ('public', 'chat_history', 'session_id', '', ''),
    ('public', 'call_info', 'session_id', '', ''),
    ('public', 'session_objective_events', 'session_id', '', ''),
    ('public', 'campaigns', 'session_id', 'campaign', ''),
    ('public', 'campaign_info', '', 'campaign', ''),
    ('public', 'numbers', 'session_id', '', 'phone_number')]::pgcast.relation[];
  wanted pgcast.relation;
  target regclass;
  bare regclass[] := '{}';
  missing text[] := '{}';
BEGIN
  recruiting := recruiting || ARRAY(
    SELECT r FROM pgcast.relation r
    WHERE NOT EXISTS (SELECT FROM unnest(recruiting) u
                      WHERE (u.schema_name, u.table_name) = (r.schema_name, r.table_name)));
  FOREACH wanted IN ARRAY recruiting LOOP
    target := to_regclass(format('%I.%I', wanted.schema_name, wanted.table_name));
    IF target IS NULL THEN
      missing := missing || format('%I.%I', wanted.schema_name, wanted.table_name);
    ELSIF (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = target AND t.tgfoid IN
           ('pgcast.capture()'::regprocedure, 'pgcast.capture_insert()'::regprocedure)) <> 4 THEN
      bare := bare || target;
    END IF;
  END LOOP;

  PERFORM pgcast.lock_tables(bare, 'SHARE ROW EXCLUSIVE');
  FOREACH wanted IN ARRAY recruiting LOOP
    target := to_regclass(format('%I.%I', wanted.schema_name, wanted.table_name));
    IF target IS NOT NULL THEN
      PERFORM pgcast.relay(target, wanted.session_column, wanted.campaign_column,
                           wanted.phone_column);
    END IF;
  END LOOP;
  IF missing <> '{}' THEN
    RAISE NOTICE 'pgcast: no such table, not relayed: %', array_to_string(missing, ', ')
      USING HINT = 'Create the missing tables, then run pgcast install again.';
  END IF;
END $$;

-- Only the owner, and who the owner grants it to, reads the outbox. A trigger function needs no
-- privilege when it fires, so writes of any role are captured.
REVOKE ALL ON SCHEMA pgcast FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA pgcast FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA pgcast FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgcast FROM PUBLIC;

DO $$  -- default privileges of the database may have granted more than PUBLIC has
DECLARE
  api_role text;
BEGIN
  FOR api_role IN
    SELECT quote_ident(rolname) FROM pg_roles
    WHERE rolname IN ('anon', 'authenticated', 'service_role', 'authenticator')
  LOOP
    EXECUTE 'REVOKE ALL ON SCHEMA pgcast FROM ' || api_role;
    EXECUTE 'REVOKE ALL ON ALL TABLES IN SCHEMA pgcast FROM ' || api_role;
    EXECUTE 'REVOKE ALL ON ALL SEQUENCES IN SCHEMA pgcast FROM ' || api_role;
    EXECUTE 'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgcast FROM ' || api_role;
  END LOOP;
END $$;
