// A topic as the state of a component: snapshot and events folded in, one render a frame.
import { useState, useEffect, useRef } from './ui.js';

/**
 * {state, problem, set}: what `fold` made of the topic so far; problem: why the join failed, as the
 * daemon said it, or null. fold = {empty, of_snapshot(payload, before), apply(before, table, event)}.
 * No topic (null): stays empty.
 */
export function use_channel(realtime, topic, snapshot, fold) {
  const [state, set_state] = useState(fold.empty);
  const [problem, set_problem] = useState(null);
  const current = useRef({ state: fold.empty });
  const set = (change) => {
    current.current.state = change(current.current.state);
    current.current.show?.();
  };
  useEffect(() => {
    if (!topic) return undefined;
    const box = current.current;
    let frame = null;
    // A burst of thousands of events is one render; a hidden tab has no frames, so a timer serves too.
    box.show = () => {
      frame ??= setTimeout(() => {
        frame = null;
        set_state(box.state);
      }, 16);
    };
    const channel = realtime.join(topic, { snapshot }, {
      snapshot: (payload) => set((before) => fold.of_snapshot(payload, before)),
      event: (table, event) => set((before) => fold.apply(before, table, event)),
      joined: () => set_problem(null),
      failed: set_problem,
    });
    return () => {
      clearTimeout(frame);
      channel.leave();
    };
  }, [topic]);
  return { state, problem, set };
}

/** A refused join as a sentence; `what` is "this session", "this campaign". */
export function join_sentence(reason, what) {
  if (/^Unauthorized/i.test(reason)) {
    return `Your token does not open ${what}: it does not exist, or it is not yours to see.`;
  }
  if (/RateLimit|Too many/i.test(reason)) return `The daemon asks to slow down. It is tried again by itself. (${reason})`;
  return `Joining ${what} failed and is tried again: ${reason}`;
}
