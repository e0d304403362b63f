// The types of pgcast-client are true: of the tables as a database has them, of what the topics carry,
// and of states that grow by events. And they are strict.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, say } from './fixture/rows.js';
import { build, folder, load, packed, tsc } from './fixture/typescript.js';

const description = JSON.parse(readFileSync(path.join(folder, 'description.json'), 'utf8'));
const world = use_world();
let client;
before(build, { timeout: 300_000 });
before(async () => {
  client = await load();
});

describe('the description', () => {
  test('Tables_AreThoseOfTheSchema', async () => {
    const columns = await world.query(`SELECT table_name, column_name, is_nullable, data_type FROM information_schema.columns
      WHERE table_schema = 'public' AND table_name = ANY($1) ORDER BY ordinal_position`, [Object.keys(description.tables)]);
    const keys = await world.query(`SELECT c.relname AS table_name, a.attname AS column_name FROM pg_constraint k
      JOIN pg_class c ON c.oid = k.conrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(k.conkey)
      WHERE k.contype = 'p' AND c.relnamespace = 'public'::regnamespace`);
    const names = { 'timestamp with time zone': 'timestamptz', 'character varying': 'varchar' };
    for (const [name, { columns: described, key }] of Object.entries(description.tables)) {
      const real = columns.filter((one) => one.table_name === name)
        .map((one) => ({ name: one.column_name, type: names[one.data_type] ?? one.data_type, nullable: one.is_nullable === 'YES' }));
      assert.deepEqual(described.map(({ name, type, nullable }) => ({ name, type, nullable })), real, name);
      assert.deepEqual(key, keys.filter((one) => one.table_name === name).map((one) => one.column_name), name);
    }
  });

  test('Columns_WithAListOfValues_AreCheckedByTheDatabase', async () => {
    const checks = await world.query(`SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace`);
    const listed = Object.values(description.tables).flatMap(({ columns }) => columns.filter((one) => one.one_of));
    assert.deepEqual(listed.map(({ name }) => name), ['source']);
    for (const { name, one_of } of listed) {
      const { text } = checks.find((one) => one.text.includes(`(${name} `));
      assert.deepEqual([...text.matchAll(/'(\w+)'::text/g)].map(([, value]) => value), one_of);
    }
  });

  test('Topics_CarryTheTablesThatTheySay', async () => {
    const campaign = await add_campaign(world);
    const phone = fresh_phone();
    const session = await add_session(world, { campaign, phone });
    const pgcast = client.createPgcast(world.client().supabase);
    const ids = { session, phone, campaign };
    const topics = Object.entries(description.topics).filter(([, topic]) => topic.snapshot);
    const seen = Object.fromEntries(topics.map(([kind]) => [kind, new Map()]));
    const watches = topics.map(([kind]) => pgcast[`watch${kind[0].toUpperCase()}${kind.slice(1)}`](ids[kind], {
      onEvent: (event) => seen[kind].set(event.table, event),
    }));
    await until(() => watches.every(({ state }) => state), 'all have their snapshots');
    await world.query("UPDATE campaign_info SET job_info = 'another' WHERE campaign = $1", [campaign]);
    await world.query("UPDATE session_info SET last_action = 'x' WHERE session_id = $1", [session]);
    await world.query('INSERT INTO numbers (session_id, phone_number) VALUES ($1, $2)', [session, fresh_phone()]);
    await world.query('INSERT INTO campaigns (session_id, campaign) VALUES ($1, $2)', [session, campaign]);
    await world.query("INSERT INTO session_objective_events (session_id, source, occurred_at, old_value) VALUES ($1, 'chat', now(), 'null')", [session]);
    await world.query("INSERT INTO call_info (call_id, session_id, called_at, duration) VALUES ($1, $2, now(), '1 day 00:00:01.5')", [fresh('call'), session]);
    await say(world, session, 'the last one');
    for (const [kind, { carries, snapshot }] of topics) {
      await until(() => seen[kind].has('chat_history'), () => [...seen[kind].keys()].join());
      assert.deepEqual([...seen[kind].keys()].sort(), [...carries].sort(), kind);
      for (const [table, { record }] of seen[kind]) {
        const { columns } = description.tables[table];
        assert.deepEqual(Object.keys(record).sort(), columns.map(({ name }) => name).sort());
        for (const { name, type, value } of columns) {
          const wanted = { integer: 'number', bigint: 'number', jsonb: null }[type] ?? 'string';
          if (record[name] !== null && !value && type !== 'jsonb') assert.equal(typeof record[name], wanted, `${table}.${name}`);
        }
      }
      const { extends: base, members } = description.shapes[snapshot];
      const wanted = [...Object.keys(members), ...Object.keys(description.shapes[base]?.members ?? {})];
      assert.deepEqual(Object.keys(watches[topics.findIndex(([one]) => one === kind)].state).sort(), wanted.sort());
    }
    const { payload, event } = description.topics.stats;
    assert.deepEqual([payload, event], ['CampaignStats', 'stats']);
    const stats = pgcast.watchStats(campaign, { onStats: () => {} });
    await until(() => stats.stats, 'stats');
    assert.deepEqual(Object.keys(stats.stats).sort(), ['cursor', ...Object.keys(description.shapes.CampaignNumbers.members)].sort());
  });
});

