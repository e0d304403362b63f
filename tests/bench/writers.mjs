// What the triggers cost those who write: the same table with and without them, interleaved.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { run, sleep, start_process, until } from '../e2e/fixture/process.js';
import { say } from './bed.mjs';
import { process_seconds, spread, tree_seconds } from './machine.mjs';

const k_copied_rows = 100_000;

// "empty" has a trigger that does nothing: the bound of every design with triggers.
const k_tables = { none: 'chat_without', empty: 'chat_empty', pgcast: 'chat_history' };
const k_make_tables = `DROP TABLE IF EXISTS chat_without, chat_empty;
  CREATE TABLE chat_without (LIKE chat_history INCLUDING ALL);
  CREATE TABLE chat_empty (LIKE chat_history INCLUDING ALL);
  CREATE OR REPLACE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
  CREATE TRIGGER nothing AFTER INSERT ON chat_empty FOR EACH ROW EXECUTE FUNCTION nothing()`;
const k_message = JSON.stringify({ sender: 'user', text: 'x'.repeat(120), timestamp: '2026-01-02T03:04:05Z', status: 'sent' });

/** {transactions: one entry per number of writers, copy}. */
export async function measure_writers(bed, { is_quick }) {
  const { postgres } = bed.world;
  await restart_with_flush(bed);
  await bed.world.query(k_make_tables);
  const script = path.join(postgres.directory, 'insert.sql');
  writeFileSync(script, `\\set s random(0, 999)\nINSERT INTO :table (session_id, message) VALUES ('s' || :s, '${k_message}');\n`);
  const options = { rounds: is_quick ? 1 : 5, secs: is_quick ? 1 : 3, script };
  const transactions = [];
  for (const writers of [1, 8, 32]) transactions.push(await of_writers(bed, writers, options));
  return { transactions, copy: await of_copy(bed, is_quick ? 1 : 5) };
}

/** With a flush at every commit that takes 1 ms, as on a fast disk: without one no commits are grouped. */
async function restart_with_flush(bed) {
  const { postgres } = bed.world;
  postgres.process.kill('SIGINT');
  await postgres.process.ended;
  const settings = { port: postgres.port, listen_addresses: '127.0.0.1', unix_socket_directories: postgres.directory,
    max_connections: 200, fsync: 'on', commit_delay: 1000, commit_siblings: 0, max_wal_size: '8GB', checkpoint_timeout: '1h', autovacuum: 'off' };
  const args = Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]);
  postgres.process = start_process(`${postgres.bin}/postgres`, ['-D', `${postgres.directory}/data`, ...args], { user: postgres.user, cwd: '/' });
  await until(() => postgres.query('SELECT 1').catch(() => null), 'Postgres answers', 30_000);
  await until(() => bed.daemon.is_ready(), () => `the daemon is back\n${bed.daemon.process.log()}`, 30_000);
}

async function of_writers(bed, writers, { rounds, secs, script }) {
  const { postgres } = bed.world;
  const runs = [];
  for (let round = 0; round < rounds; round += 1) {
    const one = {};
    for (const [name, table] of Object.entries(k_tables)) {
      say(`${writers} writers, triggers: ${name}, round ${round + 1} of ${rounds}`);
      await settled(bed);
      const readers = await reader_backends(bed);
      const reading = () => readers.reduce((sum, pid) => sum + process_seconds(pid), 0);
      const [before, reading_before] = [tree_seconds(postgres.process.pid), reading()];
      const daemon_before = process_seconds(bed.daemon.process.pid);
      const text = await run('pgbench', ['-n', '-h', '127.0.0.1', '-p', String(postgres.port), '-U', 'postgres', '-f', script, '-D', `table=${table}`,
        '-c', String(writers), '-j', '2', '-T', String(secs), 'postgres']);
      const per_s = Number(text.match(/tps = ([\d.]+)/)[1]);
      const count = Number(text.match(/transactions actually processed: (\d+)/)[1]);
      await sleep(200); // its backends end
      const reader_s = reading() - reading_before;
      one[name] = {
        per_s, cpu_us: ((tree_seconds(postgres.process.pid) - before - reader_s) / count) * 1e6, reader_us: (reader_s / count) * 1e6,
        daemon_us: ((process_seconds(bed.daemon.process.pid) - daemon_before) / count) * 1e6,
      };
    }
    runs.push(one);
  }
  const ratio = (name, of) => spread(runs.map((one) => one[name][of] / one.none[of]));
  const median = (name, of) => Math.round(spread(runs.map((one) => one[name][of])).median);
  return {
    writers, rounds, throughput_ratio: ratio('pgcast', 'per_s'), empty_trigger_ratio: ratio('empty', 'per_s'),
    cpu_ratio: ratio('pgcast', 'cpu_us'), empty_trigger_cpu_ratio: ratio('empty', 'cpu_us'),
    per_s: median('pgcast', 'per_s'), per_s_without: median('none', 'per_s'),
    cpu_us: median('pgcast', 'cpu_us'), cpu_us_without: median('none', 'cpu_us'), reader_us: median('pgcast', 'reader_us'), daemon_us: median('pgcast', 'daemon_us'),
  };
}

/** The server's processes that serve the daemon. */
async function reader_backends(bed) {
  const rows = await bed.world.query("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pgcast%'");
  return rows.map(({ pid }) => Number(pid));
}

/** Waits until the daemon has read all that was written, so that it does not disturb the next round. */
async function settled(bed) {
  const unread = async () => Number((await (await fetch(`http://127.0.0.1:${bed.daemon.admin_port}/metrics`)).text()).match(/^pgcast_source_lag_seconds (\S+)/m)[1]);
  await until(async () => await unread() === 0, 'the daemon has caught up', 60_000);
}

async function of_copy(bed, rounds) {
  const { postgres } = bed.world;
  const file = path.join(postgres.directory, 'data', 'rows.csv');
  await bed.world.query(`COPY (SELECT 's' || i % 1000, '${k_message}'::jsonb FROM generate_series(1, ${k_copied_rows}) i) TO '${file}'`);
  const runs = [];
  for (let round = 0; round < rounds; round += 1) {
    const one = {};
    for (const [name, table] of Object.entries(k_tables)) {
      say(`COPY of ${k_copied_rows} rows, triggers: ${name}, round ${round + 1} of ${rounds}`);
      await settled(bed);
      const [start, before] = [performance.now(), await backends_seconds(bed)];
      await bed.world.query(`COPY ${table} (session_id, message) FROM '${file}'`);
      one[name] = { s: (performance.now() - start) / 1000, cpu_us: ((await backends_seconds(bed) - before) / k_copied_rows) * 1e6 };
    }
    runs.push(one);
  }
  const median = (name, of) => spread(runs.map((one) => one[name][of])).median;
  const ratio = (name, of) => spread(runs.map((one) => one[name][of] / one.none[of]));
  return { rows: k_copied_rows, rounds, seconds: median('pgcast', 's'), seconds_without: median('none', 's'), seconds_empty_trigger: median('empty', 's'),
    ratio: ratio('pgcast', 's'), cpu_us_per_row: median('pgcast', 'cpu_us'), cpu_us_per_row_without: median('none', 'cpu_us'),
    cpu_us_per_row_empty_trigger: median('empty', 'cpu_us') };
}

/** What the connections that are not the daemon's have used. */
async function backends_seconds(bed) {
  const rows = await bed.world.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name NOT LIKE 'pgcast%'");
  return rows.reduce((sum, { pid }) => sum + process_seconds(Number(pid)), 0);
}
