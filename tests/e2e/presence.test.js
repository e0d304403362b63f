// Presence, with the real client on both versions of the wire and clients on two threads.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { attend, join_raw, track_raw } from './fixture/presence.js';
import { add_session, is, say } from './fixture/rows.js';

const world = use_world({ env: { PGCAST_THREADS: '2' } });
const room = () => fresh('room');
const diffs = (raw) => raw.messages.filter((one) => one.event === 'presence_diff').map((one) => one.payload);
const states = (raw) => raw.messages.filter((one) => one.event === 'presence_state').map((one) => one.payload);

/** Something of this topic that comes behind every change before it. */
async function settle(topic, ...attending) {
  const mark = fresh('mark');
  const marker = world.client();
  await attend(marker, topic, { key: mark, payload: {} }).joined();
  for (const one of attending) await until(() => one.keys('join').includes(mark), 'a mark');
  marker.close();
  for (const one of attending) {
    await until(() => one.keys('leave').includes(mark), 'the mark is gone');
    one.heard = one.heard.filter(({ key }) => key !== mark);
  }
}

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    test('Track_Others_AndTheClientItself_HearOfIt', async () => {
      const topic = room();
      const ada = await attend(world.client({ vsn }), topic, { key: 'ada' }).joined();
      const bob = await attend(world.client({ vsn }), topic, { key: 'bob' }).joined();
      assert.equal(await ada.channel.track({ name: 'Ada', n: [1, { two: null }] }), 'ok');
      for (const one of [ada, bob]) {
        await one.shows({ ada: [{ name: 'Ada', n: [1, { two: null }] }] });
        assert.deepEqual(one.heard, [{ event: 'join', key: 'ada', currentPresences: [], metas: [{ name: 'Ada', n: [1, { two: null }] }] }]);
        assert.equal(one.syncs, 2, 'of the state and of the diff');
      }
    });

    test('Untrack_IsALeave', async () => {
      const topic = room();
      const ada = await attend(world.client({ vsn }), topic, { key: 'ada', payload: { n: 1 } }).joined();
      const bob = attend(world.client({ vsn }), topic, { key: 'bob', payload: { n: 2 } });
      await bob.shows({ ada: [{ n: 1 }], bob: [{ n: 2 }] });
      assert.equal(await ada.channel.untrack(), 'ok');
      await bob.shows({ bob: [{ n: 2 }] });
      assert.deepEqual(bob.heard.at(-1), { event: 'leave', key: 'ada', currentPresences: [], metas: [{ n: 1 }] });
      assert.equal(await ada.channel.untrack(), 'ok', 'who is not there may say so');
      await ada.channel.track({ n: 3 });
      await bob.shows({ ada: [{ n: 3 }], bob: [{ n: 2 }] });
    });

    test('Update_ReplacesWhatWasThere', async () => {
      const topic = room();
      const ada = attend(world.client({ vsn }), topic, { key: 'ada', payload: { typing: false } });
      const bob = attend(world.client({ vsn }), topic);
      for (const one of [ada, bob]) await one.shows({ ada: [{ typing: false }] });
      for (const typing of [true, false, true]) {
        bob.listen_anew();
        await ada.channel.track({ typing });
        await until(() => bob.heard.length >= 2, 'an update');
        for (const one of [ada, bob]) await one.shows({ ada: [{ typing }] });
        assert.deepEqual(bob.heard.map(({ event, metas }) => [event, metas]), [['leave', [{ typing: !typing }]], ['join', [{ typing }]]]);
      }
      await ada.channel.untrack();
      for (const one of [ada, bob]) await one.shows({});
    });

    test('Update_ByRefs_NamesItsPredecessor', async () => {
      const topic = room();
      const [raw, watcher] = [await world.raw({ vsn }), await world.raw({ vsn })];
      await join_raw(watcher, topic);
      const ref = await join_raw(raw, topic, { presence: { key: 'ada', enabled: true } });
      await track_raw(raw, topic, ref, { n: 1 });
      await until(() => diffs(watcher).length === 1, 'a join');
      await track_raw(raw, topic, ref, { n: 2 });
      await until(() => diffs(watcher).length === 3, 'an update');
      const [join, leave, again] = diffs(watcher);
      const [first, second] = [join.joins.ada.metas[0], again.joins.ada.metas[0]];
      assert.deepEqual(leave, { joins: {}, leaves: { ada: { metas: [first] } } });
      assert.deepEqual(second, { phx_ref: second.phx_ref, phx_ref_prev: first.phx_ref, n: 2 });
      assert.notEqual(first.phx_ref, second.phx_ref);
    });

    test('SamePayloadAgain_IsSilent', async () => {
      const topic = room();
      const ada = attend(world.client({ vsn }), topic, { key: 'ada', payload: { n: 1 } });
      const bob = attend(world.client({ vsn }), topic);
      await bob.shows({ ada: [{ n: 1 }] });
      await ada.joined();
      bob.listen_anew();
      for (let i = 0; i < 3; i += 1) assert.equal(await ada.channel.track({ n: 1 }), 'ok');
      await settle(topic, bob);
      assert.deepEqual(bob.heard, []);
    });

    test('LateJoiner_SeesTheStateAtOnce', async () => {
      const topic = room();
      for (const key of ['a', 'b', 'c']) attend(world.client({ vsn }), topic, { key, payload: { key } });
      const first = attend(world.client({ vsn }), topic);
      await first.shows({ a: [{ key: 'a' }], b: [{ key: 'b' }], c: [{ key: 'c' }] });
      const late = await attend(world.client({ vsn }), topic).joined();
      await until(() => late.syncs > 0, 'a sync');
      assert.deepEqual(late.list(), first.list());
      assert.equal(late.syncs, 1);
    });

    test('SeveralClientsOfAKey_AreSeveralMetas', async () => {
      const topic = room();
      const tabs = [1, 2, 3].map((tab) => attend(world.client({ vsn }), topic, { key: 'ada', payload: { tab } }));
      const bob = attend(world.client({ vsn }), topic);
      for (const one of [bob, ...tabs]) await one.shows({ ada: [{ tab: 1 }, { tab: 2 }, { tab: 3 }] });
      await tabs[0].channel.untrack();
      await bob.shows({ ada: [{ tab: 2 }, { tab: 3 }] });
      await tabs[1].channel.track({ tab: 'two' });
      await bob.shows({ ada: [{ tab: 'two' }, { tab: 3 }] });
      await tabs[1].channel.unsubscribe();
      await bob.shows({ ada: [{ tab: 3 }] });
      await tabs[2].channel.untrack();
      await bob.shows({});
    });

    test('TwoChannelsOfOneClient_AreApart', async () => {
      const [one, other] = [room(), room()];
      const client = world.client({ vsn });
      attend(client, one, { key: 'ada', payload: { in: 'one' } });
      const there = attend(client, other, { key: 'ada', payload: { in: 'other' } });
      await attend(world.client({ vsn }), one).shows({ ada: [{ in: 'one' }] });
      await there.shows({ ada: [{ in: 'other' }] });
    });

    test('NoKeyGiven_IsAUuidOfEachClient', async () => {
      const topic = room();
      const all = [1, 2].map((n) => attend(world.client({ vsn }), topic, { payload: { n } }));
      await until(() => Object.keys(all[0].list()).length === 2, 'both');
      for (const key of Object.keys(all[0].list())) assert.match(key, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    });

    test('OddKeysAndPayloads_ComeAsTheyAre', async () => {
      const topic = room();
      const key = 'naïve ☃ 😀 " \\ \n';
      const payload = { 'quote"d': '☃', number: 1e21, deep: { a: [[[null]]] }, phx_ref_next: 1 };
      attend(world.client({ vsn }), topic, { key, payload });
      attend(world.client({ vsn }), topic, { key: 'empty', payload: {} });
      await attend(world.client({ vsn }), topic).shows({ [key]: [payload], empty: [{}] });
    });

    test('ChannelLeft_IsALeave', async () => {
      const topic = room();
      const client = world.client({ vsn });
      const ada = attend(client, topic, { key: 'ada', payload: {} });
      const bob = attend(world.client({ vsn }), topic);
      await bob.shows({ ada: [{}] });
      await client.supabase.removeChannel(ada.channel);
      await bob.shows({});
    });

    test('SocketClosedOrLost_IsALeave', async () => {
      const topic = room();
      const [closing, lost] = [world.client({ vsn }), world.client({ vsn })];
      attend(closing, topic, { key: 'closing', payload: {} });
      attend(lost, topic, { key: 'lost', payload: {} });
      const bob = attend(world.client({ vsn }), topic);
      await bob.shows({ closing: [{}], lost: [{}] });
      closing.supabase.realtime.disconnect();
      await bob.shows({ lost: [{}] });
      lost.cut();
      lost.close();
      await bob.shows({});
    });

    test('Reconnect_WithTheSamePayload_NobodyNotices', async () => {
      const topic = room();
      const client = world.client({ vsn, quick: true });
      const ada = attend(client, topic, { key: 'ada', payload: { n: 1 } });
      const bob = attend(world.client({ vsn }), topic);
      for (const one of [ada, bob]) await one.shows({ ada: [{ n: 1 }] });
      bob.listen_anew();
      client.cut();
      await ada.joined(2);
      await sleep(2500); // longer than limits.presence_hold
      await settle(topic, ada, bob);
      assert.deepEqual(bob.heard, []);
      assert.deepEqual(ada.list(), { ada: [{ n: 1 }] });
      await ada.channel.untrack();
      await bob.shows({});
    });

    test('Reconnect_WithAnotherPayload_IsAnUpdate', async () => {
      const topic = room();
      const client = world.client({ vsn, quick: true });
      const ada = await attend(client, topic, { key: 'ada' }).joined();
      const bob = attend(world.client({ vsn }), topic);
      await ada.channel.track({ n: 1 });
      await bob.shows({ ada: [{ n: 1 }] });
      bob.listen_anew();
      client.cut();
      await ada.joined(2);
      await ada.channel.track({ n: 2 });
      await bob.shows({ ada: [{ n: 2 }] });
      assert.deepEqual(bob.heard.map(({ event, metas }) => [event, metas]), [['leave', [{ n: 1 }]], ['join', [{ n: 2 }]]]);
    });

    test('JoinAgain_OnTheSameSocket_NobodyNotices', async () => {
      const topic = room();
      const raw = await world.raw({ vsn });
      const bob = await attend(world.client({ vsn }), topic).joined();
      const presence = { key: 'ada', enabled: true };
      await track_raw(raw, topic, await join_raw(raw, topic, { presence }), { n: 1 });
      await bob.shows({ ada: [{ n: 1 }] });
      bob.listen_anew();
      const ref = await join_raw(raw, topic, { presence });
      assert.deepEqual(Object.keys(states(raw).at(-1)), ['ada']);
      await track_raw(raw, topic, ref, { n: 1 });
      await settle(topic, bob);
      assert.deepEqual(bob.heard, []);
    });

    test('State_ComesBehindTheReplyAndBeforeSystem', async () => {
      const topic = room();
      const raw = await world.raw({ vsn });
      const ref = await join_raw(raw, topic, { postgres_changes: [{ event: '*', schema: 'public', table: 'chat_history' }] });
      await raw.message((one) => one.event === 'system');
      assert.deepEqual(raw.messages.map((one) => one.event), ['phx_reply', 'presence_state', 'system']);
      const [, state] = raw.messages;
      assert.deepEqual(state.payload, {});
      assert.equal(state.ref, null);
      assert.equal(state.join_ref, vsn === '2.0.0' ? ref : undefined);
      await track_raw(raw, topic, ref, { n: 1 });
      const diff = await raw.message((one) => one.event === 'presence_diff');
      assert.equal(diff.ref, null);
      assert.equal(diff.join_ref, vsn === '2.0.0' ? null : undefined);
    });

    test('NotEnabled_NothingComes_UntilItTracks', async () => {
      const topic = room();
      const [raw, other] = [await world.raw({ vsn }), await world.raw({ vsn })];
      const ref = await join_raw(raw, topic, { presence: { key: 'ada', enabled: false } });
      await track_raw(other, topic, await join_raw(other, topic, { presence: { key: 'bob', enabled: true } }), { n: 1 });
      await other.message((one) => one.event === 'presence_diff');
      assert.deepEqual(raw.messages.map((one) => one.event), ['phx_reply']);
      assert.deepEqual(await track_raw(raw, topic, ref, { n: 2 }), { status: 'ok', response: {} });
      await raw.message((one) => one.event === 'presence_diff');
      assert.deepEqual(raw.messages.map((one) => one.event), ['phx_reply', 'phx_reply', 'presence_state', 'presence_diff']);
      assert.deepEqual(Object.keys(states(raw)[0]), ['bob']);
      assert.deepEqual(Object.keys(diffs(raw)[0].joins), ['ada']);
    });

    test('Track_WithoutAListener_IsSeenByOthers', async () => {
      const topic = room();
      attend(world.client({ vsn }), topic, { key: 'ada', payload: { n: 1 }, listen: false });
      await attend(world.client({ vsn }), topic).shows({ ada: [{ n: 1 }] });
    });

    test('Track_IsToldBeforeItIsAnswered', async () => {
      const raw = await world.raw({ vsn });
      const topic = room();
      const ref = await join_raw(raw, topic, { presence: { key: 'ada', enabled: true } });
      await track_raw(raw, topic, ref, { n: 1 });
      const order = raw.messages.slice(1).map((one) => one.event);
      assert.deepEqual(order, ['presence_state', 'presence_diff', 'phx_reply']);
    });

    test('WhatCannotBe_IsRefusedWithAReason', async () => {
      const topic = room();
      const raw = await world.raw({ vsn });
      const ref = await join_raw(raw, topic, { presence: { key: 'ada', enabled: true } });
      for (const payload of [null, 1, 'text', [1], true]) {
        const { status, response } = await track_raw(raw, topic, ref, payload);
        assert.deepEqual({ status, response }, { status: 'error', response: { reason: 'Presence track payload must be a map' } });
      }
      const large = await track_raw(raw, topic, ref, { text: 'x'.repeat(20_000) });
      assert.deepEqual(large.response, { reason: 'Track message size exceeded' });
      assert.equal(large.code, 'presence_refused');
      const other = await raw.reply(raw.send(`realtime:${topic}`, 'presence', { event: 'dance' }, { join_ref: ref }));
      assert.equal(other.status, 'error');
      assert.deepEqual(await track_raw(raw, topic, ref, { n: 1 }), { status: 'ok', response: {} }, 'the channel lives on');
      const proto = await join_raw(raw, `${topic}-2`, { presence: { key: '__proto__', enabled: true } });
      assert.equal((await track_raw(raw, `${topic}-2`, proto, {})).status, 'error');
      assert.equal(raw.closed, null);
    });

    test('OverTheRate_TheLastCounts_AndNobodyIsClosed', async () => {
      const topic = room();
      const coalesced = () => world.daemon.metric('pgcast_presence_changes_coalesced_total');
      const before = await coalesced();
      const ada = await attend(world.client({ vsn, role: 'authenticated' }), topic, { key: 'ada' }).joined();
      const bob = await attend(world.client({ vsn, role: 'authenticated' }), topic).joined();
      const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => ada.channel.track({ n })));
      assert.ok(answers.every((one) => one === 'ok'));
      await bob.shows({ ada: [{ n: 99 }] });
      assert.ok(bob.heard.length <= 25, `${bob.heard.length} joins and leaves for 100 changes`);
      assert.ok(await coalesced() - before > 50);
      await ada.channel.untrack();
      await bob.shows({});
      assert.deepEqual(ada.statuses, ['SUBSCRIBED']);
    });

    test('SessionTopic_WhoJoinedSeesWhoIsThere', async () => {
      const session = await add_session(world);
      const topic = `session:${session}`;
      const client = world.client({ vsn });
      const ada = attend(client, topic, { key: 'ada', payload: { at: 'desk' } });
      const watch = world.client({ vsn }).watch(topic);
      await watch.snapshot();
      const bob = attend(world.client({ vsn }), topic, { key: 'bob', payload: {} });
      for (const one of [ada, bob]) await one.shows({ ada: [{ at: 'desk' }], bob: [{}] });
      await say(world, session, 'rows come as ever');
      await watch.event(is('chat_history', 'INSERT'));
      client.close();
      await bob.shows({ bob: [{}] });
    });
  });
}

