// One topic of the app's supabase client: a channel that resumes by itself, shared by all who watch.
//
// supabase-js sends config.broadcast anew with every rejoin, by reference: `resume` in it is always
// the cursor of the last event, so a client that was away gets what it missed and no snapshot.
// supabase-js cannot have two channels of one topic; so the state is folded here, and whoever comes
// later gets it as the snapshot.
import type { RealtimeChannel } from '@supabase/supabase-js';
import { errorOfJoin, isRefusal, PgcastError } from './error.js';
import type { Notice, RowEvent } from './events.js';
import { applyEvent, type AnySnapshot } from './fold.js';
import { keys, type CampaignStats } from './tables.js';
import { renewToken, type AnySupabaseClient } from './token.js';

/**
 * connecting -> live <-> reconnecting, away (the daemon is there and its database is not); closed at
 * the end. A refused join is tried again by supabase-js: `refused` until then.
 */
export type WatchStatus = 'connecting' | 'live' | 'reconnecting' | 'away' | 'refused' | 'closed';

export interface SnapshotMeta {
  /** Not the first: what was shown before is void, and what happened between is in this one. */
  isFresh: boolean;
  /** Why: a code such as cursor_too_old, or null (a number that moved to another session). */
  reason: string | null;
}

/** Who watches a topic; all are called in the order of what the daemon sends. */
export interface Listener {
  onSnapshot(snapshot: AnySnapshot, meta: SnapshotMeta): void;
  onEvent(event: RowEvent, state: AnySnapshot | null): void;
  onStats(stats: CampaignStats): void;
  onStatus(status: WatchStatus): void;
  onNotice(notice: Notice): void;
  onError(error: PgcastError): void;
}

export interface TopicOptions {
  /** Sizes of the snapshot's lists; the first who watches a topic decides. */
  snapshot?: { messages?: number; calls?: number; sessions?: number } | undefined;
  /** A place to begin at: the events after it, and no snapshot. Such a topic is not shared. */
  resume?: string | { since: string } | undefined;
  /** A snapshot that was fetched before: begins right after it. */
  from?: AnySnapshot | undefined;
}

/** Ids of the newest events, by which a redelivery is told. */
const k_remembered_ids = 10_000;

type Realtime = AnySupabaseClient['realtime'];
type Broadcast = { snapshot?: object; resume?: string | { since: string } };

/** The topics of a realtime client: several Pgcast of one client share them. */
const topics = new WeakMap<Realtime, Map<string, Topic>>();

/** Says why no connection can be opened; null if that passes. */
export type Explain = () => Promise<PgcastError | null>;

/** Joins the topic, or joins in; the function that is given ends it. */
export function listen(
  supabase: AnySupabaseClient, explain: Explain, name: string, listener: Listener, options: TopicOptions = {},
): () => void {
  const open = topics.get(supabase.realtime) ?? new Map<string, Topic>();
  topics.set(supabase.realtime, open);
  const there = open.get(name);
  const isTaken = there ? options.resume !== undefined || !there.isShared : channelOf(supabase, name) === 'in use';
  if (isTaken) throw inUse(name);
  const topic = there ?? new Topic(supabase, explain, name, options, () => open.delete(name));
  open.set(name, topic);
  return topic.add(listener);
}

/** Whether supabase-js has a channel of that topic; one that leaves is no more in the way in a moment. */
function channelOf({ realtime }: AnySupabaseClient, name: string): 'none' | 'leaving' | 'in use' {
  const channel = realtime.getChannels().find(({ topic }) => topic === `realtime:${name}`);
  return !channel ? 'none' : channel.state === 'leaving' ? 'leaving' : 'in use';
}

const inUse = (name: string) => new PgcastError('topic_in_use', `${name} is joined already`, {
  hint: 'a watch with resume has its topic for itself; close the other one, or use another supabase client',
});

class Topic {
  readonly isShared: boolean;
  readonly #supabase: AnySupabaseClient;
  readonly #explain: Explain;
  readonly #name: string;
  readonly #forget: () => void;
  readonly #broadcast: Broadcast = {};
  readonly #listeners = new Set<Listener>();
  readonly #ids = new Set<string>();
  #channel: RealtimeChannel | null = null;
  #state: AnySnapshot | null = null;
  #stats: CampaignStats | null = null;
  #status: WatchStatus = 'connecting';
  #reason: string | null = null;
  #leaving: ReturnType<typeof setTimeout> | undefined;

  constructor(supabase: AnySupabaseClient, explain: Explain, name: string, options: TopicOptions, forget: () => void) {
    this.#supabase = supabase;
    this.#explain = explain;
    this.#name = name;
    this.#forget = forget;
    this.isShared = options.resume === undefined;
    if (options.snapshot) this.#broadcast.snapshot = options.snapshot;
    if (options.resume !== undefined) this.#broadcast.resume = options.resume;
    if (options.from) this.#begin(options.from);
    void this.#join();
  }

