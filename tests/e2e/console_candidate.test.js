// The room Candidate of the console in a real browser.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { open_room, use_browser } from './fixture/browser.js';
import { violations } from './fixture/axe.js';
import { until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone } from './fixture/rows.js';
import { mint } from './fixture/token.js';

const world = use_world();
const browser = use_browser();
const hostile = '<img src=x onerror="alert(1)"><script>alert(2)</script>';

/** A signed-in page at that address of the room. */
const open = (query, options) => open_room(browser, world.daemon, `#/candidate?${new URLSearchParams(query)}`, options);

const minute = (value) => `2026-03-01T12:${String(value).padStart(2, '0')}:00Z`;

async function write(session, message) {
  const [{ id }] = await world.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2) RETURNING id', [session, JSON.stringify(message)]);
  return `message ${id}`;
}

const say_at = (session, text, time, sender = 'user') => write(session, { sender, text, timestamp: minute(time) });

async function call_at(session, time, more = {}) {
  const id = fresh('call');
  await world.query('INSERT INTO call_info (call_id, session_id, status, called_at, transcript) VALUES ($1, $2, $3, $4, $5)',
    [id, session, more.status ?? 'completed', time === null ? null : minute(time), more.transcript ?? null]);
  return `call ${id}`;
}

async function learn_at(session, time, { objective = 'right_to_work', from = null, to = true } = {}) {
  const [{ id }] = await world.query(`INSERT INTO session_objective_events (session_id, objective, old_value, new_value, source, occurred_at)
    VALUES ($1, $2, $3, $4, 'chat', $5) RETURNING id`, [session, objective, JSON.stringify(from), JSON.stringify(to), minute(time)]);
  return `objective ${id}`;
}

const entry = (page, key) => page.locator(`.timeline [data-entry="${key}"]`);
const shown = (page) => page.locator('.timeline [data-entry]').evaluateAll((list) => list.map((one) => one.dataset.entry));
const fact = (page, name) => page.locator('.about dl > div', { has: page.locator('dt', { hasText: name }) }).locator('dd');

test('Candidate_Timeline_HasAllOfOneNumberInOrder_AndGrowsLive', async () => {
  const phone = fresh_phone();
  const session = await add_session(world, { phone });
  const entries = [await say_at(session, 'hello', 1, 'agent'), await say_at(session, 'hi', 5)];
  entries.splice(1, 0, await call_at(session, 3));
  entries.splice(2, 0, await learn_at(session, 4));
  const page = await open({ phone });
  await entry(page, entries[3]).waitFor();
  assert.deepEqual(await shown(page), entries);
  await entry(page, entries[2]).filter({ hasText: 'right to work' }).filter({ hasText: 'none' }).filter({ hasText: 'yes' }).filter({ hasText: 'from chat' }).waitFor();
  entries.push(await say_at(session, 'later', 8));
  entries.push(await call_at(session, 9, { status: 'ringing' }));
  entries.push(await learn_at(session, 10, { from: true, to: { value: false } }));
  await entry(page, entries[6]).waitFor();
  await until(async () => (await shown(page)).length === 7, 'all are there');
  assert.deepEqual(await shown(page), entries);
  assert.equal(await page.locator('.day').count(), 1);
  await world.query("UPDATE call_info SET status = 'ended', transcript = 'Agent: so be it' WHERE call_id = $1", [entries[5].slice(5)]);
  await entry(page, entries[5]).getByText('ended').waitFor();
  await entry(page, entries[5]).locator('summary', { hasText: 'Transcript' }).click();
  await entry(page, entries[5]).getByText('so be it').waitFor();
  assert.deepEqual(page.problems, []);
});

