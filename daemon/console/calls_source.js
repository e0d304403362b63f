// Where the room Calls gets its calls: a topic's snapshot and events, and pages of the API for what
// was before. A campaign's snapshot has sessions only, so the calls of some of them are asked for.
import { useState, useEffect, useRef } from './ui.js';
import { use_channel } from './channel.js';
import { add_calls, apply_to_calls, calls_of_campaign, calls_of_session, empty_calls, sessions_to_ask } from './calls_state.js';

const k_sessions_at_once = 24;   // whose calls are loaded at first, and with each wish for more
const k_calls_of_each = 20;
const k_requests_at_once = 4;
const k_page = 200;
const k_pause = 2000;             // ms before the daemon is asked again

/** {state, problem, is_asking, look_back}; look_back() loads what is older. */
export function use_calls(realtime, ask, topic) {
  const is_campaign = topic?.startsWith('campaign:');
  const { state, problem, set } = use_channel(realtime, topic, is_campaign ? { sessions: 1000 } : { messages: 0, calls: k_page }, {
    empty: empty_calls, of_snapshot: is_campaign ? calls_of_campaign : calls_of_session, apply: apply_to_calls,
  });
  const campaign = use_campaign_calls(is_campaign ? state : null, set, ask);
  const session = use_earlier_calls(is_campaign ? null : state, set, ask);
  return { state, problem, ...(is_campaign ? campaign : session) };
}

const calls_path = (session, query) => `api/v1/sessions/${encodeURIComponent(session)}/calls?${new URLSearchParams(query)}`;

/**
 * Gives the newest calls of a session, in one page or in several. While the daemon is away or busy it is
 * asked again; for less each time, as transcripts may be too long for one answer in time.
 */
async function give_newest(ask, session, is_wanted, give) {
  let [limit, before, count] = [k_calls_of_each, null, 0];
  while (is_wanted() && count < k_calls_of_each) {
    const { body, status } = await ask(calls_path(session, { limit, ...(before && { before }) }));
    if (body) {
      give(body.calls);
      count += body.calls.length;
      before = body.next;
      if (before === null) return;
    } else if (status === 0 || status === 429 || status >= 500) {
      limit = Math.max(1, limit >> 1);
      await new Promise((done) => setTimeout(done, k_pause));
    } else {
      return;
    }
  }
}

function use_campaign_calls(state, set, ask) {
  const [count, set_count] = useState(k_sessions_at_once);
  const [running, set_running] = useState(0);
  const is_gone = useRef(false);
  useEffect(() => () => {
    is_gone.current = true;
  }, []);
  useEffect(() => {
    if (!state?.is_loaded) return;
    const { round, asked } = state;
    const waiting = sessions_to_ask(state, count);
    for (const id of waiting) asked.add(id);
    const work = async () => {
      while (waiting.length > 0 && !is_gone.current) {
        await give_newest(ask, waiting.shift(), () => !is_gone.current, (rows) => set((before) => add_calls(before, round, rows)));
      }
      set_running((before) => before - 1);
    };
    const workers = Math.min(k_requests_at_once, waiting.length);
    set_running((before) => before + workers);
    for (let one = 0; one < workers; one += 1) work();
    // Once for each round, wish and newcomer: new sessions bring their calls as events.
  }, [state?.is_loaded, state?.round, state?.arrived, count]);
  return { is_asking: running > 0, look_back: () => set_count(Math.max(count, state.asked.size) + k_sessions_at_once) };
}

function use_earlier_calls(state, set, ask) {
  const [is_asking, set_asking] = useState(false);
  const next = useRef(null);
  const look_back = async () => {
    const session = [...state.sessions.keys()][0];
    const { round } = state;
    set_asking(true);
    // The first page is the snapshot's own: it gives the place from which the next one goes on.
    next.current ??= (await ask(calls_path(session, { limit: k_page }))).body?.next;
    const { body } = next.current ? await ask(calls_path(session, { limit: k_page, before: next.current })) : {};
    if (body) {
      next.current = body.next;
      set((before) => ({ ...add_calls(before, round, body.calls), has_more: before.round === round ? body.next !== null : before.has_more }));
    }
    set_asking(false);
  };
  return { is_asking, look_back };
}
