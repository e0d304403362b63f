// What the room Operations makes of the daemon's answers. Pure: answers in, numbers and sentences out.

const k_kept = 60;  // answers, one every 2 s
const k_ms = 1000;

/** One answer as a row of numbers; counters are totals since the start of the daemon. */
function sample_of(report) {
  const { metrics } = report;
  return {
    at: Date.parse(report.at),
    started_at: report.started_at,
    connections: metrics.pgcast_connections,
    events: metrics.pgcast_events_read_total,
    deliveries: metrics.pgcast_events_delivered_total,
    bytes: metrics.pgcast_frames_sent_bytes_total,
    lag: report.lag.publish.newest,
    slow: report.threads.reduce((sum, thread) => sum + thread.slow_clients, 0),
  };
}

/** The answers of the last two minutes and this one; a daemon that was restarted begins anew. */
export function remember(samples, report) {
  const next = sample_of(report);
  const known = samples.at(-1)?.started_at === next.started_at ? samples : [];
  if (known.length > 0 && next.at <= known.at(-1).at) return known;
  return [...known, next].slice(-k_kept);
}

/** How fast a counter grew between each two answers, per second, oldest first. */
export function rates(samples, name) {
  return samples.slice(1).map((sample, i) => {
    const before = samples[i];
    return Math.max(0, (sample[name] - before[name]) / ((sample.at - before.at) / k_ms));
  });
}

export const values = (samples, name) => samples.map((sample) => sample[name] ?? 0);

const k_digits = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const k_short = new Intl.NumberFormat('en-GB', { notation: 'compact', maximumFractionDigits: 1 });

/** "0.4", "37", "1,250", "1.3M". */
export function number_words(value) {
  if (value > 0 && value < 10 && !Number.isInteger(value)) return value < 0.1 ? '<0.1' : value.toFixed(1);
  return value < 100_000 ? k_digits.format(value) : k_short.format(value);
}

/** "640 B", "12 kB", "3.4 MB". */
export function bytes_words(bytes) {
  for (const [unit, size] of [['GB', 1e9], ['MB', 1e6], ['kB', 1e3]]) {
    if (bytes >= size) return `${(bytes / size).toFixed(bytes < 10 * size ? 1 : 0)} ${unit}`;
  }
  return `${Math.round(bytes)} B`;
}

