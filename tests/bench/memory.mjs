// What an idle client that has joined one channel costs the daemon.
import { say } from './bed.mjs';

const k_connections = 10_000;
const k_topics = { rows: 'session:s{t}', broadcasts: 'bench-{t}' };

/** Per kind of topic: resident bytes per connection of a fresh daemon, CPU of handshake and join. */
export async function measure_memory(bed) {
  const figures = [];
  for (const [kind, topic] of Object.entries(k_topics)) {
    say(`memory of ${k_connections} idle connections, topics with ${kind}`);
    const daemon = await bed.fresh_daemon();
    try {
      const report = await bed.load('broadcast', topic, ['--label', `idle ${kind}`, '--conns', k_connections, '--topics', 1000,
        '--secs', 0, '--idle', 1], daemon);
      figures.push({ kind, connections: k_connections, bytes_per_connection: report.bytes_per_idle_conn, handshake_and_join_us: report.server_us_per_handshake });
    } finally {
      await daemon.kill();
    }
  }
  return figures;
}
