// Kinds of clients: how each asks for changes and reads what it is told. One of them is
// { name, open(supabase, topic, place), on the record's way: log entries }.
import { hash_of } from './judge.js';

/** An event as the judge compares it. */
function entry_of({ id, table, operation, record, old_record }) {
  const shown = operation === 'DELETE' ? old_record : record;
  return { is: 'event', at: Date.now(), id: Number(id), table, operation, row: shown?.chaos_row, v: record?.chaos_v ?? null, old_v: old_record?.chaos_v ?? null, hash: hash_of(shown) };
}

/** What a snapshot shows of which rows. */
function snapshot_of({ session, sessions, campaign, messages, calls, objectives, more }) {
  const is_campaign = messages === undefined;
  const shown = is_campaign ? [...sessions, campaign] : [session, ...messages, ...calls, ...objectives];
  const rows = new Map(shown.filter(Boolean).map((row) => [row.chaos_row, row.chaos_v]));
  const complete = new Set();
  if (is_campaign) complete.add('campaign_info');
  if (is_campaign ? more === false : true) complete.add('session_info');
  if (!is_campaign) {
    complete.add('session_objective_events');
    if (!more.messages) complete.add('chat_history');
    if (!more.calls) complete.add('call_info');
  }
  return { is: 'snapshot', at: Date.now(), session: session?.session_id ?? null, rows, complete };
}

/** A channel of broadcasts; `keep(cursor)` hears of every place. */
function open_topic(supabase, topic, options, log, keep) {
  return supabase.channel(topic, { config: { broadcast: options } })
    .on('broadcast', { event: '*' }, ({ event, payload }) => {
      if (event === 'snapshot') log.push(snapshot_of(payload));
      else if (payload?.operation) log.push(entry_of(payload));
      else return;
      if (payload.cursor) keep(payload.cursor);
    })
    .on('system', {}, ({ extension, status, code }) => {
      if (extension === 'pgcast' && status === 'error' && code?.startsWith('cursor_')) log.push({ is: 'refused', at: Date.now(), code });
    });
}

/** Broadcasts, and a cursor that the app keeps as the documentation says. */
export const broadcast = {
  open(supabase, topic, place, log) {
    const options = place.broadcast ??= {};
    return open_topic(supabase, topic, options, log, (cursor) => {
      options.resume = cursor;
    });
  },
};

/** Broadcasts; the daemon keeps the place of who says its client id, a new one with each page. */
export const client_id = {
  starts_afresh: true,
  client_options: (name) => ({ realtime: { params: { client_id: name } } }),
  open(supabase, topic, place, log) {
    return open_topic(supabase, topic, {}, log, () => {}); // no cursor is kept
  },
};

/** postgres_changes of "changes:schema.table[:filter]", resumed by the cursor in the filter object. */
export const postgres_changes = {
  is_changes: true,
  open(supabase, topic, place, log) {
    const [, relation, filter] = topic.split(':');
    const [schema, table] = relation.split('.');
    place.filter ??= { event: '*', schema, table, ...(filter && { filter }), resume: '' };
    // It begins with nothing: what came before is not told.
    if (!log.some((entry) => entry.is === 'snapshot')) place.is_new = true;
    return supabase.channel(`changes ${topic}`)
      .on('postgres_changes', place.filter, (change) => {
        const meta = change.new?._pgcast_id ? change.new : change.old;
        const strip = (row) => {
          if (!row || Object.keys(row).length === 0) return null;
          const { _pgcast_id, _pgcast_cursor, ...rest } = row;
          return rest;
        };
        log.push(entry_of({ id: meta._pgcast_id, table: change.table, operation: change.eventType, record: strip(change.new), old_record: strip(change.old) }));
        place.filter.resume = meta._pgcast_cursor;
      })
      .on('system', {}, ({ extension, status, code, cursor }) => {
        const from_now = () => log.push({ is: 'snapshot', at: Date.now(), session: null, rows: new Map(), complete: new Set() });
        if (extension === 'pgcast' && code?.startsWith('cursor_')) {
          log.push({ is: 'refused', at: Date.now(), code });
          from_now();
          place.is_new = true;
        }
        if (extension === 'postgres_changes' && status === 'ok' && (place.is_new || place.filter.resume === '')) { // without a cursor it is "from now" once more
          place.is_new = false;
          from_now();
          if (cursor) place.filter.resume = cursor;
        }
      });
  },
};

export const kinds = { broadcast, client_id, postgres_changes };
