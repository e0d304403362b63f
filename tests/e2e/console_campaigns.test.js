// The console's room Campaigns in a real browser: what SQL writes, the cards, the charts and the
// details show.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { open_room, use_browser } from './fixture/browser.js';
import { until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';
import { add_numbers, columns, empty_series, followed, interrupt, merged, objectives_of, phase_of, progress_of, sum_of } from '../../daemon/console/campaigns_state.js';
import { ahead, talk_time } from '../../daemon/console/numbers.js';

const world = use_world({ env: { PGCAST_STATS_INTERVAL: '100ms' } });
const browser = use_browser();

/** A signed-in page in the room, of the whole list or of one campaign. */
const open = (campaign, options) => open_room(browser, world.daemon, `#/campaigns${campaign === undefined ? '' : `?${new URLSearchParams({ campaign })}`}`, options);

const card = (page, campaign) => page.locator('.card').filter({ has: page.getByRole('link', { name: campaign, exact: true }) });
const counter = (place, name) => place.locator(`[data-counter=${name}] dd`);
/** On the screen, and followed. */
const is_live = async (place) => {
  await place.scrollIntoViewIfNeeded();
  await place.locator('.pulse[data-live=yes]').waitFor();
};
const shows = (place, name, value, rest) => until(async () => {
  const [shown, said] = await counter(place, name).allTextContents();
  return shown === value && (rest === undefined || said === rest);
}, async () => `${name} shows ${value}, ${rest}`, 20_000);
const add_call = (session, duration = '90 seconds') => world.query('INSERT INTO call_info (call_id, session_id, called_at, duration) VALUES ($1, $2, now(), $3)', [fresh('call'), session, duration]);

describe('Series', () => {
  const numbers = (messages, calls = 0) => ({ messages: { total: messages }, calls: { total: calls } });
  const read = (series, now) => columns(series, now, 60_000, 10_000);

  test('Series_FirstNumbers_AreTheBaseAndNoEvent', () => {
    const series = empty_series();
    add_numbers(series, numbers(1000, 10), 100_500);
    add_numbers(series, numbers(1002, 11), 101_000);
    assert.deepEqual(sum_of(read(series, 105_000)), { messages: 2, calls: 1, is_watched: true, has_gap: true });
  });

  test('Series_BeforeAnybodyWatched_IsUnknownAndNotZero', () => {
    const series = empty_series();
    assert.equal(sum_of(read(series, 100_000)).is_watched, false);
    add_numbers(series, numbers(5), 100_500);
    add_numbers(series, numbers(6), 111_000);
    const { times, messages } = read(series, 115_000);
    assert.deepEqual(messages, [null, null, null, null, 0, 1]);
    assert.deepEqual(times.slice(-2), [105, 115]);
  });

  test('Series_Outage_IsAGapAndWhatItHidIsNoEvent', () => {
    const series = empty_series();
    add_numbers(series, numbers(5), 60_000);
    add_numbers(series, numbers(7), 71_000);
    interrupt(series, 85_000);
    interrupt(series, 86_000);
    assert.deepEqual(read(series, 109_000).messages, [0, 0, 2, null, null, null], 'while it lasts');
    add_numbers(series, numbers(90), 102_000);
    add_numbers(series, numbers(91), 111_000);
    assert.deepEqual(read(series, 115_000).messages, [0, 2, null, null, null, 1]);
  });

  test('Series_WhatWasSeenInAPieceWithAGap_Counts', () => {
    const series = empty_series();
    add_numbers(series, numbers(5), 60_000);
    add_numbers(series, numbers(8), 81_000);
    interrupt(series, 85_000);
    const { messages, unknown } = read(series, 99_000);
    assert.deepEqual(messages.slice(-4), [0, 0, 3, null]);
    assert.deepEqual(unknown.slice(-4), [false, false, true, true]);
  });

  test('Series_DeletedRows_AreNoEvents', () => {
    const series = empty_series();
    for (const [count, at] of [[5, 60_000], [2, 61_000], [3, 62_000]]) add_numbers(series, numbers(count), at);
    assert.equal(sum_of(read(series, 63_000)).messages, 1);
  });

  test('Series_OldSteps_AreForgotten', () => {
    const series = empty_series();
    for (let at = 0; at < 4 * 3600; at += 10) add_numbers(series, numbers(at), at * 1000);
    assert.ok(series.steps.length <= 90, `${series.steps.length}`);
  });
});

describe('Lists', () => {
  test('List_ReadAgain_KeepsItsOrderAndPutsNewOnesFirst', () => {
    const row = (campaign, at) => ({ campaign, stats: { last_activity_at: at } });
    const first = merged([], [row('a', null), row('b', '2026-01-01T00:00:00Z'), row('c', '2026-01-02T00:00:00Z')]);
    assert.deepEqual(first.map((one) => one.campaign), ['c', 'b', 'a']);
    const next = merged(first, [row('a', '2026-02-02T00:00:00Z'), row('c', null), row('d', null)]);
    assert.deepEqual(next.map((one) => one.campaign), ['d', 'c', 'a']);
    assert.equal(next[2].stats.last_activity_at, '2026-02-02T00:00:00Z');
  });

  test('Followed_OnTheScreenFirst_ThenThoseBefore_ThenOthersWhileThereIsRoom', () => {
    assert.deepEqual(followed(['a', 'b'], ['c'], ['d', 'e'], 4), ['c', 'a', 'b', 'd']);
    assert.deepEqual(followed(['a', 'b', 'c'], ['d'], ['e'], 3), ['d', 'a', 'b']);
    const before = ['a', 'b'];
    assert.equal(followed(before, ['b'], ['c'], 2), before);
  });

  test('Words_OfRows_AreThoseOfTheContract', () => {
    assert.deepEqual(objectives_of({ objectives_template: { x: 1, y: null } }, { objectives: { y: 3, z: 1 } }),
      [{ name: 'x', met: 0 }, { name: 'y', met: 3 }, { name: 'z', met: 1 }]);
    assert.deepEqual(objectives_of({ objectives_template: ['odd'] }, null), []);
    assert.deepEqual(progress_of({ a: true, b: { value: true }, c: { met: true }, d: 'true', e: null }), { met: 3, all: 5 });
    assert.deepEqual(progress_of('odd'), { met: 0, all: 0 });
    const now = new Date('2026-06-01T00:00:00Z');
    assert.equal(phase_of({ start: '2026-05-01T00:00:00+00:00', end: null }, now).word, 'running');
    assert.equal(phase_of({ start: '2026-07-01T00:00:00+00:00', end: null }, now).word, 'planned');
    assert.equal(phase_of({ start: null, end: '2026-05-01T00:00:00+00:00' }, now).word, 'ended');
    assert.deepEqual([0.4, 58, 252, 3600, 12_000, 756_000].map(talk_time), ['0 s', '58 s', '4 min 12 s', '1 h', '3 h 20 min', '210 h']);
    assert.deepEqual([20, -180, 1440 * 3].map((minutes) => ahead(new Date(+now + minutes * 60_000), now)), ['in 20 min', '3 h late', 'in 3 d']);
  });
});

test('Card_RowsWrittenWithSql_MoveItsNumbersAndItsChart', async () => {
  const campaign = await add_campaign(world);
  await world.query('UPDATE campaign_info SET objectives_template = \'{"right_to_work": null, "interview_booked": null}\' WHERE campaign = $1', [campaign]);
  const session = await add_session(world, { campaign });
  await say(world, session, 'before anybody watched');
  const page = await open();
  const place = card(page, campaign);
  await is_live(place);
  await shows(place, 'messages', '1', '1 user, 0 agent');
  await place.getByRole('img', { name: /: 0 messages, 0 calls$/ }).waitFor();

  await say(world, session, 'one', 'user');
  await world.query('INSERT INTO chat_history (session_id, message) VALUES ($1, \'{"type": "ai", "content": "two"}\')', [session]);
  await shows(place, 'messages', '3', '2 user, 1 agent');
  await add_call(session);
  await shows(place, 'calls', '1', '1 min 30 s talk');
  await place.getByRole('img', { name: /: 2 messages, 1 call$/ }).waitFor();
  await add_session(world, { campaign });
  await world.query('UPDATE session_info SET session_status = \'paused\', objectives = \'{"right_to_work": {"value": true}}\' WHERE session_id = $1', [session]);
  await shows(place, 'sessions', '2', '1 active');
  await place.getByRole('progressbar', { name: 'right to work: met in 1 of 2' }).waitFor();
  await place.getByRole('progressbar', { name: 'interview booked: met in 0 of 2' }).waitFor();
  await place.getByText('just now').waitFor();

  await world.query('DELETE FROM chat_history WHERE session_id = $1', [session]);
  await shows(place, 'messages', '0', '0 user, 0 agent');
  await place.getByRole('img', { name: /: 2 messages, 1 call$/ }).waitFor();
  assert.deepEqual(page.problems, []);
});

test('Chart_OfACampaign_HasBarsWhereRowsCame', async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const page = await open(campaign);
  await page.locator('.panel .chart canvas').waitFor();
  const colored = () => page.locator('.panel .chart canvas').evaluate((canvas) => {
    const accent = getComputedStyle(document.documentElement).getPropertyValue('--accent').trim();
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(accent.slice(at, at + 2), 16));
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) if (data[at] === red && data[at + 1] === green && data[at + 2] === blue) count += 1;
    return count;
  });
  assert.equal(await colored(), 0);
  await say(world, session, 'a bar of its own');
  await until(async () => await colored() > 20, 'a bar is drawn');
  assert.deepEqual(page.problems, []);
});

