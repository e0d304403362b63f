// What goes wrong, each once. fault(bed, random, audience) ends when the fault is over.
import { sleep } from '../e2e/fixture/process.js';

const k_doorbell = '8099551725049085953';
const k_change = '8099551725049085954';

const seconds = (random, low, high) => 1000 * (low + random.next() * (high - low));

/** Runs `text` and keeps its transaction or session for `ms`; the end of the server ends it too. */
async function hold(bed, text, ms, as = 'postgres') {
  const connection = await bed.postgres.connect();
  try {
    // A session that a lost network has left behind may hold a lock for ever.
    await connection.query("SET lock_timeout = '5s'");
    if (as !== 'postgres') await connection.query(`SET ROLE ${as}`);
    await connection.query(text);
    await sleep(ms);
  } catch (failed) {
    if (failed.code !== '55P03') throw failed;
  } finally {
    await connection.end().catch(() => {});
  }
}

async function down_and_up(bed, daemon, signal, pause) {
  daemon.is_down = true;
  await daemon.kill(signal);
  await sleep(pause);
  await daemon.run();
  daemon.is_down = false;
}

/** How many clients this process of the daemon has parked since it was asked last. */
async function parked(daemon) {
  const answer = await fetch(`http://127.0.0.1:${daemon.admin_port}/metrics`, { signal: AbortSignal.timeout(1000) }).catch(() => null);
  const count = Number((await answer?.text().catch(() => ''))?.match(/pgcast_slow_clients_total\{verdict="parked"\} (\d+)/)?.[1] ?? 0);
  const known = daemon.parked?.pid === daemon.process.pid ? daemon.parked.count : 0;
  daemon.parked = { pid: daemon.process.pid, count: Math.max(count, known) };
  return daemon.parked.count - known;
}

/**
 * Waits until a daemon has noticed that the server recovered from a crash. Only until the next
 * checkpoint can it be known from where transaction ids are given out anew; after that every cursor
 * of before is refused, as it must be.
 */
async function noticed(bed) {
  const is_noticed = () => bed.query('SELECT 1 FROM pgcast.marker').then((rows) => rows.length > 0, () => false);
  for (let nth = 0; nth < 200 && !(await is_noticed()); nth += 1) await sleep(100);
}

const of_server = {
  /** The daemons' backends. */
  async backends(bed) {
    await bed.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pgcast%'");
  },
  /** Every client's backend: writers do not learn whether they committed. */
  async all_backends(bed) {
    await bed.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'");
  },
  /** One backend dies, all others with it, and the server recovers by itself. */
  async killed_backend(bed) {
    const [{ pid }] = await bed.query("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' LIMIT 1");
    process.kill(Number(pid), 'SIGKILL');
    await sleep(500);
    for (let nth = 0; nth < 300 && !(await bed.query('SELECT 1').catch(() => null)); nth += 1) await sleep(100);
    await noticed(bed);
  },
  async crash(bed, random) {
    await bed.postgres.crash();
    await sleep(seconds(random, 0, 1.5));
    await bed.postgres.boot();
    await noticed(bed);
  },
  /** A crash, and a checkpoint before a daemon is there: what was before is not known any more. Not by default. */
  async lost_history(bed) {
    for (const proxy of bed.proxies) proxy.stall();
    await bed.postgres.crash();
    await bed.postgres.boot();
    await bed.query('CHECKPOINT');
    for (const proxy of bed.proxies) proxy.resume();
    await noticed(bed);
  },
  async clean_restart(bed) {
    await bed.postgres.halt();
    await bed.postgres.boot();
  },
  async kill_daemon(bed, random) {
    await down_and_up(bed, random.one(bed.daemons), 'SIGKILL', seconds(random, 0, 2));
  },
  /** In the middle of a batch of some thousand rows. */
  async kill_mid_batch(bed, random) {
    const copied = bed.query(`COPY chat_history (session_id, message) FROM '${bed.copy_file}'`).catch(() => {});
    await sleep(seconds(random, 0.02, 0.3));
    await down_and_up(bed, random.one(bed.daemons), 'SIGKILL', 0);
    await copied;
  },
  async terminate_daemon(bed, random) {
    await down_and_up(bed, random.one(bed.daemons), 'SIGTERM', 0);
  },
  async stop_daemon(bed, random) {
    const daemon = random.one(bed.daemons);
    daemon.process.kill('SIGSTOP');
    await sleep(seconds(random, 1, 7));
    daemon.process.kill('SIGCONT');
  },
  async both_daemons(bed) {
    await Promise.all(bed.daemons.map((daemon) => down_and_up(bed, daemon, 'SIGKILL', 300)));
  },
  async stall(bed, random) {
    const proxy = random.one(bed.proxies);
    proxy.stall();
    await sleep(seconds(random, 1, 8));
    proxy.resume();
  },
  async cut_network(bed, random) {
    const proxy = random.one(bed.proxies);
    proxy.fail_in_the_middle(random.whole(100, 50_000));
    await sleep(300);
    for (const { client, server } of proxy.pairs) {
      client.destroy();
      server.destroy();
    }
  },
  async lose_network(bed, random) {
    random.one(bed.proxies).lose();
    await sleep(1000);
  },
  async lock_table(bed, random) {
    const table = random.one(['chat_history', 'session_info', 'numbers', 'pgcast.outbox', 'pgcast.meta']);
    await hold(bed, `BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`, seconds(random, 0.5, 3));
  },
  /** A lock of the doorbell that nobody gives back: no writer rings, or every writer does. */
  async foreign_lock(bed, random) {
    const mode = random.one(['', '_shared']);
    await hold(bed, `SELECT pg_advisory_lock${mode}(${k_doorbell})`, seconds(random, 1, 5));
  },
  async change_lock(bed, random) {
    await hold(bed, `SELECT pg_advisory_lock(${k_change})`, seconds(random, 0.5, 3));
  },
  /** Any role may ring. */
  async forged_notify(bed, random) {
    for (let nth = 0; nth < 30; nth += 1) {
      await hold(bed, `NOTIFY pgcast, '${random.one(['', '{"id":1}', 'DROP TABLE', 'x'.repeat(7000)])}'`, 0, 'anon');
    }
  },
  async maintain(bed) {
    for (let nth = 0; nth < 3; nth += 1) await bed.query("SELECT pgcast.maintain('24 hours')");
  },
  async vacuum(bed) {
    for (const table of ['pgcast.outbox', 'chat_history', 'session_info', 'pg_catalog.pg_class']) await bed.query(`VACUUM (ANALYZE) ${table}`);
  },
  async checkpoint(bed) {
    await bed.query('CHECKPOINT');
  },
};

