// A client that was away gets what it missed, and is told when that is impossible.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, is, say } from './fixture/rows.js';
import { Writers, committed, difference, k_no_difference, told } from './fixture/writers.js';

const world = use_world();

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    test('Resume_ConnectionLost_NothingMissingNothingTwice', async () => {
      const campaign = await add_campaign(world);
      const phone = fresh_phone();
      const session = await add_session(world, { campaign, phone });
      const client = world.client({ vsn });
      const watches = [`session:${session}`, `campaign:${campaign}`, `phone:${phone}`].map((topic) => client.watch(topic));
      for (const watch of watches) await watch.snapshot();
      const ids = [await say(world, session, 'seen')];
      for (const watch of watches) await watch.event();
      for (const watch of watches) watch.keep_place();
      client.cut();
      for (const text of ['missed 1', 'missed 2', 'missed 3']) ids.push(await say(world, session, text));
      for (const watch of watches) await until(() => watch.statuses.filter((one) => one.status === 'SUBSCRIBED').length === 2, () => watch.say());
      ids.push(await say(world, session, 'live'));
      for (const watch of watches) {
        await watch.event((event) => event.record?.id === ids.at(-1));
        assert.deepEqual(watch.events.map((event) => event.record.id), ids, watch.topic);
        assert.equal(watch.snapshots.length, 1, 'a resume gives no snapshot');
        assert.equal(new Set(watch.events.map((event) => event.id)).size, ids.length);
        assert.deepEqual(watch.systems.filter((one) => one.status === 'error'), []);
      }
    });

    test('Resume_FromTheSnapshotsCursor_GivesWhatCameAfterIt', async () => {
      const session = await add_session(world);
      await say(world, session, 'in the snapshot');
      const { cursor } = await world.client({ vsn }).watch(`session:${session}`).snapshot();
      const ids = [await say(world, session, 'one'), await say(world, session, 'two')];
      const watch = world.client({ vsn }).watch(`session:${session}`, { broadcast: { resume: cursor } });
      await watch.event(() => true, 2);
      ids.push(await say(world, session, 'three'));
      await watch.event(() => true, 3);
      assert.deepEqual(watch.events.map((event) => event.record.id), ids);
      assert.equal(watch.snapshots.length, 0);
    });

    test('Resume_Redelivered_HasTheSameIdsAndValues', async () => {
      const session = await add_session(world);
      const live = world.client({ vsn }).watch(`session:${session}`);
      const { cursor } = await live.snapshot();
      const id = await say(world, session, 'one');
      await world.query('UPDATE chat_history SET message = \'{"text": "changed"}\' WHERE id = $1', [id]);
      await world.query('DELETE FROM chat_history WHERE id = $1', [id]);
      await live.event(() => true, 3);
      const again = world.client({ vsn }).watch(`session:${session}`, { broadcast: { resume: cursor } });
      await again.event(() => true, 3);
      const plain = (event) => ({ ...event, cursor: null });
      assert.deepEqual(again.events.map(plain), live.events.map(plain));
      const middle = world.client({ vsn }).watch(`session:${session}`, { broadcast: { resume: live.events[0].cursor } });
      await middle.event(() => true, 2);
      assert.deepEqual(middle.events.map((event) => event.operation), ['UPDATE', 'DELETE']);
    });

    test('Resume_CampaignWhoseSessionsMoved_HasEveryEventOnce', async () => {
      const [here, there] = [await add_campaign(world), await add_campaign(world)];
      const [stays, leaves, comes] = [await add_session(world, { campaign: here }), await add_session(world, { campaign: here }), await add_session(world, { campaign: there })];
      const live = world.client({ vsn }).watch(`campaign:${here}`);
      const { cursor } = await live.snapshot();
      for (const session of [stays, leaves, comes]) await say(world, session, 'before the moves');
      await world.query('UPDATE session_info SET campaign = $2 WHERE session_id = $1', [leaves, there]);
      await world.query('UPDATE session_info SET campaign = $2 WHERE session_id = $1', [comes, here]);
      for (const session of [stays, leaves, comes]) await say(world, session, 'after the moves');
      await live.event(is('chat_history', 'INSERT'), 4);
      const again = world.client({ vsn }).watch(`campaign:${here}`, { broadcast: { resume: cursor } });
      await again.event(is('chat_history', 'INSERT'), 4);
      const short = (event) => [event.id, event.table, event.operation, (event.record ?? event.old_record).session_id];
      assert.deepEqual(again.events.map(short), live.events.map(short));
      assert.deepEqual(live.events.map((event) => event.operation), ['INSERT', 'INSERT', 'DELETE', 'INSERT', 'INSERT', 'INSERT']);
    });

    test('Resume_CampaignRowsOfSessionsThatLeftSince_AreTold', async () => {
      const [here, there] = [await add_campaign(world), await add_campaign(world)];
      const [leaves, renamed, other] = [await add_session(world, { campaign: here }), await add_session(world, { campaign: here }), await add_session(world, { campaign: there })];
      const ids = [await say(world, leaves, 'moves'), await say(world, renamed, 'changes')];
      const live = world.client({ vsn }).watch(`campaign:${here}`);
      const { cursor } = await live.snapshot();
      await world.query('UPDATE chat_history SET session_id = $2 WHERE id = $1', [ids[0], other]);
      await world.query('UPDATE session_info SET campaign = $2 WHERE session_id = $1', [leaves, there]);
      await world.query('UPDATE chat_history SET message = \'{"text": "changed"}\' WHERE id = $1', [ids[1]]);
      await world.query('UPDATE session_info SET session_id = $2 WHERE session_id = $1', [renamed, `${renamed} again`]);
      await live.event(is('session_info', 'UPDATE'));
      // As if the sessions were older than what is kept.
      await world.query("DELETE FROM pgcast.outbox WHERE table_name = 'session_info' AND operation = 'I' AND session_id = ANY($1)", [[leaves, renamed]]);
      const again = world.client({ vsn }).watch(`campaign:${here}`, { broadcast: { resume: cursor } });
      await again.event(is('session_info', 'UPDATE'));
      const short = (event) => [event.id, event.table, event.operation];
      assert.deepEqual(again.events.map(short), live.events.map(short));
      assert.deepEqual(live.events.map((event) => event.operation), ['DELETE', 'DELETE', 'UPDATE', 'UPDATE']);
    });

    test('Resume_CampaignWhoseSessionCameLaterAndIsGone_HasNothingOfItFromBefore', async () => {
      const [here, there] = [await add_campaign(world), await add_campaign(world)];
      const session = await add_session(world, { campaign: there });
      const id = await say(world, session, 'not of here');
      const live = world.client({ vsn }).watch(`campaign:${here}`);
      const { cursor } = await live.snapshot();
      await world.query('DELETE FROM chat_history WHERE id = $1', [id]);
      await world.query('UPDATE session_info SET campaign = $2 WHERE session_id = $1', [session, here]);
      await world.query('DELETE FROM session_info WHERE session_id = $1', [session]);
      await live.event(is('session_info', 'DELETE'));
      const again = world.client({ vsn }).watch(`campaign:${here}`, { broadcast: { resume: cursor } });
      await again.event(is('session_info', 'DELETE'));
      const short = (event) => [event.id, event.table, event.operation];
      assert.deepEqual(again.events.map(short), live.events.map(short));
      assert.deepEqual(live.events.map((event) => event.operation), ['INSERT', 'DELETE']);
    });

    test('Resume_CutAgainAndAgainUnderWriters_DeliversTheCommittedSet', { timeout: 120_000 }, async () => {
      const sessions = [await add_session(world), await add_session(world)];
      const watches = sessions.map((session) => {
        const client = world.client({ vsn, quick: true });
        return Object.assign(client.watch(`session:${session}`), { client });
      });
      for (const watch of watches) await watch.snapshot();
      for (const watch of watches) watch.keep_place();
      const writers = new Writers(world, sessions);
      for (let nth = 0; nth < 12; nth += 1) {
        await sleep(250 + Math.random() * 250);
        watches[nth % 2].client.cut();
      }
      await writers.stop();
      for (const [at, watch] of watches.entries()) {
        const last = await say(world, sessions[at], 'the end');
        await watch.event((event) => event.record?.id === last, 1, 20_000);
        assert.deepEqual(difference(told(watch), await committed(world, [sessions[at]])), k_no_difference);
        assert.equal(watch.snapshots.length, 1);
      }
    });

    test('Resume_SinceATime_GivesWhatCameAfterIt', async () => {
      const session = await add_session(world);
      await say(world, session, 'before');
      await sleep(50);
      const since = new Date().toISOString();
      await sleep(50);
      const id = await say(world, session, 'after');
      const watch = world.client({ vsn }).watch(`session:${session}`, { broadcast: { resume: { since } } });
      assert.equal((await watch.event()).record.id, id);
      assert.equal(watch.events.length, 1);
      assert.equal(watch.snapshots.length, 0);
    });

    test('Resume_NumberMovedMeanwhile_GivesTheOldSessionsRestAndAFreshSnapshot', async () => {
      const phone = fresh_phone();
      const [first, second] = [await add_session(world, { phone }), await add_session(world)];
      await say(world, second, 'before the move');
      const { cursor } = await world.client({ vsn }).watch(`phone:${phone}`).snapshot();
      await say(world, first, 'the rest');
      await world.query('UPDATE numbers SET session_id = $2 WHERE phone_number = $1', [phone, second]);
      await say(world, first, 'no more of the number');
      const watch = world.client({ vsn }).watch(`phone:${phone}`, { broadcast: { resume: cursor } });
      const snapshot = await watch.snapshot();
      assert.equal(snapshot.session.session_id, second);
      assert.equal(snapshot.messages.length, 1);
      assert.deepEqual(watch.events.map((event) => [event.table, event.operation]), [['chat_history', 'INSERT'], ['numbers', 'DELETE']]);
      const id = await say(world, second, 'after the move');
      assert.equal((await watch.event((event) => event.record?.id === id)).record.session_id, second);
      assert.deepEqual(watch.systems.filter((one) => one.status === 'error'), []);
    });

    const told_why = async (cursor, codes) => {
      const session = await add_session(world);
      await say(world, session, 'here');
      const watch = world.client({ vsn }).watch(`session:${session}`, { broadcast: { resume: cursor } });
      const snapshot = await watch.snapshot();
      assert.equal(snapshot.messages.length, 1);
      const errors = watch.systems.filter((one) => one.extension === 'pgcast');
      assert.equal(errors.length, 1, watch.say());
      assert.equal(errors[0].status, 'error');
      assert.ok(codes.includes(errors[0].code), `${errors[0].code} for ${JSON.stringify(cursor)}`);
      assert.equal(typeof errors[0].message, 'string');
      assert.equal(errors[0].channel, `session:${session}`);
      const id = await say(world, session, 'the channel is open');
      assert.equal((await watch.event()).record.id, id);
    };

    test('Resume_ForgedCursor_IsToldAndGetsASnapshot', async () => {
      const { cursor } = await world.client({ vsn }).watch(`session:${await add_session(world)}`).snapshot();
      const at = Math.floor(cursor.length / 2);
      const bent = cursor.slice(0, at) + (cursor[at] === 'A' ? 'B' : 'A') + cursor.slice(at + 1);
      for (const forged of ['0', 'nonsense', 'AAAAAAAAAAAAAAAAAAAAAAAA', '😀', cursor.slice(0, -4), `${cursor}AAAA`, 'x'.repeat(5000)]) await told_why(forged, ['cursor_invalid']);
      await told_why(bent, ['cursor_invalid', 'cursor_foreign']);
    });

    test('Resume_OlderThanWhatIsKept_IsToldAndGetsASnapshot', async () => {
      await told_why({ since: '2020-01-01T00:00:00Z' }, ['cursor_too_old']);
      const { cursor } = await world.client({ vsn }).watch(`session:${await add_session(world)}`).snapshot();
      const other = await add_session(world);
      const read = world.client({ vsn }).watch(`session:${other}`); // by the daemon, before it is dropped
      await read.snapshot();
      await say(world, other, 'dropped with its partition');
      await read.event();
      await world.query('UPDATE pgcast.meta SET dropped_xid = (SELECT xid FROM pgcast.outbox ORDER BY xid DESC LIMIT 1)');
      await told_why(cursor, ['cursor_too_old']);
    });

    test('Resume_FromWhatIsToCome_IsToldAndGetsASnapshot', async () => {
      await told_why({ since: new Date(Date.now() + 3_600_000).toISOString() }, ['cursor_ahead']);
    });

    test('Resume_TimeThatIsNone_IsToldAndGetsASnapshot', async () => {
      for (const since of ['yesterday', "2026-01-01'; DROP TABLE numbers; --"]) await told_why({ since }, ['cursor_invalid']);
    });

    test('Resume_CursorOfAnotherTopic_GivesThisTopicsEvents', async () => {
      const [session, other] = [await add_session(world), await add_session(world)];
      const { cursor } = await world.client({ vsn }).watch(`session:${other}`).snapshot();
      const id = await say(world, session, 'mine');
      await say(world, other, 'not mine');
      const watch = world.client({ vsn }).watch(`session:${session}`, { broadcast: { resume: cursor } });
      assert.equal((await watch.event()).record.id, id);
      assert.equal(watch.events.length, 1);
    });

    if (vsn === '2.0.0') {
      test('Resume_CursorOfAnotherDatabase_IsForeign', async () => {
        await world.query('CREATE DATABASE elsewhere');
        await world.prepare('elsewhere');
        const daemon = await world.serve('elsewhere');
        const { cursor } = await world.client({ vsn, daemon }).watch('session:any').snapshot();
        await told_why(cursor, ['cursor_foreign']);
      });

      test('Resume_OnAnotherDaemonOfTheDatabase_Works', async () => {
        const session = await add_session(world);
        const { cursor } = await world.client({ vsn }).watch(`session:${session}`).snapshot();
        const id = await say(world, session, 'missed');
        const daemon = await world.serve('postgres', { PGCAST_THREADS: '1' });
        const watch = world.client({ vsn, daemon }).watch(`session:${session}`, { broadcast: { resume: cursor } });
        assert.equal((await watch.event()).record.id, id);
        assert.equal(watch.snapshots.length, 0);
      });
    }
  });
}
