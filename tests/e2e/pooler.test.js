// Behind a pooler that hides notifications the daemon polls, says so, and loses nothing.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Daemon, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { Pooler } from './fixture/pooler.js';
import { Proxy } from './fixture/proxy.js';
import { add_campaign, add_session, say } from './fixture/rows.js';
import { Writers, committed, difference, k_no_difference, told_once } from './fixture/writers.js';

const world = use_world();
const k_polls = /polling only: a transaction pooler hides notifications; use session mode/g;
const k_remedy = /use the pooler's session mode or the server's own address/;

const command = (name, database_url) => new Daemon(database_url).command(name);

describe('a pooler in transaction mode', () => {
  let pooler;
  let daemon;
  before(async () => {
    pooler = await Pooler.start(world.postgres);
    daemon = new Daemon(pooler.url());
    world.daemons.add(daemon);
    await daemon.run();
  }, { timeout: 60_000 });
  after(async () => {
    await daemon.kill('SIGTERM');
    await pooler.stop();
  });

  const watch_all = async (count = 3) => {
    const campaign = await add_campaign(world);
    const sessions = [];
    for (let nth = 0; nth < count; nth += 1) sessions.push(await add_session(world, { campaign }));
    const topics = [`campaign:${campaign}`, ...sessions.map((session) => `session:${session}`)];
    const watches = topics.map((topic) => world.client({ daemon }).watch(topic));
    for (const watch of watches) await watch.snapshot();
    return { sessions, watches };
  };

  const assert_complete = async ({ sessions, watches }) => {
    for (const [at, watch] of watches.entries()) {
      const wanted = await committed(world, at === 0 ? sessions : [sessions[at - 1]]);
      const complete = () => difference(told_once(watch), wanted).missing === 0;
      await until(complete, () => `${watch.topic}: ${JSON.stringify(difference(told_once(watch), wanted))} ${watch.say()}`, 30_000);
      assert.deepEqual(difference(told_once(watch), wanted), k_no_difference);
      assert.equal(watch.snapshots.length, 1);
      assert.equal(watch.statuses.length, 1, 'no client was disconnected');
    }
  };

  test('Pooler_Serving_IsAnnouncedOnceAndSoonAfterEachCommit', { timeout: 60_000 }, async (t) => {
    assert.equal(daemon.process.log().match(k_polls)?.length, 1, daemon.process.log());
    const session = await add_session(world);
    const watch = world.client({ daemon }).watch(`session:${session}`);
    await watch.snapshot();
    const late = [];
    for (let nth = 0; nth < 20; nth += 1) {
      await sleep(Math.random() * 400);
      const began = performance.now();
      const id = await say(world, session, 'soon');
      await watch.event((event) => event.record.id === id);
      late.push(performance.now() - began);
    }
    late.sort((a, b) => a - b);
    t.diagnostic(`late p50 ${late[10].toFixed(0)} max ${late[19].toFixed(0)} ms`);
    assert.ok(late[10] < 500 && late[19] < 2500, String(late));
    assert.equal(daemon.process.log().match(k_polls).length, 1, 'not said again');
    assert.equal(await daemon.metric('pgcast_source_poll_only'), 1);
    const { code, reason } = await daemon.ready();
    assert.equal(code, 200);
    assert.match(reason, k_polls);
  });

  test('Pooler_Check_WarnsWithTheRemedy', { timeout: 30_000 }, async () => {
    const { code, text } = await command('check', pooler.url());
    const line = text.split('\n').find((one) => one.includes('pooler:'));
    assert.match(line, /^warn {2}pooler: .*transaction mode.*poll/);
    assert.match(line, k_remedy);
    assert.equal(code, 0, text);
    assert.match((await command('check', world.postgres.url('postgres', 'owner'))).text, /^ok {4}pooler: none$/m);
  });

  test('Pooler_Install_IsRefusedWithTheRemedyAndChangesNothing', { timeout: 60_000 }, async () => {
    await world.query('CREATE DATABASE untouched');
    await world.prepare('untouched');
    const { code, text } = await command('install', pooler.url('untouched'));
    assert.notEqual(code, 0);
    assert.match(text, /transaction pooler/);
    assert.match(text, k_remedy);
    const [{ there }] = await world.postgres.query("SELECT to_regnamespace('pgcast') IS NOT NULL AS there", [], 'untouched');
    assert.equal(there, 'f');
  });

  test('Pooler_ServingWhatIsNotInstalled_SaysSo', { timeout: 30_000 }, async () => {
    const { code, text } = await command('serve', pooler.url('untouched'));
    assert.notEqual(code, 0);
    assert.match(text, /not installed/);
  });

  test('Pooler_UnderWriters_DeliversTheCommittedSetAndLeavesNoState', { timeout: 60_000 }, async (t) => {
    const here = await watch_all();
    const writers = new Writers(world, here.sessions);
    await sleep(5000);
    await writers.stop();
    await assert_complete(here);
    t.diagnostic(`${here.watches[0].events.length} rows`);
    const locks = await world.query("SELECT l.* FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND (l.classid::bigint << 32) + l.objid::bigint = 8099551725049085953 AND a.client_port IS NOT NULL AND a.application_name LIKE 'pgcast%' AND a.pid <> ALL (SELECT pid FROM pg_stat_activity WHERE query LIKE '%LISTEN%' OR application_name = 'pgcast listener')");
    assert.deepEqual(locks, [], 'no doorbell is held on a shared connection');
  });

  test('Pooler_Resume_MissesNothing', { timeout: 60_000 }, async () => {
    const session = await add_session(world);
    const { cursor } = await world.client({ daemon }).watch(`session:${session}`).snapshot();
    const ids = [];
    for (let nth = 0; nth < 5; nth += 1) ids.push(await say(world, session, `missed ${nth}`));
    const watch = world.client({ daemon }).watch(`session:${session}`, { broadcast: { resume: cursor } });
    await watch.event(() => true, 5);
    ids.push(await say(world, session, 'live'));
    await watch.event(() => true, 6);
    assert.deepEqual(watch.events.map((event) => event.record.id), ids);
    assert.equal(watch.snapshots.length, 0);
    const direct = world.client().watch(`session:${session}`, { broadcast: { resume: watch.events[2].cursor } });
    await direct.event(() => true, 3);
    assert.deepEqual(direct.events.map((event) => event.record.id), ids.slice(3), 'its cursors are good on a daemon without a pooler');
  });

  test('Pooler_KilledUnderWriters_DeliversTheCommittedSet', { timeout: 80_000 }, async (t) => {
    const here = await watch_all();
    const writers = new Writers(world, here.sessions);
    for (let nth = 0; nth < 2; nth += 1) {
      await sleep(1000);
      await pooler.stop();
      await until(async () => !(await daemon.is_ready()), 'not ready');
      await sleep(nth * 2500);
      await pooler.boot();
      await until(() => daemon.is_ready(), 'ready again', 15_000);
    }
    await sleep(500);
    await writers.stop();
    await assert_complete(here);
    t.diagnostic(`${here.watches[0].events.length} rows`);
    const codes = here.watches[0].codes();
    assert.deepEqual(codes.slice(-2), ['source_away', 'source_back']);
    const late = world.client({ daemon }).watch(`session:${here.sessions[0]}`);
    await late.snapshot();
  });
});