const of_clients = {
  async cut_clients(bed, random, audience) {
    for (let nth = random.whole(1, 10); nth > 0; nth -= 1) random.one(audience.people).cut();
  },
  async move_clients(bed, random, audience) {
    for (let nth = random.whole(1, 5); nth > 0; nth -= 1) random.one(audience.people).move();
  },
  async pause_clients(bed, random, audience) {
    await Promise.all(Array.from({ length: random.whole(1, 5) }, () => random.one(audience.people).pause(seconds(random, 1, 6))));
  },
  /** More than all buffers hold comes while some do not read: they are parked and fed later. */
  async park_clients(bed, random, audience) {
    const watching = audience.people.filter((person) => person.watches.some(({ topic }) => topic === 'campaign:campaign 0' || topic === 'changes:public.chat_history'));
    if (watching.length === 0) return;
    const paused = Array.from({ length: 2 }, () => random.one(watching).pause(seconds(random, 4, 6)));
    await bed.query(`INSERT INTO chat_history (session_id, message) SELECT 'session-${6 * random.whole(1, 3)}', jsonb_build_object('sender', 'user', 'text', repeat(md5(i::text), 500))
      FROM generate_series(1, 800) i`).catch(() => {});
    await Promise.all(paused);
    for (const daemon of bed.daemons) audience.parked = (audience.parked ?? 0) + (await parked(daemon));
  },
};

export const faults = { ...of_server, ...of_clients };
const k_usual = Object.keys(faults).filter((name) => name !== 'lost_history');

/** Makes faults until stop(): one of the server's after another, and one of the clients' beside it. */
export class Faults {
  made = {};

  constructor(bed, random, audience, { wanted = k_usual, on_fault = () => {}, pace = 1 } = {}) {
    this.is_running = true;
    this.failures = [];
    const loop = async (own, low, high, stream) => {
      const names = Object.keys(own).filter((name) => wanted.includes(name));
      if (names.length === 0) return;
      // Every one comes before one comes again.
      let left = [];
      while (this.is_running) {
        await sleep(seconds(stream, low, high) * pace);
        if (!this.is_running) break;
        if (left.length === 0) left = [...names];
        const [name] = left.splice(stream.whole(0, left.length - 1), 1);
        const began = Date.now();
        on_fault(name);
        this.made[name] = (this.made[name] ?? 0) + 1;
        await own[name](bed, stream, audience).catch((error) => {
          this.failures.push(`${name}: ${error.message}`);
          on_fault(`${name} failed after ${Date.now() - began} ms: ${error.message.slice(0, 300)}`);
        });
      }
    };
    this.work = Promise.all([loop(of_server, 0.3, 1.5, random.fork()), loop(of_clients, 0.3, 1.2, random.fork())]);
  }

  /** After it nothing is broken any more. */
  async stop(bed) {
    this.is_running = false;
    await this.work;
    for (const proxy of bed.proxies) proxy.resume();
    for (const daemon of bed.daemons) {
      daemon.process.kill('SIGCONT');
      if (daemon.is_down) await daemon.run();
    }
  }
}
