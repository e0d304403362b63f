// What the app holds of a topic: handlers that are called, or a loop that takes.
import type { Events, Notice } from './events.js';
import { PgcastError } from './error.js';
import { ItemQueue } from './queue.js';
import type { CampaignStats, Snapshots } from './tables.js';
import type { Listener, SnapshotMeta, TopicOptions, WatchStatus } from './topic.js';

export type TopicKind = keyof Snapshots;

interface CommonHandlers {
  /** Also at once, with the status of now. */
  onStatus?: ((status: WatchStatus) => void) | undefined;
  /** A refused join or connection, which is tried again; a channel that the app has removed. */
  onError?: ((error: PgcastError) => void) | undefined;
  onNotice?: ((notice: Notice) => void) | undefined;
}

export interface WatchOptions<Kind extends TopicKind> extends CommonHandlers {
  /** First of all, and again (`isFresh`) when the events since could not be had. */
  onSnapshot?: ((snapshot: Snapshots[Kind], meta: SnapshotMeta) => void) | undefined;
  /** Every event after the snapshot: once, in order. */
  onEvent?: ((event: Events[Kind]) => void) | undefined;
  /** The snapshot with all events so far applied, after each of them. */
  onChange?: ((state: Snapshots[Kind]) => void) | undefined;
  snapshot?: TopicOptions['snapshot'];
  resume?: TopicOptions['resume'];
  /** An answer of the API (getSessionDetails ..): begins right after it, so nothing is loaded twice. */
  from?: Snapshots[Kind] | undefined;
  /** How many items may wait for a `for await` loop: 1,000 if it is not given. */
  buffer?: number | undefined;
}

export interface StatsOptions extends CommonHandlers {
  onStats?: ((stats: CampaignStats) => void) | undefined;
}

export type WatchItem<Kind extends TopicKind> =
  | ({ type: 'snapshot'; snapshot: Snapshots[Kind] } & SnapshotMeta)
  | { type: 'event'; event: Events[Kind] };

type Open = (listener: Listener) => () => void;

const k_buffer = 1_000;

abstract class AnyWatch<Item> implements AsyncIterable<Item> {
  #status: WatchStatus = 'connecting';
  #close: () => void = () => {};
  readonly #queue: ItemQueue<Item> | null;
  readonly #handlers: CommonHandlers;

  /** `queue` is null where handlers take what comes. */
  constructor(handlers: CommonHandlers, queue: ItemQueue<Item> | null) {
    this.#handlers = handlers;
    this.#queue = queue;
  }

  get status(): WatchStatus {
    return this.#status;
  }

  /** Nothing is called any more, and a loop ends. */
  close(): void {
    this.#close();
    this.#queue?.clear();
    this.#status = 'closed';
  }

  /** One loop at a time takes what a watch without handlers for it has held since its beginning. */
  [Symbol.asyncIterator](): AsyncIterator<Item, undefined> {
    const queue = this.#queue;
    if (!queue) throw new TypeError('a watch has handlers for what comes, or it is iterated');
    return {
      next: () => queue.next(),
      return: async () => {
        this.close();
        return { done: true, value: undefined };
      },
    };
  }

  protected open(open: Open, listener: Pick<Listener, 'onSnapshot' | 'onEvent' | 'onStats'>): void {
    this.#close = open({
      ...listener,
      onStatus: (status) => {
        this.#status = status;
        this.#handlers.onStatus?.(status);
      },
      onNotice: (notice) => this.#handlers.onNotice?.(notice),
      onError: (error) => {
        this.#handlers.onError?.(error);
        // A loop has no other way to hear of it; what passes is waited for.
        if (error.code === 'unauthorized' || error.code === 'channel_removed') this.fail(error);
      },
    });
  }

  protected push(item: () => Item): void {
    this.#queue?.push(item());
  }

  protected fail(error: PgcastError): void {
    if (!this.#queue) return;
    this.#queue.finish(error);
    this.#close();
    this.#status = 'closed';
  }
}

/** One topic with rows. */
export class Watch<Kind extends TopicKind> extends AnyWatch<WatchItem<Kind>> {
  #state: Snapshots[Kind] | null = null;

  constructor(open: Open, options: WatchOptions<Kind>) {
    const { onSnapshot, onEvent, onChange } = options;
    const cursorOf = (item: WatchItem<Kind>) => (item.type === 'event' ? item.event : item.snapshot).cursor;
    super(options, onSnapshot || onEvent || onChange ? null : new ItemQueue(options.buffer ?? k_buffer, cursorOf));
    this.open(open, {
      onSnapshot: (any, meta) => {
        const snapshot = any as Snapshots[Kind];
        this.#state = snapshot;
        onSnapshot?.(snapshot, meta);
        onChange?.(snapshot);
        this.push(() => ({ type: 'snapshot', snapshot, ...meta }));
      },
      onEvent: (event, state) => {
        this.#state = state as Snapshots[Kind] | null;
        onEvent?.(event as Events[Kind]);
        if (this.#state) onChange?.(this.#state);
        this.push(() => ({ type: 'event', event: event as Events[Kind] }));
      },
      onStats: () => {},
    });
  }

  /** The snapshot with all events so far applied; null before it, and always with `resume`. */
  get state(): Snapshots[Kind] | null {
    return this.#state;
  }
}

/** The numbers of a campaign; a loop that is slow gets the newest. */
export class StatsWatch extends AnyWatch<CampaignStats> {
  #stats: CampaignStats | null = null;

  constructor(open: Open, { onStats, ...handlers }: StatsOptions) {
    super(handlers, onStats ? null : new ItemQueue(1, ({ cursor }: CampaignStats) => cursor, { keepNewest: true }));
    this.open(open, {
      onSnapshot: () => {},
      onEvent: () => {},
      onStats: (stats) => {
        this.#stats = stats;
        onStats?.(stats);
        this.push(() => stats);
      },
    });
  }

  get stats(): CampaignStats | null {
    return this.#stats;
  }
}
