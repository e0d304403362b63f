// A bulk load and a bulk update in front of a few who watch all of it and many who watch one session.
import { existsSync } from 'node:fs';
import { sleep, until } from '../e2e/fixture/process.js';
import { Counter } from '../e2e/fixture/counter.js';
import { mint } from '../e2e/fixture/token.js';

const k_flooded = 20; // sessions of the campaign that is flooded
const k_slow = 200_000; // bytes a second

/** A session's watcher that notes how late its rows are. */
class Listener extends Counter {
  late = [];

  on_row(text) {
    const place = text.indexOf('"t"');
    this.late.push(Date.now() - Number.parseInt(text.slice(text.indexOf(':', place) + 1), 10));
  }
}

/** Reads at most so many bytes a second, as over a bad line. */
export class SlowReader extends Counter {
  read_slowly(rate) {
    this.rate = rate;
    this.socket.on('data', (bytes) => {
      if (!this.rate) return;
      this.socket.pause();
      setTimeout(() => this.socket.resume(), (1000 * bytes.length) / this.rate);
    });
  }

  read_on() {
    this.rate = 0;
    this.socket.resume();
  }
}

/** One writer that writes one row a turn into the sessions of the listeners. */
class Conversation {
  counts = new Map();

  constructor(world, sessions, pause = 10) {
    this.is_running = true;
    this.work = this.run(world, sessions, pause);
  }

  async run(world, sessions, pause) {
    const connection = await world.postgres.connect();
    for (let nth = 0; this.is_running; nth += 1) {
      const session = sessions[(nth * 7919) % sessions.length];
      const n = (this.counts.get(session) ?? 0) + 1;
      this.counts.set(session, n);
      await connection.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [session, JSON.stringify({ n, t: Date.now(), sender: 'user' })]);
      await sleep(pause);
    }
    await connection.end();
  }

  async stop() {
    this.is_running = false;
    await this.work;
  }
}

const at = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? null;

/** {count, p50, p99, max} of ms. */
function figures(late) {
  const sorted = [...late].sort((a, b) => a - b);
  return { count: sorted.length, p50: at(sorted, 0.5), p99: at(sorted, 0.99), max: sorted.at(-1) ?? null };
}

