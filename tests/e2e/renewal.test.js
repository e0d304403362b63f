// Tokens renewed at bad moments, clients parked, numbers that move back: no event is lost, none comes twice.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, is, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';
import { Writers, committed, difference, k_no_difference, told_with_snapshot } from './fixture/writers.js';
import { fill, forget_rows, rows_of, snapshots_of, texts } from './fixture/unread.js';

// One thread: what is decided for one is waited for by all. A chat row may say how long its policy
// takes, and until when; a token, how long its permission takes.
const world = use_world({
  env: { PGCAST_THREADS: '1', PGCAST_LIMITS_DATABASE_CONNECTIONS: '8', PGCAST_LIMITS_SLOW_CLIENT: '500ms' },
  sql: `CREATE FUNCTION slow(message jsonb) RETURNS boolean VOLATILE LANGUAGE plpgsql AS $$ BEGIN
        IF extract(epoch FROM clock_timestamp()) < coalesce((message ->> 'until')::float8, 'infinity') THEN
          PERFORM pg_sleep((message ->> 'wait')::float8);
        END IF;
        RETURN true;
      END $$;
    CREATE FUNCTION may_join() RETURNS boolean VOLATILE LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_sleep((auth.jwt() ->> 'wait')::float8);
        RETURN auth.jwt() ->> 'sub' <> 'nobody';
      END $$;
    CREATE FUNCTION takes_a_moment(text) RETURNS boolean STABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.03); RETURN true; END $$;
    ALTER TABLE chat_history ENABLE ROW LEVEL SECURITY;
    CREATE POLICY seen ON chat_history FOR SELECT TO authenticated USING (slow(message));
    ALTER TABLE call_info ENABLE ROW LEVEL SECURITY;
    CREATE POLICY seen ON call_info FOR SELECT TO authenticated USING (takes_a_moment(transcript)); -- may be kept
    ALTER TABLE session_info ENABLE ROW LEVEL SECURITY;
    CREATE POLICY seen ON session_info FOR SELECT TO authenticated USING (may_join());`,
});
let is_on = false; // background work of a test goes on
afterEach(() => {
  is_on = false;
  world.close_clients();
});

const user = (sub = fresh('user'), more) => ({ role: 'authenticated', sub, ...more });

function renew(raw, topic, claims) {
  raw.send(`realtime:${topic}`, 'access_token', { access_token: mint(claims) });
}

/** A chat row whose policy takes `wait` seconds, as long as it is younger than `young` seconds. */
async function say_slowly(session, text, wait, young = 60) {
  const message = { text, wait, until: Date.now() / 1000 + young };
  const [{ id }] = await world.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2) RETURNING id', [session, JSON.stringify(message)]);
  return Number(id);
}

async function joined(claims, topic, broadcast) {
  const raw = await world.raw(claims);
  const { reply } = await raw.join(topic, broadcast);
  assert.equal(reply.status, 'ok', JSON.stringify(reply));
  if (!broadcast) await raw.message((one) => one.payload?.event === 'snapshot');
  return raw;
}

const has_text = (raw, topic, text) => () => texts(rows_of(raw, topic)).includes(text);

test('Renewed_RightAfterTheJoin_NothingOfTheSnapshotComesAgain', async () => {
  const [session, elsewhere] = [await add_session(world), await add_session(world)];
  const topic = `session:${session}`;
  const asker = await joined(user(), `session:${elsewhere}`);
  await say_slowly(elsewhere, 'holds all others up', 1.5);
  await sleep(100);
  await say(world, session, 'in the snapshot');
  const raw = await joined({}, topic);
  renew(raw, topic, { sub: 'another' });
  await until(has_text(asker, `session:${elsewhere}`, 'holds all others up'), 'the slow row', 15_000);
  await say(world, session, 'live');
  await until(has_text(raw, topic, 'live'), 'the live row');
  assert.deepEqual(snapshots_of(raw, topic).map((snapshot) => snapshot.messages.length), [1]);
  assert.deepEqual(texts(rows_of(raw, topic)), ['live']);
});

test('Renewed_WhileCatchingUp_WhatIsJustDecidedIsNotLost', { timeout: 60_000 }, async () => {
  const tries = await Promise.all([100, 500, 900, 1300, 1700].map(async (moment) => {
    const session = await add_session(world);
    const topic = `session:${session}`;
    const service = await joined({}, topic);
    return { session, topic, service, moment, cursor: snapshots_of(service, topic)[0].cursor };
  }));
  for (const one of tries) {
    const { session, topic, moment, cursor } = one;
    await say_slowly(session, 'on the page', 0.6);
    await until(has_text(one.service, topic, 'on the page'), 'the page');
    const who = fresh('user');
    one.raw = await joined(user(who), topic, { resume: cursor });
    await sleep(100);
    await say_slowly(session, 'being decided', 0.9);
    await forget_rows(world, session); // else the renewed token's permission would take as long
    await sleep(moment);
    renew(one.raw, topic, user(who, { renewed: true }));
    await sleep(1500);
    await say(world, session, 'the end');
    await until(has_text(one.raw, topic, 'the end'), () => `the end: ${texts(rows_of(one.raw, topic))}`, 15_000);
    assert.deepEqual(texts(rows_of(one.raw, topic)), ['on the page', 'being decided', 'the end'], `renewed after ${moment} ms`);
  }
});

