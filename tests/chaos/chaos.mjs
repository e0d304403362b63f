// tests/chaos/run: see --help.
import { parseArgs } from 'node:util';
import { chaos, table_of } from './chaos.js';
import { faults } from './faults.js';
import { kinds } from './kinds.js';

const k_help = `tests/chaos/run [--seconds N] [--seed S] [--faults a,b,c] [--kinds a,b] [--people N] [--writers N] [--json]

Writers, clients of two daemons, and faults; then what was told is compared with what was committed.
Exits with 1 if anything was lost, invented or out of order.

  --seconds  how long, 60
  --seed     repeats the choices of an earlier run (times do not repeat)
  --faults   only these: ${Object.keys(faults).join(', ')}; "" = none,
             without it all but lost_history
  --kinds    kinds of clients: ${Object.keys(kinds).join(', ')}; all of them without it

PGCAST_CHAOS_LOG=1 prints the daemons' logs at the end, PGCAST_BIN names the daemon.
`;

const text = { type: 'string' };
const { values } = parseArgs({ options: { seconds: text, seed: text, faults: text, kinds: text, people: text, writers: text, json: { type: 'boolean' }, help: { type: 'boolean' } } });
if (values.help) {
  process.stdout.write(k_help);
  process.exit(0);
}
const list = (given, known) => {
  const names = given?.split(',').filter(Boolean);
  const unknown = names?.find((name) => !(name in known));
  if (!unknown) return names;
  process.stderr.write(`no such thing as ${unknown}\n\n${k_help}`);
  process.exit(64);
};
const number = (given) => (given === undefined ? undefined : Number(given));

try {
  const report = await chaos({ seconds: number(values.seconds), seed: number(values.seed) ?? Math.floor(Math.random() * 1e9), faults: list(values.faults, faults),
    kinds: list(values.kinds, kinds), people: number(values.people), writers: number(values.writers), say: (line) => process.stderr.write(`${line}\n`) });
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${table_of(report)}\n`);
  process.exit(report.good ? 0 : 1);
} catch (error) {
  process.stderr.write(`${error.stack}\n`);
  process.exit(70);
}
