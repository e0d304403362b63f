// Who somebody is: keys of auth.jwks and their rotation, api keys, tokens that end, joins without one.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import { Daemon, fresh, use_world } from './fixture/world.js';
import { sleep, until } from './fixture/process.js';
import { add_session, say } from './fixture/rows.js';
import { mint } from './fixture/token.js';
import { refusal } from './fixture/raw.js';
import { Issuer, KeyServer, k_algorithms, key_set, put } from './fixture/keys.js';

const folder = mkdtempSync(path.join(tmpdir(), 'pgcast-keys-'));
const file = (name, text) => {
  const at = path.join(folder, name);
  writeFileSync(at, text);
  return at;
};

const issuers = Object.fromEntries(k_algorithms.map((alg) => [alg, new Issuer(alg)]));
const rotating = path.join(folder, 'rotating.json');
const k_secret_key = { kty: 'oct', kid: 'shared', alg: 'HS256', k: Buffer.alloc(32, 7).toString('base64url') };

// anon sees sessions that are open to all; a user the open ones and his own.
const world = use_world({
  env: {
    PGCAST_JWKS: file('keys.json', key_set(...Object.values(issuers), k_secret_key)),
    PGCAST_AUTH_API_KEYS: 'sb_publishable_one=anon,sb_secret_two=service_role',
    PGCAST_THREADS: '2',
  },
  sql: `GRANT SELECT ON ALL TABLES IN SCHEMA public TO anon;
    ALTER TABLE session_info ENABLE ROW LEVEL SECURITY;
    CREATE POLICY open ON session_info FOR SELECT TO anon, authenticated USING (split_part(session_id, '/', 1) = 'open');
    CREATE POLICY own ON session_info FOR SELECT TO authenticated USING (split_part(session_id, '/', 1) = auth.jwt() ->> 'sub');
    ALTER TABLE chat_history ENABLE ROW LEVEL SECURITY;
    CREATE POLICY seen ON chat_history FOR SELECT TO authenticated USING (EXISTS (SELECT FROM session_info s WHERE s.session_id = chat_history.session_id))`,
});
const servers = [];
afterEach(() => world.close_clients());
after(() => {
  for (const server of servers) server.stop();
  rmSync(folder, { recursive: true });
});

const session_of = (name) => add_session(world, { id: fresh(`${name}/s`) });
const anon = () => mint({ role: 'anon', ttl: 10 * 365 * 86_400 }); // as the keys of a Supabase project are
const notices = (watch, code) => watch.systems.filter((one) => one.extension === 'pgcast' && one.code === code);
const status_of = async (token, daemon = world.daemon) => (await refusal(daemon.url, { apikey: token })).status;

async function key_server(...keys) {
  const server = await KeyServer.start(key_set(...keys));
  servers.push(server);
  return server;
}

/** A daemon of its own on the same database, without a secret. */
const serve = (jwks, env) => world.serve('postgres', { PGCAST_JWT_SECRET: '', PGCAST_JWKS: jwks, PGCAST_THREADS: '2', ...env });

