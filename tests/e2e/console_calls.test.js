// The room Calls of the console in a real browser.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { open_room, use_browser } from './fixture/browser.js';
import { violations } from './fixture/axe.js';
import { until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone } from './fixture/rows.js';

const world = use_world();
const browser = use_browser();
const hostile = '<img src=x onerror="alert(1)"><script>alert(2)</script>';

/** A signed-in page at that address of the room. */
const open = (query, options) => open_room(browser, world.daemon, `#/calls?${new URLSearchParams(query)}`, options);

async function add_call(session, { id = fresh('call'), status = 'ringing', called_at = '2026-03-01T12:00:00Z', batch = null, ...more } = {}) {
  await world.query(`INSERT INTO call_info (call_id, session_id, status, called_at, batch_call_id, duration, transcript, recording_url, analysis)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, [id, session, status, called_at, batch, more.duration ?? null, more.transcript ?? null,
    more.recording ?? null, more.analysis === undefined ? null : JSON.stringify(more.analysis)]);
  return id;
}

const entry = (page, call) => page.locator(`.call-list [data-call="${call}"]`);

test('Calls_OfACampaign_AreThereAndComeLive', async () => {
  const campaign = await add_campaign(world);
  const [called, other] = [await add_session(world, { campaign }), await add_session(world, { campaign })];
  const before = await add_call(called, { status: 'completed', duration: '00:04:12' });
  const page = await open({ campaign });
  await entry(page, before).filter({ hasText: 'completed' }).filter({ hasText: '4:12' }).waitFor();
  const live = await add_call(other);
  await entry(page, live).filter({ hasText: 'ringing' }).waitFor();
  await world.query('DELETE FROM call_info WHERE call_id = $1', [before]);
  await entry(page, before).waitFor({ state: 'detached' });
  assert.deepEqual(page.problems, []);
});

test('Calls_OpenCall_FillsInAsItGoesOn', async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const call = await add_call(session, { called_at: new Date().toISOString() });
  const page = await open({ campaign });
  await entry(page, call).getByRole('link').click();
  const card = page.getByRole('article', { name: `Call ${call}` });
  await card.getByText('ringing').waitFor();
  await card.getByTitle('So far').waitFor();
  await world.query("UPDATE call_info SET status = 'ended', duration = '00:00:58' WHERE call_id = $1", [call]);
  await card.getByText('ended').waitFor();
  await card.getByText('0:58').waitFor();
  await world.query('UPDATE call_info SET transcript = $2, recording_url = $3 WHERE call_id = $1',
    [call, 'Agent: Hello?\nare you there\nUser: Yes I am', 'https://recordings.example/a.mp3']);
  await card.locator('[data-side=user]', { hasText: 'Yes I am' }).waitFor();
  assert.equal(await card.locator('.transcript li').count(), 2);
  const audio = card.locator('audio');
  assert.deepEqual([await audio.getAttribute('src'), await audio.getAttribute('preload')], ['https://recordings.example/a.mp3', 'none']);
  await world.query('UPDATE call_info SET analysis = $2 WHERE call_id = $1', [call, JSON.stringify({ call_outcome: 'hired', scores: { warmth: 5 } })]);
  await card.getByText('call outcome').waitFor();
  await card.getByText('hired').waitFor();
  assert.deepEqual(page.problems, []);
});

test('Calls_OfOneBatch_StandUnderOneHeading', async () => {
  const campaign = await add_campaign(world);
  const [one, two] = [await add_session(world, { campaign }), await add_session(world, { campaign })];
  const batch = fresh('batch');
  const first = await add_call(one, { batch });
  await add_call(one, { called_at: '2026-03-01T12:30:00Z' });
  const page = await open({ campaign });
  await entry(page, first).waitFor();
  const second = await add_call(two, { batch, called_at: '2026-03-01T13:00:00Z' });
  const group = page.getByRole('region', { name: `Batch ${batch}` });
  await group.getByText('2 calls').waitFor();
  assert.deepEqual(await group.locator('li').evaluateAll((list) => list.map((one_call) => one_call.dataset.call)), [second, first]);
});

test('Calls_OfOneSession_AreInItsTimeZone_AndLeadElsewhere', async () => {
  const campaign = await add_campaign(world);
  const phone = fresh_phone();
  const session = await add_session(world, { campaign, phone });
  await world.query("UPDATE session_info SET tz = 'Asia/Tokyo' WHERE session_id = $1", [session]);
  const call = await add_call(session, { called_at: '2026-03-01T12:00:00Z' });
  const page = await open({ campaign });
  await page.getByLabel('Session').selectOption(session);
  await page.getByText(`Only ${session}`).waitFor();
  await entry(page, call).filter({ hasText: '21:00' }).getByRole('link').click();
  await page.getByText('Times in Asia/Tokyo').waitFor();
  await page.getByRole('link', { name: 'Conversation' }).click();
  await page.locator('.heading', { hasText: session }).waitFor();
  await page.locator('.heading').getByRole('link', { name: 'Calls' }).click();
  await entry(page, call).waitFor();
  await page.goto(page.url().replace(/#.*/, `#/calls?${new URLSearchParams({ phone })}`));
  await entry(page, call).waitFor();
});

