// Sleeping readers and writers at any interleaving: nothing lost, nothing later than the safety poll.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_session } from './fixture/rows.js';
import { committed, difference, k_no_difference, told } from './fixture/writers.js';

const world = use_world();
const k_lock = '8099551725049085953';
const k_latest = 2500; // ms: 1 s and the safety poll, with slack for a busy machine
const k_typical = 250; // ms: with the safety poll alone it were 500
const k_levels = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'];
const random = (from, to) => from + Math.random() * (to - from);
const pick = (list) => list[Math.floor(Math.random() * list.length)];

/** Writes into one session and knows when each row was committed. */
class Timed {
  sent = new Map(); // row's number -> ms, when its commit was sent
  count = 0;

  constructor(session) {
    this.session = session;
  }

  /** Inserts a row and gives its number. */
  async insert(connection) {
    const n = ++this.count;
    await connection.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [this.session, JSON.stringify({ n })]);
    return n;
  }

  /** Ends the transaction with that command; a refused one has written nothing. */
  async commit(connection, rows, command = 'COMMIT') {
    for (const n of rows) this.sent.set(n, performance.now());
    await connection.query(command);
  }

  async one_row(connection) {
    const n = ++this.count;
    this.sent.set(n, performance.now());
    await connection.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [this.session, JSON.stringify({ n })]);
  }

  /** One transaction of a random kind. */
  async transaction(connection) {
    if (Math.random() < 0.3) return this.one_row(connection);
    try {
      await connection.query(`BEGIN ISOLATION LEVEL ${pick(k_levels)}`);
      // Reads what the others write, so that some serializable ones are refused.
      await connection.query('SELECT count(*) FROM chat_history WHERE session_id = $1', [this.session]);
      const rows = [];
      if (Math.random() < 0.6) rows.push(await this.insert(connection));
      await connection.query('SAVEPOINT s');
      const doubtful = await this.insert(connection);
      if (Math.random() < 0.3) await sleep(random(1, 60));
      if (Math.random() < 0.5) await connection.query('ROLLBACK TO s');
      else rows.push(doubtful);
      if (Math.random() < 0.3) rows.push(await this.insert(connection));
      if (Math.random() < 0.2) return await connection.query('ROLLBACK');
      return await this.commit(connection, rows);
    } catch (failed) {
      if (failed.code !== '40001') throw failed;
      return connection.query('ROLLBACK');
    }
  }

  /** Open for three seconds while others write, with rows at both ends or only at its end. */
  async long_transaction(connection) {
    const rows = [];
    await connection.query(`BEGIN ISOLATION LEVEL ${pick(k_levels.slice(0, 2))}`);
    if (Math.random() < 0.5) rows.push(await this.insert(connection));
    else await connection.query('SELECT 1 FROM chat_history LIMIT 1');
    await sleep(3000);
    rows.push(await this.insert(connection));
    await this.commit(connection, rows);
  }
}

/** Does `act(connection)` again and again, each on a connection of its own, until `ms` are over. */
async function keep(ms, acts) {
  const end = performance.now() + ms;
  await Promise.all(acts.map(async ({ act, gap }) => {
    const connection = await world.postgres.connect();
    try {
      while (performance.now() < end) {
        await act(connection);
        await sleep(gap());
      }
    } finally {
      await connection.end();
    }
  }));
}

/** Half of them fall into the moments in which a reader goes to sleep. */
const any_gap = () => (Math.random() < 0.5 ? random(1, 300) : random(1, 30));

/** A watch of the session on each daemon that notes when it heard of a row. */
async function listen(session, daemons) {
  const watches = daemons.map((daemon) => {
    const watch = world.client({ daemon }).watch(`session:${session}`);
    const heard = watch.heard.bind(watch);
    watch.arrived = new Map();
    watch.heard = (message) => {
      if (message.payload?.record?.message) watch.arrived.set(message.payload.record.message.n, performance.now());
      heard(message);
    };
    return watch;
  });
  for (const watch of watches) await watch.snapshot();
  return watches;
}

