// The built-in console in a real browser.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { use_browser } from './fixture/browser.js';
import { until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';

const world = use_world();
const browser = use_browser();
const url = (rest = `#token=${mint()}`) => `${world.daemon.url}/${rest}`;

/** A signed-in page on that conversation. */
async function open(target, options) {
  const page = await browser.page(options);
  await page.goto(url());
  await page.getByText('Connected').first().waitFor();
  await page.evaluate((query) => {
    location.hash = `#/chats?${new URLSearchParams(query)}`;
  }, target);
  return page;
}

test('Console_Page_IsStrictAboutWhatItLoads', async () => {
  const answer = await fetch(url(''));
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type'), /^text\/html/);
  const policy = answer.headers.get('content-security-policy');
  for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]) assert.ok(policy.includes(part), policy);
  assert.ok(!/unsafe|(default|script|style|connect|img)-src[^;]*https?:/.test(policy), policy);
  for (const [file, type] of [['app.js', /javascript/], ['style.css', /^text\/css/], ['icon.svg', /^image\/svg/], ['vendor/preact.js', /javascript/]]) {
    const one = await fetch(url(`console/${file}`));
    assert.equal(one.status, 200, file);
    assert.match(one.headers.get('content-type'), type, file);
  }
  for (const file of ['none.js', '../config.hpp', '%2e%2e/main.cpp', '']) assert.equal((await fetch(url(`console/${file}`))).status, 404, file);
});

test('Console_RowInsertedWithSql_IsOnTheScreensOfTwoBrowsers', async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  await say(world, session, 'from before');
  const pages = [await open({ campaign, session }), await open({ campaign, session })];
  for (const page of pages) await page.locator('.message', { hasText: 'from before' }).waitFor();
  await world.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [session, JSON.stringify({ type: 'ai', data: { content: 'live, in the other dialect' } })]);
  await say(world, session, 'live, from the user');
  for (const page of pages) {
    await page.locator('.message.agent', { hasText: 'live, in the other dialect' }).waitFor();
    await page.locator('.message.user', { hasText: 'live, from the user' }).waitFor();
    assert.equal(await page.locator('.message').count(), 3);
    assert.deepEqual(page.problems, []);
  }
});

test('Console_UpdateAndDelete_AreApplied', async () => {
  const session = await add_session(world);
  const [kept, gone] = [await say(world, session, 'first words', 'agent'), await say(world, session, 'not for long')];
  const page = await open({ session });
  await page.locator('.message', { hasText: 'not for long' }).waitFor();
  await world.query('DELETE FROM chat_history WHERE id = $1', [gone]);
  await world.query('UPDATE chat_history SET message = message || \'{"text": "other words", "status": "read"}\' WHERE id = $1', [kept]);
  const message = page.locator('.message', { hasText: 'other words' });
  await message.waitFor();
  await message.getByRole('img', { name: 'Read' }).waitFor();
  assert.equal(await page.locator('.message').count(), 1);
});

test('Console_Token_LeavesTheAddressAndSurvivesAReload', async () => {
  const page = await open({});
  assert.ok(!page.url().includes('token'), page.url());
  await page.goto(url());
  await until(() => !page.url().includes('token'), () => page.url());
  await page.reload();
  await page.getByText('Connected').first().waitFor();
  assert.equal(await page.locator('#token').count(), 0);
});

test('Console_WithoutAToken_AsksForOne', async () => {
  const page = await browser.page();
  await page.goto(url(''));
  await page.getByLabel('Token').fill('not a token');
  await page.getByRole('button', { name: 'Connect' }).click();
  await page.getByRole('alert').filter({ hasText: /refused|secret/ }).waitFor();
  await page.getByLabel('Token').fill(mint({ ttl: -600 }));
  await page.getByRole('button', { name: 'Connect' }).click();
  await page.getByRole('alert').filter({ hasText: 'expired' }).waitFor();
  await page.getByLabel('Token').fill(mint());
  await page.getByRole('button', { name: 'Connect' }).click();
  await page.getByText('Connected').first().waitFor();
});

