// The package pgcast-client against the daemon: what it asks, what it watches, and that a client
// that was away, slow or refused is told so and misses nothing.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, is, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';
import { build, load } from './fixture/typescript.js';

const world = use_world({
  sql: `ALTER TABLE session_info ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON session_info FOR SELECT TO authenticated USING (split_part(session_id, '/', 1) = auth.jwt() ->> 'sub')`,
});
let client;
before(build, { timeout: 300_000 });
before(async () => {
  client = await load();
});

/** The app's client and pgcast on it. */
function app(options) {
  const own = world.client({ quick: true, ...options });
  return { supabase: own.supabase, pgcast: client.createPgcast(own.supabase), cut: () => own.cut() };
}

/** Watches and records: {watch, log, snapshots, events, statuses, errors, notices}. */
function record(pgcast, method, id, options = {}) {
  const seen = { log: [], snapshots: [], metas: [], events: [], statuses: [], errors: [], notices: [] };
  seen.watch = pgcast[method](id, {
    onSnapshot: (snapshot, meta) => seen.log.push('snapshot') && seen.snapshots.push(snapshot) && seen.metas.push(meta),
    onEvent: (event) => seen.log.push(event.table) && seen.events.push(event),
    onStatus: (status) => seen.statuses.push(status),
    onError: (error) => seen.errors.push(error),
    onNotice: (notice) => seen.notices.push(notice),
    ...options,
  });
  const tell = () => JSON.stringify({ ...seen, watch: undefined }).slice(0, 3000);
  seen.snapshot = (nth = 1) => until(() => seen.snapshots[nth - 1], tell);
  seen.event = (matches = () => true, ms = 20_000) => until(() => seen.events.find(matches), tell, ms);
  seen.status = (status) => until(() => seen.watch.status === status, tell);
  seen.error = () => until(() => seen.errors[0], tell);
  return seen;
}

const message_ids = (seen) => seen.events.filter(is('chat_history', 'INSERT')).map(({ record: row }) => row.id);
const has_message = (id) => (event) => event.table === 'chat_history' && event.record?.id === id;

/** A session with a number, in a campaign of its own. */
async function candidate(options = {}) {
  const campaign = await add_campaign(world);
  const phone = fresh_phone();
  return { session: await add_session(world, { campaign, phone, ...options }), campaign, phone };
}

