-- The seven tables of the recruiting agent, as they are in production, the roles that PostgREST and
-- Supabase use, and the auth functions that policies call. Everything is created only where it is
-- missing. Run it as the role that is to own the tables; where the roles are missing and the server
-- is older than 16, that takes a superuser.

DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT %s', wanted,
                       CASE wanted WHEN 'service_role' THEN 'BYPASSRLS' ELSE '' END);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- roles are shared by all databases: another one made it just now
      END;
    END IF;
    IF NOT pg_has_role(wanted, 'MEMBER') THEN
      EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
    END IF;
  END LOOP;
END $$;

CREATE TABLE IF NOT EXISTS public.campaign_info (
  campaign text PRIMARY KEY,
  job_info text,
  objectives_template jsonb,
  prompt_chat text,
  prompt_call text,
  first_message_chat text,
  first_message_call text,
  start timestamptz,
  "end" timestamptz
);

CREATE TABLE IF NOT EXISTS public.session_info (
  session_id text PRIMARY KEY,
  created_at timestamptz,
  updated_at timestamptz,
  user_updated timestamptz,
  agent_updated timestamptz,
  last_action text,
  action_status text,
  session_status text DEFAULT 'active',
  last_user_msg_at timestamptz,
  last_agent_msg_at timestamptz,
  last_outbound_at timestamptz,
  next_reminder_at timestamptz,
  reminder_count int DEFAULT 0,
  tz text DEFAULT 'Europe/London',
  campaign text REFERENCES public.campaign_info (campaign),
  objectives jsonb,
  latest_batch_call_id text
);
CREATE INDEX IF NOT EXISTS session_info_campaign_idx ON public.session_info (campaign);
CREATE INDEX IF NOT EXISTS session_info_reminder_idx
  ON public.session_info (session_status, next_reminder_at);

CREATE TABLE IF NOT EXISTS public.chat_history (
  id serial PRIMARY KEY,
  session_id varchar(255),
  message jsonb
);

CREATE TABLE IF NOT EXISTS public.call_info (
  call_id text PRIMARY KEY,
  status text,
  called_at timestamptz,
  duration interval,
  transcript text,
  recording_url text,
  analysis jsonb,
  session_id text REFERENCES public.session_info (session_id),
  batch_call_id text
);
CREATE INDEX IF NOT EXISTS call_info_called_at_idx ON public.call_info (called_at);

CREATE TABLE IF NOT EXISTS public.campaigns (
  session_id text REFERENCES public.session_info (session_id),
  campaign text REFERENCES public.campaign_info (campaign)
);

CREATE TABLE IF NOT EXISTS public.numbers (
  session_id text REFERENCES public.session_info (session_id),
  phone_number text
);

CREATE TABLE IF NOT EXISTS public.session_objective_events (
  id bigserial PRIMARY KEY,
  session_id text REFERENCES public.session_info (session_id),
  objective text,
  old_value jsonb,
  new_value jsonb,
  source text CHECK (source IN ('call', 'chat', 'manual')),
  occurred_at timestamptz
);

GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
GRANT ALL ON public.campaign_info, public.session_info, public.chat_history, public.call_info,
  public.campaigns, public.numbers, public.session_objective_events
  TO anon, authenticated, service_role;
GRANT ALL ON SEQUENCE public.chat_history_id_seq, public.session_objective_events_id_seq
  TO anon, authenticated, service_role;

-- What Supabase has in its schema auth; policies read the token's claims with it.
DO $$
BEGIN
  IF to_regprocedure('auth.jwt()') IS NOT NULL THEN
    RETURN;
  END IF;
  CREATE SCHEMA IF NOT EXISTS auth;
  GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
  CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS
    'SELECT nullif(current_setting(''request.jwt.claims'', true), '''')::jsonb';
  CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
    'SELECT nullif(auth.jwt() ->> ''sub'', '''')::uuid';
  CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS
    'SELECT auth.jwt() ->> ''role''';
  CREATE FUNCTION auth.email() RETURNS text LANGUAGE sql STABLE AS
    'SELECT auth.jwt() ->> ''email''';
END $$;
