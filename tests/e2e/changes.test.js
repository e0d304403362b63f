// postgres_changes: what an unmodified supabase-js asks of tables, and gets, row by row and role by role.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, say } from './fixture/rows.js';
import { Writers, committed, difference, k_no_difference } from './fixture/writers.js';
import { fill } from './fixture/unread.js';
import { Changes } from './fixture/changes.js';

const world = use_world({
  env: { PGCAST_AUTH_CACHE: '1s' },
  tables: ['public.offer'],
  sql: `CREATE TABLE offer (id bigint PRIMARY KEY, owner text, price numeric, tags text[], secret text);
    ALTER TABLE offer OWNER TO owner;
    ALTER TABLE offer ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON offer FOR SELECT TO authenticated USING (owner = current_setting('request.jwt.claims', true)::jsonb ->> 'sub');
    GRANT SELECT (id, owner, price, tags) ON offer TO authenticated;
    GRANT ALL ON offer TO service_role;
    CREATE TABLE unrelayed (id int);
    GRANT SELECT ON unrelayed TO service_role`,
});

const k_chat = { event: '*', schema: 'public', table: 'chat_history' };
const offer = (id, owner, price = 1) => world.query('INSERT INTO offer VALUES ($1, $2, $3, \'{a,b}\', \'hidden\')', [id, owner, price]);
let next_offer = 0;
const offer_id = () => ++next_offer;

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    const changes = (filters, who) => new Changes(world.client({ vsn, ...who }), filters);

    test('InsertUpdateDelete_ArriveInSupabasesForm', async () => {
      const session = await add_session(world);
      const own = { ...k_chat, filter: `session_id=eq.${session}` };
      const here = await changes([own]).joined();
      await until(() => here.systems.length === 1, () => here.say());
      assert.equal(here.systems[0].status, 'ok');
      assert.equal(here.systems[0].message, 'Subscribed to PostgreSQL');
      const id = await say(world, session, 'one');
      await world.query('UPDATE chat_history SET message = \'{"text": "two"}\' WHERE id = $1', [id]);
      await world.query('DELETE FROM chat_history WHERE id = $1', [id]);
      const [inserted, updated, deleted] = await here.count(3);
      assert.equal(inserted.eventType, 'INSERT');
      assert.equal(inserted.schema, 'public');
      assert.equal(inserted.table, 'chat_history');
      assert.match(inserted.commit_timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert.equal(inserted.errors, null);
      assert.deepEqual(inserted.old, {});
      assert.deepEqual([inserted.new.id, inserted.new.session_id, inserted.new.message.text], [id, session, 'one']);
      assert.equal(updated.eventType, 'UPDATE');
      assert.deepEqual(updated.new, { id, session_id: session, message: { text: 'two' } });
      assert.deepEqual([updated.old.id, updated.old.message.text], [id, 'one'], 'the whole old row');
      assert.equal(deleted.eventType, 'DELETE');
      assert.deepEqual(deleted.new, {});
      assert.deepEqual(deleted.old, { id, session_id: session, message: { text: 'two' } });
    });

    test('Bindings_OfOneChannel_EachHearItsOwn', async () => {
      const [a, b] = [await add_session(world), await add_session(world)];
      const here = await changes([
        { ...k_chat, event: 'INSERT', filter: `session_id=eq.${a}` },
        { ...k_chat, event: 'INSERT', filter: `session_id=in.(${a},${b})` },
        { ...k_chat, event: 'UPDATE', filter: `session_id=eq.${a}` },
        { event: 'UPDATE', schema: 'public', table: 'session_info', filter: `session_id=eq.${a}` },
        { ...k_chat, event: 'INSERT', filter: `session_id=eq.${a}` },
        { event: '*', schema: '*' },
      ]).joined();
      const [in_a, in_b] = [await say(world, a, 'a'), await say(world, b, 'b')];
      await world.query('UPDATE session_info SET last_action = \'x\' WHERE session_id = $1', [a]);
      await here.count(1, 3);
      const ids = (at) => here.heard[at].map((one) => one.new.id ?? one.table);
      assert.deepEqual([0, 1, 2, 3, 4].map(ids), [[in_a], [in_a, in_b], [], ['session_info'], [in_a]]);
      assert.ok([in_a, in_b, 'session_info'].every((one) => ids(5).includes(one)));
    });

    test('Filters_OfAllKinds_DecideByTheColumnsType', async () => {
      const wanted = { 'price=gt.9.75': [10], 'price=lte.9.50': [9.5], 'price=not.eq.10.0': [9.5], 'owner=like.a%': [10], 'tags=eq."{a,b}",price=gt.9': [10, 9.5] };
      const here = await changes(Object.keys(wanted).map((filter) => ({ event: 'INSERT', schema: 'public', table: 'offer', filter }))).joined();
      await offer(offer_id(), 'alice', 10);
      await offer(offer_id(), 'bob', 9.5);
      await here.count(2, 4);
      await here.count(1, 3);
      const got = Object.fromEntries(Object.keys(wanted).map((filter, at) => [filter, here.heard[at].map((one) => one.new.price)]));
      assert.deepEqual(got, wanted);
    });

    test('Select_GivesThoseColumnsAndTheKey', async () => {
      const here = await changes([{ event: '*', schema: 'public', table: 'offer', filter: 'owner=eq.selected', select: ['price'] }]).joined();
      const id = offer_id();
      await offer(id, 'selected', 3);
      const [one] = await here.count(1);
      assert.deepEqual(one.new, { id, price: 3 });
    });

    test('RowLevelSecurity_EachRowForWhoMaySeeItOnly', async () => {
      const [ann, ben] = [fresh('ann'), fresh('ben')];
      const table = { event: '*', schema: 'public', table: 'offer' };
      const of_ann = await changes([{ ...table }], { role: 'authenticated', sub: ann }).joined();
      const of_ben = await changes([{ ...table }], { role: 'authenticated', sub: ben }).joined();
      const id = offer_id();
      await offer(id, ann, 1);
      await world.query('UPDATE offer SET price = 2 WHERE id = $1', [id]);
      await world.query('UPDATE offer SET owner = $2 WHERE id = $1', [id, ben]);
      await world.query('DELETE FROM offer WHERE id = $1', [id]);
      await of_ben.count(2);
      await of_ann.count(2);
      await sleep(200);
      const whole = (owner, price) => ({ id, owner, price, tags: ['a', 'b'] }); // secret is not granted
      const told = (here) => here.heard[0].map((one) => [one.eventType, one.new, one.old]);
      assert.deepEqual(told(of_ann), [['INSERT', whole(ann, 1), {}], ['UPDATE', whole(ann, 2), whole(ann, 1)]]);
      assert.deepEqual(told(of_ben), [['UPDATE', whole(ben, 2), {}], ['DELETE', {}, whole(ben, 2)]]);
    });

    test('Join_ThatCannotBe_IsRefusedWithTheRemedy', async () => {
      const refusal = (filter, who) => changes([{ event: '*', schema: 'public', ...filter }], who).refused();
      assert.match(await refusal({ table: 'unrelayed' }), /public\.unrelayed is not relayed, or .* may not read it: pgcast install --table public\.unrelayed/);
      assert.match(await refusal({ table: 'nowhere' }), /public\.nowhere is not relayed, or .* may not read it/, 'the same for what is not there');
      assert.match(await refusal({ table: 'offer' }, { role: 'anon' }), /Unauthorized.*GRANT SELECT ON public\.offer TO anon/);
      assert.match(await refusal({ table: 'offer', filter: 'nothing=eq.1' }), /nothing/);
      assert.match(await refusal({ table: 'offer', select: 'id' }), /select of postgres_changes must be a list/);
      assert.match(await refusal({ table: 'offer', filter: 'price=eq.cheap' }), /price/);
      assert.match(await refusal({ table: 'offer', filter: 'secret=eq.hidden' }, { role: 'authenticated', sub: 'x' }), /secret/);
      assert.match(await refusal({ table: 'offer', select: ['secret'] }, { role: 'authenticated', sub: 'x' }), /secret/);
    });

    test('Resume_EachBindingAtItsOwnCursor_NothingMissingNothingTwice', async () => {
      const [a, b] = [await add_session(world), await add_session(world)];
      const client = world.client({ vsn, quick: true });
      const filters = [a, b].map((session) => ({ ...k_chat, event: 'INSERT', filter: `session_id=eq.${session}`, resume: '' }));
      const here = new Changes(client, filters);
      await here.joined();
      here.keeps_place = true;
      const wanted = [[], []];
      for (let round = 0; round < 3; round += 1) {
        wanted[0].push(await say(world, a, `a ${round}`));
        await here.count(wanted[0].length, 0);
        wanted[1].push(await say(world, b, `b ${round}`));
        await here.count(wanted[1].length, 1);
        client.cut();
        for (const text of ['missed 1', 'missed 2']) {
          wanted[0].push(await say(world, a, text));
          wanted[1].push(await say(world, b, text));
        }
        await here.joined(round + 2);
        await here.count(wanted[0].length, 0);
        await here.count(wanted[1].length, 1);
      }
      await sleep(200);
      assert.deepEqual(here.heard.map((one) => one.map((payload) => payload.new.id)), wanted);
      for (const one of here.heard[0]) assert.match(one.new._pgcast_id, /^\d+$/);
      assert.deepEqual(here.systems.filter((one) => one.status !== 'ok'), []);
    });

    test('Resume_UnderWriters_IsToldTheCommittedSetOnce', { timeout: 60_000 }, async () => {
      const sessions = [await add_session(world), await add_session(world)];
      const client = world.client({ vsn, quick: true });
      const here = new Changes(client, [{ ...k_chat, event: 'INSERT', filter: `session_id=in.(${sessions})`, resume: '' }]);
      await here.joined();
      here.keeps_place = true;
      await say(world, sessions[0], 'a first place');
      await here.count(1);
      const writers = new Writers(world, sessions, { count: 4 });
      for (let round = 0; round < 8; round += 1) {
        await sleep(Math.random() * 800);
        client.cut();
      }
      await writers.stop();
      const all = await committed(world, sessions);
      const told = () => here.heard[0].map((one) => one.new.id);
      await until(() => difference(told(), all).missing === 0, () => `${JSON.stringify(difference(told(), all))} ${here.say()}`, 20_000);
      assert.deepEqual(difference(told(), all), k_no_difference);
    });

    test('Resume_OnAnotherDaemonAndAfterRestart_GoesOn', { timeout: 30_000 }, async () => {
      const session = await add_session(world);
      const filter = { ...k_chat, filter: `session_id=eq.${session}`, resume: '' };
      const here = await changes([filter]).joined();
      const first = await say(world, session, 'one');
      const [{ new: { _pgcast_cursor: cursor } }] = await here.count(1);
      const missed = await say(world, session, 'two');
      await world.daemon.kill('SIGKILL');
      await world.daemon.run();
      const again = await changes([{ ...filter, resume: cursor }]).joined();
      const live = await say(world, session, 'three');
      assert.deepEqual((await again.count(2)).map((one) => one.new.id), [missed, live]);
      assert.ok(first < missed);
    });

    test('Resume_DroppedBeforeTheFirstChange_GoesOnFromWhereItBegan', async () => {
      const session = await add_session(world);
      const client = world.client({ vsn, quick: true });
      const filter = { ...k_chat, filter: `session_id=eq.${session}`, resume: '' };
      const here = new Changes(client, [filter]);
      await here.joined();
      await until(() => here.systems.length === 1, () => here.say());
      filter.resume = here.systems[0].cursor;
      client.cut();
      const ids = [await say(world, session, 'missed')];
      await here.joined(2);
      ids.push(await say(world, session, 'live'));
      assert.deepEqual((await here.count(2)).map((one) => one.new.id), ids);
    });

    test('Resume_ForgedCursor_IsToldAndGoesOnLive', async () => {
      const session = await add_session(world);
      const here = await changes([{ ...k_chat, filter: `session_id=eq.${session}`, resume: 'AZcxx5xq51gpAbnPh' }]).joined();
      await until(() => here.systems.some((one) => one.code === 'cursor_invalid' && one.extension === 'pgcast'), () => here.say());
      const id = await say(world, session, 'live');
      assert.equal((await here.count(1))[0].new.id, id);
      assert.equal(here.statuses.length, 1, 'the channel stays open');
    });

    test('ClientId_Dropped_GoesOnWhereItWas', async () => {
      const session = await add_session(world);
      const client = world.client({ vsn, quick: true, params: { client_id: fresh('client') } });
      const here = new Changes(client, [{ ...k_chat, filter: `session_id=eq.${session}` }]);
      await here.joined();
      const ids = [await say(world, session, 'one')];
      await here.count(1);
      await sleep(700); // acknowledged
      client.cut();
      ids.push(await say(world, session, 'missed'));
      await here.joined(2);
      ids.push(await say(world, session, 'live'));
      await until(() => here.heard[0].some((one) => one.new.id === ids[2]), () => here.say());
      assert.deepEqual([...new Set(here.heard[0].map((one) => one.new.id))], ids);
    });

    test('DomainTopic_WithBindings_CarriesBoth', async () => {
      const campaign = await add_campaign(world);
      const session = await add_session(world, { campaign });
      const client = world.client({ vsn });
      const here = new Changes(client, [{ ...k_chat, filter: `session_id=eq.${session}` }], `campaign:${campaign}`);
      const rows = [];
      here.channel.on('broadcast', { event: 'chat_history' }, ({ payload }) => rows.push(payload.record.id));
      await here.joined();
      const id = await say(world, session, 'both');
      await here.count(1);
      await until(() => rows.length === 1, () => here.say());
      assert.equal(rows[0], id);
      assert.equal(here.heard[0][0].new.id, id);
    });
  });
}

