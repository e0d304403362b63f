// What the rooms of the console make of snapshots, events and texts: pure values, no browser.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call_preview, duration_words, interval_seconds, read_call_status, recording_address, speaker_turns } from '../../daemon/console/call_text.js';
import { add_calls, apply_to_calls, calls_of_campaign, calls_of_session, grouped_calls, sessions_to_ask } from '../../daemon/console/calls_state.js';
import { read_message } from '../../daemon/console/message.js';
import { apply_to_candidate, candidate_of, objectives_of, timeline, value_words } from '../../daemon/console/candidate_state.js';

const at = (minute) => `2026-03-01T10:${String(minute).padStart(2, '0')}:00Z`;
const event = (operation, record, old_record = null, commit_timestamp = at(59)) => ({ operation, record, old_record, commit_timestamp });
const session = (session_id, more = {}) => ({ session_id, created_at: '2026-01-01T00:00:00Z', ...more });
const call = (call_id, more = {}) => ({ call_id, session_id: 's', status: 'ringing', called_at: at(1), batch_call_id: null, ...more });
const ids = (state, text) => grouped_calls(state, text).map(({ calls }) => calls.map(({ row }) => row.call_id));

const of_session = (calls = []) => calls_of_session({ session: session('s'), phone_number: null, calls, more: { calls: false } });
const of_campaign = (...sessions) => calls_of_campaign({ campaign: null, sessions, more: false });

test('CallText_Intervals_AreSecondsWhateverTheirUnits', () => {
  const pairs = [['00:04:12', 252], ['1 day 02:00:00.5', 93_600.5], ['-00:00:05', -5], ['2 days', 172_800], ['-1 days +01:00:00', -82_800], ['100:00:00', 360_000]];
  for (const [text, seconds] of pairs) assert.equal(interval_seconds(text), seconds, text);
  for (const none of [null, undefined, '', 'soon', 5]) assert.equal(interval_seconds(none), null);
  assert.deepEqual([0, 58, 252, 3723, 59.6, -5].map(duration_words), ['0:00', '0:58', '4:12', '1:02:03', '1:00', '-0:05']);
});

test('CallText_Statuses_HaveATone_InAnySpelling', () => {
  const tones = (...words) => words.map((word) => read_call_status(word).tone);
  assert.deepEqual(tones('ringing', 'in-progress', 'In Progress', 'ended', 'no_answer', 'constructor', null), ['live', 'live', 'live', 'good', 'bad', 'plain', 'plain']);
});

test('CallText_Recordings_AreOnlyHttpAddresses', () => {
  for (const bad of ['javascript:alert(1)', 'data:audio/wav;base64,AA', '//host/x', 'call.mp3', 'https://', 'ftp://a/b', ' file:///etc/passwd', null]) assert.equal(recording_address(bad), null, bad);
  assert.equal(recording_address(' https://a.example/x y.mp3 '), 'https://a.example/x%20y.mp3');
  assert.equal(recording_address('HTTP://a.example/x'), 'http://a.example/x');
});

test('Transcript_OfADialogue_IsTurns', () => {
  const turns = speaker_turns('Agent: Hello.\nAre you there?\nUser: Yes: I am\r\n\nAgent:  Note: bring a pass\nNote: twice');
  assert.deepEqual(turns.map(({ side, text }) => [side, text]), [['agent', 'Hello.\nAre you there?'], ['user', 'Yes: I am'], ['agent', 'Note: bring a pass\nNote: twice']]);
  assert.deepEqual(speaker_turns('[00:01] Ava: hi\n[00:02] Ben: hi\n[00:03] Ava: bye\n[00:04] Ben: bye').map(({ name }) => name), ['Ava', 'Ben', 'Ava', 'Ben']);
  assert.deepEqual(speaker_turns('[{"role":"assistant","content":"hi"},{"role":"user","content":null},{"role":"user","message":"yo"}]').map(({ side, text }) => [side, text]), [['agent', 'hi'], ['user', 'yo']]);
});

test('Transcript_ThatIsNoDialogue_IsLeftAsText', () => {
  for (const text of ['He said: no', 'plain words\nAgent: late', '', '[{"a":1}]', '[{broken', 'x'.repeat(1_000_000), `${':'.repeat(100_000)}`]) assert.equal(speaker_turns(text), null, text.slice(0, 30));
  assert.equal(speaker_turns('User: x\n'.repeat(100_000)).length, 100_000);
});

test('CallPreview_PrefersTheSummary', () => {
  assert.equal(call_preview({ analysis: { summary: 'short\n words' }, transcript: 'long' }), 'short words');
  for (const analysis of [null, [], 'text', { summary: 5 }]) assert.equal(call_preview({ analysis, transcript: 'long' }), 'long');
  assert.equal(call_preview({ analysis: null, transcript: null }), '');
});

