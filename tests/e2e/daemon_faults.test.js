// What happens to a daemon itself: killed in the middle, restarted behind a backlog, a thread that fails.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { Daemon, binary, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, say } from './fixture/rows.js';
import { Writers, committed, difference, k_no_difference, told_once } from './fixture/writers.js';

const world = use_world();
const k_batch = 10_000;

/** Clients that keep their place, on a campaign and its sessions; half of them by each daemon. */
async function audience(daemons, count = 2) {
  const campaign = await add_campaign(world);
  const sessions = [];
  for (let nth = 0; nth < count; nth += 1) sessions.push(await add_session(world, { campaign }));
  const watches = [];
  for (const daemon of daemons) {
    for (const [nth, topic] of [`campaign:${campaign}`, ...sessions.map((session) => `session:${session}`)].entries()) {
      const client = world.client({ daemon, vsn: nth % 2 === 0 ? '1.0.0' : '2.0.0', quick: true });
      watches.push(Object.assign(client.watch(topic), { wants: nth === 0 ? sessions : [sessions[nth - 1]] }));
    }
  }
  for (const watch of watches) await watch.snapshot();
  for (const watch of watches) watch.keep_place();
  return { sessions, watches };
}

/** Rows of one transaction, in all sessions in turn. */
function write_batch(sessions, rows = k_batch) {
  return world.query(`INSERT INTO chat_history (session_id, message)
    SELECT ($1::text[])[1 + i % cardinality($1::text[])], jsonb_build_object('sender', 'user', 'n', i) FROM generate_series(1, $2::int) i`, [sessions, rows]);
}

/** Every watch was told exactly what is in the table, each row's id in order, and never started afresh. */
async function assert_complete(watches, ms = 60_000) {
  for (const watch of watches) {
    const wanted = await committed(world, watch.wants);
    const lacks = () => wanted.length - new Set(watch.events.map((event) => event.record?.id)).size;
    await until(async () => {
      await sleep(50);
      return lacks() <= 0;
    }, () => `${watch.topic} lacks ${lacks()}: ${watch.say()}`, ms);
    assert.deepEqual(difference(told_once(watch), wanted), k_no_difference, watch.topic);
    assert.equal(watch.snapshots.length, 1, `resumed, not loaded anew: ${JSON.stringify(watch.systems)}`);
  }
}

/** The rows of one batch come in its order; those that come again have been there. */
function assert_in_order(watch) {
  const once = [...new Map(watch.events.map((event) => [event.id, event])).values()].map((event) => event.record.message.n).filter(Boolean);
  assert.equal(once.findIndex((n, at) => at > 0 && n <= once[at - 1]), -1, `${watch.topic} in order`);
}

describe('killed and restarted', () => {
  test('Daemon_KilledInTheMiddleOfABatch_ClientsResumeAndHaveAllInOrder', { timeout: 120_000 }, async (t) => {
    const { sessions, watches } = await audience([world.daemon]);
    const [whole] = watches;
    await write_batch(sessions);
    await until(() => whole.events.length > k_batch / 20, 'the batch has begun', 20_000);
    const at = whole.events.length;
    await world.daemon.kill('SIGKILL');
    assert.ok(at < k_batch, 'it was in the middle');
    await say(world, sessions[0], 'while it was dead');
    await world.daemon.run();
    await assert_complete(watches);
    for (const watch of watches) assert_in_order(watch);
    t.diagnostic(`killed after ${at} of ${k_batch}; ${whole.events.length - k_batch - 1} came twice`);
  });

  test('Daemon_RestartedBehindTenThousandEvents_ClientsResumeWithTheirOldCursors', { timeout: 120_000 }, async () => {
    const { sessions, watches } = await audience([world.daemon]);
    const cursors = watches.map((watch) => watch.snapshots[0].cursor);
    await world.daemon.kill('SIGKILL');
    for (let nth = 0; nth < 10; nth += 1) await write_batch(sessions, k_batch / 10);
    await world.daemon.run();
    await assert_complete(watches);
    // Those who come with the cursor of then, after all of it was read, have it all too.
    const late = watches.map((watch, nth) => Object.assign(world.client().watch(watch.topic, { broadcast: { resume: cursors[nth] } }), { wants: watch.wants, snapshots: [null] }));
    await assert_complete(late);
  });

  test('Daemon_KilledAgainAndAgainUnderABacklog_LosesNothing', { timeout: 180_000 }, async () => {
    const { sessions, watches } = await audience([world.daemon]);
    for (let nth = 0; nth < 5; nth += 1) {
      await write_batch(sessions, k_batch / 5);
      await sleep(50 + 100 * nth);
      await world.daemon.kill('SIGKILL');
      await world.daemon.run();
    }
    await assert_complete(watches);
  });
});