test('Renewed_AgainAndAgainUnderWriters_DeliversTheCommittedSet', { timeout: 90_000 }, async (t) => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const topic = `session:${session}`;
  is_on = true;
  let rows = 0;
  const writers = [1, 2].map(async () => {
    for (; is_on; rows += 1) {
      await say_slowly(session, `row ${rows}`, 0.01, 0.5);
      await sleep(25); // the decisions keep up, and a snapshot holds all
    }
  });
  const readers = [];
  const renewing = [];
  let renewals = 0;
  for (let nth = 0; nth < 4; nth += 1) {
    const who = fresh('user');
    const raw = await joined(user(who), topic);
    readers.push(raw);
    renewing.push((async () => {
      for (; is_on; renewals += 1) {
        renew(raw, topic, user(who, { nth: renewals }));
        await sleep(20 + Math.random() * 150);
      }
    })());
    await sleep(200);
  }
  await sleep(6000);
  is_on = false;
  await Promise.all([...writers, ...renewing]);
  const last = await say(world, session, 'the end');
  const all = await committed(world, [session]);
  for (const raw of readers) {
    await until(() => rows_of(raw, topic).some((event) => event.record.id === last), () => `the end: ${JSON.stringify(raw.messages.slice(-2))}`, 20_000);
    const told = told_with_snapshot({ snapshots: snapshots_of(raw, topic), events: rows_of(raw, topic) });
    assert.deepEqual(difference(told, all), k_no_difference);
    assert.equal(snapshots_of(raw, topic).length, 1);
  }
  t.diagnostic(`${all.length} rows, ${renewals} renewals`);
});

test('Left_WhileItsRowsAreDecided_TheOthersAreServed', { timeout: 60_000 }, async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const topic = `campaign:${campaign}`;
  const steady = [await joined({}, topic), await joined(user(), topic)];
  is_on = true;
  const comes_and_goes = async () => {
    while (is_on) {
      const raw = await world.raw(user());
      raw.send(`realtime:${topic}`, 'phx_join', { config: { broadcast: { snapshot: false } } }, { ref: 'j', join_ref: 'j' });
      await sleep(50 + Math.random() * 100);
      if (Math.random() < 0.5) renew(raw, topic, user());
      await sleep(Math.random() * 100);
      raw.close();
    }
  };
  const coming = Array.from({ length: 8 }, comes_and_goes);
  const ids = [];
  for (const end = Date.now() + 8000; Date.now() < end; await sleep(100)) {
    ids.push(fresh('call'));
    await world.query('INSERT INTO call_info (call_id, session_id, transcript) VALUES ($1, $2, $1)', [ids.at(-1), session]);
  }
  is_on = false;
  await Promise.all(coming);
  for (const raw of steady) {
    const told = () => rows_of(raw, topic).map((event) => event.record.call_id);
    await until(() => told().length >= ids.length, () => `all rows, now ${told().length} of ${ids.length}`, 30_000);
    assert.deepEqual(told(), ids);
  }
});

for (const [name, tokens, stays] of [
  ['BadThenGood_Stays', [user('nobody', { wait: 0.7 }), user()], true],
  ['GoodThenBad_IsClosed', [user(fresh('user'), { wait: 0.7 }), user('nobody')], false],
]) {
  test(`Renewed_TwiceAtOnce_TheNewerDecides_${name}`, async () => {
    const session = await add_session(world);
    const topic = `session:${session}`;
    const raw = await joined(user(), topic);
    for (const token of tokens) renew(raw, topic, token);
    await sleep(2500); // both have been answered
    await say(world, session, 'live');
    const is_closed = () => raw.messages.some((one) => one.event === 'phx_error');
    if (stays) await until(has_text(raw, topic, 'live'), () => JSON.stringify(raw.messages));
    else await until(is_closed, () => JSON.stringify(raw.messages));
    await sleep(300);
    assert.equal(is_closed(), !stays);
    assert.deepEqual(texts(rows_of(raw, topic)), stays ? ['live'] : []);
  });
}

