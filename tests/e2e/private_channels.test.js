// Private channels: the policies of realtime.messages say who may read and who may write.
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_session } from './fixture/rows.js';
import { mint } from './fixture/token.js';

// Where there is a realtime.messages already it is taken as it is.
const k_messages = `CREATE SCHEMA IF NOT EXISTS realtime;
  GRANT USAGE ON SCHEMA realtime TO anon, authenticated, service_role;
  CREATE TABLE IF NOT EXISTS realtime.messages (topic text NOT NULL, extension text NOT NULL, payload jsonb, event text,
    private boolean DEFAULT false, updated_at timestamp NOT NULL DEFAULT now(), inserted_at timestamp NOT NULL DEFAULT now(),
    id uuid NOT NULL DEFAULT gen_random_uuid(), PRIMARY KEY (id, inserted_at));
  ALTER TABLE realtime.messages ENABLE ROW LEVEL SECURITY;
  GRANT SELECT, INSERT ON realtime.messages TO anon, authenticated, service_role;
  DO $$ BEGIN
    IF to_regprocedure('realtime.topic()') IS NULL THEN
      CREATE FUNCTION realtime.topic() RETURNS text LANGUAGE sql STABLE AS $f$SELECT nullif(current_setting('realtime.topic', true), '')$f$;
    END IF;
  END $$;`;
const k_policies = `CREATE POLICY members_read ON realtime.messages FOR SELECT TO authenticated USING (
    EXISTS (SELECT FROM public.members m WHERE m.room = (SELECT realtime.topic()) AND m.member = auth.jwt() ->> 'sub'));
  CREATE POLICY members_write ON realtime.messages FOR INSERT TO authenticated WITH CHECK (
    extension = 'broadcast' AND EXISTS (SELECT FROM public.members m WHERE m.room = realtime.topic() AND m.member = auth.jwt() ->> 'sub' AND m.writes));
  CREATE POLICY lobby ON realtime.messages TO anon USING (topic LIKE 'lobby-%' AND extension = 'broadcast');
  CREATE POLICY faulty ON realtime.messages FOR SELECT TO authenticated USING (CASE WHEN topic LIKE 'faulty-%' THEN (1 / (length(topic) - length(topic)))::boolean ELSE false END);
  CREATE POLICY only_presence ON realtime.messages FOR SELECT TO authenticated USING (topic LIKE 'presence-%' AND extension = 'presence');
  CREATE POLICY writes_presence ON realtime.messages FOR INSERT TO authenticated WITH CHECK (topic LIKE 'presence-%' AND extension = 'presence' AND auth.jwt() ->> 'sub' = 'writer');
  CREATE POLICY not_banned ON realtime.messages AS RESTRICTIVE TO authenticated USING (auth.jwt() ->> 'sub' <> 'banned');`;

const world = use_world({
  env: { PGCAST_THREADS: '2', PGCAST_AUTH_CACHE: '1s' },
  sql: `CREATE TABLE members (room text, member text, writes boolean, PRIMARY KEY (room, member));
    GRANT SELECT ON members TO authenticated;`,
  installed_sql: k_messages + k_policies,
});
afterEach(() => world.close_clients());

const k_private = { private: true };
const user = (sub, more) => ({ role: 'authenticated', sub, ...more });

async function room(members) {
  const topic = fresh('room');
  for (const [member, writes] of Object.entries(members)) await world.query('INSERT INTO members VALUES ($1, $2, $3)', [topic, member, writes]);
  return topic;
}

const watch = (claims, topic, options = k_private) => world.client(claims).watch(topic, options);
const heard = (one, event) => until(() => one.others.find((other) => other.event === event), () => `${event}: ${one.say()}`);
const events = (one) => one.others.map((other) => other.event);
const say = (one, event) => one.channel.send({ type: 'broadcast', event, payload: { by: event } });