for (const vsn of ['1.0.0', '2.0.0']) {
  describe(`vsn ${vsn}`, () => {
    for (const alg of k_algorithms) {
      test(`Token_Of${alg}_GetsTheRowsOfItsClaims`, async () => {
        const session = await session_of('anna');
        const [anna, ben] = ['anna', 'ben'].map((sub) => world.client({ vsn, token: issuers[alg].mint({ role: 'authenticated', sub }) }));
        const watch = anna.watch(`session:${session}`);
        await watch.snapshot();
        const id = await say(world, session, alg);
        assert.equal((await watch.event()).record.id, id);
        assert.match(await ben.watch(`session:${session}`).refused(), /^Unauthorized/);
      });
    }

    test('Rotation_WhileConnected_NewTokensAreTakenAndNobodyIsDropped', async () => {
      const [before, next] = [new Issuer('ES256'), new Issuer('EdDSA')];
      put(rotating, key_set(before));
      const daemon = await serve(rotating);
      const session = await session_of('anna');
      const old = world.client({ vsn, daemon, token: before.mint() }).watch(`session:${session}`);
      await old.snapshot();
      assert.equal(await status_of(next.mint(), daemon), 401);
      put(rotating, key_set(next));
      const watch = world.client({ vsn, daemon, token: next.mint() }).watch(`session:${session}`);
      await watch.snapshot();
      await until(async () => await status_of(before.mint(), daemon) === 401, 'the old key is gone');
      await say(world, session, 'to both');
      for (const one of [old, watch]) await one.event();
      assert.deepEqual(old.statuses.map((one) => one.status), ['SUBSCRIBED']);
      await daemon.kill('SIGTERM');
    });

    test('Join_WithAnUnknownKey_WaitsForItAndNothingOvertakesIt', async () => {
      const [known, late] = [new Issuer('ES256'), new Issuer('ES256')];
      const server = await key_server(known);
      const daemon = await serve(server.url);
      const session = await session_of('anna');
      const raw = await world.raw({ vsn, daemon, token: known.mint({ role: 'anon' }) });
      server.text = key_set(known, late);
      server.delay = 700;
      const topic = `realtime:session:${session}`;
      raw.send(topic, 'phx_join', { config: {}, access_token: late.mint({ role: 'authenticated', sub: 'anna' }) }, { ref: 'j', join_ref: 'j' });
      raw.send('phoenix', 'heartbeat', {}, { ref: 'h' });
      assert.equal((await raw.reply('j')).status, 'ok');
      await raw.reply('h');
      const refs = raw.messages.filter((one) => one.event === 'phx_reply').map((one) => one.ref);
      assert.deepEqual(refs.filter((ref) => ref === 'j' || ref === 'h').length, 2);
      assert.equal(server.requests, 2);
      await daemon.kill('SIGTERM');
    });

    test('Join_WithoutAToken_SaysAsWhichRole', async () => {
      const watch = world.client({ vsn, token: anon() }).watch(`session:${await session_of('open')}`);
      await watch.snapshot();
      assert.deepEqual(notices(watch, 'joined_as').map(({ status, message }) => ({ status, message })),
        [{ status: 'ok', message: 'joined as role anon: the join carried no access_token' }]);
      assert.deepEqual(watch.statuses.map((one) => one.status), ['SUBSCRIBED']);
    });

    test('Join_WithTheConnectionsKey_SaysSo', async () => {
      const client = world.client({ vsn, token: anon() });
      await client.supabase.realtime.setAuth();
      const watch = client.watch(`session:${await session_of('open')}`);
      await watch.snapshot();
      assert.match(notices(watch, 'joined_as')[0].message, /^joined as role anon: the join carried the connection's key/);
    });

    test('Join_OfSomebody_IsNoFallback', async () => {
      const session = await session_of('anna');
      for (const claims of [{ role: 'service_role' }, { role: 'authenticated', sub: 'anna' }]) {
        const watch = world.client({ vsn, ...claims }).watch(`session:${session}`);
        await watch.snapshot();
        assert.deepEqual(watch.systems, []);
      }
    });

    test('JoinedAs_AndPostgresChanges_DoNotDisturbEachOther', async () => {
      const client = world.client({ vsn, token: anon() });
      const heard = [];
      const systems = [];
      const statuses = [];
      client.supabase.channel(fresh('changes'))
        .on('postgres_changes', { event: '*', schema: 'public', table: 'session_info' }, (change) => heard.push(change))
        .on('system', {}, (payload) => systems.push(payload))
        .subscribe((status) => statuses.push(status));
      await until(() => systems.length === 2, () => JSON.stringify({ systems, statuses }));
      assert.deepEqual(systems.map((one) => one.extension), ['postgres_changes', 'pgcast']);
      const session = await session_of('open');
      await until(() => heard.length === 1, () => JSON.stringify({ heard, statuses }));
      assert.equal(heard[0].new.session_id, session);
      assert.deepEqual(statuses, ['SUBSCRIBED']);
    });

    test('SetAuth_LateAfterAnAnonJoin_ShowsTheUsersRowsInPlace', async () => {
      const client = world.client({ vsn, token: anon() });
      const watch = client.watch(`session:${await session_of('open')}`);
      const heard = [];
      const statuses = [];
      client.supabase.channel(fresh('changes'))
        .on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'session_info' }, (change) => heard.push(change.new.session_id))
        .subscribe((status) => statuses.push(status));
      await watch.snapshot();
      await until(() => statuses.includes('SUBSCRIBED'), 'joined');
      const hidden = await session_of('anna');
      const open = await session_of('open');
      await until(() => heard.includes(open), () => JSON.stringify(heard));
      await client.supabase.realtime.setAuth(issuers.ES256.mint({ role: 'authenticated', sub: 'anna' }));
      const seen = await until(async () => {
        const session = await session_of('anna');
        await sleep(100);
        return heard.includes(session) && session;
      }, () => `${JSON.stringify({ heard, statuses })}\n${world.daemon.process.log()}`);
      assert.ok(heard.includes(seen) && !heard.includes(hidden));
      assert.deepEqual([...statuses, ...watch.statuses.map((one) => one.status)], ['SUBSCRIBED', 'SUBSCRIBED']);
    });

    test('SetAuth_AfterARefusedAnonJoin_IsTakenByTheNextJoin', async () => {
      const client = world.client({ vsn, token: anon(), quick: true });
      const session = await session_of('anna');
      const watch = client.watch(`session:${session}`);
      assert.match(await watch.refused(), /^Unauthorized/);
      await client.supabase.realtime.setAuth(issuers.RS256.mint({ role: 'authenticated', sub: 'anna' }));
      await watch.snapshot(1, 20_000);
      assert.deepEqual(notices(watch, 'joined_as'), []);
    });

    test('ApiKeys_AreTheirRoles', async () => {
      const [own, open] = [await session_of('anna'), await session_of('open')];
      const [publishable, secret] = ['sb_publishable_one', 'sb_secret_two'].map((token) => world.client({ vsn, token }));
      const watch = publishable.watch(`session:${open}`);
      await watch.snapshot();
      assert.match(notices(watch, 'joined_as')[0].message, /^joined as role anon: /);
      assert.match(await publishable.watch(`session:${own}`).refused(), /^Unauthorized/);
      const all = secret.watch(`session:${own}`);
      await all.snapshot();
      await say(world, own, 'one');
      await all.event();
      assert.deepEqual(all.systems, []);
    });

    test('ApiKey_WithAUsersToken_GetsTheUsersRows', async () => {
      const session = await session_of('anna');
      const client = world.client({ vsn, token: 'sb_publishable_one', access_token: async () => issuers.PS256.mint({ role: 'authenticated', sub: 'anna' }) });
      await client.supabase.realtime.setAuth();
      const watch = client.watch(`session:${session}`);
      await watch.snapshot();
      await say(world, session, 'one');
      await watch.event();
      assert.deepEqual(watch.systems, []);
    });

    test('Expiry_IsAnnounced_AndARenewalInTimeEndsNothing', { timeout: 60_000 }, async () => {
      const session = await session_of('anna');
      let ttl = 3;
      const client = world.client({ vsn, token: anon(), access_token: async () => mint({ role: 'authenticated', sub: 'anna', ttl }) });
      await client.supabase.realtime.setAuth();
      const watch = client.watch(`session:${session}`);
      await until(() => notices(watch, 'token_expires_soon').length > 0, () => watch.say());
      const [{ status, message, channel }] = notices(watch, 'token_expires_soon');
      assert.equal(status, 'ok');
      assert.equal(channel, `session:${session}`);
      assert.match(message, /^the token expires in [1-3] seconds; /);
      ttl = 3600;
      await client.supabase.realtime.setAuth(); // as an app answers to it
      await sleep(4000); // the first one is over
      await say(world, session, 'after the first token');
      await watch.event();
      assert.deepEqual(watch.statuses.map((one) => one.status), ['SUBSCRIBED']);
      assert.equal(watch.snapshots.length, 1);
    });

    test('Expiry_IsAnnounced60SecondsAhead_OnceForAToken', { timeout: 60_000 }, async () => {
      const session = await session_of('anna');
      const client = world.client({ vsn, role: 'authenticated', sub: 'anna', ttl: 63 });
      const watch = client.watch(`session:${session}`);
      await watch.snapshot();
      assert.deepEqual(notices(watch, 'token_expires_soon'), []);
      await until(() => notices(watch, 'token_expires_soon').length > 0, () => watch.say());
      assert.match(notices(watch, 'token_expires_soon')[0].message, /in (60|59) seconds/);
      await client.supabase.realtime.setAuth(mint({ role: 'authenticated', sub: 'anna', ttl: 61 }));
      await until(() => notices(watch, 'token_expires_soon').length > 1, () => watch.say());
      await sleep(1500);
      assert.equal(notices(watch, 'token_expires_soon').length, 2, 'one for each token');
    });

    test('Expiry_NotRenewed_TheClientJoinsAgainWithItsNewToken', { timeout: 60_000 }, async () => {
      const session = await session_of('anna');
      const user = (ttl) => issuers.ES384.mint({ role: 'authenticated', sub: 'anna', ttl });
      let token = user(4); // what the app has until it asks its issuer again
      const client = world.client({ vsn, token: anon(), quick: true, realtime: { heartbeatIntervalMs: 500 }, access_token: async () => token });
      await client.supabase.realtime.setAuth();
      const watch = client.watch(`session:${session}`);
      await watch.snapshot();
      await until(() => watch.has('CHANNEL_ERROR'), () => watch.say(), 15_000);
      assert.ok(watch.systems.some((one) => one.status === 'error' && /^Token has expired [0-3] seconds ago$/.test(one.message)), watch.say());
      token = user(3600);
      await watch.snapshot(2, 20_000);
      await say(world, session, 'with the new token');
      await watch.event();
      assert.ok(!watch.has('CLOSED'), watch.say());
    });
  });
}

