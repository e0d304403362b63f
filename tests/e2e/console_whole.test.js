// What holds for every room of the console: accessible, small, served compressed and from one place,
// usable from the keyboard. The rooms are those that the page itself names.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import axe from 'axe-core';
import { use_world } from './fixture/world.js';
import { use_browser } from './fixture/browser.js';
import { until } from './fixture/process.js';
import { mint } from './fixture/token.js';

const demo = new URL('../../deploy/demo/data.sql', import.meta.url);
const world = use_world({ installed_sql: readFileSync(demo, 'utf8') });
const browser = use_browser();

const k_budget = 100_000;  // bytes on the wire, headers and all
const k_first_item = 'main li a, main tbody a';

async function sign_in(page) {
  await page.goto(`${world.daemon.url}/#token=${mint()}`);
  await page.getByText('Connected').first().waitFor();
}

async function open(options) {
  const page = await browser.page(options);
  await sign_in(page);
  return page;
}

const rooms_of = (page) => page.locator('nav[aria-label=Rooms] a').evaluateAll((links) => links.map((link) => ({ href: link.getAttribute('href'), title: link.textContent })));

async function enter(page, href) {
  await page.evaluate((hash) => {
    location.hash = hash;
  }, href);
  await page.locator(`nav a[href="${href}"][aria-current=page]`).waitFor();
  await settle(page);
}

/** Until nothing has been added to the page for a while. */
function settle(page) {
  return page.evaluate(() => new Promise((done) => {
    let timer;
    const watcher = new MutationObserver(() => again());
    const again = () => {
      clearTimeout(timer);
      timer = setTimeout(end, 400);
    };
    const end = () => {
      clearTimeout(limit);
      watcher.disconnect();
      done();
    };
    const limit = setTimeout(() => { clearTimeout(timer); end(); }, 3000);
    watcher.observe(document.body, { childList: true, subtree: true });
    again();
  }));
}

