// Whose rights: the token is supabase-js's business, and it has three ways to it.
import type { SupabaseClient } from '@supabase/supabase-js';
import { PgcastError } from './error.js';

/** What this package uses of the app's client, whatever its schema. */
export type AnySupabaseClient = Pick<SupabaseClient<any, any, any>, 'realtime' | 'channel'>;

/**
 * The token of now: of the `accessToken` option, else the one of realtime.setAuth(token), else the
 * signed-in user's, else the key.
 */
export async function currentToken(supabase: AnySupabaseClient): Promise<string> {
  const { realtime } = supabase;
  const known = realtime.accessTokenValue ?? realtime.apiKey ?? '';
  if (isGivenByTheApp(supabase)) return known;
  try {
    return (await realtime.accessToken?.()) ?? known;
  } catch (cause) {
    throw new PgcastError('token_failed', 'the accessToken option has failed', { cause, hint: 'look at the cause' });
  }
}

/**
 * Lets realtime ask for the token anew and pass it on to its channels. Without it a channel that is
 * joined right after createClient() has the rights of the key, and supabase-js takes the first token
 * of its `accessToken` option for one that was set by hand, which it never renews.
 */
export async function renewToken(supabase: AnySupabaseClient): Promise<void> {
  await null; // an app may call setAuth(token) right after it has begun to watch
  if (!isGivenByTheApp(supabase)) await supabase.realtime.setAuth().catch(() => {}); // then the old one is tried
}

/** Whether the app calls realtime.setAuth(token) itself, also with the next one. */
function isGivenByTheApp(supabase: AnySupabaseClient): boolean {
  const { accessToken } = supabase as { accessToken?: unknown };
  if (typeof accessToken === 'function') return false;
  const { realtime } = supabase;
  const { _isManualToken: isManual } = realtime as { _isManualToken?: () => boolean };
  return isManual?.call(realtime) ?? realtime.accessTokenValue !== null;
}
