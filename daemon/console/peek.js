// Number and last message of the sessions whose lines are on the screen: their snapshots of one message.

const k_at_once = 4;
const k_patience = 5000;  // ms for one answer
const k_sizes = { messages: 1, calls: 1 };

/** Asks for each wanted session once, the latest wanted first; `found(id, snapshot)` is set by who wants. */
export class Peeks {
  constructor(realtime) {
    Object.assign(this, { realtime, found: null, lines: new Set(), wanted: new Set(), open: new Map(), told: new Map() });
  }

  /** A snapshot that came for the conversation on the screen. */
  tell(snapshot) {
    const id = snapshot.session?.session_id;
    if (id === undefined) return;
    const last = { phone_number: snapshot.phone_number, messages: snapshot.messages.slice(-1) };
    this.told.clear();
    this.told.set(id, last);
    this.found?.(id, last);
  }

  want(id) {
    if (this.told.has(id)) return this.found?.(id, this.told.get(id));
    this.lines.add(id);
    this.wanted.add(id);
    this.go_on();
  }

  /** Its line has left the screen. */
  forget(id) {
    this.lines.delete(id);
    this.wanted.delete(id);
  }

  end() {
    this.found = null;
    this.lines.clear();
    this.wanted.clear();
    for (const close of [...this.open.values()]) close();
  }

  go_on() {
    for (const id of [...this.wanted].reverse()) {
      if (this.open.size >= k_at_once) return;
      this.wanted.delete(id);
      // The conversation on the screen has this topic, and joins it once.
      if (!this.realtime.channels.has(`session:${id}`)) this.ask(id);
    }
  }

  ask(id) {
    const topic = `session:${id}`;
    const close = () => {
      clearTimeout(timer);
      this.open.delete(id);
      channel.leave();
      this.go_on();
    };
    const channel = this.realtime.join(topic, { snapshot: k_sizes }, {
      is_aside: true,
      snapshot: (snapshot) => {
        this.found?.(id, snapshot);
        close();
      },
      event: () => {},
      failed: () => close(),
    });
    // No answer, as while the connection is away: again, as long as the line is there.
    const timer = setTimeout(() => {
      if (this.lines.has(id)) this.wanted.add(id);
      close();
    }, k_patience);
    this.open.set(id, close);
  }
}