test('Slow_ClientOfChanges_GetsTheRestWhenItReads', { timeout: 60_000 }, async () => {
  const session = await add_session(world);
  const client = world.client({});
  const here = new Changes(client, [{ ...k_chat, event: 'INSERT', filter: `session_id=eq.${session}` }]);
  await here.joined();
  client.sockets.at(-1).pause();
  const ids = [];
  for (let round = 0; round < 6; round += 1) ids.push(...await fill(world, session, 200, 32_000));
  await sleep(4000);
  const text = await (await fetch(`http://127.0.0.1:${world.daemon.admin_port}/metrics`)).text();
  assert.match(text, /pgcast_slow_clients_total\{verdict="parked"\} [1-9]/);
  client.sockets.at(-1).resume();
  await here.count(ids.length, 0, 30_000);
  await sleep(300);
  assert.deepEqual(here.heard[0].map((one) => one.new.id), ids);
});

test('Shape_ColumnAddedMeanwhile_IsInTheRecord', async () => {
  const here = await new Changes(world.client({}), [{ event: 'INSERT', schema: 'public', table: 'offer', filter: 'owner=eq.wider' }]).joined();
  await world.query('ALTER TABLE offer ADD COLUMN IF NOT EXISTS extra int DEFAULT 7');
  await offer_with_extra(offer_id());
  const [one] = await here.count(1);
  assert.equal(one.new.extra, 7);
});

