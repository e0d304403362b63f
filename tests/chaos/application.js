// Writers that behave as the recruiting agent does, on a bad day.
import { sleep } from '../e2e/fixture/process.js';
import { campaign_name, k_seed, moves, number_name, session_name } from './bed.js';

/** What one statement does, by how often an application does it. */
const k_weights = {
  say: 50, edit: 8, unsay: 4, move_message: 2, call: 6, update_call: 4, drop_call: 1, objective: 5, drop_objective: 1,
  touch_session: 10, move_session: 2, upsert_session: 3, new_session: 3, drop_session: 1.5, rename_session: 0.7,
  move_number: 1, add_number: 1, drop_number: 0.5, assign: 1, unassign: 0.7, edit_campaign: 1, null_session: 0.5,
};

export class Application {
  transactions = 0;
  lost_answers = 0;

  constructor(bed, random, { writers = 16, pause = 70 } = {}) {
    Object.assign(this, { bed, pause });
    this.is_running = true;
    this.work = Promise.all(Array.from({ length: writers }, (_, which) => new Writer(this, which, random.fork()).run()));
  }

  /** After it every transaction has ended. */
  async stop() {
    this.is_running = false;
    await this.work;
  }
}

class Writer {
  made = 0;
  temporary = [];

  constructor(application, which, random) {
    Object.assign(this, { application, which, random });
  }

  async run() {
    const { application, random } = this;
    while (application.is_running) {
      let connection;
      try {
        connection = await application.bed.postgres.connect();
        while (application.is_running) {
          await this.transaction(connection);
          await sleep(random.next() * 2 * application.pause);
        }
      } catch {
        await sleep(100); // the server is restarting
      } finally {
        await connection?.end().catch(() => {});
      }
    }
  }

  async transaction(connection) {
    const { random, application } = this;
    const isolation = random.weighted({ 'READ COMMITTED': 80, 'REPEATABLE READ': 10, SERIALIZABLE: 10 });
    const is_long = random.chance(0.03);
    try {
      await connection.query(`BEGIN ISOLATION LEVEL ${isolation}`);
      if (random.chance(0.002)) await connection.query(`COPY chat_history (session_id, message) FROM '${application.bed.copy_file}'`);
      for (let row = random.whole(1, 4); row > 0; row -= 1) {
        const has_savepoint = random.chance(0.15);
        if (has_savepoint) await connection.query('SAVEPOINT s');
        await this[random.weighted(k_weights)](connection);
        if (has_savepoint) await connection.query(random.chance(0.5) ? 'ROLLBACK TO s' : 'RELEASE s');
        if (is_long && application.is_running) await sleep(random.next() * (random.chance(0.1) ? 6000 : 1000));
      }
      const is_kept = !random.chance(0.15);
      await connection.query(is_kept ? 'COMMIT' : 'ROLLBACK');
      application.transactions += 1;
    } catch (error) {
      // Serialization failures and deadlocks belong to the day; without a code the connection is gone.
      if (!/^\w{5}$/.test(error.code) || /^(57|08)/.test(error.code)) {
        application.lost_answers += 1;
        throw error;
      }
      if (!/^(40|23|55)/.test(error.code)) process.stderr.write(`a writer: ${error.code} ${error.message}\n`);
      await connection.query('ROLLBACK');
    }
  }

  /** A session that is there from the start (moved sometimes), or one that comes and goes. */
  session() {
    if (this.temporary.length > 0 && this.random.chance(0.25)) return this.random.one(this.temporary);
    return session_name(this.random.whole(0, k_seed.sessions - 1));
  }

  campaign() {
    return this.random.chance(0.1) ? null : campaign_name(this.random.whole(0, k_seed.campaigns - 1));
  }

  name(kind) {
    this.made += 1;
    return `${kind}-${this.which}-${this.made}-${this.random.whole(0, 1e9)}`;
  }

  message() {
    const text = this.random.chance(0.02) ? 'long '.repeat(2000) : `row ${this.made} "☃"\n`;
    return JSON.stringify(this.random.chance(0.7) ? { sender: this.random.one(['user', 'agent']), text, status: 'sent' } : { type: 'human', data: { content: text } });
  }

  say(to) {
    return to.query('INSERT INTO chat_history (session_id, message) VALUES ($1, $2)', [this.session(), this.message()]);
  }

  some_message() {
    return `id = (SELECT id FROM chat_history WHERE session_id = $1 ORDER BY id DESC LIMIT 1 OFFSET ${this.random.whole(0, 5)})`;
  }

  edit(to) {
    return to.query(`UPDATE chat_history SET message = $2 WHERE ${this.some_message()}`, [this.session(), this.message()]);
  }