describe('Accessibility', () => {
  const looks = [
    ['light', { colorScheme: 'light' }], ['dark', { colorScheme: 'dark' }],
    ['phone', { viewport: { width: 390, height: 844 } }],
  ];

  async function violations(page, place) {
    await page.evaluate(axe.source);
    const { violations: found } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    return found.filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${place}: ${id} at ${nodes.slice(0, 3).map((node) => `${node.target.join(' ')} (${node.failureSummary})`).join('; ')}`);
  }

  for (const [name, options] of looks) {
    test(`EveryRoom_In_${name}_HasNoSeriousViolation`, { timeout: 300_000 }, async () => {
      const page = await open(options);
      const found = [];
      for (const { href, title } of await rooms_of(page)) {
        await enter(page, href);
        found.push(...await violations(page, title));
        assert.ok(await page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth), `${title} scrolls sideways`);
        const first = page.locator(k_first_item).first();
        if (await first.count() === 0) continue;
        await first.click();
        await settle(page);
        found.push(...await violations(page, `${title}, its first item`));
        assert.ok(await page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth), `${title}, its first item, scrolls sideways`);
      }
      assert.deepEqual(found, []);
      assert.deepEqual(page.problems, []);
    });
  }

  test('TheDoor_HasNoSeriousViolation', async () => {
    const page = await browser.page();
    await page.goto(world.daemon.url);
    await page.getByLabel('Token').waitFor();
    assert.deepEqual(await violations(page, 'the door'), []);
  });
});

describe('Transfer', () => {
  test('FirstPage_CostsUnderHundredKilobytes', async () => {
    const page = await browser.page();
    const network = await page.context().newCDPSession(page);
    await network.send('Network.enable');
    const urls = new Map();
    const bytes = new Map();
    network.on('Network.requestWillBeSent', ({ requestId, request }) => urls.set(requestId, request.url));
    network.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => bytes.set(urls.get(requestId), encodedDataLength));
    await sign_in(page);
    await settle(page);
    const files = [...bytes].filter(([url]) => url && !url.includes('/api/'));
    const total = files.reduce((sum, [, size]) => sum + size, 0);
    assert.ok(files.length > 10, `${files.length} files`);
    assert.ok(total < k_budget, `${total} bytes:\n${files.sort((a, b) => b[1] - a[1]).map(([url, size]) => `${size} ${url}`).join('\n')}`);
  });

  test('Files_AreCompressedForWhoTakesItAndWholeForOthers', async () => {
    const ask = (accept) => fetch(`${world.daemon.url}/console/app.js`, { headers: { 'accept-encoding': accept } });
    const packed = await ask('br, gzip');
    const plain = await ask('identity');
    assert.equal(packed.headers.get('content-encoding'), 'gzip');
    assert.equal(plain.headers.get('content-encoding'), null);
    assert.match(packed.headers.get('vary'), /accept-encoding/i);
    const text = readFileSync(new URL('../../daemon/console/app.js', import.meta.url), 'utf8');
    assert.equal(await packed.text(), text);
    assert.equal(await plain.text(), text);
  });

  test('SecondVisit_IsAnsweredWith304', async () => {
    const first = await fetch(`${world.daemon.url}/console/style.css`);
    assert.equal(first.headers.get('cache-control'), 'no-cache');
    const tag = first.headers.get('etag');
    const again = await fetch(`${world.daemon.url}/console/style.css`, { headers: { 'if-none-match': tag } });
    assert.equal(again.status, 304);
    assert.equal(again.headers.get('etag'), tag);
    assert.ok(again.headers.get('content-security-policy'));
    assert.equal(await again.text(), '');
    assert.equal((await fetch(`${world.daemon.url}/console/style.css`, { headers: { 'if-none-match': '"other"' } })).status, 200);
  });

  test('NoRequest_LeavesTheOrigin', async () => {
    const page = await browser.page();
    const asked = [];
    page.on('request', (request) => asked.push(request.url()));
    page.on('websocket', (socket) => asked.push(socket.url().replace(/^ws/, 'http')));
    await sign_in(page);
    for (const { href } of await rooms_of(page)) {
      await enter(page, href);
      const first = page.locator(k_first_item).first();
      if (await first.count() === 0) continue;
      await first.click();
      await settle(page);
    }
    const elsewhere = asked.filter((url) => !url.startsWith(`${world.daemon.url}/`) && !/^(data|blob):/.test(url));
    assert.deepEqual(elsewhere, []);
    assert.ok(asked.some((url) => url.includes('/realtime/v1/websocket')), 'the socket is among them');
  });
});

describe('Keyboard', () => {
  /** What has the focus: {href, in_nav, in_list, is_seen}; is_seen: an outline shows it. */
  const focus = (page) => page.evaluate((first_item) => {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    const outlines = [getComputedStyle(one), getComputedStyle(one, '::after')];
    const is_seen = outlines.some((style) => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2);
    return { what: one.outerHTML.slice(0, 120), href: one.getAttribute('href'), in_nav: Boolean(one.closest('nav')), in_list: one.matches(first_item), is_seen };
  }, k_first_item);

  /** Presses Tab until `found`; every stop on the way must be seen. */
  async function tab_to(page, found, what) {
    for (let presses = 0; presses < 60; presses += 1) {
      await page.keyboard.press('Tab');
      const at = await focus(page);
      if (!at) continue;
      assert.ok(at.is_seen, `the focus is not seen at ${at.what}`);
      if (found(at)) return at;
    }
    return assert.fail(`Tab does not reach ${what}`);
  }

  test('EveryRoom_IsReachedAndItsListWalked', { timeout: 300_000 }, async () => {
    const page = await open();
    for (const { href, title } of await rooms_of(page)) {
      await page.evaluate(() => document.activeElement?.blur());
      await tab_to(page, (at) => at.in_nav && at.href === href, title);
      await page.keyboard.press('Enter');
      await page.locator(`nav a[href="${href}"][aria-current=page]`).waitFor();
      await settle(page);
      const items = await page.locator(k_first_item).count();
      if (items === 0) continue;
      const first = await tab_to(page, (at) => at.in_list, `the list of ${title}`);
      if (items > 1) {
        const second = await tab_to(page, (at) => at.in_list, `a second item of ${title}`);
        assert.notEqual(second.href, first.href);
      }
      const before = page.url();
      await page.keyboard.press('Enter');
      await until(() => page.url() !== before, `Enter opens an item of ${title}`);
    }
    assert.deepEqual(page.problems, []);
  });
});
