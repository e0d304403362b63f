// How the connection is, always on the screen.
import { html, useState, useEffect } from './ui.js';

/** "4 s", "3 min". */
function span(ms) {
  const seconds = Math.max(1, Math.round(ms / 1000));
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

/** "back after 4 s, 3 messages recovered". */
export function recovery_sentence({ outage_ms, messages, is_fresh }) {
  const back = `Back after ${span(outage_ms)}`;
  if (is_fresh) return `${back}, loaded afresh`;
  if (messages === 0) return `${back}, nothing missed`;
  return `${back}, ${messages} ${messages === 1 ? 'message' : 'messages'} recovered`;
}

export function Connection({ state }) {
  const [now, set_now] = useState(Date.now());
  const [note, set_note] = useState(null);
  useEffect(() => {
    if (state.kind === 'connected') return undefined;
    const timer = setInterval(() => set_now(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [state.kind]);
  // What was recovered stays readable for a while after the fact.
  useEffect(() => {
    if (state.kind !== 'connected') return set_note(null);
    if (!state.recovery) return undefined;
    set_note(recovery_sentence(state.recovery));
    const timer = setTimeout(() => set_note(null), 30_000);
    return () => clearTimeout(timer);
  }, [state]);

  const words = {
    connecting: 'Connecting\u2026',
    connected: note ?? 'Connected',
    reconnecting: `Reconnecting, offline for ${span(now - state.since)}`,
  };
  // The ticking seconds are for the eye: a screen reader hears each change of state once.
  const said = state.kind === 'reconnecting' ? 'Connection lost, reconnecting' : words[state.kind];
  return html`<div class="connection" data-state=${state.kind}>
    <span class="dot" aria-hidden="true"></span><span aria-hidden="true">${words[state.kind]}</span>
    <span class="unseen" role="status">${said}</span>
  </div>`;
}
