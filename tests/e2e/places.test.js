// Apps that only say who they are (realtime.params.client_id): a dropped client goes on where it was.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import WebSocket from 'ws';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { refusal, socket_url } from './fixture/raw.js';
import { add_campaign, add_session, fresh_phone, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';
import { Writers, committed, difference, k_no_difference, told_once } from './fixture/writers.js';

const world = use_world();
const k_held = 2000; // ms, of the daemon whose places are held for a short time
const k_acknowledged = 700; // ms: a ping four times a second, and slack

const rejoined = (watch, times = 2) => until(() => watch.statuses.filter((one) => one.status === 'SUBSCRIBED').length === times, () => watch.say(), 15_000);
const ids_of = (watch) => [...new Set(watch.events.map((event) => event.record.id))];

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    const named = (client_id, more) => world.client({ vsn, quick: true, params: { client_id }, ...more });

    test('Dropped_ComesBackWithItsId_NothingMissingAndNoSnapshot', async () => {
      const campaign = await add_campaign(world);
      const phone = fresh_phone();
      const session = await add_session(world, { campaign, phone });
      const client = named(fresh('client'));
      const watches = [`session:${session}`, `campaign:${campaign}`, `phone:${phone}`].map((topic) => client.watch(topic));
      for (const watch of watches) await watch.snapshot();
      const ids = [await say(world, session, 'seen')];
      for (const watch of watches) await watch.event();
      await sleep(k_acknowledged);
      for (let round = 2; round < 5; round += 1) {
        client.cut();
        for (const text of ['missed 1', 'missed 2']) ids.push(await say(world, session, text));
        for (const watch of watches) await rejoined(watch, round);
        ids.push(await say(world, session, 'live'));
        for (const watch of watches) {
          await watch.event((event) => event.record?.id === ids.at(-1));
          assert.deepEqual(ids_of(watch), ids, watch.topic);
          assert.equal(watch.snapshots.length, 1, watch.say());
        }
        await sleep(k_acknowledged);
      }
    });

    test('Dropped_WithoutAnId_StartsFromASnapshot', async () => {
      const session = await add_session(world);
      const client = world.client({ vsn, quick: true });
      const watch = client.watch(`session:${session}`);
      await watch.snapshot();
      await sleep(k_acknowledged);
      client.cut();
      const id = await say(world, session, 'missed');
      assert.equal((await watch.snapshot(2)).messages.at(-1).id, id);
      assert.equal(watch.events.length, 0);
    });

    test('Dropped_ManyTimesUnderWriters_IsToldEverything', { timeout: 60_000 }, async (t) => {
      const campaign = await add_campaign(world);
      const sessions = [await add_session(world, { campaign }), await add_session(world, { campaign })];
      const client = named(fresh('client'));
      const watch = client.watch(`campaign:${campaign}`);
      await watch.snapshot();
      await sleep(k_acknowledged);
      const writers = new Writers(world, sessions, { count: 4 });
      for (let round = 0; round < 12; round += 1) {
        await sleep(Math.random() * 900);
        client.cut();
      }
      await writers.stop();
      const all = await committed(world, sessions);
      await until(() => difference(told_once(watch), all).missing === 0, () => `${JSON.stringify(difference(told_once(watch), all))} ${watch.say()}`, 20_000);
      assert.deepEqual(difference(told_once(watch), all), k_no_difference);
      assert.equal(watch.snapshots.length, 1, watch.say());
      t.diagnostic(`${all.length} rows, ${watch.events.length - all.length} told twice`);
    });

    test('Silent_ComesBackOnAnotherConnection_TheOldOneIsClosedAndItGoesOn', { timeout: 30_000 }, async () => {
      const session = await add_session(world);
      const id = fresh('client');
      const old = named(id);
      const before = old.watch(`session:${session}`);
      await before.snapshot();
      const ids = [await say(world, session, 'seen')];
      await before.event();
      await sleep(k_acknowledged);
      old.freeze(); // the network swallows everything; the daemon cannot know yet
      ids.push(await say(world, session, 'sent into the void'));
      const began = performance.now();
      const watch = named(id).watch(`session:${session}`);
      await watch.event((event) => event.record?.id === ids[1], 1, 10_000);
      assert.ok(performance.now() - began < 5000);
      assert.equal(watch.snapshots.length, 0, 'it goes on');
      ids.push(await say(world, session, 'live'));
      await watch.event((event) => event.record?.id === ids[2]);
      assert.deepEqual(ids_of(watch), ids.slice(1));
    });

    test('Alive_SameIdOnAnotherConnection_IsNotTakenOver', async () => {
      const session = await add_session(world);
      const id = fresh('client');
      const first = named(id).watch(`session:${session}`);
      await first.snapshot();
      await say(world, session, 'one');
      await first.event();
      await sleep(k_acknowledged);
      const second = named(id).watch(`session:${session}`);
      assert.equal((await second.snapshot()).messages.length, 1);
      const row = await say(world, session, 'two');
      for (const watch of [first, second]) await watch.event((event) => event.record?.id === row);
      assert.equal(first.statuses.length, 1, 'nobody was disconnected');
      assert.equal(first.events.length, 2);
      assert.equal(second.events.length, 1);
    });

    test('Other_UserTopicOrOptions_StartFromASnapshot', async () => {
      const session = await add_session(world);
      const id = fresh('client');
      const leave_a_place = async () => {
        const client = named(id, { sub: 'user-1' });
        await client.watch(`session:${session}`).snapshot();
        await sleep(k_acknowledged);
        client.close();
        await sleep(100);
      };
      await leave_a_place();
      await named(id, { sub: 'user-2' }).watch(`session:${session}`).snapshot();
      await named(id, { sub: 'user-1', role: 'authenticated' }).watch(`session:${session}`).snapshot();
      await named(id, { sub: 'user-1' }).watch(`session:${session}`, { broadcast: { snapshot: { messages: 5 } } }).snapshot();
      await named(`${id}x`, { sub: 'user-1' }).watch(`session:${session}`).snapshot();
      world.close_clients();
      await sleep(300);
      const same = named(id, { sub: 'user-1' }).watch(`session:${session}`);
      await same.joined();
      const row = await say(world, session, 'live');
      await same.event((event) => event.record?.id === row);
      assert.equal(same.snapshots.length, 0, 'the place was still there for its owner');
    });

    test('Left_ComesBack_StartsFromASnapshot', async () => {
      const session = await add_session(world);
      const client = named(fresh('client'));
      const watch = client.watch(`session:${session}`);
      await watch.snapshot();
      await sleep(k_acknowledged);
      await client.supabase.removeChannel(watch.channel);
      await client.watch(`session:${session}`).snapshot();
    });
  });
}

