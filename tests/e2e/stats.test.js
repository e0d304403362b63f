// The topic `stats:<campaign>`: who may watch, what comes when, and that only the newest waits.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';

const k_interval = 200;
const world = use_world({
  sql: `ALTER TABLE campaign_info ENABLE ROW LEVEL SECURITY; ALTER TABLE session_info ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON campaign_info FOR SELECT TO authenticated USING (job_info = auth.jwt() ->> 'sub');
    CREATE POLICY own ON session_info FOR SELECT TO authenticated USING (session_id = auth.jwt() ->> 'sub');
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM anon;`,
  env: { PGCAST_THREADS: '2', PGCAST_STATS_INTERVAL: `${k_interval}ms`, PGCAST_AUTH_CACHE: '1s' },
});

const k_nothing = { sessions: 0, active: 0, messages: { total: 0, user: 0, agent: 0 }, calls: { total: 0, seconds: 0 }, objectives: {}, last_activity_at: null };
const stats_of = (watch) => watch.others.filter((one) => one.event === 'stats').map((one) => one.payload);
const newest = (watch) => stats_of(watch).at(-1);
const shows = (watch, matches) => until(() => newest(watch) && matches(newest(watch)), () => `${watch.topic} shows ${JSON.stringify(newest(watch))} ${watch.say()}`);
const owned_by = async (sub, name = fresh('campaign')) => {
  await world.query('INSERT INTO campaign_info (campaign, job_info) VALUES ($1, $2)', [name, sub]);
  return name;
};

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    const service = () => world.client({ vsn, role: 'service_role' });
    const as = (sub) => world.client({ vsn, role: 'authenticated', sub });
    const watching = async (campaign, client = service()) => {
      const watch = await client.watch(`stats:${campaign}`).joined();
      await shows(watch, () => true);
      return watch;
    };

    test('Join_IsToldTheNumbersAtOnce', async () => {
      const campaign = fresh('nobody is in it');
      const watch = await watching(campaign);
      const [{ cursor, ...numbers }] = stats_of(watch);
      assert.deepEqual(numbers, { campaign, ...k_nothing });
      assert.match(cursor, /^[\w-]{20,200}$/);
      assert.equal(stats_of(watch).length, 1);
    });

    test('OddNames_AreCampaignsToo', async () => {
      for (const name of ['a b', 'a:b', '%41 ☃ "q" \\', ' ', 'é'.repeat(200)]) {
        const campaign = `${name}${fresh('')}`;
        const watch = await watching(campaign);
        await add_session(world, { campaign: await add_campaign(world, campaign) });
        await shows(watch, (one) => one.sessions === 1 && one.campaign === campaign);
      }
    });

    test('Change_IsToldAtOnce_WhatFollowsWithinTheIntervalTogether', async () => {
      const campaign = await add_campaign(world);
      const session = await add_session(world, { campaign });
      const watch = await watching(campaign);
      await shows(watch, (one) => one.sessions === 1);
      await sleep(2 * k_interval);
      const before = stats_of(watch).length;
      let told_on_the_way = 0;
      const started = Date.now();
      for (let n = 0; n < 60; n += 1) {
        await say(world, session, 'one', n % 3 === 0 ? 'user' : 'agent');
        told_on_the_way = stats_of(watch).length - before;
        await sleep(10);
      }
      const lasted = Date.now() - started;
      await shows(watch, (one) => one.messages.total === 60);
      assert.deepEqual(newest(watch).messages, { total: 60, user: 20, agent: 40 });
      const told = stats_of(watch).length - before;
      assert.ok(told >= 2, `${told} told`);
      assert.ok(told <= Math.ceil((lasted + 1_000) / k_interval) + 1, `${told} told in ${lasted} ms: at most one in ${k_interval} ms`);
      assert.ok(told_on_the_way >= 2, 'told while the writer goes on');
      await sleep(2 * k_interval);
      assert.equal(stats_of(watch).length - before, told, 'nothing more is told when nothing more happens');
    });

    test('EverythingCounts_AsItIsDefined', async () => {
      const [campaign, other] = [await add_campaign(world), await add_campaign(world)];
      const [watch, watch_other] = [await watching(campaign), await watching(other)];
      const session = fresh('session');
      await say(world, session, 'before its session', 'user');
      await world.query(`INSERT INTO session_info (session_id, campaign, session_status, objectives, last_outbound_at)
        VALUES ($1, $2, 'active', '{"a": true, "b": {"met": true}, "c": "true"}', '2026-01-02T03:04:05.5Z')`, [session, campaign]);
      await world.query(`INSERT INTO chat_history (session_id, message) VALUES ($1, '{"type": "ai"}'), ($1, '"odd"')`, [session]);
      await world.query(`INSERT INTO call_info (call_id, session_id, called_at, duration) VALUES ($1, $2, '2026-01-01', '90.25 s'), ($1 || 'b', NULL, now(), '1 h')`, [fresh('call'), session]);
      const numbers = { sessions: 1, active: 1, messages: { total: 3, user: 1, agent: 1 }, calls: { total: 1, seconds: 90.25 }, objectives: { a: 1, b: 1 }, last_activity_at: '2026-01-02T03:04:05.5+00:00' };
      await shows(watch, (one) => one.calls.total === 1 && one.messages.total === 3);
      const { cursor, ...shown } = newest(watch);
      assert.deepEqual(shown, { campaign, ...numbers });
      assert.ok(cursor);
      await world.query('UPDATE session_info SET campaign = $2 WHERE session_id = $1', [session, other]);
      await shows(watch, (one) => one.sessions === 0);
      await shows(watch_other, (one) => one.sessions === 1);
      assert.deepEqual({ ...newest(watch), cursor: 0 }, { cursor: 0, campaign, ...k_nothing });
      assert.deepEqual({ ...newest(watch_other), cursor: 0 }, { cursor: 0, campaign: other, ...numbers });
      await world.query('DELETE FROM call_info WHERE session_id = $1', [session]);
      await world.query('DELETE FROM session_info WHERE session_id = $1', [session]);
      await shows(watch_other, (one) => one.sessions === 0 && one.messages.total === 0);
    });

    test('SeveralWatch_OthersLeave_TheRestIsTold', async () => {
      const campaign = await add_campaign(world);
      const clients = [service(), service(), service()];
      const watches = await Promise.all(clients.map((client) => watching(campaign, client)));
      await clients[0].supabase.removeAllChannels();
      clients[1].cut();
      await add_session(world, { campaign });
      await shows(watches[2], (one) => one.sessions === 1);
      assert.equal((await watching(campaign, clients[0])).others[0].payload.sessions, 1, 'who joins again has the newest at once');
    });

    test('BroadcastsAndPresence_WorkThere_ButNotUnderTheReservedName', async () => {
      const campaign = await add_campaign(world);
      const [one, other] = [await watching(campaign), await watching(campaign)];
      await one.channel.send({ type: 'broadcast', event: 'typing', payload: { who: 'ada' } });
      await until(() => other.others.some(({ event }) => event === 'typing'), 'typing');
      const refused = await world.daemon.metric('pgcast_reserved_events_refused_total');
      await one.channel.send({ type: 'broadcast', event: 'stats', payload: { sessions: 99 } });
      await until(async () => (await world.daemon.metric('pgcast_reserved_events_refused_total')) === refused + 1, 'it is counted');
      assert.equal(newest(other).sessions, 0);
    });

    test('Options_OfOtherTopics_DoNoHarm', async () => {
      const campaign = await add_campaign(world);
      for (const broadcast of [{ snapshot: false }, { resume: 'x' }, { resume: '' }, { snapshot: { messages: 1 } }]) {
        const watch = await service().watch(`stats:${campaign}`, { broadcast }).joined();
        await shows(watch, (one) => one.sessions === 0);
      }
    });

    test('WhoSeesTheCampaign_CountsAllItsSessions_OthersAreRefusedAlike', async () => {
      const campaign = await owned_by('anna');
      for (const id of [fresh('x'), fresh('y')]) await add_session(world, { id, campaign });
      assert.equal(newest(await watching(campaign, as('anna'))).sessions, 2, 'also those that she may not see');
      const reasons = [];
      for (const name of [campaign, fresh('none')]) {
        const refused = await as('ben').watch(`stats:${name}`).refused();
        reasons.push(refused.replace(name, '..'));
      }
      assert.match(reasons[0], /Unauthorized/);
      assert.equal(reasons[0], reasons[1]);
    });

    test('RightsThatGo_EndTheChannel_ThoseThatComeLetItJoin', async () => {
      const campaign = await owned_by('anna');
      const [anna, ben] = [await watching(campaign, as('anna')), as('ben')];
      await ben.watch(`stats:${campaign}`).refused();
      ben.close();
      await world.query('UPDATE campaign_info SET job_info = $2 WHERE campaign = $1', [campaign, 'ben']);
      await until(() => anna.statuses.some((one) => one.status === 'CHANNEL_ERROR'), () => `anna is out: ${anna.say()}`);
      const before = stats_of(anna).length;
      await watching(campaign, as('ben'));
      await add_session(world, { campaign });
      await sleep(2 * k_interval);
      assert.equal(stats_of(anna).length, before);
    });
  });
}