test('Calls_OfOneBatch_StandTogether_NewestFirst', () => {
  const state = of_session([call('a', { called_at: at(9), batch_call_id: 'b1' }), call('b', { called_at: at(8) }), call('c', { called_at: at(7), batch_call_id: 'b1' }), call('d', { called_at: null })]);
  assert.deepEqual(ids(state), [['a', 'c'], ['b'], ['d']]);
  assert.deepEqual(ids(state, 'B1'), [['a', 'c']]);
});

test('Calls_Events_AddChangeAndTakeAway', () => {
  let state = of_session([call('a')]);
  state = apply_to_calls(state, 'call_info', event('INSERT', call('b', { called_at: null })));
  assert.deepEqual(ids(state), [['b'], ['a']], 'a call without a time is as new as its insertion');
  state = apply_to_calls(state, 'call_info', event('UPDATE', call('c'), { call_id: 'a' }));
  state = apply_to_calls(state, 'call_info', event('DELETE', null, call('b')));
  assert.deepEqual(ids(state), [['c']]);
  assert.deepEqual(ids(apply_to_calls(state, 'call_info', event('TRUNCATE', null))), []);
});

test('Calls_PageOfTheApi_OverwritesNothingThatAnEventTold', () => {
  let state = of_campaign(session('s'));
  state = apply_to_calls(state, 'call_info', event('UPDATE', call('a', { status: 'ended' }), { status: 'ringing' }));
  state = apply_to_calls(state, 'call_info', event('DELETE', null, call('b')));
  state = add_calls(state, state.round, [call('a'), call('b'), call('c')]);
  assert.deepEqual(ids(state).flat().sort(), ['a', 'c']);
  assert.equal(state.calls.get('a').status, 'ended');
  const cleared = apply_to_calls(state, 'call_info', event('TRUNCATE', null));
  assert.deepEqual(ids(add_calls(cleared, state.round, [call('z')])), [], 'a page from before a TRUNCATE is stale');
});

test('Calls_SessionThatLeavesTheCampaign_TakesItsCallsAlong_AndBringsThemBack', () => {
  let state = of_campaign(session('s'), session('t'));
  for (const id of sessions_to_ask(state, 9)) state.asked.add(id);
  state = apply_to_calls(state, 'call_info', event('INSERT', call('a')));
  state = apply_to_calls(state, 'session_info', event('DELETE', null, session('s')));
  assert.deepEqual([ids(state), sessions_to_ask(state, 9)], [[], []]);
  state = apply_to_calls(state, 'session_info', event('INSERT', session('s')));
  assert.deepEqual([state.arrived, sessions_to_ask(state, 0)], [1, ['s']]);
  assert.deepEqual(ids(add_calls(state, state.round, [call('a')])), [['a']]);
  state = apply_to_calls(state, 'session_info', event('INSERT', session('new', { created_at: at(59) })));
  assert.equal(state.arrived, 1, 'a new session has no calls of before');
});

test('Calls_SessionsThatWereCalled_AreAskedForFirst', () => {
  const state = of_campaign(session('quiet'), session('called', { latest_batch_call_id: 'b' }), session('busy', { last_user_msg_at: at(5) }));
  assert.deepEqual(sessions_to_ask(state, 2), ['called', 'busy']);
});

const dated = (id, minute, sender = 'user') => ({ id, session_id: 's', message: { sender, text: `m${id}`, timestamp: minute === null ? undefined : at(minute) } });
const told = (id, minute) => ({ id, session_id: 's', objective: 'o', old_value: null, new_value: true, source: 'chat', occurred_at: minute === null ? null : at(minute) });
const candidate = (more) => candidate_of({ session: session('s'), campaign: null, phone_number: null, messages: [], calls: [], objectives: [], more: {}, ...more });
const keys = (state) => timeline(state).map(({ key }) => key.replace('message ', 'm').replace('call ', 'c').replace('objective ', 'o'));

test('Timeline_CallsAndObjectives_StandBeforeTheFirstLaterMessage', () => {
  const state = candidate({ messages: [dated(1, 1), dated(2, 5), dated(3, 9)], calls: [call('a', { called_at: at(5) }), call('b', { called_at: at(0) })], objectives: [told(7, 6), told(8, 20)] });
  assert.deepEqual(keys(state), ['cb', 'm1', 'm2', 'ca', 'o7', 'm3', 'o8']);
});

test('Timeline_MessagesWithoutATime_KeepTheOrderOfIds', () => {
  const state = candidate({ messages: [dated(3, null), dated(1, 1), dated(2, null), dated(4, 9)], calls: [call('a', { called_at: at(5) })] });
  assert.deepEqual(keys(state), ['m1', 'm2', 'm3', 'ca', 'm4']);
});

test('Timeline_NewestMessageOfASide_IsPlacedByItsSession', () => {
  const state = candidate({ session: session('s', { last_user_msg_at: at(8), last_agent_msg_at: at(2) }), messages: [dated(1, null, 'agent'), dated(2, null)], calls: [call('a', { called_at: at(5) })] });
  assert.deepEqual(keys(state), ['m1', 'ca', 'm2']);
  assert.equal(timeline(state)[2].time, null, 'it is not shown as the message\u2019s own');
});

