-- pgcast, part 5 of 6: broadcasts from the database.
--
-- Applications call realtime.send() and realtime.broadcast_changes(), and write policies on
-- realtime.messages for their private channels, as they do on Supabase. Where there is no schema
-- realtime it is made here, and pgcast.owns_realtime() knows it again; a schema of somebody else (a
-- hosted Supabase) is used as it is, with a trigger of ours on its table if the role may put one
-- there. What cannot be had is told in a NOTICE and by `pgcast check`; the rest works without it.

-- The key under which the broadcasts of a topic stand in the outbox: that of the daemon's hubs
-- (topic_key in protocol/topic.cpp). `private` tells plain topics apart, and nothing else.
CREATE OR REPLACE FUNCTION pgcast.topic_key(topic text, private boolean) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN topic ~ '^(session|campaign):' THEN topic
              WHEN topic ~ '^phone:' THEN 'phone:' || pgcast.normalize_phone(substr(topic, 7))
              WHEN private THEN 'private:' || topic
              ELSE 'public:' || topic END
$$;

-- Writes the outbox row of a message and rings. In that row session_id is the topic's key, record
-- all but the payload, and old_record the payload: JSON, or base64url of bytes.
--
-- It reads the row as jsonb, so that a table without a column that we know of fails nobody's write.
-- pgcast.message_ttl is set by keep_broadcast(). A key too long for the index is left out: such a
-- message is delivered, but not replayed.
CREATE OR REPLACE FUNCTION pgcast.capture_broadcast() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET bytea_output = 'hex'
AS $$
DECLARE
  message jsonb;
  envelope jsonb;
  key text;
  payload text;
  encoding text := 'json';
  ttl interval;
BEGIN
  BEGIN
    message := to_jsonb(NEW);
    IF message ->> 'extension' IS DISTINCT FROM 'broadcast' THEN
      RETURN NULL;
    END IF;
    IF message ->> 'binary_payload' IS NOT NULL THEN
      payload := translate(encode(decode(substr(message ->> 'binary_payload', 3), 'hex'), 'base64'),
                           E'+/=\n', '-_');
      encoding := 'base64url';
    ELSIF message ->> 'payload' IS NOT NULL THEN
      payload := message -> 'payload';
    END IF;
    IF payload IS NULL OR message ->> 'topic' IS NULL OR message ->> 'event' IS NULL THEN
      RETURN NULL;
    END IF;
    ttl := nullif(current_setting('pgcast.message_ttl', true), '');
    key := pgcast.topic_key(message ->> 'topic', (message ->> 'private')::boolean);
    envelope := jsonb_build_object(
      'id', message ->> 'id', 'topic', message ->> 'topic', 'event', message ->> 'event',
      'private', coalesce((message ->> 'private')::boolean, false), 'encoding', encoding,
      'expires_at', (extract(epoch FROM clock_timestamp() + ttl) * 1000)::bigint);
  EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'pgcast: a message is not sent: %', SQLERRM;  -- more than jsonb holds, 128 MB
    RETURN NULL;
  END;
  INSERT INTO pgcast.outbox (schema_name, table_name, operation, session_id, record, old_record)
  VALUES ('realtime', 'messages', 'B', CASE WHEN octet_length(key) <= 2000 THEN key END, envelope,
          payload);
  PERFORM pgcast.ring();
  RETURN NULL;
END $$;

-- Keeps a broadcast that came to the daemon, and gives its id; its trigger sends it, by every
-- daemon. Either `payload` or `bytes` is null. `ttl` null: replayed for as long as the outbox keeps it.
CREATE OR REPLACE FUNCTION pgcast.keep_broadcast(topic text, event text, payload jsonb, bytes bytea,
                                                 private boolean, ttl interval DEFAULT NULL,
                                                 id uuid DEFAULT gen_random_uuid())
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_trigger t
                 WHERE t.tgrelid = to_regclass('realtime.messages') AND t.tgenabled <> 'D'
                   AND t.tgfoid = 'pgcast.capture_broadcast()'::regprocedure) THEN
    RAISE EXCEPTION 'nothing relays realtime.messages: see pgcast check'
      USING ERRCODE = 'undefined_function';
  END IF;
  PERFORM set_config('pgcast.message_ttl', coalesce(ttl::text, ''), true);
  IF bytes IS NULL THEN
    INSERT INTO realtime.messages (id, topic, extension, event, payload, private)
    VALUES (id, topic, 'broadcast', event, payload, private);
  ELSE
    INSERT INTO realtime.messages (id, topic, extension, event, binary_payload, private)
    VALUES (id, topic, 'broadcast', event, bytes, private);
  END IF;
  PERFORM set_config('pgcast.message_ttl', '', true);
  RETURN id;
END $$;

