// The React hooks of pgcast-client: rendered by react-dom into a document of happy-dom, against the
// daemon, under StrictMode, which runs every effect twice.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, say } from './fixture/rows.js';
import { build, load, load_module } from './fixture/typescript.js';

const world = use_world({
  sql: `ALTER TABLE session_info ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON session_info FOR SELECT TO authenticated USING (split_part(session_id, '/', 1) = auth.jwt() ->> 'sub')`,
});
let client;
let react;
let dom;
let page;
const written = { error: console.error, warn: console.warn };
const complaints = [];

before(build, { timeout: 300_000 });
before(async () => {
  const { Window } = await load_module('happy-dom/lib/index.js');
  page = new Window();
  Object.assign(globalThis, { window: page, document: page.document });
  globalThis.navigator ??= page.navigator; // Node.js has one since 21
  client = await load();
  ({ default: react } = await load_module('react/index.js'));
  ({ default: dom } = await load_module('react-dom/client.js'));
  console.error = (...words) => complaints.push(words.join(' '));
  // In a page each client of supabase-js complains of the others; here every test is a page of its own.
  console.warn = (...words) => /GoTrueClient/.test(words.join(' ')) || written.warn(...words);
});
beforeEach(() => complaints.splice(0));
after(async () => {
  Object.assign(console, written);
  await page?.happyDOM.close();
});

/** The app's client and pgcast on it. */
function app(options) {
  const { supabase } = world.client({ quick: true, ...options });
  return { supabase, pgcast: client.createPgcast(supabase) };
}

/** Shows components that each call one hook and note what it gave: {shown, render(..), unmount()}. */
function mount(hooks) {
  const root = dom.createRoot(page.document.createElement('div'));
  const shown = {};
  const renders = {};
  const Component = ({ name, hook, args }) => {
    shown[name] = client.hooks[hook](...args);
    renders[name] = (renders[name] ?? 0) + 1;
    return null;
  };
  const render = (list) => root.render(react.createElement(react.StrictMode, null,
    Object.entries(list).map(([name, [hook, ...args]]) => react.createElement(Component, { key: name, name, hook, args }))));
  render(hooks);
  return { shown, renders, render, unmount: () => root.unmount() };
}

const live = (view, what = () => true) => until(() => Object.values(view.shown).every((one) => one.status === 'live') && Object.keys(view.shown).length && what(view.shown), () => JSON.stringify(view.shown).slice(0, 2000));

async function candidate() {
  const campaign = await add_campaign(world);
  const phone = fresh_phone();
  return { session: await add_session(world, { campaign, phone }), campaign, phone };
}

