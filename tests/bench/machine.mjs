// Processor time of processes, where they run, and the middle of many values.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { cpus } from 'node:os';

const k_tick = 1 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** Fields of /proc/<pid>/stat from the third on; null for a process that has ended. */
function stat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

/** Seconds that a process and all its children, the ended ones included, have used. */
export function tree_seconds(pid) {
  const own = stat(pid).slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0);
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(stat)
    .filter((fields) => fields && Number(fields[1]) === pid)
    .reduce((sum, fields) => sum + Number(fields[11]) + Number(fields[12]), 0);
  return (own + children) * k_tick;
}

/** Binds all threads of a process to one core; on a machine with one core it is nothing. */
export function pin(pid, core) {
  if (cpus().length > 1) execFileSync('taskset', ['-acp', String(core), String(pid)], { stdio: 'ignore' });
}

/** What the figures were taken on. */
export function machine() {
  const [one_minute] = readFileSync('/proc/loadavg', 'utf8').split(' ');
  return { cores: cpus().length, model: cpus()[0].model.trim(), load_before: Number(one_minute) };
}

/** {median, low, high} of numbers; nulls are left out. */
export function spread(values) {
  const sorted = values.filter((one) => one !== null && Number.isFinite(one)).sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  return { median, low: sorted[0], high: sorted.at(-1) };
}
