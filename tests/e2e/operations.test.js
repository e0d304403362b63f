// What the daemon tells of itself: to whom, that its numbers are right, what became of an event, and why a token is refused.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { Changes } from './fixture/changes.js';
import { until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, say } from './fixture/rows.js';
import { k_secret, mint, sign } from './fixture/token.js';

const k_old_secret = 'the-secret-of-before-the-last-rotation-of-them';
const world = use_world({
  env: { PGCAST_THREADS: '2', PGCAST_JWT_SECRET: `${k_secret},${k_old_secret}`, PGCAST_AUTH_API_KEYS: 'sb_publishable_ops=anon,sb_secret_ops=service_role' },
});
const service = mint({ role: 'service_role' });

async function ask(path, { token = service, body, daemon = world.daemon, method, headers } = {}) {
  const answer = await fetch(`${daemon.url}/api/v1/operations${path}`, {
    method: method ?? (body === undefined ? 'GET' : 'POST'), body: typeof body === 'object' ? JSON.stringify(body) : body,
    headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers },
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, json: text ? JSON.parse(text) : null };
}

async function report(options) {
  const { status, json, text } = await ask('', options);
  assert.equal(status, 200, text);
  return json;
}

/** The event of that table and operation in which `topic` appears, once it is among the newest. */
async function event_of(topic, table, operation = 'INSERT') {
  return until(async () => (await report()).events.find((one) => one.table === table && one.operation === operation &&
    one.topics.some((touched) => touched.topic === topic)), () => `an event of ${topic}`);
}

async function trace(id) {
  return until(async () => {
    const { status, json } = await ask(`/events/${id}`);
    return status === 200 && !json.threads.includes(null) && json;
  }, () => `event ${id} is published`);
}

const told = (one) => one.threads.reduce((sum, thread) => sum + thread.subscribers, 0);

describe('who may ask', () => {
  test('OtherRoles_AreRefused_WithTheHint', async () => {
    for (const path of ['', '/events/1']) {
      const { status, json } = await ask(path, { token: mint({ role: 'authenticated', sub: 'u' }) });
      assert.equal(status, 403);
      assert.equal(json.code, 'unauthorized');
      assert.match(json.hint, /service_role/);
    }
    assert.equal((await ask('/token', { token: mint({ role: 'anon' }), body: { token: service } })).status, 403);
    assert.equal((await ask('', { token: null })).status, 401);
    assert.equal((await ask('', { token: 'sb_publishable_ops' })).status, 403);
    assert.equal((await ask('', { token: 'sb_secret_ops' })).status, 200);
  });

  test('WrongMethod_IsSaid', async () => {
    assert.equal((await ask('', { method: 'POST', body: '{}' })).headers.get('allow'), 'GET, HEAD, OPTIONS');
    assert.equal((await ask('/token')).headers.get('allow'), 'POST, OPTIONS');
    assert.equal((await ask('/nothing')).status, 404);
  });

  test('AuthModeOff_ShowsItToEverybody_ButNotToForeignPages', async () => {
    const open = await world.serve('postgres', { PGCAST_AUTH_MODE: 'off', PGCAST_THREADS: '1' });
    assert.equal((await ask('', { token: null, daemon: open })).status, 200);
    assert.equal((await ask('', { token: null, daemon: open, headers: { origin: 'https://elsewhere.example' } })).status, 403);
  });

  test('Answers_AreKeptByNobody', async () => {
    assert.equal((await ask('')).headers.get('cache-control'), 'no-store');
    assert.equal((await ask('/token', { body: { token: service } })).headers.get('cache-control'), 'no-store');
  });
});

describe('the report', () => {
  test('Numbers_AreThoseOfBothThreads', async () => {
    const campaign = await add_campaign(world);
    const session = await add_session(world, { campaign });
    const clients = Array.from({ length: 6 }, () => world.client());
    for (const [i, client] of clients.entries()) {
      await client.watch(`campaign:${campaign}`).snapshot();
      if (i < 2) await client.watch(`session:${session}`).snapshot();
    }
    const now = await report();
    assert.equal(now.threads.length, 2);
    assert.equal(now.threads.reduce((sum, one) => sum + one.connections, 0), 6);
    assert.ok(now.threads.every((one) => one.connections > 0), 'both have clients');
    assert.equal(now.metrics.pgcast_connections, 6);
    assert.equal(now.metrics.pgcast_channels, 8);
    assert.deepEqual(now.topics.slice(0, 2), [{ topic: `campaign:${campaign}`, subscribers: 6 }, { topic: `session:${session}`, subscribers: 2 }]);
    assert.equal(now.source.state, 'live');
    assert.equal(now.source.ready, true);
    assert.match(now.version, /^\d+\.\d+/);
    assert.ok(Date.parse(now.at) >= Date.parse(now.started_at));
    const { pgcast_joins_total: joins } = now.metrics;
    assert.equal(joins.ok, await world.daemon.metric('pgcast_joins_total{result="ok"}'));

    await say(world, session, 'counted');
    await until(async () => (await report()).metrics.pgcast_events_delivered_total === now.metrics.pgcast_events_delivered_total + 8, 'eight deliveries');
    const { lag } = await report();
    for (const kind of ['read', 'publish']) assert.ok(lag[kind].newest >= 0 && lag[kind].longest >= lag[kind].newest, JSON.stringify(lag));

    world.close_clients();
    await until(async () => (await report()).topics.length === 0, 'nobody has joined anything');
  });

  test('Followers_AreNoSubscribersOfTheSession', async () => {
    const phone = fresh_phone();
    const session = await add_session(world, { phone });
    await world.client().watch(`phone:${phone}`).snapshot();
    assert.deepEqual((await report()).topics, [{ topic: `phone:${phone}`, subscribers: 1 }]);
    await say(world, session, 'to the number');
    const { id } = await event_of(`session:${session}`, 'chat_history');
    assert.equal(told(await trace(id)), 1);
    world.close_clients();
  });

  test('SourceAway_IsSaidWithTheReason_AndTheWarningIsShown', async () => {
    await world.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE \'pgcast%\'');
    const warned = await until(async () => (await report()).problems.find((one) => one.message.startsWith('source lost')), 'the loss is told');
    assert.equal(warned.level, 'warn');
    assert.ok(Date.parse(warned.at) > Date.now() - 60_000);
    await until(async () => (await report()).source.ready, 'it is back');
  });
});