describe('forged tokens', () => {
  const refused = async (token) => {
    const { status, body } = await refusal(world.daemon.url, { apikey: token });
    assert.equal(status, 401, token);
    assert.ok(!body.includes('eyJ'), 'no token in an answer');
  };
  const claims = { role: 'service_role', exp: Math.floor(Date.now() / 1000) + 600 };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const with_mac = (header, key) => {
    const text = `${part(header)}.${part(claims)}`;
    return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
  };

  test('PublicKeyAsSecret_IsRefused', async () => {
    const { publicKey, kid } = issuers.RS256;
    const texts = ['pkcs1', 'spki'].flatMap((type) => ['pem', 'der'].map((format) => publicKey.export({ type, format })));
    for (const key of [...texts, JSON.stringify(issuers.RS256.jwk()), issuers.RS256.jwk().n]) {
      for (const header of [{ alg: 'HS256' }, { alg: 'HS256', kid }]) await refused(with_mac(header, key));
    }
  });
  test('AlgorithmOfAnotherKey_IsRefused', async () => {
    for (const alg of ['RS384', 'PS256', 'ES256', 'EdDSA', 'none', 'HS256']) await refused(issuers.RS256.sign(claims, { alg, kid: issuers.RS256.kid }));
    await refused(issuers.RS384.sign(claims, { alg: 'RS384', kid: issuers.RS256.kid }));
  });
  test('KeyInTheToken_IsNotBelieved', async () => {
    const thief = new Issuer('ES256');
    const jwk = thief.jwk();
    const server = await key_server(thief);
    for (const more of [{ jwk }, { jwk, kid: issuers.ES256.kid }, { jku: server.url, kid: thief.kid }, { x5u: server.url }, { kid: thief.kid }]) {
      await refused(thief.sign(claims, { alg: 'ES256', ...more }));
    }
    assert.equal(server.requests, 0);
  });
  test('CriticalExtension_IsRefused', () => refused(issuers.ES256.sign(claims, { alg: 'ES256', kid: issuers.ES256.kid, crit: ['exp'] })));
  test('ApiKey_Unknown_IsRefused', async () => {
    for (const key of ['sb_publishable_two', 'sb_publishable_', 'sb_secret_', 'sb_publishable_one ,sb_secret_two']) await refused(key);
  });
  test('SecretOfTheSet_SignsOnlyUnderItsName', async () => {
    const key = Buffer.alloc(32, 7);
    assert.equal(await status_of(with_mac({ alg: 'HS256', kid: 'shared' }, key)), 101);
    await refused(with_mac({ alg: 'HS512', kid: 'shared' }, key));
    await refused(with_mac({ alg: 'HS256', kid: 'shared' }, 'an-e2e-secret-of-at-least-thirty-two-bytes'));
  });
  test('TokenWithoutKid_IsVerifiedByTheKeysOfItsAlgorithm', async () => {
    assert.equal(await status_of(issuers.ES512.sign(claims, { alg: 'ES512' })), 101);
    await refused(new Issuer('ES512').sign(claims, { alg: 'ES512' }));
  });
});