test('Timeline_TimesAgainstTheOrderOfIds_MoveNothing', () => {
  const wrong = [{ id: 2, session_id: 's', message: { sender: 'user', text: 'x', timestamp: '2999-01-01T00:00:00Z' } }, { id: 4, session_id: 's', message: { sender: 'user', text: 'x', timestamp: '1970-01-01T00:00:00Z' } }];
  const state = candidate({ messages: [dated(1, 1), wrong[0], dated(3, 3), wrong[1], dated(5, 7)], calls: [call('a', { called_at: at(2) }), call('b', { called_at: at(5) })] });
  assert.deepEqual(keys(state), ['m1', 'm2', 'ca', 'm3', 'm4', 'cb', 'm5']);
  assert.deepEqual(timeline(state).filter((one) => one.is_odd).map((one) => one.row.id), [2, 4]);
});

test('Timeline_LiveMessage_HasTheTimeOfItsCommit', () => {
  let state = candidate({ calls: [call('a', { called_at: at(5) })] });
  state = apply_to_candidate(state, 'chat_history', event('INSERT', dated(11, null), null, at(9)));
  state = apply_to_candidate(state, 'chat_history', event('INSERT', dated(10, null), null, at(3)));
  assert.deepEqual(keys(state), ['m10', 'ca', 'm11']);
});

test('Timeline_AtOneTime_CallsComeFirst_ThenObjectivesById', () => {
  const state = candidate({ calls: [call('z', { called_at: at(1) })], objectives: [told(10, 1), told(9, 1), told(100, 1)] });
  assert.deepEqual(keys(state), ['cz', 'o9', 'o10', 'o100']);
});

test('Timeline_EntriesWithoutAnyTime_StandAtTheEnd', () => {
  const state = candidate({ messages: [dated(1, 1)], calls: [call('a', { called_at: null })], objectives: [told(2, null), told(3, 0)] });
  assert.deepEqual(keys(state), ['o3', 'm1', 'ca', 'o2']);
});

test('Candidate_Events_AddChangeAndTakeAway', () => {
  let state = candidate({ calls: [call('a')], objectives: [told(1, 1)], phone_number: '+447700900002' });
  state = apply_to_candidate(state, 'call_info', event('UPDATE', call('a', { status: 'ended' }), { status: 'ringing' }));
  assert.equal(state.calls.get('a').status, 'ended');
  state = apply_to_candidate(state, 'session_objective_events', event('INSERT', told(2, 2)));
  state = apply_to_candidate(state, 'session_objective_events', event('DELETE', null, told(1, 1)));
  state = apply_to_candidate(state, 'call_info', event('DELETE', null, call('a')));
  assert.deepEqual(keys(state), ['o2']);
  state = apply_to_candidate(state, 'numbers', event('INSERT', { session_id: 's', phone_number: '+447700900009' }));
  assert.equal(state.phone, '+447700900002', 'a second number does not take the place of the first');
  state = apply_to_candidate(state, 'numbers', event('DELETE', null, { session_id: 's', phone_number: '+447700900009' }));
  assert.equal(state.phone, '+447700900002');
  state = apply_to_candidate(state, 'numbers', event('UPDATE', { session_id: 's', phone_number: '+447700900003' }, { phone_number: '+447700900002' }));
  assert.equal(state.phone, '+447700900003');
});

test('Objectives_AreThoseOfTheTemplateAndOfTheSession', () => {
  const names = (objectives_template, objectives) => objectives_of({ session: { campaign: 'c', objectives }, campaign: { campaign: 'c', objectives_template } }).map(({ name, is_met }) => `${name}:${is_met}`);
  assert.deepEqual(names({ a: null, b: { value: null } }, { b: { value: true }, c: 'true' }), ['a:false', 'b:true', 'c:false']);
  assert.deepEqual(names(['a', { name: 'b' }, 5, null], { a: true, b: { met: true } }), ['a:true', 'b:true']);
  assert.deepEqual(names({ constructor: 1 }, null), ['constructor:false']);
  assert.deepEqual(names(null, ['x']), []);
  assert.deepEqual(objectives_of({ session: null, campaign: null }), []);
  assert.deepEqual(objectives_of({ session: session('s', { campaign: 'd' }), campaign: { campaign: 'c', objectives_template: { a: null } } }), []);
});

test('Objectives_Values_AreSaidInFewWords', () => {
  let deep = {};
  for (let level = 0; level < 100_000; level += 1) deep = { deep };
  assert.deepEqual([null, true, { value: false }, { met: true }, 'x', 5, [1], { a: 1 }].map(value_words), ['none', 'yes', 'no', 'yes', 'x', '5', '[1]', '{"a":1}']);
  assert.equal(value_words('x'.repeat(1000)).length, 201);
  assert.equal(value_words(deep), 'a deeply nested value');
  assert.match(read_message(deep).text, /deeply nested/);
  assert.match(read_message([deep]).text, /deeply nested/);
});
