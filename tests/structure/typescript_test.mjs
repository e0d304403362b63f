// The package pgcast-client is what its description and the daemon's sources say.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { generated } from '../../protocol/typescript/generate.mjs';

const root = process.env.PGCAST_SOURCE_DIR ?? path.resolve(import.meta.dirname ?? '.', '../..');
const read = (file) => fs.readFileSync(path.join(root, file), 'utf8');
const own = (file) => read(`protocol/typescript/${file}`);
const description = JSON.parse(own('description.json'));

test('Tables_AreGeneratedFromTheDescription', () => {
  assert.equal(own('src/tables.ts'), generated(description), 'npm run generate, in protocol/typescript');
});

test('Shapes_HaveTheMembersOfTheApisDocument', () => {
  const { schemas } = JSON.parse(read('daemon/api/openapi.json')).components;
  const members = (name) => {
    const { extends: base, members: its } = description.shapes[name] ?? {};
    const row = Object.values(description.tables).find((table) => table.row === name);
    if (row) return row.columns.map((column) => column.name);
    return [...(base ? members(base) : []), ...Object.keys(its)];
  };
  const required = (schema) => (schema.$ref ? required(schemas[schema.$ref.split('/').at(-1)])
    : [...(schema.required ?? []), ...(schema.allOf ?? []).flatMap(required)]);
  const same = { SessionDetails: 'SessionSnapshot', CandidateProfile: 'PhoneSnapshot', Stats: 'CampaignNumbers' };
  for (const [schema, shape] of Object.entries(same)) assert.deepEqual(members(shape).sort(), required(schemas[schema]).sort());
  const rows = { Session: 'SessionInfo', Message: 'ChatHistory', Call: 'CallInfo', ObjectiveEvent: 'SessionObjectiveEvent', Campaign: 'CampaignInfo', CampaignWithStats: 'CampaignWithStats' };
  for (const [schema, row] of Object.entries(rows)) {
    assert.deepEqual(required(schemas[schema]).filter((name) => !members(row).includes(name)), [], schema);
  }
});

test('Questions_AreTheOperationsOfTheApisDocument', () => {
  const { paths } = JSON.parse(read('daemon/api/openapi.json'));
  const told = Object.values(paths).flatMap(({ get }) => get?.operationId ?? []).filter((one) => one !== 'getDocument');
  const written = [...own('src/pgcast.ts').matchAll(/^ {2}(get\w+)\(/gm)].map(([, name]) => name);
  assert.deepEqual(written.sort(), told.map((one) => (one === 'listCampaigns' ? 'getCampaigns' : one)).sort());
});

test('Refusals_BeginWithTheDaemonsWords', () => {
  const daemon = read('protocol/error_reply.cpp') + read('protocol/error.cpp');
  const [, table] = own('src/error.ts').match(/k_refusals[^=]*= \{\n([^}]*)\}/);
  const words = [...table.matchAll(/^ {2}(\w+): \['(\w+)'/gm)];
  assert.ok(words.length > 4);
  assert.deepEqual(words.filter(([, word]) => !daemon.includes(`"${word}: "`)), []);
});

test('Readme_NamesEveryFunctionAndHook', () => {
  const names = [...own('src/pgcast.ts').matchAll(/^ {2}((?:get|watch)\w+)\(/gm), ...own('src/react.ts').matchAll(/^export function (\w+)/gm)];
  assert.ok(names.length > 14);
  assert.deepEqual(names.map(([, name]) => name).filter((name) => !own('README.md').includes(name)), []);
});

test('License_IsThatOfTheRepository', () => {
  assert.equal(own('LICENSE'), read('LICENSE'));
});
