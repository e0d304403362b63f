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
