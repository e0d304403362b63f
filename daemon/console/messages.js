// The messages of a conversation: sides, days, times, ticks; live at the end, older ones at the top.
import { html, useState, useMemo, useRef, useEffect, Icon } from './ui.js';
import { k_kept_messages } from './chat_state.js';
import { read_message, read_status } from './message.js';
import { clock, day_key, day_name, long_time, to_date } from './time.js';
import { Windowed } from './windowed.js';

const k_long_text = 4000;
const k_near_start = 2500;   // px from the top where older messages are asked for
const k_slide = 600;         // ms in which a new message may slide in
const k_slide_at_most = 10;  // more at once (after an outage) just stand there
const k_start = { is_at_end: true, key: null, index: 0, past: 0 };

/** The side to show is fixed for the life of this component: give it as key. */
export function Messages({ state, zone, side, older }) {
  const box = useRef(null);
  const place = useRef({ ...k_start }).current;
  const whole = useRef(new Set()).current;
  const [is_at_end, set_at_end] = useState(true);
  const items = use_items(state, zone, side);
  const news = use_news(items, is_at_end);
  const [top_day, set_top_day] = useState(null);
  const on_scroll = ({ is_at_end: now_at_end, index, key }, top) => {
    set_at_end(now_at_end);
    const item = key === null ? null : items[index];
    set_top_day(item && (index > 0 || !item.begins_day) ? item.day_time?.getTime() ?? null : null);
    if (top < k_near_start) older.load();
  };
  const to_end = () => {
    Object.assign(place, k_start);
    set_at_end(true);
    box.current.scrollTop = box.current.scrollHeight;
  };
  const now = new Date();
  const draw = (item, index) => html`<li key=${item.row.id} class=${`slot ${news.slides.has(item.row.id) ? 'new' : ''}`}
      aria-setsize=${state.has_more ? -1 : items.length} aria-posinset=${index + 1}>
    ${item.begins_day && html`<div class="day"><span>${day_name(item.time, zone, now)}</span></div>`}
    <${Bubble} item=${item} zone=${zone} whole=${whole} />
  </li>`;
  return html`<div class="scroll" ref=${box} tabindex="0" role="region" aria-label="Messages">
      ${top_day !== null && html`<div class="day now" aria-hidden="true"><span>${day_name(new Date(top_day), zone, now)}</span></div>`}
      <${Start} state=${state} older=${older} count=${items.length} side=${side} />
      <${Windowed} class="messages" box=${box} items=${items} key_of=${id_of} estimate=${estimate} draw=${draw}
        place=${place} keeps_place=${true} on_scroll=${on_scroll} />
    </div>
    <p class="unseen" role="status">${news.said}</p>
    ${!is_at_end && html`<button class="to-end" onClick=${to_end}>
      ${news.missed > 0 ? `${news.missed} new ${news.missed === 1 ? 'message' : 'messages'}` : 'Newest'} <${Icon} name="down" size="16" /></button>`}`;
}

const id_of = (item) => item.row.id;

/** A guess of the height in px, until it is drawn: lines of some 60 letters. */
function estimate({ message, begins_day, goes_on }) {
  const lines = Math.ceil(Math.min(message.text.length, k_long_text) / 60) || 1;
  return lines * 22.5 + (goes_on ? 33 : 40) + (begins_day ? 50 : 0);
}

/** What is above the first message. */
function Start({ state, older, count, side }) {
  if (older.is_loading || older.is_possible) return html`<p class="hint middle loading">Loading earlier messages\u2026</p>`;
  const total = state.messages.length;
  if (count === 0) {
    const whose = { all: '', user: ' of the candidate', agent: ' of the agent' }[side];
    return html`<div class="blank"><p>No messages${whose} yet.<br />They will appear here as they are written.</p></div>`;
  }
  if (!state.has_more) return html`<p class="hint middle">This is where the conversation begins.</p>`;
  const newest = `These are the newest ${total.toLocaleString()} messages.`;
  return html`<p class="hint middle">${total >= k_kept_messages || state.phone
    ? newest : `${newest} Earlier ones are read by number, and this session has none.`}</p>`;
}