test('NewCampaign_AppearsWhenTheReaderComesBackToThePage', async () => {
  await add_campaign(world);
  const page = await open();
  await page.locator('.card').first().waitFor();
  const campaign = await add_campaign(world);
  await page.evaluate(() => dispatchEvent(new Event('focus')));
  await is_live(card(page, campaign));
});

test('Details_ShowTheCampaignAndItsSessionsLive', async () => {
  const campaign = await add_campaign(world);
  const long = `Be kind. ${'Say it again. '.repeat(60)}The end.`;
  await world.query(`UPDATE campaign_info SET job_info = 'Night porter, York', prompt_chat = $2, prompt_call = 'Speak slowly', first_message_chat = 'Hello there',
    first_message_call = 'Good morning', objectives_template = '{"right_to_work": {"value": null}}', start = now() - interval '3 days', "end" = now() + interval '9 days' WHERE campaign = $1`, [campaign, long]);
  const session = await add_session(world, { campaign });
  const page = await open();
  await card(page, campaign).getByRole('link').click();
  await page.getByRole('heading', { level: 1, name: campaign }).waitFor();
  for (const text of ['Night porter, York', 'Speak slowly', 'Hello there', 'Good morning']) await page.getByText(text, { exact: true }).waitFor();
  await page.locator('.tree').getByText('right to work').waitFor();
  assert.equal(await page.getByText('The end.').count(), 0);
  await page.getByRole('button', { name: /Show all \d+ characters/ }).click();
  await page.getByText('The end.').waitFor();

  const row = page.locator('.roster a').filter({ hasText: session });
  await world.query(`UPDATE session_info SET last_action = 'reminded', next_reminder_at = now() + interval '150 minutes', objectives = '{"a": true, "b": null}' WHERE session_id = $1`, [session]);
  for (const text of ['reminded', 'reminder in 2 h', '1 of 2 met']) await row.getByText(text).waitFor();
  const phone = fresh_phone();
  await world.query('INSERT INTO numbers (session_id, phone_number) VALUES ($1, $2)', [session, phone]);
  await row.getByText(phone).waitFor();
  const newer = await add_session(world, { campaign });
  await page.locator('.roster a').filter({ hasText: newer }).waitFor();
  await world.query('UPDATE campaign_info SET job_info = \'Day porter, York\' WHERE campaign = $1', [campaign]);
  await page.getByText('Day porter, York').waitFor();
  await shows(page, 'sessions', '2');

  await row.click();
  await page.waitForURL((url) => url.hash === `#/chats?campaign=${campaign}&session=${session}`);
  await page.goBack();
  await page.getByRole('link', { name: 'Back to the campaigns' }).click();
  await card(page, campaign).waitFor();
  assert.deepEqual(page.problems, []);
});