/** Repeatable random numbers from 0 to n - 1. */
function dice(seed) {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 8) % n;
  };
}

describe('folding', () => {
  for (const sizes of [undefined, { messages: 5, calls: 3, sessions: 3 }]) {
    test(`Fold_RandomWrites_IsTheSnapshotThatTheDaemonGives (${sizes ? 'cut lists' : 'whole lists'})`, { timeout: 120_000 }, async () => {
      const campaign = await add_campaign(world);
      const phone = fresh_phone();
      const session = await add_session(world, { campaign, phone });
      const roll = dice(sizes ? 7 : 42);
      const at = () => (roll(4) ? `2026-01-0${1 + roll(8)}T0${roll(9)}:00:00.${roll(3) ? '5' : '123456'}Z` : null);
      const one_of = (table, key) => `${key} = (SELECT ${key} FROM ${table} WHERE session_id = $1 ORDER BY md5(${key}::text || '${roll(1e6)}') LIMIT 1)`;
      const writes = [
        () => say(world, session, `message ${roll(100)}`),
        () => world.query(`UPDATE chat_history SET message = '{"text": "changed ${roll(99)}"}' WHERE ${one_of('chat_history', 'id')}`, [session]),
        () => world.query('INSERT INTO call_info (call_id, session_id, called_at) VALUES ($2, $1, $3)', [session, fresh('call'), at()]),
        () => world.query(`UPDATE call_info SET called_at = $2, status = 's' WHERE ${one_of('call_info', 'call_id')}`, [session, at()]),
        () => world.query("INSERT INTO session_objective_events (session_id, objective, source, occurred_at) VALUES ($1, 'o', 'call', $2)", [session, at()]),
        () => world.query(`UPDATE session_objective_events SET occurred_at = $2 WHERE ${one_of('session_objective_events', 'id')}`, [session, at()]),
        () => world.query(`UPDATE session_info SET last_action = 'a${roll(9)}', created_at = $2 WHERE session_id = $1`, [session, at()]),
        () => world.query("UPDATE campaign_info SET job_info = $2 WHERE campaign = $1", [campaign, `job ${roll(9)}`]),
        () => add_session(world, { campaign, created_at: at() ?? '2025-01-01T00:00:00Z' }),
        // Of a list that is cut the rows behind the cut are not known: there nothing is deleted.
        ...(sizes ? [] : [
          () => world.query(`DELETE FROM chat_history WHERE ${one_of('chat_history', 'id')}`, [session]),
          () => world.query(`DELETE FROM call_info WHERE ${one_of('call_info', 'call_id')}`, [session]),
          () => world.query(`DELETE FROM session_objective_events WHERE ${one_of('session_objective_events', 'id')}`, [session]),
          () => world.query('DELETE FROM session_info WHERE campaign = $1 AND session_id <> $2 AND session_id = (SELECT min(session_id) FROM session_info WHERE campaign = $1 AND session_id <> $2)', [campaign, session]),
        ]),
      ];
      for (let i = 0; i < 30; i++) await writes[roll(writes.length)]();
      const pgcast = client.createPgcast(world.client().supabase);
      const watches = { session: pgcast.watchSession(session, { onChange: () => {}, snapshot: sizes }), campaign: pgcast.watchCampaign(campaign, { onChange: () => {}, snapshot: sizes }) };
      await until(() => watches.session.state && watches.campaign.state, 'the snapshots');
      for (let i = 0; i < 200; i++) await writes[roll(3) ? roll(9) : roll(writes.length)]();
      const last = await say(world, session, 'the last one');
      for (const [kind, watch] of Object.entries(watches)) {
        const other = client.createPgcast(world.client().supabase);
        const truth = kind === 'session' ? other.watchSession(session, { onChange: () => {} }) : other.watchCampaign(campaign, { onChange: () => {} });
        await until(() => truth.state, 'the truth');
        await until(() => watches.session.state.messages.some((row) => row.id === last), 'the last event');
        await until(() => JSON.stringify({ ...shown(watch.state, truth.state), cursor: '' }) === JSON.stringify({ ...truth.state, cursor: '', more: watch.state.more }),
          () => assert.deepEqual({ ...shown(watch.state, truth.state), cursor: '' }, { ...truth.state, cursor: '', more: watch.state.more }));
      }
    });
  }

  /**
   * A cut list against the whole one: its rows are the newest ones, and the rest is taken for true. The
   * campaign's row in a session is that of the snapshot, for the topic does not carry its changes.
   */
  function shown(state, truth) {
    const whole = { ...state, ...(state.messages && { campaign: truth.campaign }) };
    for (const [name, oldest] of [['messages', 'first'], ['calls', 'last'], ['sessions', 'last']]) {
      if (!Array.isArray(state[name]) || !(state.more[name] ?? state.more)) continue;
      const missing = truth[name].length - state[name].length;
      assert.ok(missing >= 0, `${name}: ${state[name].length} of ${truth[name].length}`);
      whole[name] = oldest === 'first' ? [...truth[name].slice(0, missing), ...state[name]] : [...state[name], ...truth[name].slice(state[name].length)];
    }
    return whole;
  }

  test('Fold_Truncate_EmptiesTheLists', () => {
    const { applyEvent } = client;
    const state = { cursor: '', session: { session_id: 's' }, phone_number: '+1', campaign: null, messages: [{ id: 1 }], calls: [{ call_id: 'c' }], objectives: [{ id: 1 }], more: { messages: true, calls: true } };
    const empty = ['session_info', 'chat_history', 'call_info', 'session_objective_events', 'numbers'].reduce((now, table, index) =>
      applyEvent(now, { table, operation: 'TRUNCATE', record: null, old_record: null, cursor: `c${index}` }), state);
    assert.deepEqual(empty, { cursor: 'c4', session: null, phone_number: null, campaign: null, messages: [], calls: [], objectives: [], more: { messages: false, calls: false } });
    assert.equal(state.messages.length, 1, 'what was is not changed');
  });
});

