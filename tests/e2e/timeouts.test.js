// Deadlines that a role or database sets for applications do not stop the daemon.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Daemon, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { Pooler } from './fixture/pooler.js';
import { Proxy } from './fixture/proxy.js';
import { add_session, say } from './fixture/rows.js';

const world = use_world();
const k_rows = 20_000;

/** Deadlines of which each alone would end a large read, an idle listener or the attaching. */
async function set_deadlines() {
  for (const setting of ["statement_timeout = '40ms'", "lock_timeout = '10ms'", "idle_in_transaction_session_timeout = '40ms'",
    "idle_session_timeout = '500ms'", 'default_transaction_read_only = on', "default_transaction_isolation = 'serializable'"]) {
    await world.query(`ALTER ROLE owner SET ${setting}`);
  }
}

async function large_batch_and_silence(t, daemon) {
  const session = await add_session(world);
  const watch = world.client({ daemon }).watch(`session:${session}`);
  await watch.snapshot();
  const before = await daemon.metric('pgcast_source_reconnects_total');
  await world.query(`INSERT INTO chat_history (session_id, message)
    SELECT $1, json_build_object('n', i, 'text', repeat(' lorem ipsum', 20)) FROM generate_series(1, ${k_rows}) i`, [session]);
  await until(() => watch.events.length >= k_rows, () => `all rows, now ${watch.events.length}\n${daemon.process.log().slice(-1500)}`, 40_000);
  assert.equal(watch.events.findIndex((event, at) => event.record.message.n !== at + 1), -1, 'once and in order');
  await sleep(1500); // idle for longer than a session may be
  const id = await say(world, session, 'after the silence');
  await watch.event((event) => event.record.id === id, 1, 5000);
  assert.equal(await daemon.metric('pgcast_source_reconnects_total'), before, 'never lost the source');
  assert.equal(watch.snapshots.length, 1);
  const log = daemon.process.log();
  assert.doesNotMatch(log, /source lost|timeout/);
}

test('Deadlines_OfTheRole_DoNotStopTheDaemon', { timeout: 90_000 }, async (t) => {
  await set_deadlines();
  // A network that is slower than the deadline, so that the read takes longer than it may.
  const proxy = await Proxy.start(world.postgres.port);
  const daemon = new Daemon(proxy.url());
  t.after(async () => {
    await daemon.kill();
    await proxy.stop();
  });
  await daemon.run();
  await large_batch_and_silence(t, daemon);
});

test('Deadlines_BehindATransactionPooler_DoNotStopTheDaemonAndStayAsTheyWere', { timeout: 90_000 }, async (t) => {
  await set_deadlines();
  const pooler = await Pooler.start(world.postgres, { size: 3 });
  const daemon = new Daemon(pooler.url());
  t.after(async () => {
    await daemon.kill();
    await pooler.stop();
  });
  await daemon.run();
  await large_batch_and_silence(t, daemon);
  const other = await world.postgres.connect_by(pooler.url());
  t.after(() => other.end());
  for (let nth = 0; nth < 10; nth += 1) {
    const { rows: [{ value }] } = await other.query("SELECT current_setting('statement_timeout') AS value");
    assert.equal(value, '40ms', 'nothing stays behind on the server connections of others');
  }
});

test('Deadlines_LockOnTheOutbox_IsWaitedForAndNotTakenForALoss', { timeout: 60_000 }, async (t) => {
  const daemon = world.daemon;
  const session = await add_session(world);
  const watch = world.client().watch(`session:${session}`);
  await watch.snapshot();
  const before = await daemon.metric('pgcast_source_reconnects_total');
  const locker = await world.postgres.connect();
  t.after(() => locker.end());
  await locker.query('BEGIN; LOCK TABLE pgcast.outbox IN ACCESS EXCLUSIVE MODE');
  const writing = say(world, session, 'behind the lock');
  await sleep(9000); // longer than a server may be silent
  await locker.query('COMMIT');
  const id = await writing;
  await watch.event((event) => event.record.id === id, 1, 5000);
  assert.equal(await daemon.metric('pgcast_source_reconnects_total'), before);
  assert.deepEqual(watch.codes(), [], 'no outage was told');
});