test('MixedVersions_SeeEachOther', async () => {
  const topic = room();
  const all = ['1.0.0', '2.0.0', '1.0.0', '2.0.0'].map((vsn, n) => attend(world.client({ vsn }), topic, { key: `c${n % 3}`, payload: { n } }));
  for (const one of all) await one.shows({ c0: [{ n: 0 }, { n: 3 }], c1: [{ n: 1 }], c2: [{ n: 2 }] });
  await all[1].channel.track({ n: 'one' });
  await all[3].channel.unsubscribe();
  for (const one of all.slice(0, 3)) await one.shows({ c0: [{ n: 0 }], c1: [{ n: 'one' }], c2: [{ n: 2 }] });
});

test('ServiceRole_HasNoRate', async () => {
  const topic = room();
  const before = await world.daemon.metric('pgcast_presence_changes_coalesced_total');
  const ada = await attend(world.client(), topic, { key: 'ada' }).joined();
  const bob = await attend(world.client(), topic).joined();
  for (let n = 0; n < 50; n += 1) await ada.channel.track({ n });
  await bob.shows({ ada: [{ n: 49 }] });
  assert.equal(await world.daemon.metric('pgcast_presence_changes_coalesced_total'), before);
});

test('ClientWithAnId_KeepsItsMadeKey', async () => {
  const topic = room();
  const client = world.client({ quick: true, params: { client_id: fresh('page') } });
  const ada = attend(client, topic, { payload: { n: 1 } });
  const bob = attend(world.client(), topic);
  await until(() => Object.keys(bob.list()).length === 1, 'somebody');
  const before = bob.list();
  bob.listen_anew();
  client.cut();
  await ada.joined(2);
  await sleep(2500);
  await settle(topic, bob);
  assert.deepEqual(bob.heard, []);
  assert.deepEqual(bob.list(), before);
});

