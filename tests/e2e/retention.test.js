// Events that are dropped before they were read: clients are told, and start afresh.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Daemon, use_world } from './fixture/world.js';
import { until } from './fixture/process.js';
import { Proxy } from './fixture/proxy.js';
import { add_session, say } from './fixture/rows.js';
import { committed } from './fixture/writers.js';

const world = use_world();

/** Makes the outbox rows of that session three days old, and drops them as the retention does. */
async function expire(session) {
  await world.query(`DO $$ DECLARE day date := (now() AT TIME ZONE 'UTC')::date - 3; BEGIN
    EXECUTE format('CREATE TABLE pgcast.%I PARTITION OF pgcast.outbox FOR VALUES FROM (%L) TO (%L)',
      'outbox_' || to_char(day, 'YYYYMMDD'), day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    EXECUTE format('ALTER TABLE pgcast.%I OWNER TO owner', 'outbox_' || to_char(day, 'YYYYMMDD'));
  END $$`);
  await world.query("UPDATE pgcast.outbox SET at = (((now() AT TIME ZONE 'UTC')::date - 3) + interval '1 hour') AT TIME ZONE 'UTC' WHERE session_id = $1", [session]);
  const maintain = async () => (await world.query("SELECT dropped FROM pgcast.maintain('1 day')"))[0].dropped;
  assert.equal(await maintain(), '0', 'declared first');
  await world.query("UPDATE pgcast.upkeep SET expired_at = expired_at - interval '2 minutes'");
  assert.equal(await maintain(), '1');
}

test('Retention_DroppedUnderAStalledReader_ClientsStartAfreshAndAreTold', { timeout: 60_000 }, async (t) => {
  const proxy = await Proxy.start(world.postgres.port);
  const daemon = new Daemon(proxy.url());
  t.after(async () => {
    await daemon.kill();
    await proxy.stop();
  });
  await daemon.run();
  const session = await add_session(world);
  const keeps = world.client({ daemon, quick: true }).watch(`session:${session}`);
  const plain = world.client({ daemon, quick: true }).watch(`session:${session}`);
  for (const watch of [keeps, plain]) await watch.snapshot();
  await say(world, session, 'seen');
  for (const watch of [keeps, plain]) await watch.event();
  keeps.keep_place();

  proxy.stall();
  for (let nth = 0; nth < 3; nth += 1) await say(world, session, `dropped ${nth}`);
  await expire(session);
  await say(world, session, 'kept');
  await until(async () => !(await daemon.is_ready()), 'noticed');
  proxy.resume();

  const wanted = await committed(world, [session]);
  for (const watch of [keeps, plain]) {
    await until(() => watch.shown().length === wanted.length, () => watch.say(), 20_000);
    assert.deepEqual(watch.shown(), wanted);
    assert.ok(watch.snapshots.length > 1, 'afresh');
  }
  assert.ok(keeps.codes().includes('cursor_too_old'), keeps.say());
  assert.equal(await daemon.metric('pgcast_source_start_overs_total{reason="dropped"}'), 1);
  assert.match(daemon.process.log(), /not read yet have been dropped.*outbox\.retention/);

  const id = await say(world, session, 'live again');
  for (const watch of [keeps, plain]) await watch.event((event) => event.record.id === id);
  assert.equal(await daemon.metric('pgcast_source_start_overs_total{reason="dropped"}'), 1, 'once');
});

test('Retention_DroppedBehindAReader_DisturbsNobody', { timeout: 60_000 }, async () => {
  const session = await add_session(world);
  const watch = world.client().watch(`session:${session}`);
  await watch.snapshot();
  await say(world, session, 'seen');
  await watch.event();
  await expire(session);
  const id = await say(world, session, 'next');
  await watch.event((event) => event.record.id === id);
  assert.equal(watch.snapshots.length, 1);
  assert.deepEqual(watch.codes(), []);
  assert.equal(await world.daemon.metric('pgcast_source_start_overs_total{reason="dropped"}'), 0);
});
