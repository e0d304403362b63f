// Networks and servers that fail in the middle: noticed soon, and nothing lost, doubled or moved.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Daemon, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { Proxy } from './fixture/proxy.js';
import { add_campaign, add_session, say } from './fixture/rows.js';
import { Writers, committed, difference, k_no_difference, told_once } from './fixture/writers.js';

const world = use_world();
const k_noticed = 6000; // ms: 1 s between safety polls, 4.5 s without an answer, and slack
const k_back = 12_000; // ms: the longest back-off, and slack
const k_rows = 20_000;

let proxy;
let daemon;
async function watch_all(count = 2, by = daemon) {
  const campaign = await add_campaign(world);
  const sessions = [];
  for (let nth = 0; nth < count; nth += 1) sessions.push(await add_session(world, { campaign }));
  const topics = [`campaign:${campaign}`, ...sessions.map((session) => `session:${session}`)];
  const watches = topics.map((topic) => world.client({ daemon: by }).watch(topic));
  for (const watch of watches) await watch.snapshot();
  return { sessions, watches };
}

async function assert_complete({ sessions, watches }) {
  for (const [at, watch] of watches.entries()) {
    const wanted = await committed(world, at === 0 ? sessions : [sessions[at - 1]]);
    const complete = () => difference(told_once(watch), wanted).missing === 0;
    await until(complete, () => `${watch.topic}: ${JSON.stringify(difference(told_once(watch), wanted))} ${watch.say()}`, 30_000);
    assert.deepEqual(difference(told_once(watch), wanted), k_no_difference);
    assert.equal(watch.snapshots.length, 1);
    assert.equal(watch.statuses.length, 1, 'no client was disconnected');
  }
}

/** Milliseconds until readyz says that, polled. */
async function until_ready(wanted, ms, of = daemon) {
  const began = performance.now();
  await until(async () => (await of.is_ready()) === wanted, () => `ready: ${wanted}\n${of.process.log().slice(-2000)}`, ms);
  return Math.round(performance.now() - began);
}


/** A large batch of which a watch must be told in the order of its rows, while `disturb` disturbs. */
async function large_batch(t, disturb) {
  const session = await add_session(world);
  const watch = world.client({ daemon }).watch(`session:${session}`);
  await watch.snapshot();
  const file = `${world.postgres.directory}/rows.tsv`;
  await world.query(`COPY (SELECT '${session}', json_build_object('n', i, 'text', repeat(' lorem ipsum', 8)) FROM generate_series(1, ${k_rows}) i) TO '${file}'`);
  const disturbance = disturb(watch);
  await world.query(`COPY chat_history (session_id, message) FROM '${file}'`);
  await disturbance;
  const is_told = () => new Set(watch.events.map((event) => event.id)).size >= k_rows;
  await until(async () => {
    await sleep(100);
    return is_told();
  }, () => `all rows, now ${watch.events.length}\n${daemon.process.log().slice(-1500)}`, 40_000);
  const once = [...new Map(watch.events.map((event) => [event.id, event])).values()].map((event) => event.record.message.n);
  assert.equal(once.length, k_rows);
  assert.equal(once.findIndex((n, at) => n !== at + 1), -1, 'in the order of the rows');
  assert.equal(watch.snapshots.length, 1);
  t.diagnostic(`${watch.events.length - k_rows} told twice`);
}

/** A daemon whose database.url names two hosts, each a proxy to the same server. */
async function with_two_hosts(t) {
  const hosts = [await Proxy.start(world.postgres.port), await Proxy.start(world.postgres.port)];
  const list = hosts.map((host) => `127.0.0.1:${host.port}`).join(',');
  const one = new Daemon(`postgres://owner@${list}/postgres?target_session_attrs=read-write`);
  world.daemons.add(one);
  t.after(async () => {
    await one.kill();
    for (const host of hosts) await host.stop();
  });
  await one.run();
  return { hosts, daemon: one };
}