test('Candidate_Profile_SaysHowThingsAre_AndFollows', async () => {
  const campaign = await add_campaign(world);
  await world.query('UPDATE campaign_info SET objectives_template = $2 WHERE campaign = $1', [campaign, JSON.stringify({ right_to_work: null, start_date: null, licence: null })]);
  const phone = fresh_phone();
  const session = await add_session(world, { campaign, phone });
  await world.query(`UPDATE session_info SET objectives = '{"right_to_work": {"value": true}, "start_date": "in May"}', last_action = 'send_reminder',
    action_status = 'waiting', next_reminder_at = '2026-07-01T12:00:00Z', reminder_count = 2, last_user_msg_at = $2 WHERE session_id = $1`, [session, minute(7)]);
  const page = await open({ session });
  await page.getByRole('heading', { name: phone }).waitFor();
  await page.getByText('1 of 3 met').waitFor();
  await page.getByText('in May').waitFor();
  for (const [name, text] of [['Session', session], ['Campaign', campaign], ['Last action', 'send reminder'], ['Next reminder', '13:00'], ['Reminders sent', '2'], ['Candidate wrote', '12:07']]) {
    await fact(page, name).filter({ hasText: text }).first().waitFor();
  }
  await page.locator('.badges', { hasText: 'active' }).filter({ hasText: 'waiting' }).waitFor();
  await world.query(`UPDATE session_info SET session_status = 'completed', reminder_count = 3, objectives = objectives || '{"start_date": true}' WHERE session_id = $1`, [session]);
  await page.getByText('2 of 3 met').waitFor();
  await page.locator('.badges', { hasText: 'completed' }).waitFor();
  await fact(page, 'Reminders sent').filter({ hasText: '3' }).waitFor();
  const other = await add_campaign(world);
  await world.query("UPDATE campaign_info SET objectives_template = '{\"car\": null, \"licence\": null}' WHERE campaign = $1", [other]);
  await world.query('UPDATE session_info SET campaign = $2 WHERE session_id = $1', [session, other]);
  await page.getByText('2 of 4 met').waitFor();
  assert.deepEqual(page.problems, []);
});

test('Candidate_NumberThatMoves_IsFollowedToItsSession', async () => {
  const phone = fresh_phone();
  const [first, second] = [await add_session(world, { phone }), await add_session(world)];
  const [old, moved] = [await say_at(first, 'of the first', 1), await say_at(second, 'of the second', 2)];
  const page = await open({ phone });
  await entry(page, old).waitFor();
  await world.query('UPDATE numbers SET session_id = $2 WHERE session_id = $1', [first, second]);
  await entry(page, moved).waitFor();
  await entry(page, old).waitFor({ state: 'detached' });
  await fact(page, 'Session').filter({ hasText: second }).first().waitFor();
  await entry(page, await say_at(second, 'goes on', 3)).waitFor();
});

test('Candidate_NumberOfSeveralSessions_LeadsToTheOthers', async () => {
  const phone = fresh_phone();
  const [followed, other] = [await add_session(world, { phone }), await add_session(world, { phone, created_at: '2026-01-01' })];
  const page = await open({ phone });
  await fact(page, 'Session').filter({ hasText: followed }).first().waitFor();
  await fact(page, 'Also with this number').getByRole('link', { name: other }).click();
  await fact(page, 'Session').filter({ hasText: other }).first().waitFor();
});

test('Candidate_NumberWithoutASession_ComesAlive', async () => {
  const phone = fresh_phone();
  const page = await open({});
  await page.getByRole('searchbox').fill(phone);
  await page.keyboard.press('Enter');
  await page.getByText('No session has this number yet').waitFor();
  const session = await add_session(world, { phone });
  await fact(page, 'Session').filter({ hasText: session }).first().waitFor();
});

test('Candidate_Times_AreInTheZoneOfTheSession', async () => {
  const session = await add_session(world);
  await world.query("UPDATE session_info SET tz = 'Asia/Tokyo' WHERE session_id = $1", [session]);
  const [late, early] = [await say_at(session, 'at nine in the evening', 0), await write(session, { sender: 'agent', text: 'next day', timestamp: '2026-03-01T16:00:00Z' })];
  const page = await open({ session });
  await entry(page, late).getByText('21:00').waitFor();
  await entry(page, early).getByText('01:00').waitFor();
  assert.equal(await page.locator('.day').count(), 2);
});

test('Candidate_LinksLeadToTheOtherRooms_AndBack', async () => {
  const session = await add_session(world, { campaign: await add_campaign(world) });
  const call = (await call_at(session, 1)).slice(5);
  const page = await open({ session });
  await page.getByRole('link', { name: 'Open in Calls' }).click();
  await page.getByRole('article', { name: `Call ${call}` }).waitFor();
  await page.getByRole('link', { name: 'Conversation' }).click();
  await page.locator('.heading').getByRole('link', { name: 'Candidate' }).click();
  await entry(page, `call ${call}`).waitFor();
  await page.locator('.profile').getByRole('link', { name: 'Conversation' }).click();
  await page.locator('.heading', { hasText: session }).waitFor();
});

