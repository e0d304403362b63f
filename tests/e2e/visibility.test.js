// Who may see what: the tables' own row-level security decides, for snapshots, events and joins.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, is, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';

// A recruiter sees the sessions that carry his name, and what belongs to them: session_info and
// call_info by a value of the row and the claims, the others by a subselect under the first policy.
const by_session = (table) => `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
  CREATE POLICY seen ON ${table} FOR SELECT TO authenticated USING (EXISTS (SELECT FROM session_info s WHERE s.session_id = ${table}.session_id));`;
const by_owner = (table) => `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
  CREATE POLICY seen ON ${table} FOR SELECT TO authenticated USING (split_part(session_id, '/', 1) = (auth.jwt() ->> 'sub'));`;
const world = use_world({
  sql: ['chat_history', 'numbers', 'campaigns', 'session_objective_events'].map(by_session).join('\n')
    + ['session_info', 'call_info'].map(by_owner).join('\n')
    + 'REVOKE ALL ON ALL TABLES IN SCHEMA public FROM anon;',
});

const session_of = (name, rest) => add_session(world, { id: fresh(`${name}/s`), ...rest });

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    const as = (sub, more) => world.client({ vsn, role: 'authenticated', sub, ...more });

    /** Anna, Ben and the service on one campaign, each with a session of their own. */
    const three = async () => {
      const campaign = await add_campaign(world);
      const [annas, bens] = [await session_of('anna', { campaign }), await session_of('ben', { campaign })];
      const [anna, ben, all] = [as('anna'), as('ben'), world.client({ vsn })].map((client) => client.watch(`campaign:${campaign}`));
      for (const watch of [anna, ben, all]) await watch.snapshot();
      return { campaign, annas, bens, anna, ben, all };
    };

    test('Campaign_TwoUsers_EachSnapshotHasOnlyTheirOwn', async () => {
      const { annas, bens, anna, ben, all } = await three();
      assert.deepEqual(anna.snapshots[0].sessions.map((row) => row.session_id), [annas]);
      assert.deepEqual(ben.snapshots[0].sessions.map((row) => row.session_id), [bens]);
      assert.equal(all.snapshots[0].sessions.length, 2);
    });

    test('Campaign_TwoUsers_NoRowOfTheOtherArrives', async () => {
      const { annas, bens, anna, ben, all } = await three();
      for (const session of [bens, annas]) {
        const id = await say(world, session, 'one');
        await world.query('INSERT INTO call_info (call_id, session_id, transcript) VALUES ($1, $2, $3)', [`${session} call`, session, 'secret']);
        await world.query('INSERT INTO numbers (session_id, phone_number) VALUES ($1, $2)', [session, fresh_phone()]);
        await world.query("INSERT INTO session_objective_events (session_id, objective, source) VALUES ($1, 'x', 'chat')", [session]);
        await world.query("UPDATE session_info SET last_action = 'asked' WHERE session_id = $1", [session]);
        await world.query(`UPDATE chat_history SET message = '{"text": "two"}' WHERE id = $1`, [id]);
        await world.query('DELETE FROM chat_history WHERE id = $1', [id]);
      }
      for (const session of [bens, annas]) await say(world, session, 'the end');
      await all.event((event) => event.record?.message?.text === 'the end', 2);
      for (const [watch, own] of [[anna, annas], [ben, bens]]) {
        await watch.event((event) => event.record?.message?.text === 'the end');
        await sleep(100);
        const rows = watch.events.map((event) => event.record ?? event.old_record);
        assert.deepEqual([...new Set(rows.map((row) => row.session_id))], [own]);
        assert.deepEqual(watch.events.map((event) => event.operation), ['INSERT', 'INSERT', 'INSERT', 'INSERT', 'UPDATE', 'UPDATE', 'DELETE', 'INSERT']);
      }
      assert.equal(all.events.length, 16);
    });

    test('Update_RowMovesBetweenUsers_IsDeleteForOneInsertForTheOther', async () => {
      const { annas, bens, anna, ben, all } = await three();
      const id = await say(world, annas, 'mine');
      await world.query('UPDATE chat_history SET session_id = $2 WHERE id = $1', [id, bens]);
      const gone = await anna.event((event) => event.operation !== 'INSERT');
      const come = await ben.event();
      const moved = await all.event((event) => event.operation !== 'INSERT');
      assert.deepEqual([gone.operation, come.operation, moved.operation], ['DELETE', 'INSERT', 'UPDATE']);
      assert.equal(gone.old_record.session_id, annas);
      assert.equal(gone.record, null);
      assert.equal(come.record.session_id, bens);
      assert.equal(come.old_record, null);
      assert.equal(new Set([gone.id, come.id, moved.id]).size, 1);
    });

    test('Join_NotYoursAndNotThere_AreTheSame', async () => {
      const { bens } = await three();
      const phone = fresh_phone();
      await world.query('INSERT INTO numbers (session_id, phone_number) VALUES ($1, $2)', [bens, phone]);
      const client = as('anna');
      const pairs = [[`session:${bens}`, 'session:ben/none'], [`phone:${phone}`, `phone:${fresh_phone()}`]];
      for (const [not_yours, not_there] of pairs) {
        const reasons = [];
        for (const topic of [not_yours, not_there]) {
          const watch = client.watch(topic);
          reasons.push((await watch.refused()).replaceAll(topic, 'T'));
          assert.equal(watch.snapshots.length + watch.events.length, 0);
          await client.supabase.removeChannel(watch.channel);
        }
        assert.match(reasons[0], /^Unauthorized/);
        assert.equal(reasons[0], reasons[1]);
      }
    });

    test('Join_RefusedEarlier_MaySucceedLater', async () => {
      const id = fresh('anna/s');
      const watch = world.client({ vsn, role: 'authenticated', sub: 'anna', quick: true }).watch(`session:${id}`);
      assert.match(await watch.refused(), /^Unauthorized/);
      await add_session(world, { id });
      assert.equal((await watch.snapshot(1, 15_000)).session.session_id, id);
    });

    test('Session_OwnOne_HasSnapshotAndTail', async () => {
      const session = await session_of('anna', { phone: fresh_phone() });
      await say(world, session, 'one');
      const watch = as('anna').watch(`session:${session}`);
      assert.equal((await watch.snapshot()).messages.length, 1);
      await say(world, session, 'two');
      assert.equal((await watch.event()).record.message.text, 'two');
    });

    test('Phone_SharedByTwoUsers_ShowsEachTheirOwn', async () => {
      const phone = fresh_phone();
      const annas = await session_of('anna', { phone, created_at: '2026-01-01' });
      const bens = await session_of('ben', { phone, created_at: '2026-02-01' });
      const [anna, ben] = [as('anna').watch(`phone:${phone}`), as('ben').watch(`phone:${phone}`)];
      assert.deepEqual((await anna.snapshot()).sessions, [annas]);
      assert.equal(anna.snapshots[0].session.session_id, annas);
      assert.deepEqual((await ben.snapshot()).sessions, [bens]);
      await say(world, bens, 'for ben');
      await say(world, annas, 'for anna');
      assert.equal((await anna.event()).record.message.text, 'for anna');
      assert.equal((await ben.event()).record.message.text, 'for ben');
    });

    test('Resume_OfACampaign_BringsOnlyWhatIsSeen', async () => {
      const { campaign, annas, bens, anna } = await three();
      const { cursor } = anna.snapshots[0];
      await say(world, bens, 'not hers');
      const id = await say(world, annas, 'hers');
      const again = as('anna').watch(`campaign:${campaign}`, { broadcast: { resume: cursor } });
      assert.equal((await again.event()).record.id, id);
      await say(world, bens, 'not hers either');
      await say(world, annas, 'the end');
      await again.event(() => true, 2);
      assert.deepEqual(again.events.map((event) => event.record.session_id), [annas, annas]);
    });

    test('Resume_OfAnothersCursor_OpensNothing', async () => {
      const { bens, all } = await three();
      const watch = as('anna').watch(`session:${bens}`, { broadcast: { resume: all.snapshots[0].cursor } });
      assert.match(await watch.refused(), /^Unauthorized/);
    });

    test('Anon_WithoutGrants_SeesNothing', async () => {
      const { annas, campaign } = await three();
      const client = world.client({ vsn, role: 'anon' });
      for (const topic of [`session:${annas}`, `campaign:${campaign}`]) assert.match(await client.watch(topic).refused(), /^Unauthorized/);
    });

    test('Claims_WithQuotes_AreValuesNotText', async () => {
      const sub = `o'neil"\\ ; DROP TABLE numbers; -- ☃`;
      const session = await add_session(world, { id: `${sub}/${fresh('s')}` });
      const watch = as(sub).watch(`session:${session}`);
      assert.equal((await watch.snapshot()).session.session_id, session);
      await say(world, session, 'live');
      await watch.event(is('chat_history', 'INSERT'));
    });

    test('Broadcast_IntoAnothersSession_DoesNotArrive', async () => {
      const { bens } = await three();
      const bens_own = await as('ben').watch(`session:${bens}`).joined();
      const annas_try = as('anna').watch(`session:${bens}`);
      await annas_try.refused();
      await annas_try.channel.send({ type: 'broadcast', event: 'typing', payload: { by: 'anna' } }).catch(() => {});
      await bens_own.channel.send({ type: 'broadcast', event: 'typing', payload: { by: 'ben' } });
      await sleep(300);
      assert.deepEqual(bens_own.others, []);
    });
  });
}