async function http(claims, topic, event, { path = `/${topic}/events/${event}?private=true`, body = {} } = {}) {
  const answer = await fetch(`${world.daemon.url}/realtime/v1/api/broadcast${path}`, {
    method: 'POST', body: JSON.stringify(body), headers: { authorization: `Bearer ${mint(claims)}`, 'content-type': 'application/json' },
  });
  return { status: answer.status, text: await answer.text() };
}

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    test('Members_Join_AndHearEachOther', async () => {
      const topic = await room({ ann: true, bob: true });
      const ann = await watch(user('ann', { vsn }), topic).joined();
      const bob = await watch(user('bob', { vsn }), topic).joined();
      await say(ann, 'hello');
      assert.deepEqual((await heard(bob, 'hello')).payload, { by: 'hello' });
      await say(bob, 'back');
      await heard(ann, 'back');
      assert.deepEqual(events(ann), ['back']);
    });

    test('Stranger_IsRefusedInTheWordsOfSupabase', async () => {
      const topic = await room({ ann: true });
      assert.equal(await watch(user('eve', { vsn }), topic).refused(), `"Unauthorized: You do not have permissions to read from this Channel topic: ${topic}"`.slice(1, -1));
      const raw = await world.raw(user('eve', { vsn }));
      const ref = raw.send(`realtime:${topic}`, 'phx_join', { config: { private: true, broadcast: {}, presence: {}, postgres_changes: [] } }, { ref: '1', join_ref: '1' });
      const { status, response } = await raw.reply(ref);
      assert.deepEqual({ status, response }, { status: 'error', response: { reason: `Unauthorized: You do not have permissions to read from this Channel topic: ${topic}` } });
    });

    test('ReaderOnly_IsNotHeardAndNotTold', async () => {
      const topic = await room({ ann: true, bob: false });
      const dropped = 'pgcast_broadcasts_dropped_total{reason="unauthorized"}';
      const before_it = await world.daemon.metric(dropped);
      const ann = await watch(user('ann', { vsn }), topic).joined();
      const bob = await watch(user('bob', { vsn }), topic).joined();
      assert.equal(await say(bob, 'unheard'), 'ok', 'without ack there is no answer');
      await until(async () => await world.daemon.metric(dropped) === before_it + 1, 'it is counted');
      await say(ann, 'heard');
      await heard(bob, 'heard');
      assert.deepEqual(events(ann), []);
      assert.deepEqual(events(bob), ['heard']);
    });

    test('PublicAndPrivate_OfOneName_DoNotHearEachOther', async () => {
      const topic = await room({ ann: true, bob: true });
      const inside = await watch(user('ann', { vsn }), topic).joined();
      const other = await watch(user('bob', { vsn }), topic).joined();
      const outside = await watch({ role: 'anon', vsn }, topic, {}).joined();
      await say(inside, 'secret');
      await heard(other, 'secret');
      await say(outside, 'open');
      await http({ role: 'anon' }, topic, 'open_by_http', { path: `/${topic}/events/open_by_http` });
      await heard(outside, 'open_by_http');
      await say(inside, 'end');
      await heard(other, 'end');
      assert.deepEqual(events(outside), ['open_by_http']);
      assert.deepEqual(events(other), ['secret', 'end']);
    });
  });
}

test('ServiceRole_MayAll', async () => {
  const topic = await room({ ann: false });
  const ann = await watch(user('ann'), topic).joined();
  const service = await watch({ role: 'service_role' }, topic).joined();
  await say(service, 'announced');
  await heard(ann, 'announced');
  assert.equal((await http({ role: 'service_role' }, topic, 'by_http')).status, 202);
  await heard(ann, 'by_http');
});

test('Anon_HasItsOwnPolicy_OfAllCommandsByUsing', async () => {
  const topic = fresh('lobby');
  const [one, two] = [await watch({ role: 'anon' }, topic).joined(), await watch({ role: 'anon' }, topic).joined()];
  await say(one, 'knock');
  await heard(two, 'knock');
  assert.match(await watch({ role: 'anon' }, await room({})).refused(), /Unauthorized/);
});

test('RestrictivePolicy_KeepsOutWhoIsAMember', async () => {
  const topic = await room({ banned: true });
  assert.match(await watch(user('banned'), topic).refused(), /Unauthorized/);
});

test('OnlyPresence_IsSeenWithoutBroadcasts_AndWritingItIsARightOfItsOwn', async () => {
  const topic = fresh('presence');
  const join = async (claims) => {
    const channel = world.client(claims).supabase.channel(topic, { config: { private: true, presence: { enabled: true } } });
    const broadcasts = [];
    channel.on('broadcast', { event: '*' }, ({ event }) => broadcasts.push(event)).on('presence', { event: 'sync' }, () => {});
    await new Promise((done, fail) => channel.subscribe((status, error) => (status === 'SUBSCRIBED' ? done() : fail(error))));
    return { channel, broadcasts };
  };
  const [ann, writer, service] = [await join(user('ann')), await join(user('writer')), await join({ role: 'service_role' })];
  assert.equal(await writer.channel.track({ here: true }), 'ok');
  assert.equal(await ann.channel.track({ here: true }), 'error', 'ann may not write');
  await until(() => Object.keys(ann.channel.presenceState()).length === 1, () => JSON.stringify(ann.channel.presenceState()));
  assert.equal(await service.channel.send({ type: 'broadcast', event: 'told', payload: {} }), 'ok');
  await service.channel.track({ last: true });
  await until(() => Object.keys(ann.channel.presenceState()).length === 2, 'what came behind the broadcast');
  assert.deepEqual(ann.broadcasts, []);
});

