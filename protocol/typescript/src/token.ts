// Whose rights: the token is supabase-js's business, and it has several ways to it.
import type { SupabaseClient } from '@supabase/supabase-js';
import { PgcastError } from './error.js';

/** What this package uses of the app's client, whatever its schema. */
export type AnySupabaseClient = Pick<SupabaseClient<any, any, any>, 'realtime' | 'channel'>;

/**
 * The token of now: that of the `accessToken` option or of the signed-in user, else the one of
 * realtime.setAuth(token), else the key.
 */
export async function currentToken(supabase: AnySupabaseClient): Promise<string> {
  const { accessTokenValue, apiKey } = supabase.realtime;
  try {
    return (await freshToken(supabase)) ?? accessTokenValue ?? apiKey ?? '';
  } catch (cause) {
    throw new PgcastError('token_failed', 'the accessToken option has failed', { cause, hint: 'look at the cause' });
  }
}

/**
 * Lets realtime ask for the token anew and pass it on to its channels. Without it a channel that is
 * joined right after createClient() has the rights of the key, and some versions of supabase-js take
 * the first token of the `accessToken` option for one that was set by hand, which they never renew.
 */
export async function renewToken(supabase: AnySupabaseClient): Promise<void> {
  const token = await freshToken(supabase).catch(() => null); // then the old one is tried
  if (token) await supabase.realtime.setAuth().catch(() => {});
}

/** supabase-js answers with the key where it has no token; then one of setAuth(token) is better. */
async function freshToken({ realtime }: AnySupabaseClient): Promise<string | null> {
  const token = await realtime.accessToken?.();
  return token && token !== realtime.apiKey ? token : null;
}
