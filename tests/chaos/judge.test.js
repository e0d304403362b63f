// The judge finds what it is there to find: each kind of fault, put into a record that had none.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hash_of, is_good, judge, missing } from './judge.js';
import { Truth } from './truth.js';

const k_minute = 60_000;

/** Commits changes one after another, a minute apart unless `at` says otherwise. */
class Story {
  changes = [];
  v = 0;
  now = 0;
  xid = 100;
  rows = new Map();

  transaction(...steps) {
    this.now += k_minute;
    this.xid += 1;
    for (const step of steps) step();
    return this;
  }

  /** One change of the row `name`; `record` null deletes it. */
  change(table, name, record, { at = this.now, id = this.changes.length + 1, xid = String(this.xid) } = {}) {
    const old_record = this.rows.get(name) ?? null;
    const row = Number(name.replace(/\D/g, ''));
    const v = record ? (this.v += 1) : null;
    const made = record && { ...record, chaos_row: row, chaos_v: v };
    if (made) this.rows.set(name, made);
    else this.rows.delete(name);
    const operation = !old_record ? 'INSERT' : made ? 'UPDATE' : 'DELETE';
    this.changes.push({ id, xid, at, table, operation, row, v, old_v: old_record?.chaos_v ?? null, record: made, old_record });
    return this;
  }

  put(table, name, record, options) {
    return this.transaction(() => this.change(table, name, record, options));
  }

  get truth() {
    return new Truth(this.changes);
  }
}

/** The event of a change as a subscriber hears it. */
function told(change, operation = change.operation) {
  const shown = operation === 'DELETE' ? change.old_record : change.record;
  return { is: 'event', at: change.at + 5, id: change.id, table: change.table, operation, row: change.row,
    v: operation === 'DELETE' ? null : change.v, old_v: operation === 'INSERT' ? null : change.old_v, hash: hash_of(shown) };
}

const nothing = { is: 'snapshot', at: 0, session: null, rows: new Map(), complete: new Set(['chat_history', 'session_info']) };
const verdict_of = (story, topic, log) => judge(story.truth, [{ name: 'somebody', topic, log }]);
const counts = ({ lost, phantom, duplicated, disordered, elsewhere }) => ({ lost, phantom, duplicated, disordered, elsewhere });
const k_clean = { lost: 0, phantom: 0, duplicated: 0, disordered: 0, elsewhere: 0 };

/** A message that is written, edited and deleted, and another one. */
function conversation() {
  const message = (text) => ({ session_id: 'a', message: { text } });
  return new Story().put('chat_history', 'row 1', message('one')).put('chat_history', 'row 1', message('two'))
    .put('chat_history', 'row 2', message('three')).put('chat_history', 'row 1', null);
}

