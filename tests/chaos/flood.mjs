// tests/chaos/flood: see --help.
import { parseArgs } from 'node:util';
import { World } from '../e2e/fixture/world.js';
import { flood, table_of } from './flood.js';

const k_help = `tests/chaos/flood [--rows 1000000] [--watchers 10] [--others 990] [--json]

A COPY and an UPDATE of so many rows in front of clients that watch all of them, of which one does not
read and one reads slowly, and of others that watch one session each while it is being written to.
Prints memory and lateness; exits with 1 if anything was lost, doubled or out of order.
`;

const text = { type: 'string' };
const { values } = parseArgs({ options: { rows: text, watchers: text, others: text, json: { type: 'boolean' }, help: { type: 'boolean' } } });
if (values.help) {
  process.stdout.write(k_help);
  process.exit(0);
}
const number = (given, other) => (given === undefined ? other : Number(given));
const world = new World();
let code = 0;
try {
  await world.start({ settings: { max_wal_size: '8GB' } });
  const report = await flood(world, { rows: number(values.rows, 1_000_000), watchers: number(values.watchers, 10), others: number(values.others, 990),
    say: (line) => process.stderr.write(`${line}\n`) });
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${table_of(report)}\n`);
} catch (error) {
  process.stderr.write(`${error.stack}\n${world.daemon?.process.log().slice(-3000) ?? ''}\n`);
  code = 1;
} finally {
  await world.stop();
}
process.exit(code);