test('Calls_EarlierThanTheSnapshot_AreLoadedOnDemand', async () => {
  const session = await add_session(world);
  await world.query(`INSERT INTO call_info (call_id, session_id, status, called_at)
    SELECT $1 || n, $1, 'ended', timestamptz '2026-03-01 12:00Z' + n * interval '1 minute' FROM generate_series(1, 250) n`, [session]);
  const page = await open({ session });
  await page.getByRole('button', { name: 'Earlier calls' }).click();
  await page.getByRole('button', { name: 'Earlier calls' }).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Show more' }).click();
  await until(async () => await page.locator('.call-list li').count() === 250, 'all calls are there');
  assert.equal(await page.locator('.call-list li').last().getAttribute('data-call'), `${session}1`);
});

test('Calls_SessionThatMovesIn_BringsItsCallsOfBefore', async () => {
  const [from, to] = [await add_campaign(world), await add_campaign(world)];
  const session = await add_session(world, { campaign: from, created_at: '2026-01-01' });
  const stays = await add_session(world, { campaign: to });
  const [moves, witness] = [await add_call(session), await add_call(stays)];
  const page = await open({ campaign: to });
  await entry(page, witness).waitFor();
  await world.query('UPDATE session_info SET campaign = $2 WHERE session_id = $1', [session, to]);
  await entry(page, moves).waitFor();
  await world.query('UPDATE session_info SET campaign = $2 WHERE session_id = $1', [session, from]);
  await entry(page, moves).waitFor({ state: 'detached' });
});

test('Calls_HostileTexts_StayTextAndDoNoHarm', { timeout: 180_000 }, async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign, id: `${fresh('bad')}${hostile}` });
  const deep = `${'{"deeper":'.repeat(1500)}null${'}'.repeat(1500)}`;
  const calls = {
    script: await add_call(session, { id: `${fresh('call')}${hostile}`, status: hostile, batch: hostile, transcript: `Agent: ${hostile}\nUser: ${hostile}`, recording: `javascript:alert(1)//${hostile}`, analysis: { [hostile]: hostile, summary: hostile } }),
    rtl: await add_call(session, { status: '\u202e\u0645\u0631\u062d\u0628\u0627', transcript: '\u202e\u0645\u0631\u062d\u0628\u0627 abc' }),
    long: await add_call(session, { transcript: 'lorem ipsum '.repeat(90_000) }),
    turns: await add_call(session, { transcript: 'Agent: yes and no, or so they say\n'.repeat(30_000) }),
    deep: await add_call(session, { analysis: 0 }),
    wide: await add_call(session, { analysis: { text: 'y'.repeat(1_000_000), list: Array.from({ length: 5000 }, (_, n) => n) } }),
  };
  await world.query('UPDATE call_info SET analysis = $2::jsonb WHERE call_id = $1', [calls.deep, deep]);
  const page = await open({ campaign });
  const show = async (call) => {
    await page.evaluate((text) => {
      location.hash = text;
    }, `#/calls?${new URLSearchParams({ campaign, call })}`);
    const card = page.locator('article.call').and(page.getByLabel(`Call ${call}`, { exact: true }));
    await card.waitFor({ timeout: 60_000 });
    return card;
  };
  const script = await show(calls.script);
  assert.equal(await script.locator('.transcript li').first().locator('p').textContent(), hostile);
  await script.getByText('Recording: javascript:').waitFor();
  assert.equal(await page.locator('main audio, main script, main img, a[href^="javascript"]').count(), 0);
  await show(calls.rtl);
  const long = await show(calls.long);
  assert.ok((await long.textContent()).length < 10_000);
  await long.getByRole('button', { name: /Show all/ }).click();
  await until(async () => (await long.textContent()).length > 1_000_000, 'all of the transcript', 30_000);
  const turns = await show(calls.turns);
  await turns.getByRole('button', { name: /Show more of the transcript/ }).click();
  await until(async () => await turns.locator('.transcript li').count() > 100, 'more turns', 30_000);
  const tree = await show(calls.deep);
  await tree.locator('summary', { hasText: 'deeper' }).first().waitFor();
  await (await show(calls.wide)).getByText('and 4800 more').waitFor();
  assert.ok(await page.evaluate(() => document.querySelectorAll('*').length) < 3000);
  assert.deepEqual(page.problems, []);
});

