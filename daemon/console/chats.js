// The room Chats: campaigns and sessions at the left, the conversation beside them.
import { html, useState, useEffect, useRef, useMemo, Icon, Problem } from './ui.js';
import { apply_to_campaign, campaign_of, empty_campaign, listed, mark_read, peeked } from './chat_state.js';
import { Conversation } from './conversation.js';
import { use_channel, join_sentence } from './channel.js';
import { preview, read_message } from './message.js';
import { ago } from './time.js';
import { Peeks } from './peek.js';
import { Windowed } from './windowed.js';

/** Where a conversation lives: keeps the campaign that is on show, and whose messages. */
function link(query, target) {
  const next = new URLSearchParams();
  for (const key of ['campaign', 'side']) if (query.get(key)) next.set(key, query.get(key));
  for (const [key, value] of Object.entries(target)) next.set(key, value);
  return `#/chats?${next}`;
}

export function Chats({ realtime, query, ask }) {
  const campaigns = use_campaigns(ask, realtime);
  const campaign = query.get('campaign') ?? campaigns.names[0] ?? null;
  const session = query.get('session');
  const phone = query.get('phone');
  const target = session !== null ? { session } : { phone };
  const topic = session !== null ? `session:${session}` : phone !== null ? `phone:${phone}` : null;
  const peeks = useMemo(() => new Peeks(realtime), []);
  const [wanted, set_wanted] = useState('');  // typed, perhaps before the campaigns have come
  const [followed, set_followed] = useState({});  // the session that a number leads to
  const open_id = session ?? (followed.topic === topic ? followed.session_id : null);
  const on_snapshot = (snapshot) => {
    set_followed({ topic, session_id: snapshot.session?.session_id ?? null });
    peeks.tell(snapshot);
  };
  const set_side = (side) => location.replace(link(query, { ...target, side }));
  return html`<main class="room chats" data-open=${topic ? 'conversation' : 'list'}>
    <section class="list" aria-label="Sessions">
      <${CampaignPicker} campaigns=${campaigns} campaign=${campaign} />
      <${Finder} wanted=${wanted} set_wanted=${set_wanted} link=${(to) => link(query, to)} />
      <${SessionList} key=${campaign} realtime=${realtime} peeks=${peeks} campaign=${campaign} query=${query} open_id=${open_id}
        wanted=${wanted} />
    </section>
    <section class="talk" aria-label="Conversation">
      ${topic
        ? html`<${Conversation} key=${topic} realtime=${realtime} ask=${ask} topic=${topic}
            side=${query.get('side') ?? 'all'} set_side=${set_side} on_snapshot=${on_snapshot}
            link=${(target) => link(query, target)} />`
        : html`<div class="blank"><${Icon} name="chat" size="40" /><p>Pick a session, or type a number.</p></div>`}
    </section>
  </main>`;
}

/** The names of the campaigns that this token may see. */
export function use_campaigns(ask) {
  const [state, set_state] = useState({ names: [], is_loaded: false, problem: null });
  useEffect(() => {
    let is_gone = false;
    let timer;
    const load = async () => {
      const { body, status, reason } = await ask('api/v1/campaigns');
      if (is_gone) return;
      if (body) return set_state({ names: body.campaigns.map((row) => row.campaign), is_loaded: true, problem: null });
      set_state((before) => ({ ...before, problem: status === 0 ? null : `The campaigns could not be read: ${reason}.` }));
      timer = setTimeout(load, 5000);
    };
    load();
    return () => {
      is_gone = true;
      clearTimeout(timer);
    };
  }, []);
  return state;
}