test('Role_NotListed_IsRefusedWhoeverSignedIt', async () => {
  const { refusal } = await import('./fixture/raw.js');
  for (const role of ['postgres', 'pg_read_all_data', 'service_role ', '', 'SERVICE_ROLE']) {
    assert.equal((await refusal(world.daemon.url, { apikey: mint({ role }) })).status, 401, role);
  }
});

test('Revoked_WhileSubscribed_StopsWithinTheCache', { timeout: 90_000 }, async () => {
  const sub = fresh('carla');
  await world.query('CREATE TABLE IF NOT EXISTS guest (sub text PRIMARY KEY)');
  await world.query('GRANT SELECT ON guest TO authenticated');
  await world.query('DROP POLICY IF EXISTS guests ON session_info');
  await world.query("CREATE POLICY guests ON session_info FOR SELECT TO authenticated USING (session_id LIKE 'guests/%' AND EXISTS (SELECT FROM guest g WHERE g.sub = auth.jwt() ->> 'sub'))");
  await world.query('INSERT INTO guest VALUES ($1)', [sub]);
  const session = await session_of('guests');
  const watch = world.client({ role: 'authenticated', sub }).watch(`session:${session}`);
  await watch.snapshot();
  await say(world, session, 'seen');
  await watch.event();
  await world.query('DELETE FROM guest WHERE sub = $1', [sub]);
  await until(async () => {
    const before = watch.events.length;
    const id = await say(world, session, 'seen no more?');
    await sleep(1000);
    return watch.events.length === before && id;
  }, 'rows stop', 45_000);
  await say(world, session, 'still not seen');
  const heard = watch.events.length;
  await sleep(500);
  assert.equal(watch.events.length, heard);
});
