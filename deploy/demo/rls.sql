-- Example row-level security for the demo, by claims of the token alone:
--   "campaigns": ["hgv-drivers", ..]  a recruiter sees these campaigns and all of their sessions
--   "sub": "<session_id>"             a candidate sees their own session
-- anon sees nothing, service_role everything. Can be run again.

SET client_min_messages = warning;  -- no word about policies that are not there yet

ALTER TABLE public.campaign_info ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.session_info ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.chat_history ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.call_info ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.campaigns ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.numbers ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.session_objective_events ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS own_campaigns ON public.campaign_info;
CREATE POLICY own_campaigns ON public.campaign_info FOR SELECT TO authenticated
  USING ((SELECT auth.jwt()) -> 'campaigns' ? campaign);

DROP POLICY IF EXISTS own_sessions ON public.session_info;
CREATE POLICY own_sessions ON public.session_info FOR SELECT TO authenticated
  USING ((SELECT auth.jwt()) -> 'campaigns' ? campaign
         OR session_id = (SELECT auth.jwt()) ->> 'sub');

-- What belongs to a session is seen by who sees the session: the subselect obeys the policy above.
DROP POLICY IF EXISTS own_sessions ON public.chat_history;
CREATE POLICY own_sessions ON public.chat_history FOR SELECT TO authenticated
  USING (EXISTS (SELECT FROM public.session_info s WHERE s.session_id = chat_history.session_id));

DROP POLICY IF EXISTS own_sessions ON public.call_info;
CREATE POLICY own_sessions ON public.call_info FOR SELECT TO authenticated
  USING (EXISTS (SELECT FROM public.session_info s WHERE s.session_id = call_info.session_id));

DROP POLICY IF EXISTS own_sessions ON public.campaigns;
CREATE POLICY own_sessions ON public.campaigns FOR SELECT TO authenticated
  USING (EXISTS (SELECT FROM public.session_info s WHERE s.session_id = campaigns.session_id));

DROP POLICY IF EXISTS own_sessions ON public.numbers;
CREATE POLICY own_sessions ON public.numbers FOR SELECT TO authenticated
  USING (EXISTS (SELECT FROM public.session_info s WHERE s.session_id = numbers.session_id));

DROP POLICY IF EXISTS own_sessions ON public.session_objective_events;
CREATE POLICY own_sessions ON public.session_objective_events FOR SELECT TO authenticated
  USING (EXISTS (SELECT FROM public.session_info s
                 WHERE s.session_id = session_objective_events.session_id));

-- Who sees a session may write into its chat.
DROP POLICY IF EXISTS write_chat ON public.chat_history;
CREATE POLICY write_chat ON public.chat_history FOR INSERT TO authenticated
  WITH CHECK (EXISTS (SELECT FROM public.session_info s
                      WHERE s.session_id = chat_history.session_id));

RESET client_min_messages;
