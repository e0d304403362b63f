// One run: writers, clients and faults for some time, then the judgement.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { sleep } from '../e2e/fixture/process.js';
import { Application } from './application.js';
import { Audience } from './audience.js';
import { Bed } from './bed.js';
import { Faults } from './faults.js';
import { histogram, is_elsewhere, is_good, judge, missing } from './judge.js';
import { Random } from './random.js';
import { Truth } from './truth.js';

const k_quiet = 60_000; // ms until everything that was written must have come

/** Runs it and gives {seed, seconds, good, verdict, ..}. `say` gets a line now and then. */
export async function chaos({ seconds = 60, seed = 1, faults, kinds, people = 50, writers = 16, say = () => {} } = {}) {
  const random = new Random(seed);
  const bed = new Bed();
  const began = Date.now();
  const note = (text) => say(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}`);
  const lag = monitorEventLoopDelay({ resolution: 10 });
  let audience;
  try {
    await bed.start();
    audience = new Audience(bed, random.fork(), { people, wanted: kinds });
    await audience.start();
    note(`seed ${seed}: ${people} clients of two daemons, ${writers} writers`);
    lag.enable();
    const application = new Application(bed, random.fork(), { writers });
    const disturbance = new Faults(bed, random.fork(), audience, { wanted: faults, on_fault: note });
    const end = Date.now() + seconds * 1000;
    while (Date.now() < end) {
      await sleep(Math.min(5000, end - Date.now()));
      note(`${application.transactions} transactions, ${audience.delivered} messages delivered`);
    }
    note('faults end');
    await disturbance.stop(bed);
    await application.stop();
    note('writers have ended');
    lag.disable();
    const truth = new Truth(await bed.changes());
    note(`${truth.changes.length} changes were committed`);
    const waited = await until_quiet(truth, audience, note);
    const verdict = judge(truth, audience.watches);
    note('judged');
    return { seed, seconds, good: is_good(verdict), ...verdict, late: undefined, lateness: histogram(verdict.late),
      transactions: application.transactions, lost_answers: application.lost_answers, parked: audience.parked ?? 0, faults: disturbance.made, failed_faults: disturbance.failures,
      waited_ms: waited, loop_delay_ms: Math.round(lag.percentile(99) / 1e6) };
  } catch (error) {
    if (process.env.PGCAST_CHAOS_LOG) for (const daemon of bed.daemons ?? []) say(daemon.process.log());
    throw error;
  } finally {
    audience?.stop();
    if (process.env.PGCAST_CHAOS_LOG) for (const daemon of bed.daemons ?? []) say(daemon.process.log());
    await bed.stop();
  }
}

/** Waits until nobody lacks anything, or for as long as that may take; ms. */
async function until_quiet(truth, audience, note) {
  const began = Date.now();
  let incomplete = audience.watches;
  while (Date.now() - began < k_quiet) {
    incomplete = incomplete.filter((watch) => missing(truth, watch).length > 0 || is_elsewhere(truth, watch));
    if (incomplete.length === 0) break;
    note(`${incomplete.length} of ${audience.watches.length} watches are not complete yet`);
    await sleep(500);
  }
  await sleep(300); // what should not come may still come
  return Date.now() - began;
}

/** The report for people. */
export function table_of(report) {
  const lines = [
    ['committed changes', report.committed], ['delivered', report.delivered], ['snapshots', report.snapshots],
    ['cursors refused', JSON.stringify(report.refusals)], ['lost', report.lost], ['phantom', report.phantom],
    ['duplicated (same id)', report.duplicated], ['out of order', report.disordered], ['at another session', report.elsewhere],
  ].map(([name, value]) => `${name.padEnd(22)}${value}`);
  const most = Math.max(...report.lateness.map(([, count]) => count), 1);
  const late = report.lateness.map(([bound, count]) => `${(bound === Infinity ? 'more' : `< ${bound} ms`).padStart(12)} ${String(count).padStart(9)} ${'#'.repeat(Math.ceil((40 * count) / most))}`);
  return [...lines, '', 'late (first delivery after the commit, the time of faults included)', ...late, '',
    `faults: ${Object.entries(report.faults).map(([name, count]) => `${name} ${count}`).join(', ')}`,
    `${report.transactions} transactions, ${report.lost_answers} answers lost, ${report.parked} clients parked; this program was late by ${report.loop_delay_ms} ms (p99)`,
    ...report.failed_faults.map((text) => `could not: ${text}`),
    ...report.examples, `${report.good ? 'nothing lost' : 'FAILED'}, seed ${report.seed}`].join('\n');
}