describe('following an event', () => {
  test('RowWrittenWithSql_ShowsItsTopicsAndItsSubscribers', async () => {
    const campaign = await add_campaign(world);
    const session = await add_session(world, { campaign });
    for (let n = 0; n < 4; n += 1) {
      const client = world.client();
      await client.watch(`session:${session}`).snapshot();
      if (n === 0) await client.watch(`campaign:${campaign}`).snapshot();
    }
    await say(world, session, 'follow me');
    const { id } = await event_of(`session:${session}`, 'chat_history');
    const one = await trace(id);
    assert.equal(one.id, id);
    assert.equal(one.schema, 'public');
    assert.deepEqual(one.topics, [{ topic: `session:${session}`, old: false, new: true }, { topic: `campaign:${campaign}`, old: false, new: true }]);
    assert.equal(one.threads.length, 2);
    assert.equal(told(one), 5);
    assert.ok(one.threads.every((thread) => thread.subscribers >= 2), 'on both threads');
    const times = [one.commit_timestamp, one.read_at, ...one.threads.map((thread) => thread.published_at)].map((text) => Date.parse(text));
    assert.ok(times.every(Number.isFinite));
    assert.ok(Math.max(...times) - Math.min(...times) < 60_000);
    assert.ok(times[1] <= times[2] && times[1] <= times[3]);
    world.close_clients();
  });

  test('UpdateThatMovesARow_ShowsWhereItWasAndIs', async () => {
    const [from, to] = [await add_campaign(world), await add_campaign(world)];
    const session = await add_session(world, { campaign: from });
    await world.query('UPDATE session_info SET campaign = $1 WHERE session_id = $2', [to, session]);
    const { topics } = await event_of(`campaign:${from}`, 'session_info', 'UPDATE');
    const side = (topic) => topics.find((one) => one.topic === topic);
    assert.deepEqual(side(`campaign:${from}`), { topic: `campaign:${from}`, old: true, new: false });
    assert.deepEqual(side(`campaign:${to}`), { topic: `campaign:${to}`, old: false, new: true });
  });

  test('ChangesOfATable_AreCountedApart', async () => {
    const session = await add_session(world);
    const changes = new Changes(world.client(), [{ event: '*', schema: 'public', table: 'chat_history' }]);
    await until(() => changes.systems.some((one) => one.status === 'ok'), () => changes.say());
    await say(world, session, 'as a change');
    const one = await trace((await event_of(`session:${session}`, 'chat_history')).id);
    assert.equal(told(one), 0);
    assert.equal(one.threads.reduce((sum, thread) => sum + thread.changes, 0), 1);
    world.close_clients();
  });

  test('UnknownEvents_AreNotFound', async () => {
    for (const id of ['0', '999999999999', 'abc', '-1', '99999999999999999999999', encodeURIComponent('1 OR 1')]) {
      const { status, json } = await ask(`/events/${id}`);
      assert.equal(status, 404, id);
      assert.equal(json.code, 'not_found');
    }
  });

  test('OlderThanTheRing_IsNotFound_TheNewestIsThere', async () => {
    const session = await add_session(world);
    await say(world, session, 'soon forgotten');
    const { id } = await event_of(`session:${session}`, 'chat_history');
    await world.query(`INSERT INTO chat_history (session_id, message) SELECT $1, jsonb_build_object('text', n) FROM generate_series(1, 1100) n`, [session]);
    await until(async () => (await ask(`/events/${id}`)).status === 404, 'it has left the ring');
    const [newest] = (await report()).events;
    assert.equal((await ask(`/events/${newest.id}`)).status, 200);
  });
});

