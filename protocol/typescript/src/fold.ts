// A snapshot and an event -> the snapshot that the daemon would give after it. Pure: what has not
// changed is the same object, so that React sees what has.
import type { RowEvent } from './events.js';
import type { CallInfo, CampaignSnapshot, ChatHistory, PhoneNumber, PhoneSnapshot, SessionInfo, SessionObjectiveEvent, SessionSnapshot } from './tables.js';

/** Rows kept of a list while it grows live; older ones are dropped and `more` says so. */
export const k_kept_rows = 10_000;

/** When rows were written that came as events: many messages do not say it themselves. */
export const writtenAt = new WeakMap<ChatHistory, string>();

export type AnySnapshot = SessionSnapshot | PhoneSnapshot | CampaignSnapshot;

export function applyEvent<State extends AnySnapshot>(state: State, event: RowEvent): State {
  const next: AnySnapshot = 'messages' in state ? applyToSession(state, event) : applyToCampaign(state, event);
  return { ...next, cursor: event.cursor } as State;
}

function applyToSession(state: SessionSnapshot, event: RowEvent): SessionSnapshot {
  switch (event.table) {
    case 'session_info': {
      // The topic does not carry campaign_info: the row of another campaign is not known here.
      const campaign = state.campaign?.campaign === event.record?.campaign ? state.campaign : null;
      return { ...state, session: event.record, campaign };
    }
    case 'chat_history': {
      keepTime(state.messages, event);
      const { rows, hasMore } = applyToRows(state.messages, event, messageOrder, state.more.messages, 'first');
      return { ...state, messages: rows, more: { ...state.more, messages: hasMore } };
    }
    case 'call_info': {
      const { rows, hasMore } = applyToRows(state.calls, event, callOrder, state.more.calls, 'last');
      return { ...state, calls: rows, more: { ...state.more, calls: hasMore } };
    }
    case 'session_objective_events':
      return { ...state, objectives: applyToRows(state.objectives, event, objectiveOrder, false, 'last').rows };
    case 'numbers':
      return { ...state, phone_number: numberAfter(state.phone_number, event) };
    default:
      return state;
  }
}

function applyToCampaign(state: CampaignSnapshot, event: RowEvent): CampaignSnapshot {
  if (event.table === 'campaign_info') return { ...state, campaign: event.record };
  if (event.table !== 'session_info') return state;
  const { rows, hasMore } = applyToRows(state.sessions, event, sessionOrder, state.more, 'last');
  return { ...state, sessions: rows, more: hasMore };
}

function keepTime(messages: ChatHistory[], { operation, record, commit_timestamp }: RowEvent<'chat_history'>): void {
  if (!record) return;
  const before = messages.find((row) => row.id === record.id);
  const time = operation === 'INSERT' ? commit_timestamp : before && writtenAt.get(before);
  if (time) writtenAt.set(record, time);
}

interface Order<Row> {
  key: (row: Row) => unknown;
  /** Below 0 if `a` stands before `b`. */
  compare: (a: Row, b: Row) => number;
}

interface Change<Row> {
  operation: string;
  record: Row | null;
  old_record: Partial<Row> | null;
}

/**
 * The list after a change of one of its rows. `oldest` tells at which end the old rows stand: there
 * the list may be cut (`hasMore`), and a row beyond the cut is not among those shown.
 */
function applyToRows<Row>(rows: Row[], event: Change<Row>, order: Order<Row>, hasMore: boolean, oldest: 'first' | 'last') {
  const { operation, record, old_record } = event;
  if (operation === 'TRUNCATE') return { rows: [], hasMore: false };
  const old = order.key({ ...record, ...old_record } as Row);
  const rest = rows.filter((row) => order.key(row) !== old);
  if (!record) return { rows: rest, hasMore };
  const edge = oldest === 'first' ? rows[0] : rows.at(-1);
  if (hasMore && isBeyond(edge, event, order, oldest)) return { rows: rest, hasMore };
  rest.splice(placeOf(rest, record, order), 0, record);
  const surplus = rest.length - k_kept_rows;
  if (surplus > 0) rest.splice(oldest === 'first' ? 0 : k_kept_rows, surplus);
  return { rows: rest, hasMore: hasMore || surplus > 0 };
}

/** Whether the row stands behind the edge of a list that is cut there; in an empty one only new rows are shown. */
function isBeyond<Row>(edge: Row | undefined, { operation, record }: Change<Row>, { compare }: Order<Row>, oldest: 'first' | 'last'): boolean {
  if (edge === undefined) return operation !== 'INSERT';
  const distance = compare(record as Row, edge);
  return oldest === 'first' ? distance < 0 : distance > 0;
}

function placeOf<Row>(rows: Row[], row: Row, { compare }: Order<Row>): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(rows[middle] as Row, row) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function numberAfter(shown: string | null, event: Change<PhoneNumber>): string | null {
  const { operation, record, old_record } = event;
  if (operation === 'TRUNCATE') return null;
  const old = operation === 'INSERT' ? null : (old_record?.phone_number ?? record?.phone_number ?? null);
  const left = old === shown ? null : shown; // which other number the session has is not known
  const added = record?.phone_number ?? null;
  if (added === null || left === null) return added ?? left;
  return added < left ? added : left; // the first of several, as in the snapshot
}

// The orders are those of the snapshots. Times are compared as text: to_jsonb writes them in UTC, and
// text keeps the microseconds that Date would lose.
const newestFirst = (a: string | null, b: string | null): number =>
  (a === b ? 0 : a === null ? 1 : b === null ? -1 : a > b ? -1 : 1);
const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const messageOrder: Order<ChatHistory> = { key: (row) => row.id, compare: (a, b) => a.id - b.id };
const callOrder: Order<CallInfo> = {
  key: (row) => row.call_id,
  compare: (a, b) => newestFirst(a.called_at, b.called_at) || byText(a.call_id, b.call_id),
};
const objectiveOrder: Order<SessionObjectiveEvent> = {
  key: (row) => row.id,
  compare: (a, b) => newestFirst(a.occurred_at, b.occurred_at) || b.id - a.id,
};
const sessionOrder: Order<SessionInfo> = {
  key: (row) => row.session_id,
  compare: (a, b) => newestFirst(a.created_at, b.created_at) || byText(a.session_id, b.session_id),
};
