// Broadcast over HTTP: what supabase-js sends, and what it would not.
import assert from 'node:assert/strict';
import http from 'node:http';
import { afterEach, describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session } from './fixture/rows.js';
import { mint } from './fixture/token.js';

// Sessions are seen by the user whom their campaign names.
const world = use_world({
  env: { PGCAST_THREADS: '2', PGCAST_LIMITS_PAYLOAD_BYTES: '100000', PGCAST_LIMITS_MESSAGE_BYTES: '300000', PGCAST_LIMITS_BODIES_BYTES: '1MiB', PGCAST_LIMITS_BATCH_MESSAGES: '1000', PGCAST_AUTH_API_KEYS: 'sb_secret_e2e=service_role' },
  sql: `ALTER TABLE session_info ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON session_info FOR SELECT TO authenticated USING (campaign = auth.jwt() ->> 'sub');`,
});
afterEach(() => world.close_clients());

const k_prefixes = ['/realtime/v1/api/broadcast', '/api/broadcast'];

/** POSTs a body as it is, or a value as JSON; {status, headers, body}. */
async function post(path, body, { token = mint(), headers, query = '', method = 'POST' } = {}) {
  const answer = await fetch(`${world.daemon.url}${path}${query}`, {
    method,
    body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
    headers: { ...(token && { authorization: `Bearer ${token}` }), 'content-type': 'application/json', ...headers },
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, body: text && JSON.parse(text) };
}

const batch = (messages, more) => post(k_prefixes[0], { messages }, more);
const single = (topic, event, body, more) => post(`${k_prefixes[0]}/${encodeURIComponent(topic)}/events/${encodeURIComponent(event)}`, body, more);

const heard = (watch, event) => until(() => watch.others.find((one) => one.event === event), () => `${event}: ${watch.say()}`);

/** A listener of each version. */
async function listeners(topic) {
  const both = ['1.0.0', '2.0.0'].map((vsn) => world.client({ vsn }).watch(topic));
  for (const one of both) await one.joined();
  return both;
}

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    test('Send_BeforeSubscribe_FallsBackToHttpAndArrives', async () => {
      const topic = fresh('room');
      const both = await listeners(topic);
      const channel = world.client({ vsn, role: 'authenticated', sub: 'me' }).supabase.channel(topic);
      assert.equal(await channel.send({ type: 'broadcast', event: 'e1', payload: { n: 1, text: 'ünï' } }), 'ok');
      for (const one of both) assert.deepEqual((await heard(one, 'e1')).payload, { n: 1, text: 'ünï' });
    });

    test('HttpSend_AnyTopicAndEvent_Arrives', async () => {
      for (const name of ['room', 'a:b:c', 'with space', 'a/b', 'ünï✓', 'q?x=1&y#z', '100%', '+', '"\\']) {
        const topic = `${fresh('room')} ${name}`;
        const both = await listeners(topic);
        const channel = world.client({ vsn, role: 'anon' }).supabase.channel(topic);
        assert.deepEqual(await channel.httpSend(`e ${name}`, { name }), { success: true });
        for (const one of both) assert.deepEqual((await heard(one, `e ${name}`)).payload, { name });
      }
    });

    test('HttpSend_Bytes_ReachVersion2AndAreSkippedForVersion1', async () => {
      const topic = fresh('room');
      const [old, young] = await listeners(topic);
      const channel = world.client({ vsn }).supabase.channel(topic);
      const bytes = Uint8Array.from([0, 1, 254, 255, 10]);
      assert.deepEqual(await channel.httpSend('bytes', bytes), { success: true });
      await channel.httpSend('after', {});
      assert.deepEqual(new Uint8Array((await heard(young, 'bytes')).payload), bytes);
      await heard(old, 'after');
      assert.deepEqual(old.others.map((one) => one.event), ['after']);
    });

    test('HttpSend_WhatIsNoObject_Arrives', async () => {
      const topic = fresh('room');
      const both = await listeners(topic);
      const channel = world.client({ vsn }).supabase.channel(topic);
      for (const payload of [[1, { a: null }], 'text', 7, false]) {
        const event = fresh('e');
        assert.deepEqual(await channel.httpSend(event, payload), { success: true });
        for (const one of both) assert.deepEqual((await heard(one, event)).payload, payload);
      }
    });

    test('HttpSend_Refused_RejectsWithTheSentence', async () => {
      const channel = world.client({ vsn, ttl: 3600 }).supabase.channel('session:x');
      await assert.rejects(channel.httpSend('snapshot', { forged: true }), /event is reserved/);
      const stranger = world.client({ vsn, token: 'not.a.token' }).supabase.channel('room');
      await assert.rejects(stranger.httpSend('e', {}), /Unauthorized/);
    });
  });
}