test('PhoneTopic_OtherNotations_AreTheSameRoom', async () => {
  attend(world.client(), 'phone:+44 7700 900999', { key: 'ada', payload: { n: 1 } });
  await attend(world.client(), 'phone:00447700900999', { key: 'bob' }).shows({ ada: [{ n: 1 }] });
});

test('ManyClients_ComeAndGo_AllSeeTheSame', async () => {
  const topic = room();
  const clients = Array.from({ length: 24 }, (_, n) => world.client({ vsn: n % 2 ? '1.0.0' : '2.0.0' }));
  const all = clients.map((client, n) => attend(client, topic, { key: `k${n % 10}`, payload: { n } }));
  for (const [n, one] of all.entries()) {
    await one.joined();
    if (n % 3 === 0) await one.channel.track({ n: -n });
    if (n % 4 === 1) await one.channel.untrack();
    if (n % 6 === 5) await one.channel.unsubscribe();
  }
  const wanted = {};
  for (const n of all.keys()) {
    if (n % 4 === 1 || n % 6 === 5) continue;
    (wanted[`k${n % 10}`] ??= []).push({ n: n % 3 === 0 ? -n : n });
  }
  for (const [n, one] of all.entries()) if (n % 6 !== 5) await one.shows(wanted);
  world.close_clients();
  await until(async () => (await world.daemon.metric('pgcast_presences')) === 0, 'nobody is tracked');
});

