// The snapshot API: what it answers, to whom, page by page, and that its document says so.
import assert from 'node:assert/strict';
import { request as http_request } from 'node:http';
import { before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv/dist/2020.js';
import { fresh, use_world } from './fixture/world.js';
import { until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';

const world = use_world({
  sql: `ALTER TABLE session_info ENABLE ROW LEVEL SECURITY; ALTER TABLE campaign_info ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON session_info FOR SELECT TO authenticated USING (split_part(session_id, '/', 1) = auth.jwt() ->> 'sub');
    CREATE POLICY own ON campaign_info FOR SELECT TO authenticated USING (job_info = auth.jwt() ->> 'sub');
    ALTER TABLE chat_history ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON chat_history FOR SELECT TO authenticated USING (EXISTS (SELECT FROM session_info s WHERE s.session_id = chat_history.session_id));
    ALTER TABLE call_info DROP CONSTRAINT call_info_session_id_fkey`,
  env: { PGCAST_THREADS: '2' },
});
const service = mint({ role: 'service_role' });
const of = (sub) => mint({ role: 'authenticated', sub });
const path_of = (...parts) => parts.map(encodeURIComponent).join('/');

/** The answer as it came: {status, headers, json}; its bytes as they are. */
function ask(path, { token = service, method = 'GET', headers = {}, daemon = world.daemon } = {}) {
  return new Promise((done, fail) => {
    const sent = http_request(`${daemon.url}${path}`, { method, headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers } }, async (answer) => {
      const pieces = [];
      for await (const piece of answer) pieces.push(piece);
      const bytes = Buffer.concat(pieces);
      const text = answer.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes).toString() : bytes.toString();
      done({ status: answer.statusCode, headers: answer.headers, bytes: bytes.length, text, json: text.startsWith('{') ? JSON.parse(text) : null });
    });
    sent.once('error', fail).end();
  });
}
const get = (path, options) => ask(`/api/v1/${path}`, options);

async function good(path, options) {
  const answer = await get(path, options);
  assert.equal(answer.status, 200, `${path}: ${answer.text}`);
  return answer.json;
}

async function problem(path, status, code, options) {
  const answer = await get(path, options);
  assert.equal(answer.status, status, `${path}: ${answer.text}`);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  assert.equal(answer.json.code, code);
  for (const member of ['type', 'title', 'hint']) assert.equal(typeof answer.json[member], 'string');
  assert.equal(answer.json.status, status);
  return answer;
}

/** All pages behind one another. */
async function pages(path, name, limit) {
  const out = [];
  let before = null;
  do {
    const page = await good(`${path}${path.includes('?') ? '&' : '?'}limit=${limit}${before ? `&before=${before}` : ''}`);
    assert.ok(page[name].length <= limit);
    out.push(page[name]);
    before = page.next;
  } while (before);
  return out;
}

/** A session with a number, in a campaign of its own. */
async function candidate({ id, campaign, phone = fresh_phone() } = {}) {
  campaign ??= await add_campaign(world);
  return { session: await add_session(world, { id, campaign, phone }), campaign, phone };
}

