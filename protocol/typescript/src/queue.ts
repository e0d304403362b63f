// Between a topic, which does not wait, and a loop, which takes its time.
import { PgcastError } from './error.js';

type Result<Item> = IteratorResult<Item, undefined>;

interface Waiting<Item> {
  resolve: (result: Result<Item>) => void;
  reject: (error: unknown) => void;
}

/**
 * Holds at most `limit` items. One more, and nothing further is taken: the loop gets what is held and
 * then `slow_consumer` with the place to go on at. With `keepNewest` the new item takes the oldest's
 * place instead.
 */
export class ItemQueue<Item> {
  readonly #limit: number;
  readonly #cursorOf: (item: Item) => string;
  readonly #keepNewest: boolean;
  #items: Item[] = [];
  #waiting: Waiting<Item>[] = [];
  #end: { error: PgcastError | null } | null = null;

  constructor(limit: number, cursorOf: (item: Item) => string, { keepNewest = false } = {}) {
    this.#limit = limit;
    this.#cursorOf = cursorOf;
    this.#keepNewest = keepNewest;
  }

  push(item: Item): void {
    if (this.#end) return;
    const waiting = this.#waiting.shift();
    if (waiting) return waiting.resolve({ done: false, value: item });
    if (this.#items.length < this.#limit) {
      this.#items.push(item);
    } else if (this.#keepNewest) {
      this.#items = [...this.#items.slice(1), item];
    } else {
      this.finish(this.#tooSlow());
    }
  }

  /** No more items: the loop ends behind what is held, by the error if there is one. */
  finish(error: PgcastError | null = null): void {
    if (this.#end) return;
    this.#end = { error };
    for (const waiting of this.#waiting.splice(0)) this.#settle(waiting);
  }

  /** Drops what is held too. */
  clear(): void {
    this.#items = [];
    this.finish();
  }

  next(): Promise<Result<Item>> {
    return new Promise((resolve, reject) => {
      const item = this.#items.shift();
      if (item !== undefined) resolve({ done: false, value: item });
      else if (this.#end) this.#settle({ resolve, reject });
      else this.#waiting.push({ resolve, reject });
    });
  }

  #settle({ resolve, reject }: Waiting<Item>): void {
    const error = this.#end?.error;
    this.#end = { error: null }; // an error is told once
    if (error) reject(error);
    else resolve({ done: true, value: undefined });
  }

  #tooSlow(): PgcastError {
    const last = this.#items.at(-1);
    return new PgcastError('slow_consumer', `more than ${this.#limit} items were waiting for the loop`, {
      cursor: last === undefined ? null : this.#cursorOf(last),
      hint: 'watch again with resume: error.cursor, or give a larger buffer',
    });
  }
}
