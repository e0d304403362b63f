// Clients that were away for very many rows: all of them, in order, and then the live tail.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, say } from './fixture/rows.js';

const world = use_world();
const k_rows = 40_000;

/** Writes that many numbered rows into the session: one COPY, then some of their own. */
async function fill_gap(session) {
  const file = `${world.postgres.directory}/${fresh('rows')}.tsv`;
  await world.query(`COPY (SELECT '${session}', json_build_object('n', i, 'text', repeat(' lorem ipsum', 8)) FROM generate_series(1, ${k_rows - 500}) i) TO '${file}'`);
  await world.query(`COPY chat_history (session_id, message) FROM '${file}'`);
  for (let n = k_rows - 499; n <= k_rows; n += 1) await world.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [session, JSON.stringify({ n })]);
}

/** Rows that are written while somebody catches up, until he has; gives the last one's id. */
async function keep_talking(session, has_caught_up) {
  let id;
  while (!has_caught_up()) {
    id = await say(world, session, 'meanwhile');
    await sleep(20);
  }
  return id;
}

function assert_in_order(numbers) {
  const once = numbers.filter((n) => n !== undefined);
  assert.equal(once.length, k_rows);
  assert.equal(once.findIndex((n, at) => n !== at + 1), -1, 'in the order of the rows, none twice');
}

test('LongGap_OfTopicsAndChanges_ComesWholeInOrderAndEndsLive', { timeout: 120_000 }, async (t) => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const { cursor } = await world.client().watch(`session:${session}`).snapshot();
  await fill_gap(session);
  const before = world.daemon.memory();
  for (const topic of [`session:${session}`, `campaign:${campaign}`]) {
    const began = performance.now();
    const watch = world.client().watch(topic, { broadcast: { resume: cursor } });
    const last = await keep_talking(session, () => watch.events.some((event) => event.record.message.n === k_rows));
    const took = performance.now() - began;
    await watch.event((event) => event.record.id === last);
    assert_in_order(watch.events.map((event) => event.record.message.n));
    assert.equal(watch.snapshots.length, 0);
    t.diagnostic(`${topic.split(':')[0]}: ${k_rows} rows in ${Math.round(took)} ms`);
  }
  const began = performance.now();
  const told = [];
  world.client().supabase.channel(fresh('changes'))
    .on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'chat_history', filter: `session_id=eq.${session}`, resume: cursor }, ({ new: row }) => told.push(row))
    .subscribe();
  const last = await keep_talking(session, () => told.some((row) => row.message.n === k_rows));
  const took = performance.now() - began;
  await until(() => told.some((row) => row.id === last), 'live');
  assert_in_order(told.map((row) => row.message.n));
  t.diagnostic(`postgres_changes: ${k_rows} rows in ${Math.round(took)} ms; daemon ${before.rss} MB before, ${world.daemon.memory().peak} MB peak`);
});

test('LongGap_OfASlowClient_ComesWholeWhileOthersJoin', { timeout: 120_000 }, async (t) => {
  const session = await add_session(world);
  const { cursor } = await world.client().watch(`session:${session}`).snapshot();
  await fill_gap(session);
  const client = world.client();
  const watch = client.watch(`session:${session}`, { broadcast: { resume: cursor } });
  await watch.joined();
  let slowest = 0;
  for (let nth = 0; nth < 20; nth += 1) {
    client.sockets.at(-1).pause();
    await sleep(400);
    const began = performance.now();
    await world.client().watch(`session:${session}`, { broadcast: { snapshot: { messages: 1 } } }).snapshot();
    slowest = Math.max(slowest, performance.now() - began);
    client.sockets.at(-1).resume();
    await sleep(30);
  }
  await until(async () => {
    await sleep(50);
    return watch.events.length >= k_rows;
  }, () => `all rows, now ${watch.events.length}`, 60_000);
  assert_in_order(watch.events.map((event) => event.record.message.n));
  t.diagnostic(`another client's join took ${Math.round(slowest)} ms at most; daemon ${world.daemon.memory().peak} MB peak`);
});