test('Table_RelayedMeanwhile_IsHeardOfByWhoWantsAll', async () => {
  const here = await new Changes(world.client({}), [{ event: 'INSERT', schema: '*' }]).joined();
  await world.query('CREATE TABLE newcomer (id int PRIMARY KEY); ALTER TABLE newcomer OWNER TO owner');
  await world.query('GRANT SELECT ON newcomer TO service_role');
  await world.daemon.install(['public.newcomer']);
  await world.query('INSERT INTO newcomer VALUES (1)');
  await until(() => here.heard[0].some((one) => one.table === 'newcomer'), () => here.say());
});

test('Column_OfAnotherTypeMeanwhile_IsComparedAsItIsNow', { timeout: 20_000 }, async () => {
  await world.query('CREATE TABLE retyped (id int PRIMARY KEY, code int); ALTER TABLE retyped OWNER TO owner; GRANT SELECT ON retyped TO service_role');
  await world.daemon.install(['public.retyped']);
  await sleep(1500); // the tables of a role are known again after auth.cache
  const client = world.client({});
  const filters = [5, 6].map((code) => ({ event: '*', schema: 'public', table: 'retyped', filter: `code=eq.${code}` }));
  const here = await new Changes(client, filters).joined();
  await world.query('INSERT INTO retyped VALUES (1, 5)');
  await here.count(1);
  await world.query('ALTER TABLE retyped ALTER COLUMN code TYPE text');
  await sleep(2500);
  await world.query("INSERT INTO retyped VALUES (2, '5'), (3, '6'), (4, '05')");
  await here.count(1, 1);
  assert.deepEqual(here.heard.map((one) => one.map((payload) => payload.new.id)), [[1, 2], [3]]);
});

const offer_with_extra = (id) => world.query("INSERT INTO offer (id, owner, price) VALUES ($1, 'wider', 1)", [id]);
