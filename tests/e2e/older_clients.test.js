// Clients of other ages: the first realtime API, and frames that today's supabase-js does not send.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRequire } from 'node:module';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_session, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';

const { RealtimeClient } = createRequire(import.meta.url)('realtime-js-1');
const world = use_world({
  tables: ['public.deal'],
  sql: `CREATE TABLE deal (id bigint PRIMARY KEY, stage text, price numeric);
    ALTER TABLE deal OWNER TO owner;
    GRANT ALL ON deal TO service_role`,
});
let next = 0;
const add_deal = async (stage, id = ++next) => {
  await world.query('INSERT INTO deal VALUES ($1, $2, 1.5)', [id, stage]);
  return id;
};

describe('the first API, spoken by realtime-js 1', () => {
  const clients = [];
  const client_of = (token) => {
    const client = new RealtimeClient(`${world.daemon.url.replace('http', 'ws')}/realtime/v1`, { params: { apikey: token } });
    clients.push(client);
    client.connect();
    return client;
  };
  const join = async (client, topic, params) => {
    const heard = [];
    const channel = client.channel(topic, params);
    channel.on('*', (payload) => heard.push(payload));
    await new Promise((done, fail) => channel.subscribe().receive('ok', done).receive('error', (why) => fail(new Error(JSON.stringify(why)))));
    return { channel, heard };
  };
  test.after(async () => {
    for (const client of clients) await client.disconnect();
  });

  test('Topic_OfATable_CarriesItsChanges', async () => {
    const token = mint({ role: 'service_role' });
    const { heard } = await join(client_of(token), 'realtime:public:deal', { user_token: token });
    const stage = fresh('first');
    const id = await add_deal(stage);
    await world.query('UPDATE deal SET price = 9 WHERE id = $1', [id]);
    await world.query('DELETE FROM deal WHERE id = $1', [id]);
    await until(() => heard.filter((one) => (one.record ?? one.old_record).id === id).length === 3, () => JSON.stringify(heard));
    const own = heard.filter((one) => (one.record ?? one.old_record).id === id);
    assert.deepEqual(own.map((one) => one.type), ['INSERT', 'UPDATE', 'DELETE']);
    assert.deepEqual(own[0].record, { id, stage, price: 1.5 });
    assert.equal(own[0].table, 'deal');
    assert.deepEqual(own[2].old_record, { id, stage, price: 9 });
  });

  test('Topic_WithAFilter_CarriesThoseRowsOnly', async () => {
    const stage = fresh('filtered');
    const { heard } = await join(client_of(mint({ role: 'service_role' })), `realtime:public:deal:stage=eq.${stage}`);
    await add_deal(fresh('other'));
    const id = await add_deal(stage);
    await until(() => heard.length > 0, () => 'a change');
    assert.deepEqual(heard.map((one) => one.record.id), [id]);
  });

  test('Topic_OfASchemaOrAll_CarriesEveryTable', async () => {
    for (const topic of ['realtime:public', 'realtime:*']) {
      const { heard } = await join(client_of(mint({ role: 'service_role' })), topic);
      const id = await add_deal(fresh('all'));
      const session = await add_session(world);
      await until(() => heard.some((one) => one.table === 'deal' && one.record.id === id)
        && heard.some((one) => one.table === 'session_info' && one.record.session_id === session), () => JSON.stringify(heard));
    }
  });

  test('Topic_OfAnUnknownTable_IsRefused', async () => {
    await assert.rejects(join(client_of(mint({ role: 'service_role' })), 'realtime:public:nowhere'), /not relayed/);
  });

  test('Topic_ThatNamesNoTable_StaysARoomForBroadcasts', async () => {
    const raw = await world.raw({ vsn: undefined });
    raw.send('realtime:room:1', 'phx_join', {}, { join_ref: '1', ref: '1' });
    assert.equal((await raw.reply('1')).status, 'ok');
    await sleep(50);
    assert.ok(!raw.messages.some((one) => one.event === 'phx_error'));
  });
});

/** A push of vsn 2.0.0 in its binary form; `count` is how the client measures its strings. */
function push(join_ref, topic, event, payload, count = (text) => Buffer.byteLength(text)) {
  const parts = [join_ref, '77', topic, event, ''];
  return Buffer.concat([Buffer.from([3, ...parts.map(count), 1]), Buffer.from(parts.join('') + payload)]);
}

