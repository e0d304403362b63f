// Compares what watches were told with what was committed. Pure: lists in, verdicts out.
//
// A log is what one watch was told of one topic, in order:
//   {is: 'snapshot', at, session, rows: Map row -> version, complete: Set of tables that it lists whole}
//   {is: 'event', at, id, table, operation, row, v, old_v, hash}      hash: of the values shown
//   {is: 'refused', at, code}                                         a cursor that was not honoured
//   {is: 'status', at, status, why}                                   what became of the channel
import { k_margin, surely_before } from './truth.js';

const k_examples = 10;

/** A short hash of a row as JSON (FNV-1a, 53 bits). */
export function hash_of(row) {
  const text = JSON.stringify(row);
  let [a, b] = [0x811c9dc5, 0xcbf29ce4];
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    a = Math.imul(a ^ code, 0x01000193) >>> 0;
    b = Math.imul(b ^ code, 0x01000197) >>> 0;
  }
  return (b & 0x1fffff) * 2 ** 32 + a;
}

/** How many changes of a row, oldest first, a snapshot shows at most: [count, is_exact]. */
function covered(truth, topic, snapshot, row) {
  const changes = truth.rows.get(row);
  const version = snapshot.rows.get(row);
  if (version !== undefined) {
    const shown = truth.by_version.get(`+${version}`);
    return [shown ? shown.nth + 1 : 0, true];
  }
  const is_listed = snapshot.complete.has(changes[0].table);
  let count = 0;
  for (const change of changes) {
    if (change.at > snapshot.at) break;
    const is_out = !is_listed || ['DELETE', null].some((operation) => snapshot_view(truth, topic, snapshot, change).has(operation));
    if (is_out) count = change.nth + 1;
  }
  return [count, false];
}

/** Of `phone:` a snapshot is that of the session which it shows. */
function snapshot_view(truth, topic, snapshot, change) {
  if (!topic.startsWith('phone:')) return truth.view(change, topic);
  return new Set([snapshot.session === null ? null : truth.session_view(change, snapshot.session)]);
}

/** The first change that takes the number away from the session of this snapshot, or undefined. */
function move_away(truth, topic, snapshot) {
  const { entries } = truth.numbers.get(topic.slice('phone:'.length)) ?? { entries: [] };
  let at = -1;
  for (const [nth, entry] of entries.entries()) if (entry.value === snapshot.session && entry.change.at <= snapshot.at) at = nth;
  return entries.slice(at + 1).find((entry) => entry.value !== snapshot.session)?.change;
}

/** The changes that must be told behind `snapshot`, up to the next one if there is one. */
function must_follow(truth, topic, snapshot, is_last) {
  const is_phone = topic.startsWith('phone:');
  if (!is_phone && !is_last) return []; // the next snapshot counts for them
  const moved = is_phone ? move_away(truth, topic, snapshot) : undefined;
  const wanted = [];
  const counts = new Map();
  const views = is_phone ? truth.views(`session:${snapshot.session}`) : truth.views(topic);
  for (const [change, view] of views) {
    if (view.has(null)) continue;
    if (moved && !surely_before(change, moved)) continue;
    if (!moved && !is_last) continue;
    if (!counts.has(change.row)) counts.set(change.row, covered(truth, topic, snapshot, change.row)[0]);
    if (change.nth >= counts.get(change.row)) wanted.push(change);
  }
  return wanted;
}

/** The changes that a watch must be told and was not, yet. */
export function missing(truth, { topic, log, starts_afresh = false }) {
  const told = new Set();
  for (const entry of log) if (entry.is === 'event') told.add(truth.find(entry));
  const snapshots = log.filter((entry) => entry.is === 'snapshot');
  const lost = new Set();
  for (const [nth, snapshot] of snapshots.entries()) {
    if (starts_afresh && nth < snapshots.length - 1) continue; // a client without a place of its own may be shown the next session at once
    for (const change of must_follow(truth, topic, snapshot, nth === snapshots.length - 1)) if (!told.has(change)) lost.add(change);
  }
  return [...lost];
}

/** A `phone:` watch whose last snapshot is of another session than the number's. */
export function is_elsewhere(truth, { topic, log }) {
  if (!topic.startsWith('phone:')) return false;
  const last = log.findLast((entry) => entry.is === 'snapshot');
  return last !== undefined && last.session !== (truth.numbers.get(topic.slice('phone:'.length))?.entries.at(-1)?.value ?? null);
}

/** Pairs that were told the wrong way round although commits and ids leave no doubt. */
class Sequence {
  newest = [];

  /** The change that should have come after `change` and was told before it, or undefined. */
  add(change) {
    const wrong = this.newest.find((told) => surely_before(change, told));
    this.newest = this.newest.filter((told) => told.id > change.id || told.at > change.at);
    this.newest.push(change);
    if (this.newest.length > 200) this.newest.splice(0, 100);
    return wrong;
  }
}

