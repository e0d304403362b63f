// One kind of error for the API, for joins and for the client's own refusals.

/** Codes that this package gives; all others are the daemon's (docs/errors.md). */
export type ClientCode =
  | 'unreachable'       // no answer, or one that is not pgcast's
  | 'aborted'           // the caller's signal
  | 'join_failed'       // a join was refused without a code
  | 'topic_in_use'      // the topic is joined already, by the app or by a watch that cannot be shared
  | 'channel_removed'   // the app has removed the channel of a watch
  | 'slow_consumer';    // an iterator did not take what came

export interface ErrorDetails {
  hint?: string | undefined;
  status?: number | undefined;
  cursor?: string | null | undefined;
  cause?: unknown;
}

export class PgcastError extends Error {
  override readonly name = 'PgcastError';
  /** Stable: for programs. */
  readonly code: ClientCode | (string & {});
  /** What to do about it: for people. */
  readonly hint: string;
  /** The HTTP status; 0 where there was no answer or no HTTP. */
  readonly status: number;
  /** Of `slow_consumer`: the place to go on at, as `resume`. */
  readonly cursor: string | null;

  constructor(code: ClientCode | (string & {}), message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = details.hint ?? '';
    this.status = details.status ?? 0;
    this.cursor = details.cursor ?? null;
  }
}

/** An answer that is no 2xx: problem JSON of pgcast, or something of what stands in front of it. */
export function errorOfAnswer(status: number, body: unknown): PgcastError {
  const { code, title, hint } = (body ?? {}) as { code?: unknown; title?: unknown; hint?: unknown };
  if (typeof code !== 'string') {
    return new PgcastError('unreachable', `HTTP ${status}, and not from pgcast`, {
      status, hint: 'look at the url, and at what answers there',
    });
  }
  return new PgcastError(code, typeof title === 'string' ? title : code, {
    status, hint: typeof hint === 'string' ? hint : '',
  });
}

/** Whether the daemon has refused a join; else the connection was lost or the channel's token ended. */
export function isRefusal(error: Error | undefined): error is Error {
  const { reason } = (error?.cause ?? {}) as { reason?: unknown };
  return typeof reason === 'string' || /^[A-Z]\w*: /.test(error?.message ?? '');
}

/** A refused join: supabase-js gives the daemon's {reason, code, hint} as the cause, older ones a text. */
export function errorOfJoin(error: Error): PgcastError {
  const { code, reason, hint } = (error.cause ?? {}) as { code?: unknown; reason?: unknown; hint?: unknown };
  const text = typeof reason === 'string' ? reason : error.message;
  const guessed = /^Unauthorized\b/.test(text) ? 'unauthorized' : 'join_failed';
  return new PgcastError(typeof code === 'string' ? code : guessed, text, {
    hint: typeof hint === 'string' ? hint : '', cause: error,
  });
}
