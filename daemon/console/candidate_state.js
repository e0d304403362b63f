// What the room Candidate knows of one person, as plain values, and its timeline.
import { apply_to_conversation, conversation_of, empty_conversation } from './chat_state.js';
import { read_message } from './message.js';
import { is_met } from './objective.js';
import { to_date } from './time.js';

/** A conversation with its calls and changes of objectives by id; times also has `call <id>`, `objective <id>`. */
export const empty_candidate = { ...empty_conversation, calls: new Map(), objectives: new Map(), has_more_calls: false };

export function candidate_of(snapshot, before = empty_candidate) {
  return {
    ...conversation_of(snapshot, before),
    calls: new Map(snapshot.calls.map((row) => [row.call_id, row])),
    objectives: new Map(snapshot.objectives.map((row) => [row.id, row])),
    has_more_calls: Boolean(snapshot.more?.calls),
  };
}

const k_lists = {
  call_info: { list: 'calls', key: 'call_id', kind: 'call' },
  session_objective_events: { list: 'objectives', key: 'id', kind: 'objective' },
};

export function apply_to_candidate(state, table, event) {
  if (table === 'numbers') return apply_number(state, event);
  if (!Object.hasOwn(k_lists, table)) return apply_to_conversation(state, table, event);
  const { list, key, kind } = k_lists[table];
  const { operation, record, old_record, commit_timestamp } = event;
  if (operation === 'TRUNCATE') return { ...state, [list]: new Map() };
  const old_key = old_record?.[key];
  if (old_key !== undefined && old_key !== record?.[key]) state[list].delete(old_key);
  if (record) {
    state[list].set(record[key], record);
    if (operation === 'INSERT') state.times.set(`${kind} ${record[key]}`, commit_timestamp);
  }
  return { ...state };
}

/** A session may have several numbers: the first by text is shown, as in the snapshot. */
function apply_number(state, { operation, record, old_record }) {
  if (operation === 'TRUNCATE') return { ...state, phone: null };
  const gone = old_record?.phone_number;
  const phone = gone !== undefined && gone === state.phone ? null : state.phone;
  const added = record?.phone_number ?? null;
  return { ...state, phone: phone === null || (added !== null && added < phone) ? added : phone };
}

// Reading a message costs parsing; a row that changes is a new object.
const readings = new WeakMap();

export function reading_of(row) {
  if (!readings.has(row)) readings.set(row, read_message(row.message));
  return readings.get(row);
}

/** When each message was written as far as is known, in ms or NaN: its own word, else its live INSERT. */
function told_times({ messages, times }) {
  return messages.map((row) => (reading_of(row).time ?? to_date(times.get(row.id)))?.getTime() ?? NaN);
}

/** The places of the longest run of times that never go back; NaN is skipped. */
function longest_run(times) {
  const ends = [];       // ends[n]: the place with the earliest time that ends a run of n + 1
  const before = [];
  times.forEach((time, place) => {
    if (Number.isNaN(time)) return;
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[ends[middle]] <= time) low = middle + 1;
      else high = middle;
    }
    before[place] = low ? ends[low - 1] : null;
    ends[low] = place;
  });
  const run = new Set();
  for (let place = ends.at(-1) ?? null; place !== null; place = before[place]) run.add(place);
  return run;
}

/** The newest message of a side without a time of its own was written when the session says so. */
function times_by_session(state, times) {
  const said = { user: state.session?.last_user_msg_at, agent: state.session?.last_agent_msg_at };
  for (let place = times.length - 1; place >= 0 && (said.user || said.agent); place -= 1) {
    const { side } = reading_of(state.messages[place]);
    if (!said[side]) continue;
    if (Number.isNaN(times[place])) times[place] = to_date(said[side])?.getTime() ?? NaN;
    said[side] = null;
  }
  return times;
}

/**
 * Everything about the candidate, oldest first: {key, kind: 'message' | 'call' | 'objective', row, time,
 * is_odd}; time is a Date or null.
 *
 * Messages have no column of time, so they stand in the order of their ids, whatever their texts say of
 * time. A call or a change of an objective has a time (called_at, occurred_at, else that of its live
 * INSERT) and stands before the first message that is later; those without any time stand at the end.
 * "Later" is judged by the times that messages tell (their own timestamp, else that of their live INSERT,
 * else, for the newest of a side, the session's last_user_msg_at or last_agent_msg_at). Times that
 * contradict the order of ids (a clock that was wrong) are not used for that, and are marked is_odd.
 */
export function timeline(state) {
  const told = told_times(state);
  const placing = times_by_session(state, [...told]);
  const run = longest_run(placing);
  const others = [...timed(state, 'calls', 'call', 'called_at'), ...timed(state, 'objectives', 'objective', 'occurred_at')]
    .sort(by_time);
  const entries = [];
  let next = 0;
  state.messages.forEach((row, place) => {
    if (run.has(place)) {
      while (next < others.length && others[next].time && others[next].time < placing[place]) entries.push(others[next++]);
    }
    const time = Number.isNaN(told[place]) ? null : new Date(told[place]);
    entries.push({ key: `message ${row.id}`, kind: 'message', row, time, is_odd: time !== null && !run.has(place) });
  });
  return entries.concat(others.slice(next));
}

/** At one time a call comes before what was learned in it, and objectives in the order of their ids. */
function by_time(a, b) {
  const apart = (a.time ?? Infinity) - (b.time ?? Infinity);
  if (apart) return apart;
  if (a.kind !== b.kind) return a.kind === 'call' ? -1 : 1;
  return a.kind === 'objective' ? a.row.id - b.row.id : a.key < b.key ? -1 : 1;
}

function timed(state, list, kind, column) {
  return [...state[list].entries()].map(([id, row]) => {
    const key = `${kind} ${id}`;
    return { key, kind, row, time: to_date(row[column]) ?? to_date(state.times.get(key)), is_odd: false };
  });
}

const is_object = (value) => value !== null && typeof value === 'object';

/** The objectives of the campaign's template and of the session: [{name, is_met, value}], the template's first. */
export function objectives_of({ session, campaign }) {
  // A campaign that the session has left says nothing about it any more.
  const template = campaign?.campaign === session?.campaign ? campaign?.objectives_template : null;
  const own = is_object(session?.objectives) && !Array.isArray(session.objectives) ? session.objectives : {};
  const names = Array.isArray(template)
    ? template.map((one) => (is_object(one) ? one.name ?? one.key ?? one.id ?? one.objective : one)).filter((name) => typeof name === 'string')
    : is_object(template) ? Object.keys(template) : [];
  return [...new Set([...names, ...Object.keys(own)])].map((name) => {
    const value = Object.hasOwn(own, name) ? own[name] : null;
    return { name, is_met: is_met(value), value };
  });
}

/** A value of an objective in few words. */
export function value_words(value) {
  if (is_object(value) && !Array.isArray(value)) value = 'value' in value ? value.value : 'met' in value ? value.met : value;
  if (value === null || value === undefined) return 'none';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  const text = typeof value === 'string' ? value : compact(value);
  return text.length > 200 ? `${text.slice(0, 200)}\u2026` : text;
}

/** JSON of a value; one that is nested deeper than the browser can write is only named. */
function compact(value) {
  try {
    return JSON.stringify(value);
  } catch {
    return 'a deeply nested value';
  }
}