test('Renewed_WhileParked_NothingIsLost', { timeout: 60_000 }, async () => {
  const session = await add_session(world);
  const topic = `session:${session}`;
  const raw = await joined(user('slow reader'), topic);
  raw.socket.pause();
  const parked = () => world.daemon.process.log().split('is parked').length;
  const before = parked();
  const ids = [];
  await until(async () => {
    ids.push(...await fill(world, session, 50, 96_000));
    await sleep(300);
    return parked() > before;
  }, 'parked', 30_000);
  renew(raw, topic, user('slow reader', { renewed: 1 }));
  await sleep(500);
  ids.push(...await fill(world, session, 50, 32_000));
  renew(raw, topic, user('slow reader', { renewed: 2 }));
  raw.socket.resume();
  renew(raw, topic, user('slow reader', { renewed: 3 }));
  ids.push(await say(world, session, 'the end'));
  const told = () => rows_of(raw, topic).map((event) => event.record.id);
  await until(() => told().includes(ids.at(-1)), () => `the end, now ${told().length} of ${ids.length}`, 30_000);
  assert.deepEqual(difference(told(), ids), k_no_difference);
});

test('Resume_SinceATimeWithAnOlderTransactionOpen_GivesWhatItWrote', async () => {
  const session = await add_session(world);
  const [open, lock] = [await world.postgres.connect(), await world.postgres.connect()];
  try {
    await open.query('BEGIN');
    await open.query('SELECT pg_current_xact_id()');
    const since = new Date().toISOString();
    await sleep(50);
    await say(world, await add_session(world), 'younger, and committed before it');
    await open.query(`INSERT INTO chat_history (session_id, message) VALUES ($1, '{"text": "late"}')`, [session]);
    await lock.query('BEGIN');
    await lock.query('LOCK TABLE session_info IN ACCESS EXCLUSIVE MODE'); // holds the permission up
    const raw = await world.raw();
    const answered = raw.join(`session:${session}`, { resume: { since } });
    await sleep(500);
    await open.query('COMMIT');
    await lock.query('COMMIT');
    await answered;
    await until(has_text(raw, `session:${session}`, 'late'), () => JSON.stringify(raw.messages), 5000);
    assert.deepEqual(texts(rows_of(raw, `session:${session}`)), ['late']);
  } finally {
    await open.end();
    await lock.end();
  }
});

test('Resume_OfACampaignBehindItsSessionsDelete_GivesTheDeletesOfItsRows', async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const topic = `campaign:${campaign}`;
  for (const text of ['one', 'two']) await say(world, session, text);
  const live = await joined({}, topic);
  await world.query('DELETE FROM session_info WHERE session_id = $1', [session]);
  await until(() => rows_of(live, topic).length === 1, 'the DELETE of the session');
  const { cursor } = rows_of(live, topic)[0];
  await world.query('DELETE FROM chat_history WHERE session_id = $1', [session]);
  await until(() => rows_of(live, topic).length === 3, 'the DELETEs of its rows');
  const again = await joined({}, topic, { resume: cursor });
  await until(() => rows_of(again, topic).length === 2, () => JSON.stringify(rows_of(again, topic)));
  assert.deepEqual(rows_of(again, topic).map((event) => event.id), rows_of(live, topic).slice(1).map((event) => event.id));
});

test('Number_MovesAwayAndBackAgainUnderWriters_NothingOfItsSessionIsLost', { timeout: 60_000 }, async () => {
  const phone = fresh_phone();
  const [home, away] = [await add_session(world, { phone }), await add_session(world)];
  const topic = `phone:${phone}`;
  const live = await joined({}, topic);
  const { cursor } = snapshots_of(live, topic)[0];
  const writers = new Writers(world, [home, away], { count: 3 });
  for (let nth = 0; nth < 40; nth += 1) {
    await world.query('UPDATE numbers SET session_id = $2 WHERE phone_number = $1', [phone, nth % 2 ? home : away]);
    if (nth % 4 === 1) await sleep(Math.random() * 300);
  }
  await writers.stop();
  const last = await say(world, home, 'the end');
  const back = await joined({}, topic, { resume: cursor });
  for (const raw of [live, back]) {
    // What a client shows: the newest snapshot, and what came after it.
    const shown = () => {
      const ours = raw.messages.filter((one) => one.event === 'broadcast').map((one) => one.payload);
      const from = ours.findLastIndex((one) => one.event === 'snapshot');
      const rows = ours.slice(from + 1).map((one) => one.payload).filter(is('chat_history', 'INSERT')).map((event) => event.record.id);
      return [...ours[from]?.payload.messages.map((row) => row.id) ?? [], ...rows].sort((a, b) => a - b);
    };
    await until(() => shown().includes(last), () => `the end: ${shown().length} rows`, 15_000);
    assert.deepEqual(difference(shown(), await committed(world, [home])), k_no_difference, raw === live ? 'live' : 'resumed');
  }
});