describe('small limits, one thread', () => {
  let daemon;
  test.before(async () => {
    daemon = await world.serve('postgres', { PGCAST_THREADS: '1', PGCAST_LIMITS_QUEUE_BYTES: '16KiB', PGCAST_LIMITS_PRESENCE_TOPIC_BYTES: '4KiB' });
  });

  test('FullTopic_RefusesMore_AndTakesThemWhenOthersHaveLeft', async () => {
    const topic = room();
    const raws = [];
    const answers = [];
    for (let n = 0; n < 8; n += 1) {
      const raw = await world.raw({ daemon });
      const ref = await join_raw(raw, topic, { presence: { key: `k${n}`, enabled: true } });
      answers.push(await track_raw(raw, topic, ref, { text: 'x'.repeat(500) }));
      raws.push({ raw, ref });
    }
    assert.equal(answers[0].status, 'ok');
    assert.match(answers.at(-1).response.reason, /^PresenceLimitReached: /);
    const fits = answers.filter((one) => one.status === 'ok').length;
    const last = raws.at(-1);
    const [{ raw: first, ref: first_ref }] = raws;
    assert.equal((await track_raw(first, topic, first_ref, { text: 'y'.repeat(3_000) })).status, 'error', 'nor may a payload grow beyond it');
    assert.equal((await track_raw(first, topic, first_ref, { text: 'y' })).status, 'ok');
    for (const { raw, ref } of raws.slice(0, fits)) raw.send(`realtime:${topic}`, 'phx_leave', {}, { join_ref: ref });
    await until(() => Object.keys(diffs(last.raw).reduce((all, one) => ({ ...all, ...one.leaves }), {})).length === fits, 'all have left');
    assert.equal((await track_raw(last.raw, topic, last.ref, { text: 'x'.repeat(500) })).status, 'ok');
  });

  test('ClientThatDoesNotRead_HasTheRightStateAfterwards', async () => {
    const topic = room();
    const slow = await world.raw({ daemon });
    await join_raw(slow, topic);
    const speaker = await world.raw({ daemon });
    const ref = await join_raw(speaker, topic, { presence: { key: 'ada', enabled: true } });
    slow.socket.pause();
    const text = 'x'.repeat(60_000);
    let n = 0;
    const speak = async () => {
      for (let i = 0; i < 20; i += 1) speaker.send(`realtime:${topic}`, 'broadcast', { type: 'broadcast', event: 'noise', payload: { text } }, { join_ref: ref });
      await track_raw(speaker, topic, ref, { n: n += 1 });
      await speaker.message((one) => one.event === 'presence_diff' && one.payload.joins.ada?.metas[0].n === n);
    };
    for (let i = 0; i < 20; i += 1) await speak();
    slow.socket.resume();
    // What it shows after all that it was told: a state is the truth, a join comes on top of it.
    const shown = () => slow.messages.reduce((last, { event, payload }) => {
      if (event === 'presence_state') return payload.ada?.metas[0].n;
      return event === 'presence_diff' ? payload.joins.ada?.metas[0].n ?? last : last;
    }, undefined);
    await until(() => shown() === n, () => `${n} is shown, now ${shown()}`);
    assert.ok(states(slow).length >= 2, 'a fresh state');
    assert.ok(diffs(slow).length < 2 * n - 1, 'some diffs were left out');
    await track_raw(speaker, topic, ref, { n: 'last' });
    await slow.message((one) => one.event === 'presence_diff' && one.payload.joins.ada?.metas[0].n === 'last');
  });
});
