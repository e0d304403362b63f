// Fifty people with supabase-js, who come, go, change daemons and stop reading.
import { sleep, until } from '../e2e/fixture/process.js';
import { Client } from '../e2e/fixture/client.js';
import { mint } from '../e2e/fixture/token.js';
import { campaign_name, k_seed, number_name, session_name } from './bed.js';
import { kinds } from './kinds.js';

class Person {
  constructor(bed, { name, kind, topics, vsn, which }) {
    Object.assign(this, { bed, name, kind: kinds[kind], vsn, which, token: mint({ ttl: 24 * 3600 }) });
    this.watches = topics.map((topic) => ({ name, topic, log: [], place: {}, starts_afresh: this.kind.starts_afresh }));
  }

  /** Connects to its daemon, with the places that it has kept. */
  connect() {
    const { kind, vsn, token, name } = this;
    this.client = new Client(this.bed.daemons[this.which].url, { vsn, token, quick: true, ...kind.client_options?.(`${name}, page ${(this.pages = (this.pages ?? 0) + 1)}`) });
    for (const { topic, log, place } of this.watches) kind.open(this.client.supabase, topic, place, log).subscribe((status, error) => log.push({ is: 'status', at: Date.now(), status, why: error?.message }));
  }

  cut() {
    this.client.sockets.at(-1)?.terminate();
  }

  move() {
    this.client.close();
    this.which = 1 - this.which;
    this.connect();
  }

  /** Does not read for a while; the kernel's buffers, and then the daemon's queue, fill up. */
  async pause(ms) {
    const socket = this.client.sockets.at(-1)?._socket;
    socket?.pause();
    await sleep(ms);
    socket?.resume();
  }
}

export class Audience {
  constructor(bed, random, { people = 50, wanted = Object.keys(kinds) } = {}) {
    this.people = Array.from({ length: people }, (_, nth) => {
      const kind = wanted[nth % wanted.length];
      const topics = new Set(Array.from({ length: 2 }, () => (kinds[kind].is_changes ? changes_topic(random) : row_topic(random))));
      return new Person(bed, { name: `client ${nth}`, kind, topics: [...topics], vsn: nth % 2 === 0 ? '1.0.0' : '2.0.0', which: (nth >> 1) % 2 });
    });
  }

  /** Connects all and waits until each knows where it stands. */
  async start() {
    for (const person of this.people) person.connect();
    await until(() => this.watches.every((watch) => watch.log.some((entry) => entry.is === 'snapshot')), () => `all join, not ${this.watches.filter((watch) => !watch.log.some((entry) => entry.is === 'snapshot')).map((watch) => watch.topic).slice(0, 5)}`, 30_000);
  }

  get watches() {
    return this.people.flatMap((person) => person.watches);
  }

  get delivered() {
    return this.watches.reduce((sum, { log }) => sum + log.length, 0);
  }

  stop() {
    for (const person of this.people) person.client?.close();
  }
}

function row_topic(random) {
  const kind = random.weighted({ session: 45, phone: 30, campaign: 25 });
  if (kind === 'session') return `session:${session_name(random.whole(0, k_seed.sessions - 1))}`;
  if (kind === 'phone') return `phone:${number_name(random.whole(0, k_seed.numbers - 1))}`;
  return `campaign:${campaign_name(random.whole(0, k_seed.campaigns - 1))}`;
}

function changes_topic(random) {
  const session = session_name(random.whole(0, k_seed.sessions - 1));
  return random.one(['changes:public.session_info', 'changes:public.numbers', `changes:public.chat_history:session_id=eq.${session}`, 'changes:public.call_info']);
}