describe('frames of other clients', () => {
  const answered = async (raw) => assert.equal((await raw.reply(raw.send('phoenix', 'heartbeat'))).status, 'ok');

  test('NoVsn_IsTheFirstSerializer', async () => {
    const raw = await world.raw({ vsn: undefined });
    raw.socket.send(JSON.stringify({ topic: 'realtime:room', event: 'phx_join', payload: { config: {} }, ref: '1' }));
    const frame = await raw.message((one) => one.event === 'phx_reply');
    assert.deepEqual(frame, { ref: '1', topic: 'realtime:room', event: 'phx_reply', payload: { status: 'ok', response: { postgres_changes: [] } } });
  });

  for (const vsn of ['1.0.0', '2.0.0']) {
    const join = async (raw, topic, payload, ref = '1') => {
      raw.send(`realtime:${topic}`, 'phx_join', payload, { join_ref: ref, ref });
      return raw.reply(ref);
    };

    test(`Join_OddlyTyped_IsReadAsSupabaseDoes vsn ${vsn}`, async () => {
      const raw = await world.raw({ vsn });
      const room = fresh('room');
      const config = {
        broadcast: { self: 'TRUE', ack: 'true' }, presence: null, private: 'False',
        postgres_changes: [null, { event: 'insert', table: 'deal' }], unheard_of: [1],
      };
      const reply = await join(raw, room, { config });
      assert.equal(reply.status, 'ok');
      assert.equal(reply.response.postgres_changes.length, 1);
      const ref = raw.send(`realtime:${room}`, 'broadcast', { type: 'broadcast', event: 'e', payload: { a: 1 } }, { join_ref: '1' });
      assert.equal((await raw.reply(ref)).status, 'ok', 'ack');
      await raw.message((one) => one.binary?.includes('{"a":1}') || one.event === 'broadcast');
    });

    test(`Join_WithoutASensiblePayload_JoinsWithDefaults vsn ${vsn}`, async () => {
      const raw = await world.raw({ vsn });
      for (const [at, payload] of [{}, { config: null }, { config: [] }, { config: 'x' }, [], 'text'].entries()) {
        const reply = await join(raw, fresh('room'), payload, String(at + 1));
        assert.deepEqual(reply, { status: 'ok', response: { postgres_changes: [] } }, JSON.stringify(payload));
      }
    });

    test(`Message_WithoutAJoinRef_IsTaken_WithAStaleOneIgnored vsn ${vsn}`, async () => {
      const room = fresh('room');
      const heard = await world.client({ vsn }).watch(room).joined();
      const raw = await world.raw({ vsn });
      await join(raw, room, { config: {} }, '1');
      await join(raw, room, { config: {} }, '5');
      const say_as = (join_ref, n) => raw.send(`realtime:${room}`, 'broadcast', { type: 'broadcast', event: 'e', payload: { n } }, { join_ref });
      say_as('1', 'stale');
      say_as(null, 'none');
      say_as('5', 'right');
      await until(() => heard.others.length === 2, () => JSON.stringify(heard.others));
      assert.deepEqual(heard.others.map((one) => one.payload.n), ['none', 'right']);
      raw.send(`realtime:${room}`, 'phx_leave', {}, { join_ref: '1' });
      say_as('5', 'still here');
      await until(() => heard.others.length === 3, 'a stale leave does nothing');
    });

    test(`Leave_OfWhatIsNotJoined_IsAnsweredOk vsn ${vsn}`, async () => {
      const raw = await world.raw({ vsn });
      assert.deepEqual(await raw.reply(raw.send('realtime:nowhere', 'phx_leave')), { status: 'ok', response: {} });
    });

    test(`Topic_WithoutAName_IsRefusedAsThere vsn ${vsn}`, async () => {
      const raw = await world.raw({ vsn });
      const reply = await join(raw, '', { config: {} });
      assert.equal(reply.status, 'error');
      assert.equal(reply.response.reason, 'TopicNameRequired: You must provide a topic name');
    });

    test(`UserToken_IsTheAccessTokenOfOldClients vsn ${vsn}`, async () => {
      const raw = await world.raw({ vsn });
      const reply = await join(raw, `session:${await add_session(world)}`, { config: {}, user_token: mint({ ttl: -60 }) });
      assert.match(reply.response.reason, /^InvalidJWTToken: Token has expired/);
    });
  }

  test('BinaryPush_LengthsInUtf16_HarmsNobody', async () => {
    const room = fresh('zimmer-ü');
    const heard = await world.client({ vsn: '2.0.0' }).watch(room).joined();
    const raw = await world.raw({ vsn: '2.0.0' });
    await raw.join(room);
    const topic = `realtime:${room}`;
    raw.socket.send(push('1', topic, 'grüße', '{"n":"in UTF-16"}', (text) => text.length));
    await answered(raw);
    raw.socket.send(push('1', topic, 'grüße', '{"n":"in bytes"}'));
    await until(() => heard.others.some((one) => one.event === 'grüße'), () => JSON.stringify(heard.others));
    assert.deepEqual(heard.others.filter((one) => one.event === 'grüße').map((one) => one.payload), [{ n: 'in bytes' }]);
  });

  test('BinaryPush_CutAnywhere_HarmsNobody', async () => {
    const room = fresh('room');
    const heard = await world.client({ vsn: '2.0.0' }).watch(room).joined();
    const raw = await world.raw({ vsn: '2.0.0' });
    await raw.join(room);
    const whole = push('1', `realtime:${room}`, 'e', '{"n":1}');
    for (let bytes = 0; bytes < whole.length; bytes += 1) raw.socket.send(whole.subarray(0, bytes));
    await answered(raw);
    raw.socket.send(whole);
    await until(() => heard.others.some((one) => one.payload?.n === 1), () => JSON.stringify(heard.others));
  });
});
