// `pgcast tail`: for people in a terminal, JSON lines elsewhere; it reconnects and goes on where it was.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, test } from 'node:test';
import { binary, use_world } from './fixture/world.js';
import { until } from './fixture/process.js';
import { add_campaign, add_session, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';

const world = use_world();
const children = new Set();
after(() => children.forEach((child) => child.kill('SIGKILL')));

/** Runs it; in a terminal of its own where `terminal` says so. */
function tail(args, { terminal = false, env = {}, token = mint({ role: 'service_role' }) } = {}) {
  const command = [binary, 'tail', ...args, '--url', world.daemon.url.replace('http', 'ws')];
  const quoted = command.map((one) => `'${one}'`).join(' ');
  const [file, ...rest] = terminal ? ['script', '-qec', quoted, '/dev/null'] : command;
  const child = spawn(file, rest, { env: { ...process.env, NO_COLOR: '', TERM: 'xterm', PGCAST_TOKEN: token, ...env } });
  children.add(child);
  const out = { child, text: '', errors: '', ended: new Promise((done) => child.once('close', done)) };
  child.stdout.on('data', (bytes) => {
    out.text += bytes;
  });
  child.stderr.on('data', (bytes) => {
    out.errors += bytes;
  });
  out.shows = (pattern, ms) => until(() => pattern.test(out.text), () => `${pattern}: ${JSON.stringify(out.text.slice(-2_000))} ${out.errors}`, ms);
  return out;
}

test('Terminal_ShowsLinesForPeople_InColours', async () => {
  const campaign = await add_campaign(world);
  const session = await add_session(world, { campaign });
  const shown = tail([`campaign:${campaign}`], { terminal: true });
  await shown.shows(/snapshot/);
  await say(world, session, 'how much is it?');
  await say(world, session, 'much', 'agent');
  await world.query(`INSERT INTO chat_history (session_id, message) VALUES ($1, '{"type": "human", "data": {"content": "of the other dialect"}}')`, [session]);
  await world.query(`INSERT INTO call_info (call_id, session_id, status, duration) VALUES ('call 1', $1, 'ended', '3 min')`, [session]);
  await world.query(`INSERT INTO session_objective_events (session_id, objective, old_value, new_value, source) VALUES ($1, 'salary', 'null', '{"value": true}', 'chat')`, [session]);
  await world.query(`UPDATE session_info SET session_status = 'done' WHERE session_id = $1`, [session]);
  await say(world, session, 'evil \u001b[2J\u0007 \u009b31m text');
  await shown.shows(/evil/);
  const plain = shown.text.replaceAll(/\u001b\[\d+m/g, '');
  for (const line of [/user +how much is it\?/, /agent +much/, /user +of the other dialect/, /call +ended, 00:03:00, call 1/, /objective +salary: - -> \{"value":true\} \(chat\)/, /session_info +session_status active -> done/, /^\d\d:\d\d:\d\d /m]) {
    assert.match(plain, line);
  }
  assert.match(shown.text, /\u001b\[32muser/, 'a colour');
  assert.doesNotMatch(plain, /[\u001b\u0007\u009b]/, 'nothing that a terminal obeys comes from the database');
  shown.child.kill();
});

test('Terminal_NumbersOfACampaign_WithoutColours', async () => {
  const campaign = await add_campaign(world);
  for (const [args, env] of [[[], { NO_COLOR: '1' }], [['--color', 'never'], {}]]) {
    const shown = tail([`stats:${campaign}`, ...args], { terminal: true, env });
    await shown.shows(/stats +\d+ sessions \(\d+ active\), 0 messages/);
    assert.ok(!shown.text.includes('\u001b'));
    shown.child.kill();
  }
});

test('Pipe_GetsJsonLines_AlsoATerminalThatWantsThem', async () => {
  const session = await add_session(world);
  for (const [args, terminal] of [[[], false], [['--json'], true]]) {
    const shown = tail([`session:${session}`, ...args], { terminal });
    await shown.shows(/snapshot/);
    await say(world, session, 'a\nb');
    await shown.shows(/chat_history/);
    const lines = shown.text.trim().split(/\r?\n/).map((line) => JSON.parse(line));
    assert.deepEqual(lines.map((line) => line.event), ['snapshot', 'chat_history']);
    assert.equal(lines[1].payload.record.message.text, 'a\nb');
    shown.child.kill();
  }
});

test('Restart_ItGoesOnWhereItWas_AndWaitsForTheDatabase', { timeout: 60_000 }, async () => {
  const session = await add_session(world);
  const shown = tail([`session:${session}`]);
  await shown.shows(/snapshot/);
  await say(world, session, 'before');
  await shown.shows(/before/);
  await world.daemon.kill();
  const missed = await say(world, session, 'meanwhile');
  await world.daemon.run();
  await shown.shows(/meanwhile/, 20_000);
  assert.ok(missed);
  assert.equal(shown.text.match(/snapshot/g).length, 1);
  assert.match(shown.errors, /trying again/);
  shown.child.kill();

  await world.postgres.crash();
  const early = tail([`session:${session}`]);
  await until(() => early.errors.includes('trying again'), () => `it says so: ${early.errors}`, 20_000);
  await world.postgres.boot();
  await early.shows(/snapshot/, 30_000);
  early.child.kill();
});

test('RefusedForGood_EndsWithOneSentence', async () => {
  await world.query('REVOKE ALL ON session_info FROM anon');
  const refused = tail(['session:x'], { token: mint({ role: 'anon' }) });
  assert.equal(await refused.ended, 77);
  assert.match(refused.errors, /^pgcast: the join of session:x is refused: Unauthorized.*\n$/);
});
