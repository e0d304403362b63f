// Snapshot plus tail: no gap and no duplicate, however the join falls into the writes.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, is, say } from './fixture/rows.js';
import { Writers, committed, difference, k_no_difference, told_with_snapshot } from './fixture/writers.js';

const world = use_world();

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    test('Join_WhileWritersRun_UnionIsWhatWasCommitted', { timeout: 120_000 }, async () => {
      const phone = fresh_phone();
      const session = await add_session(world, { phone });
      const writers = new Writers(world, [session], { count: 3, pause: 40 });
      const watches = [];
      for (let nth = 0; nth < 40; nth += 1) {
        watches.push(world.client({ vsn }).watch(nth % 4 === 3 ? `phone:${phone}` : `session:${session}`));
        await sleep(Math.random() * 100);
      }
      for (const watch of watches) await watch.snapshot(1, 20_000);
      await sleep(500);
      await until(async () => (await committed(world, [session])).length > 100, 'a hundred rows', 30_000);
      await writers.stop();
      const last = await say(world, session, 'the end');
      for (const watch of watches) await watch.event((event) => event.record?.id === last, 1, 20_000);
      const wanted = await committed(world, [session]);
      assert.ok(wanted.length > 100 && wanted.length <= 1000, `${wanted.length} rows`);
      const cuts = new Set();
      for (const watch of watches) {
        assert.deepEqual(difference(told_with_snapshot(watch), wanted), k_no_difference, watch.topic);
        assert.equal(watch.snapshots.length, 1);
        cuts.add(watch.snapshots[0].messages.length);
      }
      assert.ok(cuts.size > 5, 'the joins fell into the middle of the writes');
    });

    test('Campaign_JoinWhileSessionsAppear_UnionIsWhatWasCommitted', async () => {
      const campaign = await add_campaign(world);
      let is_running = true;
      const writer = (async () => {
        for (let nth = 0; is_running; nth += 1) {
          const id = fresh('session');
          await world.query(`INSERT INTO session_info (session_id, campaign) VALUES ($1, $2)`, [id, campaign]);
          if (nth % 5 === 4) await world.query('DELETE FROM session_info WHERE session_id = $1', [id]);
          await sleep(Math.random() * 6);
        }
      })();
      const watches = [];
      for (let nth = 0; nth < 20; nth += 1) {
        watches.push(world.client({ vsn }).watch(`campaign:${campaign}`));
        await sleep(Math.random() * 60);
      }
      for (const watch of watches) await watch.snapshot();
      is_running = false;
      await writer;
      const last = await add_session(world, { campaign });
      const rows = await world.query('SELECT session_id FROM session_info WHERE campaign = $1 ORDER BY 1', [campaign]);
      for (const watch of watches) {
        await watch.event((event) => event.record?.session_id === last);
        const seen = new Set(watch.snapshots[0].sessions.map((row) => row.session_id));
        for (const { operation, record, old_record } of watch.events) {
          if (operation === 'INSERT') {
            assert.ok(!seen.has(record.session_id), 'no session twice');
            seen.add(record.session_id);
          } else if (operation === 'DELETE') {
            assert.ok(seen.delete(old_record.session_id), 'no session goes that never came');
          }
        }
        assert.deepEqual([...seen].sort(), rows.map((row) => row.session_id).sort());
      }
    });

    test('Join_LongTransactionOpen_ItsRowsComeWhenItCommits', async (t) => {
      const session = await add_session(world);
      const open = await world.postgres.connect();
      t.after(() => open.end());
      await open.query('BEGIN');
      const insert = (text) => open.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [session, JSON.stringify({ text })]);
      await insert('before the join');
      await say(world, session, 'committed meanwhile');
      const watch = world.client({ vsn }).watch(`session:${session}`);
      assert.deepEqual((await watch.snapshot()).messages.map((row) => row.message.text), ['committed meanwhile']);
      await insert('after the join');
      await say(world, session, 'live');
      await watch.event(is('chat_history', 'INSERT'));
      await open.query('COMMIT');
      await until(() => watch.events.length === 3, () => watch.say());
      assert.deepEqual(watch.events.map((event) => event.record.message.text), ['live', 'before the join', 'after the join']);
    });

    test('Rollback_NothingIsDelivered', async () => {
      const session = await add_session(world);
      const watch = world.client({ vsn }).watch(`session:${session}`);
      await watch.snapshot();
      const writer = await world.postgres.connect();
      await writer.query(`BEGIN; INSERT INTO chat_history (session_id, message) VALUES ('${session}', '"no"'); ROLLBACK`);
      await writer.query(`BEGIN; INSERT INTO chat_history (session_id, message) VALUES ('${session}', '"yes"'); SAVEPOINT s;
        INSERT INTO chat_history (session_id, message) VALUES ('${session}', '"no"'); ROLLBACK TO s; COMMIT`);
      await writer.end();
      await say(world, session, 'a mark');
      await watch.event(() => true, 2);
      assert.deepEqual(watch.events.map((event) => event.record.message.text ?? event.record.message), ['yes', 'a mark']);
    });

    test('Snapshot_False_GivesTheTailAlone', async () => {
      const session = await add_session(world);
      await say(world, session, 'before');
      const watch = await world.client({ vsn }).watch(`session:${session}`, { broadcast: { snapshot: false } }).joined();
      const id = await say(world, session, 'after');
      assert.equal((await watch.event()).record.id, id);
      assert.equal(watch.snapshots.length, 0);
      assert.equal(watch.events.length, 1);
    });

    test('Snapshot_Sizes_AreKeptAndMoreSaysSo', async () => {
      const campaign = await add_campaign(world);
      const session = await add_session(world, { campaign });
      await add_session(world, { campaign });
      const ids = [];
      for (const text of ['one', 'two', 'three']) ids.push(await say(world, session, text));
      for (const day of [1, 2]) await world.query('INSERT INTO call_info (call_id, session_id, called_at) VALUES ($1, $2, $3)', [`${session}-${day}`, session, `2026-01-0${day}`]);
      const client = world.client({ vsn });
      const snapshot = await client.watch(`session:${session}`, { broadcast: { snapshot: { messages: 2, calls: 1 } } }).snapshot();
      assert.deepEqual(snapshot.messages.map((row) => row.id), ids.slice(1), 'the newest, oldest first');
      assert.deepEqual(snapshot.calls.map((row) => row.call_id), [`${session}-2`]);
      assert.deepEqual(snapshot.more, { messages: true, calls: true });
      const exact = await world.client({ vsn }).watch(`session:${session}`, { broadcast: { snapshot: { messages: 3, calls: 2 } } }).snapshot();
      assert.deepEqual(exact.more, { messages: false, calls: false });
      const list = await client.watch(`campaign:${campaign}`, { broadcast: { snapshot: { sessions: 1 } } }).snapshot();
      assert.equal(list.sessions.length, 1);
      assert.equal(list.more, true);
    });

    test('Snapshot_ManyMessages_AreTheNewestThousand', async () => {
      const session = await add_session(world);
      await world.query(`INSERT INTO chat_history (session_id, message) SELECT $1, jsonb_build_object('n', i) FROM generate_series(1, 1100) i`, [session]);
      const snapshot = await world.client({ vsn }).watch(`session:${session}`).snapshot();
      assert.deepEqual(snapshot.messages.map((row) => row.message.n), Array.from({ length: 1000 }, (_, at) => at + 101));
      assert.equal(snapshot.more.messages, true);
    });
  });
}
