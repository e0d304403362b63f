// The room Chats: long conversations, sides, dialects, and what the network does to them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { use_browser } from './fixture/browser.js';
import { until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';

const world = use_world();
const browser = use_browser();

/** A signed-in page on that conversation, with its first messages if it has any. */
async function open(target, options) {
  const page = await browser.page(options);
  await page.goto(`${world.daemon.url}/#token=${mint()}`);
  await page.getByText('Connected').first().waitFor();
  await page.evaluate((query) => {
    location.hash = `#/chats?${new URLSearchParams(query)}`;
  }, target);
  await page.locator('.message').first().waitFor();
  return page;
}

/** Messages "message 1" .. "message count", by turns, a minute apart; `pad` letters more in each third. */
async function fill(session, count) {
  await world.query(`INSERT INTO chat_history (session_id, message)
    SELECT $1, jsonb_build_object('sender', CASE n % 2 WHEN 0 THEN 'agent' ELSE 'user' END,
      'text', 'message ' || n || CASE n % 3 WHEN 0 THEN repeat(' and some more words', n % 25) ELSE '' END,
      'timestamp', to_char(timestamptz '2026-01-02' + n * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'status', 'read')
    FROM generate_series(1, $2::int) n ORDER BY n`, [session, count]);
}

async function insert(session, message) {
  await world.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [session, JSON.stringify(message)]);
}

/** The message at the upper edge of the screen and how far below it begins, in px. */
const first_in_view = (page) => page.evaluate(() => {
  const edge = document.querySelector('.scroll').getBoundingClientRect().top;
  const one = [...document.querySelectorAll('.message')].find((element) => element.getBoundingClientRect().bottom > edge);
  return { id: one.dataset.id, y: Math.round(one.getBoundingClientRect().top - edge) };
});

const scroll_to = (page, top) => page.locator('.scroll').evaluate((box, where) => {
  box.scrollTop = where;
}, top);

/** Scrolls up until the first message of all is on the screen: and again, because whenever older messages come,
 * the reader keeps his place below them. `meanwhile` runs after each time. */
async function scroll_to_the_beginning(page, meanwhile = () => {}) {
  const [begin, first] = [page.getByText('This is where the conversation begins.'), page.getByText('message 1', { exact: true })];
  await until(async () => {
    await scroll_to(page, 0);
    await meanwhile();
    return (await begin.isVisible()) && first.isVisible();
  }, 'the beginning is reached', 120_000);
}

test('Chats_SideSwitch_ShowsOneSideAndBoth', async () => {
  const session = await add_session(world);
  for (const [text, sender] of [['asked', 'user'], ['answered', 'agent'], ['noted', 'system']]) await say(world, session, text, sender);
  const page = await open({ session });
  const texts = () => page.locator('.bubble p, .bubble pre').allTextContents();
  const press = async (name) => {
    await page.getByRole('group', { name: 'Whose messages' }).getByRole('button', { name }).click();
    await page.getByRole('button', { name, pressed: true }).waitFor();
  };
  assert.deepEqual(await texts(), ['asked', 'answered', 'noted']);
  await press('Candidate');
  assert.deepEqual(await texts(), ['asked']);
  await press('Agent');
  assert.deepEqual(await texts(), ['answered']);
  await say(world, session, 'asked again', 'user');
  await say(world, session, 'answered again', 'agent');
  await page.getByText('answered again').first().waitFor();
  assert.deepEqual(await texts(), ['answered', 'answered again']);
  await page.reload();
  await page.getByText('answered again').first().waitFor();
  assert.deepEqual(await texts(), ['answered', 'answered again'], 'the address remembers the side');
  await press('All');
  assert.deepEqual(await texts(), ['asked', 'answered', 'noted', 'asked again', 'answered again']);
  assert.deepEqual(page.problems, []);
});

