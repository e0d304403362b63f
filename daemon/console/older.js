// What is older than the conversation on the screen, a page at a time.
import { useState, useEffect, useRef } from './ui.js';
import { add_page, begin_page, k_kept_messages } from './chat_state.js';

const k_page = 500;
const k_pause = 3000;  // ms after a page that could not be read

/**
 * {load, is_loading, is_possible}. Pages are those of the session's number; a session without one has
 * only what its snapshot brought. load() may be called at every scroll: it does nothing while a page is
 * on its way, or when there is none.
 */
export function use_older(ask, state, set) {
  const { phone, session, has_more, generation, messages } = state;
  const [is_loading, set_loading] = useState(false);
  const [refused, set_refused] = useState(null);  // the generation that has no pages
  const [, set_tries] = useState(0);
  const is_possible = has_more && phone !== null && session !== null && refused !== generation && messages.length < k_kept_messages;
  const pager = useRef({ next: null, is_done: false, generation: null, is_busy: false, not_before: 0 }).current;
  const now = useRef({});
  now.current = { generation, is_possible };
  useEffect(() => () => {
    now.current = { is_possible: false };
  }, []);

  const load = async () => {
    if (!is_possible || pager.is_busy || Date.now() < pager.not_before) return;
    if (pager.generation !== generation) Object.assign(pager, { next: null, is_done: false, generation });
    if (pager.is_done) return;
    pager.is_busy = true;
    set_loading(true);
    // The first pages hold what the snapshot brought: go on until something is new.
    while (now.current.is_possible && now.current.generation === generation) {
      set(begin_page);
      const { body, status } = await ask(address(phone, pager.next));
      if (now.current.generation !== generation) break;
      if (!body) {
        if (status >= 400 && status < 500 && status !== 429) set_refused(generation);
        pager.not_before = Date.now() + k_pause;
        setTimeout(() => set_tries((count) => count + 1), k_pause + 1);  // a render, and with it the next load()
        break;
      }
      // The number may lead to another session: this one has no pages then.
      const is_empty = body.messages.length === 0 && pager.next === null;
      if (is_empty || body.messages.some((row) => row.session_id !== session.session_id)) {
        set_refused(generation);
        break;
      }
      let added = 0;
      set((before) => {
        const after = add_page(before, generation, body.messages, body.next !== null);
        added = after.messages.length - before.messages.length;
        return after;
      });
      Object.assign(pager, { next: body.next, is_done: body.next === null });
      if (added > 0 || pager.is_done) break;
    }
    pager.is_busy = false;
    set_loading(false);
  };
  return { load, is_loading, is_possible };
}

function address(phone, next) {
  const query = new URLSearchParams({ limit: k_page });
  if (next) query.set('before', next);
  return `api/v1/phones/${encodeURIComponent(phone)}/messages?${query}`;
}