test('PolicyThatFails_LetsNobodyInAndIsLogged', async () => {
  const topic = fresh('faulty');
  assert.match(await watch(user('ann'), topic).refused(), /Unauthorized/);
  assert.match(world.daemon.process.log(), /a policy of realtime.messages fails for role authenticated on topic faulty-.*division by zero/);
});

test('TopicOfManyKinds_IsAskedForAsItIs', async () => {
  for (const name of ['a:b:c', "o'hara; --", 'ünï ✓', '"quoted"\\', '$1', '%s', 'x'.repeat(240)]) {
    await world.query('INSERT INTO members VALUES ($1, $2, true)', [name, 'ann']);
    const ann = await watch(user('ann', { vsn: '1.0.0' }), name, { ...k_private, broadcast: { self: true } }).joined();
    await say(ann, 'hello');
    await heard(ann, 'hello');
    assert.match(await watch(user('eve'), name).refused(), /Unauthorized/);
  }
});

test('TopicWithNul_IsRefusedByName', async () => {
  const topic = await room({ ann: true });
  const raw = await world.raw(user('ann'));
  const { reply } = await raw.join(`${topic}\u0000x`);
  assert.match(reply.response.reason, /TopicNameRequired/);
});

test('MembershipTaken_EndsTheChannelWithinTheCache', async () => {
  const topic = await room({ ann: true, bob: true });
  const ann = await watch(user('ann', { quick: true }), topic).joined();
  const bob = await watch(user('bob'), topic).joined();
  await world.query('DELETE FROM members WHERE room = $1 AND member = $2', [topic, 'ann']);
  await until(() => ann.systems.some((one) => one.message === `You no longer have permission to read from this Channel topic: ${topic}`), () => ann.say(), 5000);
  assert.match(await ann.refused(), /./);
  await say(bob, 'among us');
  await sleep(200);
  assert.deepEqual(events(ann), []);
  await world.query('INSERT INTO members VALUES ($1, $2, true)', [topic, 'ann']);
  await until(() => ann.statuses.at(-1).status === 'SUBSCRIBED', () => ann.say(), 10_000);
});

test('RightToWrite_TakenAndGiven_IsInForceWithinTheCache', async () => {
  const topic = await room({ ann: true, bob: false });
  const ann = await watch(user('ann'), topic).joined();
  const bob = await watch(user('bob'), topic).joined();
  await say(bob, 'too early');
  await world.query('UPDATE members SET writes = NOT writes WHERE room = $1', [topic]);
  await sleep(2600);
  await say(ann, 'too late');
  await say(bob, 'in time');
  await heard(ann, 'in time');
  assert.deepEqual([events(ann), events(bob)], [['in time'], []]);
});

test('PolicyDropped_IsNoticedWithinTheCache', async (t) => {
  await world.query("CREATE POLICY passing ON realtime.messages FOR SELECT TO authenticated USING (topic LIKE 'passing-%')");
  t.after(() => world.query('DROP POLICY IF EXISTS passing ON realtime.messages'));
  const ann = await watch(user('ann'), fresh('passing')).joined();
  await world.query('DROP POLICY passing ON realtime.messages');
  await until(() => ann.has('CHANNEL_ERROR'), () => ann.say(), 6000);
});

test('Renewal_ToFewerRights_EndsTheChannel', async () => {
  const topic = await room({ ann: true });
  const raw = await world.raw(user('ann'));
  const config = { private: true, broadcast: {}, presence: {}, postgres_changes: [] };
  assert.equal((await raw.reply(raw.send(`realtime:${topic}`, 'phx_join', { config }, { ref: '1', join_ref: '1' }))).status, 'ok');
  raw.send(`realtime:${topic}`, 'access_token', { access_token: mint(user('ann', { extra: 1 })) }, { join_ref: '1' });
  await sleep(300);
  assert.ok(!raw.messages.some((one) => one.event === 'phx_error'), 'other claims, the same rights');
  raw.send(`realtime:${topic}`, 'access_token', { access_token: mint(user('eve')) }, { join_ref: '1' });
  const told = await raw.message((one) => one.event === 'system');
  assert.deepEqual(told.payload, { extension: 'system', status: 'error', message: `You no longer have permission to read from this Channel topic: ${topic}`, channel: topic });
  await raw.message((one) => one.event === 'phx_error');
});