describe('questions', () => {
  test('Get_EachQuestion_AnswersWhatTheApiDoes', async () => {
    const { session, campaign, phone } = await candidate({ id: `${fresh('a')}/b c` });
    await say(world, session, 'one');
    await say(world, session, 'two', 'agent');
    await world.query('INSERT INTO call_info (call_id, session_id, duration) VALUES ($1, $2, $3)', [fresh('call'), session, '1 min']);
    const { pgcast } = app();
    const ask = async (path) => (await fetch(`${world.daemon.url}/api/v1/${path}`, { headers: { authorization: `Bearer ${mint()}` } })).json();
    const [s, c, p] = [session, campaign, phone].map(encodeURIComponent);
    const pairs = [
      [pgcast.getChatHistory(phone), `phones/${p}/messages`], [pgcast.getCandidateProfile(phone), `phones/${p}`],
      [pgcast.getChatHistory(phone, { sender: 'agent', limit: 1 }), `phones/${p}/messages?sender=agent&limit=1`],
      [pgcast.getSessionDetails(session), `sessions/${s}`], [pgcast.getCallRecords(session), `sessions/${s}/calls`],
      [pgcast.getCampaigns(), 'campaigns'], [pgcast.getCampaign(campaign), `campaigns/${c}`],
      [pgcast.getCampaignSessions(campaign, { limit: 5 }), `campaigns/${c}/sessions?limit=5`],
    ];
    for (const [answer, path] of pairs) {
      const { cursor, ...told } = await answer;
      assert.deepEqual({ ...told, cursor: null }, { ...(await ask(path)), cursor: null }, path);
      assert.equal(typeof cursor, 'string');
    }
  });

  test('Get_PageByPage_GivesEachRowOnce', async () => {
    const { session, phone } = await candidate();
    const ids = [];
    for (let i = 0; i < 5; i++) ids.push(await say(world, session, `message ${i}`));
    const { pgcast } = app();
    const pages = [];
    for (let next; next !== null;) {
      const page = await pgcast.getChatHistory(phone, { limit: 2, before: next });
      pages.unshift(page.messages.map(({ id }) => id));
      next = page.next;
    }
    assert.deepEqual(pages.flat(), ids);
  });

  test('Get_Refused_ThrowsAPgcastErrorWithCodeHintAndStatus', async () => {
    const { session } = await candidate();
    const { pgcast } = app();
    const nobody = app({ token: mint({}, 'another-secret-of-at-least-thirty-two-bytes') }).pgcast;
    const elsewhere = client.createPgcast(world.client().supabase, { url: 'http://127.0.0.1:1' });
    const page = client.createPgcast(world.client().supabase, { fetch: async () => new Response('<html>', { status: 502 }) });
    const gone = AbortSignal.abort();
    const no_token = app({ access_token: () => Promise.reject(new Error('signed out')) }).pgcast;
    const cases = [
      [() => pgcast.getSessionDetails('not-there'), 'not_found', 404], [() => nobody.getCampaigns(), 'unauthorized', 401],
      [() => pgcast.getCallRecords(session, { limit: 0 }), 'limit_invalid', 400], [() => elsewhere.getCampaigns(), 'unreachable', 0],
      [() => page.getCampaigns(), 'unreachable', 502], [() => pgcast.getCampaigns({ signal: gone }), 'aborted', 0],
      [() => no_token.getCampaigns(), 'token_failed', 0],
    ];
    for (const [ask, code, status] of cases) {
      await assert.rejects(ask, (error) => {
        assert.ok(error instanceof client.PgcastError);
        assert.deepEqual([error.code, error.status], [code, status]);
        assert.ok(error.message.length > 5);
        if (code !== 'aborted') assert.ok(error.hint.length > 5, code);
        return true;
      });
    }
  });

  test('Get_AfterSetAuth_HasTheRightsOfTheNewToken', async () => {
    const session = await add_session(world, { id: `anna/${fresh('s')}` });
    const { supabase, pgcast } = app({ role: 'authenticated', sub: 'ben' });
    await assert.rejects(pgcast.getSessionDetails(session), { code: 'not_found' });
    await supabase.realtime.setAuth(mint({ role: 'authenticated', sub: 'anna' }));
    assert.equal((await pgcast.getSessionDetails(session)).session.session_id, session);
  });

  test('Get_WithTheAccessTokenOption_AsksForTheTokenEachTime', async () => {
    const session = await add_session(world, { id: `anna/${fresh('s')}` });
    let sub = 'ben';
    const { pgcast } = app({ role: 'anon', access_token: async () => mint({ role: 'authenticated', sub }) });
    await assert.rejects(pgcast.getSessionDetails(session), { code: 'not_found' });
    sub = 'anna';
    assert.equal((await pgcast.getSessionDetails(session)).session.session_id, session);
  });
});

