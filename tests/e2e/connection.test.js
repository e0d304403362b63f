// The protocol at its edges: tokens, heartbeats, joins and leaves, client broadcasts.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_session, is, say } from './fixture/rows.js';
import { mint, sign } from './fixture/token.js';
import { refusal } from './fixture/raw.js';

const world = use_world();
const now = () => Math.floor(Date.now() / 1000);

describe('tokens', () => {
  const refused = async (apikey, headers) => {
    const { status, body } = await refusal(world.daemon.url, { apikey, vsn: '1.0.0' }, headers);
    assert.equal(status, 401, `${apikey}: ${body}`);
    assert.equal(typeof JSON.parse(body).error, 'string');
    assert.ok(!body.includes('eyJ'), 'no token in an answer');
  };
  const service = { role: 'service_role', exp: 0, iat: 0 };

  test('Token_Missing_Is401', () => refused(undefined));
  test('Token_Expired_Is401', () => refused(mint({ ttl: -60 })));
  test('Token_OfAnotherSecret_Is401', () => refused(mint({}, 'another secret, long enough to be one')));
  test('Token_WithoutExp_Is401', () => refused(sign({ role: 'service_role' })));
  test('Token_WithoutRole_Is401', () => refused(sign({ exp: now() + 60 })));
  test('Token_ExpIsText_Is401', () => refused(sign({ role: 'service_role', exp: `${now() + 60}` })));
  test('Token_NotYetValid_Is401', () => refused(sign({ role: 'service_role', exp: now() + 600, nbf: now() + 300 })));
  test('Token_RoleNotListed_Is401', () => refused(mint({ role: 'postgres' })));
  test('Token_AlgNone_Is401', async () => {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    for (const alg of ['none', 'None', 'NONE', '']) await refused(`${part({ alg })}.${part({ ...service, exp: now() + 60 })}.`);
  });
  test('Token_Garbage_Is401', async () => {
    for (const text of ['x', 'a.b.c', '..', `${mint()}.x`, mint().slice(0, -2), 'x'.repeat(3000)]) await refused(text);
  });
  test('Token_InAHeader_IsTaken', async () => {
    for (const headers of [{ apikey: mint() }, { 'x-api-key': mint() }, { authorization: `Bearer ${mint()}` }]) {
      assert.equal((await refusal(world.daemon.url, {}, headers)).status, 101);
    }
  });
  test('Origin_OfAnotherSite_IsRefused', async () => {
    for (const origin of ['https://evil.example', 'null']) {
      assert.equal((await refusal(world.daemon.url, { apikey: mint() }, { origin })).status, 403, origin);
    }
    assert.equal((await refusal(world.daemon.url, { apikey: mint() }, { origin: world.daemon.url })).status, 101);
  });
  test('Token_ExpiresWhileSubscribed_RowsStop', { timeout: 90_000 }, async () => {
    const session = await add_session(world);
    const raw = await world.raw({ token: mint({ ttl: 2 }) });
    await raw.join(`session:${session}`);
    await raw.message((one) => one.event === 'broadcast');
    await sleep(38_000);
    const heard = raw.messages.length;
    await say(world, session, 'too late');
    await sleep(1000);
    assert.ok(!raw.messages.slice(heard).some((one) => one.event === 'broadcast'), 'nothing after the token ended');
    assert.ok(raw.closed || raw.messages.some((one) => ['phx_error', 'phx_close'].includes(one.event)), 'and the client was told');
  });
});

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    test('Heartbeat_IsAnswered', async () => {
      const raw = await world.raw({ vsn });
      const reply = await raw.reply(raw.send('phoenix', 'heartbeat'));
      assert.deepEqual(reply, { status: 'ok', response: {} });
    });

    test('Join_Reply_HasTheShapeThatClientsNeed', async () => {
      const raw = await world.raw({ vsn });
      const { ref, reply } = await raw.join(`session:${await add_session(world)}`);
      assert.deepEqual(reply, { status: 'ok', response: { postgres_changes: [] } });
      const frame = raw.messages.find((one) => one.event === 'phx_reply' && one.ref === ref);
      assert.equal(frame.join_ref, vsn === '2.0.0' ? ref : undefined);
    });

    test('Join_SnapshotComesAfterTheReply', async () => {
      const watch = world.client({ vsn }).watch(`session:${await add_session(world)}`);
      await watch.snapshot();
      assert.deepEqual(watch.order.slice(0, 2), ['SUBSCRIBED', 'snapshot']);
    });

    test('Join_Duplicate_ReplacesTheFirst', async () => {
      const session = await add_session(world);
      const raw = await world.raw({ vsn });
      const first = await raw.join(`session:${session}`);
      const second = await raw.join(`session:${session}`);
      assert.equal(second.reply.status, 'ok');
      await raw.message((one) => one.event === 'phx_close' && (one.join_ref ?? one.ref) === first.ref);
      const is_snapshot = (one) => one.binary ? one.binary.includes('snapshot') : one.payload.event === 'snapshot';
      await until(() => raw.messages.filter((one) => is_snapshot(one)).length >= 1, 'a snapshot');
      raw.messages.length = 0;
      await say(world, session, 'once');
      await sleep(500);
      assert.equal(raw.messages.length, 1, 'an event comes once');
    });

    test('Leave_NothingComesAfterIt', async () => {
      const session = await add_session(world);
      const raw = await world.raw({ vsn });
      const { ref } = await raw.join(`session:${session}`);
      const reply = await raw.reply(raw.send(`realtime:session:${session}`, 'phx_leave', {}, { join_ref: ref }));
      assert.equal(reply.status, 'ok');
      await raw.message((one) => one.event === 'phx_close');
      const heard = raw.messages.length;
      await say(world, session, 'nobody is here');
      await sleep(300);
      assert.equal(raw.messages.length, heard);
    });

    test('Leave_AndJoinAgain_Works', async () => {
      const session = await add_session(world);
      const client = world.client({ vsn });
      const first = client.watch(`session:${session}`);
      await first.snapshot();
      await client.supabase.removeChannel(first.channel);
      const second = client.watch(`session:${session}`);
      await second.snapshot();
      await say(world, session, 'again');
      await second.event();
      assert.equal(first.events.length, 0);
    });

    test('Message_Malformed_HarmsNobody', async () => {
      const session = await add_session(world);
      const watch = world.client({ vsn }).watch(`session:${session}`);
      await watch.snapshot();
      const bad = ['', '{', '[]', 'null', '[1,2,3]', '{"topic":1}', '["1","1","realtime:session:x","phx_join",null]', '{"topic":"realtime:","event":"phx_join","payload":{},"ref":"1"}',
        `{"topic":"realtime:session:${session}","event":"phx_join","payload":"text","ref":"2"}`, '[null,"3","realtime:session:x","nonsense",{}]', '{"topic":"realtime:session:\\ud800","event":"phx_join","payload":{},"ref":"4"}'];
      for (const text of bad) {
        const raw = await world.raw({ vsn });
        raw.socket.send(text);
        raw.socket.send(Buffer.from([3, 255, 255, 255, 255, 255, 1, 0]));
        await sleep(20);
      }
      await say(world, session, 'fine');
      await watch.event();
      assert.equal(watch.statuses.length, 1);
    });

    test('Topic_Unjoined_IsAnsweredWithAnError', async () => {
      const raw = await world.raw({ vsn });
      const reply = await raw.reply(raw.send('realtime:session:none', 'whatever'));
      assert.equal(reply.status, 'error');
      assert.equal(reply.response.reason, 'unmatched topic');
    });

    test('Broadcast_FromAClient_ReachesTheOther', async () => {
      const topic = `session:${await add_session(world)}`;
      const [one, two] = [await world.client({ vsn }).watch(topic).joined(), await world.client({ vsn }).watch(topic).joined()];
      assert.equal(await one.channel.send({ type: 'broadcast', event: 'typing', payload: { by: 'ønë', n: 1 } }), 'ok');
      await until(() => two.others.length === 1, 'it arrives');
      assert.deepEqual(two.others[0], { event: 'typing', payload: { by: 'ønë', n: 1 } });
      assert.equal(one.others.length, 0, 'not back to its sender');
    });

    test('Broadcast_SelfAndAck_AreKept', async () => {
      const topic = `session:${await add_session(world)}`;
      const watch = await world.client({ vsn }).watch(topic, { broadcast: { self: true, ack: true } }).joined();
      assert.equal(await watch.channel.send({ type: 'broadcast', event: 'read', payload: { upto: 7 } }), 'ok');
      await until(() => watch.others.length === 1, 'it comes back');
      assert.deepEqual(watch.others[0].payload, { upto: 7 });
    });

    test('Broadcast_UnderAReservedName_IsRefused', async () => {
      const topic = `session:${await add_session(world)}`;
      const other = await world.client({ vsn }).watch(topic).joined();
      await other.snapshot();
      const forger = await world.client({ vsn }).watch(topic, { broadcast: { ack: true } }).joined();
      for (const event of ['snapshot', 'chat_history', 'session_info', 'call_info', 'session_objective_events', 'numbers', 'campaigns']) {
        assert.equal(await forger.channel.send({ type: 'broadcast', event, payload: { operation: 'INSERT', forged: true } }), 'error', event);
      }
      assert.equal(await forger.channel.send({ type: 'broadcast', event: 'typing', payload: {} }), 'ok');
      await until(() => other.others.length === 1, 'the honest one arrives');
      assert.equal(other.events.length, 0);
      assert.equal(other.snapshots.length, 1);
    });

    test('Broadcast_ReservedRefusal_NamesItsCode', async () => {
      const topic = `session:${await add_session(world)}`;
      const raw = await world.raw({ vsn });
      const { ref } = await raw.join(topic, { ack: true });
      const reply = await raw.reply(raw.send(`realtime:${topic}`, 'broadcast', { type: 'broadcast', event: 'snapshot', payload: {} }, { join_ref: ref }));
      assert.equal(reply.status, 'error');
      assert.match(JSON.stringify(reply.response), /reserved_event/);
    });

    test('Channel_OfAnyOtherName_RelaysBroadcasts', async () => {
      const topic = fresh('room');
      const [one, two] = [await world.client({ vsn }).watch(topic).joined(), await world.client({ vsn }).watch(topic).joined()];
      await one.channel.send({ type: 'broadcast', event: 'chat_history', payload: { free: true } });
      await until(() => two.others.length === 1, 'it arrives');
    });

    test('Access_TokenOfTheJoin_WinsOverTheConnections', async () => {
      const session = await add_session(world);
      await say(world, session, 'one');
      const raw = await world.raw({ vsn });
      const ref = String((raw.ref += 1));
      const config = { broadcast: {}, presence: {}, postgres_changes: [] };
      raw.send(`realtime:session:${session}`, 'phx_join', { config, access_token: mint({ ttl: -60 }) }, { join_ref: ref, ref });
      const reply = await raw.reply(ref);
      assert.equal(reply.status, 'error');
      assert.match(reply.response.reason, /expired/i);
    });

    test('TwoTopicsOnOneSocket_EachGetsItsOwn', async () => {
      const client = world.client({ vsn });
      const sessions = [await add_session(world), await add_session(world)];
      const watches = sessions.map((session) => client.watch(`session:${session}`));
      for (const watch of watches) await watch.snapshot();
      for (const session of sessions) await say(world, session, session);
      for (const [at, watch] of watches.entries()) {
        assert.equal((await watch.event(is('chat_history', 'INSERT'))).record.message.text, sessions[at]);
        assert.equal(watch.events.length, 1);
      }
    });
  });
}
