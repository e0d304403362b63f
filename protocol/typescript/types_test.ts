// What an app writes, seen by the compiler (tests/e2e/typescript_tables.test.js runs it): every line
// under @ts-expect-error must be refused, all others accepted.
import { createClient } from '@supabase/supabase-js';
import { applyEvent, createPgcast, PgcastError, readMessage, type RowEvent, type SessionInfo } from './src/index.js';
import { useChat, useCampaignStats } from './src/react.js';

interface Database {
  public: {
    Tables: { things: { Row: { id: number }; Insert: { id: number }; Update: { id: number }; Relationships: [] } };
    Views: Record<string, never>;
    Functions: Record<string, never>;
  };
}

const pgcast = createPgcast(createClient('http://127.0.0.1', 'key'));
createPgcast(createClient<Database>('http://127.0.0.1', 'key'), { url: 'http://127.0.0.1:4000' });
// @ts-expect-error a client, not an address
createPgcast('http://127.0.0.1');

export async function questions(): Promise<void> {
  const { messages, next } = await pgcast.getChatHistory('+447700900000', { limit: 5, sender: 'user', before: null });
  const id: number | undefined = messages[0]?.id;
  await pgcast.getChatHistory('+447700900000', { before: next, signal: AbortSignal.timeout(1) });
  // @ts-expect-error under noUncheckedIndexedAccess the first may be missing
  messages[0].id;
  // @ts-expect-error one of two sides
  await pgcast.getChatHistory('+447700900000', { sender: 'other' });
  // @ts-expect-error the campaign may be missing
  (await pgcast.getCampaign('spring')).campaign.job_info;
  const seconds: number = (await pgcast.getCampaign('spring')).stats.calls.seconds;
  const first: string | undefined = (await pgcast.getCandidateProfile('+447700900000')).sessions[0];
  // @ts-expect-error the numbers of the API carry no cursor of their own
  (await pgcast.getCampaigns()).campaigns[0]?.stats.cursor;
  console.log(id, seconds, first);
}

pgcast.watchSession('abc', {
  onSnapshot: ({ session, messages }, { isFresh }) => console.log(session?.campaign, messages.length, isFresh),
  onEvent: (event) => {
    if (event.table === 'chat_history' && event.operation === 'INSERT') console.log(readMessage(event.record.message).text);
    if (event.table === 'call_info' && event.operation === 'UPDATE') console.log(event.record.duration, event.old_record.status);
    if (event.operation === 'DELETE') console.log(event.old_record);
    // @ts-expect-error campaign_info is not among the tables of a session
    if (event.table === 'campaign_info') console.log(event);
    // @ts-expect-error a DELETE has no record
    if (event.operation === 'DELETE') console.log(event.record.id);
  },
  onError: (error) => console.log(error.code, error.hint, error.status),
});
// @ts-expect-error no such handler
pgcast.watchSession('abc', { onMessage: () => {} });
// @ts-expect-error a snapshot of another topic
pgcast.watchCampaign('spring', { from: await pgcast.getSessionDetails('abc') });
pgcast.watchPhone('+447700900000', { from: await pgcast.getCandidateProfile('+447700900000') });

export async function loops(): Promise<void> {
  for await (const item of pgcast.watchCampaign('spring', { resume: { since: '2026-01-02T03:04:05Z' } })) {
    if (item.type === 'snapshot') console.log(item.snapshot.sessions.length, item.isFresh);
    // @ts-expect-error it is an event then
    else console.log(item.snapshot);
  }
  for await (const stats of pgcast.watchStats('spring')) console.log(stats.messages.user, stats.cursor);
}

export function fold(event: RowEvent, row: SessionInfo): void {
  const state = applyEvent({ cursor: '', campaign: null, sessions: [row], more: false }, event);
  console.log(state.sessions.length);
  // @ts-expect-error a campaign's state has no messages
  console.log(state.messages);
  // @ts-expect-error null is possible in every column that is not the key
  const created: string = row.created_at;
  const source: 'call' | 'chat' | 'manual' | null | undefined = event.table === 'session_objective_events' ? event.record?.source : null;
  console.log(created, source, row.session_id.length);
}

export function View() {
  const { messages, status, error } = useChat(pgcast, { session: 'abc' });
  useChat(pgcast, null);
  // @ts-expect-error a session or a number, not both
  useChat(pgcast, { session: 'abc', phone: '+447700900000' });
  const { stats } = useCampaignStats(pgcast, 'spring');
  // @ts-expect-error no such status
  if (status === 'open') return null;
  return error instanceof PgcastError ? error.code : messages.map(({ side, text, row }) => [side, text, row.session_id, stats?.active]);
}
