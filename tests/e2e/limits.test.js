// What one client, one address and one user may do: who goes too far waits or is refused, and nobody else feels it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { until } from './fixture/process.js';
import { Stream, on } from './fixture/event_stream.js';
import { mint } from './fixture/token.js';

const k_rate = 40;
const world = use_world({
  env: {
    PGCAST_THREADS: '2', PGCAST_LIMITS_MESSAGE_RATE: String(k_rate), PGCAST_LIMITS_JOIN_RATE: '5',
    PGCAST_LIMITS_USER_CONNECTIONS: '2', PGCAST_LIMITS_ADDRESS_CONNECTIONS: '2', PGCAST_TRUSTED_PROXIES: '127.0.0.1',
  },
});
const as = (sub, headers) => world.raw({ role: 'authenticated', sub, headers });
const metric = (name) => world.daemon.metric(name);

/** Why a socket is not opened. */
const refusal_of = async (opening) => {
  await assert.rejects(opening, (error) => {
    opening.reason = error.message;
    return true;
  });
  return opening.reason;
};

describe('rates', () => {
  test('MessagesOverTheRate_AreReadLater_NoneIsLost', async () => {
    const [busy, other] = [await as(fresh('user')), await as(fresh('user'))];
    const pauses = await metric('pgcast_input_pauses_total');
    const count = 4 * k_rate;
    const started = Date.now();
    for (let n = 0; n < count; n += 1) busy.send('phoenix', 'heartbeat');
    await other.reply(other.send('phoenix', 'heartbeat'));
    assert.ok(busy.messages.length < count, 'the other one need not wait for it');
    await until(() => busy.messages.length === count, () => `all are answered, now ${busy.messages.length}`, 30_000);
    assert.deepEqual(busy.messages.map(({ ref }) => Number(ref)), Array.from({ length: count }, (_, n) => n + 1), 'in order');
    assert.ok(Date.now() - started >= 2_500, 'the first second has its rate at once, three more are waited for');
    assert.ok((await metric('pgcast_input_pauses_total')) > pauses);
  });

  test('JoinsOverTheRate_AreAnsweredLater', async () => {
    const busy = await as(fresh('user'));
    const answers = await Promise.all(Array.from({ length: 15 }, (_, n) => busy.join(n % 2 ? `session:${fresh('s')}` : fresh('room'))));
    assert.ok(answers.every(({ reply }) => reply.status === 'ok'), JSON.stringify(answers));
  });

  test('ServiceRole_HasNone', async () => {
    const service = await world.raw();
    const pauses = await metric('pgcast_input_pauses_total');
    const refs = Array.from({ length: 10 * k_rate }, () => service.send('phoenix', 'heartbeat'));
    await service.reply(refs.at(-1));
    assert.equal(await metric('pgcast_input_pauses_total'), pauses);
  });
});

describe('connections of a user', () => {
  test('OneTooMany_IsRefusedBeforeTheUpgrade_UntilAnotherOneCloses', async () => {
    const sub = fresh('user');
    const refused = 'pgcast_handshakes_refused_total{reason="user"}';
    const before = await metric(refused);
    const [first] = [await as(sub), await as(sub)];
    assert.match(await refusal_of(as(sub)), /429/);
    assert.equal(await metric(refused), before + 1);
    await as(fresh('user'));
    first.close();
    await until(() => as(sub).catch(() => null), 'there is room again');
  });

  test('EventStreams_CountAsWell', async () => {
    const sub = fresh('user');
    const token = mint({ role: 'authenticated', sub });
    const streams = [1, 2].map(() => new Stream(on('room'), { daemon: world.daemon, token }));
    await until(() => streams.every((one) => one.status === 200), 'two are open');
    const refused = await new Stream(on('room'), { daemon: world.daemon, token }).problem();
    assert.deepEqual([refused.status, refused.code], [429, 'too_many_connections']);
    assert.match(refused.hint, /limits.user_connections/);
    for (const one of streams) one.close();
  });

  test('ServiceRole_AndTokensWithoutASub_AreNotCounted', async () => {
    for (let n = 0; n < 4; n += 1) await world.raw({ sub: 'one' });
    for (let n = 0; n < 4; n += 1) await world.raw({ role: 'anon' });
  });
});

describe('connections of an address', () => {
  const from = (address) => as(fresh('user'), { 'x-forwarded-for': address });

  test('OneTooMany_IsRefused_OthersAreNot', async () => {
    const [first] = [await from('198.51.100.1'), await from('203.0.113.5, 198.51.100.1')];
    assert.match(await refusal_of(from('198.51.100.1')), /429/);
    assert.ok((await metric('pgcast_handshakes_refused_total{reason="address"}')) > 0);
    await from('198.51.100.2');
    first.close();
    await until(() => from('198.51.100.1').catch(() => null), 'there is room again');
  });

  test('OfV6_TheNetworkOfACustomerCounts', async () => {
    await from('2001:db8::1');
    await from('2001:db8::2');
    assert.match(await refusal_of(from('2001:db8::3')), /429/);
    await from('2001:db8:0:1::1');
  });

  test('Loopback_IsNotCounted_NorWhatAStrangerSays', async () => {
    for (let n = 0; n < 4; n += 1) await as(fresh('user'));
    const strict = await world.serve('postgres', { PGCAST_LIMITS_ADDRESS_CONNECTIONS: '1' });
    for (let n = 0; n < 3; n += 1) await world.raw({ daemon: strict, headers: { 'x-forwarded-for': '198.51.100.9' } });
  });
});
