// ./dev run as a newcomer meets it: one command, a console, a live message; the end leaves nothing.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import test from 'node:test';

const root = process.env.PGCAST_SOURCE_DIR;
const binary = process.env.PGCAST_BIN;
const state = fs.mkdtempSync(path.join(os.tmpdir(), 'pgcast-dev-'));
fs.chmodSync(state, 0o711);

// A `./dev run` that has come up: its process, what it has printed, the console's address and token.
async function start() {
  const environment = { ...process.env, PGCAST_DEV_DIR: state, PGCAST_BIN: binary };
  for (const name of Object.keys(environment)) {
    if (/^PG(HOST|PORT|USER|DATABASE|CAST_(DATABASE_URL|LISTEN|ADMIN_LISTEN|JWT.*))$/.test(name)) {
      delete environment[name];
    }
  }
  const child = spawn(path.join(root, 'dev'), ['run'], {
    env: environment, stdio: ['ignore', 'pipe', 'pipe'],
  });
  const running = { child, output: '', started: Date.now() };
  child.exited = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
  const address = new Promise((resolve, reject) => {
    const listen = (chunk) => {
      running.output += chunk;
      // Lines may come in pieces: only behind the last one are the others whole.
      const found = /console\s+(http:\/\/[^/]+)\/#token=(\S+)[^]*\nA new chat message/
        .exec(running.output);
      if (found) resolve(found);
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    child.exited.then(() => reject(new Error(`./dev run has ended:\n${running.output}`)));
  });
  [, running.url, running.token] = await address;
  running.seconds = (Date.now() - running.started) / 1000;
  return running;
}

// Ends it and gives the exit code and the seconds that took.
async function stop(running, signal) {
  const from = Date.now();
  running.child.kill(signal);
  const code = await running.child.exited;
  return { code, seconds: (Date.now() - from) / 1000 };
}

// Command lines of processes that still work in the private folders.
function left_behind(cluster) {
  const folders = [state, cluster];
  return fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name) && name !== `${process.pid}`)
    .map((pid) => {
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';  // it has just ended
      }
    })
    .filter((line) => folders.some((folder) => line.includes(folder)));
}

// The first line of `pgcast tail` that is a live event.
async function live_event(running, topic) {
  const tail = spawn(binary, ['tail', topic, '--url', running.url.replace('http', 'ws')], {
    env: { ...process.env, PGCAST_TOKEN: running.token }, stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    for await (const line of readline.createInterface({ input: tail.stdout })) {
      if (line.includes('"chat_history"') && line.includes('"INSERT"')) return JSON.parse(line);
    }
    throw new Error('pgcast tail has ended');
  } finally {
    tail.kill();
  }
}

test('DevRun_ShowsAConsoleAndALiveMessage_AndLeavesNothing', { timeout: 120_000 }, async (t) => {
  t.after(() => fs.rmSync(state, { recursive: true, force: true }));
  let running = await start();
  t.after(() => running.child.kill('SIGTERM'));
  const cluster = /psql "host=(\S+)/.exec(running.output)[1];

  await t.test('the console answers', async () => {
    const page = await fetch(`${running.url}/`);
    assert.equal(page.status, 200);
    assert.match(page.headers.get('content-type'), /^text\/html/);
  });

  await t.test('the secret is for its owner alone', () => {
    assert.equal(fs.statSync(path.join(state, 'jwt_secret')).mode & 0o777, 0o600);
  });

  await t.test('a new message comes', { timeout: 40_000 }, async () => {
    assert.ok(await live_event(running, 'session:sess-harry'));
  });

  await t.test('SIGTERM stops all of it', async () => {
    const { code, seconds } = await stop(running, 'SIGTERM');
    assert.equal(code, 0, running.output);
    assert.ok(seconds < 8, `${seconds} s`);
    assert.deepEqual(left_behind(cluster), []);
  });

  await t.test('the second run is there at once, and Ctrl-C stops it', async () => {
    running = await start();
    assert.ok(running.seconds < 5, `${running.seconds} s`);
    const { code } = await stop(running, 'SIGINT');
    assert.equal(code, 0, running.output);
    assert.deepEqual(left_behind(cluster), []);
  });

  await t.test('SIGKILL leaves nothing either', async () => {
    running = await start();
    await stop(running, 'SIGKILL');
    const until = Date.now() + 10_000;
    while (left_behind(cluster).length > 0 && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.deepEqual(left_behind(cluster), []);
  });
});