test('Batch_OfSeveralTopics_ArrivesInOrderAtEach', async () => {
  const [first, second] = [fresh('one'), fresh('two')];
  const watches = [...await listeners(first), ...await listeners(second)];
  const messages = [];
  for (let n = 0; n < 200; n += 1) messages.push({ topic: n % 2 ? second : first, event: 'n', payload: { n } });
  const answer = await batch(messages, { query: '?apikey=x&vsn=2.0.0&log_level=info' });
  assert.deepEqual([answer.status, answer.text], [202, '']);
  for (const [nth, watch] of watches.entries()) {
    await until(() => watch.others.length === 100, () => watch.say());
    assert.deepEqual(watch.others.map((one) => one.payload.n), Array.from({ length: 100 }, (_, n) => 2 * n + (nth < 2 ? 0 : 1)));
  }
});

test('Broadcast_AtBothPrefixes_Is202WithoutABody', async () => {
  for (const prefix of k_prefixes) {
    const message = await post(prefix, { messages: [{ topic: 'r', event: 'e', payload: {} }] });
    const one = await post(`${prefix}/r/events/e`, {});
    for (const answer of [message, one]) {
      assert.deepEqual([answer.status, answer.text], [202, '']);
      assert.equal(answer.headers.get('access-control-allow-origin'), '*');
    }
  }
});

test('Broadcast_DoesNotComeFromAnybody_SoTheSenderHearsItToo', async () => {
  const topic = fresh('room');
  const watch = await world.client().watch(topic, { broadcast: { self: false } }).joined();
  await watch.channel.httpSend('mine', { n: 1 });
  assert.deepEqual((await heard(watch, 'mine')).payload, { n: 1 });
});

test('Token_InEveryPlaceWhereItMayStand_IsTaken', async () => {
  const message = { messages: [{ topic: 'r', event: 'e', payload: {} }] };
  const places = [
    { headers: { apikey: mint() } }, { headers: { 'x-api-key': mint() } }, { query: `?apikey=${mint()}` }, { headers: { authorization: `bearer ${mint()}` } },
    { headers: { apikey: 'sb_secret_e2e', authorization: 'Bearer sb_secret_e2e' } }, { headers: { apikey: 'whatever', authorization: `Bearer ${mint({ role: 'anon' })}` } },
  ];
  for (const place of places) assert.equal((await post(k_prefixes[0], message, { token: null, ...place })).status, 202, JSON.stringify(place));
});

test('Token_MissingExpiredOrForged_Is401AndNothingIsSent', async () => {
  const topic = fresh('room');
  const [watch] = await listeners(topic);
  const tokens = [null, mint({ ttl: -3600 }), mint({}, 'another secret of at least thirty-two bytes'), mint({ role: 'postgres' }), 'x'];
  for (const token of tokens) {
    const answer = await single(topic, 'forged', {}, { token });
    assert.equal(answer.status, 401);
    assert.deepEqual(answer.body, { message: 'Unauthorized' });
    assert.equal(answer.headers.get('access-control-allow-origin'), '*');
    assert.match(answer.headers.get('www-authenticate'), /^Bearer /);
  }
  await single(topic, 'end', {});
  await heard(watch, 'end');
  assert.deepEqual(watch.others.map((one) => one.event), ['end']);
});

