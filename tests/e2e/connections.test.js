// The server has no connection left: the daemon waits for one, and comes back by itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_session, say } from './fixture/rows.js';
import { committed } from './fixture/writers.js';

const world = use_world({ settings: { max_connections: 30 }, env: { PGCAST_THREADS: '2' } });

/** Connections of somebody else, as many as the server gives; superusers have three more. */
async function take_all() {
  const taken = [];
  const give_back = () => Promise.all(taken.splice(0).map((client) => client.end().catch(() => {})));
  const take = async () => {
    for (;;) {
      const client = new pg.Client({ connectionString: world.postgres.url('postgres', 'owner') });
      client.on('error', () => {});
      try {
        await client.connect();
        taken.push(client);
      } catch (failed) {
        assert.equal(failed.code, '53300');
        return;
      }
    }
  };
  await take();
  return { take, give_back };
}

test('TooMany_AtAJoin_IsWaitedForAMoment', { timeout: 60_000 }, async (t) => {
  const session = await add_session(world);
  const others = await take_all();
  t.after(others.give_back);
  const watch = world.client().watch(`session:${session}`);
  await sleep(1500);
  assert.deepEqual(watch.statuses, [], 'neither joined nor refused yet');
  await others.give_back();
  await watch.snapshot(1, 5000);
  assert.deepEqual(watch.statuses.map((one) => one.status), ['SUBSCRIBED']);
});

test('TooMany_ForLong_RefusesWithTheReasonAndTheClientComesBack', { timeout: 60_000 }, async (t) => {
  await world.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgcast worker'");
  const session = await add_session(world);
  const others = await take_all();
  t.after(others.give_back);
  const watch = world.client().watch(`session:${session}`);
  assert.match(await watch.refused(9000), /UnableToConnectToProject/);
  await others.give_back();
  await watch.snapshot(1, 20_000);
});

test('TooMany_WhenTheReaderIsLost_ComesBackByItselfAndMissesNothing', { timeout: 60_000 }, async (t) => {
  const session = await add_session(world);
  const watch = world.client().watch(`session:${session}`);
  await watch.snapshot();
  const others = await take_all();
  t.after(others.give_back);
  await world.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ('pgcast reader', 'pgcast listener')");
  await others.take(); // what they held
  await until(async () => !(await world.daemon.is_ready()), 'not ready');
  const says_why = async () => /connection slots|too many clients/.test((await world.daemon.ready()).reason);
  await until(says_why, 'readyz says why');
  await say(world, session, 'meanwhile');
  await sleep(2500);
  assert.deepEqual(watch.codes(), ['source_away']);
  await others.give_back();
  await until(() => world.daemon.is_ready(), 'ready again', 12_000);
  await say(world, session, 'afterwards');
  await watch.event(() => true, 2);
  assert.deepEqual(watch.events.map((event) => event.record.id), await committed(world, [session]));
  await until(() => watch.codes().length === 2, 'told that it is back');
  assert.deepEqual(watch.codes(), ['source_away', 'source_back']);
  assert.equal(watch.statuses.length, 1, 'not disconnected');
});

test('TooMany_AtStart_WaitsForAMoment', { timeout: 60_000 }, async (t) => {
  await world.daemon.kill('SIGTERM');
  const others = await take_all();
  t.after(others.give_back);
  const running = world.daemon.run();
  await sleep(1500);
  await others.give_back();
  await running;
});