describe('a daemon behind a network that fails', () => {
  before(async () => {
    proxy = await Proxy.start(world.postgres.port);
    daemon = new Daemon(proxy.url());
    world.daemons.add(daemon);
    await daemon.run();
  }, { timeout: 30_000 });
  after(() => proxy.stop());

  test('HalfOpen_NoticedAndOverAgain_DeliversTheCommittedSet', { timeout: 60_000 }, async (t) => {
    const here = await watch_all();
    const writers = new Writers(world, here.sessions, { count: 3 });
    await sleep(500);
    proxy.stall();
    const noticed = await until_ready(false, k_noticed);
    const joining = world.client({ daemon }).watch(`session:${here.sessions[0]}`);
    await until(() => here.watches.every((watch) => watch.codes().length === 1), 'clients are told', 5000);
    proxy.resume();
    const back = await until_ready(true, k_back);
    await sleep(500);
    await writers.stop();
    await assert_complete(here);
    await until(() => here.watches.every((watch) => watch.codes().length === 2), 'clients are told', 5000);
    for (const watch of here.watches) assert.deepEqual(watch.codes(), ['source_away', 'source_back']);
    await joining.snapshot(1, 20_000);
    t.diagnostic(`noticed after ${noticed} ms, back after ${back} ms, ${here.watches[0].events.length} rows`);
  });

  test('HalfOpen_WhileAsleep_IsNoticed', { timeout: 60_000 }, async (t) => {
    const here = await watch_all(1);
    await sleep(1500); // nobody writes
    proxy.stall();
    const noticed = await until_ready(false, k_noticed);
    await say(world, here.sessions[0], 'meanwhile');
    proxy.resume();
    const back = await until_ready(true, k_back);
    await assert_complete(here);
    t.diagnostic(`noticed after ${noticed} ms, back after ${back} ms`);
  });

  test('Start_ReaderLaterThanTheFirstJoins_LosesNothing', { timeout: 60_000 }, async (t) => {
    const campaign = await add_campaign(world);
    const session = await add_session(world, { campaign });
    const watches = [`campaign:${campaign}`, `session:${session}`].map((topic) => world.client({ daemon, quick: true }).watch(topic));
    for (const watch of watches) await watch.snapshot();
    for (const watch of watches) watch.keep_place();
    const writers = new Writers(world, [session], { count: 4 });
    await sleep(500);
    await daemon.kill('SIGKILL');
    proxy.hold_connection(2, 1500); // the first one asks whether the server suits, the second is the reader's
    await daemon.run();
    await sleep(500);
    await writers.stop();
    const wanted = await committed(world, [session]);
    for (const watch of watches) {
      await until(() => difference(told_once(watch), wanted).missing === 0, () => `${JSON.stringify(difference(told_once(watch), wanted))} ${watch.say()}`, 15_000);
      assert.equal(watch.snapshots.length, 1, 'resumed');
    }
    t.diagnostic(`${wanted.length} rows`);
  });

  test('Lost_OldConnectionsSilentForEver_NewOnesTakeOver', { timeout: 60_000 }, async (t) => {
    const here = await watch_all();
    const writers = new Writers(world, here.sessions, { count: 3 });
    await sleep(300);
    proxy.lose();
    const began = performance.now();
    const id = await say(world, here.sessions[0], 'after the loss');
    await here.watches[0].event((event) => event.record?.id === id, 1, 15_000);
    const late = Math.round(performance.now() - began);
    assert.ok(late < k_noticed, `${late} ms`);
    const joining = performance.now();
    await world.client({ daemon }).watch(`session:${here.sessions[0]}`).snapshot(1, 20_000);
    await writers.stop();
    await assert_complete(here);
    t.diagnostic(`delivered after ${late} ms, a join took ${Math.round(performance.now() - joining)} ms`);
  });

  test('Batch_CutInTheMiddleManyTimes_ComesWholeAndInOrder', { timeout: 60_000 }, async (t) => {
    const k_cuts = 8;
    const wanted = proxy.cuts + k_cuts;
    await large_batch(t, async () => {
      while (proxy.cuts < wanted) {
        proxy.fail_in_the_middle(100_000 + Math.random() * 500_000);
        const before = proxy.cuts;
        await until(() => proxy.cuts > before, () => `cut ${proxy.cuts}`, 20_000);
      }
    });
    t.diagnostic(`cut ${k_cuts} times`);
  });

  test('Batch_BackendsTerminatedInTheMiddle_ComesWholeAndInOrder', { timeout: 60_000 }, async (t) => {
    let ended = 0;
    await large_batch(t, async (watch) => {
      while (watch.events.length < k_rows / 2) {
        await sleep(150);
        if (watch.events.length === 0) continue;
        ended += (await world.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pgcast%'")).length;
      }
    });
    t.diagnostic(`${ended} backends terminated`);
  });

  test('Batch_HalfOpenInTheMiddle_IsNoticedAndComesWholeAndInOrder', { timeout: 60_000 }, async (t) => {
    await large_batch(t, async (watch) => {
      proxy.fail_in_the_middle(2_000_000, 'stall');
      await until(() => proxy.is_stalled, 'stalled');
      const told = watch.events.length;
      const began = performance.now();
      const says_why = async () => /silent in the middle of a batch/.test((await daemon.ready()).reason);
      await until(says_why, 'noticed', k_noticed).finally(() => proxy.resume());
      t.diagnostic(`noticed after ${Math.round(performance.now() - began)} ms, ${told} rows told before, back after ${await until_ready(true, k_back)} ms`);
    });
  });

  test('Outage_WithMuchMissed_IsOverForAClientWhenItHasAll', { timeout: 60_000 }, async (t) => {
    const session = await add_session(world);
    const watch = world.client({ daemon }).watch(`session:${session}`);
    await watch.snapshot();
    proxy.stall();
    await until(() => watch.codes().length === 1, 'told that it is away', 10_000);
    const k_missed = 8000;
    await world.query(`INSERT INTO chat_history (session_id, message)
      SELECT $1, json_build_object('n', i, 'text', repeat(' lorem ipsum', 20)) FROM generate_series(1, ${k_missed}) i`, [session]);
    proxy.resume();
    let had;
    await until(() => {
      had = watch.events.length;
      return watch.codes().length === 2;
    }, () => watch.say(), 40_000);
    assert.deepEqual(watch.codes(), ['source_away', 'source_back']);
    assert.equal(watch.events.length, k_missed, `all that was missed comes ahead of the word that it has (${had})`);
  });

  test('HalfOpen_AtConnect_IsTriedAgainUntilItWorks', { timeout: 60_000 }, async (t) => {
    const here = await watch_all(1);
    proxy.stall();
    proxy.cut();
    await until_ready(false, 1000);
    await say(world, here.sessions[0], 'meanwhile');
    await sleep(7000); // a silent connect and part of another
    proxy.resume();
    const back = await until_ready(true, k_back);
    await assert_complete(here);
    t.diagnostic(`back after ${back} ms`);
  });
});

test('HalfOpen_AtStart_EndsWithAClearSentence', { timeout: 30_000 }, async (t) => {
  const silent = await Proxy.start(world.postgres.port);
  t.after(() => silent.stop());
  silent.stall();
  for (const name of ['serve', 'check']) {
    const began = performance.now();
    const { code, text } = await new Daemon(silent.url()).command(name);
    assert.notEqual(code, 0);
    assert.match(text, /did not answer in time|timeout expired/);
    assert.ok(performance.now() - began < 12_000);
  }
});

describe('a list of servers', () => {
  /** A join, and a row, on the server that is left. */
  const assert_works = async (one, watch, session) => {
    const id = await say(world, session, 'on the other server');
    await watch.event((event) => event.record.id === id, 1, 5000);
    await world.client({ daemon: one }).watch(`session:${session}`).snapshot(1, 20_000);
  };

  test('Servers_OneFallsSilentAfterTheOther_TheOtherTakesOverSoon', { timeout: 90_000 }, async (t) => {
    const { hosts, daemon: one } = await with_two_hosts(t);
    const session = await add_session(world);
    const watch = world.client({ daemon: one }).watch(`session:${session}`);
    await watch.snapshot();
    for (const silent of [0, 1, 0]) {
      hosts[silent].stall();
      const noticed = await until_ready(false, k_noticed, one);
      const back = await until_ready(true, k_back, one);
      t.diagnostic(`noticed after ${noticed} ms, on the other after ${back} ms`);
      await assert_works(one, watch, session);
      hosts[silent].resume();
    }
    assert.equal(watch.statuses.length, 1);
    assert.equal(watch.snapshots.length, 1);
    assert.deepEqual(watch.events.map((event) => event.record.id), await committed(world, [session]));
  });

  test('Servers_FirstSilentFromTheStart_StartsOnTheSecond', { timeout: 60_000 }, async (t) => {
    const hosts = [await Proxy.start(world.postgres.port), await Proxy.start(world.postgres.port)];
    const one = new Daemon(`postgres://owner@127.0.0.1:${hosts[0].port},127.0.0.1:${hosts[1].port}/postgres`);
    t.after(async () => {
      await one.kill();
      for (const host of hosts) await host.stop();
    });
    hosts[0].stall();
    const began = performance.now();
    await one.run();
    t.diagnostic(`ready after ${Math.round(performance.now() - began)} ms`);
    const session = await add_session(world);
    const watch = world.client({ daemon: one }).watch(`session:${session}`);
    await watch.snapshot(1, 20_000);
    await assert_works(one, watch, session);
  });
});