/** A bare client that receives, but whose pongs do not get through. */
async function deaf_client(client_id, topic) {
  const socket = new WebSocket(socket_url(world.daemon.url, { apikey: mint({}), vsn: '1.0.0', client_id }), { autoPong: false });
  const heard = [];
  const pings = [];
  socket.on('message', (data) => heard.push(JSON.parse(data)));
  socket.on('ping', (payload) => pings.push(payload));
  await new Promise((done, fail) => socket.once('open', done).once('error', fail));
  const config = { broadcast: { ack: false, self: false }, presence: { key: '', enabled: false }, postgres_changes: [], private: false };
  socket.send(JSON.stringify({ topic: `realtime:${topic}`, event: 'phx_join', payload: { config }, ref: '1', join_ref: '1' }));
  return { socket, pings, rows: () => heard.filter((one) => one.payload?.payload?.operation).map((one) => one.payload.payload), snapshots: () => heard.filter((one) => one.payload?.event === 'snapshot') };
}

describe('acknowledgement', () => {
  test('Sent_ButNeverAcknowledged_ComesAgainWithTheSameId', async () => {
    const session = await add_session(world);
    const id = fresh('client');
    const first = await deaf_client(id, `session:${session}`);
    await until(() => first.snapshots().length === 1, 'a snapshot');
    await until(() => first.pings.length === 1, 'a ping');
    first.socket.pong(first.pings[0]); // the snapshot is acknowledged, what follows is not
    await sleep(100);
    const row = await say(world, session, 'received, not acknowledged');
    await until(() => first.rows().length === 1, 'the row');
    await sleep(k_acknowledged);
    first.socket.terminate();
    await sleep(200);
    const again = await deaf_client(id, `session:${session}`);
    await until(() => again.rows().length === 1, 'the row again');
    assert.equal(again.rows()[0].record.id, row);
    assert.equal(again.rows()[0].id, first.rows()[0].id);
    assert.equal(again.snapshots().length, 0);
    again.socket.terminate();
  });

  test('Snapshot_NeverAcknowledged_ComesAgain', async () => {
    const session = await add_session(world);
    const id = fresh('client');
    for (let round = 0; round < 2; round += 1) {
      const client = await deaf_client(id, `session:${session}`);
      await until(() => client.snapshots().length === 1, 'a snapshot');
      client.socket.terminate();
      await sleep(200);
    }
  });
});

describe('places', () => {
  test('Place_HeldForItsTime_ThenForgotten', async () => {
    const daemon = await world.serve('postgres', { PGCAST_LIMITS_HELD_PLACE: `${k_held}ms` });
    const session = await add_session(world);
    const named = (client_id) => world.client({ daemon, quick: true, params: { client_id } });
    const id = fresh('client');
    const visit = async () => {
      const client = named(id);
      const watch = client.watch(`session:${session}`);
      await watch.joined();
      await sleep(k_acknowledged);
      client.close();
      return watch;
    };
    assert.equal((await visit()).snapshots.length, 1);
    await sleep(200);
    assert.equal((await visit()).snapshots.length, 0);
    await until(async () => (await daemon.metric('pgcast_held_places')) === 1, 'one place is held');
    await sleep(k_held + 500);
    await until(async () => (await daemon.metric('pgcast_held_places')) === 0, 'no place is held');
    assert.equal((await visit()).snapshots.length, 1);
    assert.equal(await daemon.metric('pgcast_held_places_total{outcome="resumed"}'), 1);
    assert.equal(await daemon.metric('pgcast_held_places_total{outcome="expired"}'), 1);
  });

  test('Id_TooLong_IsRefusedWithTheRemedy', async () => {
    const { status, body } = await refusal(world.daemon.url, { apikey: mint({}), vsn: '2.0.0', client_id: 'x'.repeat(129) });
    assert.equal(status, 400);
    assert.match(JSON.parse(body).error, /client_id is longer than 128 bytes/);
  });
});