describe('messages', () => {
  const samples = [
    { sender: 'user', text: 'a', timestamp: '2026-01-02T03:04:05Z', status: 'read' }, { sender: 'agent', text: 'b', timestamp: 1767323045 },
    { type: 'human', content: 'c' }, { type: 'ai', data: { content: 'd', timestamp: '2026-01-02 03:04:05' } }, { type: 'assistant', content: ['e', { text: 'f' }] },
    { type: 'ai', sender: 'user', text: 'the sender wins' }, { sender: 'constructor', text: 'g' },
    { type: 'tool', name: 'x' }, { sender: 'user', text: 'h', timestamp: '2026-01-02 03:04:05.5+00' },
    { sender: 'user', text: '', timestamp: 'soon' }, 'text', 5, null, ['a'], {},
  ];
  /** The console's modules have no package.json, without which Node.js before 20.19 takes them for CommonJS. */
  async function of_the_console(file) {
    const copy = mkdtempSync(path.join(tmpdir(), 'pgcast-console-'));
    try {
      for (const name of ['message.js', 'time.js']) cpSync(path.join(folder, '../../daemon/console', name), path.join(copy, name));
      writeFileSync(path.join(copy, 'package.json'), '{"type": "module"}');
      return await import(path.join(copy, file));
    } finally {
      rmSync(copy, { recursive: true });
    }
  }

  test('ReadMessage_SaysOfEveryDialectWhatTheConsoleDoes', async () => {
    const { read_message } = await of_the_console('message.js');
    for (const message of samples) {
      const { side, text, time, status, is_raw } = read_message(message);
      assert.deepEqual(client.readMessage(message), { side, text, timestamp: time, status, isRaw: is_raw }, JSON.stringify(message));
    }
  });

  test('ReadMessage_Sides_AreThoseThatTheDaemonCounts', async () => {
    const campaign = await add_campaign(world);
    const session = await add_session(world, { campaign });
    const all = [...samples, { sender: null, type: 'ai', text: 'null is no sender' }, { sender: 5, type: 'ai' }];
    for (const message of all) await world.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [session, JSON.stringify(message)]);
    const pgcast = client.createPgcast(world.client().supabase);
    const { stats } = await pgcast.getCampaign(campaign);
    const sides = all.map((one) => client.readMessage(one).side);
    const of = (side) => sides.filter((one) => one === side).length;
    assert.deepEqual(stats.messages, { total: all.length, user: of('user'), agent: of('agent') });
  });
});

describe('the package', () => {
  test('Pack_HoldsWhatIsBuiltFromTheSourcesAndNothingElse', { timeout: 60_000 }, async () => {
    const built = readdirSync(path.join(folder, 'src')).map((name) => name.replace(/\.ts$/, ''))
      .flatMap((name) => [`dist/${name}.js`, `dist/${name}.d.ts`]);
    assert.deepEqual((await packed()).sort(), ['LICENSE', 'README.md', 'package.json', ...built].sort());
  });

  test('Import_NeedsNothingButReact', async () => {
    const names = readdirSync(path.join(folder, 'dist')).filter((name) => name.endsWith('.js'))
      .flatMap((name) => [...readFileSync(path.join(folder, 'dist', name), 'utf8').matchAll(/ from '([^.'][^']*)'/g)].map(([, from]) => `${name}: ${from}`));
    assert.deepEqual(names.sort(), ['react.js: react', 'use_topic.js: react']);
  });


  test('Types_Strict_TakeWhatIsRightAndRefuseWhatIsWrong', { timeout: 120_000 }, async () => {
    assert.equal(await tsc('-p', 'tsconfig.json'), '');
  });
});