test('Chats_OlderMessages_ComeWithoutMovingWhatIsRead', async () => {
  const session = await add_session(world, { phone: fresh_phone() });
  await fill(session, 2600);
  const page = await open({ session });
  await page.getByText('message 2600').first().waitFor();
  const pages = [];
  let release;
  const held = new Promise((resolve) => {
    release = resolve;
  });
  await page.route('**/messages?*', async (route) => {
    pages.push(route.request().url());
    await held;
    await route.continue();
  });
  await scroll_to(page, 1200);
  await until(() => pages.length > 0, 'a page of older ones is asked for');
  await page.waitForFunction(() => document.querySelector('.scroll').scrollTop > 0);
  const before = await first_in_view(page);
  const height = await page.locator('.scroll').evaluate((box) => box.scrollHeight);
  release();
  await page.waitForFunction((low) => document.querySelector('.scroll').scrollHeight > low + 5000, height);
  const after = await first_in_view(page);
  assert.equal(after.id, before.id);
  assert.ok(Math.abs(after.y - before.y) <= 2, `${before.y} -> ${after.y}`);
  await scroll_to_the_beginning(page);
  await page.getByText('message 1', { exact: true }).waitFor();
  const asked = pages.length;
  assert.equal(new Set(pages).size, asked, 'no page is asked for twice');
  await say(world, session, 'after all');
  await page.getByRole('button', { name: '1 new message' }).waitFor();
  assert.equal(pages.length, asked, 'behind the beginning nothing is asked for');
  assert.deepEqual(page.problems, []);
});

test('Chats_RowsChangedWhileAPageIsOnItsWay_AreRight', async () => {
  const session = await add_session(world, { phone: fresh_phone() });
  await fill(session, 1500);
  const page = await open({ session });
  let is_changed = false;
  await page.route('**/messages?*', async (route) => {
    const answer = await route.fetch();
    const is_last = (await answer.json()).next === null; // the page with the oldest, read before the changes
    if (is_last && !is_changed) {
      is_changed = true;
      await world.query(`DELETE FROM chat_history WHERE session_id = $1 AND message->>'text' = 'message 2'`, [session]);
      await world.query(`UPDATE chat_history SET message = message || '{"text": "changed"}' WHERE session_id = $1 AND message->>'text' = 'message 4'`, [session]);
      await say(world, session, 'the changes came');
      await page.waitForFunction(() => document.querySelector('.talk [role=status]').textContent.includes('the changes came'));
    }
    await route.fulfill({ response: answer });
  });
  await scroll_to(page, 0);
  await scroll_to_the_beginning(page);
  await page.getByText('changed', { exact: true }).waitFor();
  await page.getByText('message 1', { exact: true }).waitFor();
  assert.equal(await page.getByText('message 2', { exact: true }).count(), 0);
  assert.equal(await page.getByText('message 4', { exact: true }).count(), 0);
});

test('Chats_SessionWithoutANumber_SaysThatOnlyTheNewestAreThere', async () => {
  const session = await add_session(world);
  await fill(session, 1001);
  const page = await open({ session });
  await scroll_to(page, 0);
  await page.getByText('These are the newest 1,000 messages.').waitFor();
});

test('Chats_TenThousandMessages_AreInTheDocumentOnlyNearTheScreen', { timeout: 300_000 }, async () => {
  const session = await add_session(world, { phone: fresh_phone() });
  await fill(session, 10_000);
  const page = await open({ session });
  await page.evaluate(() => {
    window.longest_task = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((one) => {
      window.longest_task = Math.max(window.longest_task, one.duration);
    })).observe({ type: 'longtask' });
  });
  let most = 0;
  const nodes = async () => {
    most = Math.max(most, await page.evaluate(() => document.querySelectorAll('.talk *').length));
  };
  await nodes();
  await scroll_to_the_beginning(page, nodes);
  // Through all of it, some screens at a time, as a reader would.
  await page.evaluate(async () => {
    const box = document.querySelector('.scroll');
    for (let top = 0; top < box.scrollHeight - box.clientHeight; top += 9000) {
      box.scrollTop = top;
      await new Promise(requestAnimationFrame);
      if (!document.querySelector('.message')) throw new Error(`nothing is drawn at ${top}`);
    }
    box.scrollTop = box.scrollHeight;
  });
  await page.getByText('message 10000').first().waitFor();
  await nodes();
  await say(world, session, 'one more');
  await page.locator('.message', { hasText: 'one more' }).waitFor();
  console.log(`10,000 messages: at most ${most} elements, longest task ${await page.evaluate(() => Math.round(window.longest_task))} ms`);
  assert.ok(most < 3000, `${most} elements`);
  assert.deepEqual(page.problems, []);
});