/** How a row is read, once for each row and zone: the list is gone through at every event. */
const readings = new WeakMap();
function reading_of(row, live_time, zone) {
  const known = readings.get(row);
  if (known?.zone === zone && known.live_time === live_time) return known;
  const message = read_message(row.message);
  const time = message.time ?? to_date(live_time);
  const one = { message, time, day: time && day_key(time, zone), zone, live_time };
  readings.set(row, one);
  return one;
}

/** What is to be drawn: {row, message, time, begins_day, day_time, goes_on}, oldest first. */
function use_items(state, zone, side) {
  return useMemo(() => {
    const items = [];
    let day = null;
    let day_time = null;
    let before = null;
    for (const row of state.messages) {
      const { message, time, day: own } = reading_of(row, state.times.get(row.id) ?? null, zone);
      if (side !== 'all' && message.side !== side) continue;
      const begins_day = own !== null && own !== day;
      if (begins_day) day_time = time;
      items.push({ row, message, time, begins_day, day_time, goes_on: !begins_day && before === message.side });
      if (begins_day) day = own;
      before = message.side;
    }
    return items;
  }, [state, zone, side]);
}

/**
 * What came after this was opened: `slides`, ids that may slide in; `missed`, how many came while the
 * reader was elsewhere; `said`, the newest one for a screen reader.
 */
function use_news(items, is_at_end) {
  const last_id = items.length > 0 ? id_of(items[items.length - 1]) : -1;
  const memory = useRef({ newest: last_id, seen: last_id, slides: new Map(), said: '' }).current;
  const fresh = tail_after(items, memory.newest);
  const now = performance.now();
  for (const [id, since] of memory.slides) if (now - since > k_slide) memory.slides.delete(id);
  if (fresh.length > 0) {
    if (fresh.length <= k_slide_at_most) for (const item of fresh) memory.slides.set(id_of(item), now);
    const { message } = fresh[fresh.length - 1];
    memory.said = `${voice(message)}: ${message.text.slice(0, 200)}`;
  }
  memory.newest = Math.max(memory.newest, last_id);
  useEffect(() => {
    if (is_at_end) memory.seen = memory.newest;
  });
  return { slides: memory.slides, said: memory.said, missed: is_at_end ? 0 : tail_after(items, memory.seen).length };
}

function tail_after(items, id) {
  let from = items.length;
  while (from > 0 && id_of(items[from - 1]) > id) from -= 1;
  return items.slice(from);
}

const voice = ({ side, name }) => ({ user: 'Candidate', agent: 'Agent' }[side] ?? name);

function Bubble({ item, zone, whole }) {
  const { row, message, time, goes_on } = item;
  const { side, name, text, is_raw } = message;
  const [, set_whole] = useState(false);
  const is_long = text.length > k_long_text && !whole.has(row.id);
  const show_all = () => {
    whole.add(row.id);
    set_whole(true);
  };
  const shown = is_long ? text.slice(0, k_long_text) : text;
  const status = read_status(message.status, side);
  return html`<div class=${`message ${side} ${goes_on ? 'goes-on' : ''}`} data-id=${row.id}>
    <div class="bubble">
      <span class="unseen">${voice(message)}: </span>
      ${side === 'other' && html`<span class="name">${name}</span>`}
      ${is_raw ? html`<pre dir="auto">${shown}</pre>` : html`<p dir="auto">${shown}</p>`}
      ${is_long && html`<button class="quiet" onClick=${show_all}>Show all ${text.length.toLocaleString()} characters</button>`}
      <span class="meta">
        ${time && html`<time datetime=${time.toISOString()} title=${long_time(time, zone)}>${clock(time, zone)}</time>`}
        ${status && html`<span class="status" data-tone=${status.tone} title=${status.label}>
          ${status.icon ? html`<${Icon} name=${status.icon} label=${status.label} size="15" />` : status.label}</span>`}
      </span>
    </div>
  </div>`;
}