describe('watches', () => {
  test('Watch_EachTopic_SnapshotThenEveryEventOnce', async () => {
    const { session, campaign, phone } = await candidate();
    await say(world, session, 'before');
    const { pgcast } = app();
    const all = [record(pgcast, 'watchSession', session), record(pgcast, 'watchPhone', phone), record(pgcast, 'watchCampaign', campaign)];
    for (const seen of all) await seen.snapshot();
    const ids = [await say(world, session, 'one'), await say(world, session, 'two')];
    for (const seen of all) {
      await seen.event(has_message(ids[1]));
      assert.deepEqual(seen.log, ['snapshot', 'chat_history', 'chat_history']);
      assert.deepEqual(message_ids(seen), ids);
      assert.deepEqual(seen.metas, [{ isFresh: false, reason: null }]);
      assert.deepEqual(seen.statuses, ['connecting', 'live']);
      assert.equal(seen.watch.state.cursor, seen.events[1].cursor);
    }
    assert.deepEqual(all[0].watch.state.messages.map(({ message }) => message.text), ['before', 'one', 'two']);
  });

  test('Watch_DaemonKilledAndRestarted_NothingMissedNothingTwice', { timeout: 90_000 }, async () => {
    const { session, campaign } = await candidate();
    const { pgcast } = app();
    const all = [record(pgcast, 'watchSession', session), record(pgcast, 'watchCampaign', campaign)];
    for (const seen of all) await seen.snapshot();
    const ids = [];
    for (let round = 0; round < 3; round++) {
      ids.push(await say(world, session, 'before'));
      if (round > 0) for (const seen of all) await seen.event(has_message(ids.at(-1)));
      await world.daemon.kill();
      for (let i = 0; i < 20; i++) ids.push(await say(world, session, `away ${i}`));
      await world.daemon.run();
    }
    ids.push(await say(world, session, 'after'));
    for (const seen of all) {
      await seen.event(has_message(ids.at(-1)));
      assert.deepEqual(message_ids(seen), ids);
      assert.equal(seen.snapshots.length, 1, 'a resume needs no snapshot');
      assert.ok(seen.statuses.includes('reconnecting'));
      assert.equal(seen.watch.status, 'live');
    }
  });

  test('Watch_CursorThatCannotBeHonoured_GetsAFreshSnapshotAndIsToldWhy', async () => {
    const { session } = await candidate();
    const { pgcast } = app();
    const known = await pgcast.getSessionDetails(session);
    const id = await say(world, session, 'since');
    const seen = record(pgcast, 'watchSession', session, { from: { ...known, cursor: 'nonsense' } });
    await seen.snapshot(2);
    assert.deepEqual(seen.metas, [{ isFresh: false, reason: null }, { isFresh: true, reason: 'cursor_invalid' }]);
    assert.deepEqual(seen.notices.map(({ code, status }) => [code, status]), [['cursor_invalid', 'error']]);
    assert.deepEqual(seen.watch.state.messages.map((row) => row.id), [id]);
  });

  test('Watch_FromAnAnswerOfTheApi_BeginsRightAfterIt', async () => {
    const { session } = await candidate();
    const { pgcast } = app();
    const known = await pgcast.getSessionDetails(session);
    const ids = [await say(world, session, 'between')];
    const seen = record(pgcast, 'watchSession', session, { from: known });
    await seen.event(has_message(ids[0]));
    ids.push(await say(world, session, 'live'));
    await seen.event(has_message(ids[1]));
    assert.deepEqual(seen.log, ['snapshot', 'chat_history', 'chat_history']);
    assert.deepEqual(seen.watch.state.messages.map((row) => row.id), ids);
  });

  test('Watch_NumberThatMoves_GetsAFreshSnapshot', async () => {
    const { phone } = await candidate({ created_at: '2026-01-01T00:00:00Z' });
    const { pgcast } = app();
    const seen = record(pgcast, 'watchPhone', phone);
    await seen.snapshot();
    const next = await add_session(world, { phone });
    await say(world, next, 'here');
    await until(() => seen.watch.state.session?.session_id === next, () => seen.log.join());
    assert.equal(seen.metas.at(-1).isFresh, true);
    await until(() => seen.watch.state.messages.length === 1, () => seen.log.join());
  });

  test('Watch_TwoOfOneTopic_ShareAChannelAndTheLaterOneSeesTheSame', async () => {
    const { session } = await candidate();
    const { supabase, pgcast } = app();
    const first = record(pgcast, 'watchSession', session);
    await first.snapshot();
    const one = await say(world, session, 'one');
    await first.event(has_message(one));
    const second = record(client.createPgcast(supabase), 'watchSession', session);
    assert.deepEqual((await second.snapshot()).messages.map(({ id }) => id), [one]);
    assert.equal(supabase.getChannels().length, 1);
    first.watch.close();
    const two = await say(world, session, 'two');
    await second.event(has_message(two));
    assert.deepEqual(second.watch.state.messages.map(({ id }) => id), [one, two]);
    assert.deepEqual(message_ids(first), [one], 'a closed watch hears nothing');
    second.watch.close();
    await until(() => supabase.getChannels().length === 0, 'the channel is left');
    const third = record(pgcast, 'watchSession', session);
    assert.equal((await third.snapshot()).messages.length, 2);
    assert.deepEqual(third.metas, [{ isFresh: false, reason: null }]);
  });

  test('Watch_ClosedAndOpenedAtOnce_GoesOnOnTheSameChannel', async () => {
    const { session } = await candidate();
    const { supabase, pgcast } = app();
    record(pgcast, 'watchSession', session).watch.close();
    const seen = record(pgcast, 'watchSession', session);
    await seen.snapshot();
    seen.watch.close();
    const again = record(pgcast, 'watchSession', session);
    assert.deepEqual(await again.snapshot(), seen.snapshots[0]);
    assert.equal(supabase.getChannels().length, 1);
    assert.deepEqual(again.statuses, ['live']);
  });

  test('Watch_AHandlerThatWatchesTheSameTopic_GetsEverythingOnce', async () => {
    const { session } = await candidate();
    const { pgcast } = app();
    let inner;
    const outer = record(pgcast, 'watchSession', session, { onChange: ({ messages }) => {
      if (messages.length) inner ??= record(pgcast, 'watchSession', session);
    } });
    await outer.snapshot();
    const [one, two] = [await say(world, session, 'one'), await say(world, session, 'two')];
    await outer.event(has_message(two));
    await until(() => inner.watch.state?.messages.length === 2, () => inner.log.join());
    const [{ messages }] = inner.snapshots;
    assert.deepEqual([...messages.map(({ id }) => id), ...message_ids(inner)], [one, two]);
  });

  test('Watch_Refused_IsToldWhyAndComesAliveWhenItMay', async () => {
    const id = `anna/${fresh('s')}`;
    const { pgcast } = app({ role: 'authenticated', sub: 'anna' });
    const seen = record(pgcast, 'watchSession', id);
    const error = await seen.error();
    assert.ok(error instanceof client.PgcastError);
    assert.equal(error.code, 'unauthorized');
    assert.ok(error.hint, JSON.stringify([error.message, error.cause?.cause]));
    assert.equal(seen.watch.status, 'refused');
    await add_session(world, { id });
    assert.equal((await seen.snapshot()).session.session_id, id);
    await seen.status('live');
  });

  test('Watch_ConnectionThatCannotBeOpened_IsToldWhy', async () => {
    const { session } = await candidate();
    const closed = app({ daemon: { url: 'http://127.0.0.1:1' } }).pgcast;
    const cases = [[app({ token: mint({}, 'another-secret-of-at-least-thirty-two-bytes') }).pgcast, 'unauthorized'], [closed, 'unreachable']];
    for (const [pgcast, code] of cases) {
      const seen = record(pgcast, 'watchSession', session);
      const error = await seen.error();
      assert.equal(error.code, code);
      assert.ok(error.hint);
      assert.equal(seen.watch.status, 'reconnecting');
      seen.watch.close();
    }
  });

  test('Watch_ClosedTwice_DisturbsNobodyElse', async () => {
    const { session } = await candidate();
    const { supabase, pgcast } = app();
    const first = record(pgcast, 'watchSession', session);
    await first.snapshot();
    first.watch.close();
    await until(() => supabase.getChannels().length === 0, 'the channel is left');
    const second = record(pgcast, 'watchSession', session);
    first.watch.close();
    await second.snapshot();
    const third = record(pgcast, 'watchSession', session);
    const id = await say(world, session, 'one');
    for (const seen of [second, third]) await seen.event(has_message(id));
    assert.equal(supabase.getChannels().length, 1);
  });

  test('Watch_TopicThatTheAppHasJoined_IsRefusedAtOnce', async () => {
    const { session } = await candidate();
    const { supabase, pgcast } = app();
    supabase.channel(`session:${session}`);
    assert.throws(() => pgcast.watchSession(session), { name: 'PgcastError', code: 'topic_in_use' });
  });

  test('Watch_ChannelThatTheAppRemoves_EndsWithAnError', async () => {
    const { session } = await candidate();
    const { supabase, pgcast } = app();
    const seen = record(pgcast, 'watchSession', session);
    await seen.snapshot();
    await supabase.removeAllChannels();
    assert.equal((await seen.error()).code, 'channel_removed');
    assert.equal(seen.watch.status, 'closed');
    const again = record(pgcast, 'watchSession', session);
    await again.snapshot();
  });

  test('Watch_ClientsOwnBroadcasts_AreNoEvents', async () => {
    const { session } = await candidate();
    const { supabase, pgcast } = app();
    const seen = record(pgcast, 'watchSession', session);
    await seen.snapshot();
    const typing = [];
    supabase.channel(`session:${session}`).on('broadcast', { event: 'typing' }, ({ payload }) => typing.push(payload));
    await world.client().supabase.channel(`session:${session}`).httpSend('typing', { by: 'Ann' });
    await until(() => typing.length === 1, 'the app hears it on the same channel');
    assert.deepEqual(seen.log, ['snapshot']);
  });
});

