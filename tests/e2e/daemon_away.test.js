// A daemon that was away for longer than the retention: the outbox did not grow, and nobody is left
// with a gap. Time is moved in the database, never waited for.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { use_world } from './fixture/world.js';
import { until } from './fixture/process.js';
import { add_session, is, say } from './fixture/rows.js';

const world = use_world();

const k_drop_days = `DO $$ DECLARE p text; BEGIN
  FOR p IN SELECT inhrelid::regclass FROM pg_inherits
    WHERE inhparent = 'pgcast.outbox'::regclass AND inhrelid <> 'pgcast.outbox_default'::regclass
  LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$`;
const k_pass_the_retention = `SELECT setval('pgcast.wanted_until',
  (extract(epoch FROM clock_timestamp() - interval '1 s') * 1000000)::bigint)`;

const metric = async (name) => Number((await (await fetch(`http://127.0.0.1:${world.daemon.admin_port}/metrics`)).text())
  .match(new RegExp(`^${name} (\\S+)`, 'm'))[1]);

describe('retention', () => {
  test('DaemonAwayForLongerThanTheRetention_OldPlacesAreToldAndNewOnesGoOn', async () => {
    const session = await add_session(world);
    const { cursor } = await world.client().watch(`session:${session}`).snapshot();
    world.close_clients();
    await world.daemon.kill('SIGTERM');
    await world.query(k_drop_days);
    await world.query(k_pass_the_retention);
    const since = new Date().toISOString();
    await say(world, session, 'left out');
    assert.equal(Number((await world.query('SELECT count(*) AS n FROM pgcast.outbox'))[0].n), 0);
    const checked = await world.daemon.command('check');
    assert.match(checked.text, /warn {2}outbox: no daemon has looked after it/);

    await world.daemon.run();
    for (const resume of [cursor, { since }]) {
      const watch = world.client().watch(`session:${session}`, { broadcast: { resume } });
      const snapshot = await watch.snapshot();
      assert.deepEqual(snapshot.messages.map(({ message }) => message.text), ['left out']);
      assert.deepEqual(watch.systems.filter((one) => one.status === 'error').map((one) => one.code), ['cursor_too_old']);
    }
    const watch = world.client().watch(`session:${session}`);
    const fresh = await watch.snapshot();
    await say(world, session, 'kept');
    await watch.event(is('chat_history', 'INSERT'));
    const again = world.client().watch(`session:${session}`, { broadcast: { resume: fresh.cursor } });
    assert.equal((await again.event(is('chat_history', 'INSERT'))).record.message.text, 'kept');
    assert.equal(again.snapshots.length, 0);
  });

  test('OutboxSize_IsMeasuredAndWarnedOf', async () => {
    await world.query(`INSERT INTO chat_history (session_id, message)
      SELECT 'big', to_jsonb(md5(i::text) || repeat(md5((i + 1)::text), 20)) FROM generate_series(1, 3000) i`);
    await world.daemon.kill('SIGTERM');
    world.daemon.extra = { PGCAST_OUTBOX_WARN_BYTES: '1MiB' };
    await world.daemon.run();
    await until(async () => await metric('pgcast_outbox_bytes') > 1_048_576, () => world.daemon.process.log());
    assert.match(world.daemon.process.log(), /the outbox takes \d+ MiB, more than outbox.warn_bytes \(1 MiB\)/);
    assert.ok(await metric('pgcast_outbox_oldest_seconds') < 600);
    const checked = await world.daemon.command('check');
    assert.match(checked.text, /warn {2}outbox: it takes \S+, more than outbox.warn_bytes/);
  });
});
