// realtime.send and its relatives: from a transaction to every member of the topic, and replayed.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_campaign, add_session, fresh_phone, is, say } from './fixture/rows.js';

const world = use_world();

/** As an application does, in a transaction of its own. */
const send = (topic, payload, { event = 'said', is_private = true } = {}) =>
  world.query('SELECT realtime.send($1::jsonb, $2, $3, $4)', [JSON.stringify(payload), event, topic, is_private]);

/** Messages 1 to `count` of a private topic, each in a transaction of its own. */
async function send_many(topic, count) {
  await world.query(`DO $$ BEGIN FOR n IN 1..${count} LOOP PERFORM realtime.send(jsonb_build_object('n', n), 'said', '${topic}'); COMMIT; END LOOP; END $$`);
}

/** The server's time, as `since` wants it. */
const now = async () => Number((await world.query('SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms'))[0].ms);

const numbers = (watch) => watch.others.map(({ payload }) => payload.n);
const up_to = (last, first = 1) => Array.from({ length: last - first + 1 }, (_, nth) => first + nth);

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    const watch = (topic, { replay, is_private = true, ...claims } = {}) =>
      world.client({ vsn, ...claims }).watch(topic, { private: is_private, broadcast: replay ? { replay } : {} });

    test('Send_PrivateChannel_HasItsIdInPayloadAndMeta', async () => {
      const topic = fresh('room');
      const member = await watch(topic).joined();
      await send(topic, { text: 'héllo "there"' });
      const { event, payload } = await member.other();
      assert.equal(event, 'said');
      const [{ id }] = await world.query('SELECT id FROM realtime.messages WHERE topic = $1', [topic]);
      assert.deepEqual(payload, { text: 'héllo "there"', id });
      assert.deepEqual(member.metas, [{ id }]);
    });

    test('Send_PayloadWithAnId_KeepsIt', async () => {
      const topic = fresh('room');
      const member = await watch(topic).joined();
      await send(topic, { id: 'mine' });
      assert.deepEqual((await member.other()).payload, { id: 'mine' });
      assert.notEqual(member.metas[0].id, 'mine');
    });

    test('Send_PublicAndPrivateOfOneName_AreTwoTopics', async () => {
      const topic = fresh('room');
      const inside = await watch(topic).joined();
      const outside = await watch(topic, { is_private: false }).joined();
      await send(topic, { n: 1 });
      await send(topic, { n: 2 }, { is_private: false });
      await send(topic, { n: 3 });
      await inside.other(2);
      await send(topic, { n: 4 }, { is_private: false });
      await outside.other(2);
      assert.deepEqual([numbers(inside), numbers(outside)], [[1, 3], [2, 4]]);
    });

    test('Send_DomainTopics_ReachEveryNotation', async () => {
      const phone = fresh_phone();
      const campaign = await add_campaign(world);
      const session = await add_session(world, { campaign, phone });
      const spoken = [[`session:${session}`, `session:${session}`], [`campaign:${campaign}`, `campaign:${campaign}`], [`phone:${phone}`, `phone:00${phone.slice(1, 6)} ${phone.slice(6)}`]];
      for (const [joined, sent] of spoken) {
        const member = watch(joined, { is_private: false });
        await member.snapshot();
        await send(sent, { n: 1 }, { event: 'typing' });
        assert.equal((await member.other()).payload.n, 1, sent);
      }
    });

    test('Send_RolledBack_IsNeverSent', async () => {
      const topic = fresh('room');
      const member = await watch(topic).joined();
      const sent = (n) => `PERFORM realtime.send('{"n": ${n}}', 'said', '${topic}');`;
      await world.query(`DO $$ BEGIN ${sent(1)} BEGIN ${sent(2)} RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$`);
      await assert.rejects(world.query(`DO $$ BEGIN ${sent(3)} RAISE division_by_zero; END $$`));
      await send(topic, { n: 4 });
      await member.other(2);
      assert.deepEqual(numbers(member), [1, 4]);
    });

    test('Send_AmongRows_KeepsTheOrderOfTheTransaction', async () => {
      const session = await add_session(world);
      const member = watch(`session:${session}`, { is_private: false });
      await member.snapshot();
      const row = `INSERT INTO chat_history (session_id, message) VALUES ('${session}', '{}');`;
      const word = (event) => `PERFORM realtime.send('{}', '${event}', 'session:${session}');`;
      await world.query(`DO $$ BEGIN ${word('first')} ${row} ${word('second')} ${row} ${word('third')} END $$`);
      await member.other(3);
      assert.deepEqual(member.order.slice(-5), ['first', 'chat_history', 'second', 'chat_history', 'third']);
    });

    test('SendBinary_GoesToWhoCanReadIt', async () => {
      const topic = fresh('room');
      const member = await watch(topic).joined();
      await world.query(`SELECT realtime.send_binary('\\x00ff80', 'bytes', '${topic}')`);
      await send(topic, { n: 1 });
      await until(() => numbers(member).includes(1), 'the mark');
      if (vsn === '1.0.0') return assert.deepEqual(member.others.map(({ event }) => event), ['said']);
      const { event, payload } = member.others[0];
      assert.equal(event, 'bytes');
      assert.deepEqual([...new Uint8Array(payload)], [0, 255, 128]);
      const [{ id }] = await world.query("SELECT id FROM realtime.messages WHERE topic = $1 AND event = 'bytes'", [topic]);
      assert.equal(member.metas[0].id, id);
    });

    test('BroadcastChanges_FromATrigger_CarriesBothRows', async () => {
      const [topic, table] = [fresh('room'), fresh('things').replaceAll('-', '_')];
      await world.query(`CREATE TABLE ${table} (n int);
        CREATE FUNCTION ${table}_changed() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN
          PERFORM realtime.broadcast_changes('${topic}', TG_OP, TG_OP, TG_TABLE_NAME, TG_TABLE_SCHEMA, NEW, OLD);
          RETURN NULL; END $$;
        CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON ${table} FOR EACH ROW EXECUTE FUNCTION ${table}_changed()`);
      const member = await watch(topic).joined();
      await world.query(`INSERT INTO ${table} VALUES (1)`);
      await world.query(`UPDATE ${table} SET n = 2`);
      await world.query(`DELETE FROM ${table}`);
      await member.event(() => true, 3);
      const shape = { schema: 'public', table };
      const told = member.events.map(({ id, ...rest }) => rest);
      assert.deepEqual(told, [
        { event: 'INSERT', ...shape, operation: 'INSERT', record: { n: 1 }, old_record: null },
        { event: 'UPDATE', ...shape, operation: 'UPDATE', record: { n: 2 }, old_record: { n: 1 } },
        { event: 'DELETE', ...shape, operation: 'DELETE', record: null, old_record: { n: 2 } },
      ]);
      assert.deepEqual(member.events.map(({ id }) => id), member.metas.map(({ id }) => id));
    });

    test('Send_OddNamesAndALargePayload_ArriveWhole', async () => {
      const topic = `${fresh('room')}: é "x" \\ ${'ü'.repeat(150)}`;
      const member = await watch(topic).joined();
      const text = 'äß'.repeat(600_000);
      await send(topic, { text }, { event: 'a "b": ö' });
      const { event, payload } = await member.other(1, 20_000);
      assert.equal(event, 'a "b": ö');
      assert.ok(payload.text === text);
    });

    test('Send_ReservedName_IsRefusedAndCounted', async () => {
      const session = await add_session(world);
      const member = watch(`session:${session}`, { replay: { since: 0 } });
      await member.snapshot();
      const before = await world.daemon.metric('pgcast_reserved_events_refused_total');
      for (const event of ['snapshot', 'chat_history', 'stats']) await send(`session:${session}`, { operation: 'INSERT' }, { event });
      await send(`session:${session}`, { n: 1 }, { event: 'typing' });
      await member.other();
      assert.equal(await world.daemon.metric('pgcast_reserved_events_refused_total'), before + 3);
      assert.deepEqual([member.snapshots.length, member.events.length], [1, 0]);
      const late = watch(`session:${session}`, { replay: { since: 0 } });
      await late.other();
      assert.deepEqual([late.events.length, late.others.map(({ event }) => event)], [0, ['typing']]);
    });

    test('Send_IsNoRow_ForChangesAndResume', async () => {
      const session = await add_session(world);
      const client = world.client({ vsn });
      const changes = [];
      const channel = client.supabase.channel(fresh('changes')).on('postgres_changes', { event: '*', schema: '*' }, (change) => changes.push(change));
      let is_live = false;
      channel.on('system', {}, () => {
        is_live = true;
      }).subscribe();
      await until(() => is_live, 'changes are live');
      const member = watch(`session:${session}`, { is_private: false });
      const { cursor } = await member.snapshot();
      await send(`session:${session}`, { n: 1 }, { event: 'typing' });
      const id = await say(world, session, 'a row');
      await until(() => changes.some(({ table }) => table === 'chat_history'), 'a change');
      const back = world.client({ vsn }).watch(`session:${session}`, { broadcast: { resume: cursor } });
      await back.event(is('chat_history', 'INSERT'));
      assert.deepEqual(changes.filter(({ table }) => table !== 'session_info').map(({ table, new: row }) => [table, row.id]), [['chat_history', id]]);
      assert.deepEqual(back.others, []);
    });

    test('DirectInsert_OfABroadcast_IsSentOfPresenceNot', async () => {
      const topic = fresh('room');
      const member = await watch(topic).joined();
      const insert = (extension, n) => world.query('INSERT INTO realtime.messages (topic, extension, event, payload, private) VALUES ($1, $2, $3, $4, true)', [topic, extension, 'said', { n }]);
      await insert('presence', 1);
      await insert('broadcast', 2);
      assert.deepEqual((await member.other()).payload, { n: 2 }, 'as it was written');
    });

    test('KeepBroadcast_GivesTheIdThatIsTold', async () => {
      const topic = fresh('room');
      const member = await watch(topic).joined();
      const [{ id }] = await world.query("SELECT pgcast.keep_broadcast($1, 'said', '[1, 2]', NULL, true) AS id", [topic]);
      assert.deepEqual((await member.other()).payload, [1, 2]);
      assert.deepEqual(member.metas, [{ id }]);
    });

    test('TwoDaemons_BothDeliver', async () => {
      const topic = fresh('room');
      const second = await world.serve('postgres');
      const there = await world.client({ vsn, daemon: second }).watch(topic, { private: true }).joined();
      const here = await watch(topic).joined();
      await send(topic, { n: 1 });
      await Promise.all([here.other(), there.other()]);
      assert.deepEqual(here.metas, there.metas);
    });

    test('ReplicationReady_IsToldToWhoAsks_AndWhatIsSentThenArrives', async () => {
      const topic = fresh('room');
      const asking = world.client({ vsn }).watch(topic, { private: true, broadcast: { replication_ready: true } });
      const other = await watch(topic).joined();
      await until(() => asking.systems.length === 1, () => asking.say());
      assert.deepEqual(asking.systems, [{ extension: 'system', status: 'ok', message: 'Replication connection established', channel: topic }]);
      await send(topic, { n: 1 });
      await asking.other();
      await other.other();
      assert.deepEqual(other.systems, []);
    });

    test('Replay_NewestAreSentOldestFirst', async () => {
      const topic = fresh('room');
      await send_many(topic, 60);
      const member = watch(topic, { replay: { since: 0, limit: 40 } });
      await member.other(40);
      await send(topic, { n: 61 });
      await member.other(41);
      assert.deepEqual(numbers(member), up_to(61, 21));
      assert.ok(member.metas.slice(0, 40).every((meta) => meta.replayed === true && meta.id), JSON.stringify(member.metas[0]));
      assert.equal(new Set(member.metas.map(({ id }) => id)).size, 41);
      assert.deepEqual(Object.keys(member.metas[40]), ['id'], 'the live one is not replayed');
    });

    test('Replay_WithoutALimit_Is25', async () => {
      const topic = fresh('room');
      await send_many(topic, 30);
      const member = watch(topic, { replay: { since: 0 } });
      await member.other(25);
      await send(topic, { n: 31 });
      await member.other(26);
      assert.deepEqual(numbers(member), up_to(31, 6));
    });

    test('Replay_OverThousand_IsCut', async () => {
      const topic = fresh('room');
      await send_many(topic, 1_200);
      const member = watch(topic, { replay: { since: 0, limit: 5_000 } });
      await member.other(1_000, 20_000);
      await send(topic, { n: 1_201 });
      await until(() => numbers(member).at(-1) === 1_201, 'the last');
      assert.deepEqual(numbers(member), up_to(1_201, 201));
    });

    test('Replay_Since_LeavesOutWhatWasBefore', async () => {
      const topic = fresh('room');
      await send(topic, { n: 1 });
      await sleep(5);
      const since = await now();
      await send(topic, { n: 2 });
      const member = watch(topic, { replay: { since } });
      await member.other();
      const later = await watch(topic, { replay: { since: (await now()) + 60_000 } }).joined();
      await send(topic, { n: 3 });
      await Promise.all([member.other(2), later.other()]);
      assert.deepEqual([numbers(member), numbers(later)], [[2, 3], [3]]);
    });

    test('Replay_IsOfThisTopicAlone', async () => {
      const topic = fresh('room');
      await send(topic, { n: 1 }, { is_private: false });
      await send(`${topic}x`, { n: 2 });
      await send(topic, { n: 3 });
      const member = watch(topic, { replay: { since: 0 } });
      await member.other();
      await send(topic, { n: 4 });
      await member.other(2);
      assert.deepEqual(numbers(member), [3, 4]);
    });

    test('Replay_DomainTopic_ComesBeforeTheSnapshot', async () => {
      const phone = fresh_phone();
      await add_session(world, { phone });
      await send(`phone:00${phone.slice(1)}`, { n: 1 }, { event: 'typing', is_private: false });
      const member = watch(`phone:${phone}`, { replay: { since: 0 } });
      await member.snapshot();
      assert.deepEqual(member.order, ['SUBSCRIBED', 'typing', 'snapshot']);
    });

    test('Replay_ComesBetweenReplyAndPresenceState', async () => {
      const topic = `session:${await add_session(world)}`;
      await send(topic, { n: 1 });
      const raw = await world.raw({ vsn: '1.0.0' });
      const ref = '7';
      const config = { broadcast: { replay: { since: 0 }, snapshot: false }, presence: { enabled: true, key: 'me' } };
      raw.send(`realtime:${topic}`, 'phx_join', { config }, { join_ref: ref, ref });
      await raw.message(({ event }) => event === 'presence_state');
      assert.deepEqual(raw.messages.map(({ event }) => event), ['phx_reply', 'broadcast', 'presence_state']);
      const { payload } = raw.messages[1];
      assert.deepEqual(payload, { type: 'broadcast', event: 'said', payload: { n: 1, id: payload.meta.id }, meta: { id: payload.meta.id, replayed: true } });
    });

    test('Replay_PublicChannelOrBadParameters_IsRefused', async () => {
      const raw = await world.raw({ vsn });
      const { reply } = await raw.join(fresh('room'), { replay: { since: 0 } }); // supabase-js would not send it
      assert.deepEqual(reply.response, { reason: 'UnableToReplayMessages: Replay is not allowed for public channels' });
      assert.equal(reply.code, 'replay_refused');
      for (const replay of [{}, { since: 'yesterday' }, { since: -1 }, { since: 1e18 }, { since: 0, limit: 'all' }, []]) {
        assert.equal(await watch(fresh('room'), { replay }).refused(), 'UnableToReplayMessages: Replay params are not valid', JSON.stringify(replay));
      }
    });

    test('Replay_Expired_IsLeftOutAndNotCounted', async () => {
      const topic = fresh('room');
      const live = await watch(topic).joined();
      for (const [n, ttl] of [[1, null], [2, '1 ms'], [3, '1 hour'], [4, '1 ms']]) {
        await world.query("SELECT pgcast.keep_broadcast($1, 'said', jsonb_build_object('n', $2::int), NULL, true, $3)", [topic, n, ttl]);
      }
      await live.other(4);
      await sleep(20);
      const member = watch(topic, { replay: { since: 0, limit: 2 } });
      await member.other(2);
      await send(topic, { n: 5 });
      await member.other(3);
      assert.deepEqual([numbers(live).slice(0, 4), numbers(member)], [[1, 2, 3, 4], [1, 3, 5]]);
    });

    test('Replay_WhileWritersWrite_LosesAndDoublesNone', { timeout: 90_000 }, async () => {
      const topic = fresh('room');
      let is_running = true;
      let sent = 0;
      const writers = [1, 2, 3].map(async () => {
        while (is_running) {
          sent += 1;
          await send(topic, { n: sent });
          await sleep(Math.random() * 8);
        }
      });
      await until(() => sent > 20, 'some messages');
      const members = [];
      for (let nth = 0; nth < 25; nth += 1) {
        members.push(watch(topic, { replay: { since: 0, limit: 1_000 } }));
        await sleep(Math.random() * 80);
      }
      for (const member of members) await member.joined(20_000);
      is_running = false;
      await Promise.all(writers);
      const wanted = (await world.query('SELECT id FROM realtime.messages WHERE topic = $1 ORDER BY 1', [topic])).map(({ id }) => id);
      assert.ok(wanted.length > 50 && wanted.length < 1_000, `${wanted.length} messages`);
      const cuts = new Set();
      for (const member of members) {
        await until(() => member.metas.length >= wanted.length, () => `${wanted.length} messages, there are ${member.metas.length}`, 20_000);
        assert.deepEqual(member.metas.map(({ id }) => id).sort(), wanted);
        cuts.add(member.metas.filter((meta) => meta.replayed).length);
      }
      assert.ok(cuts.size > 5, 'the joins fell into the middle of the writes');
    });

    test('Replay_ClientThatStopsReading_GetsAllInTheEnd', { timeout: 90_000 }, async () => {
      const topic = fresh('room');
      const client = world.client({ vsn });
      const member = await client.watch(topic, { private: true, broadcast: { replay: { since: await now() } } }).joined();
      const parked = 'pgcast_slow_clients_total{verdict="parked"}';
      const before = await world.daemon.metric(parked);
      client.freeze();
      const filler = 'x'.repeat(100_000);
      let sent = 0;
      await until(async () => {
        for (let nth = 0; nth < 20; nth += 1) await send(topic, { n: (sent += 1), filler });
        return (await world.daemon.metric(parked)) > before;
      }, 'the client is parked', 40_000);
      for (let nth = 0; nth < 20; nth += 1) await send(topic, { n: (sent += 1), filler });
      client.sockets.at(-1).resume();
      await until(() => member.others.length >= sent, () => `${sent} messages, there are ${member.others.length}`, 30_000);
      assert.deepEqual(numbers(member), up_to(sent));
    });

    test('Replay_AfterTheDaemonWasAway_HasWhatWasMissed', { timeout: 60_000 }, async () => {
      const topic = fresh('room');
      const since = await now();
      const daemon = await world.serve('postgres');
      const member = await world.client({ vsn, daemon, quick: true }).watch(topic, { private: true, broadcast: { replay: { since, limit: 100 } } }).joined();
      await send(topic, { n: 1 });
      await member.other();
      await daemon.kill();
      await send_many(topic, 30);
      await daemon.run();
      await until(() => new Set(member.metas.map(({ id }) => id)).size === 31, () => member.say(), 20_000);
      assert.deepEqual(numbers(member), [1, 1, ...up_to(30)]);
    });
  });
}