test('Candidate_HostileTexts_StayTextAndDoNoHarm', { timeout: 90_000 }, async () => {
  const session = await add_session(world, { id: `${fresh('bad')}${hostile}` });
  const texts = [await write(session, { sender: 'user', text: hostile }), await write(session, hostile), await write(session, { sender: 'agent', text: '\u202e\u0645\u0631\u062d\u0628\u0627', status: hostile, timestamp: hostile })];
  await write(session, { sender: 'user', text: 'x'.repeat(1_000_000) });
  await call_at(session, 1, { status: hostile, transcript: `Agent: ${hostile}${'y'.repeat(1_000_000)}` });
  await learn_at(session, 2, { objective: hostile, from: { a: hostile }, to: hostile });
  await world.query('UPDATE session_info SET last_action = $2, action_status = $2, session_status = $2, tz = $2, objectives = $3 WHERE session_id = $1', [session, hostile, JSON.stringify({ [hostile]: hostile, constructor: true })]);
  await world.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2::jsonb)', [session, `${'{"deeper":'.repeat(1500)}null${'}'.repeat(1500)}`]);
  const page = await open({ session });
  await until(async () => (await shown(page)).length === 7, 'all seven entries', 30_000);
  assert.equal(await entry(page, texts[0]).locator('p').textContent(), hostile);
  await page.getByText('1 of 2 met').waitFor();
  await page.locator('.timeline summary', { hasText: 'Transcript' }).click();
  await page.getByRole('button', { name: /Show all/ }).first().waitFor();
  assert.equal(await page.locator('main img, main script').count(), 0);
  assert.deepEqual(page.problems, []);
});

test('Candidate_WhileTheDaemonIsAway_IsCompleteAfterwards', { timeout: 90_000 }, async () => {
  const phone = fresh_phone();
  const session = await add_session(world, { phone });
  const entries = [await say_at(session, 'before', 1), await call_at(session, 2, { status: 'ringing' })];
  const page = await open({ phone });
  await entry(page, entries[1]).waitFor();
  await world.daemon.kill('SIGKILL');
  await page.getByText('Reconnecting, offline for').first().waitFor();
  entries.push(await say_at(session, 'missed', 3), await learn_at(session, 4), await call_at(session, 5));
  await world.query("UPDATE call_info SET status = 'ended' WHERE call_id = $1", [entries[1].slice(5)]);
  await world.query("UPDATE session_info SET last_action = 'while away' WHERE session_id = $1", [session]);
  await world.daemon.run();
  await entry(page, entries[4]).waitFor({ timeout: 30_000 });
  await entry(page, entries[1]).getByText('ended').waitFor();
  await fact(page, 'Last action').filter({ hasText: 'while away' }).waitFor();
  assert.deepEqual(await shown(page), entries);
});

test('Candidate_NotYours_IsSaidInASentence', async () => {
  await world.query('ALTER TABLE session_info ENABLE ROW LEVEL SECURITY');
  const session = await add_session(world);
  const page = await browser.page();
  await page.goto(`${world.daemon.url}/#token=${mint({ role: 'authenticated', sub: 'nobody' })}`);
  await page.locator('.connection[data-state=connected]').waitFor();
  await page.getByRole('link', { name: 'Candidate' }).click();
  await page.getByRole('searchbox').fill(session);
  await page.keyboard.press('Enter');
  await page.getByRole('alert').filter({ hasText: 'not yours to see' }).waitFor();
  await world.query('ALTER TABLE session_info DISABLE ROW LEVEL SECURITY');
});

test('Candidate_Page_IsUsableByEverybody', async () => {
  const session = await add_session(world, { phone: fresh_phone() });
  await say_at(session, 'hello', 1, 'agent');
  await write(session, { strange: 'message' });
  await world.query(`UPDATE session_info SET objectives = '{"a": true, "b": "text"}', next_reminder_at = now(), action_status = 'done' WHERE session_id = $1`, [session]);
  const last = await learn_at(session, 3);
  for (const status of ['ringing', 'failed']) await call_at(session, 2, { status, transcript: 'Agent: hi' });
  for (const colorScheme of ['light', 'dark']) {
    const door = await open({}, { colorScheme });
    await door.getByRole('heading', { name: 'Find a candidate' }).waitFor();
    assert.deepEqual(await violations(door), [], `${colorScheme}, door`);
    const page = await open({ session }, { colorScheme });
    await entry(page, last).waitFor();
    assert.deepEqual(await violations(page), [], colorScheme);
    assert.deepEqual([...door.problems, ...page.problems], []);
  }
});

test('Candidate_PhoneWidth_NeverScrollsSideways', async () => {
  const session = await add_session(world, { id: `${fresh('long')}${'x'.repeat(150)}` });
  await say_at(session, 'y'.repeat(500), 1);
  await call_at(session, 2, { status: 'z'.repeat(100), transcript: `Agent: ${'t'.repeat(500)}` });
  const last = await learn_at(session, 3, { objective: 'o'.repeat(100), to: 'n'.repeat(300) });
  const page = await open({ session }, { viewport: { width: 360, height: 700 } });
  await entry(page, last).waitFor();
  assert.ok(await page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth && [...document.querySelectorAll('.list, .scroll')].every((one) => one.scrollWidth <= one.clientWidth)));
});
