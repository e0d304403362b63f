// Processor time per delivery beside the bare server, interleaved, frames of the same length.
import { say } from './bed.mjs';
import { spread } from './machine.mjs';

const k_payload = 300;

export const k_workloads = {
  A: { text: '1 topic x 1,000 clients, 1 in flight', args: ['--conns', 1000, '--topics', 1, '--window', 1] },
  B: { text: '1 topic x 1,000 clients, 16 in flight', args: ['--conns', 1000, '--topics', 1, '--window', 16] },
  C: { text: '1,000 topics x 10 clients, 64 in flight', args: ['--conns', 10000, '--topics', 1000, '--window', 64, '--pubs', 10] },
};

const k_topics = { A: { rows: 'campaign:c{t}', broadcast: 'bench-{t}' }, C: { rows: 'session:s{t}', broadcast: 'bench-{t}' } };
k_topics.B = k_topics.A;

/** One entry per workload and source, with the ratio of daemon to bare server and its spread. */
export async function measure_fanout(bed, { is_quick, workloads = Object.keys(k_workloads) }) {
  const times = ['--warmup', is_quick ? 0.2 : 0.4, '--secs', is_quick ? 0.8 : 1.2, '--settle', 0.1];
  const figures = [];
  for (const name of workloads) {
    const pairs = is_quick ? (name === 'C' ? 1 : 2) : 5;
    const of_source = { rows: [], broadcast: [] };
    for (let pair = 0; pair < pairs; pair += 1) {
      for (const source of Object.keys(of_source)) {
        say(`fan-out ${name}, ${source}, pair ${pair + 1} of ${pairs}`);
        const args = [...k_workloads[name].args, ...times];
        const ours = await bed.load(source, k_topics[name][source], ['--label', `${name} ${source}`, '--size', k_payload, ...args]);
        // A header of 4 bytes stands before each payload of 126 to 65,535 bytes.
        const bare = await bed.load_bare(['--label', `${name} bare`, '--size', ours.frame_bytes - 4, ...args]);
        of_source[source].push({ ours, bare });
      }
    }
    for (const [source, runs] of Object.entries(of_source)) figures.push(figure(name, source, runs));
  }
  return figures;
}

function figure(workload, source, runs) {
  const per_million = (report) => (report.deliveries > 0 ? report.server_cpu_s_per_M : null);
  const of = (pick) => spread(runs.map(pick)).median;
  return {
    workload, source, pairs: runs.length, frame_bytes: of(({ ours }) => ours.frame_bytes),
    ratio: spread(runs.map(({ ours, bare }) => per_million(ours) / per_million(bare))),
    cpu_s_per_million: of(({ ours }) => per_million(ours)), bare_cpu_s_per_million: of(({ bare }) => per_million(bare)),
    deliveries_per_cpu_s: Math.round(of(({ ours }) => 1e6 / per_million(ours))),
    deliveries_per_s: of(({ ours }) => ours.deliveries_per_s), bare_deliveries_per_s: of(({ bare }) => bare.deliveries_per_s),
    p50_us: of(({ ours }) => ours.lat_us.p50), bare_p50_us: of(({ bare }) => bare.lat_us.p50),
    p99_us: of(({ ours }) => ours.lat_us.p99),
    handshake_and_join_us: of(({ ours }) => ours.server_us_per_handshake),
  };
}
