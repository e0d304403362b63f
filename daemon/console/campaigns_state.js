// What the room Campaigns knows, as plain values.
import { is_met } from './objective.js';
import { to_date } from './time.js';

const k_kept = 15 * 60_000;  // how far back the larger chart looks

/**
 * When things happened in a campaign, as far as successive numbers tell: `steps` are what came
 * between two of them; `gaps` are the times since the beginning in which nobody counted.
 */
export function empty_series() {
  return { since: null, base: null, gaps: [], steps: [] };
}

/** Numbers came at `now` (ms). The first after a join are the base: what was before is no event. */
export function add_numbers(series, stats, now) {
  const { base } = series;
  series.base = stats;
  if (!base) {
    series.since ??= now;
    const gap = series.gaps.at(-1);
    if (gap && gap.to === null) gap.to = now;
    return;
  }
  // Deleted rows are not events: never below nothing.
  const messages = Math.max(0, stats.messages.total - base.messages.total);
  const calls = Math.max(0, stats.calls.total - base.calls.total);
  if (messages + calls > 0) series.steps.push({ time: now, messages, calls });
  series.steps = series.steps.filter(({ time }) => time > now - k_kept);
  series.gaps = series.gaps.filter(({ to }) => to === null || to > now - k_kept);
}

/** The channel is gone: from here to the next numbers nobody counts. */
export function interrupt(series, now) {
  if (!series.base) return;
  series.base = null;
  series.gaps.push({ from: now, to: null });
}

/**
 * Equal pieces of the last `span` ms: {times: their middles in s, messages, calls, unknown}. A piece
 * is unknown when somebody might have missed something in it: it was not watched to its end (the one
 * in which watching began apart). What was seen of it counts nevertheless; else it is null.
 */
export function columns(series, now, span, piece) {
  const found = { times: [], messages: [], calls: [], unknown: [] };
  const first = Math.floor((now - span) / piece) + 1;
  const last = Math.floor(now / piece);
  for (let n = first; n <= last; n += 1) {
    const is_unknown = !was_watched(series, n * piece, Math.min((n + 1) * piece, now));
    found.times.push((n + 0.5) * piece / 1000);
    found.messages.push(is_unknown ? null : 0);
    found.calls.push(is_unknown ? null : 0);
    found.unknown.push(is_unknown);
  }
  for (const { time, messages, calls } of series.steps) {
    const at = Math.floor(time / piece) - first;
    if (at < 0 || at > last - first) continue;
    found.messages[at] += messages;
    found.calls[at] += calls;
  }
  return found;
}

function was_watched({ since, gaps }, from, to) {
  if (since === null || since > to) return false;
  return !gaps.some((gap) => gap.from < to && (gap.to === null || gap.to > from));
}

/** Adds up: {messages, calls, is_watched: something is known, has_gap: something is not}. */
export function sum_of({ messages, calls, unknown }) {
  const add = (all) => all.reduce((sum, one) => sum + (one ?? 0), 0);
  return { messages: add(messages), calls: add(calls), is_watched: messages.some((one) => one !== null), has_gap: unknown.includes(true) };
}

/**
 * The list as it was read again: rows keep their places, new ones come first, by their latest
 * activity. A list that was sorted anew each time would jump under the reader's hand.
 */
export function merged(before, rows) {
  const fresh = new Map(rows.map((row) => [row.campaign, row]));
  const kept = before.filter(({ campaign }) => fresh.has(campaign)).map(({ campaign }) => fresh.get(campaign));
  for (const { campaign } of before) fresh.delete(campaign);
  const at = (row) => to_date(row.stats?.last_activity_at)?.getTime() ?? 0;
  return [...[...fresh.values()].sort((a, b) => at(b) - at(a)), ...kept];
}

/**
 * Which campaigns to follow, at most `limit`: those on the screen, then those followed before, then
 * the others. Is `before` itself if nothing changes.
 */
export function followed(before, on_screen, others, limit) {
  const next = [...new Set([...on_screen, ...before, ...others])].slice(0, limit);
  return next.length === before.length && next.every((name) => before.includes(name)) ? before : next;
}

/** The totals of all these numbers. */
export function total_of(all) {
  const total = { sessions: 0, active: 0, messages: 0, calls: 0, seconds: 0 };
  for (const stats of all) {
    total.sessions += stats.sessions;
    total.active += stats.active;
    total.messages += stats.messages.total;
    total.calls += stats.calls.total;
    total.seconds += stats.calls.seconds;
  }
  return total;
}

/** [{name, met}] of the template and of the numbers, the template's order first. */
export function objectives_of(row, stats) {
  const is_object = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
  const template = is_object(row?.objectives_template) ? Object.keys(row.objectives_template) : [];
  const counted = stats?.objectives ?? {};
  return [...new Set([...template, ...Object.keys(counted)])]
    .map((name) => ({ name, met: Object.hasOwn(counted, name) ? counted[name] : 0 }));
}

/** {word, tone} from its dates: "running", "planned", "ended". */
export function phase_of(row, now) {
  const [start, end] = [to_date(row?.start), to_date(row?.end)];
  if (end && end <= now) return { word: 'ended', tone: 'over' };
  if (start && start > now) return { word: 'planned', tone: 'ahead' };
  return { word: 'running', tone: 'active' };
}

/** {met, all} of a session's own objectives. */
export function progress_of(objectives) {
  if (objectives === null || typeof objectives !== 'object' || Array.isArray(objectives)) return { met: 0, all: 0 };
  const values = Object.values(objectives);
  const met = values.filter(is_met).length;
  return { met, all: values.length };
}