/** A daemon behind a pooler of its own, both gone after the test. */
async function behind(t, options) {
  const pooler = await Pooler.start(world.postgres, options);
  const daemon = new Daemon(pooler.url());
  t.after(async () => {
    if (daemon.process) await daemon.kill();
    await pooler.stop();
  });
  return { pooler, daemon };
}

test('Pooler_WithTwoServerConnectionsForAll_StillServes', { timeout: 60_000 }, async (t) => {
  const { daemon } = await behind(t, { size: 2 });
  await daemon.run();
  const session = await add_session(world);
  const watches = Array.from({ length: 20 }, () => world.client({ daemon }).watch(`session:${session}`));
  for (const watch of watches) await watch.snapshot(1, 15_000);
  const id = await say(world, session, 'hello');
  for (const watch of watches) assert.equal((await watch.event()).record.id, id);
  assert.match((await daemon.command('check')).text, /^warn {2}pooler: /m);
});

test('Pooler_WithOneServerConnectionForAll_StillServes', { timeout: 60_000 }, async (t) => {
  const { daemon } = await behind(t, { size: 1 });
  await daemon.run();
  const session = await add_session(world);
  const watch = world.client({ daemon }).watch(`session:${session}`);
  await watch.snapshot(1, 15_000);
  const id = await say(world, session, 'hello');
  assert.equal((await watch.event()).record.id, id);
});