test('ClientThatDoesNotRead_HasTheNewestAfterwards_NotAQueue', async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const raw = await world.raw({ vsn: '2.0.0', role: 'service_role' });
  // A payload that fills the sockets' buffers in few messages.
  await world.query(`UPDATE session_info SET objectives = (SELECT jsonb_object_agg('objective ' || repeat('x', 100) || i, true) FROM generate_series(1, 4000) i) WHERE session_id = $1`, [session]);
  await raw.join(`stats:${campaign}`);
  raw.socket.pause();
  const sent = await world.daemon.metric('pgcast_stats_sent_total');
  let total = 0;
  while ((await world.daemon.metric('pgcast_stats_sent_total')) < sent + 30) {
    await say(world, session, 'one');
    total += 1;
    await sleep(20);
  }
  raw.socket.resume();
  const told = () => raw.messages.filter((one) => one.binary).map((one) => JSON.parse(one.binary.subarray(one.binary.indexOf('{"cursor"')).toString()));
  await until(() => told().at(-1)?.messages.total === total, 'the newest');
  assert.ok(told().length < 28, `${told().length} of 31 messages were sent, the rest replaced`);
});

test('CampaignWithTooManySessions_IsRefusedWithTheRemedy', async () => {
  const daemon = await world.serve('postgres', { PGCAST_LIMITS_TICKER_SESSIONS: '2' });
  const campaign = await add_campaign(world);
  for (let n = 0; n < 3; n += 1) await add_session(world, { campaign });
  const reason = await world.client({ daemon, token: mint({ role: 'service_role' }) }).watch(`stats:${campaign}`).refused();
  assert.match(reason, /more than 2 sessions \(limits.ticker_sessions\)/);
});