test('Calls_WhileTheDaemonIsAway_AreCompleteAfterwards', { timeout: 90_000 }, async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const [changes, goes] = [await add_call(session), await add_call(session)];
  const page = await open({ campaign, call: changes });
  await entry(page, goes).waitFor();
  await world.daemon.kill('SIGKILL');
  await page.getByText('Reconnecting, offline for').first().waitFor();
  await world.query("UPDATE call_info SET status = 'ended', duration = '00:01:00', transcript = 'Agent: all said' WHERE call_id = $1", [changes]);
  await world.query('DELETE FROM call_info WHERE call_id = $1', [goes]);
  const came = await add_call(session, { status: 'busy' });
  await world.daemon.run();
  await page.locator('.transcript', { hasText: 'all said' }).waitFor({ timeout: 30_000 });
  await entry(page, changes).filter({ hasText: 'ended' }).filter({ hasText: '1:00' }).waitFor();
  await entry(page, came).filter({ hasText: 'busy' }).waitFor();
  await entry(page, goes).waitFor({ state: 'detached' });
});

test('Calls_Page_IsUsableByEverybody', async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const batch = fresh('batch');
  for (const status of ['ringing', 'ended', 'no_answer', 'odd']) {
    await add_call(session, { id: `${fresh('call')}-${status}`, status, batch: status === 'odd' ? null : batch, duration: '00:01:00', transcript: 'Agent: hi\nUser: hi', recording: 'https://recordings.example/a.mp3', analysis: { a: { b: null } } });
  }
  for (const colorScheme of ['light', 'dark']) {
    const page = await open({ campaign }, { colorScheme });
    await page.locator('.call-list li').nth(3).waitFor();
    assert.deepEqual(await violations(page), [], colorScheme);
    for (const status of ['ringing', 'no_answer']) {
      await page.locator(`.call-list [data-call$="${status}"] a`).click();
      await page.locator(`article[data-call$="${status}"] audio`).waitFor();
      assert.deepEqual(await violations(page), [], `${colorScheme} ${status}`);
    }
    assert.deepEqual(page.problems, []);
  }
});

test('Calls_PhoneWidth_NeverScrollsSideways', async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign, id: `${fresh('long')}${'x'.repeat(150)}` });
  const call = await add_call(session, { id: `${fresh('call')}${'y'.repeat(150)}`, status: 'z'.repeat(100), batch: 'b'.repeat(100), transcript: `Agent: ${'t'.repeat(500)}` });
  const page = await open({ campaign }, { viewport: { width: 360, height: 700 } });
  const is_narrow = () => page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth && [...document.querySelectorAll('.list, .scroll')].every((one) => one.scrollWidth <= one.clientWidth));
  await entry(page, call).waitFor();
  assert.ok(await is_narrow());
  await entry(page, call).getByRole('link').click();
  await page.locator('article.call').waitFor();
  assert.ok(await is_narrow());
  await page.getByRole('link', { name: 'Back to the calls' }).click();
  await entry(page, call).waitFor();
});
