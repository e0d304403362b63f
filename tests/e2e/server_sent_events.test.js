// GET /events: the same topics, events and ids as over the WebSocket, with plain HTTP, curl and EventSource.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { before, describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { Stream, is_row, on } from './fixture/event_stream.js';
import { use_browser } from './fixture/browser.js';
import { add_campaign, add_session, fresh_phone, say } from './fixture/rows.js';
import { Writers, committed } from './fixture/writers.js';
import { mint } from './fixture/token.js';

const world = use_world({
  sql: `ALTER TABLE session_info ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON session_info FOR SELECT TO authenticated USING (split_part(session_id, '/', 1) = auth.jwt() ->> 'sub');`,
  env: { PGCAST_THREADS: '2', PGCAST_LIMITS_IDLE: '3s' },
});
const browser = use_browser();
const service = mint({ role: 'service_role' });

/** A stream of the test's daemon. */
const open = (query, options) => new Stream(query, { daemon: world.daemon, ...options });

describe('the same as over the WebSocket', () => {
  test('SnapshotThenRows_WithIdsAndTopic', async () => {
    const campaign = await add_campaign(world);
    const session = await add_session(world, { campaign, phone: fresh_phone() });
    for (const topic of [`session:${session}`, `campaign:${campaign}`]) {
      const stream = open(on(topic));
      const watch = world.client().watch(topic);
      const first = await stream.event((one) => one.event === 'snapshot');
      await watch.snapshot();
      const { topic: told, cursor, ...rest } = first.data;
      const { cursor: other, ...snapshot } = watch.snapshots[0];
      assert.equal(told, topic);
      assert.equal(first.id, cursor);
      assert.deepEqual(rest, snapshot);
      assert.ok(other);
      await say(world, session, 'line\nbreak "é"');
      const row = await stream.event(is_row);
      const { event, ...payload } = await watch.event();
      assert.equal(row.event, event);
      assert.deepEqual(row.data, { topic, ...payload });
      assert.equal(row.id, payload.cursor);
      assert.match(stream.headers['content-type'], /^text\/event-stream/);
      assert.equal(stream.headers['cache-control'], 'no-store');
      assert.equal(stream.headers['access-control-allow-origin'], '*');
    }
  });

  test('Stats_Broadcasts_AndTheDaemonsWords', async () => {
    const campaign = await add_campaign(world);
    const stats = open(on(`stats:${campaign}`));
    await stats.event((one) => one.event === 'stats' && one.data.sessions === 0);
    await add_session(world, { campaign });
    const counted = await stats.event((one) => one.event === 'stats' && one.data.sessions === 1);
    assert.equal(counted.data.topic, `stats:${campaign}`);
    assert.equal(counted.id, counted.data.cursor);

    const room = fresh('room');
    const stream = open(on(room));
    await until(() => stream.status === 200, 'joined');
    const said = await fetch(`${world.daemon.url}/realtime/v1/api/broadcast`, { method: 'POST', headers: { apikey: service, 'content-type': 'application/json' },
      body: '{"messages": [{"topic": "' + room + '", "event": "two\\nlines", "payload":\n {"a":\r\n 1}}]}' });
    assert.equal(said.status, 202);
    const heard = await stream.event(() => true);
    assert.deepEqual(heard, { id: undefined, event: 'two lines', data: { topic: room, payload: { a: 1 } } });
  });

  test('Phone_WithABlankForThePlus_AndOptions', async () => {
    const phone = fresh_phone();
    const session = await add_session(world, { phone });
    for (let n = 0; n < 3; n += 1) await say(world, session, 'one');
    const spelled = open([['topic', `phone: ${phone.slice(1)}`], ['messages', '2']]);
    const { data } = await spelled.event((one) => one.event === 'snapshot');
    assert.equal(data.session.session_id, session);
    assert.equal(data.topic, `phone:${phone}`);
    assert.equal(data.messages.length, 2);
    const bare = open([['topic', `session:${session}`], ['snapshot', 'false']]);
    await until(() => bare.status === 200, 'joined');
    await say(world, session, 'live');
    assert.equal((await bare.event(() => true)).data.operation, 'INSERT');
  });
});

