// One client that asks for too much or reads too little: nobody else waits, and memory stays bounded.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, is, say } from './fixture/rows.js';
import { difference, k_no_difference } from './fixture/writers.js';
import { fill, rows_of, snapshots_of } from './fixture/unread.js';

// One thread, so that the abuser and the others always meet. A row may say how long its policy takes.
// Of a sanitizer's build the quarantine of freed memory would count as the daemon's.
const k_env = { PGCAST_THREADS: '1', ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=1` };
const world = use_world({
  env: k_env,
  sql: `CREATE FUNCTION slow(message jsonb) RETURNS boolean VOLATILE LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_sleep((message ->> 'wait')::float8); RETURN true; END $$;
    ALTER TABLE chat_history ENABLE ROW LEVEL SECURITY;
    CREATE POLICY seen ON chat_history FOR SELECT TO authenticated USING (slow(message));
    ALTER TABLE call_info ENABLE ROW LEVEL SECURITY;
    CREATE POLICY writes ON call_info FOR ALL TO authenticated WITH CHECK (true);`,
});

// A daemon that is new, so that no memory of an earlier test hides what this one takes.
beforeEach(() => restart());

const k_patience = 5000; // ms; without protection the others waited for tens of seconds
const as = (sub) => world.raw({ role: 'authenticated', sub });

/** A new daemon, perhaps with other settings. */
async function restart(env = {}) {
  world.close_clients();
  await world.daemon.kill();
  world.daemon.extra = { ...k_env, ...env };
  await world.daemon.run();
}

/** A session with two readers, one of which every row is decided for. */
async function others() {
  const session = await add_session(world);
  const readers = [await world.raw(), await as('an ordinary user')];
  for (const reader of readers) await reader.join(`session:${session}`);
  return { session, readers };
}

/** Rows of `session` come to each of its readers, none later than k_patience. */
async function assert_served({ session, readers }, ms) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) {
    const id = await say(world, session, 'an ordinary row');
    for (const reader of readers) {
      await until(() => rows_of(reader, `session:${session}`).some((event) => event.record.id === id), 'the row comes', k_patience);
    }
  }
}

/** Joins `topic` and reads nothing of the answer. */
function join_unread(raw, topic, broadcast) {
  raw.socket.pause();
  raw.send(`realtime:${topic}`, 'phx_join', { config: { broadcast } }, { ref: topic, join_ref: topic });
}

/** Runs `work` and gives by how many MB the daemon grew at most meanwhile. */
async function growth_during(work) {
  const before = world.daemon.memory().rss;
  await work();
  return world.daemon.memory().peak - before;
}

test('Joins_ThousandsOfOneClient_OthersJoinAndAreServed', { timeout: 60_000 }, async (t) => {
  const campaign = await add_campaign(world);
  for (let nth = 0; nth < 5; nth += 1) await add_session(world, { campaign });
  const here = await others();
  const flooder = await as('flooder');
  const joins = 40_000;
  const growth = await growth_during(async () => {
    for (let nth = 0; nth < joins; nth += 1) {
      flooder.send(`realtime:campaign:${campaign}`, 'phx_join', { config: { broadcast: {} } }, { ref: `f${nth}`, join_ref: `f${nth}` });
    }
    const began = Date.now();
    const late = await as('another user');
    assert.equal((await late.join(`session:${here.session}`)).reply.status, 'ok');
    assert.ok(Date.now() - began < k_patience, `a join took ${Date.now() - began} ms`);
    await assert_served(here, 1500);
  });
  t.diagnostic(`grew by ${growth} MB`);
  assert.ok(growth < 100, `grew by ${growth} MB`);
});

test('Heartbeats_AnswersNotRead_WaitAtTheClient', { timeout: 60_000 }, async (t) => {
  const here = await others();
  const flooder = await world.raw();
  flooder.socket.pause();
  const count = 300_000;
  const growth = await growth_during(async () => {
    for (let nth = 1; nth <= count; nth += 1) flooder.socket.send(`{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"${nth}"}`);
    await assert_served(here, 2500);
  });
  t.diagnostic(`grew by ${growth} MB`);
  assert.ok(growth < 30, `grew by ${growth} MB`);
  flooder.socket.resume();
  await until(() => flooder.messages.length >= count, () => `all are answered, now ${flooder.messages.length}`, 30_000);
  assert.ok(flooder.messages.every((one, nth) => one.ref === String(nth + 1)), 'in order');
});

test('Pings_PongsNotRead_WaitAtTheClient', { timeout: 60_000 }, async (t) => {
  const here = await others();
  const flooder = await world.raw();
  flooder.socket.pause();
  let pongs = 0;
  flooder.socket.on('pong', () => {
    pongs += 1;
  });
  const count = 300_000;
  const growth = await growth_during(async () => {
    for (let nth = 0; nth < count; nth += 1) flooder.socket.ping('x'.repeat(100));
    await assert_served(here, 2500);
  });
  t.diagnostic(`grew by ${growth} MB`);
  assert.ok(growth < 30, `grew by ${growth} MB`);
  flooder.socket.resume();
  await until(() => pongs === count, () => `all are answered, now ${pongs}`, 30_000);
});

test('Snapshot_NotRead_TheSourceGoesOn', { timeout: 60_000 }, async (t) => {
  await restart({ PGCAST_LIMITS_SLOW_CLIENT: '20s' }); // what is not read would hold the source up for so long
  const big = await add_session(world);
  await fill(world, big, 1000, 16_000);
  const here = await others();
  const lazy = [];
  const growth = await growth_during(async () => {
    for (let nth = 0; nth < 3; nth += 1) {
      lazy.push(await world.raw());
      join_unread(lazy.at(-1), `session:${big}`, {});
      await assert_served(here, 1000);
    }
  });
  t.diagnostic(`grew by ${growth} MB`);
  for (const raw of lazy) raw.socket.resume();
  for (const raw of lazy) {
    await until(() => snapshots_of(raw, `session:${big}`).length === 1, 'the snapshot comes when it is read', 20_000);
    assert.equal(snapshots_of(raw, `session:${big}`)[0].messages.length, 1000);
  }
});

test('Policy_SlowForManyRows_EndsAndLosesNothing', { timeout: 90_000 }, async (t) => {
  const slow = await add_session(world);
  const asker = await as('asker');
  await asker.join(`session:${slow}`);
  const here = await others();
  await world.query(`INSERT INTO chat_history (session_id, message)
    SELECT $1, jsonb_build_object('n', n, 'wait', 0.08) FROM generate_series(1, 150) n`, [slow]);
  const began = Date.now();
  const id = await say(world, here.session, 'behind them');
  await until(() => rows_of(here.readers[0], `session:${here.session}`).some((event) => event.record.id === id), 'the row comes', 45_000);
  t.diagnostic(`150 rows of 80 ms each held a row up for ${Date.now() - began} ms`);
  await until(() => rows_of(asker, `session:${slow}`).length >= 150, 'all that were decided', 10_000);
  assert.deepEqual(rows_of(asker, `session:${slow}`).map((event) => event.record.message.n), Array.from({ length: 150 }, (_, n) => n + 1));
});

test('Policy_ForAllWithCheckOnly_ShowsNothing', async () => {
  const session = await add_session(world);
  const add_call = (id) => world.query("INSERT INTO call_info (call_id, session_id, transcript) VALUES ($1, $2, 'secret')", [`${session} ${id}`, session]);
  await add_call('before');
  const [user, service] = [await as('eve'), await world.raw()];
  for (const raw of [user, service]) {
    await raw.join(`session:${session}`);
    await raw.message((one) => one.payload?.event === 'snapshot');
  }
  assert.deepEqual(snapshots_of(user, `session:${session}`)[0].calls, []);
  assert.equal(snapshots_of(service, `session:${session}`)[0].calls.length, 1);
  await add_call('live');
  const last = await say(world, session, 'the end');
  for (const raw of [user, service]) await until(() => rows_of(raw, `session:${session}`).some((event) => event.record.id === last), 'the end');
  assert.equal(rows_of(service, `session:${session}`).filter(is('call_info', 'INSERT')).length, 1);
  assert.deepEqual(rows_of(user, `session:${session}`).filter((event) => event.table === 'call_info'), []);
});

test('Join_WhileParked_StaysBoundedAndGetsEverything', { timeout: 90_000 }, async (t) => {
  const [first, second] = [await add_session(world), await add_session(world)];
  const lazy = await world.raw();
  await lazy.join(`session:${first}`);
  lazy.socket.pause();
  const ids = { [first]: [], [second]: [] };
  const growth = await growth_during(async () => {
    const parked = () => world.daemon.process.log().split('is parked').length;
    const before = parked();
    await until(async () => {
      ids[first].push(...await fill(world, first, 50, 96_000));
      await sleep(300);
      return parked() > before;
    }, 'parked', 30_000);
    lazy.send(`realtime:session:${second}`, 'phx_join', { config: { broadcast: { snapshot: false } } }, { ref: 'second', join_ref: 'second' });
    await sleep(500);
    for (let nth = 0; nth < 5; nth += 1) {
      ids[second].push(...await fill(world, second, 250, 96_000));
      await sleep(300);
    }
    await sleep(1000);
  });
  t.diagnostic(`grew by ${growth} MB`);
  assert.ok(growth < 60, `grew by ${growth} MB`);
  lazy.socket.resume();
  assert.equal((await lazy.reply('second', 20_000)).status, 'ok');
  for (const session of [first, second]) {
    const told = () => rows_of(lazy, `session:${session}`).map((event) => event.record.id);
    const missing = () => difference(told(), ids[session]);
    await until(() => missing().missing === 0, () => JSON.stringify(missing()), 40_000);
    assert.deepEqual(missing(), k_no_difference);
  }
});

test('Resume_OfLargeRowsNotRead_StaysBoundedAndGetsEverything', { timeout: 90_000 }, async (t) => {
  const sessions = [];
  for (let nth = 0; nth < 4; nth += 1) sessions.push(await add_session(world));
  const reader = await world.raw();
  const { cursor } = await reader.join(`session:${sessions[0]}`).then(async () => {
    await reader.message((one) => one.payload?.event === 'snapshot');
    return snapshots_of(reader, `session:${sessions[0]}`)[0];
  });
  reader.close();
  const ids = [];
  for (const session of sessions) ids.push(await fill(world, session, 60, 512_000));
  await sleep(1000); // the source has read them
  const lazy = await world.raw();
  const growth = await growth_during(async () => {
    for (const session of sessions) join_unread(lazy, `session:${session}`, { resume: cursor });
    await sleep(4000);
  });
  t.diagnostic(`grew by ${growth} MB`);
  assert.ok(growth < 50, `grew by ${growth} MB`);
  lazy.socket.resume();
  for (const [at, session] of sessions.entries()) {
    const told = () => rows_of(lazy, `session:${session}`).map((event) => event.record.id);
    await until(() => told().length >= 60, () => `${session} is complete, now ${told().length}`, 40_000);
    assert.deepEqual(told(), ids[at]);
  }
});