describe('one session', () => {
  const story = conversation();
  const all = [nothing, ...story.changes.map((change) => told(change))];
  const judged = (log) => verdict_of(story, 'session:a', log);

  test('Judge_AllToldInOrder_FindsNothing', () => {
    assert.deepEqual(counts(judged(all)), k_clean);
    assert.equal(judged(all).delivered, 4);
    assert.ok(is_good(judged(all)));
  });

  test('Judge_AnyOneEventMissing_IsLost', () => {
    for (let nth = 1; nth < all.length; nth += 1) {
      const verdict = judged(all.toSpliced(nth, 1));
      assert.deepEqual(counts(verdict), { ...k_clean, lost: 1 });
      assert.ok(!is_good(verdict));
      assert.match(verdict.examples[0], /lost: somebody session:a/);
    }
  });

  test('Judge_NothingToldAtAll_IsLost', () => {
    assert.equal(judged([]).lost, 1);
    assert.equal(judged([nothing]).lost, 4);
    assert.equal(missing(story.truth, { topic: 'session:a', log: [nothing] }).length, 4);
  });

  test('Judge_WhatWasNeverCommitted_IsAPhantom', () => {
    const rolled_back = { ...all[3], id: 77, row: 9, v: 99 };
    assert.deepEqual(counts(judged([...all, rolled_back])), { ...k_clean, phantom: 1 });
  });

  test('Judge_OtherValuesThanWereCommitted_IsAPhantom', () => {
    const changed = { ...all[1], hash: hash_of({ ...story.changes[0].record, message: { text: 'else' } }) };
    assert.deepEqual(counts(judged(all.with(1, changed))), { ...k_clean, phantom: 1 });
  });

  test('Judge_AnotherId_IsAPhantom', () => {
    assert.equal(judged(all.with(1, { ...all[1], id: 50 })).phantom, 1);
  });

  test('Judge_UpdateToldAsInsert_IsAPhantom', () => {
    assert.equal(judged(all.with(2, told(story.changes[1], 'INSERT'))).phantom, 1);
  });

  test('Judge_EventOfAnotherTopic_IsAPhantom', () => {
    assert.equal(verdict_of(story, 'session:b', all).phantom, 4);
  });

  test('Judge_AgainWithTheSameId_IsADuplicateAndAllowed', () => {
    const verdict = judged([...all, all[2], all[3]]);
    assert.deepEqual(counts(verdict), { ...k_clean, duplicated: 2 });
    assert.ok(is_good(verdict));
  });

  test('Judge_AgainWithAnotherContent_IsAPhantom', () => {
    assert.deepEqual(counts(judged([...all, { ...all[2], hash: 1 }])), { ...k_clean, duplicated: 1, phantom: 1 });
  });

  test('Judge_ChangesOfOneRowSwapped_AreOutOfOrder', () => {
    const verdict = judged([nothing, all[2], all[1], all[3], all[4]]);
    assert.ok(verdict.disordered >= 1);
    assert.ok(!is_good(verdict));
  });

  test('Judge_ChangesOfTwoRowsSwapped_AreOutOfOrderIfCommitsLeaveNoDoubt', () => {
    const swapped = [nothing, all[1], all[3], all[2], all[4]];
    assert.equal(judged(swapped).disordered, 1);
    const close = conversation();
    for (const change of close.changes) change.at = change.id;
    assert.deepEqual(counts(verdict_of(close, 'session:a', [nothing, told(close.changes[0]), told(close.changes[2]), told(close.changes[1]), told(close.changes[3])])), k_clean);
  });

  test('Judge_EventBehindASnapshotThatShowsIt_IsOutOfOrder', () => {
    const { record } = story.changes[1];
    const shows = { ...nothing, at: 2.5 * k_minute, rows: new Map([[1, record.chaos_v]]) };
    assert.deepEqual(counts(judged([shows, all[3], all[4]])), k_clean);
    assert.deepEqual(counts(judged([shows, all[2], all[3], all[4]])), { ...k_clean, disordered: 1 });
    assert.deepEqual(counts(judged([shows, all[4]])), { ...k_clean, lost: 1 });
  });

  test('Judge_FreshSnapshot_CountsForWhatItCoversAndNoMore', () => {
    const refused = { is: 'refused', at: 0, code: 'cursor_ahead' };
    const { record } = story.changes[1];
    const fresh = { ...nothing, at: 3.5 * k_minute, rows: new Map([[1, record.chaos_v], [2, story.changes[2].record.chaos_v]]) };
    const verdict = judged([nothing, refused, fresh, all[4]]);
    assert.deepEqual(counts(verdict), k_clean);
    assert.deepEqual(verdict.refusals, { cursor_ahead: 1 });
    assert.equal(verdict.snapshots, 2);
    assert.equal(judged([nothing, refused, fresh]).lost, 1);
    // The third change is in no snapshot and in no event.
    assert.equal(judged([nothing, all[1], refused, { ...fresh, rows: new Map([[1, record.chaos_v]]), at: 2.5 * k_minute }, all[4]]).lost, 1);
  });
});