/** All that was committed arrived, once, in time; gives the latenesses in words. */
async function assert_complete(timed, watches, typical = k_typical) {
  const wanted = await committed(world, [timed.session]);
  assert.ok(wanted.length > 0);
  const lines = [];
  for (const watch of watches) {
    const complete = () => difference(told(watch), wanted).missing === 0;
    await until(complete, () => `all arrive: ${JSON.stringify(difference(told(watch), wanted))}`, 10_000);
    await sleep(50);
    assert.deepEqual(difference(told(watch), wanted), k_no_difference);
    const late = [...watch.arrived].map(([n, at]) => at - timed.sent.get(n)).sort((a, b) => a - b);
    assert.equal(late.length, wanted.length);
    const at = (share) => late[Math.min(late.length - 1, Math.floor(late.length * share))];
    const over = late.filter((ms) => ms > 300).length;
    lines.push(`${late.length} rows, late p50 ${at(0.5).toFixed(1)} p99 ${at(0.99).toFixed(1)} max ${at(1).toFixed(1)} ms, ${over} over 300 ms`);
    assert.ok(at(1) <= k_latest, lines.at(-1));
    assert.ok(at(0.5) <= typical, lines.at(-1));
  }
  return lines.join('; ');
}

/** Takes the readers' lock in one of the ways in which somebody else could, and lets go of it. */
async function meddle(connection) {
  const mode = pick(['', '_shared']);
  await connection.query("SET lock_timeout = '300ms'");
  const kind = Math.random();
  try {
    if (kind < 0.4) {
      await connection.query(`SELECT pg_advisory_lock${mode}(${k_lock})`); // may wait for sleepers
      await sleep(random(1, 400));
      await connection.query(`SELECT pg_advisory_unlock${mode}(${k_lock})`);
    } else if (kind < 0.7) {
      await connection.query(`BEGIN; SELECT pg_try_advisory_xact_lock${mode}(${k_lock})`);
      await sleep(random(1, 400));
      await connection.query('COMMIT');
    } else {
      const leaking = await world.postgres.connect(); // a session that dies with the lock
      await leaking.query(`SELECT pg_try_advisory_lock${mode}(${k_lock})`);
      await sleep(random(1, 400));
      leaking.connection.stream.destroy();
    }
  } catch (failed) {
    if (failed.code !== '55P03') throw failed;
  }
}

const daemons = [];
for (const count of [1, 2]) {
  describe(`${count} on one outbox`, () => {
    const scene = async () => {
      while (daemons.length < count) daemons.push(daemons.length === 0 ? world.daemon : await world.serve('postgres', { PGCAST_THREADS: '1' }));
      const timed = new Timed(await add_session(world));
      const watches = await listen(timed.session, daemons);
      const writer = { act: (connection) => timed.transaction(connection), gap: any_gap };
      const long = { act: (connection) => timed.long_transaction(connection), gap: () => random(1, 300) };
      return { timed, watches, writer, long };
    };

    test('Doorbell_GapsOfAllLengths_NothingLostNothingLate', { timeout: 60_000 }, async (t) => {
      const { timed, watches, writer } = await scene();
      await keep(6000, [writer, writer]);
      t.diagnostic(await assert_complete(timed, watches));
    });

    test('Doorbell_LongTransactions_NothingLostNothingLate', { timeout: 60_000 }, async (t) => {
      const { timed, watches, writer, long } = await scene();
      await keep(4500, [writer, long, long]);
      t.diagnostic(await assert_complete(timed, watches));
    });

    test('Doorbell_ForeignLocksAndForgedNotifications_NothingLostNothingLate', { timeout: 60_000 }, async (t) => {
      const { timed, watches, writer } = await scene();
      const forger = { act: (connection) => connection.query("SELECT pg_notify('pgcast', repeat('forged', 100))"), gap: () => random(1, 60) };
      await keep(6000, [writer, writer, { act: meddle, gap: any_gap }, { act: meddle, gap: any_gap }, forger]);
      t.diagnostic(await assert_complete(timed, watches));
    });

    test('Doorbell_LockHeldByAForeignerAllTheTime_NothingLostNothingLate', { timeout: 60_000 }, async (t) => {
      for (const mode of ['', '_shared']) {
        const { timed, watches, writer } = await scene();
        const foreigner = await world.postgres.connect();
        t.after(() => foreigner.end());
        const lock = foreigner.query(`SELECT pg_advisory_lock${mode}(${k_lock})`); // comes when the sleepers wake
        await Promise.all([lock, keep(1500, [writer])]);
        await timed.one_row(foreigner); // also its own writes
        await foreigner.query(`SELECT pg_advisory_unlock${mode}(${k_lock})`);
        await keep(1500, [writer]);
        t.diagnostic(await assert_complete(timed, watches));
      }
    });
  });
}