test('Token_Refused_TheBodyIsNotWaitedFor', async () => {
  const request = http.request(`${world.daemon.url}${k_prefixes[0]}`, { method: 'POST', headers: { 'content-type': 'application/json', 'content-length': 250_000 } });
  request.on('error', () => {});
  const answered = new Promise((done) => request.once('response', done));
  request.write('{');
  const answer = await answered;
  assert.equal(answer.statusCode, 401);
  assert.equal(answer.headers.connection, 'close');
  answer.resume();
  request.destroy();
});

test('ContentType_ThatIsNotUnderstood_Is415', async () => {
  const cases = [['text/plain', 'single'], ['application/x-www-form-urlencoded', 'batch'], ['application/octet-stream', 'batch'], ['', 'single'], ['application/jsonx', 'single']];
  for (const [type, kind] of cases) {
    const answer = await (kind === 'batch' ? batch([], { headers: { 'content-type': type } }) : single('r', 'e', new Uint8Array([1]), { headers: { 'content-type': type } }));
    assert.equal(answer.status, 415, type);
    assert.equal(answer.headers.get('access-control-allow-origin'), '*');
    assert.ok(answer.body.message);
  }
  assert.equal((await single('r', 'e', {}, { headers: { 'content-encoding': 'gzip' } })).status, 415);
  assert.equal((await single('r', 'e', {}, { headers: { 'content-type': 'Application/JSON; charset=UTF-8' } })).status, 202);
});

test('Batch_WithAFaultyMessage_NamesItsFieldAndSendsNothing', async () => {
  const topic = fresh('room');
  const [watch] = await listeners(topic);
  const good = { topic, event: 'good', payload: {} };
  const answer = await batch([good, { topic, payload: {} }, good]);
  assert.equal(answer.status, 422);
  assert.deepEqual(answer.body, { message: "messages[1].event can't be blank", code: 'payload_malformed', hint: 'mend the field that the sentence names', errors: { messages: [{}, { event: ["can't be blank"] }, {}] } });
  await batch([{ topic, event: 'end', payload: {} }]);
  await heard(watch, 'end');
  assert.deepEqual(watch.others.map((one) => one.event), ['end']);
});

test('Body_ThatIsNoBatch_Is422', async () => {
  for (const body of ['', '{', '[]', '{"messages":1}', { messages: [] }, { messages: [7] }]) {
    const answer = await post(k_prefixes[0], body);
    assert.equal(answer.status, 422, JSON.stringify(body));
    assert.ok(answer.body.errors.messages, answer.text);
  }
  assert.deepEqual((await single('r', 'e', 'null')).body.errors, { payload: ["can't be blank"] });
  assert.deepEqual((await single('', 'e', {})).body.errors, { topic: ["can't be blank"] });
  assert.deepEqual((await post(`${k_prefixes[0]}/r%FF/events/e`, {})).body.errors, { topic: ['is invalid'] });
});

test('Payload_OverTheLimit_Is422AndTheRestIsNotSent', async () => {
  const topic = fresh('room');
  const [watch] = await listeners(topic);
  const text = 'x'.repeat(100_000);
  const large = await single(topic, 'e', { text });
  assert.equal(large.status, 422);
  assert.deepEqual(large.body.errors, { payload: ['Payload size exceeds tenant limit'] });
  assert.equal((await single(topic, 'e', new Uint8Array(100_001), { headers: { 'content-type': 'application/octet-stream' } })).status, 422);
  assert.equal((await batch([{ topic, event: 'e', payload: {} }, { topic, event: 'e', payload: { text } }])).body.errors.messages.length, 2);
  assert.equal((await single(topic, 'end', { text: text.slice(20) })).status, 202);
  assert.equal((await heard(watch, 'end')).payload.text.length, 99_980);
  assert.equal(watch.others.length, 1);
});