test('Chats_AThousandSessions_AreFoundAndInTheDocumentOnlyNearTheScreen', async () => {
  const campaign = await add_campaign(world);
  const ids = fresh('crowd');
  await world.query(`INSERT INTO session_info (session_id, campaign, created_at)
    SELECT $1 || '-' || n, $2, now() - n * interval '1 minute' FROM generate_series(1, 1000) n`, [ids, campaign]);
  const phone = fresh_phone();
  await world.query('INSERT INTO numbers (session_id, phone_number) VALUES ($1, $2)', [`${ids}-3`, phone]);
  await say(world, `${ids}-3`, 'the last words');
  const page = await browser.page();
  await page.goto(`${world.daemon.url}/#token=${mint()}`);
  await page.getByText('Connected').first().waitFor();
  await page.evaluate((name) => {
    location.hash = `#/chats?${new URLSearchParams({ campaign: name })}`;
  }, campaign);
  const line = page.getByRole('link', { name: phone });
  await line.filter({ hasText: 'the last words' }).waitFor();
  assert.ok(await page.locator('.sessions li').count() < 60);
  await page.locator('.sessions').evaluate((box) => {
    box.scrollTop = box.scrollHeight;
  });
  await page.getByRole('link', { name: `${ids}-1000` }).waitFor();
  assert.ok(await page.locator('.sessions li').count() < 60);
  await page.getByRole('searchbox').fill(`${ids}-517`);
  await page.locator('.sessions').getByRole('link', { name: `${ids}-517` }).waitFor();
  await page.getByRole('searchbox').fill(phone.slice(-7));
  await line.waitFor();
  assert.equal(await page.locator('.sessions li').count(), 1);
  assert.deepEqual(page.problems, []);
});

test('Chats_MessageOfAMegabyte_IsFoldedUntilAsked', async () => {
  const session = await add_session(world);
  await say(world, session, 'a'.repeat(2 ** 20));
  await insert(session, { unknown: 'b'.repeat(2 ** 20) });
  await say(world, session, 'short');
  const page = await open({ session });
  const big = page.locator('.message.user').first();
  assert.ok((await big.locator('p').textContent()).length <= 4000);
  assert.ok((await page.locator('.message.other pre').textContent()).length <= 4000);
  await big.getByRole('button', { name: 'Show all 1,048,576 characters' }).click();
  await until(async () => (await big.locator('p').textContent()).length === 2 ** 20, 'all of it is shown');
  assert.deepEqual(page.problems, []);
});

test('Chats_BothDialectsAndUnknownOnes_AreShown', async () => {
  const session = await add_session(world);
  const rows = [
    [{ sender: 'user', text: 'first dialect', timestamp: '2026-07-02T03:04:05Z' }, 'user', 'first dialect'],
    [{ sender: 'agent', text: 'its answer', timestamp: '2026-07-02T03:05:05Z', status: 'delivered' }, 'agent', 'its answer'],
    [{ type: 'human', content: 'second dialect' }, 'user', 'second dialect'],
    [{ type: 'ai', data: { content: 'nested' } }, 'agent', 'nested'],
    [{ type: 'ai', content: [{ type: 'text', text: 'in parts' }] }, 'agent', 'in parts'],
    [{ type: 'tool', content: 'of a tool' }, 'other', 'of a tool'],
    [{ nothing: { known: [1, null] } }, 'other', /"known"/],
    [['a', 'list'], 'other', '["a","list"]'],
    [42, 'other', '42'],
    [null, 'other', 'null'],
  ];
  for (const [message] of rows) await insert(session, message);
  const page = await open({ session });
  await page.locator('.message').nth(rows.length - 1).waitFor();
  for (const [index, [message, side, text]] of rows.entries()) {
    const one = page.locator('.message').nth(index);
    assert.match(await one.getAttribute('class'), new RegExp(`message ${side}`), JSON.stringify(message));
    const shown = await one.locator('p, pre').textContent();
    if (text instanceof RegExp) assert.match(shown, text);
    else assert.equal(shown, text);
  }
  await page.getByRole('img', { name: 'Delivered' }).waitFor();
  await page.getByText('Times in Europe/London').waitFor();
  assert.equal(await page.locator('.message time').first().textContent(), '04:04', 'British summer time');
  assert.deepEqual(page.problems, []);
});

