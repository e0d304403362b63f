-- pgcast, part 1 of 4: the schema and its tables.
--
-- `pgcast install` runs all parts in one transaction, as the owner of the relayed tables (no
-- superuser needed). Every part can be run again at any time: what exists already is left alone and
-- not locked. All objects are in the schema pgcast, except the triggers on the relayed tables.
--
-- Advisory keys are 'pgcast' and a number: 8099551725049085953 is the doorbell (part 2),
-- 8099551725049085954 is held by whoever changes anything here (install, attach, maintain).

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
  IF installed > 1 THEN
    RAISE EXCEPTION 'schema pgcast has version %, this program knows up to 1: use the newer pgcast',
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
  dropped_xid xid8,                   -- highest in dropped partitions: older cursors are too old
  dropped_before timestamptz          -- their end: times before it are too old
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

-- What is relayed, and the columns that route it ('' = none).
CREATE TABLE IF NOT EXISTS pgcast.relation (
  schema_name text NOT NULL,
  table_name text NOT NULL,
  session_column text NOT NULL,
  campaign_column text NOT NULL,
  phone_column text NOT NULL,
  PRIMARY KEY (schema_name, table_name)
);

-- One row per changed row. Written by pgcast.capture() only. There is no primary key: nothing looks
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

-- Makes the partitions of today and the next two days (UTC) and drops those that hold only rows
-- older than `retention`. Never waits long and never fails for a lock: the next call tries again.
-- `stray` counts rows in the DEFAULT partition, which stay there; it should be 0.
CREATE OR REPLACE FUNCTION pgcast.maintain(retention interval, OUT created int, OUT dropped int,
                                           OUT stray bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, MDY'
SET lock_timeout = '1s'
SET client_min_messages = warning
AS $$
DECLARE
  today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  oldest timestamptz := clock_timestamp() - retention;
  part text;
  last_xid xid8;
BEGIN
  IF retention IS NULL OR retention < interval '0' THEN
    RAISE EXCEPTION 'the retention must not be negative, it is %', retention
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  created := 0;
  dropped := 0;
  IF NOT pg_try_advisory_xact_lock(8099551725049085954) THEN
    stray := 0;
    RETURN;  -- somebody else is at it
  END IF;

  FOR part IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'pgcast.outbox'::regclass AND c.relname ~ '^outbox_[0-9]{8}$'
      AND (right(c.relname, 8)::date + 1)::timestamptz <= oldest
      AND right(c.relname, 8)::date < today
    ORDER BY c.relname
  LOOP
    BEGIN
      EXECUTE format('SELECT xid FROM pgcast.%I ORDER BY xid DESC LIMIT 1', part) INTO last_xid;
      EXECUTE format('DROP TABLE pgcast.%I', part);
      UPDATE pgcast.meta SET dropped_xid = greatest(dropped_xid, last_xid),
        dropped_before = greatest(dropped_before, (right(part, 8)::date + 1)::timestamptz);
      dropped := dropped + 1;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      EXIT;  -- the others would wait for the same lock
    END;
  END LOOP;

  FOR day IN 0..2 LOOP
    part := 'outbox_' || to_char(today + day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass('pgcast.' || part) IS NOT NULL;
    BEGIN
      EXECUTE format('CREATE TABLE pgcast.%I (LIKE pgcast.outbox INCLUDING ALL)', part);
      EXECUTE format('ALTER TABLE pgcast.outbox ATTACH PARTITION pgcast.%I '
                     'FOR VALUES FROM (%L) TO (%L)',
                     part, (today + day)::timestamptz, (today + day + 1)::timestamptz);
      created := created + 1;
    EXCEPTION WHEN lock_not_available OR deadlock_detected OR check_violation THEN
      NULL;  -- check_violation: that day has rows in the DEFAULT partition already
    END;
  END LOOP;

  SELECT count(*) INTO stray FROM pgcast.outbox_default;
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
CREATE OR REPLACE FUNCTION pgcast.attach(OUT epoch text, OUT incarnation int, OUT cursor_key bytea)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  server record;
  from_xid xid8;
  is_same_server boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(8099551725049085954);
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
SELECT 1, pgcast.random_epoch(),
       sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
              || uuid_send(gen_random_uuid())),
       s.system_identifier, s.timeline
FROM pgcast.server_state() s
WHERE NOT EXISTS (SELECT FROM pgcast.meta);
UPDATE pgcast.meta SET schema_version = 1 WHERE schema_version <> 1;

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pgcast.incarnation) THEN
    INSERT INTO pgcast.incarnation (number, first_xid) VALUES (1, '3');
    INSERT INTO pgcast.marker DEFAULT VALUES;
    PERFORM pgcast.advance_id();
  END IF;
  PERFORM pgcast.maintain('1000 years');  -- makes partitions, drops none
END $$;

SET LOCAL client_min_messages = notice;

-- The recruiting tables, and once more what was relayed before. All tables without triggers are
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
    ELSIF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = target
                      AND t.tgfoid = 'pgcast.capture()'::regprocedure) THEN
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
