// The console's room Operations in a real browser: its numbers live, an event followed, a token explained.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import axe from 'axe-core';
import { fresh, use_world } from './fixture/world.js';
import { open_room, use_browser } from './fixture/browser.js';
import { until } from './fixture/process.js';
import { add_campaign, add_session, say } from './fixture/rows.js';
import { k_secret, mint, sign } from './fixture/token.js';

const world = use_world({ env: { PGCAST_THREADS: '2' } });
const browser = use_browser();
const state_text = readFileSync(new URL('../../daemon/console/operations_state.js', import.meta.url), 'utf8');
const state = await import(`data:text/javascript,${encodeURIComponent(state_text)}`);

/** The room, signed in. */
const open = ({ query = '', ...options } = {}) => open_room(browser, world.daemon, `#/operations${query}`, options);

const tile = (page, name) => page.locator('.tile', { hasText: name }).locator('.value');
const row = (page, text) => page.locator('tr', { hasText: text });

async function explain(page, token) {
  await page.getByLabel('Token or key that a client sends').fill(token);
  await page.getByRole('button', { name: 'Explain' }).click();
}

/** An answer at that second with that many events read. */
const answer = (second, events, started_at = 'a') => ({
  at: new Date(second * 1000).toISOString(), started_at, threads: [], lag: { publish: { newest: 0.001 } },
  metrics: { pgcast_connections: 1, pgcast_events_read_total: events, pgcast_events_delivered_total: 0, pgcast_frames_sent_bytes_total: 0 },
});

test('OperationsState_Rates_AreDifferences_AndBeginAnewAfterARestart', () => {
  let samples = [];
  for (const one of [answer(10, 100), answer(12, 140), answer(14, 140)]) samples = state.remember(samples, one);
  assert.deepEqual(state.rates(samples, 'events'), [20, 0]);
  assert.equal(state.remember(samples, answer(14, 140)).length, 3, 'the same answer counts once');
  assert.equal(state.remember(samples, answer(16, 5, 'b')).length, 1, 'a new process');
  for (let n = 0; n < 100; n += 1) samples = state.remember(samples, answer(20 + n, 200 + n));
  assert.equal(samples.length, 60);
});

test('OperationsState_Trace_CountsMicroseconds', () => {
  const { summary, steps } = state.trace_words({
    commit_timestamp: '2026-01-01T00:00:00.999999Z', read_at: '2026-01-01T00:00:01.0001+00:00', topics: [],
    threads: [{ subscribers: 2, changes: 1, published_at: '2026-01-01T00:00:01.0003+00:00' }, null],
  });
  assert.equal(summary, 'On its way.');
  assert.deepEqual(steps.slice(1).map(({ after }) => after && state.span_words(after)), ['0.10 ms', '0.20 ms', undefined]);
  assert.equal(steps[2].detail, 'handed to 2 subscribers, to 1 binding of postgres_changes');
});

test('OperationsState_Words_FitTheSize', () => {
  assert.deepEqual([null, 0.0005, 0.0123, 1.44, 90, 4000, 100_000].map(state.span_words), ['\u2013', '0.50 ms', '12 ms', '1.4 s', '90 s', '1 h 6 min', '1 d 3 h']);
  assert.deepEqual([0, 0.04, 2.5, 1250].map(state.number_words), ['0', '<0.1', '2.5', '1,250']);
  assert.equal(state.source_words({ state: 'live', ready: false, reason: 'the source is behind' }).detail, 'The source is behind');
});

test('Operations_ClientJoins_IsCountedWithoutAReload', async () => {
  const campaign = await add_campaign(world);
  const page = await open();
  await page.getByRole('heading', { name: 'Live', exact: true }).waitFor();
  await until(async () => await tile(page, 'Connections').textContent() === '1', 'the console itself');
  for (let n = 0; n < 3; n += 1) await world.client().watch(`campaign:${campaign}`).snapshot();
  await until(async () => await tile(page, 'Connections').textContent() === '4', 'three clients more');
  await row(page, `campaign:${campaign}`).locator('.number', { hasText: '3' }).waitFor();
  world.close_clients();
  await until(async () => await row(page, `campaign:${campaign}`).count() === 0, 'the topic has left the list');
  assert.deepEqual(page.problems, []);
});

