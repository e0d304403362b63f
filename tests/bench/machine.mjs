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

const seconds_of = (fields) => (fields ? (Number(fields[11]) + Number(fields[12])) * k_tick : 0);

/** Seconds that one process has used; 0 when it has ended. */
export const process_seconds = (pid) => seconds_of(stat(pid));

/** Seconds that a process and all its children, the ended ones included, have used. */
export function tree_seconds(pid) {
  for (;;) {
    const own = stat(pid).slice(11, 15).map(Number);
    const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(stat)
      .filter((fields) => fields && Number(fields[1]) === pid).reduce((sum, fields) => sum + seconds_of(fields), 0);
    const again = stat(pid).slice(11, 15).map(Number);
    const has_reaped = own[2] !== again[2] || own[3] !== again[3]; // a child that ended may have been missed
    if (!has_reaped) return own.reduce((sum, ticks) => sum + ticks, 0) * k_tick + children;
  }
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