describe('resume', () => {
  test('LastEventId_ContinuesWithoutASnapshot_OldOnesAreToldWhy', async () => {
    const session = await add_session(world);
    const topic = `session:${session}`;
    const first = open(on(topic));
    await first.event((one) => one.event === 'snapshot');
    await say(world, session, 'seen');
    await first.event(is_row);
    first.close();
    const ids = [await say(world, session, 'missed'), await say(world, session, 'missed too')];
    for (const [query, headers] of [[on(topic), { 'last-event-id': first.last_id }], [[...on(topic), ['last_event_id', first.last_id]], {}]]) {
      const again = open(query, { headers });
      await again.event(is_row, 2);
      await sleep(100);
      assert.deepEqual(again.events.map((one) => one.data.record.id), ids);
    }
    const refused = open(on(topic), { headers: { 'last-event-id': 'nonsense' } });
    const told = await refused.event((one) => one.event === 'system' && one.data.code);
    assert.equal(told.data.code, 'cursor_invalid');
    await refused.event((one) => one.event === 'snapshot');
  });

  test('SeveralTopics_CutAtAnyTime_MissNothing', { timeout: 60_000 }, async () => {
    const campaign = await add_campaign(world);
    const sessions = [];
    for (let n = 0; n < 3; n += 1) sessions.push(await add_session(world, { campaign: n === 0 ? campaign : null }));
    const topics = [`campaign:${campaign}`, `session:${sessions[1]}`, `session:${sessions[2]}`];
    const seen = new Map(topics.map((topic) => [topic, new Set()]));
    let last = '';
    let cuts = 0;
    let stream = open(on(...topics));
    const take = (one) => {
      for (const { data } of one.events) {
        if (data.table === 'chat_history') seen.get(data.topic).add(Number(data.record.id));
        if (data.messages) data.messages.forEach((row) => seen.get(data.topic).add(Number(row.id)));
      }
      last = one.last_id || last;
    };
    await stream.event((one) => one.event === 'snapshot', 3);
    await say(world, sessions[0], 'first');
    await until(() => stream.last_id, 'an id that is good for all');
    take(stream);
    stream.close();
    const writers = new Writers(world, sessions, { count: 4, pause: 3 });
    for (const end = Date.now() + 8_000; Date.now() < end; cuts += 1) {
      stream = open(on(...topics), { headers: last ? { 'last-event-id': last } : {} });
      await sleep(30 + Math.random() * 300);
      stream.close();
      take(stream);
    }
    await writers.stop();
    stream = open(on(...topics), { headers: { 'last-event-id': last } });
    const wanted = new Map(await Promise.all(topics.map(async (topic, n) => [topic, await committed(world, [sessions[n]])])));
    await until(() => {
      take(stream);
      return topics.every((topic) => wanted.get(topic).every((id) => seen.get(topic).has(Number(id))));
    }, () => topics.map((topic) => `${topic} lacks ${wanted.get(topic).filter((id) => !seen.get(topic).has(Number(id))).length}`).join(', '), 10_000);
    assert.ok(cuts > 10 && wanted.get(topics[0]).length > 50, `${cuts} cuts, ${wanted.get(topics[0]).length} rows`);
    for (const topic of topics) assert.equal(seen.get(topic).size, wanted.get(topic).length, 'and nothing that was not committed');
  });
});

describe('refused', () => {
  test('WithAStatusAndOneSentence', async () => {
    const annas = await add_session(world, { id: fresh('anna/s') });
    const anna = mint({ role: 'authenticated', sub: 'anna' });
    const ben = mint({ role: 'authenticated', sub: 'ben' });
    const good = open(on(`session:${annas}`), { token: anna });
    await good.event((one) => one.event === 'snapshot');
    for (const [query, options, status, code] of [
      [on(`session:${annas}`), { token: ben }, 403, 'unauthorized'],
      [on('room', `session:${annas}`), { token: ben }, 403, 'unauthorized'],
      [on('session:none'), { token: ben }, 403, 'unauthorized'],
      [on('room'), { token: null }, 401, 'token_missing'],
      [on('room'), { token: 'nonsense' }, 401, 'token_malformed'],
      [[], {}, 400, 'topic_missing'],
      [on('session:'), {}, 400, 'topic_missing'],
      [on(...Array.from({ length: 101 }, (_, n) => `room-${n}`)), {}, 400, 'too_many_channels'],
      [[...on('room'), ['ticket', 'nonsense']], { token: null }, 401, 'token_malformed'],
    ]) {
      const refused = await open(query, options).problem();
      assert.equal(refused.status, status, JSON.stringify(refused));
      assert.equal(refused.code, code);
      assert.ok(refused.title && refused.hint);
    }
  });

  test('TokenThatExpires_EndsTheStream_SoDoesTheDaemon', async () => {
    const daemon = await world.serve('postgres', { PGCAST_DRAIN: '100ms' });
    const short = open(on('room'), { daemon, token: mint({ role: 'service_role', exp: Math.floor(Date.now() / 1000) + 2 }) });
    const long = open(on('room'), { daemon });
    await until(() => short.status === 200 && long.status === 200, 'both are open');
    await until(() => short.ended, 'the token expires', 40_000);
    assert.match(JSON.stringify(short.events.at(-1)), /Token has expired/);
    assert.ok(!long.ended);
    await daemon.kill('SIGTERM');
    await until(() => long.ended, 'the daemon has drained');
  });
});

