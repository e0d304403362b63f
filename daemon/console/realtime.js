// A small client of the daemon's own protocol (Phoenix channels, text frames, vsn 1.0.0).
//
// One socket carries all channels. When it is lost, it is opened again after 1, 2, 5, 10, 10 .. s and
// every channel joins with the cursor of the last event it saw (config.broadcast.resume): what was
// missed comes first, then the live tail. Events that come again are dropped by id.

const k_back_off = [1000, 2000, 5000, 10_000];
const k_join_timeout = 10_000;
const k_heartbeat = 25_000;
const k_heartbeat_timeout = 10_000;
const k_settled = 400;          // a resume is over when nothing came for this long,
const k_settled_at_most = 10_000; // or after this long on a busy topic
const k_remembered_ids = 5000;

/** Waiting time in ms before attempt n (0 is the first), spread by up to a fifth. */
export function back_off(attempt, random = Math.random) {
  const base = k_back_off[Math.min(attempt, k_back_off.length - 1)];
  return Math.round(base * (0.9 + random() * 0.2));
}

/** The newest `limit` ids; add() is false for one that is known. */
export class Recent {
  constructor(limit) {
    this.limit = limit;
    this.ids = new Set();
  }

  add(id) {
    if (this.ids.has(id)) return false;
    this.ids.add(id);
    if (this.ids.size > this.limit) this.ids.delete(this.ids.values().next().value);
    return true;
  }
}

/**
 * The connection. `on_state` gets {kind, since, recovery, reason}, kind is one of
 *   connecting, connected, reconnecting (since: when it was lost), refused (reason; it stays so).
 * `recovery` after an outage: {outage_ms, messages, is_fresh}; is_fresh = a channel was loaded anew.
 * `probe` says why a socket cannot be opened, as a browser does not: resolves to a reason when the
 * token is refused, else to null.
 */
export class Realtime {
  constructor({ url, token, on_state, probe }) {
    this.url = url;
    this.token = token;
    this.on_state = on_state;
    this.probe = probe;
    this.channels = new Map();
    this.next_ref = 1;
    this.attempt = 0;
    this.lost_at = null;
    this.recovery = null;
    this.is_closed = false;
    this.wake = () => document.visibilityState === 'visible' && this.retry_now();
    addEventListener('online', this.wake);
    document.addEventListener('visibilitychange', this.wake);
    this.say('connecting');
    this.open();
  }

  /**
   * Follows a topic. `options` go into config.broadcast; handlers: snapshot(payload),
   * event(name, payload), joined(), lost(), failed(reason). Returns the channel; leave() ends it. With
   * `is_aside` among them its snapshot is not news after an outage.
   */
  join(topic, options, handlers) {
    const channel = new Channel(this, topic, options, handlers);
    this.channels.get(topic)?.leave();
    this.channels.set(topic, channel);
    if (this.is_open) channel.send_join();
    return channel;
  }

  close() {
    this.is_closed = true;
    removeEventListener('online', this.wake);
    document.removeEventListener('visibilitychange', this.wake);
    clearTimeout(this.retry_timer);
    this.stop_socket();
    for (const channel of this.channels.values()) channel.stop();
    this.channels.clear();
  }

  /** Tries at once, when the machine woke up or the network came back. */
  retry_now() {
    if (this.is_closed || !this.retry_timer) return;
    clearTimeout(this.retry_timer);
    this.open();
  }

  /** The token is no good (any more): nothing is tried again. */
  refuse(reason) {
    this.close();
    this.say('refused', { reason });
  }

  get is_open() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  say(kind, more = {}) {
    this.on_state({ kind, since: Date.now(), recovery: null, reason: null, ...more });
  }

  open() {
    this.retry_timer = null;
    const url = new URL(this.url);
    if (this.token) url.searchParams.set('apikey', this.token);
    url.searchParams.set('vsn', '1.0.0');
    const socket = new WebSocket(url);
    let was_open = false;
    this.socket = socket;
    socket.onopen = () => {
      was_open = true;
      this.opened();
    };
    socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    socket.onclose = () => socket === this.socket && this.lost(was_open);
  }

  opened() {
    this.attempt = 0;
    this.heartbeat_timer = setInterval(() => this.heartbeat(), k_heartbeat);
    if (this.lost_at) this.recovery = new Recovery(Date.now() - this.lost_at, this.channels.size, () => this.recovered());
    this.lost_at = null;
    this.say('connected');
    for (const channel of this.channels.values()) channel.send_join();
    if (this.channels.size === 0) this.recovery?.touch();
  }

  async lost(was_open) {
    this.stop_socket();
    const outage_start = this.lost_at ?? Date.now();
    this.lost_at = outage_start;
    for (const channel of this.channels.values()) channel.stop();
    if (!was_open) {
      const reason = await this.probe();
      if (this.is_closed) return;
      if (reason) return this.refuse(reason);
    }
    this.say('reconnecting', { since: outage_start });
    this.retry_timer = setTimeout(() => this.open(), back_off(this.attempt++));
  }

