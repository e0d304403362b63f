// What the room Chats knows, as plain values: snapshot and events in, a new state out.

/** A campaign: its row and its sessions by id, each with what was seen of it live. */
export const empty_campaign = { is_loaded: false, row: null, sessions: new Map(), has_more: false };

const unknown = { last: null, unread: 0, phone: null, is_peeked: false };

export function campaign_of(snapshot, before = empty_campaign) {
  const sessions = new Map();
  for (const row of snapshot.sessions) {
    const known = before.sessions.get(row.session_id);
    sessions.set(row.session_id, { ...unknown, ...known, row });
  }
  return { is_loaded: true, row: snapshot.campaign, sessions, has_more: Boolean(snapshot.more) };
}

/** `open_id` is the session on the screen: its messages are not unread. Changes the map in place. */
export function apply_to_campaign(state, table, event, open_id) {
  if (table === 'campaign_info') return { ...state, row: event.record };
  if (event.operation === 'TRUNCATE') {
    return table === 'session_info' ? { ...state, sessions: new Map() } : state;
  }
  const row = event.record ?? event.old_record;
  const entry = state.sessions.get(row?.session_id);
  if (table === 'session_info') {
    if (event.operation === 'DELETE') state.sessions.delete(row.session_id);
    else state.sessions.set(row.session_id, { ...unknown, ...entry, row });
  } else if (entry && table === 'numbers') {
    state.sessions.set(row.session_id, { ...entry, phone: event.record?.phone_number ?? null });
  } else if (entry && table === 'chat_history' && event.operation === 'INSERT') {
    const last = { message: row.message, time: event.commit_timestamp };
    const unread = row.session_id === open_id ? 0 : entry.unread + 1;
    state.sessions.set(row.session_id, { ...entry, last, unread });
  }
  return { ...state };
}

/** What a session's own snapshot adds to its line: number and last message. What came live is newer. */
export function peeked(state, session_id, snapshot) {
  const entry = state.sessions.get(session_id);
  if (!entry || entry.is_peeked) return state;
  const newest = snapshot.messages[snapshot.messages.length - 1];
  const last = entry.last ?? (newest ? { message: newest.message, time: null } : null);
  state.sessions.set(session_id, { ...entry, last, phone: entry.phone ?? snapshot.phone_number ?? null, is_peeked: true });
  return { ...state };
}

export function mark_read(state, session_id) {
  const entry = state.sessions.get(session_id);
  if (!entry?.unread) return state;
  state.sessions.set(session_id, { ...entry, unread: 0 });
  return { ...state };
}

const k_activity = ['last_user_msg_at', 'last_agent_msg_at', 'last_outbound_at', 'user_updated', 'agent_updated', 'created_at'];

/** When something last happened in a session: Date or null. */
export function last_activity({ row, last }) {
  const times = k_activity.map((name) => Date.parse(row[name] ?? '')).filter((time) => !Number.isNaN(time));
  if (last?.time) times.push(Date.parse(last.time));
  return times.length ? new Date(Math.max(...times)) : null;
}

/** The sessions whose id or number holds `text`, latest activity first. */
export function listed(state, text) {
  const wanted = text.trim().toLowerCase();
  // A number is found however it is spaced.
  const digits = /^\+?[\d\s().\-/]{3,}$/.test(wanted) ? wanted.replace(/\D/g, '') : null;
  const is_wanted = ({ row, phone }) => row.session_id.toLowerCase().includes(wanted)
    || (phone !== null && (phone.includes(wanted) || (digits && phone.replace(/\D/g, '').includes(digits))));
  return [...state.sessions.values()]
    .filter((entry) => !wanted || is_wanted(entry))
    .map((entry) => ({ ...entry, at: last_activity(entry) }))
    .sort((a, b) => (b.at ?? 0) - (a.at ?? 0) || (a.row.session_id < b.row.session_id ? -1 : 1));
}

/** So many messages of a conversation are kept, the newest. */
export const k_kept_messages = 20_000;
const k_surplus = 1000;  // they are dropped in one go

/**
 * A conversation: its session and messages, oldest first; `times`: id -> commit time of live ones.
 * `generation` counts how often the messages were begun anew: pages of an earlier one do not fit.
 * `meanwhile`: id -> row or null (deleted), what changed while a page of older ones is on its way.
 */
export const empty_conversation = {
  is_loaded: false, session: null, phone: null, campaign: null, also: [], messages: [], times: new Map(), has_more: false,
  generation: 0, meanwhile: null,
};

export function conversation_of(snapshot, before = empty_conversation) {
  return {
    is_loaded: true,
    session: snapshot.session,
    phone: snapshot.phone_number ?? null,
    campaign: snapshot.campaign,
    also: snapshot.sessions ?? [],
    messages: [...snapshot.messages].sort((a, b) => a.id - b.id),
    times: new Map(before.times),
    has_more: Boolean(snapshot.more?.messages),
    generation: before.generation + 1,
    meanwhile: null,
  };
}

/** To be called before a page is asked for. */
export function begin_page(state) {
  return { ...state, meanwhile: new Map() };
}

/** A page of older messages, true at a moment after begin_page. What is known already is newer. */
export function add_page(state, generation, rows, has_more) {
  if (state.generation !== generation) return state;
  const known = new Set(state.messages.map(({ id }) => id));
  const fresh = rows
    .filter(({ id }) => !known.has(id))
    .map((row) => (state.meanwhile?.has(row.id) ? state.meanwhile.get(row.id) : row))
    .filter((row) => row !== null);
  const messages = [...fresh, ...state.messages].sort((a, b) => a.id - b.id);
  return { ...state, messages, has_more, meanwhile: null };
}

/**
 * Rows are applied by their id; messages stay in the order of ids, whatever order they commit in.
 * Changes the list of messages in place; the state itself is a new object.
 */
export function apply_to_conversation(state, table, event) {
  const { operation, record, old_record } = event;
  if (table === 'session_info') return { ...state, session: record };
  if (table === 'campaign_info') return { ...state, campaign: record };
  if (table === 'numbers') return { ...state, phone: record?.phone_number ?? null, generation: state.generation + 1 };
  if (table !== 'chat_history') return state;
  if (operation === 'TRUNCATE') {
    return { ...state, messages: [], times: new Map(), has_more: false, generation: state.generation + 1, meanwhile: null };
  }
  const id = (record ?? old_record).id;
  state.meanwhile?.set(id, record);
  const [at, is_there] = place_of(state.messages, id);
  if (operation === 'DELETE') {
    state.times.delete(id);
    if (is_there) state.messages.splice(at, 1);
    return { ...state };
  }
  // Older than all that is on the screen: its page will bring it.
  if (operation === 'UPDATE' && !is_there && at === 0 && state.has_more) return state;
  if (operation === 'INSERT') state.times.set(id, event.commit_timestamp);
  state.messages.splice(at, is_there ? 1 : 0, record);
  if (state.messages.length <= k_kept_messages + k_surplus) return { ...state };
  for (const row of state.messages.splice(0, state.messages.length - k_kept_messages)) state.times.delete(row.id);
  return { ...state, has_more: true, generation: state.generation + 1 };
}

function place_of(messages, id) {
  let low = 0;
  let high = messages.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (messages[middle].id < id) low = middle + 1;
    else high = middle;
  }
  return [low, messages[low]?.id === id];
}