describe('why a token is refused', () => {
  const now = Math.floor(Date.now() / 1000);
  const explain = async (token) => {
    const { status, json, text } = await ask('/token', { body: { token } });
    assert.equal(status, 200, text);
    return json;
  };
  const codes = (one) => one.faults.map((fault) => fault.code);

  before(() => until(() => world.daemon?.is_ready(), 'ready'));

  test('GoodToken_IsExplained', async () => {
    const one = await explain(`  ${mint({ role: 'authenticated', sub: 'u-1', team: 'north' })}\n`);
    assert.equal(one.accepted, true);
    assert.deepEqual(one.faults, []);
    assert.deepEqual(one.signature, { verdict: 'good', by: 'the first secret of auth.jwt_secret' });
    assert.equal(one.claims.team, 'north');
    assert.equal(one.claims_verified, true);
    assert.equal(one.header.alg, 'HS256');
    assert.deepEqual(one.role, { name: 'authenticated', accepted: true, roles: ['anon', 'authenticated', 'service_role'] });
    assert.ok(one.expires_in > 3500 && one.expires_in <= 3600);
    assert.equal(one.skew, 30);
    assert.deepEqual((await explain(mint({}, k_old_secret))).signature, { verdict: 'good', by: 'the second secret of auth.jwt_secret' });
  });

  test('EachFault_HasItsCodeAndItsRemedy', async () => {
    const faults = {
      token_expired: mint({ ttl: -600 }),
      token_bad_signature: mint({}, 'somebody-elses-secret-of-thirty-two-bytes'),
      token_role_refused: mint({ role: 'postgres' }),
      token_claims_missing: sign({ role: 'anon' }),
      token_not_yet_valid: mint({ nbf: now + 3000 }),
      token_malformed: 'abc.def',
      token_missing: ' ',
    };
    for (const [code, token] of Object.entries(faults)) {
      const one = await explain(token);
      assert.equal(one.accepted, false, code);
      assert.deepEqual(codes(one), [code]);
      assert.ok(one.faults[0].sentence.length > 5 && one.faults[0].remedy.length > 5, code);
    }
  });

  test('Expired_SaysWhen', async () => {
    const one = await explain(mint({ ttl: -600 }));
    assert.ok(one.expires_in <= -600 && one.expires_in > -660);
    assert.match(one.faults[0].sentence, /expired 60\d seconds ago/);
    assert.equal(one.claims_verified, true);
  });

  test('BadSignature_StillShowsTheClaims_Unverified_AndTheirFaults', async () => {
    const one = await explain(mint({ role: 'postgres', sub: 'x' }, 'somebody-elses-secret-of-thirty-two-bytes'));
    assert.deepEqual(codes(one), ['token_bad_signature', 'token_role_refused']);
    assert.equal(one.claims.sub, 'x');
    assert.equal(one.claims_verified, false);
    assert.deepEqual(one.signature, { verdict: 'bad', by: null });
  });

  test('AlgNone_IsRefused_ByItsAlgorithm', async () => {
    for (const alg of ['none', 'None', 'HS1', 'RS256']) {
      const one = await explain(sign({ role: 'service_role', exp: now + 600 }, k_secret, { alg }));
      assert.equal(one.accepted, false, alg);
      assert.equal(one.header.alg, alg);
      assert.equal(one.claims_verified, false);
    }
    const none = await explain(sign({ role: 'service_role', exp: now + 600 }, k_secret, { alg: 'none' }));
    assert.equal(none.signature.verdict, 'algorithm_refused');
    assert.match(none.faults[0].remedy, /algorithm/);
  });

  test('ApiKey_IsKnownByItsRole', async () => {
    const one = await explain('sb_publishable_ops');
    assert.equal(one.kind, 'api_key');
    assert.equal(one.accepted, true);
    assert.equal(one.role.name, 'anon');
    assert.equal((await explain('sb_publishable_other')).kind, 'unreadable');
  });

  test('VerdictIsThatOfARequest', async () => {
    const tokens = [mint(), mint({ ttl: -10 }), mint({ ttl: -40 }), mint({ role: 'x' }), mint({ nbf: now + 10 }), mint({ exp: 'soon' }), sign([]), 'a.b.c', 'sb_secret_ops'];
    for (const token of tokens) {
      const { status } = await fetch(`${world.daemon.url}/api/v1/campaigns`, { headers: { authorization: `Bearer ${token}` } });
      assert.equal((await explain(token)).accepted, status === 200, token);
    }
  });

  test('BodyWithoutAToken_IsSaid', async () => {
    for (const body of ['', '{}', '[]', '{"token": 5}', 'token', '{"token": ']) {
      const { status, json } = await ask('/token', { body, method: 'POST' });
      assert.equal(status, 400, body);
      assert.equal(json.code, 'body_invalid');
    }
  });

  test('Token_IsInNoLog', async () => {
    const secret_part = fresh('nowhere');
    await explain(mint({ sub: secret_part }));
    await explain(`${secret_part}.${secret_part}`);
    assert.ok(!world.daemon.process.log().includes(secret_part));
    assert.ok(!JSON.stringify((await report()).problems).includes(secret_part));
  });
});
