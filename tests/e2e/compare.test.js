// pgcast compare: two daemons of one database stand for the two servers; proxies plant the losses.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { binary, use_world } from './fixture/world.js';
import { free_port, sleep, start_process, until } from './fixture/process.js';
import { Proxy } from './fixture/proxy.js';
import { add_session, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';

const world = use_world();
let second;
const other_daemon = () => (second ??= world.serve('postgres'));

const running = new Set();
const proxies = new Set();
after(async () => {
  for (const one of running) {
    one.kill('SIGKILL');
    await one.ended;
  }
  for (const proxy of proxies) await proxy.stop();
});

/** A proxy that knows what went through to the client. */
async function watched(daemon) {
  const proxy = await Proxy.start(daemon.port);
  proxies.add(proxy);
  const answer = proxy.answer.bind(proxy);
  proxy.passed = '';
  proxy.answer = (pair, bytes) => {
    const text = bytes.toString('latin1');
    proxy.passed += text;
    answer(pair, bytes);
    if (proxy.twice && text.includes(proxy.twice)) pair.client.write(bytes);
  };
  proxy.has = (text, times = 1) => until(() => proxy.passed.split(text).length > times, () => `${text}\n${proxy.passed.slice(-2000)}`, 30_000);
  return proxy;
}

const k_subscribed = 'Subscribed to PostgreSQL';
const url_of = (proxy) => `ws://127.0.0.1:${proxy.port}`;

/** Starts it; counting(), stop() and result() of what runs. */
async function compare(args, env = {}) {
  const one = start_process(binary, ['compare', ...args], {
    env: { ...await world.daemon.env(), PGCAST_WITH_TOKEN: mint(), ...env },
  });
  running.add(one);
  one.counting = () => until(() => one.log().includes('both are subscribed'), () => one.log(), 60_000);
  /** Cuts it off from that proxy, and waits until it has told so, after all that came before. */
  one.cut_from = async (proxy, who) => {
    const told = () => one.log().split(`${who}: the connection is lost`).length;
    const before = told();
    await proxy.stop();
    await until(() => told() > before, () => one.log(), 30_000);
  };
  one.result = async () => {
    const { code } = await one.ended;
    running.delete(one);
    return { code, text: one.log() };
  };
  return one;
}

/** A run that is over by itself. */
const outcome = async (...args) => (await compare(...args)).result();

const json_of = (text) => JSON.parse(text.split('\n').find((line) => line.startsWith('{')));
const counts = ({ received, missed, doubled, drops }) => ({ received, missed, doubled, drops });

test('Losses_OfBothServers_AreToldExactly', { timeout: 120_000 }, async () => {
  const [ours, theirs] = [await watched(world.daemon), await watched(await other_daemon())];
  const session = await add_session(world);
  const run = await compare(['--url', url_of(ours), '--with', url_of(theirs), '--for', '10m', '--json']);
  await run.counting();

  const both_have = async (text) => {
    await say(world, session, text);
    for (const proxy of [ours, theirs]) await proxy.has(text);
  };
  const id = await say(world, session, 'first');
  await world.query('UPDATE chat_history SET message = \'{"b": 1.50, "a": [null, "é"]}\' WHERE id = $1', [id]);
  await world.query('DELETE FROM chat_history WHERE id = $1', [id]);
  await both_have('before');                                            // 4 came to both

  await theirs.stop();
  const lost = [];
  for (const text of ['lost-1', 'lost-2', 'lost-3']) lost.push(await say(world, session, text));
  await ours.has('lost-3');                                             // 3 to us alone
  await theirs.listen();
  await theirs.has(k_subscribed, 2);
  await both_have('between');                                           // 5

  await ours.stop();
  const ours_lost = await say(world, session, 'lost-4');
  await theirs.has('lost-4');                                           // 1 to them alone
  await ours.listen();
  await ours.has(k_subscribed, 2);

  theirs.twice = 'doubled';
  await both_have('doubled');                                           // 6, one of them twice
  ours.stall();
  await say(world, session, 'late');
  await theirs.has('late');
  await sleep(1000);
  ours.resume();
  await ours.has('late');                                               // 7
  run.kill('SIGINT');

  const { code, text } = await run.result();
  const report = json_of(text);
  assert.equal(report.both, 7, text);
  assert.deepEqual(counts(report.this), { received: 10, missed: 1, doubled: 0, drops: 1 }, text);
  assert.deepEqual(counts(report.other), { received: 9, missed: 3, doubled: 1, drops: 1 }, text);
  assert.deepEqual(report.other.missed_changes.map(({ table, type, key }) => [table, type, key]), lost.map((one) => ['public.chat_history', 'INSERT', `id=${one}`]));
  assert.deepEqual(report.this.missed_changes.map((one) => one.key), [`id=${ours_lost}`]);
  assert.ok(report.this.behind_ms.max >= 500, text);
  assert.equal(report.is_cut_short, false);
  assert.equal(code, 1, 'this one missed a change');
});

test('Resume_OnOurSide_MissesNothing', { timeout: 120_000 }, async () => {
  const [ours, theirs] = [await watched(world.daemon), await watched(await other_daemon())];
  const [here, elsewhere] = [await add_session(world), await add_session(world)];
  const run = await compare(['--url', url_of(ours), '--with', `http://127.0.0.1:${theirs.port}/socket`, '--for', '10m', '--resume',
    '--table', 'public.chat_history', '--filter', `session_id=eq.${here}`]);
  await run.counting();
  await run.cut_from(ours, 'this server'); // also before the first change
  await say(world, here, 'away-1');
  await theirs.has('away-1');
  await ours.listen();
  await ours.has('away-1');
  await run.cut_from(theirs, 'the other server');
  await say(world, elsewhere, 'not-asked-for');
  const lost = await say(world, here, 'away-2');
  await ours.has('away-2');
  await run.cut_from(ours, 'this server');
  run.kill('SIGINT');
  await until(() => run.log().includes('waiting for stragglers'), () => run.log());
  run.kill('SIGINT');

  const { code, text } = await run.result();
  assert.match(text, /^received +2 +1$/m);
  assert.match(text, /^missed +0 +1 {2}the other one had it$/m);
  assert.match(text, /^drops +2 +1 /m);
  assert.match(text, new RegExp(`^Missed by the other:\\n  2\\S+Z  public\\.chat_history INSERT id=${lost}$`, 'm'));
  assert.doesNotMatch(text, /Missed by this server|not-asked-for/);
  assert.equal(code, 0, text);
});

test('NothingMissed_IsExit0_AfterItsTime', { timeout: 60_000 }, async () => {
  const { code, text } = await outcome(['--with', (await other_daemon()).url, '--for', '1s']);
  assert.match(text, /Nothing changed in this time/);
  assert.match(text, /^missed +0 +0 /m);
  assert.equal(code, 0, text);
});

test('WhoCannotBeReachedOrRefuses_IsNamedInOneSentence', async () => {
  const other = await other_daemon();
  const nobody = `ws://127.0.0.1:${await free_port()}`;
  const fails = async (args, env, code, pattern) => {
    const failed = await outcome(args, env);
    assert.equal(failed.code, code, failed.text);
    assert.match(failed.text, pattern);
    assert.equal(failed.text.trim().split('\n').length, 1, failed.text);
  };
  await fails(['--with', nobody], {}, 69, /^pgcast: the other server: 127\.0\.0\.1:\d+ cannot be reached: Connection refused/);
  await fails(['--with', other.url, '--url', nobody], {}, 69, /^pgcast: this server: /);
  const wrong = mint({}, 'a-secret-that-is-not-that-of-the-daemon');
  await fails(['--with', other.url], { PGCAST_WITH_TOKEN: wrong }, 77, /^pgcast: the other server: .* refuses with status 401.*check its token/);
  await fails(['--with', other.url], { PGCAST_TOKEN: wrong }, 77, /^pgcast: this server: .* refuses with status 401/);
  await fails(['--with', other.url, '--table', 'public.nowhere'], {}, 77, /^pgcast: (this|the other) server: the join is refused: .*public\.nowhere/);
});

/** A directory with a CA of its own and certificates that it signed for names. */
function make_certificates(names) {
  const directory = mkdtempSync(path.join(tmpdir(), 'pgcast-tls-'));
  const openssl = (...args) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '1', '-subj', '/CN=test authority');
  for (const name of names) {
    writeFileSync(path.join(directory, `${name}.ext`), `subjectAltName=DNS:${name}\n`);
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '1', '-extfile', `${name}.ext`, '-out', `${name}.pem`);
  }
  return directory;
}

