// A stream may be cut behind any event: with the last id that the client has had, nothing is missed on any topic.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { Stream, is_row, on } from './fixture/event_stream.js';
import { add_campaign, add_session, fresh_phone, say } from './fixture/rows.js';
import { Writers } from './fixture/writers.js';

const world = use_world({
  env: { PGCAST_THREADS: '2', PGCAST_STATS_INTERVAL: '20ms', PGCAST_LIMITS_QUEUE_BYTES: '64KiB', PGCAST_LIMITS_SLOW_CLIENT: '300ms' },
});
const k_cuts = 20; // of each kind
const k_next = 100; // what is missed is missed right behind the cut
const k_silence_ms = 1_500;

/** What an event tells that must not be missed: a row of a topic; that a topic begins, and with which messages. */
function facts_of({ event, data }) {
  if (event === 'snapshot') return [`${data.topic} begins`, ...(data.messages ?? []).map(({ id }) => `${data.topic} message ${id}`)];
  if (data.table === 'chat_history') return [`${data.topic} message ${data.record.id}`];
  return data.operation ? [`${data.topic} ${data.id}`] : [];
}

/** Where to cut: behind events that are no rows, between the same row on two topics, and anywhere. */
function cuts_of(events) {
  const all = events.map((_, at) => at).slice(0, -1);
  const is_odd = (at) => !is_row(events[at]) || events[at].data.id === events[at + 1].data.id;
  const some = (places) => places.filter((_, n) => n % Math.ceil(places.length / k_cuts || 1) === 0);
  const first_odd = all.filter(is_odd).slice(0, k_cuts);
  return [...new Set([...first_odd, ...some(all.filter(is_odd)), ...some(all)])];
}

/** What of `wanted` has not come when all has, or nothing comes any more. */
async function what_lacks(stream, wanted) {
  const lacks = new Set(wanted);
  let heard_at = Date.now();
  for (let read = 0; lacks.size > 0 && Date.now() - heard_at < k_silence_ms;) {
    if (read < stream.events.length) heard_at = Date.now();
    for (; read < stream.events.length; read += 1) facts_of(stream.events[read]).forEach((fact) => lacks.delete(fact));
    await sleep(5);
  }
  return [...lacks];
}

/** Resumes behind each of those places. */
async function check_cuts({ events }, topics) {
  const missed = [];
  let count = 0;
  for (const at of cuts_of(events)) {
    const had = events.slice(0, at + 1);
    const last = had.findLast((one) => one.id)?.id;
    if (!last) continue; // the client begins again
    count += 1;
    const known = new Set(had.flatMap(facts_of));
    const wanted = new Set(events.slice(at + 1).flatMap(facts_of).filter((fact) => !known.has(fact)));
    const again = new Stream(on(...topics), { daemon: world.daemon, headers: { 'last-event-id': last } });
    const lacks = await what_lacks(again, [...wanted].slice(0, k_next));
    again.close();
    if (lacks.length > 0) missed.push({ behind: events[at].event, at, of: events.length, count: lacks.length, examples: lacks.slice(0, 3) });
  }
  assert.deepEqual(missed, []);
  assert.ok(count >= k_cuts, `${count} cuts of ${events.length} events`);
}

test('RowOnSeveralTopics_IsNotLostBetweenThem', { timeout: 120_000 }, async () => {
  const campaign = await add_campaign(world);
  const phone = fresh_phone();
  const session = await add_session(world, { campaign, phone });
  const topics = [`campaign:${campaign}`, `session:${session}`, `phone:${phone}`, `stats:${campaign}`];
  const stream = new Stream(on(...topics), { daemon: world.daemon });
  await stream.event((one) => one.event === 'snapshot', 3);
  const writers = new Writers(world, [session, await add_session(world, { campaign })], { count: 4 });
  await sleep(1_000);
  await writers.stop();
  await sleep(300);
  stream.close();
  assert.ok(stream.events.filter((one) => is_row(one) && one.id === one.data.cursor).length > 20, 'ids are the cursors of rows while no topic lags');
  await check_cuts(stream, topics);
});