describe('what it answers', () => {
  test('Session_AndPhone_AreTheSnapshotsOfTheirTopics', async () => {
    const { session, campaign, phone } = await candidate();
    await say(world, session, 'one');
    await say(world, session, 'two', 'agent');
    await world.query('INSERT INTO call_info (call_id, session_id, called_at, duration) VALUES ($1, $2, now(), $3)', [fresh('call'), session, '1 min']);
    await world.query("INSERT INTO session_objective_events (session_id, objective, source, occurred_at) VALUES ($1, 'x', 'chat', now())", [session]);
    for (const [topic, path] of [[`session:${session}`, path_of('sessions', session)], [`phone:${phone}`, path_of('phones', phone)]]) {
      const { cursor, ...rest } = await good(path);
      const { cursor: other, ...snapshot } = await world.client().watch(topic).snapshot();
      assert.deepEqual(rest, snapshot);
      assert.equal(rest.messages.length, 2);
      assert.equal(rest.calls.length, 1);
      assert.equal(rest.campaign.campaign, campaign);
      assert.ok(cursor && other);
    }
  });

  test('Cursor_IsGoodForResume_NothingMissedNothingTwice', async () => {
    const { session, campaign, phone } = await candidate();
    await say(world, session, 'before');
    const paths = { [`session:${session}`]: [path_of('sessions', session), `${path_of('sessions', session)}/calls`], [`phone:${phone}`]: [path_of('phones', phone), `${path_of('phones', phone)}/messages`],
      [`campaign:${campaign}`]: ['campaigns', path_of('campaigns', campaign), `${path_of('campaigns', campaign)}/sessions`] };
    for (const [topic, list] of Object.entries(paths)) {
      for (const path of list) {
        const { cursor } = await good(path);
        const id = await say(world, session, `after ${path}`);
        const watch = world.client().watch(topic, { broadcast: { resume: cursor } });
        await watch.event((event) => event.record?.id === id);
        assert.deepEqual(watch.events.map((event) => event.record.id), [id], path);
      }
    }
  });

  test('Campaigns_CarryTheirNumbers', async () => {
    const { session, campaign } = await candidate();
    await world.query(`UPDATE session_info SET session_status = 'active', objectives = '{"a": true, "b": {"value": true}}', last_user_msg_at = '2026-01-02T03:04:05Z' WHERE session_id = $1`, [session]);
    await say(world, session, 'one');
    await world.query('INSERT INTO call_info (call_id, session_id, duration) VALUES ($1, $2, $3)', [fresh('call'), session, '00:01:00.5']);
    const empty = await add_campaign(world);
    const stats = { campaign, sessions: 1, active: 1, messages: { total: 1, user: 1, agent: 0 }, calls: { total: 1, seconds: 60.5 }, objectives: { a: 1, b: 1 }, last_activity_at: '2026-01-02T03:04:05+00:00' };
    const nothing = { campaign: empty, sessions: 0, active: 0, messages: { total: 0, user: 0, agent: 0 }, calls: { total: 0, seconds: 0 }, objectives: {}, last_activity_at: null };
    const { campaigns } = await good('campaigns');
    assert.deepEqual(campaigns.find((one) => one.campaign === campaign), { ...(await good(path_of('campaigns', campaign))).campaign, stats });
    assert.deepEqual(campaigns.find((one) => one.campaign === empty).stats, nothing);
    assert.deepEqual((await good(path_of('campaigns', campaign))).stats, stats);
    assert.deepEqual((await good(path_of('campaigns', empty))).stats, nothing);
    const watch = await world.client().watch(`stats:${campaign}`).joined();
    const { cursor, ...live } = (await watch.other()).payload;
    assert.deepEqual(live, stats, 'the same as on the topic');
    assert.ok(cursor);
  });

  test('CampaignWithoutARow_IsThereForWhoSeesAllSessions', async () => {
    await world.query('ALTER TABLE session_info DROP CONSTRAINT IF EXISTS session_info_campaign_fkey');
    const campaign = fresh('no row');
    await add_session(world, { campaign });
    const answer = await good(path_of('campaigns', campaign));
    assert.equal(answer.campaign, null);
    assert.equal(answer.stats.sessions, 1);
    await problem(path_of('campaigns', campaign), 404, 'not_found', { token: of('anna') });
  });

  test('OddIds_RoundTrip_NumbersInAnyNotation', async () => {
    for (const odd of ['a/b', 'a b', 'ü☃😀', '%41', '+', 'a:b?c#d&e', '"\\']) {
      const id = `${odd}${fresh('')}`;
      const { campaign } = await candidate({ id, campaign: await add_campaign(world, `c ${id}`) });
      assert.equal((await good(path_of('sessions', id))).session.session_id, id);
      assert.equal((await good(path_of('campaigns', campaign))).campaign.campaign, campaign);
      assert.deepEqual((await good(`${path_of('campaigns', campaign)}/sessions`)).sessions.map((one) => one.session_id), [id]);
    }
    const { phone, session } = await candidate();
    const spelled = `00${phone.slice(1, 3)} (${phone.slice(3, 7)}) ${phone.slice(7)}`;
    for (const one of [phone, spelled]) assert.equal((await good(path_of('phones', one))).session.session_id, session);
    assert.equal((await good(`phones/${phone}`)).session.session_id, session, 'a plus in a path is a plus');
  });
});

