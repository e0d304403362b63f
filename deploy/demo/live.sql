-- Keeps the demo alive: every three seconds somebody writes, session by session in turn, in all
-- dialects, and the ticks of the agent's messages go from sent over delivered to read. Runs until
-- psql is stopped; needs data.sql.

SET client_min_messages = warning;

CREATE TEMPORARY SEQUENCE turn;
CREATE TEMPORARY TABLE script (number serial, session_id text, dialect int, side text, content text);
INSERT INTO script (session_id, dialect, side, content) VALUES
  ('sess-harry', 1, 'agent', 'Here they are: tramping at 17.40 an hour, day runs at 16.20.'),
  ('sess-femi', 3, 'agent', 'Twenty hours is fine: that is two nights and a half. Which nights suit you?'),
  ('sess-elena', 2, 'agent', 'No need, we have one for you. Size M?'),
  ('sess-harry', 1, 'user', 'Day runs then. Where do they go?'),
  ('sess-femi', 3, 'user', 'Friday and Saturday, and a short Sunday'),
  ('sess-elena', 2, 'user', 'S please'),
  ('sess-harry', 1, 'agent', 'Mostly Cardiff and Swindon, out at 5, back by 3 in the afternoon.'),
  ('sess-amara', 1, 'user', 'Is there parking at Park Row?'),
  ('sess-femi', 3, 'agent', 'Noted. The bus also runs on Sundays, at 20:50.'),
  ('sess-amara', 1, 'agent', 'Yes, behind the building. Ring the bell and say Maureen expects you.'),
  ('sess-elena', 2, 'agent', 'S it is. See you on Monday at 22:00, gate 3.'),
  ('sess-harry', 1, 'user', 'That works, my daughter is out of school at half three'),
  ('sess-femi', 3, 'user', 'Great, who do I ask for?'),
  ('sess-amara', 1, 'user', 'Perfect, thanks!'),
  ('sess-harry', 1, 'agent', 'Good. Is your CPC card in date?'),
  ('sess-elena', 2, 'user', 'Thank you, see you there'),
  ('sess-femi', 3, 'agent', 'Ask for Sam at the gatehouse. I have told him.'),
  ('sess-harry', 1, 'user', 'Until next June'),
  ('sess-ben', 1, 'user', 'Nobody has called yet, is it still on?'),
  ('sess-harry', 1, 'agent', 'Then Jo will ring you about a start date. Today after four?'),
  ('sess-ben', 1, 'agent', 'It is, Ben. She is on her round and rings you within the hour.'),
  ('sess-femi', 3, 'user', 'Perfect'),
  ('sess-harry', 1, 'user', 'After four is good'),
  ('sess-ben', 1, 'user', 'Ok I will wait');

WITH line AS (
  SELECT s.*, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS written_at
  FROM script s, (SELECT nextval('turn') AS value OFFSET 0) t
  WHERE s.number = 1 + (t.value - 1) % (SELECT count(*) FROM script)
), message AS (
  INSERT INTO public.chat_history (session_id, message)
  SELECT session_id,
         CASE dialect
           WHEN 1 THEN jsonb_build_object(
             'sender', side, 'text', content, 'timestamp', written_at,
             'status', CASE side WHEN 'user' THEN 'received' ELSE 'sent' END)
           WHEN 2 THEN jsonb_build_object(
             'type', CASE side WHEN 'user' THEN 'human' ELSE 'ai' END,
             'data', jsonb_build_object('content', content))
           ELSE jsonb_build_object(
             'type', CASE side WHEN 'user' THEN 'human' ELSE 'ai' END, 'content', content)
         END
  FROM line
), ticks AS (
  UPDATE public.chat_history
  SET message = jsonb_set(message, '{status}', CASE message ->> 'status'
                  WHEN 'sent' THEN '"delivered"'::jsonb ELSE '"read"' END)
  WHERE id > (SELECT max(id) - 20 FROM public.chat_history)
    AND message ->> 'sender' = 'agent' AND message ->> 'status' IN ('sent', 'delivered')
)
UPDATE public.session_info s
SET updated_at = now(), last_action = 'chat',
    last_user_msg_at = CASE l.side WHEN 'user' THEN now() ELSE last_user_msg_at END,
    user_updated = CASE l.side WHEN 'user' THEN now() ELSE user_updated END,
    last_agent_msg_at = CASE l.side WHEN 'agent' THEN now() ELSE last_agent_msg_at END,
    agent_updated = CASE l.side WHEN 'agent' THEN now() ELSE agent_updated END,
    last_outbound_at = CASE l.side WHEN 'agent' THEN now() ELSE last_outbound_at END
FROM line l WHERE s.session_id = l.session_id
\watch 3
