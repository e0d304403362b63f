// Killed daemons and crashed servers: what was committed is delivered, and nothing else.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, say } from './fixture/rows.js';
import { Writers, committed, difference, k_no_difference, told_once } from './fixture/writers.js';

const world = use_world();

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    /** Clients that resume, on a campaign and each of its sessions. */
    const audience = async (count = 3) => {
      const campaign = await add_campaign(world);
      const sessions = [];
      for (let nth = 0; nth < count; nth += 1) sessions.push(await add_session(world, { campaign }));
      const topics = [`campaign:${campaign}`, ...sessions.map((session) => `session:${session}`)];
      const watches = topics.map((topic) => world.client({ vsn, quick: true }).watch(topic));
      for (const watch of watches) await watch.snapshot();
      for (const watch of watches) watch.keep_place();
      return { sessions, watches };
    };

    /** Every watch was told exactly what is in the table, without ever starting afresh. */
    const assert_complete = async ({ sessions, watches }) => {
      for (const session of sessions) await say(world, session, 'the end');
      const all = await committed(world, sessions);
      for (const [at, watch] of watches.entries()) {
        const wanted = at === 0 ? all : await committed(world, [sessions[at - 1]]);
        const complete = () => difference(told_once(watch), wanted).missing === 0;
        await until(complete, () => `${watch.topic} is complete: ${JSON.stringify(difference(told_once(watch), wanted))} ${watch.say()}`, 30_000);
        assert.deepEqual(difference(told_once(watch), wanted), k_no_difference);
        assert.equal(watch.snapshots.length, 1, `resumed, not loaded anew: ${JSON.stringify(watch.systems)}`);
        const by_id = new Map();
        for (const event of watch.events) assert.equal(by_id.get(event.id) ?? event.record?.id, event.record?.id, 'an id stands for one event');
      }
      return all.length;
    };

    test('Daemon_KilledUnderWriters_DeliversTheCommittedSet', { timeout: 120_000 }, async (t) => {
      const here = await audience();
      const writers = new Writers(world, here.sessions);
      await sleep(2000);
      await world.daemon.kill('SIGKILL');
      await sleep(1500);
      await world.daemon.run();
      await sleep(3000);
      await writers.stop();
      t.diagnostic(`${await assert_complete(here)} rows`);
    });

    test('Daemon_Terminated_ExitsCleanlyAndClientsGoOn', { timeout: 60_000 }, async () => {
      const here = await audience(1);
      const { code } = await world.daemon.kill('SIGTERM');
      assert.equal(code, 0, world.daemon.process.log().slice(-2000));
      await say(world, here.sessions[0], 'meanwhile');
      await world.daemon.run();
      await assert_complete(here);
    });

    test('Postgres_ImmediateRestartUnderWriters_DeliversTheCommittedSet', { timeout: 120_000 }, async (t) => {
      const here = await audience();
      const writers = new Writers(world, here.sessions);
      await sleep(3000);
      await world.postgres.crash();
      await sleep(1000);
      await world.postgres.boot();
      await sleep(4000);
      await writers.stop();
      t.diagnostic(`${await assert_complete(here)} rows`);
      await until(() => world.daemon.is_ready(), 'ready again');
    });

    test('Postgres_RestartWhileTheDaemonIsDead_DeliversTheCommittedSet', { timeout: 120_000 }, async (t) => {
      const here = await audience();
      const writers = new Writers(world, here.sessions);
      await sleep(2000);
      await world.daemon.kill('SIGKILL');
      await sleep(300);
      await world.postgres.crash();
      await world.postgres.boot();
      await sleep(1000);
      await world.daemon.run();
      await sleep(2000);
      await writers.stop();
      t.diagnostic(`${await assert_complete(here)} rows`);
    });

    test('Postgres_Away_ReadyzSaysSoAndClientsStay', { timeout: 60_000 }, async () => {
      const here = await audience(1);
      await world.postgres.crash();
      await until(async () => !(await world.daemon.is_ready()), 'not ready', 15_000);
      const { status, headers } = await fetch(`http://127.0.0.1:${world.daemon.admin_port}/readyz`);
      assert.equal(status, 503);
      assert.match(headers.get('content-type'), /json/);
      assert.equal((await fetch(`http://127.0.0.1:${world.daemon.admin_port}/healthz`)).status, 200);
      const codes = (watch) => watch.systems.filter((one) => one.extension === 'pgcast').map((one) => one.code);
      await until(() => here.watches.every((watch) => codes(watch).length === 1), 'clients are told', 10_000);
      await world.postgres.boot();
      await until(() => world.daemon.is_ready(), 'ready again', 20_000);
      await assert_complete(here);
      await until(() => here.watches.every((watch) => codes(watch).length === 2), 'clients are told again', 10_000);
      for (const watch of here.watches) assert.deepEqual(codes(watch), ['source_away', 'source_back']);
      assert.ok(here.watches.every((watch) => watch.statuses.length === 1), 'no client was disconnected');
    });

    test('Backends_Terminated_DeliverTheCommittedSet', { timeout: 60_000 }, async () => {
      const here = await audience();
      const writers = new Writers(world, here.sessions, { count: 4 });
      for (let nth = 0; nth < 5; nth += 1) {
        await sleep(700);
        await world.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND application_name LIKE 'pgcast%'");
      }
      await writers.stop();
      await assert_complete(here);
    });
  });
}