describe('pages', () => {
  test('Messages_NewestPageFirst_OldestFirstWithin_AlsoOfOneSide', async () => {
    const { session, phone } = await candidate();
    const ids = [];
    for (let n = 0; n < 25; n += 1) ids.push(await say(world, session, `${n}`, n % 3 === 0 ? 'agent' : 'user'));
    await world.query(`INSERT INTO chat_history (session_id, message) VALUES ($1, '{"type": "ai"}'), ($1, '"odd"')`, [session]);
    const path = `${path_of('phones', phone)}/messages`;
    const got = await pages(path, 'messages', 10);
    assert.deepEqual(got.map((page) => page.length), [10, 10, 7]);
    for (const page of got) assert.deepEqual(page.map((row) => row.id), page.map((row) => row.id).sort((a, b) => a - b));
    assert.deepEqual(got.reverse().flat().map((row) => row.id).slice(0, 25), ids);
    const agent = (await pages(`${path}?sender=agent`, 'messages', 4)).reverse().flat();
    assert.deepEqual(agent.map((row) => row.message.sender ?? row.message.type), [...Array(9).fill('agent'), 'ai']);
    assert.equal((await good(`${path}?sender=user`)).messages.length, 16);
    assert.equal((await good(path)).messages.length, 27);
  });

  test('CallsAndSessions_WithEqualTimesAndNulls_AreEachSeenOnce_WhileOthersAreWritten', async () => {
    const campaign = await add_campaign(world);
    const session = await add_session(world, { campaign });
    const times = ["'2026-01-03'", "'2026-01-02'", "'2026-01-02'", "'2026-01-02'", 'NULL', 'NULL', 'NULL', "'2026-01-01'"];
    const [calls, sessions] = [[], [session]];
    for (let n = 0; n < 24; n += 1) {
      const [call, one] = [fresh('call'), fresh('session')];
      await world.query(`INSERT INTO call_info (call_id, session_id, called_at) VALUES ($1, $2, ${times[n % times.length]})`, [call, session]);
      await world.query(`INSERT INTO session_info (session_id, campaign, created_at) VALUES ($1, $2, ${times[n % times.length]})`, [one, campaign]);
      calls.push(call);
      sessions.push(one);
    }
    for (const [path, name, key, table, wanted] of [[`${path_of('sessions', session)}/calls`, 'calls', 'call_id', 'call_info', calls], [`${path_of('campaigns', campaign)}/sessions`, 'sessions', 'session_id', 'session_info', sessions]]) {
      let before = null;
      const seen = [];
      do {
        const page = await good(`${path}?limit=5${before ? `&before=${before}` : ''}`);
        seen.push(...page[name].map((row) => row[key]));
        before = page.next;
        const [column, values] = table === 'call_info' ? ['called_at', [fresh('new'), session]] : ['created_at', [fresh('new'), campaign]];
        await world.query(`INSERT INTO ${table} (${key}, ${table === 'call_info' ? 'session_id' : 'campaign'}, ${column}) VALUES ($1, $2, now() + interval '1 day')`, values);
      } while (before);
      assert.equal(new Set(seen).size, seen.length, 'nothing twice');
      assert.deepEqual([...seen].sort(), [...wanted].sort());
      const order = await world.query(`SELECT ${key} FROM ${table} WHERE ${key} = ANY ($1) ORDER BY ${table === 'call_info' ? 'called_at' : 'created_at'} DESC NULLS LAST, ${key}`, [wanted]);
      assert.deepEqual(seen, order.map((row) => row[key]));
    }
  });

  test('WrongParameters_AreRefusedWithOneSentence', async () => {
    const { session, campaign, phone } = await candidate();
    const [messages, calls, sessions] = [`${path_of('phones', phone)}/messages`, `${path_of('sessions', session)}/calls`, `${path_of('campaigns', campaign)}/sessions`];
    for (const limit of ['0', '-1', '1001', 'many', '', '1.5', '99999999999999']) await problem(`${messages}?limit=${limit}`, 400, 'limit_invalid');
    for (const path of [messages, calls, sessions]) {
      for (const before of ['', 'x', '!!', 'YQ', 'a'.repeat(5_000)]) await problem(`${path}?before=${before}`, 400, 'before_invalid');
    }
    for (let n = 0; n < 2; n += 1) await world.query('INSERT INTO call_info (call_id, session_id, called_at) VALUES ($1, $2, now())', [fresh('call'), session]);
    const { next } = await good(`${calls}?limit=1`);
    await problem(`${sessions}?before=${next}`, 400, 'before_invalid');
    const forged = Buffer.from('e=no time\nx').toString('base64url');
    await problem(`${calls}?before=${forged}`, 400, 'before_invalid');
    await problem(`${messages}?sender=robot`, 400, 'sender_invalid');
  });
});

