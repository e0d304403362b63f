// Campaign tickers against one SQL query: random operations on all tables by concurrent writers, and
// whenever they pause every ticker has the numbers of the tables.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Daemon, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { Proxy } from './fixture/proxy.js';
import { TickerWriters, k_campaigns, k_truth, true_numbers } from './fixture/ticker_writers.js';

const k_env = { PGCAST_THREADS: '2', PGCAST_STATS_INTERVAL: '100ms' };
/** As `pgcast check` names them. */
const k_indexes = `
  CREATE INDEX chat_history_pgcast_user ON chat_history (session_id) WHERE COALESCE(message ->> 'sender', message ->> 'type') IN ('user', 'human');
  CREATE INDEX chat_history_pgcast_agent ON chat_history (session_id) WHERE COALESCE(message ->> 'sender', message ->> 'type') IN ('agent', 'ai', 'assistant');
  CREATE INDEX chat_history_pgcast_other ON chat_history (session_id) WHERE COALESCE(message ->> 'sender', message ->> 'type', '') NOT IN ('user', 'human', 'agent', 'ai', 'assistant')`;
const world = use_world({
  sql: `ALTER TABLE session_info DROP CONSTRAINT session_info_campaign_fkey;
    ALTER TABLE call_info DROP CONSTRAINT call_info_session_id_fkey;
    ALTER TABLE campaigns DROP CONSTRAINT campaigns_session_id_fkey, DROP CONSTRAINT campaigns_campaign_fkey;
    ALTER TABLE numbers DROP CONSTRAINT numbers_session_id_fkey;
    ALTER TABLE session_objective_events DROP CONSTRAINT session_objective_events_session_id_fkey;
    CREATE INDEX ON chat_history (session_id); CREATE INDEX ON call_info (session_id);
    CREATE INDEX ON session_objective_events (session_id);`,
  env: k_env,
  settings: { wal_writer_delay: '10s' }, // what is committed without waiting for it is lost in a crash
});
const k_watched = [...k_campaigns, 'nobody was ever in it'];
const k_operations = 100_000;
const k_seed = Number(process.env.PGCAST_SEED ?? Date.now() % 1_000_000);

/** Watches every campaign with both versions of the wire, each on a connection of its own. */
async function audience(daemon) {
  const watches = [];
  for (const [nth, campaign] of [...k_watched, ...k_watched].entries()) {
    const client = world.client({ role: 'service_role', vsn: nth < k_watched.length ? '1.0.0' : '2.0.0', quick: true, daemon });
    watches.push(Object.assign(client.watch(`stats:${campaign}`), { campaign, client }));
  }
  for (const watch of watches) await watch.joined();
  return watches;
}

const newest = (watch) => {
  const { cursor, ...numbers } = watch.others.at(-1)?.payload ?? {};
  return numbers;
};

const is_same = (one, other) => {
  try {
    assert.deepEqual(one, other);
    return true;
  } catch {
    return false;
  }
};

/** Nobody writes now: every watch comes to show what the tables hold. */
async function assert_true(watches, what) {
  const truth = new Map((await true_numbers((...args) => world.query(...args), k_watched)).map((one) => [one.campaign, one]));
  for (const watch of watches) {
    const expected = truth.get(watch.campaign);
    await until(() => is_same(newest(watch), expected), () => `${what}, seed ${k_seed}: ${watch.topic}\nhas   ${JSON.stringify(newest(watch))}\nwants ${JSON.stringify(expected)}`, 15_000);
  }
  return truth;
}

test('WheneverWritersPause_EveryTickerEqualsTheTables', { timeout: 240_000 }, async (t) => {
  const writers = new TickerWriters(() => world.postgres.connect(), k_seed);
  const watches = await audience();
  const seen = new Set();
  let pauses = 0;
  const cold = await world.serve('postgres', k_env);
  while (writers.operations < k_operations) {
    const is_left_open = pauses % 3 === 0;
    const commit = is_left_open ? await writers.leave_open() : null;
    const burst = writers.burst({ operations: 4_000, ms: 20_000 });
    await cold.kill();
    await cold.run();
    const late = await audience(cold); // asked for while the writers go on
    await burst;
    pauses += 1;
    const what = `pause ${pauses} after ${writers.operations} operations`;
    for (const one of (await assert_true(watches, what)).values()) seen.add(JSON.stringify(one));
    await assert_true(late, `late joiners at ${what}`);
    await commit?.();
    if (is_left_open) await assert_true([...watches, ...late], `a transaction was open over ${what}`);
    for (const watch of late) watch.client.close();
    if (pauses === 12) await world.query(k_indexes); // from here on the other plan
  }
  t.diagnostic(`seed ${k_seed}: ${writers.operations} committed operations, ${pauses} pauses, ${watches.length} tickers, ${seen.size} different numbers, 0 differences`);
  assert.ok(writers.operations >= k_operations);
  assert.ok(seen.size > pauses * 2, 'the numbers change between pauses');

  const { cursor } = watches[0].others.at(-1).payload;
  const resumed = await world.client({ role: 'service_role' }).watch(`campaign:${watches[0].campaign}`, { broadcast: { resume: cursor } }).joined();
  await sleep(300);
  assert.deepEqual(resumed.codes(), [], 'the cursor of stats is a good one');
  world.close_clients();
});

