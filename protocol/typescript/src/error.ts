// One kind of error for the API, for joins and for the client's own refusals.

/** Codes that this package gives; all others are the daemon's (docs/errors.md). */
export type ClientCode =
  | 'unreachable'       // no answer, or one that is not pgcast's
  | 'aborted'           // the caller's signal
  | 'join_failed'       // a join was refused for another reason than those below
  | 'token_invalid'     // the token of a join has ended, or is none for this daemon
  | 'token_failed'      // the app's accessToken threw
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

/**
 * Whether the daemon has refused a join; else the connection was lost or the channel's token ended.
 * A lost connection's cause is a CloseEvent, which has a `reason` and a numeric `code` too.
 */
export function isRefusal(error: Error | undefined): error is Error {
  const { reason, code } = (error?.cause ?? {}) as { reason?: unknown; code?: unknown };
  return (typeof reason === 'string' && typeof code !== 'number') || /^[A-Z]\w*: /.test(textOf(error));
}

/** Older versions give no cause, and write the text in quotes. */
function textOf(error: Error | undefined): string {
  const { reason } = (error?.cause ?? {}) as { reason?: unknown };
  return typeof reason === 'string' && reason ? reason : (error?.message ?? '').replace(/^"(.*)"$/s, '$1');
}

/** supabase-js keeps of a refusal only its text, whose first word says what it is. */
const k_refusals: { readonly [word: string]: readonly [code: string, hint: string] } = {
  Unauthorized: ['unauthorized', "look at the role's grants, the policies and the token's claims"],
  InvalidJWTToken: ['token_invalid', 'refresh the token, and compare the clocks'],
  MalformedJWT: ['token_malformed', 'mint a JWT with an algorithm that is accepted here'],
  JwtSignatureError: ['token_bad_signature', "compare auth.jwt_secret and auth.jwks with the issuer's keys"],
  ChannelRateLimitReached: ['too_many_channels', 'close watches that nobody looks at'],
  UnableToConnectToProject: ['source_unavailable', 'wait: it is tried again'],
};

export function errorOfJoin(error: Error): PgcastError {
  const text = textOf(error);
  const [word = ''] = text.split(':');
  const [code, hint] = Object.hasOwn(k_refusals, word) ? k_refusals[word]! : ['join_failed', 'the sentence says why'];
  return new PgcastError(code, text, { hint, cause: error });
}
