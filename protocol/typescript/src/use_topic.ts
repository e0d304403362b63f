// A watch for as long as a component is there, and what it showed last.
import { useEffect, useState } from 'react';
import { PgcastError } from './error.js';
import type { Pgcast } from './pgcast.js';
import type { WatchStatus } from './topic.js';

/** `idle` while there is nothing to watch (null instead of a source). */
export type HookStatus = WatchStatus | 'idle';

export interface HookState {
  status: HookStatus;
  /** Nothing to show yet, and nothing wrong. */
  isLoading: boolean;
  /** The refused join, which is tried again; null when it is joined. */
  error: PgcastError | null;
}

export interface Shown<State> extends HookState {
  state: State | null;
}

interface Handlers<State> {
  onState: (state: State) => void;
  onStatus: (status: WatchStatus) => void;
  onError: (error: PgcastError) => void;
}

interface View<State> {
  topic: string | null;
  state: State | null;
  status: WatchStatus;
  error: PgcastError | null;
}

/** A burst of thousands of events is one render; a hidden tab has no frames, so a timer it is. */
const k_frame_ms = 16;

/** `open` watches the topic; it is called again when the client or the topic is another. */
export function useTopic<State>(
  pgcast: Pgcast, topic: string | null, open: (handlers: Handlers<State>) => { close(): void },
): Shown<State> {
  const [view, setView] = useState(() => empty<State>(topic));
  useEffect(() => {
    if (!topic) return undefined;
    let latest = empty<State>(topic);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = (change: Partial<View<State>>) => {
      latest = { ...latest, ...change };
      timer ??= setTimeout(() => {
        timer = undefined;
        setView(latest);
      }, k_frame_ms);
    };
    const watch = opened(() => open({
      onState: (state) => show({ state }),
      onStatus: (status) => show(status === 'live' ? { status, error: null } : { status }),
      onError: (error) => show({ error }),
    }), (error) => show({ error, status: 'closed' }));
    return () => {
      clearTimeout(timer);
      watch?.close();
    };
  }, [pgcast, topic]);
  const { state, status, error } = view.topic === topic ? view : empty<State>(topic); // never another topic's rows
  return { state, status: topic ? status : 'idle', isLoading: topic !== null && !state && !error, error };
}

const empty = <State>(topic: string | null): View<State> => ({ topic, state: null, status: 'connecting', error: null });

function opened<Watch>(open: () => Watch, failed: (error: PgcastError) => void): Watch | null {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof PgcastError)) throw error;
    failed(error);
    return null;
  }
}
