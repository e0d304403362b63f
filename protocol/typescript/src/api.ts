// The snapshot API: one request, one typed answer or one PgcastError.
import { errorOfAnswer, PgcastError } from './error.js';
import { currentToken, type AnySupabaseClient } from './token.js';

export interface ApiOptions {
  /** Where the daemon is, if not where the supabase client connects to: `https://host`. */
  url?: string | undefined;
  fetch?: typeof fetch | undefined;
}

export interface RequestOptions {
  signal?: AbortSignal | undefined;
}

type Query = { readonly [name: string]: string | number | undefined };

export class Api {
  readonly #supabase: AnySupabaseClient;
  readonly #base: string;
  readonly #fetch: typeof fetch;

  constructor(supabase: AnySupabaseClient, { url, fetch: own }: ApiOptions) {
    this.#supabase = supabase;
    this.#base = `${(url ?? baseOf(supabase.realtime.endPoint)).replace(/\/+$/, '')}/api/v1`;
    this.#fetch = own ?? ((...request) => fetch(...request));
  }

  /** GET of the path's parts, which are encoded one by one, with the token of now. */
  async get<Answer>(parts: readonly string[], query: Query, { signal }: RequestOptions): Promise<Answer> {
    const path = parts.map(encodeURIComponent).join('/');
    const set = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
    const search = set.length ? `?${new URLSearchParams(set)}` : '';
    const headers = this.#headers(await currentToken(this.#supabase));
    return await this.#ask(path + search, signal ? { headers, signal } : { headers }) as Answer;
  }

  /** Why the daemon refuses connections of this client, whose key is their token; null if it does not. */
  async refusalOfKey(): Promise<PgcastError | null> {
    try {
      await this.#ask('tickets', { method: 'POST', headers: this.#headers(this.#supabase.realtime.apiKey ?? '') });
      return null;
    } catch (error) {
      return error as PgcastError;
    }
  }

  async #ask(path: string, request: RequestInit): Promise<unknown> {
    let answer: Response;
    let body: unknown;
    try {
      answer = await this.#fetch(`${this.#base}/${path}`, request);
      body = parsed(await answer.text());
    } catch (cause) {
      if (request.signal?.aborted) throw new PgcastError('aborted', 'The request was aborted', { cause });
      throw new PgcastError('unreachable', `${this.#base} does not answer`, {
        cause, hint: 'look at the url, and whether the daemon runs and allows this origin',
      });
    }
    if (!answer.ok || body === undefined) throw errorOfAnswer(answer.status, body);
    return body;
  }

  /** Gateways in front of the daemon want the key too; the daemon takes the token. */
  #headers(token: string): Record<string, string> {
    const { apiKey } = this.#supabase.realtime;
    return { accept: 'application/json', authorization: `Bearer ${token}`, ...(apiKey && { apikey: apiKey }) };
  }
}

/** `wss://host/prefix/realtime/v1/websocket` -> `https://host/prefix`. */
function baseOf(endPoint: string): string {
  const url = new URL(endPoint);
  url.protocol = url.protocol.replace('ws', 'http');
  return url.origin + url.pathname.replace(/\/(realtime\/v1|socket)(\/websocket)?\/?$/, '');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
