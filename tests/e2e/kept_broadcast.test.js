// Broadcasts that are kept when their sender asks for it, over HTTP and over the socket.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_session } from './fixture/rows.js';
import { mint } from './fixture/token.js';

const world = use_world({
  env: { PGCAST_THREADS: '2' },
  installed_sql: `CREATE POLICY all_read ON realtime.messages FOR SELECT TO authenticated USING (true);
    CREATE POLICY writers_write ON realtime.messages FOR INSERT TO authenticated WITH CHECK (auth.jwt() ->> 'sub' = 'writer');`,
});
afterEach(() => world.close_clients());

const k_writer = { role: 'authenticated', sub: 'writer' };
const k_reader = { role: 'authenticated', sub: 'reader' };

async function post(topic, event, query, { claims = k_writer, body = '{"n":1}', type = 'application/json', daemon = world.daemon } = {}) {
  const answer = await fetch(`${daemon.url}/realtime/v1/api/broadcast/${encodeURIComponent(topic)}/events/${event}?${query}`, {
    method: 'POST', body, headers: { authorization: `Bearer ${mint(claims)}`, 'content-type': type },
  });
  const text = await answer.text();
  return { status: answer.status, body: text && JSON.parse(text) };
}

const rows_of = (topic) => world.query('SELECT id, event, payload::text, binary_payload::text, private FROM realtime.messages WHERE topic = $1 ORDER BY inserted_at', [topic]);

/** A bare socket of vsn 2.0.0 that has joined a private topic and records its broadcasts. */
async function joined(topic, claims, broadcast) {
  const raw = await world.raw({ vsn: '2.0.0', ...claims });
  const config = { private: true, broadcast: { ack: true, self: false, ...broadcast }, presence: {}, postgres_changes: [] };
  const reply = await raw.reply(raw.send(`realtime:${topic}`, 'phx_join', { config }, { ref: '1', join_ref: '1' }));
  assert.equal(reply.status, 'ok', JSON.stringify(reply));
  raw.topic = topic;
  return raw;
}

/** Sends a push of kind 3 and gives its ref. */
function push(raw, event, payload, metadata, encoding = 1) {
  const ref = String(++raw.ref + 100);
  const parts = ['1', ref, `realtime:${raw.topic}`, event, metadata ? JSON.stringify(metadata) : ''].map((text) => Buffer.from(text));
  const body = encoding ? Buffer.from(JSON.stringify(payload)) : Buffer.from(payload);
  raw.socket.send(Buffer.concat([Buffer.from([3, ...parts.map((part) => part.length), encoding]), ...parts, body]));
  return ref;
}

/** Broadcasts of kind 4 that a bare socket was told: {event, meta, payload}. */
function told(raw) {
  return raw.messages.filter((one) => one.binary).map(({ binary }) => {
    const [, topic, event, meta, encoding] = binary;
    const text = (from, length) => binary.subarray(from, from + length).toString();
    const body = binary.subarray(5 + topic + event + meta);
    return { event: text(5 + topic, event), meta: meta ? JSON.parse(text(5 + topic + event, meta)) : {}, payload: encoding ? JSON.parse(body) : [...body] };
  });
}

const heard = (raw, event) => until(() => told(raw).find((one) => one.event === event), () => `${event}: ${JSON.stringify(told(raw))}`);

test('Http_Persist_IsCommittedWhenItIsAnsweredAndArrivesOnce', async () => {
  const topic = fresh('room');
  const reader = await joined(topic, k_reader);
  assert.deepEqual(await post(topic, 'kept', 'private=true&persist=true', { body: '{"text":"ünï"}' }), { status: 202, body: '' });
  const rows = await rows_of(topic);
  assert.deepEqual(rows.map(({ id, ...row }) => row), [{ event: 'kept', payload: '{"text": "ünï"}', binary_payload: null, private: 't' }]);
  const one = await heard(reader, 'kept');
  assert.deepEqual([one.payload, one.meta.id], [{ text: 'ünï' }, rows[0].id]);
  await post(topic, 'end', 'private=true');
  await heard(reader, 'end');
  assert.deepEqual(told(reader).map((other) => other.event), ['kept', 'end']);
});

test('Http_PersistOfBytes_ArrivesAsBytes', async () => {
  const topic = fresh('room');
  const reader = await joined(topic, k_reader);
  const body = Uint8Array.from([0, 255, 10, 92]);
  assert.equal((await post(topic, 'bytes', 'private=true&persist=true', { body, type: 'application/octet-stream' })).status, 202);
  assert.deepEqual((await heard(reader, 'bytes')).payload, [...body]);
  assert.equal((await rows_of(topic))[0].binary_payload, '\\x00ff0a5c');
});

test('Http_Persist_IsReplayedToWhoJoinsLater', async () => {
  const topic = fresh('room');
  const before = Date.now();
  for (const event of ['one', 'two']) await post(topic, event, 'private=true&persist=true');
  await post(topic, 'passing', 'private=true');
  await post(topic, 'short', `private=true&${encodeURIComponent('persist[ttl]')}=1`);
  await sleep(1200);
  const late = await joined(topic, k_reader, { replay: { since: before - 1000, limit: 10 } });
  await heard(late, 'two');
  await post(topic, 'end', 'private=true');
  await heard(late, 'end');
  assert.deepEqual(told(late).map((one) => [one.event, one.meta.replayed]), [['one', true], ['two', true], ['end', undefined]]);
});

