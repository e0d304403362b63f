-- pgcast, part 6 of 6: privileges.

-- Only the owner, and who the owner grants it to, reads the outbox. A trigger function needs no
-- privilege when it fires, so writes of any role are captured.
REVOKE ALL ON SCHEMA pgcast FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA pgcast FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA pgcast FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgcast FROM PUBLIC;

-- Two exceptions, which nobody can name who may not use the schema. Postgres asks for EXECUTE again when
-- it copies a trigger to a new partition, as whoever makes that; and an index by normalize_phone()
-- calls it as whoever writes.
GRANT EXECUTE ON FUNCTION pgcast.capture(), pgcast.capture_insert(), pgcast.capture_broadcast(),
  pgcast.normalize_phone(text) TO PUBLIC;

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
