// Crash recovery hands out the transaction ids of rolled-back work again: their rows are new.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_session, say } from './fixture/rows.js';
import { committed } from './fixture/writers.js';

const world = use_world();

for (const daemon_lives of [true, false]) {
  test(`Crash_IdsOfRolledBackWorkComeAgain_${daemon_lives ? 'TheLiveReader' : 'AResume'}MissesNothing`, { timeout: 90_000 }, async (t) => {
    const session = await add_session(world);
    const watch = world.client({ quick: true }).watch(`session:${session}`);
    await watch.snapshot();
    watch.keep_place();
    await say(world, session, 'before');
    await watch.event();

    // What is rolled back must not reach the disk: neither by the WAL writer nor with a commit.
    const [{ pid }] = await world.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
    process.kill(Number(pid), 'SIGSTOP');
    const loser = await world.postgres.connect();
    const undone = [];
    for (let nth = 0; nth < 40; nth += 1) {
      await loser.query('BEGIN');
      await loser.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [session, '{"text": "undone"}']);
      undone.push(BigInt((await loser.query('SELECT pg_current_xact_id() AS xid')).rows[0].xid));
      await loser.query('ROLLBACK');
    }
    await sleep(2500); // the reader's position is behind those ids now
    const late = world.client({ quick: true }).watch(`session:${session}`);
    await late.snapshot(); // its cursor is as well
    late.keep_place();
    if (!daemon_lives) await world.daemon.kill();
    await loser.end().catch(() => {});
    await world.postgres.crash();
    await world.postgres.boot();

    const again = new Set();
    for (let nth = 0; nth < 45; nth += 1) {
      await say(world, session, `after ${nth}`);
      const [{ xid }] = await world.query('SELECT max(xid::text::bigint) AS xid FROM pgcast.outbox WHERE session_id = $1', [session]);
      if (undone.includes(BigInt(xid))) again.add(xid);
    }
    assert.ok(again.size > 0, `ids did come again: ${undone[0]}..${undone.at(-1)}`);
    if (!daemon_lives) await world.daemon.run();
    await until(() => world.daemon.is_ready(), 'ready again', 20_000);
    const wanted = await committed(world, [session]);
    for (const one of [watch, late]) {
      await until(() => one.shown().length === wanted.length, () => `${one.say()} wants ${wanted.length}`, 20_000);
      assert.deepEqual(one.shown(), wanted);
      assert.equal(one.snapshots.length, 1, 'resumed, not loaded anew');
    }
    t.diagnostic(`${again.size} ids came again`);
  });
}