test('AWrongDefinition_IsNoticed', async () => {
  const query = (...args) => world.query(...args);
  await query(`TRUNCATE chat_history; TRUNCATE session_info; INSERT INTO session_info (session_id, campaign) VALUES ('one', 'spring');
    INSERT INTO chat_history (session_id, message) VALUES ('one', '{"type": "human"}')`);
  const watch = await world.client({ role: 'service_role' }).watch('stats:spring').joined();
  await until(() => newest(watch).messages?.user === 1, 'the message');
  const altered = k_truth.replace("c.message ->> 'type') IN ('user', 'human')", "c.message ->> 'type') IN ('user')");
  assert.notEqual(altered, k_truth);
  const [wrong] = await true_numbers(query, ['spring'], altered);
  const [right] = await true_numbers(query, ['spring']);
  assert.ok(is_same(newest(watch), right));
  assert.ok(!is_same(newest(watch), wrong));
});

test('RestartsAndOutages_LeaveTheNumbersTrue', { timeout: 180_000 }, async (t) => {
  const writers = new TickerWriters(() => world.postgres.connect(), k_seed + 1);
  const proxy = await Proxy.start(world.postgres.port);
  const beyond = new Daemon(proxy.url(), k_env); // the network is between it and the server
  world.daemons.add(beyond);
  await beyond.run();
  const watches = [...(await audience()), ...(await audience(beyond))];
  const faults = {
    'network cut': () => proxy.cut(),
    'network cut in the middle of an answer': async () => {
      proxy.fail_in_the_middle(3_000);
      await until(() => proxy.cuts > 0, 'a cut');
    },
    'connections lost': async () => {
      proxy.stall();
      await sleep(1_500);
      proxy.cut();
      proxy.resume();
    },
    'backends ended': () => world.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = $1', ['client backend']),
    'daemon killed': async () => {
      await world.daemon.kill();
      await sleep(300);
      await world.daemon.run();
    },
    'server crashed': async () => {
      await world.postgres.crash();
      await world.postgres.boot();
    },
    'both': async () => {
      await Promise.all([world.daemon.kill(), world.postgres.crash()]);
      await world.postgres.boot();
      await world.daemon.run();
    },
  };
  for (const [name, strike] of Object.entries(faults)) {
    const burst = writers.burst({ ms: 2_500 });
    await sleep(1_000);
    await Promise.resolve(strike()).catch(() => {}); // its own backend may be among those that end
    await burst;
    for (const daemon of [world.daemon, beyond]) await until(() => daemon.is_ready(), `the daemon is ready after: ${name}`, 30_000);
    for (const watch of watches) await until(() => watch.statuses.at(-1)?.status === 'SUBSCRIBED', () => `${watch.topic} is back: ${watch.say()}`, 30_000);
    await assert_true(watches, name);
  }
  await proxy.stop();
  t.diagnostic(`${writers.operations} committed operations through ${Object.keys(faults).length} faults`);
});

test('RowsThatACrashTookAway_AreCountedNoMore', { timeout: 60_000 }, async () => {
  const [campaign] = k_watched;
  await world.query(`TRUNCATE session_info, chat_history; INSERT INTO session_info (session_id, campaign) VALUES ('one', '${campaign}')`);
  const watch = Object.assign(await world.client({ role: 'service_role', quick: true }).watch(`stats:${campaign}`).joined(), { campaign });
  await assert_true([watch], 'before');
  await world.query('CHECKPOINT');
  const writer = await world.postgres.connect();
  await writer.query('SET synchronous_commit = off');
  await writer.query(`INSERT INTO chat_history (session_id, message) VALUES ('one', '{}')`);
  await until(() => newest(watch).messages?.total === 1, 'it is shown');
  await world.postgres.crash();
  await world.postgres.boot();
  await until(() => world.daemon.is_ready(), 'the daemon is ready', 30_000);
  const truth = await assert_true([watch], 'after the crash');
  assert.equal(truth.get(campaign).messages.total, 0, 'the crash took it away');
  await writer.end().catch(() => {});
});