describe('tokens', () => {
  test('Watch_RightAfterCreateClient_HasTheRightsOfTheUser', async () => {
    const session = await add_session(world, { id: `anna/${fresh('s')}` });
    const { pgcast } = app({ role: 'anon', access_token: async () => mint({ role: 'authenticated', sub: 'anna' }) });
    const seen = record(pgcast, 'watchSession', session);
    assert.equal((await seen.snapshot()).session.session_id, session);
    assert.deepEqual([seen.errors, seen.notices], [[], []]);
  });

  test('Watch_SetAuthRightAfterIt_HasTheRightsOfThatToken', async () => {
    const session = await add_session(world, { id: `anna/${fresh('s')}` });
    const { supabase, pgcast } = app({ role: 'authenticated', sub: 'ben' });
    const seen = record(pgcast, 'watchSession', session);
    await supabase.realtime.setAuth(mint({ role: 'authenticated', sub: 'anna' }));
    assert.equal((await seen.snapshot()).session.session_id, session);
    assert.deepEqual(seen.errors, []);
  });

  test('Watch_TokenThatHasEndedWhileAway_IsRenewedAtTheNextAttempt', { timeout: 60_000 }, async () => {
    const session = await add_session(world, { id: `anna/${fresh('s')}` });
    let ttl = 2;
    const { pgcast, cut } = app({ role: 'anon', access_token: async () => mint({ role: 'authenticated', sub: 'anna', ttl }) });
    const seen = record(pgcast, 'watchSession', session);
    await seen.snapshot();
    await until(() => seen.watch.status !== 'live', 'the token has ended', 20_000);
    ttl = 3600;
    cut();
    const id = await say(world, session, 'meanwhile');
    await seen.event(has_message(id));
    assert.equal(seen.snapshots.length, 1);
  });

  test('Watch_TokenThatExpires_IsRenewedInTimeAndNothingEnds', { timeout: 60_000 }, async () => {
    const session = await add_session(world, { id: `anna/${fresh('s')}` });
    let [ttl, asked] = [4, 0];
    const { pgcast } = app({ role: 'anon', access_token: async () => {
      asked += 1;
      return mint({ role: 'authenticated', sub: 'anna', ttl });
    } });
    const seen = record(pgcast, 'watchSession', session);
    await seen.snapshot();
    const before = asked;
    ttl = 3600;
    await until(() => asked > before, 'the daemon has announced the end, and the token is renewed');
    await sleep(5000); // the first one is over
    const id = await say(world, session, 'after the first token');
    await seen.event(has_message(id));
    assert.deepEqual(seen.statuses, ['connecting', 'live']);
  });
});