test('Operations_EventPicked_ShowsToHowManyItWasHanded', async () => {
  const session = await add_session(world);
  const page = await open();
  for (let n = 0; n < 2; n += 1) await world.client().watch(`session:${session}`).snapshot();
  await say(world, session, 'where am I');
  await page.getByRole('link', { name: session }).filter({ hasText: 'chat_history' }).click();
  await page.getByText('Handed to 2 subscribers within').waitFor();
  await page.locator('.touched', { hasText: `session:${session}` }).waitFor();
  assert.match(page.url(), /#\/operations\?event=\d+$/);
  await page.getByLabel('Event id').fill('1234567890123');
  await page.getByLabel('Event id').press('Enter');
  await page.getByRole('alert').filter({ hasText: 'not among the newest' }).waitFor();
  assert.deepEqual(page.problems.filter((one) => !one.includes('404')), []);
  world.close_clients();
});

test('Operations_TokenPasted_IsExplainedWithItsRemedy', async () => {
  const page = await open();
  const cases = [
    [mint({ role: 'authenticated' }), /accepted as authenticated/],
    [mint({ ttl: -600 }), /has expired/],
    [mint({}, 'somebody-elses-secret-of-thirty-two-bytes'), /auth\.jwt_secret and auth\.jwks/],
    [mint({ role: 'postgres' }), /add the role to auth\.roles/],
    [sign({ role: 'anon' }), /exp is missing/],
    [sign({ role: 'anon', exp: 2_000_000_000 }, k_secret, { alg: 'none' }), /algorithm/],
    ['not a token', /not a valid JWT/],
  ];
  for (const [token, words] of cases) {
    await explain(page, token);
    await page.locator('section', { has: page.getByRole('heading', { name: 'Token inspector' }) }).filter({ hasText: words }).waitFor();
  }
  await explain(page, mint({ sub: '<img src=x onerror=alert(1)>' }, 'somebody-elses-secret-of-thirty-two-bytes'));
  await page.getByText('not verified').waitFor();
  await page.locator('.tree').getByText('<img src=x onerror=alert(1)>').waitFor();
  assert.deepEqual(page.problems, []);
});

test('Operations_SourceLost_IsSaidInWords_AndGone', { timeout: 60_000 }, async () => {
  const page = await open();
  await page.getByRole('heading', { name: 'Live', exact: true }).waitFor();
  await world.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE \'pgcast%\'');
  await page.locator('.log').getByText(/source lost/).first().waitFor();
  await page.getByRole('heading', { name: 'Live', exact: true }).waitFor();
});

test('Operations_DaemonGone_KeepsTheLastAnswerAndSaysSo', { timeout: 60_000 }, async () => {
  const page = await open();
  await page.getByRole('heading', { name: 'Live', exact: true }).waitFor();
  await world.daemon.kill('SIGKILL');
  await page.getByRole('heading', { name: 'The daemon does not answer' }).waitFor();
  await world.daemon.run();
  await page.getByRole('heading', { name: 'Live', exact: true }).waitFor({ timeout: 20_000 });
});

test('Operations_OtherRoles_ReadOneSentence', async () => {
  const page = await open({ token: mint({ role: 'authenticated', sub: 'u' }) });
  await page.getByText('This room is shown to tokens of the role service_role').waitFor();
  assert.equal(await page.locator('.tile').count(), 0);
});

test('Operations_HostileText_StaysText', async () => {
  const hostile = '<img src=x onerror="alert(1)">';
  const session = await add_session(world, { id: `${fresh('bad')}${hostile}` });
  const page = await open();
  await world.client().watch(`session:${session}`).snapshot();
  await say(world, session, 'x');
  await page.locator('.topic', { hasText: hostile }).waitFor();
  await page.locator('.events', { hasText: hostile }).waitFor();
  assert.equal(await page.locator('.ops img').count(), 0);
  assert.deepEqual(page.problems, []);
  world.close_clients();
});

describe('for everybody', () => {
  for (const colorScheme of ['light', 'dark']) {
    test(`Operations_Axe_FindsNothing_${colorScheme}`, async () => {
      const session = await add_session(world);
      await world.client().watch(`session:${session}`).snapshot();
      await say(world, session, 'seen by axe');
      const page = await open({ colorScheme });
      await page.getByRole('link', { name: session }).first().click();
      await page.getByText('Handed to 1 subscriber within').waitFor();
      await explain(page, mint({ ttl: -600 }));
      await page.getByText('What to do').waitFor();
      await page.evaluate(axe.source);
      const found = await page.evaluate(async () => {
        const { violations } = await window.axe.run('main', { resultTypes: ['violations'] });
        return violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(' ')}`);
      });
      assert.deepEqual(found, []);
      world.close_clients();
    });
  }

  test('Operations_PhoneWidth_NeverScrollsSideways', async () => {
    const session = await add_session(world, { id: `${fresh('long')}${'x'.repeat(150)}` });
    await world.client().watch(`session:${session}`).snapshot();
    await say(world, session, 'x');
    const page = await open({ viewport: { width: 360, height: 700 } });
    await page.locator('.topic', { hasText: session }).waitFor();
    await explain(page, mint({ ttl: -600, long: 'y'.repeat(300) }));
    await page.getByText('What to do').waitFor();
    assert.ok(await page.evaluate(() => document.querySelector('main').scrollWidth <= innerWidth));
    world.close_clients();
  });

  test('Operations_Keyboard_ReachesAnEventAndTheInspector', async () => {
    const session = await add_session(world);
    await say(world, session, 'by key');
    const page = await open();
    const link = page.getByRole('link', { name: session }).first();
    await link.focus();
    await page.keyboard.press('Enter');
    await page.getByText('Nobody who may see it had joined a topic of it.').waitFor();
    await page.getByLabel('Token or key that a client sends').focus();
    await page.keyboard.insertText(mint());
    await page.keyboard.press('Enter');
    await page.getByText('This token is accepted as service_role').waitFor();
  });
});
