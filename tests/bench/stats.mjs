// Live numbers of campaigns: how long the first watcher waits, how long the next, and what a session
// of a watched campaign takes in memory.
import { Raw } from '../e2e/fixture/raw.js';
import { say } from './bed.mjs';

const k_sessions = 10_000;
const k_campaign = 'large';
/** As `pgcast check` names them. */
const k_indexes = `
  CREATE INDEX ON chat_history (session_id); CREATE INDEX ON call_info (session_id); CREATE INDEX ON session_objective_events (session_id);
  CREATE INDEX chat_history_pgcast_user ON chat_history (session_id) WHERE COALESCE(message ->> 'sender', message ->> 'type') IN ('user', 'human');
  CREATE INDEX chat_history_pgcast_agent ON chat_history (session_id) WHERE COALESCE(message ->> 'sender', message ->> 'type') IN ('agent', 'ai', 'assistant');
  CREATE INDEX chat_history_pgcast_other ON chat_history (session_id) WHERE COALESCE(message ->> 'sender', message ->> 'type', '') NOT IN ('user', 'human', 'agent', 'ai', 'assistant')`;

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

/** Rows without events: `messages` chat rows, 2 calls and 5 objective changes a session. */
function load(bed, messages) {
  return bed.world.query(`BEGIN; SET LOCAL session_replication_role = replica;
    INSERT INTO campaign_info (campaign) VALUES ('${k_campaign}');
    INSERT INTO session_info (session_id, campaign, session_status, objectives, last_user_msg_at)
      SELECT 'large-' || i, '${k_campaign}', 'active', '{"available": true, "salary": {"value": true}, "licence": false}', now() FROM generate_series(0, ${k_sessions - 1}) i;
    INSERT INTO chat_history (session_id, message) SELECT 'large-' || (i % ${k_sessions}),
      CASE i % 2 WHEN 0 THEN jsonb_build_object('sender', CASE i % 4 WHEN 0 THEN 'user' ELSE 'agent' END, 'text', repeat('hello ', 12))
        ELSE jsonb_build_object('type', CASE i % 4 WHEN 1 THEN 'human' ELSE 'ai' END, 'data', jsonb_build_object('content', repeat('hello ', 12))) END
      FROM generate_series(1, ${messages}) i;
    INSERT INTO call_info (call_id, session_id, called_at, duration) SELECT 'large-' || i, 'large-' || (i % ${k_sessions}), now(), '3 min' FROM generate_series(1, ${2 * k_sessions}) i;
    INSERT INTO session_objective_events (session_id, objective, source, occurred_at) SELECT 'large-' || (i % ${k_sessions}), 'available', 'chat', now() FROM generate_series(1, ${5 * k_sessions}) i;
    COMMIT`);
}

/** Milliseconds until a message that `matches` comes after `say_it`, on a connection of its own. */
async function time_until(bed, daemon, say_it, matches) {
  const raw = await Raw.open(daemon.url, { token: bed.token });
  const heard = new Promise((done) => raw.socket.on('message', () => matches(raw.messages.at(-1)) && done(performance.now())));
  const start = performance.now();
  say_it(raw);
  const took = (await heard) - start;
  raw.close();
  return took;
}

const join = (bed, daemon, campaign = k_campaign) => time_until(bed, daemon, (raw) => raw.join(`stats:${campaign}`), (one) => one.event === 'broadcast');

/** A round trip that asks for nothing: what the client itself costs. */
const heartbeat = (bed, daemon) => time_until(bed, daemon, (raw) => raw.send('phoenix', 'heartbeat'), (one) => one.event === 'phx_reply');

async function measure(bed, rounds) {
  const [cold, warm, bare] = [[], [], []];
  let bytes = 0;
  for (let round = 0; round < rounds; round += 1) {
    const daemon = await bed.fresh_daemon();
    await join(bed, daemon, 'another'); // opens the connections to the database
    const before = daemon.memory().rss;
    cold.push(await join(bed, daemon));
    bytes = ((daemon.memory().rss - before) * 2 ** 20) / k_sessions;
    for (let n = 0; n < 40; n += 1) {
      warm.push(await join(bed, daemon));
      bare.push(await heartbeat(bed, daemon));
    }
    await daemon.kill('SIGTERM');
  }
  return { cold_ms: median(cold), cold_most_ms: Math.max(...cold), warm_ms: median(warm), heartbeat_ms: median(bare), resident_bytes_a_session: Math.round(bytes) };
}

export async function measure_stats(bed, { is_quick }) {
  const messages = is_quick ? 100_000 : 1_000_000;
  say(`stats: loading ${messages} messages`);
  await load(bed, messages);
  await bed.world.query('ANALYZE');
  const rounds = is_quick ? 3 : 7;
  const found = { sessions: k_sessions, messages };
  say('stats: without indexes');
  found.by_scan = await measure(bed, rounds);
  await bed.world.query(k_indexes);
  await bed.world.query('VACUUM ANALYZE chat_history');
  await bed.world.query('VACUUM ANALYZE');
  say('stats: with the indexes that check names');
  found.by_index = await measure(bed, rounds);
  return found;
}
