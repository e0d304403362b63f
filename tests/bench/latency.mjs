// From the commit to ten clients of one session.
import { say } from './bed.mjs';

/** One entry per writing rate: {name, p50_us, p99_us, max_us, deliveries}. */
export async function measure_latency(bed, { is_quick }) {
  const cases = [
    { name: '50 tx/s', rate: 50, secs: is_quick ? 3 : 10 },
    { name: 'gaps of 2 s', rate: 0.5, secs: is_quick ? 6 : 24 },
    { name: '500 tx/s', rate: 500, secs: is_quick ? 3 : 10 },
  ];
  const figures = [];
  for (const { name, rate, secs } of cases) {
    say(`latency, ${name}, ${secs} s`);
    const report = await bed.load('rows', 'session:s{t}', ['--label', name, '--conns', 10, '--topics', 1, '--rate', rate,
      '--warmup', rate < 1 ? 3 : 1, '--secs', secs]);
    const { p50, p99, max } = report.since_commit_us;
    figures.push({ name, p50_us: p50, p99_us: p99, max_us: max, commit_p50_us: report.commit_us.p50, deliveries: report.deliveries });
  }
  return figures;
}
