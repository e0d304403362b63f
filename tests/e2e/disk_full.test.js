// No room for the outbox: the application hears of it, and nothing is half done or lost.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_session, say } from './fixture/rows.js';
import { committed } from './fixture/writers.js';

const world = use_world();
const k_small = '3m';
const k_large = '48m';

/** Puts the outbox on a file system of its own that is soon full; false where that is not allowed. */
async function move_outbox(t) {
  const place = `${world.postgres.directory}/small`;
  mkdirSync(place);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${k_small}`, 'tmpfs', place], { stdio: 'pipe' });
  } catch (failed) {
    t.skip(`a file system cannot be mounted here: ${String(failed.stderr).trim()}`);
    return undefined;
  }
  t.after(() => execFileSync('umount', ['-l', place]));
  world.postgres.own(place);
  await world.query(`CREATE TABLESPACE small LOCATION '${place}'`);
  const parts = await world.query("SELECT i.inhrelid::regclass::text AS name FROM pg_inherits i WHERE i.inhparent = 'pgcast.outbox'::regclass");
  for (const { name } of parts) await world.query(`ALTER TABLE ${name} SET TABLESPACE small`);
  return place;
}

const random_text = 'SELECT string_agg(md5(random()::text), \'\') FROM generate_series(1, 2000)'; // does not compress

test('DiskFull_OfTheOutbox_FailsTheWriteWholeAndEverythingGoesOnWithRoom', { timeout: 90_000 }, async (t) => {
  const place = await move_outbox(t);
  if (!place) return;
  const session = await add_session(world);
  const watch = world.client().watch(`session:${session}`);
  await watch.snapshot();
  const writer = await world.postgres.connect();
  t.after(() => writer.end().catch(() => {}));

  const failures = [];
  let fitted = 0;
  while (failures.length < 3) {
    try {
      await writer.query('BEGIN');
      await writer.query('INSERT INTO chat_history (session_id, message) VALUES ($1, \'{"text": "small, ahead of a large one"}\')', [session]);
      await writer.query(`INSERT INTO chat_history (session_id, message) SELECT $1, json_build_object('text', (${random_text}))`, [session]);
      await writer.query('COMMIT');
      fitted += 1;
    } catch (failed) {
      failures.push(failed);
      await writer.query('ROLLBACK');
    }
    assert.ok(fitted < 500, 'the file system is small');
  }
  for (const failed of failures) {
    assert.equal(failed.code, '53100', 'the server says so in its own words');
    assert.match(failed.message, /No space left on device/);
  }
  const there = await committed(world, [session]);
  assert.equal(there.length, 2 * fitted, 'each transaction whole or not at all');
  const told = () => watch.events.length === there.length;
  await until(told, () => `all that was committed: ${watch.say()}`, 20_000);
  await sleep(1500);
  assert.deepEqual(watch.events.map((event) => event.record.id), there);
  assert.ok(await world.daemon.is_ready(), 'the daemon serves on');
  const late = world.client().watch(`session:${session}`);
  assert.deepEqual((await late.snapshot()).messages.map((row) => row.id), there);

  execFileSync('mount', ['-o', `remount,size=${k_large}`, place]);
  for (let nth = 0; nth < 3; nth += 1) await say(world, session, `room again ${nth}`);
  const all = await committed(world, [session]);
  assert.equal(all.length, there.length + 3);
  await until(() => watch.events.length === all.length, () => watch.say());
  assert.deepEqual(watch.events.map((event) => event.record.id), all);
  const back = world.client().watch(`session:${session}`, { broadcast: { resume: watch.events[1].cursor } });
  await until(() => back.events.length === all.length - 2, () => back.say());
  assert.deepEqual(back.events.map((event) => event.record.id), all.slice(2));
  assert.equal(watch.snapshots.length, 1);
  assert.deepEqual(watch.codes(), []);
  t.diagnostic(`${fitted} transactions fitted, ${failures.length} did not`);
});