  unsay(to) {
    return to.query(`DELETE FROM chat_history WHERE ${this.some_message()}`, [this.session()]);
  }

  move_message(to) {
    return to.query(`UPDATE chat_history SET session_id = $2 WHERE ${this.some_message()}`, [this.session(), this.session()]);
  }

  null_session(to) {
    return to.query(`UPDATE chat_history SET session_id = NULL WHERE ${this.some_message()}`, [this.session()]);
  }

  call(to) {
    return to.query("INSERT INTO call_info (call_id, session_id, status, called_at, duration, transcript) SELECT $1, s.session_id, 'done', now(), interval '75.5 s', 'Hello' FROM session_info s WHERE s.session_id = $2",
      [this.name('call'), this.session()]);
  }

  update_call(to) {
    return to.query('UPDATE call_info SET status = $2, analysis = \'{"a": 1.50}\' WHERE call_id IN (SELECT call_id FROM call_info WHERE session_id = $1 ORDER BY called_at DESC LIMIT 2)', [this.session(), this.name('status')]);
  }

  drop_call(to) {
    return to.query('DELETE FROM call_info WHERE call_id = (SELECT call_id FROM call_info WHERE session_id = $1 LIMIT 1)', [this.session()]);
  }

  objective(to) {
    return to.query("INSERT INTO session_objective_events (session_id, objective, new_value, source, occurred_at) SELECT s.session_id, 'licence', 'true', 'chat', now() FROM session_info s WHERE s.session_id = $1", [this.session()]);
  }

  drop_objective(to) {
    return to.query('DELETE FROM session_objective_events WHERE id = (SELECT max(id) FROM session_objective_events WHERE session_id = $1)', [this.session()]);
  }

  touch_session(to) {
    return to.query('UPDATE session_info SET last_user_msg_at = now(), last_action = $2 WHERE session_id = $1', [this.session(), this.name('action')]);
  }

  /** A third of the sessions moves; the rows of the others leave no doubt about their campaign. */
  move_session(to) {
    const session = this.random.chance(0.5) && this.temporary.length > 0 ? this.random.one(this.temporary) : session_name(3 * this.random.whole(0, k_seed.sessions / 3 - 1));
    return to.query('UPDATE session_info SET campaign = $2 WHERE session_id = $1', [session, this.campaign()]);
  }

  upsert_session(to) {
    const session = this.random.chance(0.7) ? this.session() : this.new_name();
    return to.query('INSERT INTO session_info (session_id, campaign, created_at) VALUES ($1, $2, now()) ON CONFLICT (session_id) DO UPDATE SET reminder_count = session_info.reminder_count + 1', [session, this.campaign()]);
  }

  new_name() {
    const session = this.name('guest');
    this.temporary.push(session);
    return session;
  }

  new_session(to) {
    return to.query('INSERT INTO session_info (session_id, campaign, created_at) VALUES ($1, $2, now())', [this.new_name(), this.campaign()]);
  }

  /** Its calls, objectives and numbers go with it; its messages stay. */
  drop_session(to) {
    const session = this.temporary.shift();
    return session ? to.query('DELETE FROM session_info WHERE session_id = $1', [session]) : this.say(to);
  }

  rename_session(to) {
    const session = this.temporary.shift();
    return session ? to.query('UPDATE session_info SET session_id = $2 WHERE session_id = $1', [session, this.new_name()]) : this.say(to);
  }

  move_number(to) {
    const nth = this.random.whole(0, k_seed.numbers - 1);
    if (!moves(nth)) return this.say(to);
    return to.query('UPDATE numbers SET session_id = $2 WHERE phone_number = $1', [number_name(nth), session_name(this.random.whole(0, k_seed.sessions - 1))]);
  }

  add_number(to) {
    return to.query('INSERT INTO numbers (session_id, phone_number) SELECT s.session_id, $2 FROM session_info s WHERE s.session_id = $1', [this.session(), this.name('number')]);
  }

  drop_number(to) {
    return to.query("DELETE FROM numbers WHERE session_id = $1 AND phone_number LIKE 'number-%'", [this.session()]);
  }

  assign(to) {
    return to.query('INSERT INTO campaigns (session_id, campaign) SELECT s.session_id, $2 FROM session_info s WHERE s.session_id = $1', [this.session(), this.campaign()]);
  }

  unassign(to) {
    return to.query('DELETE FROM campaigns WHERE session_id = $1', [this.session()]);
  }

  edit_campaign(to) {
    return to.query('UPDATE campaign_info SET job_info = $2 WHERE campaign = $1', [campaign_name(this.random.whole(0, k_seed.campaigns - 1)), this.name('job')]);
  }
}