test('Body_OverTheLimit_Is413AlsoInChunks', async () => {
  const answer = await post(k_prefixes[0], 'x'.repeat(300_001));
  assert.equal(answer.status, 413);
  assert.equal(answer.body.code, 'payload_too_large');
  assert.equal(answer.headers.get('access-control-allow-origin'), '*');
  const chunked = await fetch(`${world.daemon.url}${k_prefixes[0]}`, {
    method: 'POST', duplex: 'half', headers: { authorization: `Bearer ${mint()}`, 'content-type': 'application/json' },
    body: new ReadableStream({ start(to) {
      for (let n = 0; n < 5; n += 1) to.enqueue(new Uint8Array(100_000).fill(0x20));
      to.close();
    } }),
  });
  assert.equal(chunked.status, 413);
});

test('Body_InChunks_IsTaken', async () => {
  const topic = fresh('room');
  const [watch] = await listeners(topic);
  const answer = await fetch(`${world.daemon.url}${k_prefixes[0]}/${topic}/events/e`, {
    method: 'POST', duplex: 'half', headers: { authorization: `Bearer ${mint()}`, 'content-type': 'application/json' },
    body: new ReadableStream({ start(to) {
      for (const piece of ['{"a"', ':', '1}']) to.enqueue(new TextEncoder().encode(piece));
      to.close();
    } }),
  });
  assert.equal(answer.status, 202);
  assert.deepEqual((await heard(watch, 'e')).payload, { a: 1 });
});