test('Pooler_WithOneServerConnectionForAll_IsCheckedInAFewSeconds', { timeout: 60_000 }, async (t) => {
  const { daemon } = await behind(t, { size: 1 });
  const began = performance.now();
  const { code, text } = await daemon.command('check');
  assert.ok(performance.now() - began < 15_000);
  assert.match(text, /^warn {2}pooler: .*transaction mode.*poll/m);
  assert.equal(code, 0, text);
});

test('Pooler_InSessionMode_IsListenedThroughLikeADirectConnection', { timeout: 60_000 }, async (t) => {
  const { daemon } = await behind(t, { mode: 'session', size: 30 });
  await daemon.run();
  assert.doesNotMatch(daemon.process.log(), /polling only/);
  assert.equal(await daemon.metric('pgcast_source_poll_only'), 0);
  assert.deepEqual(await daemon.ready(), { code: 200, status: 'ready' });
  assert.match((await daemon.command('check')).text, /^ok {4}pooler: one in session mode/m);
  const session = await add_session(world);
  const watch = world.client({ daemon }).watch(`session:${session}`);
  await watch.snapshot();
  const before = await daemon.metric('pgcast_doorbells_total');
  const ids = [];
  for (let nth = 0; nth < 8; nth += 1) {
    await sleep(200); // asleep again
    ids.push(await say(world, session, 'ring'));
    await watch.event((event) => event.record.id === ids.at(-1));
  }
  assert.ok(await daemon.metric('pgcast_doorbells_total') >= before + 5, 'woken by the doorbell');
  assert.deepEqual(watch.events.map((event) => event.record.id), ids);
});

test('Pooler_WithoutAServerConnectionForASecondSession_CheckEndsAndSaysSo', { timeout: 60_000 }, async (t) => {
  const { daemon } = await behind(t, { mode: 'session', size: 2 });
  const holder = await world.postgres.connect_by(daemon.database_url);
  t.after(() => holder.end());
  await holder.query('SELECT 1'); // holds one of the two
  const began = performance.now();
  const { text } = await daemon.command('check');
  assert.ok(performance.now() - began < 30_000);
  assert.match(text, /^(fail|warn) {2}pooler: .*(server connections|transaction mode)/m);
  t.diagnostic(text.split('\n').find((one) => one.includes('pooler: ')));
});

test('Pooler_HalfOpenInTheMiddleOfABatch_IsNoticedAndComesWholeAndInOrder', { timeout: 60_000 }, async (t) => {
  const k_rows = 10_000;
  const pooler = await Pooler.start(world.postgres);
  const proxy = await Proxy.start(pooler.port);
  const daemon = new Daemon(proxy.url());
  t.after(async () => {
    await daemon.kill();
    await proxy.stop();
    await pooler.stop();
  });
  await daemon.run();
  const session = await add_session(world);
  const watch = world.client({ daemon }).watch(`session:${session}`);
  await watch.snapshot();
  proxy.fail_in_the_middle(1_000_000, 'stall');
  await world.query(`INSERT INTO chat_history (session_id, message)
    SELECT $1, json_build_object('n', i, 'text', repeat(' lorem ipsum', 20)) FROM generate_series(1, ${k_rows}) i`, [session]);
  await until(() => proxy.is_stalled, 'stalled in the middle');
  const began = performance.now();
  const is_noticed = async () => /fell silent|did not answer/.test((await daemon.ready()).reason);
  await until(is_noticed, 'noticed', 6000).finally(() => proxy.resume());
  t.diagnostic(`noticed after ${Math.round(performance.now() - began)} ms, ${watch.events.length} rows told before`);
  const once = () => [...new Map(watch.events.map((event) => [event.id, event.record.message.n])).values()];
  await until(() => once().length >= k_rows, () => `all rows, now ${watch.events.length}`, 30_000);
  assert.equal(once().findIndex((n, at) => n !== at + 1), -1, 'in the order of the rows');
  assert.equal(watch.snapshots.length, 1);
});
