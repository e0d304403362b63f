// Draws docs/screenshots/*.png: the real console over the demo's rows, one picture for each room.
//
//   node tests/e2e/screenshots.mjs [FOLDER]
//
// PGCAST_BIN names another daemon than build/release/pgcast. The page's clock begins five minutes ago
// and is wound forward while rows are written, so that the charts have something to show.
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch_browser } from './fixture/browser.js';
import { sleep } from './fixture/process.js';
import { mint } from './fixture/token.js';
import { World } from './fixture/world.js';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const folder = path.resolve(process.argv[2] ?? path.join(root, 'docs/screenshots'));
const demo = (file) => readFileSync(path.join(root, 'deploy/demo', file), 'utf8');

const k_past = 5 * 60_000;
const k_step = 4000;
const k_wide = { width: 1200, height: 750 };
const k_phone = { width: 390, height: 750 };

/** What to draw; a room that is not there (yet) is left out. */
const k_pictures = [
  { file: 'chats', room: 'chats', query: { campaign: 'hgv-drivers', session: 'sess-harry' } },
  { file: 'campaigns', room: 'campaigns' },
  { file: 'campaign', room: 'campaigns', query: { campaign: 'care-assistants' } },
  { file: 'campaigns-dark', room: 'campaigns', query: { campaign: 'care-assistants' }, colorScheme: 'dark' },
  { file: 'chats-phone', room: 'chats', query: { campaign: 'hgv-drivers', session: 'sess-harry' }, viewport: k_phone },
  { file: 'campaigns-phone', room: 'campaigns', viewport: k_phone },
  { file: 'calls', room: 'calls', query: { campaign: 'care-assistants', call: 'call-chloe-1' } },
  { file: 'candidate', room: 'candidate', query: { phone: '+447700900103' } },
  { file: 'operations', room: 'operations' },
];

/** The script of live.sql without its pauses: one turn of it a call. */
async function open_script(world) {
  const text = demo('live.sql').replace(/\\watch.*/, '');
  const begin = text.indexOf('WITH line');
  const client = await world.postgres.connect('postgres');
  await client.query(text.slice(0, begin));
  return { turn: () => client.query(text.slice(begin)), end: () => client.end() };
}

async function ring(world, number) {
  const session = ['sess-chloe', 'sess-harry', 'sess-femi'][number % 3];
  await world.query(`INSERT INTO call_info (call_id, status, called_at, duration, session_id, batch_call_id)
    VALUES ($1, 'completed', now(), make_interval(secs => $2), $3, 'batch-10')`, [`call-live-${number}`, 37 + number * 3, session]);
}

async function open_page(browser, world, { colorScheme, viewport }) {
  const context = await browser.newContext({ locale: 'en-GB', viewport: viewport ?? k_wide, colorScheme: colorScheme ?? 'light' });
  const page = await context.newPage();
  page.setDefaultTimeout(120_000);  // nobody waits for it
  page.on('console', (message) => message.type() === 'error' && console.error(`console: ${message.text()}`));
  await page.clock.install({ time: Date.now() - k_past });
  await page.goto(`${world.daemon.url}/#token=${mint()}`);
  await page.locator('.connection[data-state=connected]').waitFor();
  return page;
}

/** Five minutes in a few seconds: now and then a message, seldom a call. */
async function play(world, pages) {
  const script = await open_script(world);
  for (let step = 0; step < k_past / k_step; step += 1) {
    const turns = [1, 0, 2, 1, 0, 0, 3, 1, 0, 1, 4, 2, 0][(step * 7) % 13];
    for (let turn = 0; turn < turns; turn += 1) await script.turn();
    if (step % 11 === 5) await ring(world, step);
    await sleep(80);
    for (const page of pages) await page.clock.runFor(k_step);
  }
  await script.end();
}

const world = new World();
await world.start({ installed_sql: demo('data.sql'), env: { PGCAST_STATS_INTERVAL: '50ms' } });
const browser = await launch_browser();
try {
  mkdirSync(folder, { recursive: true });
  const shown = [];
  for (const picture of k_pictures) {
    const page = await open_page(browser, world, picture);
    if (await page.locator(`nav a[href="#/${picture.room}"]`).count() === 0) continue;
    await page.evaluate(([room, query]) => {
      location.hash = `#/${room}?${new URLSearchParams(query)}`;
    }, [picture.room, picture.query ?? {}]);
    shown.push({ page, ...picture });
  }
  for (const { page } of shown) await page.clock.runFor(2000);
  await play(world, shown.map(({ page }) => page));
  for (const { page, file } of shown) {
    await page.clock.runFor(1000);
    const target = path.join(folder, `${file}.png`);
    await page.screenshot({ path: target, animations: 'disabled', caret: 'hide' });
    console.log(`${path.relative(process.cwd(), target)}: ${Math.round(statSync(target).size / 1000)} kB`);
  }
} finally {
  await browser.close();
  await world.stop();
}
