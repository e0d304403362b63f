// Values that are large, odd or not JSON's friends arrive as they are.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { use_world } from './fixture/world.js';
import { add_session, is, say } from './fixture/rows.js';

// A column of every awkward type, on a table that is relayed.
const world = use_world({
  sql: 'ALTER TABLE call_info ADD COLUMN amount numeric, ADD COLUMN ratio float8, ADD COLUMN big int8, ADD COLUMN raw bytea',
});

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    test('Values_MegabyteTranscript_ArrivesWhole', async () => {
      const session = await add_session(world);
      const watch = world.client({ vsn }).watch(`session:${session}`);
      await watch.snapshot();
      const [{ transcript }] = await world.query(`INSERT INTO call_info (call_id, session_id, transcript)
        SELECT $1 || '-big', $1, string_agg(md5(i::text) || ' é☃😀' || chr(10), '') FROM generate_series(1, 24000) i RETURNING transcript`, [session]);
      assert.ok(Buffer.byteLength(transcript) > 1_000_000);
      const event = await watch.event(is('call_info', 'INSERT'));
      assert.ok(event.record.transcript === transcript);
      const snapshot = await world.client({ vsn }).watch(`session:${session}`).snapshot();
      assert.ok(snapshot.calls[0].transcript === transcript);
      await world.query('UPDATE call_info SET status = $2 WHERE session_id = $1', [session, 'done']);
      const update = await watch.event(is('call_info', 'UPDATE'));
      assert.ok(update.record.transcript === transcript, 'unchanged large columns are there too');
      assert.deepEqual(update.old_record, { status: null });
    });

    test('Values_NotANumber_AreRelayedAndNothingIsStuck', async () => {
      const session = await add_session(world);
      const watch = world.client({ vsn }).watch(`session:${session}`);
      await watch.snapshot();
      await world.query(`INSERT INTO call_info (call_id, session_id, amount, ratio, big, raw)
        VALUES ($1 || '-nan', $1, 'NaN', 'Infinity', 9007199254740993, '\\x00ff')`, [session]);
      const { record } = await watch.event(is('call_info', 'INSERT'));
      assert.deepEqual([record.amount, record.ratio, record.raw], ['NaN', 'Infinity', '\\x00ff']);
      await say(world, session, 'after');
      await watch.event(is('chat_history', 'INSERT'));
      const snapshot = await world.client({ vsn }).watch(`session:${session}`).snapshot();
      assert.equal(snapshot.calls[0].amount, 'NaN');
    });

    test('Values_OddMessages_ArriveAsTheyAre', async () => {
      const session = await add_session(world);
      const watch = world.client({ vsn }).watch(`session:${session}`);
      await watch.snapshot();
      const odd = ['"text"', '17', 'null', '[]', '{}', '{"type": "ai", "data": {"content": "\\u2028 </script>"}}', '{"a": {"b": [[[{"c": null}]]]}}', '"\\ud83d\\ude00"'];
      for (const text of odd) await world.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [session, text]);
      await watch.event(() => true, odd.length);
      assert.deepEqual(watch.events.map((event) => event.record.message), odd.map((text) => JSON.parse(text)));
    });

    test('Values_WriterSettings_DoNotShow', async () => {
      const session = await add_session(world);
      const watch = world.client({ vsn }).watch(`session:${session}`);
      await watch.snapshot();
      const writer = await world.postgres.connect();
      await writer.query("SET TimeZone = 'Asia/Tokyo'; SET IntervalStyle = iso_8601; SET DateStyle = 'SQL, DMY'; SET extra_float_digits = -5; SET bytea_output = escape");
      await writer.query(`INSERT INTO call_info (call_id, session_id, called_at, duration, ratio, raw)
        VALUES ($1 || '-set', $1, '2026-02-03 04:05:06.789+00', '1 day 00:00:01', 0.1::float8 + 0.2::float8, '\\x00ff')`, [session]);
      await writer.end();
      const { record } = await watch.event(is('call_info', 'INSERT'));
      assert.deepEqual([record.called_at, record.duration, record.ratio, record.raw],
        ['2026-02-03T04:05:06.789+00:00', '1 day 00:00:01', 0.30000000000000004, '\\x00ff']);
      const snapshot = await world.client({ vsn }).watch(`session:${session}`).snapshot();
      assert.deepEqual(snapshot.calls[0], record, 'the same in snapshot and event');
    });
  });
}