test('Send_BinaryReplayed_Arrives', async () => {
  const topic = fresh('room');
  await world.query(`SELECT realtime.send_binary('\\x0102', 'bytes', '${topic}')`);
  const member = world.client({ vsn: '2.0.0' }).watch(topic, { private: true, broadcast: { replay: { since: 0 } } });
  assert.deepEqual([...new Uint8Array((await member.other()).payload)], [1, 2]);
  assert.equal(member.metas[0].replayed, true);
});

test('Send_ThatPoliciesForbid_IsAWarningAndNoMore', async () => {
  const topic = fresh('room');
  const member = await world.client().watch(topic, { private: true }).joined();
  await world.query(`DO $$ BEGIN
    SET LOCAL ROLE authenticated;
    PERFORM realtime.send('{"n": 1}', 'said', '${topic}');
    RESET ROLE;
    CREATE POLICY may_speak_${process.pid} ON realtime.messages FOR INSERT TO authenticated WITH CHECK (topic = realtime.topic() AND realtime.topic() = '${topic}');
    SET LOCAL ROLE authenticated;
    PERFORM realtime.send('{"n": 2}', 'said', '${topic}');
  END $$`);
  assert.equal((await member.other()).payload.n, 2);
});

test('BroadcastChanges_ForAStatement_IsRefused', async () => {
  await assert.rejects(world.query("SELECT realtime.broadcast_changes('t', 'e', 'INSERT', 'a', 'b', NULL::public.numbers, NULL::public.numbers, 'STATEMENT')"), /FOR EACH ROW/);
  await assert.rejects(world.query("SELECT realtime.broadcast_changes('t', 'e', 'TRUNCATE', 'a', 'b', NULL::public.numbers, NULL::public.numbers)"), /TRUNCATE/);
});