describe('readers that hang or lose what they hold', () => {
  /** Daemons asleep: each holds the lock. */
  const asleep = () => until(async () => (await world.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted AND database <> 0")).length >= daemons.length, 'asleep');

  test('Doorbell_OneDaemonHangsAsleep_TheOthersHearInTimeAndItFollows', { timeout: 60_000 }, async (t) => {
    const timed = new Timed(await add_session(world));
    const [hung, well] = await listen(timed.session, daemons);
    await asleep();
    process.kill(daemons[0].process.pid, 'SIGSTOP');
    await keep(3000, [{ act: (connection) => timed.transaction(connection), gap: any_gap }]);
    t.diagnostic(await assert_complete(timed, [well]));
    process.kill(daemons[0].process.pid, 'SIGCONT');
    const wanted = await committed(world, [timed.session]);
    await until(() => difference(told(hung), wanted).missing === 0, 'the hung one follows', 10_000);
    assert.deepEqual(difference(told(hung), wanted), k_no_difference);
  });

  test('Doorbell_ListenerTerminatedAgainAndAgain_NothingLost', { timeout: 60_000 }, async (t) => {
    const timed = new Timed(await add_session(world));
    const watches = await listen(timed.session, daemons);
    const end_a_listener = { act: () => world.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgcast listener' ORDER BY random() LIMIT 1"), gap: () => random(200, 900) };
    await keep(4000, [{ act: (connection) => timed.transaction(connection), gap: any_gap }, end_a_listener]);
    t.diagnostic(await assert_complete(timed, watches));
  });
});

describe('prepared transactions', () => {
  const k_prepared_typical = 600; // polled
  const restart = async () => {
    await world.postgres.crash();
    await world.postgres.boot();
    await until(async () => !(await Promise.all(daemons.map((one) => one.is_ready()))).includes(false), 'ready again', 20_000);
  };

  test('Prepared_ServerThatAllowsThem_RowsComeWithTheirCommit', { timeout: 60_000 }, async (t) => {
    await world.query('ALTER SYSTEM SET max_prepared_transactions = 10');
    world.close_clients();
    await restart();
    for (const daemon of daemons) assert.match(daemon.process.log(), /polling only: max_prepared_transactions/);
    const timed = new Timed(await add_session(world));
    const watches = await listen(timed.session, daemons);
    let nth = 0;
    const prepare = async (connection, name) => {
      await connection.query('BEGIN');
      const rows = [await timed.insert(connection), await timed.insert(connection)];
      await connection.query(`PREPARE TRANSACTION '${name}'`);
      return rows;
    };
    const two_phases = async (connection) => {
      const name = `two phases ${++nth}`;
      const rows = await prepare(connection, name);
      await sleep(random(1, 400));
      if (Math.random() < 0.3) await connection.query(`ROLLBACK PREPARED '${name}'`);
      else await timed.commit(connection, rows, `COMMIT PREPARED '${name}'`);
    };
    const writer = { act: (connection) => timed.transaction(connection), gap: any_gap };
    await keep(4000, [writer, { act: two_phases, gap: any_gap }, { act: two_phases, gap: any_gap }]);

    // One that outlives a crash, with rows around it.
    const connection = await world.postgres.connect();
    const rows = await prepare(connection, 'survivor');
    await connection.end().catch(() => {});
    await keep(300, [writer]);
    await restart();
    await keep(300, [writer]);
    await timed.commit({ query: (text) => world.query(text) }, rows, "COMMIT PREPARED 'survivor'");
    t.diagnostic(await assert_complete(timed, watches, k_prepared_typical));
  });
});