test('HostileNamesAndTexts_StayText', async () => {
  const hostile = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
  const campaign = await add_campaign(world, `${fresh('bad')} %41&=#?/"'\n☃ ${hostile}`);
  await world.query('UPDATE campaign_info SET job_info = $2, prompt_chat = $2, prompt_call = $2, first_message_chat = $2, first_message_call = $2, objectives_template = $3 WHERE campaign = $1',
    [campaign, hostile, JSON.stringify({ [hostile]: hostile, __proto__x: null, constructor: { value: hostile } })]);
  const session = await add_session(world, { id: `${fresh('bad')} ${hostile}`, campaign });
  await world.query('UPDATE session_info SET last_action = $2, session_status = $2, objectives = $3 WHERE session_id = $1', [session, hostile, JSON.stringify({ [hostile]: true, constructor: true })]);
  const page = await open();
  const place = page.locator('.card').filter({ hasText: '☃' });
  await is_live(place);
  await shows(place, 'sessions', '1');
  await place.getByRole('progressbar').nth(2).waitFor();
  await place.getByRole('link').click();
  await page.locator('.roster a').waitFor();
  assert.equal(await page.getByRole('heading', { level: 1 }).locator('bdi').textContent(), campaign);
  assert.equal(await page.locator('.text').first().textContent(), hostile);
  assert.equal(await page.locator('main img:not([role]), main script').count(), 0);
  await page.locator('.roster a').click();
  await page.getByRole('heading', { level: 1 }).filter({ hasText: hostile }).waitFor();
  assert.deepEqual(page.problems, []);
});

