// The figures as text.

const to_ms = (us) => (us / 1000).toFixed(2);
const of_spread = ({ median, low, high }) => `${median.toFixed(2)} (${low.toFixed(2)}-${high.toFixed(2)})`;

function columns(head, rows) {
  const all = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, at) => Math.max(...all.map((row) => row[at].length)));
  return `${all.map((row) => row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join('  ')).join('\n')}\n`;
}

function latency(figures) {
  return `Commit to client, 10 clients of one session, ms\n${columns(['', 'p50', 'p99', 'max', 'deliveries'],
    figures.map((one) => [one.name, to_ms(one.p50_us), to_ms(one.p99_us), to_ms(one.max_us), one.deliveries]))}`;
}

function fanout(figures) {
  const head = ['', 'ratio', 'CPU s/M', 'bare', 'per CPU s', 'deliveries/s', 'bare', 'p50 ms', 'bare', 'frame B', 'pairs'];
  return `CPU per delivery against the bare server: median (lowest-highest) of pairs\n${columns(head,
    figures.map((one) => [`${one.workload} ${one.source}`, of_spread(one.ratio), one.cpu_s_per_million.toFixed(2), one.bare_cpu_s_per_million.toFixed(2),
      one.deliveries_per_cpu_s, Math.round(one.deliveries_per_s), Math.round(one.bare_deliveries_per_s), to_ms(one.p50_us), to_ms(one.bare_p50_us), one.frame_bytes, one.pairs]))}`;
}

function memory(figures) {
  return `Idle joined connections: ${figures[0].connections}, 1,000 topics\n${columns(['', 'bytes each', 'handshake and join, CPU us'],
    figures.map((one) => [`topics with ${one.kind}`, one.bytes_per_connection, one.handshake_and_join_us.toFixed(0)]))}`;
}

function writers({ transactions, copy }) {
  const head = ['writers', 'throughput', 'empty trigger', 'CPU/tx', 'empty trigger', 'us/tx', 'without', 'reader', 'daemon', 'tx/s', 'without', 'rounds'];
  return `Writers with triggers, ratio to none: median (lowest-highest); CPU of the server without its reading for the daemon\n${columns(head,
    transactions.map((one) => [one.writers, of_spread(one.throughput_ratio), of_spread(one.empty_trigger_ratio), of_spread(one.cpu_ratio),
      of_spread(one.empty_trigger_cpu_ratio), one.cpu_us, one.cpu_us_without, one.reader_us, one.daemon_us, one.per_s, one.per_s_without, one.rounds]))}`
    + `COPY of ${copy.rows} rows: ${copy.seconds.toFixed(2)} s, without triggers ${copy.seconds_without.toFixed(2)} s, `
    + `with an empty one ${copy.seconds_empty_trigger.toFixed(2)} s; ratio ${of_spread(copy.ratio)}; CPU a row ${copy.cpu_us_per_row.toFixed(1)} us, `
    + `without ${copy.cpu_us_per_row_without.toFixed(1)}, with an empty one ${copy.cpu_us_per_row_empty_trigger.toFixed(1)}\n`;
}

function authorised(figures) {
  const head = ['', 'deliveries', 'per s', 'goal', 'p50 ms', 'p95', 'p99', 'max', 'daemon CPU s', 'Postgres', 'generator', 'decided by Postgres'];
  return `Rows under row-level security, every subscriber with a token of his own, two threads; from the time at which a row was due to be written\n${columns(head,
    figures.map((one) => [one.name, one.deliveries, Math.round(one.deliveries_per_s), one.wanted_per_s, to_ms(one.p50_us), to_ms(one.p95_us), to_ms(one.p99_us),
      to_ms(one.max_us), one.daemon_cpu_s.toFixed(1), one.postgres_cpu_s.toFixed(1), one.generator_cpu_s.toFixed(1), one.decided]))}`;
}

function stats({ sessions, messages, by_scan, by_index }) {
  const head = ['', 'cold ms', 'most', 'warm ms', 'heartbeat ms', 'bytes a session'];
  return `Join of stats: until the numbers are there, a campaign of ${sessions} sessions, ${messages} messages; one thread\n${columns(head,
    Object.entries({ 'without indexes': by_scan, 'with those that check names': by_index }).map(([name, one]) => [name, one.cold_ms.toFixed(0), one.cold_most_ms.toFixed(0),
      one.warm_ms.toFixed(2), one.heartbeat_ms.toFixed(2), one.resident_bytes_a_session]))}`;
}

const k_parts = { latency, fanout, memory, writers, authorised, stats };

/** All that was found, one table a part. */
export function table(found) {
  const { cores, model, load_before } = found.machine;
  const parts = Object.entries(k_parts).filter(([name]) => found[name]).map(([name, text]) => text(found[name]));
  const losses = found.losses.length === 0 ? 'Nothing lost, doubled or out of order.' : `LOST OR OUT OF ORDER: ${found.losses.map((one) => one.label).join(', ')}`;
  return `${parts.join('\n')}\n${losses}\n${cores} cores, ${model}, load ${load_before} before; ${found.seconds} s\n`;
}
