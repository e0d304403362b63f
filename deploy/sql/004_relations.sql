-- pgcast, part 4 of 6: first rows, triggers on the tables.

INSERT INTO pgcast.meta (schema_version, epoch, cursor_key, system_identifier, timeline)
SELECT 3, pgcast.random_epoch(),
       sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
              || uuid_send(gen_random_uuid())),
       s.system_identifier, s.timeline
FROM pgcast.server_state() s
WHERE NOT EXISTS (SELECT FROM pgcast.meta);
UPDATE pgcast.meta SET schema_version = 3 WHERE schema_version <> 3;
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
