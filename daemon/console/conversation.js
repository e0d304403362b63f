// One conversation, growing live.
import { html, useState, useLayoutEffect, useEffect, useRef, Icon, Problem } from './ui.js';
import { apply_to_conversation, conversation_of, empty_conversation } from './chat_state.js';
import { SessionLinks } from './session_links.js';
import { use_channel, join_sentence } from './channel.js';
import { read_message, read_status } from './message.js';
import { clock, day_key, day_name, is_zone, long_time, to_date } from './time.js';

const k_shown_at_once = 300;
const k_long_text = 4000;

export function Conversation({ realtime, topic, link }) {
  const { state, problem } = use_channel(realtime, topic, { messages: 1000, calls: 1 }, {
    empty: empty_conversation, of_snapshot: conversation_of, apply: apply_to_conversation,
  });
  const zone = is_zone(state.session?.tz) ? state.session.tz : 'UTC';
  const typed = topic.slice(topic.indexOf(':') + 1);
  const what = topic.startsWith('phone:') ? 'this number' : 'this session';
  return html`
    <${Heading} state=${state} typed=${typed} is_phone=${topic.startsWith('phone:')} zone=${zone} link=${link} />
    ${problem && html`<${Problem}>${join_sentence(problem, what)}<//>`}
    ${state.is_loaded && !problem && html`<${Messages} state=${state} zone=${zone} what=${what} />`}
    ${!state.is_loaded && !problem && html`<p class="hint pad">Loading\u2026</p>`}`;
}

function Heading({ state, typed, is_phone, zone, link }) {
  const { session, phone, also, is_loaded } = state;
  const name = phone ?? session?.session_id ?? typed;
  const others = also.filter((id) => id !== session?.session_id);
  return html`<header class="heading">
    <a class="back" href=${link({})} aria-label="Back to the sessions"><${Icon} name="back" size="22" /></a>
    <div>
      <h1><bdi>${name}</bdi>
        ${session?.session_status && html` <span class="badge" data-status=${session.session_status}>${session.session_status}</span>`}</h1>
      <p class="facts">
        ${phone && session && html`<span>Session <bdi>${session.session_id}</bdi></span>`}
        ${session?.campaign && html`<span><bdi>${session.campaign}</bdi></span>`}
        ${session && html`<span>Times in ${zone}</span>`}
        ${is_loaded && !session && html`<span>No session ${is_phone ? 'has this number' : 'has this id'} yet</span>`}
        ${others.length > 0 && html`<span>Also: ${others.slice(0, 5).map((id) => html`
          <a key=${id} href=${link({ session: id })}><bdi>${id}</bdi></a> `)}</span>`}
      </p>
    </div>
    ${session && html`<${SessionLinks} session_id=${session.session_id} campaign=${session.campaign} rooms=${['candidate', 'calls']} />`}
    <${Objectives} objectives=${session?.objectives} />
  </header>`;
}

/** How many objectives are met: JSON true, or an object whose value or met is true. */
function Objectives({ objectives }) {
  if (!objectives || typeof objectives !== 'object' || Array.isArray(objectives)) return null;
  const is_met = (one) => one === true || one?.value === true || one?.met === true;
  const names = Object.keys(objectives);
  if (names.length === 0) return null;
  const met = names.filter((name) => is_met(objectives[name]));
  return html`<details class="objectives">
    <summary>${met.length} of ${names.length} <span>objectives</span></summary>
    <ul>${names.map((name) => html`<li key=${name} class=${is_met(objectives[name]) ? 'met' : null}>
      <${Icon} name=${is_met(objectives[name]) ? 'one' : 'clock'} label=${is_met(objectives[name]) ? 'Met' : 'Open'} size="15" />
      ${name.replaceAll('_', ' ')}</li>`)}</ul>
  </details>`;
}

function Messages({ state, zone, what }) {
  const { messages, times, has_more } = state;
  const [shown, set_shown] = useState(k_shown_at_once);
  const { box, end, is_at_end, missed, to_end } = use_sticky_end(messages);
  const first = Math.max(0, messages.length - shown);
  const now = new Date();
  const rows = [];
  let day = null;
  let side = null;
  for (const row of messages.slice(first)) {
    const message = read_message(row.message);
    const time = message.time ?? to_date(times.get(row.id));
    if (time && day_key(time, zone) !== day) {
      day = day_key(time, zone);
      side = null;
      rows.push(html`<li class="day" key=${`day ${day} ${row.id}`}><span>${day_name(time, zone, now)}</span></li>`);
    }
    rows.push(html`<${Bubble} key=${row.id} row=${row} message=${message} time=${time} zone=${zone} goes_on=${side === message.side} />`);
    side = message.side;
  }
  return html`<div class="scroll" ref=${box} tabindex="0" aria-label="Messages">
      ${first > 0 && html`<button class="quiet" onClick=${() => set_shown(shown + 1000)}>Show earlier messages</button>`}
      ${first === 0 && has_more && html`<p class="hint middle">These are the newest ${messages.length.toLocaleString()} messages.</p>`}
      ${messages.length === 0 && html`<div class="blank"><p>No messages yet.<br />They will appear here as they are written.</p></div>`}
      <ol class="messages" role="log" aria-live="polite">${rows}</ol>
      <div ref=${end}></div>
    </div>
    ${!is_at_end && html`<button class="to-end" onClick=${to_end}>
      ${missed > 0 ? `${missed} new ${missed === 1 ? 'message' : 'messages'}` : 'Newest'} <${Icon} name="down" size="16" /></button>`}`;
}

function Bubble({ row, message, time, zone, goes_on }) {
  const [is_whole, set_whole] = useState(false);
  const { side, name, text, is_raw } = message;
  const is_long = !is_whole && text.length > k_long_text;
  const status = read_status(message.status, side);
  return html`<li class=${`message ${side} ${goes_on ? 'goes-on' : ''}`} data-id=${row.id}>
    <div class="bubble">
      <span class="unseen">${side === 'user' ? 'Candidate' : side === 'agent' ? 'Agent' : name}: </span>
      ${side === 'other' && html`<span class="name">${name}</span>`}
      ${is_raw ? html`<pre>${is_long ? text.slice(0, k_long_text) : text}</pre>`
        : html`<p dir="auto">${is_long ? text.slice(0, k_long_text) : text}</p>`}
      ${is_long && html`<button class="quiet" onClick=${() => set_whole(true)}>Show all ${text.length.toLocaleString()} characters</button>`}
      <span class="meta">
        ${time && html`<time datetime=${time.toISOString()} title=${long_time(time, zone)}>${clock(time, zone)}</time>`}
        ${status && html`<span class="status" data-tone=${status.tone} title=${status.label}>
          ${status.icon ? html`<${Icon} name=${status.icon} label=${status.label} size="15" />` : status.label}</span>`}
      </span>
    </div>
  </li>`;
}

/** Stays at the newest message while the reader is there; counts what came while he was not. */
function use_sticky_end(messages) {
  const box = useRef(null);
  const end = useRef(null);
  const seen = useRef(messages.length);
  const stick = useRef(true);
  const [is_at_end, set_at_end] = useState(true);
  const to_end = () => {
    stick.current = true;
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  };
  const count = messages.length;
  const total = useRef(count);
  total.current = count;
  useLayoutEffect(() => {
    if (stick.current) to_end();
  });
  useEffect(() => {
    const watcher = new IntersectionObserver(([entry]) => {
      stick.current = entry.isIntersecting;
      if (entry.isIntersecting) seen.current = total.current;
      set_at_end(entry.isIntersecting);
    }, { root: box.current, rootMargin: '0px 0px 80px 0px' });
    watcher.observe(end.current);
    return () => watcher.disconnect();
  }, []);
  if (stick.current) seen.current = count;
  return { box, end, is_at_end, missed: Math.max(0, count - seen.current), to_end };
}