test('Http_PersistOfAPublicTopic_Is422', async () => {
  const answer = await post(fresh('room'), 'e', 'persist=true');
  assert.equal(answer.status, 422);
  assert.deepEqual(answer.body.errors, { persist: ['can only be used on private channels'] });
  assert.equal((await post(fresh('room'), 'e', 'private=true&persist[ttl]=0')).status, 422);
  assert.equal((await post(fresh('room'), 'e', 'private=true&persist[ttl]=7')).status, 202);
});

test('Http_PersistByAReader_KeepsNothingAndIsNotTold', async () => {
  const topic = fresh('room');
  assert.equal((await post(topic, 'e', 'private=true&persist=true', { claims: k_reader })).status, 202);
  assert.deepEqual(await rows_of(topic), []);
});

test('Http_PersistOfWhatPostgresCannotHold_Is422', async () => {
  const answer = await post(fresh('room'), 'e', 'private=true&persist=true', { body: '{"text":"a\\u0000b"}' });
  assert.equal(answer.status, 422);
  assert.deepEqual(answer.body.errors, { payload: ['cannot be kept'] });
});

test('Http_PersistOfADomainTopic_IsAllowed', async () => {
  const session = await add_session(world);
  const watch = world.client(k_reader).watch(`session:${session}`);
  await watch.snapshot();
  assert.equal((await post(`session:${session}`, 'note', 'persist=true')).status, 202);
  await until(() => watch.others.find((one) => one.event === 'note'), () => watch.say());
  assert.equal((await rows_of(`session:${session}`)).length, 1);
});

test('Http_Persist_ReachesTheClientsOfEveryDaemon', async () => {
  const other = await world.serve('postgres');
  const topic = fresh('room');
  const far = world.client({ ...k_reader, daemon: other }).watch(topic, { private: true });
  const near = world.client(k_reader).watch(topic, { private: true });
  await Promise.all([far.joined(), near.joined()]);
  await post(topic, 'kept', 'private=true&persist=true');
  for (const one of [far, near]) await until(() => one.others.length === 1, () => one.say());
});

test('Socket_Persist_AnswersWithTheIdAndIsNotEchoed', async () => {
  const topic = fresh('room');
  const reader = await joined(topic, k_reader);
  const writer = await joined(topic, k_writer);
  const echoed = await joined(topic, k_writer, { self: true });
  const reply = await writer.reply(push(writer, 'kept', { n: 1 }, { persist: true }));
  const rows = await rows_of(topic);
  assert.deepEqual(reply, { status: 'ok', response: { id: rows[0].id } });
  assert.equal((await heard(reader, 'kept')).meta.id, rows[0].id);
  await echoed.reply(push(echoed, 'mine', { n: 2 }, { persist: { ttl: 60 } }));
  for (const raw of [reader, writer, echoed]) await heard(raw, 'mine');
  await reader.reply(push(writer, 'passing', {}, null)).catch(() => {});
  await heard(reader, 'passing');
  assert.deepEqual(told(writer).map((one) => one.event), ['mine'], 'not its own');
  assert.deepEqual(told(echoed).map((one) => one.event), ['kept', 'mine', 'passing']);
  assert.equal((await rows_of(topic)).length, 2);
});

test('Socket_PersistOfBytes_IsKept', async () => {
  const topic = fresh('room');
  const [reader, writer] = [await joined(topic, k_reader), await joined(topic, k_writer)];
  const { status } = await writer.reply(push(writer, 'bytes', [1, 0, 2], { persist: true }, 0));
  assert.equal(status, 'ok');
  assert.deepEqual((await heard(reader, 'bytes')).payload, [1, 0, 2]);
});

test('Socket_PersistThatIsWrong_IsAnsweredWithTheReason', async () => {
  const topic = fresh('room');
  const writer = await joined(topic, k_writer);
  const { status, response } = await writer.reply(push(writer, 'e', {}, { persist: { ttl: 'long' } }));
  assert.deepEqual([status, response], ['error', { reason: 'persist takes true or a ttl in seconds, from 1' }]);
  assert.equal((await writer.reply(push(writer, 'e', { text: 'a\u0000b' }, { persist: true }))).response.reason, 'Postgres cannot hold the payload');
  assert.deepEqual(await rows_of(topic), []);
});

test('Socket_PersistByAReader_KeepsNothing', async () => {
  const topic = fresh('room');
  const [reader, writer] = [await joined(topic, k_reader), await joined(topic, k_writer)];
  push(reader, 'unheard', {}, { persist: true });
  await writer.reply(push(writer, 'heard', {}, { persist: true }));
  await heard(reader, 'heard');
  assert.deepEqual((await rows_of(topic)).map((row) => row.event), ['heard']);
});

test('DatabaseAway_PersistIsRefusedAndNothingIsSent', { timeout: 60_000 }, async () => {
  const topic = fresh('room');
  const writer = await joined(topic, k_writer);
  const reader = await joined(topic, k_reader);
  assert.equal((await post(topic, 'before', 'private=true')).status, 202);
  await world.postgres.crash();
  assert.equal((await post(topic, 'lost', 'private=true&persist=true')).status, 503);
  const { status, response } = await writer.reply(push(writer, 'lost', {}, { persist: true }));
  assert.deepEqual([status, response.reason], ['error', 'UnableToConnectToProject: the message could not be kept, try again']);
  await world.postgres.boot();
  await until(async () => (await post(topic, 'again', 'private=true&persist=true')).status === 202, 'the database is back', 20_000);
  await heard(reader, 'again');
  assert.deepEqual(told(reader).map((one) => one.event), ['before', 'again']);
});
