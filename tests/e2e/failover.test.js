// Another server takes over: clients end with its truth, and never with a gap that nobody tells.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Daemon, World } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_session, say } from './fixture/rows.js';
import { Writers, committed } from './fixture/writers.js';

/** A primary, a streaming standby, and a daemon whose database.url names both. */
async function stage(t) {
  const world = new World();
  t.after(() => world.stop());
  await world.start();
  await world.daemon.kill();
  const primary = world.postgres;
  const standby = await primary.standby();
  t.after(async () => {
    world.close_clients();
    await (world.postgres === primary ? standby : primary).stop();
  });
  const hosts = `127.0.0.1:${primary.port},127.0.0.1:${standby.port}`;
  world.daemon = new Daemon(`postgres://owner@${hosts}/postgres?target_session_attrs=read-write`);
  world.daemons.clear();
  world.daemons.add(world.daemon);
  await world.daemon.run();
  const session = await add_session(world);
  const watch = world.client({ quick: true }).watch(`session:${session}`);
  await watch.snapshot();
  watch.keep_place();
  const plain = world.client({ quick: true }).watch(`session:${session}`); // keeps no place
  await plain.snapshot();
  return { world, primary, standby, session, watches: [watch, plain] };
}

const streamed = async (primary, standby) => {
  const [{ lsn }] = await primary.query('SELECT pg_current_wal_lsn() AS lsn');
  await until(async () => (await standby.query('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS there', [lsn]))[0].there === 't', 'replayed', 20_000);
};

/** Every client shows what the table of the new primary has. */
async function assert_truth({ world, session, watches }) {
  await until(() => world.daemon.is_ready(), () => `ready\n${world.daemon.process.log().slice(-2000)}`, 30_000);
  await say(world, session, 'the end');
  const wanted = await committed(world, [session]);
  for (const watch of watches) {
    const same = () => JSON.stringify(watch.shown()) === JSON.stringify(wanted);
    await until(same, () => `shows ${JSON.stringify(wanted)}, has ${JSON.stringify(watch.shown())} ${watch.say()}`, 20_000);
  }
  await sleep(300);
  for (const watch of watches) assert.deepEqual(watch.shown(), wanted);
}

test('Failover_PromotedWithAllTransactions_ClientsGoOnAndAreTold', { timeout: 120_000 }, async (t) => {
  const here = await stage(t);
  const { world, primary, standby, session, watches } = here;
  const writers = new Writers(world, [session], { count: 3 });
  await sleep(1500);
  await writers.stop();
  const before = await committed(world, [session]);
  const shown = () => watches.every((watch) => watch.shown().length === before.length);
  await until(shown, 'all is shown');
  await primary.halt();
  world.postgres = standby;
  await standby.promote();
  const promoted = performance.now();
  assert.deepEqual(await committed(world, [session]), before, 'the standby had all');
  await until(() => world.daemon.is_ready(), 'ready', 30_000);
  t.diagnostic(`ready ${Math.round(performance.now() - promoted)} ms after the promotion`);
  await assert_truth(here);
  assert.ok(watches[0].codes().includes('cursor_foreign'), watches[0].say());
  assert.equal(await world.daemon.metric('pgcast_source_start_overs_total{reason="new_history"}'), 1);
});

