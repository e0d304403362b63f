-- pgcast, part 3 of 6: what the daemon calls.

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

-- Whether a daemon is connected to this database: its sessions hold a key in shared mode.
CREATE OR REPLACE FUNCTION pgcast.has_daemon() RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN pg_try_advisory_lock(8099551725049085955)
              THEN NOT pg_advisory_unlock(8099551725049085955)
              ELSE EXISTS (  -- or is it only another writer that looks just now?
                SELECT FROM pg_locks l
                WHERE l.locktype = 'advisory' AND l.mode = 'ShareLock' AND l.granted
                  AND l.objsubid = 1
                  AND l.database = (SELECT d.oid FROM pg_database d
                                    WHERE d.datname = current_database())
                  AND (l.classid::bigint << 32) + l.objid::bigint = 8099551725049085955) END;
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
  IF NOT pgcast.has_daemon() THEN
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
-- only rows older than `retention`; then looks after realtime.messages (part 5). Never waits long
-- and never fails for a lock: the next call tries again. `stray` counts rows in the DEFAULT
-- partition, up to 100,000; it should be 0.
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
  BEGIN
    PERFORM pgcast.maintain_messages();
  EXCEPTION WHEN OTHERS THEN
    -- Somebody's view on a partition, say: it must not stop the upkeep of the outbox.
    RAISE WARNING 'pgcast: realtime.messages is not kept in order: %', SQLERRM;
  END;
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
