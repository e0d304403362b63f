// Where the room Campaigns gets its rows and numbers from.
import { useState, useEffect, useRef } from './ui.js';
import { add_numbers, empty_series, interrupt, merged } from './campaigns_state.js';

const k_reread = 30_000;
const k_retry = 5000;
const k_render = 100;  // numbers of many campaigns are one render

/**
 * {rows, is_loaded, problem}: the campaigns this token may see. Read again now and then, and when the
 * reader comes back to the page, so that new ones appear.
 */
export function use_campaign_rows(ask) {
  const [state, set_state] = useState({ rows: [], is_loaded: false, problem: null });
  useEffect(() => {
    let is_gone = false;
    let timer;
    const read = async () => {
      clearTimeout(timer);
      const { body, status, reason } = await ask('api/v1/campaigns');
      if (is_gone) return;
      set_state((before) => {
        if (body) return { rows: merged(before.rows, body.campaigns), is_loaded: true, problem: null };
        // The daemon is away: the bar says so already.
        return { ...before, problem: status === 0 ? null : `The campaigns could not be read: ${reason}.` };
      });
      clearTimeout(timer);  // another reading may have been quicker
      timer = setTimeout(again, body ? k_reread : k_retry);
    };
    const again = () => (document.visibilityState === 'visible' ? read() : undefined);
    read();
    addEventListener('focus', read);
    document.addEventListener('visibilitychange', again);
    return () => {
      is_gone = true;
      clearTimeout(timer);
      removeEventListener('focus', read);
      document.removeEventListener('visibilitychange', again);
    };
  }, []);
  return state;
}

/**
 * Follows `stats:<name>` for each of `names`. A Map: name -> {stats, series, is_live, problem}; what
 * was once followed keeps its last numbers and its series.
 */
export function use_numbers(realtime, names) {
  const [, render] = useState(0);
  const known = useRef(new Map());
  const channels = useRef(new Map());
  const timer = useRef(null);
  const changed = () => {
    timer.current ??= setTimeout(() => {
      timer.current = null;
      render((count) => count + 1);
    }, k_render);
  };
  useEffect(() => {
    for (const [name, channel] of channels.current) {
      if (names.includes(name)) continue;
      channel.leave();
      channels.current.delete(name);
    }
    for (const name of names) {
      if (channels.current.has(name)) continue;
      if (!known.current.has(name)) known.current.set(name, { stats: null, series: empty_series(), is_live: false, problem: null });
      const entry = known.current.get(name);
      channels.current.set(name, follow(realtime, name, entry, changed));
    }
  }, [names]);
  useEffect(() => () => {
    clearTimeout(timer.current);
    for (const channel of channels.current.values()) channel.leave();
  }, []);
  return known.current;
}

function follow(realtime, name, entry, changed) {
  const change = (more) => {
    Object.assign(entry, more);
    changed();
  };
  const channel = realtime.join(`stats:${name}`, {}, {
    snapshot: () => {},
    event: (event, stats) => {
      if (event !== 'stats') return;
      add_numbers(entry.series, stats, Date.now());
      change({ stats, is_live: true, problem: null });
    },
    joined: () => change({ problem: null }),
    lost: () => {
      interrupt(entry.series, Date.now());
      change({ is_live: false });
    },
    failed: (reason) => {
      change({ problem: reason });
      // No use in asking again and again: who comes back to the room asks anew.
      if (/^Unauthorized/i.test(reason)) channel.leave();
    },
  });
  return channel;
}