  add(listener: Listener): () => void {
    clearTimeout(this.#leaving);
    let isOpen = true;
    // Later, as everything else comes: the caller has its watch by then.
    queueMicrotask(() => isOpen && this.#greet(listener));
    return () => {
      isOpen = false;
      this.#listeners.delete(listener);
      // React's StrictMode, and one page that follows another, watch again at once.
      clearTimeout(this.#leaving);
      this.#leaving = setTimeout(() => this.#listeners.size === 0 && this.#leave(), 0);
    };
  }

  #greet(listener: Listener): void {
    const [status, state, stats] = [this.#status, this.#state, this.#stats];
    this.#listeners.add(listener);
    call(listener, (one) => one.onStatus(status));
    if (state) call(listener, (one) => one.onSnapshot(state, { isFresh: false, reason: null }));
    if (stats) call(listener, (one) => one.onStats(stats));
  }

  /** A join without a token would have the rights of the key until the next one: so the token first. */
  async #join(): Promise<void> {
    await renewToken(this.#supabase);
    while (channelOf(this.#supabase, this.#name) === 'leaving') await new Promise((done) => setTimeout(done, 10));
    if (this.#status === 'closed') return;
    this.#channel = this.#supabase.channel(this.#name, { config: { broadcast: this.#broadcast as object } });
    this.#channel
      .on('broadcast', { event: '*' }, (message) => this.#hear(message.event, message['payload']))
      .on('system', {}, (payload) => this.#heed(payload))
      .subscribe((status, error) => this.#joined(status, error));
  }

  #leave(): void {
    if (this.#status === 'closed') return;
    this.#end();
    if (this.#channel) void this.#supabase.realtime.removeChannel(this.#channel);
  }

  #end(): void {
    this.#forget();
    this.#turn('closed');
    this.#listeners.clear();
  }

  #joined(status: string, error: Error | undefined): void {
    if (this.#status === 'closed') return;
    if (status === 'SUBSCRIBED') return this.#turn('live');
    if (status === 'CLOSED') {
      this.#tell((one) => one.onError(new PgcastError('channel_removed', `the channel of ${this.#name} was removed`)));
      return this.#end();
    }
    if (!isRefusal(error)) {
      if (this.#status === 'connecting') void this.#ask();
      return this.#turn('reconnecting');
    }
    const refusal = errorOfJoin(error);
    if (refusal.code.startsWith('token_')) void renewToken(this.#supabase); // for the next attempt
    this.#turn('refused');
    this.#tell((one) => one.onError(refusal));
  }

  /** supabase-js does not say why a connection cannot be opened, and a browser does not tell it. */
  async #ask(): Promise<void> {
    const error = await this.#explain();
    if (error && this.#status === 'reconnecting') this.#tell((one) => one.onError(error));
  }

  #hear(event: string, payload: unknown): void {
    if (event === 'snapshot') this.#restart(payload as AnySnapshot);
    else if (event === 'stats') this.#count(payload as CampaignStats);
    else if (isRowEvent(event, payload)) this.#change(payload);
  }

  #heed({ extension, code, status, message }: { extension?: string; code?: string; status: string; message: string }): void {
    if (extension !== 'pgcast' && status !== 'error') return;
    if (code?.startsWith('cursor_')) this.#reason = code;
    if (code === 'token_expires_soon') void renewToken(this.#supabase);
    if (code === 'source_away') this.#turn('away');
    if (code === 'source_back') this.#turn('live');
    const notice: Notice = { code: code ?? 'system', status: status === 'ok' ? 'ok' : 'error', message };
    this.#tell((one) => one.onNotice(notice));
  }

  #begin(snapshot: AnySnapshot): void {
    this.#state = snapshot;
    this.#broadcast.resume = snapshot.cursor;
    this.#ids.clear(); // after a failover ids may begin anew
  }

  #restart(snapshot: AnySnapshot): void {
    const meta = { isFresh: this.#broadcast.resume !== undefined, reason: this.#reason };
    this.#reason = null;
    this.#begin(snapshot);
    this.#tell((one) => one.onSnapshot(snapshot, meta));
  }

  #change(event: RowEvent): void {
    if (this.#ids.has(event.id)) return;
    this.#ids.add(event.id);
    if (this.#ids.size > k_remembered_ids) this.#ids.delete(this.#ids.values().next().value as string);
    this.#broadcast.resume = event.cursor;
    if (this.#state) this.#state = applyEvent(this.#state, event);
    const state = this.#state;
    this.#tell((one) => one.onEvent(event, state));
  }

  #count(stats: CampaignStats): void {
    this.#stats = stats;
    this.#tell((one) => one.onStats(stats));
  }

  #turn(status: WatchStatus): void {
    if (this.#status === status) return;
    this.#status = status;
    this.#tell((one) => one.onStatus(status));
  }

  #tell(what: (listener: Listener) => void): void {
    for (const listener of [...this.#listeners]) call(listener, what);
  }
}

/** A handler that throws is the app's to see, and no reason for others to miss anything. */
function call(listener: Listener, what: (listener: Listener) => void): void {
  try {
    what(listener);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** Clients may broadcast other events on the topic; under the tables' names only the daemon speaks. */
function isRowEvent(name: string, payload: unknown): payload is RowEvent {
  const event = payload as Partial<RowEvent> | null;
  return Object.hasOwn(keys, name) && event?.table === name && typeof event.cursor === 'string';
}