test('Renewal_ToMoreRights_IsInForceAtOnce', async () => {
  const topic = await room({ ann: true, bob: false, listener: false });
  const listener = await watch(user('listener'), topic).joined();
  const raw = await world.raw(user('bob'));
  const config = { private: true, broadcast: { ack: true }, presence: {}, postgres_changes: [] };
  await raw.reply(raw.send(`realtime:${topic}`, 'phx_join', { config }, { ref: '1', join_ref: '1' }));
  raw.send(`realtime:${topic}`, 'access_token', { access_token: mint(user('ann')) }, { join_ref: '1' });
  await sleep(300);
  await raw.reply(raw.send(`realtime:${topic}`, 'broadcast', { type: 'broadcast', event: 'as ann', payload: {} }, { join_ref: '1' }));
  await heard(listener, 'as ann');
});

test('Http_Private_IsHeardOnlyFromWhoMayWrite', async () => {
  const topic = await room({ ann: true, bob: false });
  const bob = await watch(user('bob'), topic).joined();
  const outside = await watch({ role: 'anon' }, topic, {}).joined();
  for (const claims of [user('bob'), user('eve'), { role: 'anon' }]) {
    const answer = await http(claims, topic, 'unheard');
    assert.deepEqual(answer, { status: 202, text: '' }, 'not told');
  }
  const messages = [{ topic, event: 'unheard', payload: {}, private: true }, { topic, event: 'open', payload: {} }];
  assert.equal((await http(user('bob'), topic, '', { path: '', body: { messages } })).status, 202);
  await heard(outside, 'open');
  assert.equal((await http(user('ann'), topic, 'heard')).status, 202);
  await heard(bob, 'heard');
  assert.deepEqual([events(bob), events(outside)], [['heard'], ['open']]);
});

test('HttpSend_OfAPrivateChannelThatIsNotJoined_Arrives', async () => {
  const topic = await room({ ann: true, bob: false });
  const bob = await watch(user('bob'), topic).joined();
  const channel = world.client(user('ann')).supabase.channel(topic, { config: k_private });
  assert.deepEqual(await channel.httpSend('single', {}), { success: true });
  assert.equal(await channel.send({ type: 'broadcast', event: 'batch', payload: {} }), 'ok');
  await heard(bob, 'batch');
  assert.deepEqual(events(bob), ['single', 'batch']);
});

test('Changes_OnAPrivateChannel_NeedItsPermissionToo', async () => {
  const topic = await room({ ann: true });
  const make = (sub) => world.client(user(sub)).supabase.channel(topic, { config: k_private });
  const rows = [];
  const joined = await new Promise((done) => {
    make('ann').on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'session_info' }, ({ new: row }) => rows.push(row.session_id)).subscribe((status, failed) => done([status, failed]));
  });
  assert.equal(joined[0], 'SUBSCRIBED');
  const session = await add_session(world);
  await until(() => rows.includes(session), 'the row');
  const refused = await new Promise((done) => {
    make('eve').on('postgres_changes', { event: '*', schema: 'public', table: 'session_info' }, () => {}).subscribe((status, failed) => done([status, failed?.message]));
  });
  assert.equal(refused[0], 'CHANNEL_ERROR');
  assert.match(refused[1], /Unauthorized/);
});

test('DomainTopic_PrivateMakesNoDifference', async () => {
  const session = await add_session(world);
  const one = watch(user('ann'), `session:${session}`);
  await one.snapshot();
  const other = watch(user('eve'), `session:${session}`, {});
  await other.snapshot();
  await say(one, 'typing');
  await heard(other, 'typing');
});

test('DatabaseAway_JoinIsRefusedWithTheReasonAndJoinedOnesStay', { timeout: 60_000 }, async () => {
  const topic = await room({ ann: true, bob: true });
  const ann = await watch(user('ann'), topic).joined();
  const bob = await watch(user('bob'), topic).joined();
  await world.postgres.crash();
  const late = watch(user('cal', { quick: true }), topic);
  assert.match(await late.refused(20_000), /UnableToConnectToProject/);
  assert.equal((await http(user('cal'), topic, 'e')).status, 503);
  await say(ann, 'still here');
  await heard(bob, 'still here');
  await world.postgres.boot();
  await world.query('INSERT INTO members VALUES ($1, $2, true)', [topic, 'cal']);
  await late.joined(30_000);
});

test('NoTable_JoinIsRefusedNamingInstall', { timeout: 60_000 }, async () => {
  await world.query('ALTER TABLE realtime.messages RENAME TO moved');
  await sleep(1100);
  assert.match(await watch(user('ann'), 'room').refused(), /RealtimeDisabledForConfiguration: private channels need the table realtime.messages.* run pgcast install/);
  assert.equal((await http(user('ann'), 'room', 'e')).status, 503);
  await watch(user('ann'), 'room', {}).joined();
  await world.query('ALTER TABLE realtime.moved RENAME TO messages');
});