/** A time span given in seconds: "0.8 ms", "12 ms", "1.4 s", "3 min", "2 h 5 min", "4 d 1 h". */
export function span_words(seconds) {
  if (seconds === null || seconds === undefined) return '\u2013';
  if (seconds < 0.00095) return seconds < 0.00001 ? 'under 0.01 ms' : `${(seconds * 1e3).toFixed(2)} ms`;
  if (seconds < 0.01) return `${(seconds * 1e3).toFixed(1)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1e3)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 120) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** "1 subscriber", "2 subscribers". */
export const count_words = (count, one, many = `${one}s`) => `${number_words(count)} ${count === 1 ? one : many}`;

const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) : '');

/** How the source is: {tone, title, detail}. */
export function source_words({ state, detail, ready, reason }) {
  if (ready && !reason) return { tone: 'good', title: 'Live', detail: 'Every committed change is relayed as it comes.' };
  if (ready) return { tone: 'warn', title: 'Live, with a limit', detail: sentence(reason) };
  const title = { connecting: 'Connecting to the database', lost: 'The database is away', live: 'Not ready' }[state] ?? 'Not ready';
  return { tone: state === 'connecting' ? 'warn' : 'bad', title, detail: sentence(reason || detail) };
}

const k_counted = [
  ['pgcast_handshakes_refused_total', 'Handshakes refused'],
  ['pgcast_joins_total', 'Joins refused'],
  ['pgcast_broadcasts_dropped_total', 'Broadcasts dropped'],
  ['pgcast_slow_clients_total', 'Slow clients'],
  ['pgcast_resumes_total', 'Resumes not honoured'],
  ['pgcast_source_start_overs_total', 'All clients made to join again'],
  ['pgcast_reserved_events_refused_total', 'Reserved event names refused'],
  ['pgcast_messages_malformed_total', 'Messages that could not be read'],
  ['pgcast_rows_unparsable_total', 'Rows that could not be read'],
  ['pgcast_source_reconnects_total', 'Reconnections to the database'],
];

/** What was refused or lost since the start, only what happened: [{what, why, count}], most first. */
export function refusals(metrics) {
  return k_counted.flatMap(([name, what]) => {
    const counted = metrics[name];
    const entries = typeof counted === 'number' ? [['', counted]] : Object.entries(counted ?? {});
    return entries.filter(([why, count]) => why !== 'ok' && count > 0)
      .map(([why, count]) => ({ what, why: why.replaceAll('_', ' '), count }));
  }).sort((a, b) => b.count - a.count);
}

/** Seconds since 1970 with the microseconds, which a Date would drop. */
function seconds_of(time) {
  const [, fraction] = time.match(/\.(\d+)/) ?? [];
  return Math.floor(Date.parse(time) / k_ms) + Number(`0.${fraction ?? 0}`);
}

const seconds_between = (from, to) => Math.max(0, seconds_of(to) - seconds_of(from));

/** What became of an event: {is_whole, summary, steps: [{title, after, detail}]}. */
export function trace_words(trace) {
  const here = trace.threads.filter((thread) => thread !== null);
  const told = here.reduce((sum, thread) => sum + thread.subscribers + thread.changes, 0);
  const last = here.map((thread) => thread.published_at).sort((a, b) => seconds_of(a) - seconds_of(b)).at(-1);
  const is_whole = here.length === trace.threads.length;
  const steps = [
    { title: 'Statement in the database', at: trace.commit_timestamp, detail: `${trace.operation} on ${trace.schema}.${trace.table}` },
    { title: 'Read by the daemon', at: trace.read_at, after: seconds_between(trace.commit_timestamp, trace.read_at) },
    ...trace.threads.map((thread, i) => ({
      title: `Thread ${i + 1}`,
      at: thread?.published_at,
      after: thread ? seconds_between(trace.read_at, thread.published_at) : undefined,
      detail: thread ? handed_words(thread) : 'not published yet',
      is_waiting: !thread,
    })),
  ];
  const total = last ? span_words(seconds_between(trace.commit_timestamp, last)) : '';
  const summary = !is_whole ? 'On its way.'
    : told === 0 ? 'Nobody who may see it had joined a topic of it.'
      : `Handed to ${count_words(told, 'subscriber')} within ${total}.`;
  return { is_whole, summary, steps };
}

function handed_words({ subscribers, changes }) {
  if (subscribers + changes === 0) return 'nobody of this thread gets it';
  const parts = [];
  if (subscribers > 0) parts.push(`handed to ${count_words(subscribers, 'subscriber')}`);
  if (changes > 0) parts.push(`to ${count_words(changes, 'binding')} of postgres_changes`);
  return parts.join(', ');
}

/** What a topic had and has of the event's row. */
export function side_words({ old: had_old, new: has_new }) {
  if (had_old && has_new) return 'row changed here';
  return had_old ? 'row left' : 'row came';
}

const k_signatures = {
  good: 'good', bad: 'bad: none of the accepted secrets or keys made it',
  key_unknown: 'cannot be checked: no key of auth.jwks has its name (kid)',
  algorithm_refused: 'cannot be checked: its algorithm (alg) is not accepted',
};

/** A token's verdict and facts: {is_accepted, title, facts: [[name, words, tone]]}. */
export function token_words(report, show_time) {
  const { accepted, kind, role, signature, header, expires_in } = report;
  const facts = [];
  const add = (name, words, tone) => facts.push([name, words, tone]);
  if (signature) add('Signature', signature.by ? `good, by ${signature.by}` : k_signatures[signature.verdict], signature.verdict === 'good' ? 'good' : 'bad');
  if (header?.alg !== undefined) add('Algorithm', String(header.alg));
  if (header?.kid !== undefined) add('Key (kid)', String(header.kid));
  if (kind !== 'unreadable') {
    const name = role.name ?? 'none';
    add('Role', role.accepted ? name : `${name}: accepted are ${role.roles.join(', ')}`, role.accepted ? 'good' : 'bad');
  }
  if (report.exp) add('Expires', `${show_time(report.exp)}, ${expires_in >= 0 ? `in ${span_words(expires_in)}` : `${span_words(-expires_in)} ago`}`, expires_in > -report.skew ? 'good' : 'bad');
  else if (kind === 'token') add('Expires', 'says nothing: exp is missing or no number', 'bad');
  if (report.nbf) add('Not before', show_time(report.nbf));
  if (report.iat) add('Issued', show_time(report.iat));
  if (kind !== 'unreadable') add('Clock of the daemon', `${show_time(report.at)}, ${report.skew} s of grace`);
  return { is_accepted: accepted, title: token_title(report), facts };
}

function token_title({ accepted, kind, role, expires_in }) {
  if (!accepted) return 'This token is refused.';
  if (kind === 'api_key') return `This is a key of auth.api_keys, accepted as ${role.name}.`;
  return `This token is accepted as ${role.name}, for another ${span_words(Math.max(0, expires_in))}.`;
}
