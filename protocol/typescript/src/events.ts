// What the topics send, as types.
import type { carried, Rows } from './tables.js';

export type TableName = keyof Rows;

interface EventBase<Table extends TableName> {
  /** Unique, and the same on every redelivery. */
  id: string;
  /** Opaque: "up to and including this event". */
  cursor: string;
  schema: 'public';
  table: Table;
  /** When the statement ran, UTC. */
  commit_timestamp: string;
}

export interface InsertEvent<Table extends TableName> extends EventBase<Table> {
  operation: 'INSERT';
  record: Rows[Table];
  old_record: null;
}

export interface UpdateEvent<Table extends TableName> extends EventBase<Table> {
  operation: 'UPDATE';
  record: Rows[Table];
  /** The columns that changed, as they were. */
  old_record: Partial<Rows[Table]>;
}

export interface DeleteEvent<Table extends TableName> extends EventBase<Table> {
  operation: 'DELETE';
  record: null;
  old_record: Rows[Table];
}

export interface TruncateEvent<Table extends TableName> extends EventBase<Table> {
  operation: 'TRUNCATE';
  record: null;
  old_record: null;
}

/** A change of one of these tables: tell by `table`, then by `operation`. */
export type RowEvent<Table extends TableName = TableName> = {
  [T in Table]: InsertEvent<T> | UpdateEvent<T> | DeleteEvent<T> | TruncateEvent<T>;
}[Table];

export type SessionEvent = RowEvent<(typeof carried)['session'][number]>;
export type PhoneEvent = RowEvent<(typeof carried)['phone'][number]>;
export type CampaignEvent = RowEvent<(typeof carried)['campaign'][number]>;

/** The events of each kind of topic. */
export interface Events {
  session: SessionEvent;
  phone: PhoneEvent;
  campaign: CampaignEvent;
}

/** What the daemon says beside the rows; `code` is stable (docs/clients.md, "System messages"). */
export interface Notice {
  code: string;
  status: 'ok' | 'error';
  message: string;
}
