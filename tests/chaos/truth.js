// What each topic had to be told, worked out from the changes that were committed. Pure.
//
// A change: {id, xid, at, table, operation, row, v, old_v, record, old_record}. `row` names the row
// for ever, `v` its version (both unique in the whole database), `id` is the event's id, `at` the
// time of the commit in ms. In the order of ids; the changes of one row are in commit order then.
//
// Which of two changes of different transactions is delivered first is certain only where ids and
// commits agree; where a topic's membership moves at about the same time, more than one answer is
// right. So a view is a set of operations, and with null in it the topic may also hear nothing.

/** Commits that are closer than this may become visible in the other order. */
export const k_margin = 2000;

const k_by_session = new Set(['chat_history', 'call_info', 'session_objective_events', 'numbers', 'campaigns']);
const k_of_session = new Set([...k_by_session, 'session_info']);

/** True if `a` is delivered before `b` whatever the batches. */
export function surely_before(a, b, margin = k_margin) {
  if (a.xid === b.xid) return a.id < b.id;
  return a.id < b.id && a.at + margin < b.at;
}

/** What a subscriber hears of an operation on a row that was, or is, in its topic. */
function heard(operation, had_old, has_new) {
  if (had_old && has_new) return operation;
  if (has_new) return 'INSERT';
  return had_old ? 'DELETE' : null;
}

/** The states that one thing (a session's campaign, a number's session) may have at a change. */
class History {
  entries = [];

  add(change, value) {
    this.entries.push({ change, value });
  }

  /** Entries that may be the newest one before `change`; an entry of null stands for "not there yet". */
  at(change) {
    let found = [null];
    for (const entry of this.entries) {
      if (entry.change === change || surely_before(change, entry.change)) break;
      if (surely_before(entry.change, change)) found = [entry];
      else found.push(entry);
    }
    return found;
  }
}

export class Truth {
  /** `changes` in any order. */
  constructor(changes) {
    this.changes = [...changes].sort((a, b) => a.id - b.id);
    this.by_version = new Map();
    this.rows = new Map();
    this.sessions = new Map();
    this.numbers = new Map();
    this.cache = new Map();
    for (const change of this.changes) this.index(change);
  }

  index(change) {
    const { table, row, record, old_record } = change;
    if (!this.rows.has(row)) this.rows.set(row, []);
    change.nth = this.rows.get(row).push(change) - 1;
    // A version is made by one change and ended by one: what an event shows names its change.
    if (change.v !== null) this.by_version.set(`+${change.v}`, change);
    if (change.old_v !== null) this.by_version.set(`-${change.old_v}`, change);
    if (table === 'session_info') {
      if (old_record && old_record.session_id !== record?.session_id) this.history(this.sessions, old_record.session_id).add(change, { is_deleted: true, campaign: old_record.campaign });
      if (record) this.history(this.sessions, record.session_id).add(change, { campaign: record.campaign });
    } else if (table === 'numbers') {
      if (old_record && old_record.phone_number !== record?.phone_number) this.history(this.numbers, old_record.phone_number).add(change, null);
      if (record) this.history(this.numbers, record.phone_number).add(change, record.session_id);
    }
  }

  history(map, key) {
    if (!map.has(key)) map.set(key, new History());
    return map.get(key);
  }

  /** The change that an event tells of, or undefined. */
  find({ operation, v, old_v }) {
    return operation === 'DELETE' ? this.by_version.get(`-${old_v}`) : this.by_version.get(`+${v}`);
  }

  /** Every campaign that the session of a row may have been in: [{campaign, is_certain}]. */
  campaigns_of(change, session) {
    return (this.sessions.get(session)?.at(change) ?? [null]).flatMap((entry) => {
      if (entry === null) return [null];
      const { is_deleted, campaign } = entry.value;
      if (!is_deleted) return [campaign];
      // What a cascade deletes goes to the last campaign; later nobody needs to know it any more.
      if (change.operation === 'DELETE') return entry.change.xid === change.xid ? [campaign] : [campaign, null];
      // A renamed session's rows follow in the same transaction: the old one may still count.
      return entry.change.xid === change.xid ? [campaign, null] : [null];
    });
  }

  /** The operations that `campaign:` may be told. */
  campaign_view(change, campaign) {
    const { table, operation, record, old_record } = change;
    const direct = (row) => row !== null && (table === 'session_info' || table === 'campaign_info' || table === 'campaigns') && row.campaign === campaign;
    if (!k_by_session.has(table)) return new Set([heard(operation, direct(old_record), direct(record))]);
    const views = new Set();
    const is_same = record && old_record && record.session_id === old_record.session_id;
    for (const before of old_record ? this.campaigns_of(change, old_record.session_id) : [null]) {
      for (const after of is_same ? [before] : record ? this.campaigns_of(change, record.session_id) : [null]) {
        views.add(heard(operation, old_record !== null && (before === campaign || direct(old_record)), record !== null && (after === campaign || direct(record))));
      }
    }
    return views;
  }

  session_view({ table, operation, record, old_record }, session) {
    const is_in = (row) => row !== null && k_of_session.has(table) && row.session_id === session;
    return heard(operation, is_in(old_record), is_in(record));
  }

  /** Sessions that a number may have led to just before `change`, and the one it gives it to. */
  sessions_of_number(change, number) {
    const history = this.numbers.get(number);
    const found = (history?.at(change) ?? [null]).map((entry) => entry?.value ?? null);
    if (change.table === 'numbers' && change.record?.phone_number === number) found.push(change.record.session_id);
    return new Set(found);
  }

  phone_view(change, number) {
    const views = new Set();
    for (const session of this.sessions_of_number(change, number)) views.add(session === null ? null : this.session_view(change, session));
    return views;
  }

  /** What `postgres_changes` tells with this filter, "schema.table[:column=eq.value]". */
  changes_view({ table, operation, record, old_record }, key) {
    const [wanted, filter] = key.split(':');
    if (wanted !== `public.${table}`) return new Set([null]);
    const [, column, value] = filter?.match(/^(\w+)=eq\.(.*)$/) ?? [];
    const passes = (row) => !column || String(row[column]) === value;
    if (operation === 'DELETE') return new Set(passes(old_record) ? ['DELETE'] : [null]);
    return new Set(passes(record) ? [operation] : [null]);
  }

  view(change, topic) {
    const [kind] = topic.split(':', 1);
    const key = topic.slice(kind.length + 1);
    if (kind === 'session') return new Set([this.session_view(change, key)]);
    if (kind === 'campaign') return this.campaign_view(change, key);
    if (kind === 'phone') return this.phone_view(change, key);
    return this.changes_view(change, key);
  }

  /** Map change -> view of all changes that the topic may hear of. */
  views(topic) {
    if (!this.cache.has(topic)) {
      const found = new Map();
      for (const change of this.changes) {
        const view = this.view(change, topic);
        if (view.size > 1 || !view.has(null)) found.set(change, view);
      }
      this.cache.set(topic, found);
    }
    return this.cache.get(topic);
  }
}
