-- Invented sample data for the demo: 3 campaigns, 8 sessions, 58 chat messages in the dialects that
-- agents write, calls and objectives. Times are relative to now. The numbers are from the range that
-- Ofcom keeps for fiction (+44 7700 900xxx). Loads nothing where there is a session already.

DO $demo$
BEGIN
  IF EXISTS (SELECT FROM public.session_info) THEN
    RAISE NOTICE 'session_info has rows: the sample data is not loaded';
    RETURN;
  END IF;

  INSERT INTO public.campaign_info (campaign, job_info, objectives_template, prompt_chat, prompt_call,
                                    first_message_chat, first_message_call, start, "end")
  VALUES
    ('care-assistants', 'Care assistant, Leeds. 12.60 GBP an hour, days and nights, full driving licence.',
     '{"right_to_work": {"value": null}, "driving_licence": {"value": null}, "interview_booked": {"value": null}}',
     'You recruit care assistants for a home in Leeds. Be warm and brief.',
     'You are calling about a care assistant job in Leeds.',
     'Hi, this is Ava from Northgate Care. Are you still looking for care work in Leeds?',
     'Hello, this is Ava calling from Northgate Care.',
     now() - interval '14 days', now() + interval '30 days'),
    ('warehouse-nights', 'Warehouse operative, nights, Coventry. 13.10 GBP an hour, weekly pay.',
     '{"right_to_work": {"value": null}, "night_shifts_ok": {"value": null}, "start_date": {"value": null}}',
     'You recruit warehouse staff for night shifts in Coventry.',
     'You are calling about night shifts in a warehouse in Coventry.',
     'Hello! Midland Logistics is hiring for nights in Coventry. Interested?',
     'Hello, this is Sam from Midland Logistics.',
     now() - interval '7 days', now() + interval '21 days'),
    ('hgv-drivers', 'HGV class 1 driver, Bristol. 17.40 GBP an hour, tramping.',
     '{"cpc_card": {"value": null}, "interview_booked": {"value": null}}',
     'You recruit HGV drivers in Bristol.', 'You are calling about a driving job in Bristol.',
     'Hi, are you open to class 1 work out of Bristol?', 'Hello, this is Jo from Severn Haulage.',
     now() - interval '2 days', NULL);

  INSERT INTO public.session_info (session_id, created_at, updated_at, last_action, action_status,
                                   session_status, next_reminder_at, reminder_count, campaign, objectives)
  SELECT v.session_id, now() - v.age, now() - v.age / 20, v.last_action, 'done', v.status,
         now() + v.reminder, v.reminders, v.campaign, v.objectives::jsonb
  FROM (VALUES
    ('sess-amara', interval '3 days', 'chat', 'active', interval '1 day', 0, 'care-assistants',
     '{"right_to_work": {"value": true}, "driving_licence": {"value": true}, "interview_booked": {"value": true}}'),
    ('sess-ben', interval '2 days', 'chat', 'active', interval '4 hours', 1, 'care-assistants',
     '{"right_to_work": {"value": true}, "driving_licence": {"value": false}}'),
    ('sess-chloe', interval '30 hours', 'call', 'active', interval '20 hours', 0, 'care-assistants',
     '{"right_to_work": {"value": true}}'),
    ('sess-dev', interval '5 days', 'reminder', 'paused', NULL, 3, 'warehouse-nights',
     '{"right_to_work": {"value": true}, "night_shifts_ok": {"value": false}}'),
    ('sess-elena', interval '20 hours', 'chat', 'active', interval '2 hours', 0, 'warehouse-nights',
     '{"right_to_work": true, "night_shifts_ok": true, "start_date": {"value": true}}'),
    ('sess-femi', interval '9 hours', 'chat', 'active', interval '6 hours', 0, 'warehouse-nights',
     '{"night_shifts_ok": {"value": true}}'),
    ('sess-grace', interval '26 hours', 'call', 'completed', NULL, 0, 'hgv-drivers',
     '{"cpc_card": {"value": true}, "interview_booked": {"value": true}}'),
    ('sess-harry', interval '70 minutes', 'chat', 'active', interval '1 day', 0, 'hgv-drivers', '{}'))
    AS v(session_id, age, last_action, status, reminder, reminders, campaign, objectives);

  INSERT INTO public.numbers (session_id, phone_number) VALUES
    ('sess-amara', '+447700900101'), ('sess-ben', '+447700900102'), ('sess-chloe', '+447700900103'),
    ('sess-dev', '+447700900104'), ('sess-elena', '+44 7700 900105'), ('sess-femi', '00447700900106'),
    ('sess-grace', '+447700900107'), ('sess-harry', '+447700900108');

  INSERT INTO public.campaigns (session_id, campaign)
  SELECT session_id, campaign FROM public.session_info ORDER BY session_id;

  -- Dialects: 1 = sender and text, 2 = LangChain with data, 3 = LangChain with content.
  INSERT INTO public.chat_history (session_id, message)
  SELECT v.session_id,
         CASE v.dialect
           WHEN 1 THEN jsonb_build_object(
             'sender', CASE v.side WHEN 'u' THEN 'user' ELSE 'agent' END, 'text', v.content,
             'timestamp', to_char((now() - v.ago) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
             'status', CASE WHEN v.side = 'u' THEN 'received' WHEN v.ago > interval '2 hours' THEN 'read'
                       ELSE 'delivered' END)
           WHEN 2 THEN jsonb_build_object(
             'type', CASE v.side WHEN 'u' THEN 'human' ELSE 'ai' END,
             'data', jsonb_build_object('content', v.content))
           ELSE jsonb_build_object(
             'type', CASE v.side WHEN 'u' THEN 'human' ELSE 'ai' END, 'content', v.content)
         END
  FROM (VALUES
    ('sess-dev', interval '5 days', 3, 'a', 'Hello! Midland Logistics is hiring for nights in Coventry. Interested?'),
    ('sess-dev', interval '4 days 23 hours', 3, 'u', 'Maybe, what are the hours?'),
    ('sess-dev', interval '4 days 23 hours', 3, 'a', '10 pm to 6 am, five nights a week. Pay is 13.10 an hour, every Friday.'),
    ('sess-dev', interval '4 days 22 hours', 3, 'u', 'I have small kids, nights are hard'),
    ('sess-dev', interval '4 days 22 hours', 3, 'a', 'I understand. Shall I write when a day shift opens?'),
    ('sess-dev', interval '4 days 20 hours', 3, 'u', 'Yes please'),
    ('sess-amara', interval '3 days', 1, 'a', 'Hi, this is Ava from Northgate Care. Are you still looking for care work in Leeds?'),
    ('sess-amara', interval '71 hours', 1, 'u', 'Hi Ava, yes I am!'),
    ('sess-amara', interval '71 hours', 1, 'a', 'Great. Do you have the right to work in the UK?'),
    ('sess-amara', interval '70 hours', 1, 'u', 'Yes, I have settled status'),
    ('sess-amara', interval '70 hours', 1, 'a', 'Perfect. And a full driving licence? The job includes home visits.'),
    ('sess-amara', interval '69 hours', 1, 'u', 'Full licence, own car'),
    ('sess-amara', interval '69 hours', 1, 'a', 'Lovely. Could you come in for a chat on Thursday at 10 or at 14:30?'),
    ('sess-amara', interval '68 hours', 1, 'u', '14:30 works for me'),
    ('sess-amara', interval '68 hours', 1, 'a', 'Booked: Thursday 14:30, 12 Park Row, Leeds. Ask for Maureen.'),
    ('sess-amara', interval '67 hours', 1, 'u', 'Thank you so much, see you then'),
    ('sess-ben', interval '2 days', 1, 'a', 'Hi, this is Ava from Northgate Care. Are you still looking for care work in Leeds?'),
    ('sess-ben', interval '47 hours', 1, 'u', 'Who is this?'),
    ('sess-ben', interval '47 hours', 1, 'a', 'Ava, an assistant of Northgate Care. You applied on our site last week.'),
    ('sess-ben', interval '46 hours', 1, 'u', 'Oh right, yes. Is it days only?'),
    ('sess-ben', interval '46 hours', 1, 'a', 'Days and nights, you can choose. Do you drive?'),
    ('sess-ben', interval '45 hours', 1, 'u', 'No licence yet, my test is in March'),
    ('sess-ben', interval '45 hours', 1, 'a', 'Then our home in the centre may fit: no driving there. May I pass on your details?'),
    ('sess-ben', interval '3 hours', 1, 'u', 'Yes that is fine'),
    ('sess-ben', interval '3 hours', 1, 'a', 'Thanks Ben. The home manager will call you tomorrow.'),
    ('sess-chloe', interval '30 hours', 2, 'a', 'Hi, this is Ava from Northgate Care. Are you still looking for care work in Leeds?'),
    ('sess-chloe', interval '29 hours', 2, 'u', 'Yes but I can only talk after 5'),
    ('sess-chloe', interval '29 hours', 2, 'a', 'No problem. Shall we call you today at 17:15?'),
    ('sess-chloe', interval '28 hours', 2, 'u', 'Perfect'),
    ('sess-chloe', interval '22 hours', 2, 'a', 'Good to speak to you, Chloe! Please send a photo of your share code letter.'),
    ('sess-chloe', interval '21 hours', 2, 'u', 'Will do tonight'),
    ('sess-chloe', interval '5 hours', 2, 'a', 'A short reminder about the letter, whenever you have a minute.'),
    ('sess-chloe', interval '4 hours', 2, 'u', 'Sent it by e-mail just now'),
    ('sess-grace', interval '26 hours', 1, 'a', 'Hi, are you open to class 1 work out of Bristol?'),
    ('sess-grace', interval '25 hours', 1, 'u', 'Depends on the rate'),
    ('sess-grace', interval '25 hours', 1, 'a', '17.40 an hour, tramping, Monday to Friday. Is your CPC card in date?'),
    ('sess-grace', interval '25 hours', 1, 'u', 'Until 2027'),
    ('sess-grace', interval '24 hours', 1, 'a', 'Excellent. Jo will ring you in an hour, is that all right?'),
    ('sess-grace', interval '24 hours', 1, 'u', 'Yes go ahead'),
    ('sess-grace', interval '22 hours', 1, 'a', 'As agreed: assessment drive on Monday, 08:00, Avonmouth depot. Good luck!'),
    ('sess-elena', interval '20 hours', 2, 'a', 'Hello! Midland Logistics is hiring for nights in Coventry. Interested?'),
    ('sess-elena', interval '19 hours', 2, 'u', E'Yes! I worked nights for two years \U0001F31C'),
    ('sess-elena', interval '19 hours', 2, 'a', 'Great. Do you have the right to work in the UK?'),
    ('sess-elena', interval '19 hours', 2, 'u', 'British passport'),
    ('sess-elena', interval '18 hours', 2, 'a', 'When could you start?'),
    ('sess-elena', interval '18 hours', 2, 'u', 'Next Monday'),
    ('sess-elena', interval '1 hour', 2, 'a', 'You are on the list for Monday 22:00. Bring your passport and safety shoes.'),
    ('sess-elena', interval '50 minutes', 2, 'u', 'Do I need my own hi-vis?'),
    ('sess-femi', interval '9 hours', 3, 'a', 'Hello! Midland Logistics is hiring for nights in Coventry. Interested?'),
    ('sess-femi', interval '8 hours', 3, 'u', 'How do I get there without a car?'),
    ('sess-femi', interval '8 hours', 3, 'a', 'A works bus leaves Pool Meadow at 21:20, and back at 06:15.'),
    ('sess-femi', interval '2 hours', 3, 'u', 'Ok then nights are fine for me'),
    ('sess-femi', interval '2 hours', 3, 'a', 'Good to hear. Do you have the right to work in the UK?'),
    ('sess-femi', interval '90 minutes', 3, 'u', 'I am on a student visa, 20 hours a week. Is that ok?'),
    ('sess-harry', interval '70 minutes', 1, 'a', 'Hi, are you open to class 1 work out of Bristol?'),
    ('sess-harry', interval '40 minutes', 1, 'u', 'Could be. Is it home every night?'),
    ('sess-harry', interval '39 minutes', 1, 'a', 'This one is tramping, but we also have day runs. Shall I send both?'),
    ('sess-harry', interval '12 minutes', 1, 'u', 'Both please'))
    AS v(session_id, ago, dialect, side, content);

  INSERT INTO public.call_info (call_id, status, called_at, duration, transcript, recording_url,
                                analysis, session_id, batch_call_id)
  VALUES
    ('call-chloe-1', 'completed', now() - interval '24 hours', interval '4 minutes 12 seconds',
     E'Agent: Hello, this is Ava calling from Northgate Care.\nCandidate: Hi, yes, I can talk now.\n'
     'Agent: Do you have the right to work in the UK?\nCandidate: I have a share code, is that enough?\n'
     'Agent: Yes, please send us the letter.\nCandidate: I will.',
     'https://recordings.example/call-chloe-1.mp3',
     '{"sentiment": "positive", "summary": "Will send her share code letter.", "follow_up": true}',
     'sess-chloe', 'batch-7'),
    ('call-dev-1', 'no_answer', now() - interval '4 days', NULL, NULL, NULL, NULL, 'sess-dev', 'batch-6'),
    ('call-dev-2', 'completed', now() - interval '3 days', interval '58 seconds',
     E'Agent: Hello, this is Sam from Midland Logistics.\nCandidate: Sorry, not nights.',
     'https://recordings.example/call-dev-2.mp3',
     '{"sentiment": "neutral", "summary": "Only day shifts.", "follow_up": false}', 'sess-dev', 'batch-6'),
    ('call-grace-1', 'completed', now() - interval '23 hours', interval '7 minutes 40.5 seconds',
     E'Agent: Hello, this is Jo from Severn Haulage.\nCandidate: Morning. What wagon is it?\n'
     'Agent: A DAF XF, two years old.\nCandidate: Good. When is the assessment?\n'
     'Agent: Monday at eight in Avonmouth.',
     'https://recordings.example/call-grace-1.mp3',
     '{"sentiment": "positive", "summary": "Assessment drive on Monday.", "follow_up": true}',
     'sess-grace', 'batch-9'),
    ('call-harry-1', 'in_progress', now() - interval '2 minutes', NULL, NULL, NULL, NULL, 'sess-harry', 'batch-9');

  INSERT INTO public.session_objective_events (session_id, objective, old_value, new_value, source, occurred_at)
  VALUES
    ('sess-amara', 'right_to_work', 'null', 'true', 'chat', now() - interval '70 hours'),
    ('sess-amara', 'driving_licence', 'null', 'true', 'chat', now() - interval '69 hours'),
    ('sess-amara', 'interview_booked', 'null', 'true', 'chat', now() - interval '68 hours'),
    ('sess-ben', 'right_to_work', 'null', 'true', 'manual', now() - interval '46 hours'),
    ('sess-ben', 'driving_licence', 'null', 'false', 'chat', now() - interval '45 hours'),
    ('sess-chloe', 'right_to_work', 'null', 'true', 'call', now() - interval '24 hours'),
    ('sess-dev', 'right_to_work', 'null', 'true', 'manual', now() - interval '4 days'),
    ('sess-dev', 'night_shifts_ok', 'null', 'false', 'call', now() - interval '3 days'),
    ('sess-elena', 'right_to_work', 'null', 'true', 'chat', now() - interval '19 hours'),
    ('sess-elena', 'night_shifts_ok', 'null', 'true', 'chat', now() - interval '19 hours'),
    ('sess-elena', 'start_date', 'null', 'true', 'chat', now() - interval '18 hours'),
    ('sess-femi', 'night_shifts_ok', 'null', 'true', 'chat', now() - interval '2 hours'),
    ('sess-grace', 'cpc_card', 'null', 'true', 'chat', now() - interval '25 hours'),
    ('sess-grace', 'interview_booked', 'false', 'true', 'call', now() - interval '23 hours');

  -- The sessions' own times follow from what was said.
  UPDATE public.session_info s
  SET last_user_msg_at = m.user_at, user_updated = m.user_at,
      last_agent_msg_at = m.agent_at, agent_updated = m.agent_at, last_outbound_at = m.agent_at,
      latest_batch_call_id = (SELECT c.batch_call_id FROM public.call_info c
                              WHERE c.session_id = s.session_id ORDER BY c.called_at DESC LIMIT 1)
  FROM (VALUES
    ('sess-amara', interval '67 hours', interval '68 hours'), ('sess-ben', interval '3 hours', interval '3 hours'),
    ('sess-chloe', interval '4 hours', interval '5 hours'),
    ('sess-dev', interval '4 days 20 hours', interval '4 days 22 hours'),
    ('sess-elena', interval '50 minutes', interval '1 hour'),
    ('sess-femi', interval '90 minutes', interval '2 hours'),
    ('sess-grace', interval '24 hours', interval '22 hours'),
    ('sess-harry', interval '12 minutes', interval '39 minutes')) AS v(session_id, user_ago, agent_ago),
    LATERAL (SELECT now() - v.user_ago AS user_at, now() - v.agent_ago AS agent_at) m
  WHERE s.session_id = v.session_id;
END $demo$;
