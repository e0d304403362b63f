// Rows that are large or odd, and tables that change under open sessions: told as Postgres has them.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { use_world } from './fixture/world.js';
import { until } from './fixture/process.js';
import { add_campaign, add_session, is, say } from './fixture/rows.js';

const k_columns = 500;
const k_wide = Array.from({ length: k_columns }, (_, nth) => `ADD COLUMN "Wide ${nth}" text`).join(', ');

// What applications do to their tables in the course of years.
const world = use_world({
  sql: `ALTER TABLE session_objective_events ${k_wide};
    ALTER TABLE call_info ADD COLUMN raw json, ADD COLUMN amount numeric, ADD COLUMN span int4range, ADD COLUMN tags text[], ADD COLUMN "Größe (""m"")" numeric,
      ADD COLUMN seconds double precision GENERATED ALWAYS AS (extract(epoch FROM duration)) STORED`,
});

const digest = (text) => createHash('md5').update(text).digest('hex');

/** Waits for the call of that id in the events of a watch. */
const call = (watch, id, operation = 'INSERT', ms = undefined) => watch.event((event) => is('call_info', operation)(event) && (event.record ?? event.old_record).call_id === id, 1, ms);

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    const watch_new = async (campaign = null) => {
      const session = await add_session(world, { campaign });
      const watch = world.client({ vsn }).watch(`session:${session}`);
      const { cursor } = await watch.snapshot();
      return { session, watch, cursor };
    };
    const resume = (session, cursor) => world.client({ vsn }).watch(`session:${session}`, { broadcast: { resume: cursor } });

    for (const bytes of vsn === '2.0.0' ? [8_000, 50_000_000] : [8_000]) {
      test(`Transcript_Of${bytes}Bytes_ArrivesWholeLiveAndResumedAndInTheSnapshot`, { timeout: 180_000 }, async (t) => {
        const { session, watch, cursor } = await watch_new();
        const before = world.daemon.memory().rss;
        const [{ length, md5 }] = await world.query(`INSERT INTO call_info (call_id, session_id, transcript)
          SELECT $1 || '-t', $1, left(repeat(md5(random()::text) || '☃' || chr(10), $2 / 34 + 1), $2) RETURNING length(transcript), md5(transcript)`, [session, bytes]);
        const event = await call(watch, `${session}-t`, 'INSERT', 60_000);
        assert.equal(event.record.transcript.length, Number(length));
        assert.equal(digest(event.record.transcript), md5);
        // The small row behind it waits for nothing else.
        const id = await say(world, session, 'behind it');
        assert.equal((await watch.event(is('chat_history', 'INSERT'), 1, 30_000)).record.id, id);
        const again = resume(session, cursor);
        assert.equal(digest((await call(again, `${session}-t`, 'INSERT', 60_000)).record.transcript), md5);
        assert.equal((await again.event(is('chat_history', 'INSERT'), 1, 30_000)).record.id, id);
        const snapshot = await world.client({ vsn }).watch(`session:${session}`).snapshot(1, 60_000);
        assert.equal(digest(snapshot.calls[0].transcript), md5);
        await world.query('DELETE FROM call_info WHERE session_id = $1', [session]);
        assert.equal(digest((await call(watch, `${session}-t`, 'DELETE', 60_000)).old_record.transcript), md5);
        t.diagnostic(`daemon ${before} MB before, ${world.daemon.memory().rss} MB after, peak ${world.daemon.memory().peak} MB`);
      });
    }

    test('Json_ThatJsonbCannotHold_IsToldAsItStands', async () => {
      const { session, watch, cursor } = await watch_new();
      const odd = { nul: '{"a": "x\\u0000y"}', surrogate: '{"a": "\\ud800 alone"}', twice: '{"a": 1, "a": 2}', deep: `${'['.repeat(500)}${']'.repeat(500)}`, large: '12345678901234567890.10' };
      for (const [name, raw] of Object.entries(odd)) await world.query('INSERT INTO call_info (call_id, session_id, raw) VALUES ($1, $2, $3)', [`${session}-${name}`, session, raw]);
      const id = await say(world, session, 'behind them');
      const again = resume(session, cursor);
      for (const one of [watch, again]) {
        assert.equal((await one.event(is('chat_history', 'INSERT'))).record.id, id);
        for (const [name, raw] of Object.entries(odd)) assert.deepEqual((await call(one, `${session}-${name}`)).record.raw, JSON.parse(raw), name);
      }
      await world.query("UPDATE call_info SET status = 'done' WHERE call_id = $1", [`${session}-nul`]);
      const update = await call(watch, `${session}-nul`, 'UPDATE');
      assert.equal(update.record.status, 'done');
      assert.deepEqual(update.record.raw, { a: 'x\0y' });
      assert.equal(update.old_record.status, null);
      await world.query('DELETE FROM call_info WHERE call_id = $1', [`${session}-surrogate`]);
      assert.deepEqual((await call(watch, `${session}-surrogate`, 'DELETE')).old_record.raw, { a: '\ud800 alone' });
    });

    test('Numbers_ThatJsonHasNot_AreToldAsText', async () => {
      const { session, watch, cursor } = await watch_new();
      for (const amount of ['Infinity', '-Infinity', '1e-1000', '0.10']) {
        await world.query("INSERT INTO call_info (call_id, session_id, amount, span, tags) VALUES ($1, $2, $3, '[1,)', ARRAY['a', NULL, '{\"x\"}'])", [`${session}-${amount}`, session, amount]);
      }
      for (const one of [watch, resume(session, cursor)]) {
        for (const amount of ['Infinity', '-Infinity']) assert.equal((await call(one, `${session}-${amount}`)).record.amount, amount);
        const { record } = await call(one, `${session}-0.10`);
        assert.deepEqual([record.amount, record.span, record.tags], [0.1, '[1,)', ['a', null, '{"x"}']]);
      }
    });

    test('Row_OfFiveHundredColumns_CarriesEveryOneAndOldValuesOfTheChangedAlone', async () => {
      const { session, watch } = await watch_new();
      const names = Array.from({ length: k_columns }, (_, nth) => `"Wide ${nth}"`);
      const [{ id }] = await world.query(`INSERT INTO session_objective_events (session_id, ${names.join(', ')}) VALUES ($1, ${names.map((_, nth) => `'value ${nth}'`).join(', ')}) RETURNING id`, [session]);
      const { record } = await watch.event(is('session_objective_events', 'INSERT'));
      assert.equal(Object.keys(record).length, k_columns + 7);
      for (let nth = 0; nth < k_columns; nth += 1) assert.equal(record[`Wide ${nth}`], `value ${nth}`);
      await world.query('UPDATE session_objective_events SET "Wide 499" = NULL, "Wide 0" = \'\' WHERE id = $1', [id]);
      const update = await watch.event(is('session_objective_events', 'UPDATE'));
      assert.deepEqual(update.old_record, { 'Wide 0': 'value 0', 'Wide 499': 'value 499' });
      assert.deepEqual([update.record['Wide 0'], update.record['Wide 499'], update.record['Wide 250']], ['', null, 'value 250']);
    });

    test('GeneratedColumnsAndQuotedNames_AreThere', async () => {
      const { session, watch } = await watch_new();
      await world.query(`INSERT INTO call_info (call_id, session_id, duration, "Größe (""m"")") VALUES ($1, $2, '1 min 1.5 s', 1.75)`, [`${session}-g`, session]);
      const { record } = await call(watch, `${session}-g`);
      assert.deepEqual([record.seconds, record['Größe ("m")'], record.duration], [61.5, 1.75, '00:01:01.5']);
      await world.query("UPDATE call_info SET duration = '2 s' WHERE call_id = $1", [`${session}-g`]);
      const update = await call(watch, `${session}-g`, 'UPDATE');
      assert.deepEqual(update.old_record, { duration: '00:01:01.5', seconds: 61.5 });
      assert.equal(update.record.seconds, 2);
    });

    test('UpsertAndMerge_AreToldAsWhatTheyDid', async (t) => {
      const { session, watch } = await watch_new();
      const upsert = (status) => world.query('INSERT INTO call_info (call_id, session_id, status) VALUES ($1, $2, $3) ON CONFLICT (call_id) DO UPDATE SET status = excluded.status', [`${session}-u`, session, status]);
      await upsert('first');
      await upsert('second');
      await world.query('INSERT INTO call_info (call_id, session_id) VALUES ($1, $2) ON CONFLICT DO NOTHING', [`${session}-u`, session]);
      await say(world, session, 'behind');
      await watch.event(is('chat_history', 'INSERT'));
      assert.deepEqual(watch.events.map((event) => [event.operation, event.record.status ?? null]), [['INSERT', 'first'], ['UPDATE', 'second'], ['INSERT', null]]);
      const [{ server_version_num: version }] = await world.query('SHOW server_version_num');
      if (Number(version) < 150000) return t.skip('MERGE came with 15');
      await world.query(`INSERT INTO call_info (call_id, session_id, status) VALUES ('${session}-gone', '${session}', 'old')`);
      await world.query(`MERGE INTO call_info c USING (VALUES ('${session}-u', 'merged'), ('${session}-new', 'merged'), ('${session}-gone', NULL)) AS v (id, status) ON c.call_id = v.id
        WHEN MATCHED AND v.status IS NULL THEN DELETE
        WHEN MATCHED THEN UPDATE SET status = v.status
        WHEN NOT MATCHED THEN INSERT (call_id, session_id, status) VALUES (v.id, '${session}', v.status)`);
      await call(watch, `${session}-gone`, 'DELETE');
      await call(watch, `${session}-new`, 'INSERT');
      assert.equal((await watch.event((event) => event.record?.status === 'merged' && event.operation === 'UPDATE')).old_record.status, 'second');
      return undefined;
    });

    test('Columns_AddedRenamedAndDroppedUnderOpenSessions_ShowAtOnce', async (t) => {
      const { session, watch, cursor } = await watch_new();
      const column = `extra_${vsn[0]}`;
      const writer = await world.postgres.connect();
      t.after(() => writer.end());
      const write = (id) => writer.query({ name: 'prepared', text: 'INSERT INTO call_info (call_id, session_id) VALUES ($1, $2)', values: [`${session}-${id}`, session] });
      await write('before');
      await world.query(`ALTER TABLE call_info ADD COLUMN ${column} int NOT NULL DEFAULT 7`);
      await write('added');
      await world.query(`ALTER TABLE call_info RENAME COLUMN ${column} TO "${column} Neu"`);
      await write('renamed');
      await world.query(`ALTER TABLE call_info ALTER COLUMN "${column} Neu" TYPE text USING 'seven'`);
      await write('retyped').catch(() => {}); // its default may not be cast; then there is no row
      await world.query(`ALTER TABLE call_info DROP COLUMN "${column} Neu"`);
      await write('dropped');
      for (const one of [watch, resume(session, cursor)]) {
        await call(one, `${session}-dropped`);
        const shown = Object.fromEntries(one.events.filter((event) => event.table === 'call_info').map(({ record }) => [record.call_id.slice(session.length + 1), [record[column], record[`${column} Neu`]]]));
        assert.deepEqual(shown.before, [undefined, undefined]);
        assert.deepEqual(shown.added, [7, undefined]);
        assert.deepEqual(shown.renamed, [undefined, 7]);
        assert.deepEqual(shown.dropped, [undefined, undefined]);
      }
      // A subscriber whose rows are decided one by one sees the table as it is now.
      const snapshot = await world.client({ vsn }).watch(`session:${session}`).snapshot();
      assert.ok(!Object.keys(snapshot.calls[0]).some((name) => name.startsWith(column)));
    });

    test('TruncateCascade_GoesToEveryTopicOfEachTable', { timeout: 60_000 }, async () => {
      const campaign = await add_campaign(world);
      const { session, watch, cursor } = await watch_new(campaign);
      const whole = world.client({ vsn }).watch(`campaign:${campaign}`);
      await whole.snapshot();
      await world.query('INSERT INTO call_info (call_id, session_id) VALUES ($1, $2)', [`${session}-tr`, session]);
      const id = await say(world, session, 'its table is not truncated');
      await world.query('TRUNCATE session_info CASCADE');
      const truncated = ['call_info', 'campaigns', 'numbers', 'session_info', 'session_objective_events'];
      for (const one of [watch, whole, resume(session, cursor)]) {
        await one.event((event) => event.operation === 'TRUNCATE', truncated.length);
        const told = one.events.filter((event) => event.operation === 'TRUNCATE');
        assert.deepEqual(told.map((event) => event.table).sort(), truncated, one.topic);
        for (const event of told) assert.deepEqual([event.record, event.old_record], [null, null]);
        assert.ok(one.events.some((event) => event.record?.id === id));
      }
      // The session's messages are there still; with its row it is there again.
      await world.query('INSERT INTO session_info (session_id, campaign) VALUES ($1, $2)', [session, campaign]);
      await until(() => [watch, whole].every((one) => one.events.some((event) => event.table === 'session_info' && event.operation === 'INSERT')), 'it is back');
      await say(world, session, 'after');
      await whole.event((event) => event.record?.message?.text === 'after');
    });
  });
}
