// Messages, calls and changes of objectives as one list.
import { writtenAt } from './fold.js';
import { dateOf, readMessage, type ReadMessage } from './message.js';
import type { CallInfo, ChatHistory, SessionObjectiveEvent, SessionSnapshot } from './tables.js';

/** A message as it is shown, with its row. */
export interface ChatEntry extends ReadMessage {
  id: number;
  row: ChatHistory;
}

/** `key` is unique in the list, `at` is when it happened, as far as that is known. */
export type TimelineEntry = { key: string; at: Date | null } & (
  | { type: 'message'; message: ChatEntry }
  | { type: 'call'; call: CallInfo }
  | { type: 'objective'; objective: SessionObjectiveEvent }
);

const entries = new WeakMap<ChatHistory, ChatEntry>();

/** The same row gives the same entry, so that a list draws only what is new. */
export function chatEntry(row: ChatHistory): ChatEntry {
  const entry = entries.get(row) ?? { ...readMessage(row.message), id: row.id, row };
  entries.set(row, entry);
  return entry;
}

/**
 * Oldest first. A message that does not say when it was written stands where its event came, else
 * behind the message before it.
 */
export function timelineOf(state: SessionSnapshot): TimelineEntry[] {
  let last = dateOf(state.session?.created_at);
  const messages = state.messages.map((row): TimelineEntry => {
    const message = chatEntry(row);
    last = message.timestamp ?? dateOf(writtenAt.get(row)) ?? last;
    return { key: `message:${row.id}`, at: last, type: 'message', message };
  });
  const calls = state.calls.map((call): TimelineEntry =>
    ({ key: `call:${call.call_id}`, at: dateOf(call.called_at), type: 'call', call }));
  const objectives = state.objectives.map((objective): TimelineEntry =>
    ({ key: `objective:${objective.id}`, at: dateOf(objective.occurred_at), type: 'objective', objective }));
  // The newest stand first in calls and objectives; the sort is stable.
  return [...messages, ...calls.reverse(), ...objectives.reverse()].sort((a, b) => timeOf(a) - timeOf(b));
}

/** What has no time yet, a call that is still to be made, stands at the end. */
const timeOf = ({ at }: TimelineEntry): number => at?.getTime() ?? Number.MAX_SAFE_INTEGER;
