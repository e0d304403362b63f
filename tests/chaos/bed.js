// What the chaos happens to: one Postgres that keeps a ledger, and two daemons behind proxies.
import { Daemon, World } from '../e2e/fixture/world.js';
import { Proxy } from '../e2e/fixture/proxy.js';

const k_tables = ['campaign_info', 'session_info', 'chat_history', 'call_info', 'campaigns', 'numbers', 'session_objective_events'];
const k_seed = { campaigns: 6, sessions: 60, numbers: 24 };

/**
 * Every row gets a name for life and a new version at each change, and every change is noted by a
 * trigger that has nothing to do with pgcast's: what the ledger says was committed, was committed.
 */
const k_ledger = `
  CREATE SCHEMA chaos;
  CREATE SEQUENCE chaos.version;
  CREATE SEQUENCE chaos.row;
  CREATE TABLE chaos.ledger (xid xid8 DEFAULT pg_current_xact_id(), table_name text, operation text,
    row_name bigint, v bigint, old_v bigint, record jsonb, old_record jsonb);
  CREATE FUNCTION chaos.stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.chaos_v := nextval('chaos.version');
    RETURN NEW;
  END $$;
  CREATE FUNCTION chaos.note() RETURNS trigger LANGUAGE plpgsql SET timezone = 'UTC' SET intervalstyle = postgres AS $$ BEGIN
    INSERT INTO chaos.ledger (table_name, operation, row_name, v, old_v, record, old_record) VALUES (TG_TABLE_NAME, TG_OP,
      CASE WHEN TG_OP = 'DELETE' THEN OLD.chaos_row ELSE NEW.chaos_row END,
      CASE WHEN TG_OP <> 'DELETE' THEN NEW.chaos_v END, CASE WHEN TG_OP <> 'INSERT' THEN OLD.chaos_v END,
      CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END, CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END);
    RETURN NULL;
  END $$;
  ${k_tables.map((table) => `
    ALTER TABLE ${table} ADD COLUMN chaos_row bigint NOT NULL DEFAULT nextval('chaos.row'), ADD COLUMN chaos_v bigint;
    CREATE TRIGGER aaa_chaos_stamp BEFORE INSERT OR UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION chaos.stamp();
    CREATE TRIGGER zzz_chaos_note AFTER INSERT OR UPDATE OR DELETE ON ${table} FOR EACH ROW EXECUTE FUNCTION chaos.note();`).join('')}
  CREATE INDEX ON chat_history (session_id);
  GRANT USAGE ON SCHEMA chaos TO PUBLIC; -- what a cascade does, the tables' owner does
  GRANT INSERT ON chaos.ledger TO PUBLIC;
  GRANT USAGE ON ALL SEQUENCES IN SCHEMA chaos TO PUBLIC;
  DO $$ DECLARE f record; BEGIN
    FOR f IN SELECT conrelid::regclass AS child, conname, pg_get_constraintdef(oid) AS text FROM pg_constraint
             WHERE contype = 'f' AND connamespace = 'public'::regnamespace LOOP
      EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s ON UPDATE CASCADE ON DELETE CASCADE', f.child, f.conname, f.conname, f.text);
    END LOOP;
  END $$`;

/** Names of what the application keeps; sessions of it come and go besides. */
export const campaign_name = (nth) => `campaign ${nth}`;
export const session_name = (nth) => `session-${nth}`;
export const number_name = (nth) => `+447700900${String(nth).padStart(3, '0')}`;
/** Every third number moves between sessions; the others stay. */
export const moves = (nth) => nth % 3 === 2;
export { k_seed };

export class Bed {
  async start() {
    this.world = new World();
    // Small limits, so that a client that stops reading is soon parked.
    const env = { PGCAST_THREADS: '2', PGCAST_LIMITS_QUEUE_BYTES: '64KiB', PGCAST_LIMITS_SLOW_CLIENT: '300ms', PGCAST_LOG_LEVEL: 'info' };
    await this.world.start({ sql: k_ledger, env, settings: { track_commit_timestamp: 'on', max_wal_size: '2GB' } });
    await this.world.daemon.kill();
    this.world.daemons.clear();
    this.postgres = this.world.postgres;
    this.proxies = [];
    this.daemons = [];
    for (let nth = 0; nth < 2; nth += 1) {
      const proxy = await Proxy.start(this.postgres.port);
      const daemon = new Daemon(proxy.url(), env);
      this.world.daemons.add(daemon);
      await daemon.run();
      this.proxies.push(proxy);
      this.daemons.push(daemon);
    }
    await this.seed();
  }

  async seed() {
    const { campaigns, sessions, numbers } = k_seed;
    for (let nth = 0; nth < campaigns; nth += 1) await this.query('INSERT INTO campaign_info (campaign, job_info) VALUES ($1, $2)', [campaign_name(nth), 'A job']);
    for (let nth = 0; nth < sessions; nth += 1) {
      await this.query('INSERT INTO session_info (session_id, campaign, created_at) VALUES ($1, $2, now())', [session_name(nth), nth % 10 === 9 ? null : campaign_name(nth % campaigns)]);
    }
    for (let nth = 0; nth < numbers; nth += 1) await this.query('INSERT INTO numbers (session_id, phone_number) VALUES ($1, $2)', [session_name(nth), number_name(nth)]);
    this.copy_file = `${this.postgres.directory}/copy.tsv`;
    await this.query(`COPY (SELECT 'session-' || i % 5, json_build_object('sender', 'agent', 'text', 'row ' || i) FROM generate_series(1, 2000) i) TO '${this.copy_file}'`);
  }

  query(text, values) {
    return this.world.query(text, values);
  }

  /** What was committed, with the ids under which it stands in the outbox. */
  async changes() {
    const number = (text) => (text === null ? null : Number(text));
    const key = (row) => `${row.xid} ${row.operation[0]} ${row.v} ${row.old_v}`;
    const events = await this.query(`SELECT id, xid, operation::text, record::jsonb ->> 'chaos_v' AS v, old_record::jsonb ->> 'chaos_v' AS old_v FROM pgcast.outbox`);
    const ids = new Map(events.map((row) => [key(row), Number(row.id)]));
    const noted = await this.query('SELECT *, extract(epoch FROM pg_xact_commit_timestamp(xid::xid)) * 1000 AS at FROM chaos.ledger');
    const strays = noted.filter((row) => !ids.has(key(row)));
    if (strays.length > 0 || events.length !== noted.length) {
      throw new Error(`${noted.length} changes were committed, ${events.length} are in the outbox, ${strays.length} are not: ${JSON.stringify(strays.slice(0, 3))}`);
    }
    return noted.map((row) => ({ id: ids.get(key(row)), xid: row.xid, at: number(row.at), table: row.table_name, operation: row.operation,
      row: number(row.row_name), v: number(row.v), old_v: number(row.old_v), record: JSON.parse(row.record), old_record: JSON.parse(row.old_record) }));
  }

  async stop() {
    for (const daemon of this.daemons ?? []) daemon.process.kill('SIGCONT');
    await this.world?.stop();
    for (const proxy of this.proxies ?? []) await proxy.stop();
  }
}