describe('two daemons on one outbox', () => {
  test('Client_ThatMovesBetweenDaemonsUnderLoad_MissesNothing', { timeout: 120_000 }, async () => {
    const other = new Daemon(world.postgres.url('postgres', 'owner'), { PGCAST_THREADS: '1' });
    world.daemons.add(other);
    await other.run();
    const { sessions, watches } = await audience([world.daemon, other]);
    const [topic] = watches.map((watch) => watch.topic);
    const writers = new Writers(world, sessions, { count: 6 });
    const broadcast = {};
    const heard = new Map();
    let snapshots = 0;
    let moves = 0;
    for (const daemon of [world.daemon, other, world.daemon, other, world.daemon, other, world.daemon, other]) {
      const client = world.client({ daemon, vsn: moves % 2 === 0 ? '2.0.0' : '1.0.0' });
      const watch = client.watch(topic, { broadcast });
      watch.keep_place();
      await watch.joined();
      await sleep(300 + 400 * Math.random());
      client.close();
      moves += 1;
      snapshots += watch.snapshots.length;
      for (const event of watch.events) {
        assert.deepEqual(heard.get(event.id)?.record ?? event.record, event.record, 'an id stands for one event on both');
        heard.set(event.id, event);
      }
    }
    await writers.stop();
    await assert_complete(watches);
    const last = world.client({ daemon: other }).watch(topic, { broadcast });
    const wanted = await committed(world, sessions);
    await until(() => difference([...new Set([...heard.values(), ...last.events].map((event) => event.record.id))], wanted).missing === 0, 'all is heard', 20_000);
    assert.equal(snapshots, 1, 'it never started afresh');
    const by_id = (watch) => new Map(watch.events.map((event) => [event.id, event.record.id]));
    assert.deepEqual([...by_id(watches[3])].sort(), [...by_id(watches[0])].sort(), 'both daemons tell the same events under the same ids');
  });
});

/** Libraries to load before the daemon's own that make a call of it fail once a file is there. */
const k_faults = {
  // In the main thread: the reader's.
  reader: `#include <libpq-fe.h>
    static bool is_wanted() { return access(getenv("FAULT_FILE"), F_OK) == 0; }
    extern "C" int PQconsumeInput(PGconn* c) {
      static const auto real = reinterpret_cast<int (*)(PGconn*)>(dlsym(RTLD_NEXT, "PQconsumeInput"));
      if (is_wanted() && getpid() == gettid()) throw std::runtime_error("a fault of the test");
      return real(c);
    }`,
  // In a shard's thread: while it writes to a client.
  shard: `#include <sys/socket.h>
    static bool is_wanted() { return access(getenv("FAULT_FILE"), F_OK) == 0; }
    extern "C" ssize_t sendmsg(int fd, const msghdr* m, int flags) {
      static const auto real = reinterpret_cast<ssize_t (*)(int, const msghdr*, int)>(dlsym(RTLD_NEXT, "sendmsg"));
      if (is_wanted() && getpid() != gettid()) throw std::runtime_error("a fault of the test");
      return real(fd, m, flags);
    }`,
  // Memory runs out in a shard's thread.
  memory: `#include <sys/socket.h>
    static bool is_wanted() { return access(getenv("FAULT_FILE"), F_OK) == 0; }
    extern "C" ssize_t sendmsg(int fd, const msghdr* m, int flags) {
      static const auto real = reinterpret_cast<ssize_t (*)(int, const msghdr*, int)>(dlsym(RTLD_NEXT, "sendmsg"));
      if (is_wanted() && getpid() != gettid()) throw std::bad_alloc();
      return real(fd, m, flags);
    }`,
};

function build_fault(name) {
  const base = path.join(world.postgres.directory, name);
  writeFileSync(`${base}.cpp`, `#include <dlfcn.h>\n#include <unistd.h>\n#include <cstdlib>\n#include <new>\n#include <stdexcept>\n${k_faults[name]}\n`);
  execFileSync('g++', ['-std=c++20', '-shared', '-fPIC', '-O1', '-I', execFileSync('pg_config', ['--includedir']).toString().trim(), `${base}.cpp`, '-o', `${base}.so`, '-ldl']);
  return { library: `${base}.so`, file: `${base}.now` };
}

// A sanitizer's library must be the first to be loaded.
const skip = /lib[at]san/.test(execFileSync('ldd', [binary]).toString()) && 'the daemon is built with a sanitizer';

describe('a thread that fails', { skip }, () => {
  for (const name of Object.keys(k_faults)) {
    test(`Daemon_FaultIn${name[0].toUpperCase()}${name.slice(1)}_EndsLoudlyAndClientsGoOnAfterTheRestart`, { timeout: 120_000 }, async (t) => {
      const { library, file } = build_fault(name);
      rmSync(file, { force: true });
      const daemon = new Daemon(world.postgres.url('postgres', 'owner'), { LD_PRELOAD: library, FAULT_FILE: file, PGCAST_THREADS: '2' });
      world.daemons.add(daemon);
      await daemon.run();
      const { sessions, watches } = await audience([daemon]);
      await say(world, sessions[0], 'before');
      await watches[0].event();

      writeFileSync(file, '');
      const began = Date.now();
      await say(world, sessions[0], 'the last straw');
      const late = setTimeout(() => daemon.process.kill('SIGKILL'), 10_000);
      const { code, signal } = await daemon.process.ended;
      clearTimeout(late);
      const ms = Date.now() - began;
      t.diagnostic(`ended after ${ms} ms: ${signal ?? `exit ${code}`}; ${daemon.process.log().trim().split('\n').at(-1).slice(0, 300)}`);
      assert.ok(ms < 3000, `it ended after ${ms} ms, ${signal ?? `exit ${code}`}\n${daemon.process.log().slice(-3000)}`);
      assert.ok(code !== 0, 'not as if all were well');
      assert.match(daemon.process.log(), name === 'memory' ? /bad_alloc|memory/ : /a fault of the test/, 'it says why');

      rmSync(file);
      await say(world, sessions[1], 'while it was down');
      await daemon.run();
      await say(world, sessions[0], 'after');
      await assert_complete(watches);
      await daemon.kill('SIGTERM');
    });
  }
});
