// Takes every figure and prints them as a table or as one JSON object. Fails on losses and disorder
// only: a slow machine is no fault.
import { parseArgs } from 'node:util';
import { measure_authorised } from './authorised.mjs';
import { Bed, say, use_memory_disk } from './bed.mjs';
import { measure_fanout } from './fanout.mjs';
import { measure_latency } from './latency.mjs';
import { machine } from './machine.mjs';
import { measure_memory } from './memory.mjs';
import { measure_stats } from './stats.mjs';
import { table } from './table.mjs';
import { measure_writers } from './writers.mjs';

const k_usage = `tests/bench/run [--quick] [--json] [--only PART,..]

  --quick  fewer rounds: under three minutes instead of thirteen
  --json   one JSON object instead of the table
  --only   some of latency, fanout, memory, writers, authorised, stats; or A, B, C for one workload of fanout

Progress goes to the standard error. PGCAST_BIN names another daemon than build/release/pgcast,
PGCAST_BENCH_BIN another folder for the load generator and the bare server than build/bench.
Exit code: 0, or 1 if a delivery was missing, double or out of order.
`;

const k_parts = { latency: measure_latency, fanout: measure_fanout, memory: measure_memory, writers: measure_writers, authorised: measure_authorised, stats: measure_stats };

async function main() {
  const { values } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' }, only: { type: 'string' }, help: { type: 'boolean' } } });
  if (values.help) return process.stdout.write(k_usage);
  const wanted = values.only?.split(',') ?? Object.keys(k_parts);
  const workloads = wanted.filter((name) => /^[ABC]$/.test(name));
  const unknown = wanted.find((name) => !k_parts[name] && !workloads.includes(name));
  if (unknown) throw new Error(`no part "${unknown}"\n${k_usage}`);

  const found = { machine: { ...machine(), in_memory: use_memory_disk() } };
  const options = { is_quick: values.quick ?? false, ...(workloads.length > 0 && { workloads }) };
  const bed = new Bed();
  const start = performance.now();
  try {
    await bed.start();
    for (const [name, measure] of Object.entries(k_parts)) {
      const is_wanted = wanted.includes(name) || (name === 'fanout' && workloads.length > 0);
      if (!is_wanted) continue;
      if (name === 'fanout') bed.pin_servers();
      found[name] = await measure(bed, options);
    }
  } finally {
    await bed.stop();
  }
  found.seconds = Math.round((performance.now() - start) / 1000);
  found.losses = bed.losses;
  process.stdout.write(values.json ? `${JSON.stringify(found)}\n` : table(found));
  if (bed.losses.length > 0) process.exitCode = 1;
  return undefined;
}

await main().catch((error) => {
  say(error.message);
  process.exitCode = 2;
});