describe('keys in a file', () => {
  test('BrokenFile_KeysOfBeforeStay_AndTheLogSaysWhyOnce', async () => {
    const issuer = new Issuer('ES256');
    const jwks = file('breaks.json', key_set(issuer));
    const daemon = await serve(jwks);
    put(jwks, '{"keys":');
    await until(() => daemon.process.log().includes('is not a JSON Web Key Set'), () => daemon.process.log());
    for (let nth = 0; nth < 3; nth += 1) assert.equal(await status_of(new Issuer('ES256').mint(), daemon), 401);
    assert.equal(await status_of(issuer.mint(), daemon), 101);
    rmSync(jwks);
    await until(() => daemon.process.log().includes('cannot be read'), () => daemon.process.log());
    assert.equal(await status_of(issuer.mint(), daemon), 101);
    const times = (text) => daemon.process.log().split(text).length - 1;
    assert.equal(times('is not a JSON Web Key Set'), 1);
    assert.equal(times('cannot be read'), 1);
    assert.equal(await daemon.metric('pgcast_key_loads_total{result="failed"}'), 2);
    assert.equal(await daemon.metric('pgcast_token_keys'), 1);
    const next = new Issuer('ES256');
    put(jwks, key_set(next));
    assert.equal(await status_of(next.mint(), daemon), 101, 'and a good one is taken at once');
    await daemon.kill('SIGTERM');
  });

  test('RotatedFile_IsSeenByAJoinAtOnce', async () => {
    const [known, next] = [new Issuer('ES256'), new Issuer('PS384')];
    const jwks = file('join.json', key_set(known));
    const daemon = await serve(jwks);
    const session = await session_of('anna');
    const client = world.client({ daemon, token: known.mint({ role: 'anon' }) });
    put(jwks, key_set(known, next));
    await client.supabase.realtime.setAuth(next.mint({ role: 'authenticated', sub: 'anna' }));
    const watch = client.watch(`session:${session}`);
    await watch.snapshot();
    assert.deepEqual(watch.statuses.map((one) => one.status), ['SUBSCRIBED']);
    await daemon.kill('SIGTERM');
  });

  test('NoSecret_TokensOfSecretsAreRefused', async () => {
    const issuer = new Issuer('ES256');
    const daemon = await serve(file('alone.json', key_set(issuer)));
    assert.equal(await status_of(issuer.mint(), daemon), 101);
    assert.equal(await status_of(mint(), daemon), 401);
    assert.equal(await status_of(mint({}, ''), daemon), 401);
    await daemon.kill('SIGTERM');
  });

  for (const [name, text, sentence] of [
    ['Missing', null, /auth\.jwks: .* cannot be read; give a file that the daemon may read/],
    ['Weak', () => key_set(new Issuer('RS256', { bits: 1024, kid: 'old' })), /auth\.jwks: .* cannot be used: it has no usable key: key "old" is an RSA key of 1024 bits, and 2048 to 8192 are accepted; make another one/],
    ['NoJson', () => 'nonsense', /auth\.jwks: .* is not a JSON Web Key Set, which looks like/],
  ]) {
    test(`${name}_IsSaidAtStartAndByCheck`, async () => {
      const jwks = path.join(folder, `${name}.json`);
      if (text) writeFileSync(jwks, text());
      const daemon = new Daemon(world.daemon.database_url, { PGCAST_JWKS: jwks });
      const served = await daemon.command('serve');
      assert.equal(served.code, 78);
      assert.match(served.text, sentence);
      const checked = await daemon.command('check');
      assert.equal(checked.code, 1);
      assert.match(checked.text, new RegExp(`fail  keys: ${sentence.source}`));
    });
  }

  test('Check_ListsTheKeysAndWhatIsWrongWithOthers', async () => {
    const jwks = file('mixed.json', key_set(new Issuer('RS256', { bits: 1024, kid: 'old' }), new Issuer('RS256'), new Issuer('Ed448')));
    const { text } = await new Daemon(world.daemon.database_url, { PGCAST_JWKS: jwks }).command('check');
    assert.match(text, /warn {2}keys: key "old" is an RSA key of 1024 bits/);
    assert.match(text, /ok {4}keys: tokens are verified with 1 Ed448, 1 RSA of auth\.jwks/);
  });
});