-- Whether the schema realtime is the one that was made here.
CREATE OR REPLACE FUNCTION pgcast.owns_realtime() RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT EXISTS (
    SELECT FROM pg_namespace n WHERE n.nspname = 'realtime' AND pg_has_role(n.nspowner, 'USAGE')
      AND obj_description(n.oid, 'pg_namespace') = 'made by pgcast install')
$$;

-- Bounds realtime.messages while no daemon is there, as leave_out_unwanted() does the outbox: a
-- trigger of its DEFAULT partition, where rows go when nobody makes partitions.
CREATE OR REPLACE FUNCTION pgcast.leave_out_message() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF extract(epoch FROM clock_timestamp()) * 1000000
       > coalesce(pg_sequence_last_value('pgcast.wanted_until'), 0)
     AND NOT pgcast.has_daemon() THEN
    RETURN NULL;
  END IF;
  RETURN NEW;
END $$;

-- Nobody but the owner may use the table or a partition, whatever default privileges have granted.
CREATE OR REPLACE FUNCTION pgcast.close_messages(part text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  grantee text;
BEGIN
  EXECUTE format('ALTER TABLE realtime.%I ENABLE ROW LEVEL SECURITY', part);
  FOR grantee IN
    SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
    FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.oid = format('realtime.%I', part)::regclass AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('REVOKE ALL ON realtime.%I FROM %s', part, grantee);
  END LOOP;
END $$;

-- Keeps our realtime.messages to 72 hours: makes the partitions of today and the next two days
-- (UTC) and drops old ones. Never waits long and never fails for a lock.
CREATE OR REPLACE FUNCTION pgcast.maintain_messages() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, MDY'
SET lock_timeout = '300ms'
AS $$
DECLARE
  today date := clock_timestamp()::date;
  oldest timestamp := clock_timestamp()::timestamp - interval '72 hours';
  part text;
BEGIN
  IF NOT pgcast.owns_realtime() OR to_regclass('realtime.messages_default') IS NULL THEN
    RETURN;
  END IF;
  FOR day IN 0..2 LOOP
    part := 'messages_' || to_char(today + day, 'YYYY_MM_DD');
    CONTINUE WHEN to_regclass('realtime.' || part) IS NOT NULL
      OR EXISTS (SELECT FROM realtime.messages_default d
                 WHERE d.inserted_at >= today + day AND d.inserted_at < today + day + 1);
    BEGIN
      EXECUTE format('CREATE TABLE realtime.%I (LIKE realtime.messages INCLUDING ALL)', part);
      PERFORM pgcast.close_messages(part);
      EXECUTE format('ALTER TABLE realtime.messages ATTACH PARTITION realtime.%I '
                     'FOR VALUES FROM (%L) TO (%L)', part, today + day, today + day + 1);
    EXCEPTION WHEN lock_not_available OR deadlock_detected OR check_violation THEN
      NULL;  -- check_violation: a row for that day came meanwhile
    END;
  END LOOP;
  BEGIN
    DELETE FROM realtime.messages_default d
    WHERE d.ctid = ANY (ARRAY(SELECT e.ctid FROM realtime.messages_default e
                              WHERE e.inserted_at < oldest LIMIT 100000));
    FOR part IN
      SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'realtime.messages'::regclass
        AND c.relname ~ '^messages_[0-9]{4}_[0-9]{2}_[0-9]{2}$'
        AND to_date(right(c.relname, 10), 'YYYY_MM_DD') + 1 <= oldest
    LOOP
      EXECUTE format('DROP TABLE realtime.%I', part);
    END LOOP;
  EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    NULL;  -- in use: the next call tries again
  END;
END $$;

DO $$
DECLARE
  is_new boolean;
  api_role text;
BEGIN
  IF to_regnamespace('realtime') IS NULL THEN
    CREATE SCHEMA realtime;
    COMMENT ON SCHEMA realtime IS 'made by pgcast install';
  ELSIF NOT pgcast.owns_realtime() THEN
    RETURN;
  END IF;

  -- The columns are Supabase's. Who may read and write which rows is for the application's policies
  -- to say: without one nobody may.
  is_new := to_regclass('realtime.messages') IS NULL;
  IF is_new THEN
    CREATE TABLE realtime.messages (
      topic text NOT NULL,
      extension text NOT NULL,
      payload jsonb,
      event text,
      private boolean DEFAULT false,
      updated_at timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
      inserted_at timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
      id uuid NOT NULL DEFAULT gen_random_uuid(),
      binary_payload bytea,
      PRIMARY KEY (id, inserted_at),
      CONSTRAINT messages_payload_exclusive CHECK (payload IS NULL OR binary_payload IS NULL)
    ) PARTITION BY RANGE (inserted_at);
    PERFORM pgcast.close_messages('messages');
    CREATE TABLE realtime.messages_default PARTITION OF realtime.messages DEFAULT;
    PERFORM pgcast.close_messages('messages_default');
  END IF;
  IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = to_regclass('realtime.messages_default')
                 AND t.tgname = 'leave_out_message') THEN
    CREATE TRIGGER leave_out_message BEFORE INSERT ON realtime.messages_default
      FOR EACH ROW EXECUTE FUNCTION pgcast.leave_out_message();
  END IF;
  PERFORM pgcast.maintain_messages();

  -- Text of the topic that a policy is asked about, or that a message is sent to.
  CREATE OR REPLACE FUNCTION realtime.topic() RETURNS text
  LANGUAGE sql STABLE
  AS 'SELECT nullif(pg_catalog.current_setting(''realtime.topic'', true), '''')';

  -- Sends JSON to a topic when the transaction commits. Whatever is wrong with it is a WARNING: it
  -- never fails the caller's own work. Runs as the caller, under the policies of realtime.messages.
  CREATE OR REPLACE FUNCTION realtime.send(payload jsonb, event text, topic text,
                                           private boolean DEFAULT true) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  AS $body$
  DECLARE
    message_id uuid := gen_random_uuid();
  BEGIN
    PERFORM set_config('realtime.topic', topic, true);
    INSERT INTO realtime.messages (id, topic, extension, event, payload, private)
    VALUES (message_id, topic, 'broadcast', event,
            CASE WHEN payload ? 'id' THEN payload
                 ELSE jsonb_set(payload, '{id}', to_jsonb(message_id)) END, private);
  EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'WarnSendingBroadcastMessage: %', SQLERRM;
  END $body$;

  -- The same with bytes, which go only to clients that speak vsn 2.0.0.
  CREATE OR REPLACE FUNCTION realtime.send_binary(payload bytea, event text, topic text,
                                                  private boolean DEFAULT true) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  AS $body$
  BEGIN
    PERFORM set_config('realtime.topic', topic, true);
    INSERT INTO realtime.messages (topic, extension, event, binary_payload, private)
    VALUES (topic, 'broadcast', event, payload, private);
  EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'WarnSendingBroadcastMessage: %', SQLERRM;
  END $body$;

  -- For an application's trigger FOR EACH ROW: sends the change to a private topic.
  CREATE OR REPLACE FUNCTION realtime.broadcast_changes(
    topic_name text, event_name text, operation text, table_name text, table_schema text,
    new record, old record, level text DEFAULT 'ROW') RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET "TimeZone" = 'UTC'
  AS $body$
  BEGIN
    IF level = 'STATEMENT' THEN
      RAISE EXCEPTION 'broadcast_changes() is for triggers FOR EACH ROW, not for each statement'
        USING ERRCODE = 'invalid_parameter_value';
    ELSIF operation IS NULL OR operation NOT IN ('INSERT', 'UPDATE', 'DELETE') THEN
      RAISE EXCEPTION 'broadcast_changes() knows INSERT, UPDATE and DELETE, not %', operation
        USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM realtime.send(jsonb_build_object(
      'schema', table_schema, 'table', table_name, 'operation', operation,
      'record', new, 'old_record', old), event_name, topic_name);
  END $body$;

  IF is_new THEN
    FOR api_role IN
      SELECT quote_ident(rolname) FROM pg_roles
      WHERE rolname IN ('anon', 'authenticated', 'service_role')
    LOOP
      EXECUTE 'GRANT USAGE ON SCHEMA realtime TO ' || api_role;
      EXECUTE 'GRANT SELECT, INSERT, UPDATE ON realtime.messages TO ' || api_role;
      EXECUTE 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA realtime TO ' || api_role;
    END LOOP;
  END IF;
END $$;

-- The trigger, also on a table that is not ours. Partitions, those made later too, get it with it.
DO $$
DECLARE
  messages regclass;
  problem text;
BEGIN
  IF has_schema_privilege('realtime', 'USAGE') THEN
    messages := to_regclass('realtime.messages');
  END IF;
  IF messages IS NULL THEN
    problem := 'finds no table messages in the schema realtime, which is somebody else''s';
  ELSIF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = messages
                    AND t.tgfoid = 'pgcast.capture_broadcast()'::regprocedure) THEN
    BEGIN
      PERFORM pgcast.lock_tables(ARRAY[messages], 'SHARE ROW EXCLUSIVE');
      CREATE TRIGGER pgcast_broadcast AFTER INSERT ON realtime.messages
        FOR EACH ROW EXECUTE FUNCTION pgcast.capture_broadcast();
    EXCEPTION WHEN insufficient_privilege THEN
      problem := 'may not put a trigger on realtime.messages';
    END;
  END IF;
  IF problem IS NOT NULL THEN
    RAISE NOTICE 'pgcast: role % %, so no broadcasts from the database', current_user, problem
      USING HINT = 'pgcast check says what to do.';
  END IF;
END $$;
