// How often the database is asked who sees a row, of a user who has several tokens.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { until } from './fixture/process.js';

const k_policies = {
  of_identity: 'owner = auth.uid()::text',
  of_an_own_function: 'owner = own.uid()::text',
  of_a_claim: "owner = (auth.jwt() ->> 'sub')",
  of_a_table_with_policies: "owner = auth.uid()::text AND NOT EXISTS (SELECT FROM guarded)",
  of_a_table_without: "owner = auth.uid()::text AND NOT EXISTS (SELECT FROM campaigns WHERE campaign = 'closed')",
};
const world = use_world({
  env: { PGCAST_THREADS: '1' },
  tables: Object.keys(k_policies).map((name) => `public.${name}`),
  sql: `CREATE SCHEMA own; GRANT USAGE ON SCHEMA own TO authenticated;
    CREATE FUNCTION own.uid() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT auth.uid()';
    CREATE TABLE guarded (id int); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; GRANT SELECT ON guarded TO authenticated;
    ${Object.entries(k_policies).map(([name, policy]) => `CREATE TABLE ${name} (id int, owner text); ALTER TABLE ${name} OWNER TO owner;
      GRANT SELECT ON ${name} TO authenticated; ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY;
      CREATE POLICY own ON ${name} FOR SELECT USING (${policy});`).join('\n')}`,
});

/** Questions about rows that were decided for one token, when another of the same user hears of the like. */
async function questions_for(table, other = {}) {
  const sub = randomUUID();
  const heard = [];
  const join = async (claims) => {
    const channel = world.client({ role: 'authenticated', sub, ...claims }).supabase.channel(fresh('rows'));
    channel.on('postgres_changes', { event: '*', schema: 'public', table }, ({ new: row }) => heard.push(`${claims.login} ${row.id}`));
    await new Promise((done, fail) => channel.subscribe((status, error) => (status === 'SUBSCRIBED' ? done() : fail(error))));
  };
  const asked = () => world.daemon.metric('pgcast_decisions_total{source="database"}');
  await join({ login: 'phone' });
  await world.query(`INSERT INTO ${table} VALUES (1, 'somebody'), (2, $1)`, [sub]);
  await until(() => heard.length === 1, () => JSON.stringify(heard));
  const before = await asked();
  await join({ login: 'laptop', ...other });
  await world.query(`INSERT INTO ${table} VALUES (3, 'somebody'), (4, $1)`, [sub]);
  await until(() => heard.length === 3, () => JSON.stringify(heard));
  assert.deepEqual(heard.sort(), ['laptop 4', 'phone 2', 'phone 4'], 'nothing of others');
  world.close_clients();
  return await asked() - before;
}

test('Policy_OfIdentityAlone_IsDecidedOnceForAllTokens', async () => assert.equal(await questions_for('of_identity'), 0));
test('Policy_OfIdentityAlone_IsDecidedAnewForAnotherEmail', async () => {
  assert.equal(await questions_for('of_identity', { email: 'ann@example.org' }), 2);
});
test('Policy_OverATableWithoutPolicies_IsDecidedOnce', async () => assert.equal(await questions_for('of_a_table_without'), 0));
test('Policy_OfOtherClaims_IsDecidedForEach', async () => assert.equal(await questions_for('of_a_claim'), 2));
test('Policy_OverATableWithPolicies_IsDecidedForEach', async () => assert.equal(await questions_for('of_a_table_with_policies'), 2));
test('Policy_OfAnotherFunction_IsDecidedForEach', async () => assert.equal(await questions_for('of_an_own_function'), 2));

describe('where auth.uid() is not that of Supabase', () => {
  const other = use_world({
    env: { PGCAST_THREADS: '1' },
    tables: ['public.note'],
    sql: `CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT (auth.jwt() ->> ''user_id'')::uuid';
      CREATE TABLE note (id int, owner text); ALTER TABLE note OWNER TO owner; GRANT SELECT ON note TO authenticated;
      ALTER TABLE note ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON note FOR SELECT USING (owner = auth.uid()::text);`,
  });

  test('Users_OfOneSubAreToldApart', async () => {
    const [ann, ben] = [randomUUID(), randomUUID()];
    const heard = [];
    const join = async (user_id, name) => {
      const channel = other.client({ role: 'authenticated', user_id }).supabase.channel(fresh('notes'));
      channel.on('postgres_changes', { event: '*', schema: 'public', table: 'note' }, ({ new: row }) => heard.push(`${name} ${row.id}`));
      await new Promise((done, fail) => channel.subscribe((status, error) => (status === 'SUBSCRIBED' ? done() : fail(error))));
    };
    await join(ann, 'ann');
    await other.query('INSERT INTO note VALUES (1, $1)', [ann]);
    await until(() => heard.length === 1, () => JSON.stringify(heard));
    await join(ben, 'ben');
    await other.query('INSERT INTO note VALUES (2, $1), (3, $2)', [ann, ben]);
    await until(() => heard.includes('ben 3'), () => JSON.stringify(heard));
    assert.deepEqual(heard.sort(), ['ann 1', 'ann 2', 'ben 3']);
  });
});
