// What the measurements run on: a private Postgres, one daemon, the bare server, the load generator.
import { existsSync, statfsSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from 'node:net';
import { free_port, start_process, until } from '../e2e/fixture/process.js';
import { mint } from '../e2e/fixture/token.js';
import { Daemon, World } from '../e2e/fixture/world.js';
import { pin } from './machine.mjs';

const source = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const k_server_core = 0;
const k_other_core = 1;
const k_sessions = 1000;

/** Log line that tells how far it is. */
export const say = (text) => process.stderr.write(`${text}\n`);

/** A file system in memory where there is room, so that no disk is measured. */
export function use_memory_disk() {
  const room = existsSync('/dev/shm') ? statfsSync('/dev/shm') : { bavail: 0, bsize: 0 };
  const is_large = room.bavail * room.bsize > 4 * 2 ** 30;
  if (is_large && !process.env.TMPDIR) process.env.TMPDIR = '/dev/shm';
  return is_large;
}

/** The programs of this folder, built if they are not there yet. */
function programs() {
  const folder = process.env.PGCAST_BENCH_BIN ?? path.join(source, 'build/bench');
  const found = { loadgen: path.join(folder, 'pgcast_loadgen'), bare: path.join(folder, 'pgcast_bare_server') };
  if (Object.values(found).every(existsSync)) return found;
  say('building the load generator and the bare server');
  for (const args of [['--preset', 'bench'], ['--build', '--preset', 'bench', '--target', 'pgcast_loadgen', 'pgcast_bare_server']]) {
    const { status } = spawnSync('cmake', args, { cwd: source, stdio: ['ignore', 2, 2] });
    if (status !== 0) throw new Error(`cmake ${args.join(' ')} failed`);
  }
  return found;
}

export class Bed {
  losses = [];

  async start({ threads = 1, sql } = {}) {
    this.programs = programs();
    this.world = new World();
    await this.world.start({ sql, env: { PGCAST_THREADS: String(threads), PGCAST_LOG_LEVEL: 'warn' } });
    this.daemon = this.world.daemon;
    await this.world.query(`INSERT INTO campaign_info (campaign) VALUES ('c0');
      INSERT INTO session_info (session_id, campaign) SELECT 's' || i, CASE i WHEN 0 THEN 'c0' END FROM generate_series(0, ${k_sessions - 1}) i`);
    this.token = mint({ ttl: 7200 });
    this.bare_port = await free_port();
    this.bare = start_process(this.programs.bare, [String(this.bare_port), 'cork']);
    await until(() => answers(this.bare_port), 'the bare server listens');
  }

  async stop() {
    this.bare?.kill('SIGKILL');
    await this.world?.stop();
  }

  /** The servers on one core, everything else on the other. */
  pin_servers() {
    pin(this.daemon.process.pid, k_server_core);
    pin(this.bare.pid, k_server_core);
    this.is_pinned = true;
  }

  /** One more daemon on the same database, for what needs a fresh one; the caller ends it. */
  async fresh_daemon() {
    const daemon = new Daemon(this.daemon.database_url, this.daemon.extra);
    await daemon.run();
    return daemon;
  }

  /** One run of the load generator against a daemon. `source`: rows or broadcast; `topic` with {t}. */
  load(source_name, topic, args, daemon = this.daemon) {
    const join = (name) => JSON.stringify({ topic: `realtime:${name}`, event: 'phx_join', ref: '1', join_ref: '1',
      payload: { config: { broadcast: { ack: false, self: false, snapshot: false }, presence: { key: '', enabled: false }, postgres_changes: [], private: false } } });
    const said = `{"topic":"realtime:${topic}","event":"broadcast","payload":{"type":"broadcast","event":"tick","payload":{p}},"ref":"2","join_ref":"1"}`;
    const publish = source_name === 'rows' ? ['--rows', this.world.postgres.url()]
      : ['--pub-join', join(topic), '--pub-ack', '"status":"ok"', '--pub', said];
    return this.generate([...publish, '--join', join(topic), '--ack', '"status":"ok"', '--pid', daemon.process.pid,
      '--port', daemon.port, '--path', `/realtime/v1/websocket?apikey=${this.token}&vsn=1.0.0`, ...args]);
  }

  /** The same against the bare server. */
  load_bare(args) {
    return this.generate(['--join', 'S t{t}', '--ack', '"ok":1', '--pid', this.bare.pid, '--port', this.bare_port, ...args]);
  }

  async generate(args) {
    const on_core = this.is_pinned ? ['taskset', '-c', String(k_other_core)] : [];
    const [file, ...rest] = [...on_core, this.programs.loadgen, ...args.map(String)];
    const one = start_process(file, rest);
    const late = setTimeout(() => one.kill('SIGKILL'), 120_000);
    const { code, signal } = await one.ended;
    clearTimeout(late);
    if (code !== 0 && code !== 1) throw new Error(`the load generator: ${signal ?? `exit ${code}`}\n${one.log()}\n${this.daemon.process.log().slice(-2000)}`);
    const report = JSON.parse(one.log().trim().split('\n').at(-1));
    if (!report.ok) {
      this.losses.push(report);
      say(`LOSS OR DISORDER: ${JSON.stringify(report)}`);
    }
    return report;
  }
}

function answers(port) {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      done(true);
    }).on('error', () => done(false));
  });
}