describe('its life', () => {
  test('Comments_KeepItAlive_AndItCountsAsAConnection', async () => {
    const stream = open(on('room'));
    await until(() => stream.comments >= 3, 'comments', 10_000);
    assert.ok(!stream.ended);
    const before = await world.daemon.metric('pgcast_connections');
    stream.close();
    await until(async () => (await world.daemon.metric('pgcast_connections')) === before - 1, 'it is gone');
  });

  test('ReaderThatStops_IsParked_AndHasAllAfterwards', { timeout: 60_000 }, async () => {
    const session = await add_session(world);
    const stream = open(on(`session:${session}`));
    await stream.event((one) => one.event === 'snapshot');
    stream.answer.pause();
    const parked = await world.daemon.metric('pgcast_slow_clients_total{verdict="parked"}');
    let rows = 0;
    await until(async () => {
      await world.query(`INSERT INTO chat_history (session_id, message) SELECT $1, jsonb_build_object('text', repeat('x', 20000)) FROM generate_series(1, 100)`, [session]);
      rows += 100;
      return (await world.daemon.metric('pgcast_slow_clients_total{verdict="parked"}')) > parked;
    }, 'it is parked', 30_000);
    stream.answer.resume();
    await stream.event(is_row, rows, 30_000);
    await sleep(100);
    const ids = stream.events.filter(is_row).map((one) => one.data.record.id);
    assert.equal(new Set(ids).size, rows);
    assert.equal(ids.length, rows, 'each once');
  });
});

describe('tickets', () => {
  const ticket = async (token = service, daemon = world.daemon) => {
    const answer = await fetch(`${daemon.url}/api/v1/tickets`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
    assert.equal(answer.status, 201);
    return answer.json();
  };

  test('Ticket_StandsForItsToken_OnEveryDaemonOfTheSecret', async () => {
    const id = fresh('anna/s');
    await add_session(world, { id });
    const anna = await ticket(mint({ role: 'authenticated', sub: 'anna' }));
    assert.equal(anna.expires_in, 60);
    assert.match(anna.ticket, /^[\w-]+$/);
    const daemon = await world.serve('postgres');
    for (const one of [daemon, world.daemon]) {
      const stream = open([...on(`session:${id}`), ['ticket', anna.ticket]], { token: null, daemon: one });
      await stream.event((event) => event.event === 'snapshot');
    }
    const other = await ticket(mint({ role: 'authenticated', sub: 'ben' }));
    assert.equal((await open([...on(`session:${id}`), ['ticket', other.ticket]], { token: null }).problem()).status, 403);
    const changed = `${anna.ticket.slice(0, -3)}AAA`;
    assert.equal((await open([...on(`session:${id}`), ['ticket', changed]], { token: null }).problem()).status, 401);
    for (const [options, status] of [[{ method: 'POST' }, 401], [{ method: 'GET', headers: { apikey: service } }, 405]]) {
      assert.equal((await fetch(`${world.daemon.url}/api/v1/tickets`, options)).status, status);
    }
  });

  test('EventSource_InABrowser_OnAForeignPage', { timeout: 60_000 }, async () => {
    const session = await add_session(world);
    const { ticket: pass } = await ticket();
    const foreign = createServer((_, answer) => answer.setHeader('content-type', 'text/html').end('<p>foreign</p>')).listen(0, '127.0.0.1');
    await once(foreign, 'listening');
    const page = await browser.page();
    await page.goto(`http://127.0.0.1:${foreign.address().port}/`);
    foreign.close();
    await page.evaluate(([url]) => {
      window.heard = [];
      const source = new EventSource(url);
      for (const name of ['snapshot', 'chat_history']) source.addEventListener(name, (event) => window.heard.push([name, event.lastEventId, JSON.parse(event.data)]));
    }, [`${world.daemon.url}/events?topic=session:${session}&ticket=${pass}`]);
    await page.waitForFunction(() => window.heard.length === 1);
    await say(world, session, 'to the browser');
    await page.waitForFunction(() => window.heard.length === 2);
    const [, [name, id, data]] = await page.evaluate(() => window.heard);
    assert.equal(name, 'chat_history');
    assert.equal(id, data.cursor);
    assert.equal(data.record.message.text, 'to the browser');
  });
});

describe('curl', () => {
  let curl;
  before(() => {
    curl = spawn('curl', ['--version']);
    return new Promise((done) => curl.once('error', () => done(curl = null)).once('close', done));
  });

  test('CurlN_PrintsEventsAsTheyCome', async (t) => {
    if (!curl) return t.skip('no curl here');
    const session = await add_session(world);
    const child = spawn('curl', ['-sN', '-H', `Authorization: Bearer ${service}`, `${world.daemon.url}/events?topic=session:${session}`]);
    let text = '';
    child.stdout.on('data', (bytes) => {
      text += bytes;
    });
    await until(() => text.includes('event: snapshot\n'), 'the snapshot');
    await say(world, session, 'to curl');
    await until(() => /id: [\w-]+\nevent: chat_history\ndata: \{"topic":"session:.*to curl.*\}\n\n/.test(text), () => text);
    child.kill();
  });
});
