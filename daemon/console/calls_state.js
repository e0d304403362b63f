// What the room Calls knows, as plain values: snapshots, events and pages of the API in, a new state
// out. The maps are changed in place; the state itself is a new object.
import { last_activity } from './chat_state.js';

/**
 * sessions: id -> row; calls: call_id -> row; times: call_id -> commit time of a call inserted live;
 * told: ids of calls that an event told of, which a page of the API must not overwrite: an event that
 * is later than the page may have come before it, and one that is earlier is followed by another.
 * asked: sessions whose calls were asked for; newcomers: sessions that came in with calls of before, and
 * arrived how often that was.
 * round counts the times that all was forgotten: a page asked for in an earlier round is stale.
 */
export const empty_calls = {
  is_loaded: false, round: 0, row: null, sessions: new Map(), calls: new Map(), times: new Map(), told: new Set(),
  asked: new Set(), newcomers: new Set(), arrived: 0, phone: null, has_more: false, has_more_sessions: false,
};

const k_kept_calls = 5000;

function anew(before) {
  return {
    ...empty_calls, is_loaded: true, round: before.round + 1,
    sessions: new Map(), calls: new Map(), times: new Map(), told: new Set(), asked: new Set(),
    newcomers: new Set(),
  };
}

/** Of a campaign: its sessions. Their calls are asked for with sessions_to_ask(). */
export function calls_of_campaign(snapshot, before = empty_calls) {
  const sessions = new Map(snapshot.sessions.map((row) => [row.session_id, row]));
  return { ...anew(before), row: snapshot.campaign, sessions, has_more_sessions: Boolean(snapshot.more) };
}

/** Of a session or a number: the newest calls. */
export function calls_of_session(snapshot, before = empty_calls) {
  const { session, calls, phone_number, more } = snapshot;
  const state = { ...anew(before), phone: phone_number ?? null, has_more: Boolean(more?.calls) };
  if (session) state.sessions.set(session.session_id, session);
  for (const row of calls) state.calls.set(row.call_id, row);
  return state;
}

export function apply_to_calls(state, table, event) {
  const { operation, record, old_record } = event;
  if (table === 'call_info') return apply_call(state, event);
  if (table === 'campaign_info') return { ...state, row: record };
  if (table === 'numbers') return { ...state, phone: record?.phone_number ?? null };
  if (table !== 'session_info') return state;
  if (operation === 'TRUNCATE') return { ...anew(state), row: state.row };
  const id = (record ?? old_record).session_id;
  if (operation === 'DELETE') return forget_session(state, id);
  const is_known = state.sessions.has(id);
  state.sessions.set(id, record);
  if (is_known || !has_past(event)) return { ...state };
  state.newcomers.add(id);
  return { ...state, arrived: state.arrived + 1 };
}

/** A session that comes in from another campaign brings calls of which no event tells. */
function has_past({ record, commit_timestamp }) {
  const created = Date.parse(record.created_at ?? '');
  return Boolean(record.latest_batch_call_id) || !(Date.parse(commit_timestamp) - created < 60_000);
}

/** A session that left the campaign takes its calls along. */
function forget_session(state, id) {
  state.sessions.delete(id);
  state.asked.delete(id);
  state.newcomers.delete(id);
  for (const [call_id, row] of state.calls) {
    if (row.session_id === id) {
      state.calls.delete(call_id);
      state.told.delete(call_id);
    }
  }
  return { ...state };
}

function apply_call(state, { operation, record, old_record, commit_timestamp }) {
  if (operation === 'TRUNCATE') return { ...state, round: state.round + 1, calls: new Map(), told: new Set(), has_more: false };
  const old_id = old_record?.call_id;
  if (old_id !== undefined && old_id !== record?.call_id) {
    state.calls.delete(old_id);
    state.told.add(old_id);
  }
  if (record) {
    if (operation === 'INSERT') state.times.set(record.call_id, commit_timestamp);
    state.calls.set(record.call_id, record);
    state.told.add(record.call_id);
  }
  return dropped_oldest({ ...state });
}

/** Calls that the API gave. */
export function add_calls(state, round, rows) {
  if (round !== state.round) return state;
  for (const row of rows) if (!state.told.has(row.call_id)) state.calls.set(row.call_id, row);
  return dropped_oldest({ ...state });
}

function dropped_oldest(state) {
  if (state.calls.size <= k_kept_calls) return state;
  for (const { row } of sorted(state).slice(k_kept_calls * 0.9)) state.calls.delete(row.call_id);
  return state;
}

/**
 * Whose calls to ask for now: newcomers, and of the `count` sessions most likely to have the campaign's
 * newest calls those that were not asked for. latest_batch_call_id says that a session was called;
 * the latest activity comes first.
 */
export function sessions_to_ask(state, count) {
  const likely = [...state.sessions.values()]
    .map((row) => ({ row, was_called: row.latest_batch_call_id ? 1 : 0, at: last_activity({ row, last: null }) ?? 0 }))
    .sort((a, b) => b.was_called - a.was_called || b.at - a.at)
    .slice(0, count)
    .map(({ row }) => row.session_id);
  return [...new Set([...state.newcomers, ...likely])].filter((id) => !state.asked.has(id));
}

/** When a call was made: Date or null. */
export function called_at(state, row) {
  const time = Date.parse(row.called_at ?? state.times.get(row.call_id) ?? '');
  return Number.isNaN(time) ? null : new Date(time);
}

/** All of them, newest first; those of unknown time last. */
function sorted(state) {
  return [...state.calls.values()]
    .map((row) => ({ row, at: called_at(state, row) }))
    .sort((a, b) => (b.at ?? -1) - (a.at ?? -1) || (a.row.call_id < b.row.call_id ? -1 : 1));
}

/**
 * The calls whose ids, session, status or batch hold `text`, newest first, as groups {batch, calls}:
 * those of one batch stand together, where its newest one belongs.
 */
export function grouped_calls(state, text = '') {
  const wanted = text.trim().toLowerCase();
  const groups = new Map();
  for (const call of sorted(state)) {
    const { call_id, session_id, status, batch_call_id } = call.row;
    if (wanted && !`${call_id} ${session_id ?? ''} ${status ?? ''} ${batch_call_id ?? ''}`.toLowerCase().includes(wanted)) continue;
    const key = batch_call_id ? `batch ${batch_call_id}` : `call ${call_id}`;
    if (!groups.has(key)) groups.set(key, { key, batch: batch_call_id || null, calls: [] });
    groups.get(key).calls.push(call);
  }
  return [...groups.values()];
}