describe('hooks', () => {
  test('Chat_ShowsTheSnapshotAndWhatComes', async () => {
    const { session, campaign, phone } = await candidate();
    await say(world, session, 'one');
    const { pgcast } = app();
    const view = mount({ by_session: ['useChat', pgcast, { session }], by_phone: ['useChat', pgcast, { phone }] });
    assert.equal((await until(() => view.shown.by_session, 'the first render')).isLoading, true);
    await live(view, ({ by_session, by_phone }) => by_session.messages.length === 1 && by_phone.messages.length === 1);
    const { by_session: first } = view.shown;
    await say(world, session, 'two', 'agent');
    await live(view, ({ by_session, by_phone }) => by_session.messages.length === 2 && by_phone.messages.length === 2);
    for (const { messages, session: row, campaign: its, phoneNumber, hasMore, error, isLoading } of Object.values(view.shown)) {
      assert.deepEqual(messages.map(({ side, text }) => [side, text]), [['user', 'one'], ['agent', 'two']]);
      assert.deepEqual([row.session_id, its.campaign, phoneNumber], [session, campaign, phone]);
      assert.deepEqual([hasMore, error, isLoading], [false, null, false]);
    }
    assert.equal(view.shown.by_session.messages[0], first.messages[0], 'a row that has not changed is the same object');
    view.unmount();
    assert.deepEqual(complaints, []);
  });

  test('Components_OfOneTopic_ShareAChannel_AndLeaveItWithTheLast', async () => {
    const { session, campaign } = await candidate();
    const { supabase, pgcast } = app();
    const chat = ['useChat', pgcast, { session }];
    const view = mount({ chat, calls: ['useCalls', pgcast, { session }], timeline: ['useTimeline', pgcast, { session }], stats: ['useCampaignStats', pgcast, campaign] });
    await live(view, ({ stats }) => stats.stats);
    const topics = () => supabase.getChannels().map(({ topic }) => topic).sort();
    assert.deepEqual(topics(), [`realtime:session:${session}`, `realtime:stats:${campaign}`]);
    view.render({ chat });
    await until(() => topics().length === 1, 'the numbers are left');
    await say(world, session, 'one');
    await until(() => view.shown.chat.messages.length === 1, 'the chat goes on');
    view.unmount();
    await until(() => topics().length === 0, 'all is left');
  });

  test('Timeline_HasMessagesCallsAndObjectivesInOrder', async () => {
    const { session } = await candidate();
    const call = fresh('call');
    await world.query(`INSERT INTO chat_history (session_id, message) VALUES ($1, '{"sender": "user", "text": "first", "timestamp": "2026-01-01T00:00:00Z"}')`, [session]);
    await world.query("INSERT INTO call_info (call_id, session_id, called_at) VALUES ($1, $2, '2026-01-02T00:00:00Z')", [call, session]);
    await world.query("INSERT INTO session_objective_events (session_id, objective, source, occurred_at) VALUES ($1, 'salary', 'chat', '2026-01-01T12:00:00Z')", [session]);
    const { pgcast } = app();
    const view = mount({ timeline: ['useTimeline', pgcast, { session }] });
    await live(view, ({ timeline }) => timeline.entries.length === 3);
    await world.query(`INSERT INTO chat_history (session_id, message) VALUES ($1, '{"type": "ai", "content": "says no time"}')`, [session]);
    await live(view, ({ timeline }) => timeline.entries.length === 4);
    const { entries } = view.shown.timeline;
    assert.deepEqual(entries.map((one) => one.type), ['message', 'objective', 'call', 'message']);
    assert.equal(entries[2].call.call_id, call);
    assert.equal(entries[1].objective.objective, 'salary');
    assert.ok(entries[3].at > new Date('2026-01-02'), 'a live message without a time has that of its event');
    assert.equal(new Set(entries.map(({ key }) => key)).size, 4);
    view.unmount();
  });

  test('Campaign_AndItsNumbers_Live', async () => {
    const { session, campaign } = await candidate();
    const { pgcast } = app();
    const view = mount({ campaign: ['useCampaign', pgcast, campaign], stats: ['useCampaignStats', pgcast, campaign], calls: ['useCalls', pgcast, { session }] });
    await live(view, ({ campaign: { sessions }, stats: { stats } }) => sessions.length === 1 && stats?.sessions === 1);
    const other = await add_session(world, { campaign });
    await world.query('INSERT INTO call_info (call_id, session_id, duration) VALUES ($1, $2, $3)', [fresh('call'), session, '90 s']);
    await live(view, ({ campaign: { sessions }, stats: { stats }, calls: { calls } }) => sessions.length === 2 && stats.calls.seconds === 90 && calls.length === 1);
    assert.deepEqual(view.shown.campaign.sessions.map((row) => row.session_id), [other, session]);
    assert.equal(view.shown.campaign.campaign.campaign, campaign);
    view.unmount();
  });

  test('Source_ThatChanges_ShowsNothingOfTheOneBefore', async () => {
    const [a, b] = [await candidate(), await candidate()];
    await say(world, a.session, 'of a');
    await say(world, b.session, 'of b');
    const { supabase, pgcast } = app();
    const seen = [];
    const view = mount({ chat: ['useChat', pgcast, { session: a.session }] });
    await live(view, ({ chat }) => chat.messages.length === 1);
    view.render({ chat: ['useChat', pgcast, { session: b.session }] });
    await until(() => {
      const { chat } = view.shown;
      seen.push(chat.session?.session_id ?? null);
      return chat.session?.session_id === b.session;
    }, 'the other one');
    assert.deepEqual(view.shown.chat.messages.map(({ text }) => text), ['of b']);
    view.render({ chat: ['useChat', pgcast, null] });
    await until(() => view.shown.chat.status === 'idle', 'nothing to watch');
    assert.deepEqual([view.shown.chat.messages, view.shown.chat.isLoading], [[], false]);
    await until(() => supabase.getChannels().length === 0, 'all is left');
    view.unmount();
  });

  test('Refused_IsAnErrorUntilTheRowAppears', async () => {
    const id = `anna/${fresh('s')}`;
    const { pgcast } = app({ role: 'authenticated', sub: 'anna' });
    const view = mount({ chat: ['useChat', pgcast, { session: id }] });
    await until(() => view.shown.chat?.error, 'refused');
    assert.deepEqual([view.shown.chat.error.code, view.shown.chat.status, view.shown.chat.isLoading], ['unauthorized', 'refused', false]);
    await add_session(world, { id });
    await live(view, ({ chat }) => chat.error === null && chat.session?.session_id === id);
    view.unmount();
  });

  test('TopicInUse_IsAnErrorAndNotACrash', async () => {
    const { session } = await candidate();
    const { supabase, pgcast } = app();
    supabase.channel(`session:${session}`);
    const view = mount({ chat: ['useChat', pgcast, { session }] });
    await until(() => view.shown.chat?.error, 'refused');
    assert.equal(view.shown.chat.error.code, 'topic_in_use');
    view.unmount();
  });

  test('Burst_OfEvents_IsFewRenders', { timeout: 60_000 }, async () => {
    const { session } = await candidate();
    const { pgcast } = app();
    const view = mount({ chat: ['useChat', pgcast, { session }] });
    await live(view);
    const before_it = view.renders.chat;
    await world.query(`INSERT INTO chat_history (session_id, message) SELECT $1, jsonb_build_object('sender', 'user', 'text', i) FROM generate_series(1, 2000) i`, [session]);
    await live(view, ({ chat }) => chat.messages.length === 2000);
    assert.ok(view.renders.chat - before_it < 1000, `${view.renders.chat - before_it} renders`);
    view.unmount();
  });

  test('Daemon_KilledAndRestarted_TheChatGoesOn', { timeout: 60_000 }, async () => {
    const { session } = await candidate();
    const { pgcast } = app();
    const view = mount({ chat: ['useChat', pgcast, { session }] });
    await live(view);
    await world.daemon.kill();
    await until(() => view.shown.chat.status === 'reconnecting', () => view.shown.chat.status);
    await say(world, session, 'meanwhile');
    await world.daemon.run();
    await live(view, ({ chat }) => chat.messages.length === 1);
    view.unmount();
    assert.deepEqual(complaints, []);
  });
});
