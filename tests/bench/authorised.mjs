// Rows under row-level security to many subscribers, each with claims of his own: what a class of
// subscribers may see is decided for each of them.
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { mint } from '../e2e/fixture/token.js';
import { Bed, say } from './bed.mjs';

const k_session = 's0';
const k_workloads = [{ rate: 160, subscribers: 500 }, { rate: 20, subscribers: 4000 }];
const k_most = Math.max(...k_workloads.map((one) => one.subscribers));
const user = (number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;

// Who is a member of a session sees it and its messages.
const is_member = (table) => `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
  CREATE POLICY members ON ${table} FOR SELECT TO authenticated USING (EXISTS (
    SELECT FROM membership m WHERE m.session_id = ${table}.session_id AND m.user_id = auth.uid()));`;
const k_sql = `CREATE TABLE membership (session_id text, user_id uuid, PRIMARY KEY (session_id, user_id));
  GRANT SELECT ON membership TO authenticated;
  INSERT INTO membership SELECT '${k_session}', ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid FROM generate_series(0, ${k_most - 1}) i;
  ANALYZE membership;
  ${['chat_history', 'session_info'].map(is_member).join('\n')}`;

const k_config = { broadcast: { ack: false, self: false, snapshot: false }, presence: { key: '', enabled: false }, postgres_changes: [], private: false };
const k_changes = [{ event: 'INSERT', schema: 'public', table: 'chat_history', filter: `session_id=eq.${k_session}` }];
const join = (topic, config) => JSON.stringify({ topic: `realtime:${topic}`, event: 'phx_join', ref: '1', join_ref: '1', payload: { config: { ...k_config, ...config } } });
const k_subscriptions = {
  postgres_changes: join('messages', { postgres_changes: k_changes }),
  'session: topic': join(`session:${k_session}`, { private: true }),
};

/** One entry per workload and way to subscribe. */
export async function measure_authorised(main, { is_quick }) {
  const bed = new Bed();
  bed.losses = main.losses; // where they make the command fail
  const figures = [];
  try {
    await bed.start({ threads: 2, sql: k_sql });
    await bed.daemon.kill('SIGTERM'); // each figure has a daemon of its own
    const tokens = path.join(bed.world.postgres.directory, 'tokens');
    writeFileSync(tokens, Array.from({ length: k_most }, (_unused, number) => mint({ role: 'authenticated', sub: user(number), ttl: 7200 })).join('\n'));
    for (const { rate, subscribers } of k_workloads) {
      for (const [name, joined] of Object.entries(k_subscriptions)) {
        figures.push(await one_figure(bed, { name, joined, rate, subscribers, tokens, secs: is_quick ? 5 : 35 }));
      }
    }
    rmSync(tokens);
  } finally {
    await bed.stop();
  }
  return figures;
}

/** The time is longer than auth.cache: every decision becomes too old once in it. The first row, for which all are made, is counted. */
async function one_figure(bed, { name, joined, rate, subscribers, tokens, secs }) {
  const label = `${rate}/s to ${subscribers}, ${name}`;
  say(`authorised, ${label}, ${secs} s`);
  const daemon = await bed.fresh_daemon();
  try {
    const report = await bed.generate(['--rows', bed.world.postgres.url(), '--join', joined, '--ack', '"status":"ok"', '--tokens', tokens,
      '--path', '/realtime/v1/websocket?apikey={k}&vsn=1.0.0', '--port', daemon.port, '--pid', daemon.process.pid, '--tree', bed.world.postgres.process.pid,
      '--label', label, '--conns', subscribers, '--topics', 1, '--rate', rate, '--warmup', 0, '--secs', secs, '--drain', 60]);
    const { p50, p95, p99, max } = report.lat_us;
    return {
      name: label, subscribers, rate, secs: report.secs, wanted_per_s: rate * subscribers, deliveries_per_s: report.deliveries_per_s,
      deliveries: report.received, expected: report.expected, p50_us: p50, p95_us: p95, p99_us: p99, max_us: max, since_commit_us: report.since_commit_us,
      daemon_cpu_s: report.server_cpu_s, postgres_cpu_s: report.tree_cpu_s, generator_cpu_s: report.loadgen_cpu_s, join_us: report.server_us_per_handshake,
      decided: await daemon.metric('pgcast_decisions_total{source="database"}'),
    };
  } finally {
    await daemon.kill('SIGTERM');
  }
}
