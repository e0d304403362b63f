// Who may include whom: data flows through the pipe, includes point down the stairs.
//
// A file of daemon/ includes only files of a strictly lower floor. Parts of one type on the same
// floor that belong together are named together in one entry. A new file must be entered here.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

// From the ground up. A group is one type and the files that only it uses. The numbers are those of
// the house; a floor has a few steps where its types build on each other.
const floors = [
  /* 0  what is true */ [['protocol/*']],
  /* 1  surroundings */ [['config', 'config_text', 'setting_kinds', 'settings', 'limit_settings'], ['metrics'], ['systemd'],
    ['event_sink'], ['with_timeout'], ['embedded'], ['asio'], ['url'], ['sql_text'], ['random_uuid']],
  /* 1 */ [['census'], ['client_address'], ['log'], ['handshake'], ['pg_options'], ['key_document']],
  /* 2  one descriptor each */ [['key_source'], ['pg_connection', 'pg_connection_queries'], ['pg_session'], ['client_socket'],
    ['websocket_client']],
  /* 2 */ [['source_session', 'pooling']],
  /* 2 */ [['pg_pool'], ['table_policy'], ['directory_loader']],
  /* 2 */ [['replay_stream']],
  /* 3  source and audience */ [['operations_report'], ['reader', 'reader_batch'], ['authorizer', 'authorizer_questions', 'authorizer_rows'], ['delivery'], ['replay', 'replay_places'], ['snapshot_sql'], ['ticker_sql'],
    ['maintenance']],
  /* 3 */ [['api_sql']],
  /* 3 */ [['snapshot'], ['decision_cache'], ['message_store'], ['ticker_reader']],
  /* 3 */ [['channel_policy'], ['stats_policy'], ['api_reader']],
  /* 3 */ [['hub']],
  /* 3 */ [['presence_board'], ['ticker_board', 'campaign_ticker']],
  /* 3 */ [['shard_services']],
  /* 4  one client */ [['feed'], ['channel_presence']],
  /* 4 */ [['topic_feed'], ['changes_feed'], ['broadcast_feed'], ['stats_feed']],
  /* 4 */ [['channel', 'channel_join', 'channel_messages', 'channel_rights']],
  /* 4 */ [['connection', 'connection_messages', 'connection_places']],
  /* 4 */ [['event_stream']],
  /* 5 */ [['http_exchange']],
  /* 5 */ [['http_encoding'], ['http_events']],
  /* 5 */ [['http_console'], ['http_operations'], ['http_broadcast']],
  /* 5 */ [['http_api']],
  /* 5 */ [['http']],
  /* 6 */ [['listener']],
  /* 7  wiring */ [['shard', 'shard_report']],
  /* 7 */ [['operations_desk']],
  /* 7  commands */ [['commands', 'command_check', 'check_installation', 'findings', 'command_compare', 'command_install', 'command_tail',
    'command_token', 'command_uninstall', 'schema_change', 'topic_follower', 'json_members', 'event_rendering', 'server_address', 'compared_server',
    'comparison_report']],
  /* 8 */ [['command_serve']],
  /* 8 */ [['main']],
];

// Pairs that must not know each other although the floors would allow it.
const strangers = [['reader', 'hub'], ['hub', 'connection']];

// What a folder may take from outside; everything else is an error.
const forbidden_in_protocol = /^(boost\/(asio|beast)|libpq|libpq-fe|spdlog|systemd\/|CLI\/|toml)/;

const root = process.env.PGCAST_SOURCE_DIR ?? path.resolve(import.meta.dirname ?? '.', '../..');

function sources(folder) {
  return fs.readdirSync(path.join(root, folder), { withFileTypes: true, recursive: false })
    .filter((entry) => entry.isFile() && /\.(hpp|cpp)$/.test(entry.name))
    .map((entry) => `${folder}/${entry.name}`)
    .sort();
}

function includes(file) {
  const text = fs.readFileSync(path.join(root, file), 'utf8');
  return [...text.matchAll(/^\s*#\s*include\s*[<"]([^>"]+)[>"]/gm)].map((match) => match[1]);
}

const stem = (file) => path.basename(file).replace(/\.(hpp|cpp)$/, '');

// file -> { floor, group }, or undefined for a file that is in no entry.
function place(file) {
  if (file.startsWith('protocol/')) return { floor: 0, group: 'protocol' };
  for (const [floor, groups] of floors.entries()) {
    const group = groups.find((names) => names.includes(stem(file)));
    if (group) return { floor, group: group[0] };
  }
  return undefined;
}

const files = [...sources('protocol'), ...sources('daemon')];

test('EveryFile_HasAFloor', () => {
  assert.deepEqual(files.filter((file) => !place(file)), []);
});

test('EveryFloor_NamesOnlyFilesThatExist', () => {
  const names = new Set(files.map(stem));
  assert.deepEqual(floors.slice(1).flat(2).filter((name) => !names.has(name)), []);
});

test('Include_PointsDownTheStairs', () => {
  const wrong = [];
  for (const file of files) {
    const here = place(file);
    for (const name of includes(file).filter((other) => /^(protocol|daemon|tests)\//.test(other))) {
      const there = place(name);
      const is_down = here && there && (there.floor < here.floor ||
        (there.floor === here.floor && there.group === here.group));
      if (!is_down || !files.includes(name)) wrong.push(`${file} includes ${name}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('Include_IsNeverCircular', () => {
  const headers = files.filter((file) => file.endsWith('.hpp'));
  const state = new Map();
  const circles = [];
  const walk = (file, trail) => {
    if (state.get(file) === 'done') return;
    if (trail.includes(file)) {
      circles.push([...trail.slice(trail.indexOf(file)), file].join(' -> '));
      return;
    }
    includes(file).filter((name) => headers.includes(name))
      .forEach((name) => walk(name, [...trail, file]));
    state.set(file, 'done');
  };
  headers.forEach((file) => walk(file, []));
  assert.deepEqual(circles, []);
});

test('Strangers_StayStrangers', () => {
  const wrong = [];
  for (const file of files) {
    for (const [one, other] of strangers) {
      if (stem(file) === one && includes(file).includes(`daemon/${other}.hpp`)) {
        wrong.push(`${file} includes ${other}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test('Protocol_KnowsNoSocketNoDatabaseNoLog', () => {
  const wrong = sources('protocol').flatMap((file) => includes(file)
    .filter((name) => forbidden_in_protocol.test(name)).map((name) => `${file} includes ${name}`));
  assert.deepEqual(wrong, []);
});

test('BeastWebSocket_IsCompiledInOneFileAtMost', () => {
  const users = files.filter((file) => includes(file).some((name) =>
    /^boost\/beast(\.hpp$|\/websocket)/.test(name)));
  assert.ok(users.length <= 1, users.join(', '));
});