  stop_socket() {
    clearInterval(this.heartbeat_timer);
    clearTimeout(this.heartbeat_deadline);
    this.recovery?.cancel();
    this.recovery = null;
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  recovered() {
    const { outage_ms, ids, is_fresh } = this.recovery;
    this.recovery = null;
    this.say('connected', { recovery: { outage_ms, messages: ids.size, is_fresh } });
  }

  heartbeat() {
    this.heartbeat_ref = this.push('phoenix', 'heartbeat', {});
    this.heartbeat_deadline = setTimeout(() => this.lost(true), k_heartbeat_timeout);
  }

  /** Sends one message and gives its ref. */
  push(topic, event, payload, join_ref) {
    const ref = String(this.next_ref++);
    this.socket.send(JSON.stringify({ topic, event, payload, ref, join_ref: join_ref ?? ref }));
    return ref;
  }

  receive({ topic, event, payload, ref }) {
    if (topic === 'phoenix') {
      if (ref === this.heartbeat_ref) clearTimeout(this.heartbeat_deadline);
      return;
    }
    this.channels.get(topic.replace(/^realtime:/, ''))?.receive(event, payload, ref);
  }
}

/** One topic of the connection: joining -> joined, again after every loss. */
class Channel {
  constructor(realtime, topic, options, handlers) {
    Object.assign(this, { realtime, topic, options, handlers });
    this.cursor = null;
    this.recent = new Recent(k_remembered_ids);
    this.is_joined = false;
    this.attempt = 0;
  }

  leave() {
    if (this.is_left) return;
    this.stop();
    if (this.realtime.channels.get(this.topic) === this) this.realtime.channels.delete(this.topic);
    if (this.realtime.is_open && this.join_ref) {
      this.realtime.push(`realtime:${this.topic}`, 'phx_leave', {}, this.join_ref);
    }
    this.is_left = true;
  }

  stop() {
    if (this.is_joined) this.handlers.lost?.();
    this.is_joined = false;
    clearTimeout(this.timer);
  }

  send_join() {
    if (this.is_left || !this.realtime.is_open) return;
    const broadcast = { ack: false, self: false, ...this.options };
    if (this.cursor) broadcast.resume = this.cursor;
    const config = { broadcast, presence: { key: '', enabled: false }, postgres_changes: [], private: false };
    const payload = this.realtime.token ? { config, access_token: this.realtime.token } : { config };
    this.is_joined = false;
    this.join_ref = this.realtime.push(`realtime:${this.topic}`, 'phx_join', payload);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.rejoin('The daemon did not answer in time.'), k_join_timeout);
  }

  rejoin(reason) {
    this.stop();
    if (reason) this.handlers.failed?.(reason);
    this.timer = setTimeout(() => this.send_join(), back_off(this.attempt++));
  }

  receive(event, payload, ref) {
    if (event === 'phx_reply') return ref === this.join_ref && this.answered(payload);
    if (event === 'phx_close') return (!ref || ref === this.join_ref) && this.rejoin('The daemon closed this channel.');
    if (event === 'phx_error') return this.rejoin(null);
    if (event === 'system') return this.noticed(payload);
    if (event !== 'broadcast' || !this.is_joined) return;
    this.happened(payload.event, payload.payload);
  }

  answered({ status, response }) {
    clearTimeout(this.timer);
    if (status === 'ok') {
      this.is_joined = true;
      this.attempt = 0;
      this.realtime.recovery?.answered();
      return this.handlers.joined?.();
    }
    const reason = String(response.reason ?? Object.values(response).join(', '));
    if (is_token_refused(reason)) return this.realtime.refuse(reason);
    this.realtime.recovery?.answered();
    this.rejoin(reason);
  }

  noticed({ status, code, message }) {
    if (status !== 'error') return;
    if (is_token_refused(String(message))) return this.realtime.refuse(String(message));
    if (String(code).startsWith('cursor_')) this.cursor = null;
  }

  happened(name, payload) {
    if (name === 'snapshot') {
      this.cursor = payload.cursor;
      if (!this.handlers.is_aside) this.realtime.recovery?.loaded_anew();
      return this.handlers.snapshot(payload);
    }
    if (!payload?.cursor) return; // typing and the like: not a row
    // Numbers are whole each time: there is nothing to drop as known and nothing to resume.
    if (name === 'stats') return this.handlers.event(name, payload);
    this.cursor = payload.cursor;
    if (!this.recent.add(payload.id)) return;
    this.realtime.recovery?.add(name, payload);
    this.handlers.event(name, payload);
  }
}

/** Counts what a resume brings, until all of `joins` are answered and it has settled. */
class Recovery {
  constructor(outage_ms, joins, done) {
    this.outage_ms = outage_ms;
    this.joins = joins;
    this.ids = new Set();
    this.is_fresh = false;
    this.done = done;
  }

  add(name, { id, operation }) {
    if (name === 'chat_history' && operation === 'INSERT') this.ids.add(id);
    this.touch();
  }

  loaded_anew() {
    this.is_fresh = true;
    this.touch();
  }

  answered() {
    this.joins -= 1;
    this.touch();
  }

  touch() {
    this.ends_by ??= Date.now() + k_settled_at_most;
    const settles = this.joins > 0 ? k_settled_at_most : k_settled;
    clearTimeout(this.timer);
    this.timer = setTimeout(this.done, Math.max(0, Math.min(settles, this.ends_by - Date.now())));
  }

  cancel() {
    clearTimeout(this.timer);
  }
}

function is_token_refused(reason) {
  return /token|jwt/i.test(reason) && /expired|invalid|malformed|signature|required|not a valid/i.test(reason);
}