/** Ends TLS under that name's certificate and forwards to the port; records the names asked for. */
async function tls_proxy(directory, name, port) {
  const file = (ending) => readFileSync(path.join(directory, `${name}.${ending}`));
  const asked = [];
  const sockets = new Set();
  const server = tls.createServer({ key: file('key'), cert: file('pem') }, (client) => {
    asked.push(client.servername);
    const target = connect(port, '127.0.0.1');
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => [client, target].forEach((one) => one.end()));
    }
    client.pipe(target).pipe(client);
  }).on('tlsClientError', () => {});
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { port: server.address().port, asked, close: () => [server.close(), ...[...sockets].map((one) => one.destroy())] };
}

test('Tls_NeedsATrustedCertificateOfThatHost', { timeout: 90_000 }, async () => {
  const other = await other_daemon();
  const directory = make_certificates(['localhost', 'elsewhere.example']);
  const [ours, theirs] = [await watched(world.daemon), await watched(other)];
  const good = await tls_proxy(directory, 'localhost', theirs.port);
  const foreign = await tls_proxy(directory, 'elsewhere.example', other.port);
  try {
    const trust = { SSL_CERT_FILE: path.join(directory, 'ca.pem') };
    const run = await compare(['--url', url_of(ours), '--with', `https://localhost:${good.port}`, '--for', '10m', '--json'], trust);
    await run.counting();
    const session = await add_session(world);
    await say(world, session, 'through TLS');
    for (const proxy of [ours, theirs]) await proxy.has('through TLS');
    await run.cut_from(theirs, 'the other server');
    await run.cut_from(ours, 'this server');
    run.kill('SIGINT');
    const { code, text } = await run.result();
    assert.equal(json_of(text).both, 2, text); // the session and what was said
    assert.equal(code, 0, text);
    assert.deepEqual(good.asked, ['localhost'], 'the name is asked for (SNI)');

    const refused = async (where, env, pattern) => {
      const failed = await outcome(['--with', where, '--for', '1s'], env);
      assert.match(failed.text, pattern);
      assert.equal(failed.code, 69, failed.text);
    };
    await refused(`wss://localhost:${foreign.port}`, trust, /the other server: localhost:\d+ cannot be trusted: hostname mismatch/);
    await refused(`wss://127.0.0.1:${good.port}`, trust, /cannot be trusted: IP address mismatch/);
    await refused(`wss://localhost:${good.port}`, {}, /cannot be trusted: unable to get local issuer certificate/);
    await refused(`wss://localhost:${other.port}`, trust, /cannot be trusted: /); // speaks no TLS
  } finally {
    good.close();
    foreign.close();
    rmSync(directory, { recursive: true });
  }
});
