// What goes beyond Supabase's own options of postgres_changes.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Daemon, fresh, use_world } from './fixture/world.js';
import { until } from './fixture/process.js';
import { add_session, say } from './fixture/rows.js';
import { Changes } from './fixture/changes.js';
import { Proxy } from './fixture/proxy.js';

const world = use_world({
  tables: ['public.deal'],
  sql: `CREATE TABLE deal (id bigint PRIMARY KEY, stage text, price numeric);
    ALTER TABLE deal OWNER TO owner;
    GRANT ALL ON deal TO service_role`,
});
const k_deals = { event: '*', schema: 'public', table: 'deal' };
let next = 0;
const add_deal = async (stage, id = ++next) => {
  await world.query('INSERT INTO deal VALUES ($1, $2, 1.5)', [id, stage]);
  return id;
};

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    const changes = (filters, who) => new Changes(world.client({ vsn, ...who }), filters);

    test('Leave_RowThatLeavesAnIndexedFilter_ComesAsDelete', async () => {
      const [open, closed] = [fresh('open'), fresh('closed')];
      const here = await changes([
        { ...k_deals, filter: `stage=eq.${open}`, leave: true },
        { ...k_deals, filter: `stage=eq.${open}` },
        { ...k_deals, event: 'DELETE', filter: `stage=eq.${open}`, leave: true },
        { ...k_deals, event: 'UPDATE', filter: `stage=eq.${open}`, leave: true },
      ]).joined();
      const id = await add_deal(open);
      await world.query('UPDATE deal SET price = 2 WHERE id = $1', [id]);
      await world.query('UPDATE deal SET stage = $2 WHERE id = $1', [id, closed]);
      await world.query('UPDATE deal SET price = 3 WHERE id = $1', [id]);
      await world.query('UPDATE deal SET stage = $2 WHERE id = $1', [id, open]);
      await here.count(4, 0);
      await here.count(3, 1);
      const types = (at) => here.heard[at].map((one) => one.eventType);
      assert.deepEqual(types(0), ['INSERT', 'UPDATE', 'DELETE', 'UPDATE']);
      assert.deepEqual(types(1), ['INSERT', 'UPDATE', 'UPDATE'], 'who did not ask hears what Supabase tells');
      assert.deepEqual(types(2), ['DELETE']);
      assert.deepEqual(types(3), ['UPDATE', 'UPDATE']);
      assert.deepEqual(here.heard[0][2].old, { id, stage: open, price: 2 });
      assert.deepEqual(here.heard[0][2].new, {});
    });

    test('Leave_FilterWithoutAnIndex_WorksAlike', async () => {
      const stage = fresh('stage');
      const here = await changes([{ ...k_deals, filter: `stage=like.${stage}%,price=lt.5`, leave: true }]).joined();
      const id = await add_deal(stage);
      await world.query('UPDATE deal SET price = 5 WHERE id = $1', [id]);
      await here.count(2);
      assert.deepEqual(here.heard[0].map((one) => one.eventType), ['INSERT', 'DELETE']);
    });

    test('Leave_WhileAway_ResumeTellsIt', async () => {
      const session = await add_session(world);
      const [other, id] = [await add_session(world), await say(world, session, 'moves')];
      const client = world.client({ vsn, quick: true });
      const here = new Changes(client, [{ event: '*', schema: 'public', table: 'chat_history', filter: `session_id=eq.${session}`, leave: true, resume: '' }]);
      here.keeps_place = true;
      await here.joined();
      const first = await say(world, session, 'a place');
      await until(() => here.heard[0].some((one) => one.new.id === first), () => here.say());
      client.cut();
      await world.query('UPDATE chat_history SET session_id = $2 WHERE id = $1', [id, other]);
      await here.joined(2);
      await until(() => here.heard[0].some((one) => one.eventType === 'DELETE'), () => here.say());
      assert.deepEqual(here.heard[0].slice(-2).map((one) => [one.eventType, one.new.id ?? one.old.id]), [['INSERT', first], ['DELETE', id]]);
    });

    test('Int8_AskedForAsText_KeepsAllDigits', async () => {
      const stage = fresh('digits');
      const here = await changes([
        { ...k_deals, filter: `stage=eq.${stage}`, int8: 'text' },
        { ...k_deals, filter: `stage=eq.${stage}` },
        { ...k_deals, filter: `stage=eq.${stage}`, int8: 'text', select: ['price'] },
      ]).joined();
      const id = `90071992547${String(40993 + next++).padStart(5, '0')}`;
      await add_deal(stage, id);
      for (const at of [0, 1, 2]) await here.count(1, at);
      assert.deepEqual(here.heard[0][0].new, { id, stage, price: 1.5 });
      assert.equal(typeof here.heard[1][0].new.id, 'number');
      assert.deepEqual(here.heard[2][0].new, { id, price: 1.5 });
    });

    test('Options_OfTheWrongType_AreRefusedByName', async () => {
      assert.match(await changes([{ ...k_deals, leave: 'yes' }]).refused(), /leave of postgres_changes must be true or false/);
      assert.match(await changes([{ ...k_deals, int8: 'number' }]).refused(), /int8 of postgres_changes must be "text"/);
    });

    test('Wait_IsAnsweredOnceTheChangesRun', async () => {
      const raw = await world.raw({ vsn });
      const stage = fresh('waited');
      const { reply } = await join_waiting(raw, { wait: true, timeout: 5000 }, `stage=eq.${stage}`);
      assert.equal(reply.status, 'ok');
      const id = await add_deal(stage);
      const { payload } = await raw.message((one) => one.event === 'postgres_changes');
      assert.equal(payload.data.record.id, id);
    });

    test('Filter_Of10000Values_Works', { timeout: 30_000 }, async () => {
      const stages = Array.from({ length: 10_000 }, (_, i) => `${vsn}-stage-${i}`);
      const here = await changes([{ ...k_deals, filter: `stage=in.(${stages})` }]).joined();
      const id = await add_deal(stages[9_999]);
      await add_deal(`${vsn}-stage-10000`);
      const last = await add_deal(stages[0]);
      await here.count(2);
      assert.deepEqual(here.heard[0].map((one) => one.new.id), [id, last]);
    });
  });
}

async function join_waiting(raw, options, filter) {
  const ref = raw.send('realtime:waiting', 'phx_join', {
    config: { postgres_changes: [{ ...k_deals, filter }], postgres_changes_options: options },
  }, { join_ref: '1', ref: '1' });
  return { reply: await raw.reply(ref, 20_000) };
}

test('Wait_WhenTheDatabaseDoesNotAnswer_IsRefusedInTime', { timeout: 60_000 }, async (t) => {
  const proxy = await Proxy.start(world.postgres.port);
  const daemon = new Daemon(proxy.url());
  world.daemons.add(daemon);
  t.after(async () => {
    await daemon.kill();
    await proxy.stop();
  });
  await daemon.run();
  proxy.stall();
  const raw = await world.raw({ daemon });
  const { reply } = await join_waiting(raw, { wait: true, timeout: 1500 }, 'stage=eq.x');
  assert.equal(reply.status, 'error');
  assert.equal(reply.code, 'subscribe_timeout');
  assert.equal(reply.response.reason, 'PostgresChangesSubscribeTimeout: Timed out after 1500ms waiting for the postgres_changes subscription');
  raw.send('realtime:waiting', 'phx_leave', {}, { join_ref: '1', ref: '9' });
  assert.equal((await raw.reply('9')).status, 'ok', 'nothing is left of the channel');
});