test('StatsNotYours_IsSaidInASentence', async () => {
  await world.query(`ALTER TABLE campaign_info ENABLE ROW LEVEL SECURITY; ALTER TABLE session_info ENABLE ROW LEVEL SECURITY;
    CREATE POLICY mine ON session_info FOR SELECT TO authenticated USING (session_id = auth.jwt() ->> 'sub')`);
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const page = await open(campaign, { token: mint({ role: 'authenticated', sub: session }) });
  await page.locator('.roster a').filter({ hasText: session }).waitFor();
  await page.getByText('may follow this campaign, but not its numbers').waitFor();
  assert.equal(await page.locator('.counters').count(), 0);
  const stranger = await open(campaign, { token: mint({ role: 'authenticated', sub: 'nobody' }) });
  await stranger.getByRole('alert').filter({ hasText: 'not yours to see' }).waitFor();
  await stranger.getByRole('link', { name: 'Back to the campaigns' }).click();
  await stranger.getByText('No campaign to see').waitFor();
  await world.query('DROP POLICY mine ON session_info; ALTER TABLE campaign_info DISABLE ROW LEVEL SECURITY; ALTER TABLE session_info DISABLE ROW LEVEL SECURITY');
});

test('PhoneWidth_NeverScrollsSideways', async () => {
  const campaign = await add_campaign(world, `${fresh('long')}${'x'.repeat(200)}`);
  await world.query('UPDATE campaign_info SET job_info = $2, prompt_chat = $2, objectives_template = $3 WHERE campaign = $1', [campaign, 'y'.repeat(300), JSON.stringify({ ['z'.repeat(200)]: 'w'.repeat(200) })]);
  const session = await add_session(world, { id: `${fresh('long')}${'v'.repeat(150)}`, campaign });
  await world.query('UPDATE session_info SET last_action = $2 WHERE session_id = $1', [session, 'u'.repeat(200)]);
  const page = await open(undefined, { viewport: { width: 360, height: 700 } });
  const fits = () => page.evaluate(() => [document.scrollingElement, document.querySelector('main')].every((one) => one.scrollWidth <= one.clientWidth));
  await is_live(card(page, campaign));
  assert.ok(await fits(), 'the cards');
  await card(page, campaign).getByRole('link').click();
  await page.locator('.roster a').waitFor();
  await page.locator('.panel .chart canvas').waitFor();
  assert.ok(await fits(), 'the details');
});

test('ManyCampaigns_OnlyThoseOnTheScreenAreJoined', async () => {
  const name = fresh('many');
  await world.query('INSERT INTO campaign_info (campaign) SELECT $1 || n FROM generate_series(1, 150) n', [name]);
  const page = await open();
  await is_live(page.locator('.card').first());
  for (const shown of [60, 120]) {
    await until(async () => await page.locator('.card').count() === shown, `${shown} cards`);
    await is_live(page.locator('.card').last());
    await page.getByRole('button', { name: 'Show more of' }).click();
  }
  await until(async () => await page.locator('.card').count() >= 150, 'all cards');
  assert.ok(await page.locator('.pulse[data-live=yes]').count() <= 50);
  await page.getByRole('searchbox').fill(`${name}77`);
  await until(async () => await page.locator('.card').count() === 1, 'the one that was looked for');
  await world.query('DELETE FROM campaign_info WHERE campaign LIKE $1 || \'%\'', [name]);
  assert.deepEqual(page.problems, []);
});

test('DaemonRestarts_NumbersEndRightWithoutAReload', { timeout: 120_000 }, async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  await say(world, session, 'before');
  const page = await open();
  const place = card(page, campaign);
  await is_live(place);
  await page.evaluate(() => {
    window.is_this_page = true;
  });
  await world.daemon.kill('SIGKILL');
  await page.getByText('Reconnecting, offline for').first().waitFor();
  await place.locator('.pulse[data-live=no]').waitFor();
  for (const text of ['missed 1', 'missed 2']) await say(world, session, text, 'agent');
  await add_call(session, '5 seconds');
  await world.daemon.run();
  await shows(place, 'messages', '3', '1 user, 2 agent');
  await shows(place, 'calls', '1', '5 s talk');
  await place.getByRole('img', { name: /: 0 messages, 0 calls$/ }).waitFor();
  await say(world, session, 'after');
  await shows(place, 'messages', '4', '2 user, 2 agent');
  assert.equal(await page.evaluate(() => window.is_this_page), true);
});