/** Floods `world`, which is running, and gives the figures; throws when anything is lost. */
export async function flood(world, { rows, watchers = 10, others = 990, say = () => {} }) {
  const began = Date.now();
  const note = (text) => say(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}`);
  await world.query(`INSERT INTO campaign_info (campaign) VALUES ('flood'), ('quiet');
    INSERT INTO session_info (session_id, campaign) SELECT 'flood-' || i, 'flood' FROM generate_series(0, ${k_flooded - 1}) i;
    INSERT INTO session_info (session_id, campaign) SELECT 'quiet-' || i, 'quiet' FROM generate_series(0, ${others - 1}) i`);
  const sessions = Array.from({ length: others }, (_, nth) => `quiet-${nth}`);
  const token = mint();
  const { port } = world.daemon;
  const all = Array.from({ length: watchers }, () => new Counter(port, token, 'campaign:flood'));
  const deaf = new Counter(port, token, 'campaign:flood');
  const slow = new SlowReader(port, token, 'campaign:flood');
  const crowd = [...all, deaf, slow];
  const listeners = sessions.map((session) => new Listener(port, token, `session:${session}`));
  const everybody = [...crowd, ...listeners];
  world.clients.add({ close: () => everybody.forEach((one) => one.close()) });
  const faults = () => everybody.flatMap((one) => (one.is_closed ? [...one.faults, 'closed'] : one.faults));
  const assert_no_faults = () => {
    if (faults().length > 0) throw new Error(`${faults().length} faults: ${faults().slice(0, 5).join('\n')}`);
  };
  await until(() => everybody.every((one) => one.snapshots === 1), () => `all join: ${faults().slice(0, 3)}`, 60_000);
  note(`${everybody.length} clients have joined`);

  const writer = new Conversation(world, sessions);
  const listen = () => figures(listeners.flatMap((one) => one.late.splice(0)));
  await sleep(2000);
  const report = { rows, watchers, others, memory_before: world.daemon.memory().rss, late_before: listen(), phases: [] };
  deaf.socket.pause();
  slow.read_slowly(k_slow);
  // Who does not read still says that it is there, as a client does whose page is busy.
  const heartbeat = Buffer.from(JSON.stringify({ topic: 'phoenix', event: 'heartbeat', payload: {}, ref: '9' }));
  const beats = setInterval(() => [deaf, slow].forEach((one) => one.send(1, heartbeat)), 15_000);
  world.clients.add({ close: () => clearInterval(beats) });

  const file = `${world.postgres.directory}/flood.tsv`;
  await world.query(`SET statement_timeout = 0; COPY (SELECT 'flood-' || i % ${k_flooded}, json_build_object('n', i, 'sender', 'user', 'text', 'row ' || i || repeat(' lorem ipsum', 8))
    FROM generate_series(1, ${rows}) i) TO '${file}'`);
  const bulk = await world.postgres.connect();
  // Numbered as they are updated: that is the order of pages, which other writers may have begun.
  await bulk.query(`CREATE SEQUENCE flooded START ${rows + 1}`);
  const statements = {
    COPY: `COPY chat_history (session_id, message) FROM '${file}'`,
    UPDATE: "UPDATE chat_history SET message = jsonb_set(message, '{n}', to_jsonb(nextval('flooded'))) WHERE session_id LIKE 'flood-%'",
  };
  let wanted = 0;
  for (const [name, statement] of Object.entries(statements)) {
    wanted += rows;
    listen();
    const start = Date.now();
    await bulk.query(statement);
    const committed = Date.now();
    note(`${name} of ${rows} rows committed after ${committed - start} ms`);
    const late_writing = listen();
    await until(async () => {
      await sleep(250);
      assert_no_faults();
      note(`${name}: ${Math.min(...all.map((one) => one.received))} rows told to all, ${slow.received} to the slow one, daemon ${world.daemon.memory().rss} MB`);
      return all.every((one) => one.received >= wanted);
    }, `all ${wanted} rows of ${name}`, 60_000 + rows / 2);
    const told = Date.now() - committed;
    await sleep(500); // what waited behind it
    report.phases.push({ name, written_ms: committed - start, told_ms_after_commit: told, deliveries_per_s: Math.round((rows * watchers * 1000) / Math.max(told, 1)),
      late_while_written: late_writing, late_while_told: listen(), memory: world.daemon.memory().rss });
  }
  await bulk.end();
  await writer.stop();
  report.deaf_had = deaf.received;
  report.slow_had = slow.received;
  const start = Date.now();
  deaf.socket.resume();
  slow.read_on();
  for (const [name, one] of Object.entries({ slow, deaf })) {
    await until(async () => {
      await sleep(100);
      assert_no_faults();
      return one.received >= wanted;
    }, () => `the ${name} one has all, now ${one.received}`, 60_000 + rows);
    report[`${name}_done_ms`] = Date.now() - start;
  }
  note('those who did not read have all');
  await until(() => listeners.every((one, nth) => one.received === (writer.counts.get(sessions[nth]) ?? 0)), 'every listener has all', 20_000);
  await sleep(300);
  assert_no_faults();
  if (crowd.some((one) => one.received !== wanted || one.snapshots !== 1)) throw new Error('somebody was told more than there was');
  Object.assign(report, { memory_peak: world.daemon.memory().peak, memory_after: world.daemon.memory().rss, parked: await parked(world.daemon) });
  report.quiet_rows = [...writer.counts.values()].reduce((sum, count) => sum + count, 0);
  return report;
}

async function parked(daemon) {
  const text = await (await fetch(`http://127.0.0.1:${daemon.admin_port}/metrics`)).text();
  return Number(text.match(/pgcast_slow_clients_total\{verdict="parked"\} (\d+)/)?.[1] ?? 0);
}

/** The report for people. */
export function table_of(report) {
  const late = ({ count, p50, p99, max }) => `${count} rows, p50 ${p50} ms, p99 ${p99} ms, at most ${max} ms`;
  return [
    `${report.rows} rows to ${report.watchers} watchers of all, 1 that does not read, 1 that reads slowly; ${report.others} watchers of one session each`,
    `others, before             ${late(report.late_before)}`,
    ...report.phases.flatMap(({ name, written_ms, told_ms_after_commit, deliveries_per_s, late_while_written, late_while_told, memory }) => [
      `${name}: written in ${written_ms} ms, told ${told_ms_after_commit} ms after the commit (${deliveries_per_s} deliveries/s), daemon ${memory} MB`,
      `  others, while written    ${late(late_while_written)}`,
      `  others, while told       ${late(late_while_told)}`]),
    `the slow one had ${report.slow_had} and has all after ${report.slow_done_ms} ms, the deaf one had ${report.deaf_had} and has all after ${report.deaf_done_ms} ms; parked ${report.parked} times`,
    `daemon ${report.memory_before} MB before, peak ${report.memory_peak} MB, after ${report.memory_after} MB`,
  ].join('\n');
}