test('Console_CampaignAndSession_ArePicked', async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  await say(world, session, 'hello there');
  const page = await open({});
  await page.getByLabel('Campaign').selectOption(campaign);
  await page.getByRole('link', { name: session }).click();
  await page.locator('.message', { hasText: 'hello there' }).waitFor();
  const other = await add_session(world, { campaign });
  await page.getByRole('link', { name: other }).waitFor();
  await say(world, other, 'a new one');
  await page.getByRole('link', { name: other }).getByLabel('1 new').waitFor();
});

test('Console_NumberTyped_OpensItsSession', async () => {
  const phone = fresh_phone();
  const session = await add_session(world, { phone });
  await say(world, session, 'reached by number');
  const page = await open({});
  await page.getByRole('searchbox').fill(`${phone.slice(0, 3)} ${phone.slice(3, 7)} ${phone.slice(7)}`);
  await page.keyboard.press('Enter');
  await page.locator('.message', { hasText: 'reached by number' }).waitFor();
});

test('Console_HostileText_StaysText', async () => {
  const hostile = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
  const session = await add_session(world, { id: `${fresh('bad')}${hostile}` });
  for (const message of [{ sender: 'user', text: hostile }, { type: hostile, content: hostile }, { strange: hostile }, { sender: 'agent', text: 'x', status: hostile, timestamp: hostile }, hostile]) {
    await world.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [session, JSON.stringify(message)]);
  }
  const page = await open({ session });
  await page.locator('.message').nth(4).waitFor();
  assert.equal(await page.locator('.message').first().locator('.bubble p').textContent(), hostile);
  assert.equal(await page.locator('.talk img, .talk script').count(), 0);
  assert.deepEqual(page.problems, []);
});

test('Console_SessionNotYours_IsSaidInASentence', async () => {
  await world.query('ALTER TABLE session_info ENABLE ROW LEVEL SECURITY');
  const session = await add_session(world);
  const page = await browser.page();
  await page.goto(url(`#token=${mint({ role: 'authenticated', sub: 'nobody' })}`));
  await page.getByText('Connected').first().waitFor();
  await page.getByRole('searchbox').fill(session);
  await page.keyboard.press('Enter');
  await page.getByRole('alert').filter({ hasText: 'not yours to see' }).waitFor();
  await world.query('ALTER TABLE session_info DISABLE ROW LEVEL SECURITY');
});

test('Console_DarkMode_FollowsTheSystem', async () => {
  const background = async (colorScheme) => {
    const page = await open({}, { colorScheme });
    return page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
  };
  assert.ok(Math.max(...await background('dark')) < 60);
  assert.ok(Math.min(...await background('light')) > 200);
});

test('Console_PhoneWidth_NeverScrollsSideways', async () => {
  const session = await add_session(world, { id: `${fresh('long')}${'x'.repeat(150)}` });
  await say(world, session, 'y'.repeat(500));
  const page = await open({ session }, { viewport: { width: 360, height: 700 } });
  await page.locator('.message').waitFor();
  assert.ok(await page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth));
  await page.getByRole('link', { name: 'Back to the sessions' }).click();
  await page.getByLabel('Campaign').waitFor();
});

test('Console_DaemonRestarts_SaysWhatWasRecovered', { timeout: 90_000 }, async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  await say(world, session, 'before');
  const page = await open({ campaign, session });
  await page.locator('.message', { hasText: 'before' }).waitFor();
  await page.locator('.sessions a', { hasText: session }).waitFor(); // what has not come yet would be loaded afresh
  await world.daemon.kill('SIGKILL');
  await page.getByText('Reconnecting, offline for').first().waitFor();
  for (const text of ['missed 1', 'missed 2', 'missed 3']) await say(world, session, text);
  await world.daemon.run();
  await page.getByText(/Back after \d+ s, 3 messages recovered/).first().waitFor({ timeout: 30_000 });
  await until(async () => await page.locator('.message').count() === 4, 'all four are there, once');
});