describe('who may', () => {
  test('NotYours_AndNotThere_LookAlike', async () => {
    const annas = await candidate({ id: fresh('anna/s'), campaign: await add_campaign(world, fresh('annas')) });
    await world.query(`UPDATE campaign_info SET job_info = 'anna' WHERE campaign = $1`, [annas.campaign]);
    await say(world, annas.session, 'secret');
    const here = [path_of('sessions', annas.session), `${path_of('sessions', annas.session)}/calls`, path_of('phones', annas.phone), `${path_of('phones', annas.phone)}/messages`,
      path_of('campaigns', annas.campaign), `${path_of('campaigns', annas.campaign)}/sessions`];
    const nowhere = ['sessions/none', 'sessions/none/calls', 'phones/none', 'phones/none/messages', 'campaigns/none', 'campaigns/none/sessions', 'nothing', 'campaigns/a/b/c', 'sessions', 'sessions//calls'];
    const texts = new Set();
    for (const path of here) {
      await good(path, { token: of('anna') });
      texts.add((await problem(path, 404, 'not_found', { token: of('ben') })).text);
    }
    for (const path of nowhere) {
      for (const token of [service, of('ben')]) texts.add((await problem(path, 404, 'not_found', { token })).text);
    }
    assert.equal(texts.size, 1);
    assert.deepEqual((await good('campaigns', { token: of('ben') })).campaigns, []);
    const { campaigns } = await good('campaigns', { token: of('anna') });
    assert.deepEqual(campaigns.map((one) => one.campaign), [annas.campaign]);
    assert.equal(campaigns[0].stats.messages.total, 1);
  });

  test('WithoutAGoodToken_401_WithoutTheRightMethod_405', async () => {
    for (const token of [null, 'nonsense', mint({ role: 'nobody' })]) {
      const { headers } = await problem('campaigns', 401, 'unauthorized', { token });
      assert.match(headers['www-authenticate'], /^Bearer/);
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      assert.match((await problem('campaigns', 405, 'method_not_allowed', { method })).headers.allow, /GET/);
    }
    assert.equal((await get('campaigns', { token: null, headers: { apikey: service } })).status, 200);
    assert.ok([400, 404].includes((await ask('/api/v1/sessions/%zz')).status));
  });
});