test('NumberThatMoves_BeginsAgainThere', { timeout: 60_000 }, async () => {
  const phone = fresh_phone();
  const sessions = [await add_session(world, { phone }), await add_session(world)];
  const topics = [...sessions.map((session) => `session:${session}`), `phone:${phone}`];
  const stream = new Stream(on(...topics), { daemon: world.daemon });
  await stream.event((one) => one.event === 'snapshot', 3);
  for (let n = 0; n < 10; n += 1) {
    await say(world, sessions[n % 2], 'before it moves');
    await world.query('UPDATE numbers SET session_id = $1 WHERE phone_number = $2', [sessions[(n + 1) % 2], phone]);
    await stream.event((one) => one.event === 'snapshot', 4 + n);
  }
  stream.close();
  // A snapshot is as good as another one; what counts is that one of the new session follows.
  const moves = stream.events.flatMap((one, at) => (one.event === 'numbers' && one.data.topic !== topics[2] ? [at] : []));
  for (const at of moves) {
    const last = stream.events.slice(0, at + 1).findLast((one) => one.id)?.id;
    const next = stream.events.slice(at + 1).find((one) => one.event === 'snapshot');
    if (!last || !next) continue;
    const again = new Stream(on(...topics), { daemon: world.daemon, headers: { 'last-event-id': last } });
    await again.event((one) => one.event === 'snapshot' && one.data.topic === topics[2], 1, 3_000);
    again.close();
  }
  assert.ok(moves.length > 10, `${moves.length} events of moves`);
});

test('NumbersBesideRowsThatAreStillRead_AreNoPlaceOfTheirs', { timeout: 120_000 }, async () => {
  const campaign = await add_campaign(world);
  const [session, busy] = [await add_session(world), await add_session(world, { campaign })];
  const topics = [`session:${session}`, `stats:${campaign}`];
  const first = new Stream(on(topics[0]), { daemon: world.daemon });
  await first.event((one) => one.event === 'snapshot');
  await say(world, session, 'begin');
  await first.event(is_row);
  first.close();
  await world.query(`INSERT INTO chat_history (session_id, message)
    SELECT $1, jsonb_build_object('text', repeat('x', 300), 'n', n) FROM generate_series(1, 8000) n`, [session]);
  const writers = new Writers(world, [busy], { count: 2 });
  const stream = new Stream(on(...topics), { daemon: world.daemon, headers: { 'last-event-id': first.last_id } });
  await stream.event(is_row, 8_000, 30_000);
  await writers.stop();
  stream.close();
  await check_cuts(stream, topics);
});

test('SlowReader_WhoseRowsAreDropped_GetsNoIdBeyondThem', { timeout: 120_000 }, async () => {
  const campaign = await add_campaign(world);
  const sessions = [await add_session(world, { campaign }), await add_session(world, { campaign }), await add_session(world)];
  const topics = [...sessions.map((session) => `session:${session}`), `stats:${campaign}`];
  const stream = new Stream(on(...topics), { daemon: world.daemon });
  await stream.event((one) => one.event === 'snapshot', 3);
  await say(world, sessions[0], 'begin');
  await stream.event(is_row);
  const parked = () => world.daemon.metric('pgcast_slow_clients_total{verdict="parked"}');
  for (let round = 0; round < 3; round += 1) {
    stream.answer.pause();
    const before = await parked();
    await until(async () => {
      await world.query(`INSERT INTO chat_history (session_id, message)
        SELECT unnest($1::text[]), jsonb_build_object('text', repeat('x', 20000)) FROM generate_series(1, 10)`, [sessions]);
      return (await parked()) > before;
    }, 'it is parked', 20_000);
    stream.answer.resume();
    const mark = fresh('mark');
    for (const session of sessions) await say(world, session, mark);
    await stream.event((one) => one.data.record?.message.text === mark, 3, 20_000);
  }
  stream.close();
  await check_cuts(stream, topics);
});
