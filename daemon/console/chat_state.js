// What the room Chats knows, as plain values: snapshot and events in, a new state out.

/** A campaign: its row and its sessions by id, each with what was seen of it live. */
export const empty_campaign = { is_loaded: false, row: null, sessions: new Map(), has_more: false };

export function campaign_of(snapshot, before = empty_campaign) {
  const sessions = new Map();
  for (const row of snapshot.sessions) {
    const known = before.sessions.get(row.session_id);
    sessions.set(row.session_id, { row, last: known?.last ?? null, unread: known?.unread ?? 0, phone: known?.phone ?? null });
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
    else state.sessions.set(row.session_id, { last: null, unread: 0, phone: null, ...entry, row });
  } else if (entry && table === 'numbers') {
    state.sessions.set(row.session_id, { ...entry, phone: event.record?.phone_number ?? null });
  } else if (entry && table === 'chat_history' && event.operation === 'INSERT') {
    const last = { message: row.message, time: event.commit_timestamp };
    const unread = row.session_id === open_id ? 0 : entry.unread + 1;
    state.sessions.set(row.session_id, { ...entry, last, unread });
  }
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
  if (last) times.push(Date.parse(last.time));
  return times.length ? new Date(Math.max(...times)) : null;
}

/** The sessions whose id or number holds `text`, latest activity first. */
export function listed(state, text) {
  const wanted = text.trim().toLowerCase();
  return [...state.sessions.values()]
    .filter(({ row, phone }) => !wanted || `${row.session_id} ${phone ?? ''}`.toLowerCase().includes(wanted))
    .map((entry) => ({ ...entry, at: last_activity(entry) }))
    .sort((a, b) => (b.at ?? 0) - (a.at ?? 0) || (a.row.session_id < b.row.session_id ? -1 : 1));
}

const k_kept_messages = 10_000;

/** A conversation: its session and messages, oldest first; `times`: id -> commit time of live ones. */
export const empty_conversation = {
  is_loaded: false, session: null, phone: null, campaign: null, also: [], messages: [], times: new Map(), has_more: false,
};

export function conversation_of(snapshot, before = empty_conversation) {
  return {
    is_loaded: true,
    session: snapshot.session,
    phone: snapshot.phone_number ?? null,
    campaign: snapshot.campaign,
    also: snapshot.sessions ?? [],
    messages: [...snapshot.messages].sort((a, b) => a.id - b.id),
    times: before.times,
    has_more: Boolean(snapshot.more?.messages),
  };
}

/**
 * Rows are applied by their id; messages stay in the order of ids, whatever order they commit in.
 * Changes the list of messages in place; the state itself is a new object.
 */
export function apply_to_conversation(state, table, event) {
  const { operation, record, old_record } = event;
  if (table === 'session_info') return { ...state, session: record };
  if (table === 'campaign_info') return { ...state, campaign: record };
  if (table === 'numbers') return { ...state, phone: record?.phone_number ?? null };
  if (table !== 'chat_history') return state;
  if (operation === 'TRUNCATE') return { ...state, messages: [], times: new Map(), has_more: false };
  const id = (record ?? old_record).id;
  const [at, is_there] = place_of(state.messages, id);
  if (operation === 'DELETE') {
    if (is_there) state.messages.splice(at, 1);
    return { ...state };
  }
  if (operation === 'INSERT') state.times.set(id, event.commit_timestamp);
  state.messages.splice(at, is_there ? 1 : 0, record);
  const surplus = state.messages.length - k_kept_messages;
  if (surplus <= 0) return { ...state };
  state.messages.splice(0, surplus);
  return { ...state, has_more: true };
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