test('Failover_PromotedWithoutTheLastTransactions_ClientsEndWithTheNewTruth', { timeout: 120_000 }, async (t) => {
  const here = await stage(t);
  const { world, primary, standby, session, watches } = here;
  await say(world, session, 'both have this');
  await streamed(primary, standby);
  await standby.query("ALTER SYSTEM SET primary_conninfo = ''");
  await standby.query('SELECT pg_reload_conf()');
  const is_cut = async () => (await standby.query('SELECT 1 FROM pg_stat_wal_receiver')).length === 0;
  await until(is_cut, 'no longer streaming');
  const lost = [];
  for (let nth = 0; nth < 5; nth += 1) lost.push(await say(world, session, `lost ${nth}`));
  for (const watch of watches) await until(() => watch.shown().includes(lost.at(-1)), 'clients saw them');
  const away = watches[0].broadcast.resume; // of a client that comes back much later
  await primary.crash();
  world.postgres = standby;
  await standby.promote();
  for (let nth = 0; nth < 8; nth += 1) await say(world, session, `new ${nth}`); // ids of the lost ones again
  await assert_truth(here);
  assert.ok(watches[0].codes().some((code) => ['cursor_foreign', 'cursor_ahead'].includes(code)), watches[0].say());
  assert.ok(watches[0].snapshots.length > 1);

  const late = world.client().watch(`session:${session}`, { broadcast: { resume: away } });
  await late.snapshot();
  assert.deepEqual(late.codes(), ['cursor_foreign']);
  assert.deepEqual(late.shown(), await committed(world, [session]));
});

test('Failover_WhileTheDaemonIsDead_CursorsAreAnsweredWithASnapshot', { timeout: 120_000 }, async (t) => {
  const here = await stage(t);
  const { world, primary, standby, session, watches } = here;
  await say(world, session, 'seen');
  await watches[0].event();
  await streamed(primary, standby);
  await world.daemon.kill();
  await primary.crash();
  world.postgres = standby;
  await standby.promote();
  await world.daemon.run();
  await assert_truth(here);
  assert.ok(watches[0].codes().includes('cursor_foreign'), watches[0].say());
});

describe('a hot standby as database.url', () => {
  const world = new World();
  let standby;
  let daemon;
  before(async () => {
    await world.start();
    standby = await world.postgres.standby();
    daemon = new Daemon(standby.url('postgres', 'owner'));
  }, { timeout: 90_000 });
  after(async () => {
    await standby.stop();
    await world.stop();
  }, { timeout: 60_000 });

  for (const name of ['serve', 'check', 'install']) {
    test(`Standby_${name}_SaysSoWithTheRemedy`, { timeout: 30_000 }, async () => {
      const { code, text } = await daemon.command(name);
      assert.notEqual(code, 0);
      const line = text.split('\n').find((one) => /standby/.test(one));
      assert.match(line ?? text, /primary.*target_session_attrs=read-write|target_session_attrs=read-write.*primary/);
    });
  }

  test('Standby_OnlyOneOfTheList_IsPassedOver', { timeout: 60_000 }, async (t) => {
    const list = `127.0.0.1:${standby.port},127.0.0.1:${world.postgres.port}`;
    const one = new Daemon(`postgres://owner@${list}/postgres`); // without target_session_attrs
    t.after(() => one.kill());
    await one.run();
    const session = await add_session(world);
    const watch = world.client({ daemon: one }).watch(`session:${session}`);
    await watch.snapshot();
    const id = await say(world, session, 'from the primary');
    await watch.event((event) => event.record.id === id);
  });

  test('Standby_PromotedInItsPlace_ServesAfterwards', { timeout: 90_000 }, async (t) => {
    const list = `127.0.0.1:1,127.0.0.1:${standby.port}`; // nobody listens on the first
    const one = new Daemon(`postgres://owner@${list}/postgres`);
    t.after(() => one.kill().catch(() => {}));
    const { code, text } = await one.command('serve');
    assert.notEqual(code, 0);
    assert.match(text, /127\.0\.0\.1:1: .*; .*standby|127\.0\.0\.1:1: .*hot standby/);
    await standby.promote();
    await one.run();
    const on_standby = { query: (sql, values) => standby.query(sql, values) };
    const session = await add_session(on_standby);
    const watch = world.client({ daemon: one }).watch(`session:${session}`);
    await watch.snapshot();
    const id = await say(on_standby, session, 'from the promoted one');
    await watch.event((event) => event.record.id === id);
  });
});
