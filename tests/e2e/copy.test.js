// A bulk load in front of a hundred readers: all of it, in order, in bounded memory.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { Counter } from './fixture/counter.js';
import { add_campaign, add_session } from './fixture/rows.js';
import { mint } from './fixture/token.js';

const world = use_world();
const k_rows = Number(process.env.PGCAST_E2E_COPY_ROWS ?? 100_000);
const k_clients = 100;
const k_memory = 600; // MB

test('Copy_HundredThousandRowsToHundredClients_AllInOrderInBoundedMemory', { timeout: 600_000 }, async (t) => {
  const campaign = await add_campaign(world);
  const sessions = [];
  for (let nth = 0; nth < 20; nth += 1) sessions.push(await add_session(world, { campaign }));
  const counters = Array.from({ length: k_clients }, () => new Counter(world.daemon.port, mint(), `campaign:${campaign}`));
  world.clients.add({ close: () => counters.forEach((counter) => counter.close()) });
  await until(() => counters.every((counter) => counter.snapshots === 1), () => `all join: ${counters.flatMap((counter) => counter.faults).slice(0, 3)}`, 30_000);
  const before = world.daemon.memory().rss;

  // Written by a COPY of the server itself: the same path as \copy, without the test in its way.
  await world.query(`COPY (SELECT (ARRAY['${sessions.join("','")}'])[1 + i % 20], json_build_object('n', i, 'sender', 'user', 'text', 'row ' || i || repeat(' lorem ipsum', 8))
    FROM generate_series(1, ${k_rows}) i) TO '${world.postgres.directory}/rows.tsv'`);
  const began = Date.now();
  await world.query(`COPY chat_history (session_id, message) FROM '${world.postgres.directory}/rows.tsv'`);
  const copied = Date.now();
  let last = -1;
  await until(async () => {
    await sleep(200);
    const slowest = Math.min(...counters.map((counter) => counter.received));
    const faults = counters.flatMap((counter) => counter.faults);
    assert.deepEqual(faults.slice(0, 3), []);
    assert.ok(counters.every((counter) => !counter.is_closed), 'nobody was disconnected');
    last = slowest;
    return slowest >= k_rows;
  }, () => `every client has all, the slowest has ${last}`, 500_000);
  const ended = Date.now();
  const { rss, peak } = world.daemon.memory();
  t.diagnostic(`${k_rows} rows to ${k_clients} clients: COPY ${copied - began} ms, delivered ${ended - began} ms, daemon ${before} MB before, ${rss} MB after, peak ${peak} MB`);
  assert.ok(counters.every((counter) => counter.received === k_rows && counter.snapshots === 1));
  assert.ok(peak < k_memory, `peak ${peak} MB`);
});

test('Copy_ToAReaderThatStopsReading_HoldsUpNobodyAndGivesHimTheRest', { timeout: 300_000 }, async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const [quick, slow] = [0, 1].map(() => new Counter(world.daemon.port, mint(), `campaign:${campaign}`));
  world.clients.add({ close: () => [quick, slow].forEach((counter) => counter.close()) });
  await until(() => quick.snapshots + slow.snapshots === 2, 'both join');
  slow.socket.pause();
  const rows = 40_000;
  await world.query(`INSERT INTO chat_history (session_id, message) SELECT '${session}', jsonb_build_object('n', i, 'text', repeat('x', 500)) FROM generate_series(1, ${rows}) i`);
  await until(() => quick.received === rows, () => `the quick one has all, now ${quick.received} ${quick.faults}`, 120_000);
  assert.ok(slow.received < rows);
  slow.socket.resume();
  await until(() => slow.received === rows || slow.is_closed, () => `the slow one has all, now ${slow.received} ${slow.faults}`, 120_000);
  assert.equal(slow.received, rows);
  assert.deepEqual([...quick.faults, ...slow.faults], []);
});