/** What became of a watch's channel, for a fault's example. */
const statuses = (log) => {
  const last = log.findLast((entry) => entry.is === 'event');
  const changes = log.filter((entry) => entry.is === 'status').slice(-6).map(({ at, status, why }) => `${at} ${status} ${why ?? ''}`);
  return `last event ${last?.id} at ${last?.at}, statuses ${changes.join(', ')}`;
};

/**
 * {committed, delivered, lost, phantom, duplicated, disordered, snapshots, refusals, late: [ms..],
 * examples: [text..]} of all watches: [{name, topic, log}].
 */
export function judge(truth, watches) {
  const verdict = { committed: truth.changes.length, delivered: 0, lost: 0, phantom: 0, duplicated: 0, disordered: 0, elsewhere: 0,
    snapshots: 0, refusals: {}, late: [], examples: [] };
  const fault = (what, watch, change, entry) => {
    verdict[what] += 1;
    if (verdict.examples.length >= k_examples) return;
    const { record, old_record, ...rest } = change ?? {};
    const keys = (row) => row && { session_id: row.session_id, campaign: row.campaign, phone_number: row.phone_number };
    const wanted = [...(change ? truth.view(change, watch.topic) : [])].join(' or ');
    verdict.examples.push(`${what}: ${watch.name} ${watch.topic}: ${JSON.stringify(entry ?? {})} of ${JSON.stringify({ ...rest, from: keys(old_record), to: keys(record) })}, hears ${wanted}; ${statuses(watch.log)}`);
  };
  for (const watch of watches) {
    judge_told(truth, watch, verdict, fault);
    for (const change of missing(truth, watch)) fault('lost', watch, change);
    if (is_elsewhere(truth, watch)) fault('elsewhere', watch);
    if (!watch.log.some((entry) => entry.is === 'snapshot')) fault('lost', watch, undefined, { why: 'it was never told anything' });
  }
  return verdict;
}

function judge_told(truth, watch, verdict, fault) {
  const views = truth.views(watch.topic);
  const seen = new Map();
  const last_of_row = new Map();
  const sequence = new Sequence();
  let snapshot = null;
  for (const entry of watch.log) {
    if (entry.is === 'refused') verdict.refusals[entry.code] = (verdict.refusals[entry.code] ?? 0) + 1;
    if (entry.is === 'snapshot') {
      snapshot = entry;
      verdict.snapshots += 1;
    }
    if (entry.is !== 'event') continue;
    verdict.delivered += 1;
    const change = truth.find(entry);
    const first = seen.get(entry.id);
    if (first) {
      verdict.duplicated += 1;
      const is_same = first.row === entry.row && (first.operation === entry.operation ? first.hash === entry.hash : views.get(change)?.size > 1);
      if (!is_same) fault('phantom', watch, change, { why: 'the same id with another content', first, entry });
      continue;
    }
    seen.set(entry.id, entry);
    const why = wrong(views, change, entry);
    if (why) {
      fault('phantom', watch, change, { why, ...entry });
      continue;
    }
    verdict.late.push(entry.at - change.at);
    const before = last_of_row.get(change.row);
    if (before !== undefined && before >= change.nth) fault('disordered', watch, change, { why: 'behind a later change of its row', ...entry });
    last_of_row.set(change.row, Math.max(before ?? -1, change.nth));
    const [count, is_exact] = snapshot ? covered(truth, watch.topic, snapshot, change.row) : [0, false];
    if (is_exact && change.nth < count) fault('disordered', watch, change, { why: 'behind a snapshot that shows it', ...entry });
    const later = sequence.add(change);
    if (later) fault('disordered', watch, change, { why: `behind event ${later.id}, which was committed ${later.at - change.at} ms later`, ...entry });
  }
}

/** Why an event must not have been told; "" if it may. */
function wrong(views, change, { id, operation, hash }) {
  if (!change) return 'never committed';
  if (change.id !== id) return `its id is ${change.id}`;
  const view = views.get(change);
  if (!view) return 'not of this topic';
  if (!view.has(operation)) return `the topic hears ${[...view].join(' or ')}`;
  const shown = operation === 'DELETE' ? change.old_record : change.record;
  return hash === hash_of(shown) ? '' : 'other values than were committed';
}

/** Counts of ms below 10, 100, 1 s, 10 s, and of the rest. */
export function histogram(late) {
  const bounds = [10, 30, 100, 300, 1000, 3000, 10_000, 30_000, Infinity];
  const counts = bounds.map(() => 0);
  for (const ms of late) counts[bounds.findIndex((bound) => ms < bound)] += 1;
  return bounds.map((bound, at) => [bound, counts[at]]);
}

/** True if nothing is wrong. */
export const is_good = ({ lost, phantom, disordered, elsewhere }) => lost + phantom + disordered + elsewhere === 0;

export { k_margin };