describe('a campaign', () => {
  const message = { session_id: 's1', message: {} };
  const moved = () => new Story().put('session_info', 'row 1', { session_id: 's1', campaign: 'c' }).put('chat_history', 'row 2', message)
    .put('session_info', 'row 1', { session_id: 's1', campaign: 'd' }).put('chat_history', 'row 3', message);

  test('Judge_SessionMovesAway_ItsLaterRowsAreNotOfTheCampaign', () => {
    const story = moved();
    const [first, second, third, fourth] = story.changes;
    const here = [nothing, told(first), told(second), told(third, 'DELETE')];
    assert.deepEqual(counts(verdict_of(story, 'campaign:c', here)), k_clean);
    assert.deepEqual(counts(verdict_of(story, 'campaign:c', [...here, told(fourth)])), { ...k_clean, phantom: 1 });
    assert.deepEqual(counts(verdict_of(story, 'campaign:c', here.toSpliced(3, 1))), { ...k_clean, lost: 1 });
    assert.deepEqual(counts(verdict_of(story, 'campaign:d', [nothing, told(third, 'INSERT'), told(fourth)])), k_clean);
    assert.deepEqual(counts(verdict_of(story, 'campaign:d', [nothing, told(third, 'INSERT')])), { ...k_clean, lost: 1 });
    assert.equal(verdict_of(story, 'campaign:d', [nothing, told(third), told(fourth)]).phantom, 1);
  });

  test('Judge_RowAtAboutTheTimeOfTheMove_MayBeToldInEither', () => {
    const story = moved();
    const [first, second, third, fourth] = story.changes;
    fourth.at = third.at + 10;
    const here = [nothing, told(first), told(second), told(third, 'DELETE')];
    assert.deepEqual(counts(verdict_of(story, 'campaign:c', here)), k_clean);
    assert.deepEqual(counts(verdict_of(story, 'campaign:c', [...here, told(fourth)])), k_clean);
    assert.deepEqual(counts(verdict_of(story, 'campaign:d', [nothing, told(third, 'INSERT')])), k_clean);
  });

  test('Judge_RowInTheTransactionOfTheMove_LeavesNoDoubt', () => {
    const story = new Story().put('session_info', 'row 1', { session_id: 's1', campaign: 'c' });
    story.transaction(() => story.change('session_info', 'row 1', { session_id: 's1', campaign: 'd' }), () => story.change('chat_history', 'row 2', message));
    const [, move, row] = story.changes;
    assert.deepEqual(counts(verdict_of(story, 'campaign:d', [nothing, told(move, 'INSERT')])), { ...k_clean, lost: 1 });
    assert.deepEqual(counts(verdict_of(story, 'campaign:d', [nothing, told(move, 'INSERT'), told(row)])), k_clean);
  });

  test('Judge_RowsDeletedByACascade_GoToTheLastCampaign', () => {
    const story = new Story().put('session_info', 'row 1', { session_id: 's1', campaign: 'c' }).put('call_info', 'row 2', { session_id: 's1' });
    story.transaction(() => story.change('session_info', 'row 1', null), () => story.change('call_info', 'row 2', null));
    const log = [nothing, ...story.changes.map((change) => told(change))];
    assert.deepEqual(counts(verdict_of(story, 'campaign:c', log)), k_clean);
    assert.deepEqual(counts(verdict_of(story, 'campaign:c', log.slice(0, -1))), { ...k_clean, lost: 1 });
  });
});

describe('a number', () => {
  const say = (session) => ({ session_id: session, message: {} });
  const story = new Story().put('numbers', 'row 1', { session_id: 'a', phone_number: '+1' }).put('chat_history', 'row 2', say('a'))
    .put('numbers', 'row 1', { session_id: 'b', phone_number: '+1' }).put('chat_history', 'row 3', say('b')).put('chat_history', 'row 4', say('a'));
  const [, of_a, , of_b, late_of_a] = story.changes;
  const first = { ...nothing, at: 1.5 * k_minute, session: 'a' };
  const second = { ...nothing, at: 3.5 * k_minute, session: 'b', complete: new Set(['chat_history']) };
  const judged = (log) => counts(verdict_of(story, 'phone:+1', log));

  test('Judge_NumberMoves_WantsTheOldSessionsRestTheSnapshotAndTheNewOnes', () => {
    assert.deepEqual(judged([first, told(of_a), second, told(of_b)]), k_clean);
    assert.deepEqual(judged([first, second, told(of_b)]), { ...k_clean, lost: 1 });
    assert.deepEqual(judged([first, told(of_a), second]), { ...k_clean, lost: 1 });
    assert.deepEqual(judged([first, told(of_a), second, told(of_b), told(late_of_a)]), { ...k_clean, phantom: 1 });
  });

  test('Judge_StaysAtTheOldSession_IsElsewhere', () => {
    assert.equal(judged([first, told(of_a)]).elsewhere, 1);
  });
});

describe('postgres_changes', () => {
  const story = conversation();

  test('Judge_FilteredChanges_WantsWhatPassesTheFilter', () => {
    const log = [nothing, ...story.changes.map((change) => told(change))];
    assert.deepEqual(counts(verdict_of(story, 'changes:public.chat_history:session_id=eq.a', log)), k_clean);
    assert.equal(verdict_of(story, 'changes:public.chat_history:session_id=eq.a', log.slice(0, 3)).lost, 2);
    assert.equal(verdict_of(story, 'changes:public.chat_history:session_id=eq.b', log).phantom, 4);
    assert.deepEqual(counts(verdict_of(story, 'changes:public.numbers', [nothing])), k_clean);
  });
});