describe('handlers', () => {
  test('Handler_ThatThrows_IsToldToTheProcessAndNobodyMissesAnything', async () => {
    const { session } = await candidate();
    const { pgcast } = app();
    const thrown = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException').on('uncaughtException', (error) => thrown.push(error.message));
    try {
      const bad = pgcast.watchSession(session, { onSnapshot: () => {}, onEvent: () => {
        throw new Error('of the app');
      } });
      const good = record(pgcast, 'watchSession', session);
      await good.snapshot();
      const ids = [await say(world, session, 'one'), await say(world, session, 'two')];
      await good.event(has_message(ids[1]));
      await until(() => thrown.length === 2, () => thrown.join());
      assert.deepEqual(thrown, ['of the app', 'of the app']);
      assert.equal(bad.state.messages.length, 2);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });
});

describe('loops', () => {
  test('Loop_GivesTheSnapshotAndTheEvents_AndBreakLeaves', async () => {
    const { session } = await candidate();
    const { supabase, pgcast } = app();
    const watch = pgcast.watchSession(session);
    const items = [];
    for await (const item of watch) {
      items.push(item);
      if (item.type === 'snapshot') await say(world, session, 'one');
      else break;
    }
    assert.deepEqual(items.map(({ type }) => type), ['snapshot', 'event']);
    assert.equal(items[1].event.record.message.text, 'one');
    assert.equal(watch.status, 'closed');
    await until(() => supabase.getChannels().length === 0, 'the channel is left');
  });

  test('Loop_TooSlow_GetsWhatIsHeldThenAnErrorWithThePlaceToGoOnAt', async () => {
    const { session } = await candidate();
    const { pgcast } = app();
    const other = record(pgcast, 'watchSession', session);
    await other.snapshot();
    const slow = pgcast.watchSession(session, { buffer: 4 });
    const ids = [];
    for (let i = 0; i < 10; i++) ids.push(await say(world, session, `message ${i}`));
    await other.event(has_message(ids.at(-1)));
    const taken = [];
    let error;
    try {
      for await (const item of slow) taken.push(item);
    } catch (thrown) {
      error = thrown;
    }
    assert.equal(error?.code, 'slow_consumer');
    assert.deepEqual(taken.map(({ type }) => type), ['snapshot', 'event', 'event', 'event']);
    assert.throws(() => pgcast.watchSession(session, { resume: error.cursor }), { code: 'topic_in_use' });
    other.watch.close();
    const rest = record(app().pgcast, 'watchSession', session, { resume: error.cursor });
    await rest.event(has_message(ids.at(-1)));
    assert.deepEqual([...taken.slice(1).map(({ event }) => event.record.id), ...message_ids(rest)], ids);
    assert.deepEqual(rest.snapshots, []);
    assert.equal(rest.watch.state, null);
  });

  test('Loop_NotAllowed_Throws', async () => {
    const { pgcast } = app({ role: 'authenticated', sub: 'anna' });
    await assert.rejects(async () => {
      for await (const item of pgcast.watchSession('ben/s')) assert.fail(item.type);
    }, { code: 'unauthorized' });
  });

  test('Loop_OfAWatchWithHandlers_IsRefused', async () => {
    const { session } = await candidate();
    const { watch } = record(app().pgcast, 'watchSession', session);
    assert.throws(() => watch[Symbol.asyncIterator](), TypeError);
  });

  test('Stats_NewestWins_AndEqualTheApi', async () => {
    const { session, campaign } = await candidate();
    const { pgcast } = app();
    const live = pgcast.watchStats(campaign, { onStats: () => {} });
    const slow = pgcast.watchStats(campaign);
    const take = slow[Symbol.asyncIterator]();
    assert.equal((await take.next()).value.messages.total, 0);
    for (let i = 0; i < 20; i++) await say(world, session, `message ${i}`);
    await until(() => live.stats?.messages.total === 20, () => JSON.stringify(live.stats));
    const { cursor, ...newest } = (await take.next()).value;
    assert.deepEqual(newest, (await pgcast.getCampaign(campaign)).stats);
    assert.equal(newest.messages.total, 20);
    assert.ok(cursor);
    slow.close();
    assert.equal((await take.next()).done, true);
  });
});
