-- pgcast, part 1 of 6: the schema and its tables.
--
-- `pgcast install` runs all parts in one transaction, as the owner of the relayed tables (no
-- superuser needed). Every part can be run again at any time: what exists already is left alone and
-- not locked. All objects are in the schema pgcast, except the triggers on the relayed tables and
-- the schema realtime (part 5).
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
  IF installed > 3 THEN
    RAISE EXCEPTION 'schema pgcast has version %, this program knows up to 3: use the newer pgcast',
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

-- One row per changed row or broadcast. Written by the triggers of parts 2 and 5 only. There is no primary key: nothing looks
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
    operation "char" NOT NULL,  -- I, U, D, T (TRUNCATE) or B (broadcast, part 5)
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