test('Chats_RightToLeftText_RunsFromTheRight', async () => {
  const session = await add_session(world);
  await say(world, session, 'مرحبا، هل الوظيفة متاحة؟');
  const page = await open({ session });
  const text = page.locator('.bubble p');
  assert.equal(await text.evaluate((element) => getComputedStyle(element).direction), 'rtl');
});

test('Chats_HostileMarkup_StaysText', async () => {
  const hostile = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
  const campaign = await add_campaign(world, `${fresh('bad')}${hostile}`);
  const session = await add_session(world, { id: `${fresh('bad')}${hostile}`, campaign });
  for (const message of [{ sender: 'user', text: hostile }, { type: hostile, content: hostile }, { [hostile]: hostile }, hostile]) await insert(session, message);
  const page = await open({ campaign, session });
  await page.locator('.message').nth(3).waitFor();
  await page.locator('.sessions a').first().waitFor();
  assert.equal(await page.locator('.message.user p').textContent(), hostile);
  assert.equal(await page.locator('main img, main script').count(), 0);
  assert.deepEqual(page.problems, []);
});

test('Chats_NewMessages_SlideInOnlyForWhoLikesMotion', async () => {
  const animation = async (reducedMotion) => {
    const session = await add_session(world);
    await say(world, session, 'before');
    const page = await open({ session }, { reducedMotion });
    assert.equal(await page.locator('.slot.new').count(), 0, 'what was there does not move');
    await page.evaluate(() => {
      window.names = [];
      new MutationObserver(() => document.querySelectorAll('.slot.new .bubble').forEach((one) => {
        window.names.push(getComputedStyle(one).animationName);
      })).observe(document.querySelector('.messages'), { childList: true, subtree: true });
    });
    await say(world, session, 'after');
    return (await page.waitForFunction(() => window.names[0])).jsonValue();
  };
  assert.equal(await animation('no-preference'), 'arrive');
  assert.equal(await animation('reduce'), 'none');
});

test('Chats_ReaderFurtherUp_StaysThereAndIsToldOfNewOnes', async () => {
  const session = await add_session(world);
  await fill(session, 300);
  const page = await open({ session });
  await page.getByText('message 300').first().waitFor();
  await scroll_to(page, 5000);
  const before = await first_in_view(page);
  await say(world, session, 'new one');
  await say(world, session, 'new two');
  const button = page.getByRole('button', { name: '2 new messages' });
  await button.waitFor();
  assert.deepEqual(await first_in_view(page), before);
  await button.click();
  await page.locator('.message', { hasText: 'new two' }).waitFor();
  await button.waitFor({ state: 'detached' });
});

test('Chats_DaemonKilledWhileOlderOnesAreRead_TheConversationIsComplete', { timeout: 90_000 }, async () => {
  const session = await add_session(world, { phone: fresh_phone() });
  await fill(session, 1400);
  const page = await open({ session });
  await scroll_to_the_beginning(page);
  await world.daemon.kill('SIGKILL');
  await page.getByText('Reconnecting, offline for').first().waitFor();
  await say(world, session, 'while it was away');
  await world.query(`DELETE FROM chat_history WHERE session_id = $1 AND message->>'text' = 'message 2'`, [session]);
  await world.daemon.run();
  await page.getByText(/Back after \d+ s, 1 message recovered/).first().waitFor({ timeout: 30_000 });
  await page.getByRole('button', { name: '1 new message' }).waitFor();
  await page.getByText('message 1', { exact: true }).waitFor();
  assert.equal(await page.getByText('message 2', { exact: true }).count(), 0);
  await page.getByRole('button', { name: '1 new message' }).click();
  await page.locator('.message', { hasText: 'while it was away' }).waitFor();
  const refused = page.problems.filter((text) => !/ERR_CONNECTION|WebSocket connection/.test(text));
  assert.deepEqual(refused, []);
});

test('Chats_Room_HasNoSeriousAccessibilityViolations', async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign, phone: fresh_phone() });
  await fill(session, 40);
  await insert(session, { strange: true });
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  for (const colorScheme of ['light', 'dark']) {
    const page = await open({ campaign, session }, { colorScheme });
    await page.getByRole('link', { name: session }).waitFor();
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    const serious = found.violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], colorScheme);
  }
});