function CampaignPicker({ campaigns, campaign }) {
  const { names, problem, is_loaded } = campaigns;
  const all = campaign && !names.includes(campaign) ? [campaign, ...names] : names;
  const pick = (event) => {
    location.hash = `#/chats?${new URLSearchParams({ campaign: event.target.value })}`;
  };
  return html`<div class="picker">
    <label for="campaign">Campaign</label>
    ${all.length > 0
      ? html`<select id="campaign" value=${campaign} onChange=${pick}>
          ${all.map((name) => html`<option value=${name} key=${name}>${name}</option>`)}</select>`
      : html`<p class="hint">${is_loaded ? 'No campaign to see.' : 'Loading\u2026'}</p>`}
    ${problem && html`<${Problem}>${problem}<//>`}
  </div>`;
}

function SessionList({ realtime, peeks, campaign, query, open_id, wanted }) {
  const open = useRef(open_id);
  open.current = open_id;
  const { state, problem, set } = use_channel(realtime, campaign && `campaign:${campaign}`, { sessions: 1000 }, {
    empty: empty_campaign,
    of_snapshot: campaign_of,
    apply: (before, table, event) => apply_to_campaign(before, table, event, open.current),
  });
  useEffect(() => set((before) => mark_read(before, open_id)), [open_id]);
  useEffect(() => {
    peeks.found = (id, snapshot) => set((before) => peeked(before, id, snapshot));
    return () => peeks.end();
  }, []);
  const box = useRef(null);
  const place = useRef({ is_at_end: false, key: null, index: 0, past: 0 }).current;
  const now = use_now(30_000);
  const sessions = useMemo(() => listed(state, wanted), [state, wanted]);
  return html`
    ${problem && html`<${Problem}>${join_sentence(problem, 'this campaign')}<//>`}
    <div class="sessions" ref=${box}>
      <${Windowed} box=${box} items=${sessions} key_of=${id_of} estimate=${() => 62} margin=${300} place=${place} keeps_place=${false}
        draw=${(entry) => html`<${SessionEntry} key=${id_of(entry)} entry=${entry} now=${now} peeks=${peeks}
          href=${link(query, { session: id_of(entry) })} is_open=${id_of(entry) === open_id} />`} />
    </div>
    ${state.is_loaded && sessions.length === 0 && html`<p class="hint pad">
      ${wanted ? 'No session listed here matches.' : 'This campaign has no sessions yet.'}</p>`}
    ${state.has_more && html`<p class="hint pad">These are the newest 1,000 sessions. Type an id to open any other.</p>`}`;
}

const id_of = (entry) => entry.row.session_id;

function SessionEntry({ entry, now, href, is_open, peeks }) {
  useEffect(() => {
    if (!entry.is_peeked) peeks.want(id_of(entry));
    return () => peeks.forget(id_of(entry));
  }, [id_of(entry)]);
  const { row, last, phone, unread, at } = entry;
  const side = last && read_message(last.message).side;
  const line = last
    ? `${side === 'agent' ? 'Agent: ' : ''}${preview(last.message)}`
    : row.last_action || row.action_status || row.session_status || '';
  return html`<li><a href=${href} aria-current=${is_open ? 'true' : null} class=${unread ? 'unread' : null}>
    <span class="who"><span class=${`life ${row.session_status === 'active' ? 'active' : ''}`}
      title=${row.session_status ?? 'no status'}></span><bdi>${phone ?? row.session_id}</bdi>
      ${phone && html`<bdi class="id">${row.session_id}</bdi>`}</span>
    <time>${at ? ago(at, now) : ''}</time>
    <span class="line" dir="auto">${line}</span>
    ${unread > 0 && html`<span class="count" aria-label=${`${unread} new`}>${unread > 99 ? '99+' : unread}</span>`}
  </a></li>`;
}

const k_phone = /^\+?[\d\s().\-/]{5,}$/;

/** One field: filters the list and opens what is typed, as a session id or as a phone number. */
export function Finder({ wanted, set_wanted, link: link_to }) {
  const text = wanted.trim();
  const choices = [
    { icon: 'phone', words: 'Open number', href: link_to({ phone: text }) },
    { icon: 'chat', words: 'Open session', href: link_to({ session: text }) },
  ];
  if (!k_phone.test(text)) choices.shift();
  const submit = (event) => {
    event.preventDefault();
    if (text) open(choices[0].href);
  };
  const open = (href) => {
    location.hash = href;
    set_wanted('');
  };
  return html`<form class="finder" role="search" onSubmit=${submit}>
    <label class="unseen" for="find">Session id or phone number</label>
    <${Icon} name="search" />
    <input id="find" type="search" placeholder="Session id or phone number" autocomplete="off" spellcheck="false"
      value=${wanted} onInput=${(event) => set_wanted(event.target.value)} />
    ${text && html`<ul class="choices">${choices.map(({ icon, words, href }) => html`
      <li key=${words}><a href=${href} onClick=${() => set_wanted('')}>
        <${Icon} name=${icon} size="16" /><span>${words} <b>${text}</b></span></a></li>`)}</ul>`}
  </form>`;
}

export function use_now(interval) {
  const [now, set_now] = useState(() => new Date());
  useEffect(() => {
    const timer = setInterval(() => set_now(new Date()), interval);
    return () => clearInterval(timer);
  }, []);
  // Never behind the newest event by more than a render.
  return Date.now() - now > 1000 ? new Date() : now;
}