test('OnlyWatchedCampaigns_AreKept', async () => {
  world.close_clients();
  await until(async () => (await world.daemon.metric('pgcast_tickers')) === 0, 'all are forgotten', 15_000);
  assert.equal(await world.daemon.metric('pgcast_ticker_sessions'), 0);
  const watch = await world.client({ role: 'service_role' }).watch(`stats:${await add_campaign(world)}`).joined();
  await shows(watch, () => true);
  assert.equal(await world.daemon.metric('pgcast_tickers'), 1);
});

test('CallOfAnyLength_IsCounted', async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const cold = await world.serve('postgres', { PGCAST_STATS_INTERVAL: `${k_interval}ms` });
  const live = await world.client({ role: 'service_role' }).watch(`stats:${campaign}`).joined();
  for (const [duration, seconds] of [['300000 years', 9467280000000], ['-178000000 years', -5617252800000000], ['2562047788:00:54', 9223372036854], ['-1 mons +2 days -00:00:03.5', -2419203.5]]) {
    await world.query('INSERT INTO call_info (call_id, session_id, duration) VALUES ($1, $2, $3)', [fresh('call'), session, duration]);
    await shows(live, ({ calls }) => calls.total === 1 && calls.seconds === seconds);
    await cold.kill();
    await cold.run();
    const client = world.client({ role: 'service_role', daemon: cold });
    const late = await client.watch(`stats:${campaign}`).joined();
    await shows(late, ({ calls }) => calls.seconds === seconds);
    client.close();
    const answer = await fetch(`${cold.url}/api/v1/campaigns`, { headers: { apikey: mint({ role: 'service_role' }) } });
    const shown = (await answer.json()).campaigns.find((one) => one.campaign === campaign);
    assert.equal(shown.stats.calls.seconds, seconds);
    await world.query('DELETE FROM call_info WHERE session_id = $1', [session]);
    await shows(live, ({ calls }) => calls.total === 0);
  }
});

test('WhoJoinsAQuietCampaign_GetsTheCursorOfNow', async () => {
  const campaign = await add_campaign(world);
  const service = () => world.client({ role: 'service_role' });
  const first = await service().watch(`stats:${campaign}`).joined();
  await shows(first, () => true);
  await world.query('UPDATE campaign_info SET job_info = $2 WHERE campaign = $1', [campaign, 'Another']); // changes no number
  const follower = await service().watch(`campaign:${campaign}`).joined();
  await until(() => follower.snapshots.length > 0, 'the change is relayed');
  await sleep(2 * k_interval);
  const late = await service().watch(`stats:${campaign}`).joined();
  await shows(late, () => true);
  assert.equal(stats_of(first).length, 1, 'who has had the numbers is not told them again');
  const resumed = await service().watch(`campaign:${campaign}`, { broadcast: { resume: newest(late).cursor } }).joined();
  await add_session(world, { campaign });
  await until(() => resumed.events.length > 0, 'the event after it');
  assert.equal(resumed.events[0].table, 'session_info', 'what was before the cursor is not told again');
});
