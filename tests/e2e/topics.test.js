// What each topic carries: snapshots, row events, moves.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { add_campaign, add_session, fresh_phone, is, say } from './fixture/rows.js';

const world = use_world();

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    test('Session_ChatRowInserted_ArrivesAsEvent', async () => {
      const session = await add_session(world);
      const watch = world.client({ vsn }).watch(`session:${session}`);
      await watch.snapshot();
      const id = await say(world, session, 'héllo');
      const { cursor, id: event_id, commit_timestamp, ...event } = await watch.event();
      assert.deepEqual(event, {
        event: 'chat_history', schema: 'public', table: 'chat_history', operation: 'INSERT', old_record: null,
        record: { id, session_id: session, message: { sender: 'user', text: 'héllo', timestamp: '2026-01-02T03:04:05Z', status: 'sent' } },
      });
      assert.match(event_id, /^\d+$/);
      assert.ok(typeof cursor === 'string' && cursor.length > 0 && cursor.length <= 1024);
      assert.ok(Math.abs(Date.parse(commit_timestamp) - Date.now()) < 60_000, commit_timestamp);
    });

    test('Session_Snapshot_HasTheWholeShape', async () => {
      const campaign = await add_campaign(world);
      const phone = fresh_phone();
      const session = await add_session(world, { campaign, phone });
      const ids = [await say(world, session, 'one'), await say(world, session, 'two', 'agent')];
      await world.query(`INSERT INTO call_info (call_id, status, called_at, duration, session_id)
        VALUES ($1, 'done', '2026-01-01 10:00+00', '00:01:30', $3), ($2, 'done', '2026-01-02 10:00+00', NULL, $3)`, [`${session}-a`, `${session}-b`, session]);
      await world.query(`INSERT INTO session_objective_events (session_id, objective, new_value, source, occurred_at)
        VALUES ($1, 'old', 'true', 'chat', '2026-01-01 10:00+00'), ($1, 'new', 'true', 'call', '2026-01-02 10:00+00')`, [session]);
      const snapshot = await world.client({ vsn }).watch(`session:${session}`).snapshot();
      assert.equal(snapshot.session.session_id, session);
      assert.equal(snapshot.session.reminder_count, 0);
      assert.equal(snapshot.session.tz, 'Europe/London');
      assert.equal(snapshot.phone_number, phone);
      assert.equal(snapshot.campaign.campaign, campaign);
      assert.deepEqual(snapshot.messages.map((row) => [row.id, row.session_id, row.message.text]), [[ids[0], session, 'one'], [ids[1], session, 'two']]);
      assert.deepEqual(snapshot.calls.map((row) => row.call_id), [`${session}-b`, `${session}-a`], 'newest first');
      assert.equal(snapshot.calls[1].duration, '00:01:30');
      assert.deepEqual(snapshot.objectives.map((row) => row.objective), ['new', 'old'], 'newest first');
      assert.deepEqual(snapshot.more, { messages: false, calls: false });
      assert.equal(typeof snapshot.cursor, 'string');
      const known = ['cursor', 'session', 'phone_number', 'campaign', 'messages', 'calls', 'objectives', 'more'];
      assert.deepEqual(Object.keys(snapshot).sort(), known.sort());
    });

    test('Campaign_Snapshot_HasItsSessionsNewestFirst', async () => {
      const campaign = await add_campaign(world);
      const old = await add_session(world, { campaign, created_at: '2026-01-01' });
      const young = await add_session(world, { campaign, created_at: '2026-02-01' });
      await add_session(world);
      const snapshot = await world.client({ vsn }).watch(`campaign:${campaign}`).snapshot();
      assert.deepEqual(snapshot.sessions.map((row) => row.session_id), [young, old]);
      assert.equal(snapshot.campaign.campaign, campaign);
      assert.equal(snapshot.more, false);
      assert.deepEqual(Object.keys(snapshot).sort(), ['campaign', 'cursor', 'more', 'sessions']);
    });

    test('Phone_Snapshot_IsThatOfItsSession', async () => {
      const phone = fresh_phone();
      const session = await add_session(world, { phone });
      await say(world, session, 'by phone');
      const watch = world.client({ vsn }).watch(`phone:${phone}`);
      const snapshot = await watch.snapshot();
      assert.equal(snapshot.session.session_id, session);
      assert.equal(snapshot.phone_number, phone);
      assert.deepEqual(snapshot.sessions, [session]);
      assert.equal(snapshot.messages[0].message.text, 'by phone');
      await say(world, session, 'live');
      assert.equal((await watch.event(is('chat_history', 'INSERT'))).record.message.text, 'live');
    });

    test('Topics_EveryTable_ReachesSessionAndCampaign', async () => {
      const campaign = await add_campaign(world);
      const session = await add_session(world, { campaign });
      const client = world.client({ vsn });
      const watches = [client.watch(`session:${session}`), client.watch(`campaign:${campaign}`)];
      for (const watch of watches) await watch.snapshot();
      await say(world, session, 'hi');
      await world.query('INSERT INTO call_info (call_id, session_id, duration) VALUES ($1, $2, $3)', [`${session}-call`, session, '1 day 02:03:04.5']);
      await world.query("INSERT INTO session_objective_events (session_id, objective, old_value, new_value, source) VALUES ($1, 'x', 'null', '{\"a\": 1}', 'manual')", [session]);
      await world.query('INSERT INTO numbers (session_id, phone_number) VALUES ($1, $2)', [session, fresh_phone()]);
      await world.query('INSERT INTO campaigns (session_id, campaign) VALUES ($1, $2)', [session, campaign]);
      await world.query('UPDATE campaign_info SET job_info = $2 WHERE campaign = $1', [campaign, 'Another job']);
      await world.query("UPDATE session_info SET last_action = 'asked' WHERE session_id = $1", [session]);
      const tables = ['chat_history', 'call_info', 'session_objective_events', 'numbers', 'campaigns', 'campaign_info', 'session_info'];
      await watches[1].event(is('session_info', 'UPDATE'));
      await watches[0].event(is('session_info', 'UPDATE'));
      assert.deepEqual(watches[1].events.map((event) => event.table), tables);
      assert.deepEqual(watches[0].events.map((event) => event.table).filter((table) => table !== 'campaign_info'), tables.filter((table) => table !== 'campaign_info'));
      assert.ok(watches[1].events.every(({ event, table }) => event === table));
      assert.equal(watches[0].events.find(is('call_info', 'INSERT')).record.duration, '1 day 02:03:04.5');
    });

    test('Event_UpdateAndDelete_CarryOldValues', async () => {
      const session = await add_session(world);
      const id = await say(world, session, 'first');
      const watch = world.client({ vsn }).watch(`session:${session}`);
      await watch.snapshot();
      await world.query(`UPDATE chat_history SET message = '{"sender": "user", "text": "second"}' WHERE id = $1`, [id]);
      const update = await watch.event(is('chat_history', 'UPDATE'));
      assert.deepEqual(update.record, { id, session_id: session, message: { sender: 'user', text: 'second' } });
      assert.deepEqual(Object.keys(update.old_record), ['message'], 'only what changed');
      assert.equal(update.old_record.message.text, 'first');
      await world.query('DELETE FROM chat_history WHERE id = $1', [id]);
      const gone = await watch.event(is('chat_history', 'DELETE'));
      assert.equal(gone.record, null);
      assert.deepEqual(gone.old_record, { id, session_id: session, message: { sender: 'user', text: 'second' } });
    });

    test('Event_Truncate_ReachesEveryChannelOfTheTable', async () => {
      const campaign = await add_campaign(world);
      const session = await add_session(world, { campaign });
      const client = world.client({ vsn });
      const watches = [client.watch(`session:${session}`), client.watch(`campaign:${campaign}`)];
      for (const watch of watches) await watch.snapshot();
      await world.query('TRUNCATE session_objective_events');
      for (const watch of watches) {
        const event = await watch.event(is('session_objective_events', 'TRUNCATE'));
        assert.equal(event.record, null);
        assert.equal(event.old_record, null);
        assert.equal(event.event, 'session_objective_events');
      }
    });

    test('Campaign_SessionMoves_IsDeleteThereInsertHereUpdateOnSession', async () => {
      const [there, here] = [await add_campaign(world), await add_campaign(world)];
      const session = await add_session(world, { campaign: there });
      const client = world.client({ vsn });
      const left = client.watch(`campaign:${there}`);
      const entered = client.watch(`campaign:${here}`);
      const own = client.watch(`session:${session}`);
      for (const watch of [left, entered, own]) await watch.snapshot();
      await world.query('UPDATE session_info SET campaign = $2 WHERE session_id = $1', [session, here]);
      const [gone, come, moved] = [await left.event(), await entered.event(), await own.event()];
      assert.deepEqual([gone.operation, come.operation, moved.operation], ['DELETE', 'INSERT', 'UPDATE']);
      assert.equal(gone.old_record.campaign, there);
      assert.equal(gone.record, null);
      assert.equal(come.record.campaign, here);
      assert.equal(come.old_record, null);
      assert.equal(moved.old_record.campaign, there);
      assert.equal(new Set([gone.id, come.id, moved.id]).size, 1, 'one event, one id');
      const id = await say(world, session, 'after the move');
      assert.equal((await entered.event(is('chat_history', 'INSERT'))).record.id, id);
      await say(world, await add_session(world, { campaign: there }), 'a mark');
      await left.event(is('chat_history', 'INSERT'));
      assert.equal(left.events.filter((event) => event.record?.session_id === session).length, 0);
    });

    test('Phone_NumberMoves_FreshSnapshotFollows', async () => {
      const phone = fresh_phone();
      const first = await add_session(world, { phone });
      const second = await add_session(world);
      const watch = world.client({ vsn }).watch(`phone:${phone}`);
      assert.equal((await watch.snapshot()).session.session_id, first);
      await world.query('UPDATE numbers SET session_id = $2 WHERE phone_number = $1', [phone, second]);
      const snapshot = await watch.snapshot(2);
      assert.equal(snapshot.session.session_id, second);
      assert.deepEqual(snapshot.sessions, [second]);
      const id = await say(world, second, 'on the second');
      await say(world, first, 'on the first');
      await say(world, second, 'again');
      await watch.event(is('chat_history', 'INSERT'), 2);
      const heard = watch.events.filter(is('chat_history', 'INSERT'));
      assert.equal(heard[0].record.id, id);
      assert.ok(heard.every((event) => event.record.session_id === second));
    });

    test('Phone_SeveralSessions_TheNewestIsFollowed', async () => {
      const phone = fresh_phone();
      const old = await add_session(world, { phone, created_at: '2026-01-01' });
      const young = await add_session(world, { phone, created_at: '2026-03-01' });
      const watch = world.client({ vsn }).watch(`phone:${phone}`);
      const snapshot = await watch.snapshot();
      assert.equal(snapshot.session.session_id, young);
      assert.deepEqual([...snapshot.sessions].sort(), [old, young].sort());
      await world.query('DELETE FROM numbers WHERE session_id = $1', [young]);
      assert.equal((await watch.snapshot(2)).session.session_id, old);
    });

    test('Phone_OtherNotations_AreTheSameNumber', async () => {
      const phone = fresh_phone();
      const digits = phone.slice(3);
      const session = await add_session(world, { phone: `00 44 (${digits.slice(0, 4)}) ${digits.slice(4, 7)}-${digits.slice(7)}` });
      const client = world.client({ vsn });
      for (const text of [phone, `0044${digits}`, `+44 ${digits.slice(0, 4)} ${digits.slice(4)}`, `+44.${digits.slice(0, 4)}-${digits.slice(4)}`]) {
        const snapshot = await client.watch(`phone:${text}`).snapshot();
        assert.equal(snapshot.session?.session_id, session, text);
      }
    });

    test('Session_UnknownToServiceRole_IsEmptyAndComesAlive', async () => {
      const session = fresh('later');
      const watch = world.client({ vsn }).watch(`session:${session}`);
      const snapshot = await watch.snapshot();
      assert.equal(snapshot.session, null);
      assert.deepEqual([snapshot.messages, snapshot.calls, snapshot.objectives], [[], [], []]);
      await add_session(world, { id: session });
      await say(world, session, 'alive');
      await watch.event(is('session_info', 'INSERT'));
      assert.equal((await watch.event(is('chat_history', 'INSERT'))).record.message.text, 'alive');
    });

    test('Phone_UnknownToServiceRole_ComesAliveWithASnapshot', async () => {
      const phone = fresh_phone();
      const watch = world.client({ vsn }).watch(`phone:${phone}`);
      assert.equal((await watch.snapshot()).session, null);
      const session = await add_session(world, { phone });
      assert.equal((await watch.snapshot(2)).session.session_id, session);
    });

    test('Campaign_UnknownToServiceRole_ComesAlive', async () => {
      const campaign = fresh('later');
      const watch = world.client({ vsn }).watch(`campaign:${campaign}`);
      const snapshot = await watch.snapshot();
      assert.equal(snapshot.campaign, null);
      assert.deepEqual(snapshot.sessions, []);
      await add_campaign(world, campaign);
      const session = await add_session(world, { campaign });
      await watch.event(is('campaign_info', 'INSERT'));
      assert.equal((await watch.event(is('session_info', 'INSERT'))).record.session_id, session);
    });

    test('Topic_OddIds_AreTakenByteForByte', async () => {
      const odd = ['with blanks  two ', 'a:b::c', 'naïve ☃ 😀', `quotes ' " \\ '' ; --`, '100% %20 %2B', 'CaSe', '*', '../..', '{"a":1}', 'line\nbreak'];
      const client = world.client({ vsn });
      for (const text of odd) {
        const id = `${fresh('odd')} ${text}`;
        await add_session(world, { id });
        await add_session(world, { id: id.toUpperCase() === id ? `${id}x` : id.toUpperCase() });
        const watch = client.watch(`session:${id}`);
        assert.equal((await watch.snapshot()).session?.session_id, id);
        await say(world, id, text);
        assert.equal((await watch.event()).record.message.text, text);
      }
    });

    test('Deprecated_Table_NeverAppears', async () => {
      const campaign = await add_campaign(world);
      const session = await add_session(world, { campaign });
      const client = world.client({ vsn });
      const watches = [client.watch(`session:${session}`), client.watch(`campaign:${campaign}`)];
      for (const watch of watches) await watch.snapshot();
      await world.query('INSERT INTO "DEPRECATED" (session_id) VALUES ($1)', [session]);
      await world.query('UPDATE "DEPRECATED" SET session_id = $1', [session]);
      await say(world, session, 'a mark');
      for (const watch of watches) {
        await watch.event(is('chat_history', 'INSERT'));
        assert.deepEqual(watch.events.map((event) => event.table), ['chat_history']);
      }
      const triggers = await world.query(`SELECT tgname FROM pg_trigger WHERE tgrelid = '"DEPRECATED"'::regclass AND NOT tgisinternal`);
      assert.deepEqual(triggers, []);
    });
  });
}
