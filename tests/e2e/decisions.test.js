// Decisions about who sees what are asked again before they are too old, in the way of no row; and
// what a change of membership has made void does not come back with a late answer.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_session, is, say } from './fixture/rows.js';

const k_gate = 4711;
const k_users = 40;

// Chat rows are for members of the session. Call rows are for the time zone of the session, and the
// answer about one comes when the gate is open.
const world = use_world({
  env: { PGCAST_THREADS: '1', PGCAST_AUTH_CACHE: '9s' },
  sql: `CREATE TABLE membership (session_id text, name text, PRIMARY KEY (session_id, name));
    GRANT SELECT ON membership TO authenticated;
    CREATE FUNCTION gate() RETURNS boolean STABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(${k_gate}); RETURN true; END $$;
    ALTER TABLE chat_history ENABLE ROW LEVEL SECURITY;
    CREATE POLICY members ON chat_history FOR SELECT TO authenticated USING (EXISTS (
      SELECT FROM membership m WHERE m.session_id = chat_history.session_id AND m.name = auth.jwt() ->> 'sub'));
    ALTER TABLE call_info ENABLE ROW LEVEL SECURITY;
    CREATE POLICY zone ON call_info FOR SELECT TO authenticated USING (gate() AND EXISTS (
      SELECT FROM session_info s WHERE s.session_id = call_info.session_id AND s.tz = auth.jwt() ->> 'tz'));`,
});

const decided = () => world.daemon.metric('pgcast_decisions_total{source="database"}');
const call = async (session) => {
  const id = fresh('call');
  await world.query('INSERT INTO call_info (call_id, session_id) VALUES ($1, $2)', [id, session]);
  return (event) => event.record?.call_id === id;
};

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    test('Members_WithATokenEach_HaveEveryRowOnceThroughManyDecisions', { timeout: 90_000 }, async () => {
      const session = await add_session(world);
      const names = Array.from({ length: k_users }, () => fresh('user'));
      await world.query('INSERT INTO membership SELECT $1, unnest($2::text[])', [session, names.slice(1)]); // but the first
      const told = names.map(() => []);
      for (const [at, sub] of names.entries()) {
        const channel = world.client({ vsn, role: 'authenticated', sub }).supabase.channel('messages');
        channel.on('postgres_changes', { event: '*', schema: 'public', table: 'chat_history', filter: `session_id=eq.${session}` },
          ({ new: row }) => told[at].push(Number(row.id)));
        await new Promise((done) => channel.subscribe((status) => status === 'SUBSCRIBED' && done()));
      }
      const before = await decided();
      const ids = [];
      while (await decided() < before + 3 * k_users) {
        ids.push(await say(world, session, 'one'));
        await sleep(50);
      }
      await until(() => told.slice(1).every((one) => one.length === ids.length), 'all rows arrive');
      for (const one of told.slice(1)) assert.deepEqual(one, ids);
      assert.deepEqual(told[0], []);
      world.close_clients();
    });

    test('RowOfAKnownDecision_WhileItIsAskedAgain_DoesNotWait_AndAVoidOneIsNotKept', { timeout: 60_000 }, async () => {
      const session = await add_session(world);
      const watch = world.client({ vsn, role: 'authenticated', sub: fresh('anna'), tz: 'Europe/London' }).watch(`session:${session}`);
      await watch.snapshot();
      await watch.event(await call(session));
      const gate = await world.postgres.connect();
      await gate.query('SELECT pg_advisory_lock($1)', [k_gate]);
      await until(async () => {
        await call(session);
        const [{ count }] = await world.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted", [k_gate]);
        return count === '1';
      }, 'the decision is asked again');
      await watch.event(await call(session), 1, 2500); // the gate is closed

      const read = await world.daemon.metric('pgcast_events_read_total');
      await world.query("UPDATE session_info SET tz = 'Asia/Tokyo' WHERE session_id = $1", [session]);
      await until(async () => await world.daemon.metric('pgcast_events_read_total') > read, 'the change is read');
      await gate.end();
      const is_hidden = await call(session);
      await world.query("INSERT INTO session_objective_events (session_id, objective, source) VALUES ($1, 'the end', 'chat')", [session]);
      await watch.event(is('session_objective_events', 'INSERT'));
      assert.deepEqual(watch.events.filter(is_hidden), []);
      world.close_clients();
    });
  });
}
