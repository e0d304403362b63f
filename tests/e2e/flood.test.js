// More than clients can take: the source waits, memory is bounded, and who reads late gets all of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, say } from './fixture/rows.js';
import { Counter } from './fixture/counter.js';
import { mint } from './fixture/token.js';
import { fill, rows_of, snapshots_of, texts } from './fixture/unread.js';
import { SlowReader, flood, table_of } from '../chaos/flood.js';

const world = use_world();
const k_rows = Number(process.env.PGCAST_E2E_FLOOD_ROWS ?? 20_000); // written, and then updated
const k_memory = 600; // MB
const k_late = 2000; // ms
const k_slow = Number(process.env.PGCAST_E2E_SLOW_RATE ?? 200_000); // bytes a second

test('Flood_ToATenAndAThousand_NothingLostMemoryBoundedNobodyElseLate', { timeout: 600_000 }, async (t) => {
  const report = await flood(world, { rows: k_rows });
  for (const line of table_of(report).split('\n')) t.diagnostic(line);
  assert.ok(report.memory_peak < k_memory, `peak ${report.memory_peak} MB`);
  assert.ok(report.parked > 0, 'who does not read is parked');
  for (const { name, late_while_written, late_while_told, told_ms_after_commit } of report.phases) {
    assert.ok(late_while_written.max < k_late, `${name}: ${late_while_written.max} ms while it is written`);
    // What became visible behind the flood is told behind it.
    assert.ok(late_while_told.max < told_ms_after_commit + k_late, `${name}: ${late_while_told.max} ms while it is told`);
  }
});

test('Slow_ReaderOverABadLine_HoldsNobodyUp', { timeout: 120_000 }, async (t) => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const { port } = world.daemon;
  const quick = new Counter(port, mint(), `campaign:${campaign}`);
  world.clients.add(quick);
  await until(() => quick.snapshots === 1, 'it joins');
  const rows = 40_000;
  const write = (from) => world.query(`INSERT INTO chat_history (session_id, message) SELECT '${session}', jsonb_build_object('n', i, 'text', repeat('x', 500)) FROM generate_series(${from + 1}, ${from + rows}) i`);
  const time = async (wanted) => {
    const began = Date.now();
    await until(() => quick.received >= wanted, () => `the quick one has ${wanted}, now ${quick.received}`, 100_000);
    return Date.now() - began;
  };
  await write(0);
  const alone = await time(rows);
  const slow = new SlowReader(port, mint(), `campaign:${campaign}`, { snapshot: false });
  world.clients.add(slow);
  await sleep(500);
  slow.read_slowly(k_slow);
  await write(rows);
  const beside = await time(2 * rows);
  t.diagnostic(`${rows} rows told in ${alone} ms alone, in ${beside} ms beside a slow reader that has ${slow.received}`);
  assert.deepEqual(quick.faults, []);
  assert.ok(beside < 3 * alone + 4000, 'held up for 2 s and no more');
});

test('Parked_NumberMovesMeanwhile_TellsTheOldSessionsRestAndAFreshSnapshot', { timeout: 120_000 }, async () => {
  const phone = fresh_phone();
  const [first, second] = [await add_session(world, { phone }), await add_session(world)];
  const raw = await world.raw();
  await raw.join(`phone:${phone}`);
  await until(() => snapshots_of(raw, `phone:${phone}`).length === 1, 'the snapshot');
  raw.socket._socket.pause();
  const before = await parked(world.daemon);
  for (let nth = 0; (await parked(world.daemon)) === before; nth += 1) {
    assert.ok(nth < 30, 'it is parked');
    await fill(world, first, 100, 20_000);
    await new Promise((done) => setTimeout(done, 300));
  }
  await say(world, first, 'the last before the move');
  await world.query('UPDATE numbers SET session_id = $2 WHERE session_id = $1', [first, second]);
  await say(world, first, 'not of this number any more');
  await say(world, second, 'in the snapshot');
  raw.socket._socket.resume();
  await until(() => snapshots_of(raw, `phone:${phone}`).length === 2, 'a fresh snapshot', 30_000);
  const told = texts(rows_of(raw, `phone:${phone}`));
  assert.ok(told.includes('the last before the move'));
  assert.ok(!told.includes('not of this number any more'));
  assert.deepEqual(snapshots_of(raw, `phone:${phone}`)[1].messages.map((row) => row.message.text), ['in the snapshot']);
});

async function parked(daemon) {
  const text = await (await fetch(`http://127.0.0.1:${daemon.admin_port}/metrics`)).text();
  return Number(text.match(/pgcast_slow_clients_total\{verdict="parked"\} (\d+)/)[1]);
}