describe('over HTTP', () => {
  test('ETag_DoesNotKnowTheCursor_AndSaves', async () => {
    const { session } = await candidate();
    const path = path_of('sessions', session);
    const first = await get(path);
    await candidate();
    await until(async () => (await good(path)).cursor !== first.json.cursor, 'another cursor');
    const { etag } = first.headers;
    for (const tag of [etag, `"x", ${etag}`, '*', etag.replace('W/', '')]) {
      const again = await get(path, { headers: { 'if-none-match': tag } });
      assert.equal(again.status, 304, tag);
      assert.equal(again.headers.etag, etag);
      assert.equal(again.bytes, 0);
    }
    await say(world, session, 'new');
    const changed = await get(path, { headers: { 'if-none-match': etag } });
    assert.equal(changed.status, 200);
    assert.notEqual(changed.headers.etag, etag);
    assert.match(changed.headers.vary, /Authorization/);
    assert.match(changed.headers['cache-control'], /private/);
  });

  test('Gzip_WhereItIsWantedAndPays', async () => {
    const { session } = await candidate();
    const path = path_of('sessions', session);
    assert.equal((await get(`${path}/calls`, { headers: { 'accept-encoding': 'gzip' } })).headers['content-encoding'], undefined, 'short');
    for (let n = 0; n < 30; n += 1) await say(world, session, 'hello '.repeat(20));
    const plain = await get(path);
    for (const accepted of ['gzip', 'br, gzip;q=0.5', '*']) {
      const packed = await get(path, { headers: { 'accept-encoding': accepted } });
      assert.equal(packed.headers['content-encoding'], 'gzip', accepted);
      assert.ok(packed.bytes * 3 < plain.bytes);
      assert.deepEqual(packed.json.messages, plain.json.messages);
    }
    for (const accepted of ['gzip;q=0', 'identity', '*;q=0']) assert.equal((await get(path, { headers: { 'accept-encoding': accepted } })).headers['content-encoding'], undefined, accepted);
    const head = await get(path, { method: 'HEAD' });
    assert.equal(head.bytes, 0);
    assert.equal(head.headers['content-length'], plain.headers['content-length']);
    assert.equal(head.headers.etag, plain.headers.etag);
  });

  test('Cors_LetsPagesAsk', async () => {
    const preflight = await get('campaigns', { method: 'OPTIONS', token: null, headers: { origin: 'https://app.example', 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization' } });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers['access-control-allow-headers'], 'authorization');
    assert.match(preflight.headers['access-control-allow-methods'], /GET/);
    for (const options of [{}, { token: null }]) {
      const answer = await get('campaigns', { ...options, headers: { origin: 'https://app.example' } });
      assert.equal(answer.headers['access-control-allow-origin'], '*');
      assert.equal(answer.headers['access-control-expose-headers'], 'ETag');
    }
  });

  test('TooManyAtOnce_AreRefused_TooSlowToo_OthersGoOn', async () => {
    const daemon = await world.serve('postgres', { PGCAST_THREADS: '1', PGCAST_LIMITS_API_REQUESTS: '2', PGCAST_LIMITS_DATABASE_CONNECTIONS: '1' });
    const { session } = await candidate();
    const path = path_of('sessions', session);
    assert.equal((await get(path, { daemon })).status, 200);
    const lock = await world.postgres.connect();
    await lock.query('BEGIN; LOCK TABLE campaign_info IN ACCESS EXCLUSIVE MODE');
    const answers = Array.from({ length: 6 }, () => get(path, { daemon }));
    const first = await Promise.race(answers);
    assert.equal(first.status, 503);
    assert.equal(first.json.code, 'overloaded');
    assert.equal(first.headers['retry-after'], '1');
    const slow = (await Promise.all(answers)).filter((one) => one.json.code !== 'overloaded');
    await lock.query('ROLLBACK');
    await lock.end();
    assert.equal(slow.length, 2);
    assert.equal(slow[0].json.code ?? 'answered', 'query_timeout', slow[0].text);
    assert.equal((await get(path, { daemon })).status, 200);
  });
});

describe('its document', () => {
  let document;
  const ajv = new Ajv({ strict: false });
  before(async () => {
    const answer = await get('openapi.json', { token: null });
    assert.equal(answer.status, 200);
    document = answer.json;
    ajv.addSchema(document, 'api');
  });

  test('IsValidOpenApi31', async () => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(structuredClone(document));
    assert.ok(valid, JSON.stringify(errors));
    assert.equal(validator.version, '3.1');
  });

  test('EveryPathOfIt_AnswersAsItSays', async () => {
    const { session, campaign, phone } = await candidate();
    for (let n = 0; n < 3; n += 1) {
      await say(world, session, 'one');
      await world.query('INSERT INTO call_info (call_id, session_id) VALUES ($1, $2)', [fresh('call'), session]);
    }
    const [{ id: event }] = (await until(async () => { const { events } = await good('operations'); return events.length > 0 && events; }, 'an event'));
    const values = { '{campaign}': campaign, '{id}': session, '{phone}': phone, '{event}': event };
    const conforms = (value, pointer) => {
      const check = ajv.getSchema(`api#${pointer}`);
      assert.ok(check(value), `${pointer}: ${JSON.stringify(check.errors)}`);
    };
    const escape = (name) => name.replaceAll('~', '~0').replaceAll('/', '~1');
    for (const [path, operations] of Object.entries(document.paths)) {
      if (!operations.get) continue;
      const real = path.slice(1).split('/').map((part) => encodeURIComponent(values[part] ?? part)).join('/');
      const pointer = `/paths/${escape(path)}/get/responses/200/content/${escape('application/json')}/schema`;
      conforms(await good(real), pointer);
      if (!path.includes('{')) continue;
      conforms((await get(real.replace(/[^/]+/g, (part, at) => (at > 0 && !['messages', 'calls', 'sessions'].includes(part) ? 'none' : part)))).json, '/components/schemas/Problem');
      if (operations.get.parameters.some((one) => one.$ref?.endsWith('Limit'))) {
        conforms(await good(`${real}?limit=1`), pointer);
        conforms((await get(`${real}?limit=0`)).json, '/components/schemas/Problem');
      }
    }
    conforms((await get('campaigns', { token: null })).json, '/components/schemas/Problem');
    conforms((await get('campaigns', { method: 'PUT' })).json, '/components/schemas/Problem');
  });
});
