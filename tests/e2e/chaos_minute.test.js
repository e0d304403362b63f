// A minute of writers, clients and faults of every kind; tests/chaos/run does it for as long as you like.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chaos, table_of } from '../chaos/chaos.js';

const k_seconds = Number(process.env.PGCAST_E2E_CHAOS_SECONDS ?? 60);
const k_seed = Number(process.env.PGCAST_E2E_CHAOS_SEED ?? 20260101);

test('Chaos_AMinuteOfFaults_WhatWasCommittedIsDeliveredAndNothingElse', { timeout: (k_seconds + 240) * 1000 }, async (t) => {
  const told = [];
  const report = await chaos({ seconds: k_seconds, seed: k_seed, say: (line) => told.push(line) });
  t.diagnostic(`seed ${k_seed}`);
  for (const line of table_of(report).split('\n')) t.diagnostic(line);
  assert.ok(report.good, `${told.join('\n')}\n${table_of(report)}`);
  assert.deepEqual(report.failed_faults, []);
  assert.deepEqual(report.refusals, {}, 'no history was lost, so every cursor is good');
  assert.ok(report.committed > 1000 && report.delivered > report.committed, 'something happened');
  assert.ok(Object.keys(report.faults).length > 15, JSON.stringify(report.faults));
});