describe('keys at a URL', () => {
  test('UnknownKey_IsWaitedFor_AndLookedForOnceAMinute', async () => {
    const [known, late] = [new Issuer('ES256'), new Issuer('RS512')];
    const server = await key_server(known);
    const daemon = await serve(server.url);
    assert.equal(await status_of(known.mint(), daemon), 101);
    assert.equal(server.requests, 1);
    server.text = key_set(known, late);
    server.delay = 500;
    const together = await Promise.all(Array.from({ length: 5 }, () => status_of(late.mint(), daemon)));
    assert.deepEqual(together, Array(5).fill(101));
    assert.equal(server.requests, 2);
    for (let nth = 0; nth < 10; nth += 1) assert.equal(await status_of(new Issuer('ES256').mint(), daemon), 401);
    assert.equal(server.requests, 2);
    await daemon.kill('SIGTERM');
  });

  test('ServerAway_TheDaemonStarts_AndTakesTheKeysWhenItIsBack', async () => {
    const issuer = new Issuer('ES256');
    const server = await key_server(issuer);
    server.status = 503;
    const daemon = await serve(server.url);
    await until(() => daemon.process.log().includes('answers with status 503'), () => daemon.process.log());
    server.status = 200;
    assert.equal(await status_of(issuer.mint(), daemon), 101);
    await daemon.kill('SIGTERM');
  });

  for (const [name, change, sentence] of [
    ['Redirect', { status: 302 }, /answers with status 302 instead of 200; give the address of the key set itself/],
    ['Garbage', { text: '<html>' }, /is not a JSON Web Key Set/],
    ['Huge', { text: 'x'.repeat(2 << 20) }, /is larger than 1 MiB/],
  ]) {
    test(`${name}_ChangesNothing_AndIsSaidByCheck`, async () => {
      const issuer = new Issuer('ES256');
      const server = await key_server(issuer);
      const daemon = await serve(server.url);
      assert.equal(await status_of(issuer.mint(), daemon), 101);
      Object.assign(server, change);
      assert.equal(await status_of(new Issuer('ES256').mint(), daemon), 401);
      assert.match(daemon.process.log(), sentence);
      assert.equal(await status_of(issuer.mint(), daemon), 101);
      const checked = await daemon.command('check');
      assert.equal(checked.code, 1);
      assert.match(checked.text, new RegExp(`fail  keys: auth\\.jwks: .*${sentence.source}`));
      await daemon.kill('SIGTERM');
    });
  }

  test('NobodyListens_IsSaidByCheck', async () => {
    const server = await KeyServer.start('');
    server.stop();
    const { code, text } = await new Daemon(world.daemon.database_url, { PGCAST_JWKS: server.url }).command('check');
    assert.equal(code, 1);
    assert.match(text, /fail {2}keys: auth\.jwks: http:\/\/127\.0\.0\.1:\d+\/\S+ cannot be fetched: /);
  });

  test('PlainHttpOfElsewhere_IsRefused', async () => {
    for (const url of ['http://keys.example/jwks', 'http://127.0.0.1.example/', 'ftp://127.0.0.1/', 'https://user:word@keys.example/', 'https://']) {
      const { code, text } = await new Daemon(world.daemon.database_url, { PGCAST_JWKS: url }).command('serve');
      assert.equal(code, 78, url);
      assert.match(text, /PGCAST_JWKS = .* is not accepted; it takes the path of a file, or an https:\/\/ URL/);
    }
  });
});
