// deploy/examples, each as a reader of the docs would use it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { use_world } from './fixture/world.js';
import { use_browser } from './fixture/browser.js';
import { run, start_process, until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, say } from './fixture/rows.js';
import { serve_folder } from './fixture/static.js';
import { mint } from './fixture/token.js';
import { build } from './fixture/typescript.js';

const folder = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../deploy/examples');
const world = use_world();
const browser = use_browser();

/** What the address of a page says after #. */
const settings = (more) => new URLSearchParams({ url: world.daemon.url, token: mint(), ...more });

/** Messages of the browser itself about a daemon that is away. */
const is_outage = (text) => /ERR_CONNECTION|WebSocket connection/.test(text);

test('ChatPage_RowsWrittenWithSql_AreShownAlsoThoseOfAnOutage', { timeout: 90_000 }, async () => {
  const session = await add_session(world);
  await say(world, session, 'from before');
  const page = await browser.page();
  const package_file = createRequire(import.meta.url).resolve('@supabase/supabase-js/package.json');
  await page.route('https://cdn.jsdelivr.net/npm/@supabase/supabase-js@2.109.0/dist/umd/supabase.js', (route) =>
    route.fulfill({ path: path.join(path.dirname(package_file), 'dist/umd/supabase.js'), headers: { 'access-control-allow-origin': '*' }, contentType: 'text/javascript' }));
  await page.goto(`${await serve_folder(folder)}/chat.html#${settings({ session })}`);
  await page.getByText('from before').waitFor();
  await world.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [session, '{"type": "ai", "data": {"content": "live <b>text</b>"}}']);
  await page.locator('li.agent', { hasText: 'live <b>text</b>' }).waitFor();
  await world.query(`UPDATE chat_history SET message = message || '{"text": "changed"}' WHERE message->>'text' = 'from before'`);
  await page.getByText('changed').waitFor();
  await world.daemon.kill('SIGKILL');
  await page.getByText('Connecting again').waitFor();
  await say(world, session, 'missed');
  await world.query(`DELETE FROM chat_history WHERE message->>'text' = 'changed'`);
  await world.daemon.run();
  await page.getByText('missed').waitFor({ timeout: 40_000 });
  await page.getByText('changed').waitFor({ state: 'detached' });
  assert.deepEqual(await page.locator('li').allTextContents(), ['live <b>text</b>', 'missed']);
  assert.deepEqual(page.problems.filter((text) => !is_outage(text)), []);
});

test('ServerSentEventsScript_PrintsEventsAndGoesOnAtAnId', async () => {
  const script = path.join(folder, 'server-sent-events.sh');
  const env = { PGCAST_URL: world.daemon.url, PGCAST_TOKEN: mint() };
  const session = await add_session(world);
  const one = start_process(script, [`session:${session}`, 'stats:none at all'], { env });
  await until(() => /event: ?snapshot/.test(one.log()) && /event: ?stats/.test(one.log()), () => one.log());
  await say(world, session, 'printed');
  await until(() => one.log().includes('"printed"'), () => one.log());
  const id = [...one.log().matchAll(/^id: ?(.+)$/gm)].at(-1)[1];
  one.kill('SIGTERM');
  await say(world, session, 'meanwhile');
  const again = start_process(script, [`session:${session}`, 'stats:none at all'], { env: { ...env, LAST_EVENT_ID: id } });
  await until(() => again.log().includes('"meanwhile"'), () => again.log());
  assert.ok(!/event: ?snapshot/.test(again.log()), again.log());
  again.kill('SIGTERM');
  const refused = start_process(script, ['session:x'], { env: { ...env, PGCAST_TOKEN: 'none' } });
  assert.notEqual((await refused.ended).code, 0);
  assert.match(refused.log(), /"code"/);
});

test('ServerSentEventsScript_IsCleanForShellcheck', (t) => {
  const { status, stdout, error } = spawnSync('shellcheck', [path.join(folder, 'server-sent-events.sh')], { encoding: 'utf8' });
  if (error) return t.skip('shellcheck is not installed');
  assert.equal(status, 0, stdout);
});

/** The React page as `npm run build` makes it, in a folder of its own. */
const built = path.join(mkdtempSync(path.join(tmpdir(), 'pgcast-example-')), 'dist');
after(() => rmSync(path.dirname(built), { recursive: true, force: true }));
before(async () => {
  await build();
  const cwd = path.join(folder, 'react');
  await run(process.execPath, ['node_modules/typescript/bin/tsc'], { cwd });
  await run(process.execPath, ['node_modules/vite/bin/vite.js', 'build', '--outDir', built, '--emptyOutDir'], { cwd });
}, { timeout: 180_000 });

async function open_react(more, options) {
  const page = await browser.page(options);
  await page.goto(`${await serve_folder(built)}/#${settings(more)}`);
  return page;
}

test('ReactPage_AllFourViews_ShowRowsAsTheyAreWritten', { timeout: 90_000 }, async () => {
  const campaign = await add_campaign(world);
  const phone = fresh_phone();
  const session = await add_session(world, { campaign, phone });
  await say(world, session, 'from before');
  const page = await open_react({ session });
  const panel = (name) => page.getByRole('region', { name });
  await panel(phone).getByText('from before').waitFor();
  await panel(campaign).getByText('messages', { exact: true }).waitFor();

  await say(world, session, 'a live answer', 'agent');
  await panel(phone).locator('.message.agent', { hasText: 'a live answer' }).waitFor();
  await panel('Timeline').getByText('Agent: a live answer').waitFor();
  await panel(campaign).locator('dl div', { hasText: 'messages' }).getByText('2', { exact: true }).waitFor();

  await world.query(`INSERT INTO call_info (call_id, session_id, status, called_at, duration, transcript)
    VALUES ($1, $2, 'completed', now(), '00:03:20', 'Hello?')`, [`call-${session}`, session]);
  await panel('Calls').getByText('3 min 20 s').waitFor();
  await panel('Timeline').getByText('Call completed').waitFor();
  await panel(campaign).locator('dl div', { hasText: 'calls' }).getByText('1', { exact: true }).waitFor();

  await world.query(`INSERT INTO session_objective_events (session_id, objective, new_value, source) VALUES ($1, 'right_to_work', 'true', 'chat')`, [session]);
  await world.query(`UPDATE session_info SET objectives = '{"right_to_work": {"value": true}}' WHERE session_id = $1`, [session]);
  await panel('Timeline').getByText('right to work is now true, by chat').waitFor();
  await panel(campaign).getByText('1 of 1').waitFor();

  await world.daemon.kill('SIGKILL');
  await say(world, session, 'missed');
  await world.daemon.run();
  await panel(phone).locator('.message', { hasText: 'missed' }).waitFor({ timeout: 40_000 });
  assert.equal(await panel(phone).locator('.message').count(), 3);
  assert.deepEqual(page.problems.filter((text) => !is_outage(text)), []);
});

test('ReactPage_LightAndDark_HaveNoSeriousAccessibilityViolations', async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign, phone: fresh_phone() });
  await say(world, session, 'hello');
  await say(world, session, 'hello to you', 'agent');
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  for (const colorScheme of ['light', 'dark']) {
    const page = await open_react({ session }, { colorScheme });
    await page.locator('.message.agent').waitFor();
    await page.getByText('by candidates').waitFor();
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], colorScheme);
  }
});