test('Body_AnnouncedWithExpect_IsAskedForOnlyWithAGoodToken', async () => {
  const ask = (token) => new Promise((done, fail) => {
    let was_asked = false;
    const body = '{"messages":[{"topic":"r","event":"e","payload":{}}]}';
    const request = http.request(`${world.daemon.url}${k_prefixes[0]}`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', expect: '100-continue', 'content-length': body.length } });
    request.on('continue', () => {
      was_asked = true;
      request.end(body);
    });
    request.on('response', (answer) => {
      answer.resume();
      request.destroy();
      done([was_asked, answer.statusCode]);
    });
    request.on('error', fail);
    request.flushHeaders();
  });
  assert.deepEqual(await ask(mint()), [true, 202]);
  assert.deepEqual(await ask('bad'), [false, 401]);
});

test('Bodies_MoreThanFitAtOnce_AreRefusedAndRoomIsGivenBack', async () => {
  const open = () => new Promise((done) => {
    const request = http.request(`${world.daemon.url}${k_prefixes[0]}`, { method: 'POST', agent: false, headers: { authorization: `Bearer ${mint()}`, 'content-type': 'application/json', 'content-length': 290_000 } });
    request.on('error', () => {});
    request.on('response', (answer) => {
      answer.resume();
      request.status = answer.statusCode;
    });
    request.write('{');
    request.once('socket', (socket) => socket.once('connect', () => done(request)));
  });
  const requests = [];
  for (let n = 0; n < 6; n += 1) requests.push(await open()); // one fits into a half of 1 MiB
  await until(() => requests.some((one) => one.status === 503), 'one is refused');
  assert.ok(requests.filter((one) => one.status === undefined).length >= 2, 'one a thread at least is read');
  for (const one of requests) one.destroy();
  await until(async () => (await Promise.all([1, 2, 3, 4].map(() => post(k_prefixes[0], 'x'.repeat(250_000))))).every((one) => one.status === 422), 'there is room again');
});

test('Preflight_OfABrowser_AllowsWhatSupabaseJsSends', async () => {
  for (const path of [k_prefixes[0], `${k_prefixes[0]}/room%3A1/events/e`]) {
    const answer = await post(path, undefined, { method: 'OPTIONS', token: null, headers: { origin: 'https://app.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'apikey,authorization,content-type,x-mine' } });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers.get('access-control-allow-origin'), '*');
    assert.match(answer.headers.get('access-control-allow-methods'), /POST/);
    for (const name of ['apikey', 'authorization', 'content-type', 'x-mine']) assert.ok(answer.headers.get('access-control-allow-headers').includes(name), name);
  }
  const plain = await post(k_prefixes[0], undefined, { method: 'OPTIONS', token: null, headers: { origin: 'https://app.example' } });
  for (const name of ['authorization', 'apikey', 'x-client-info', 'content-type']) assert.ok(plain.headers.get('access-control-allow-headers').includes(name), name);
});

test('OtherMethodsAndPaths_AreAnsweredSo', async () => {
  const get = await fetch(`${world.daemon.url}${k_prefixes[0]}`);
  assert.deepEqual([get.status, get.headers.get('allow'), get.headers.get('access-control-allow-origin')], [405, 'POST, OPTIONS', '*']);
  for (const path of ['/r', '/r/events', '/r/events/', '/r/others/e', '/r/events/e/f']) {
    assert.equal((await post(`${k_prefixes[0]}${path}`, {})).status, path === '/r/events/' ? 422 : 404, path);
  }
});

test('ReservedEvent_IsRefusedWithItsCodeAndCounted', async () => {
  const session = await add_session(world);
  const watch = world.client().watch(`session:${session}`);
  await watch.snapshot();
  const before = await world.daemon.metric('pgcast_reserved_events_refused_total');
  for (const event of ['snapshot', 'chat_history', 'campaign_info', 'stats']) {
    const answer = await single(`session:${session}`, event, { operation: 'INSERT' });
    assert.deepEqual([answer.status, answer.body.code], [422, 'reserved_event']);
    assert.match(answer.body.message, /event is reserved/);
  }
  assert.equal((await batch([{ topic: `session:${session}`, event: 'typing', payload: {} }, { topic: 'stats:me', event: 'stats', payload: {} }])).status, 422);
  assert.equal(await world.daemon.metric('pgcast_reserved_events_refused_total'), before + 5);
  await single(`session:${session}`, 'typing', { by: 'me' });
  assert.deepEqual((await heard(watch, 'typing')).payload, { by: 'me' });
  assert.equal(watch.others.length, 1);
});

test('DomainTopic_IsSpokenOnByThoseOnlyWhoMayJoinIt', async () => {
  const me = await add_campaign(world);
  const session = await add_session(world, { campaign: me });
  const topic = `session:${session}`;
  const watch = world.client({ role: 'authenticated', sub: me }).watch(topic);
  await watch.snapshot();
  const dropped = 'pgcast_broadcasts_dropped_total{reason="unauthorized"}';
  const before = await world.daemon.metric(dropped);
  const as = (sub) => ({ token: mint({ role: 'authenticated', sub }) });
  assert.equal((await single(topic, 'typing', { by: 'stranger' }, as('stranger'))).status, 202, 'not told');
  assert.equal((await batch([{ topic, event: 'typing', payload: { by: 'stranger' }, private: true }, { topic: 'open', event: 'e', payload: {} }], as('stranger'))).status, 202);
  assert.equal((await single(topic, 'typing', { by: 'me' }, as(me))).status, 202);
  assert.deepEqual((await heard(watch, 'typing')).payload, { by: 'me' });
  assert.equal(watch.others.length, 1);
  assert.equal(await world.daemon.metric(dropped), before + 2);
});

test('Broadcasts_AreCounted', async () => {
  const total = 'pgcast_broadcasts_total{source="http"}';
  const before = await world.daemon.metric(total);
  await batch([1, 2, 3].map((n) => ({ topic: 'r', event: 'e', payload: { n } })));
  assert.equal(await world.daemon.metric(total), before + 3);
});

test('AuthOff_OnlyPagesOfThisMachineMayBroadcast', async (t) => {
  const daemon = await world.serve('postgres', { PGCAST_AUTH_MODE: 'off', PGCAST_JWT_SECRET: '' });
  t.after(() => daemon.kill('SIGTERM'));
  const send = (origin) => fetch(`${daemon.url}${k_prefixes[0]}/r/events/e`, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json', ...(origin && { origin }) } });
  assert.equal((await send()).status, 202);
  assert.equal((await send('http://localhost:5173')).status, 202);
  assert.equal((await send('https://evil.example')).status, 403);
});

describe('over the socket', () => {
  test('Payload_OverTheLimit_IsAnsweredWithTheReason', async () => {
    const topic = fresh('room');
    const both = await listeners(topic);
    for (const vsn of ['1.0.0', '2.0.0']) {
      const watch = await world.client({ vsn }).watch(topic, { broadcast: { ack: true } }).joined();
      assert.equal(await watch.channel.send({ type: 'broadcast', event: 'large', payload: { text: 'x'.repeat(100_000) } }), 'error');
      assert.equal(await watch.channel.send({ type: 'broadcast', event: 'small', payload: {} }), 'ok');
    }
    for (const one of both) {
      await until(() => one.others.length >= 2, () => one.say());
      assert.deepEqual(one.others.map((other) => other.event), ['small', 'small']);
    }
    const raw = await world.raw({});
    const { ref } = await raw.join(topic);
    const answer = await raw.reply(raw.send(`realtime:${topic}`, 'broadcast', { type: 'broadcast', event: 'e', payload: { text: 'x'.repeat(100_000) } }, { join_ref: ref }));
    assert.deepEqual(answer, { status: 'error', response: { error: 'payload_size_exceeded' } });
  });

  test('Bytes_OfVersion2_ReachVersion2AndAreSkippedForVersion1', async () => {
    const topic = fresh('room');
    const [old, young] = await listeners(topic);
    const sender = await world.client({ vsn: '2.0.0' }).watch(topic, { broadcast: { ack: true, self: true } }).joined();
    assert.equal(await sender.channel.send({ type: 'broadcast', event: 'bytes', payload: Uint8Array.from([1, 0, 255]).buffer }), 'ok');
    assert.equal(await sender.channel.send({ type: 'broadcast', event: 'after', payload: {} }), 'ok');
    for (const one of [young, sender]) assert.deepEqual(new Uint8Array((await heard(one, 'bytes')).payload), Uint8Array.from([1, 0, 255]));
    await heard(old, 'after');
    assert.deepEqual(old.others.map((one) => one.event), ['after']);
  });

  test('Message_OfAnEarlierJoin_IsIgnored', async () => {
    const topic = fresh('room');
    const [watch] = await listeners(topic);
    const raw = await world.raw({});
    const { ref } = await raw.join(topic, { ack: true });
    raw.send(`realtime:${topic}`, 'broadcast', { type: 'broadcast', event: 'stale', payload: {} }, { join_ref: '999' });
    raw.send(`realtime:${topic}`, 'broadcast', { type: 'broadcast', event: 'bare', payload: {} }, { join_ref: null });
    await raw.reply(raw.send(`realtime:${topic}`, 'broadcast', { type: 'broadcast', event: 'now', payload: {} }, { join_ref: ref }));
    await heard(watch, 'now');
    assert.deepEqual(watch.others.map((one) => one.event), ['bare', 'now']);
  });

  test('SelfAndOthers_OverTwoThreads_HearWhatTheyShould', async () => {
    const topic = fresh('room');
    const watches = [];
    for (let n = 0; n < 6; n += 1) watches.push(await world.client({ vsn: n % 2 ? '2.0.0' : '1.0.0' }).watch(topic, { broadcast: { self: n < 3, ack: true } }).joined());
    for (const [n, watch] of watches.entries()) assert.equal(await watch.channel.send({ type: 'broadcast', event: 'from', payload: { n } }), 'ok');
    await sleep(100);
    for (const [n, watch] of watches.entries()) {
      const expected = [0, 1, 2, 3, 4, 5].filter((other) => n < 3 || other !== n);
      await until(() => watch.others.length >= expected.length, () => watch.say());
      assert.deepEqual(watch.others.map((one) => one.payload.n).sort(), expected);
    }
  });
});
