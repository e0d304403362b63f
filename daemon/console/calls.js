// The room Calls: the calls of a campaign or of one session at the left, the open one beside them.
import { html, useState, useMemo, Icon, Problem } from './ui.js';
import { CallCard, CallLength, CallStatus } from './call.js';
import { call_preview } from './call_text.js';
import { called_at, grouped_calls } from './calls_state.js';
import { use_calls } from './calls_source.js';
import { join_sentence } from './channel.js';
import { use_campaigns } from './chats.js';
import { SessionLinks } from './session_links.js';
import { ago, clock, day_name, zone_of } from './time.js';

const k_shown_at_once = 150;

/** The address of this room with `changes` made to its query; null takes a key out. */
function link(query, changes) {
  const next = new URLSearchParams(query);
  for (const [key, value] of Object.entries(changes)) value === null ? next.delete(key) : next.set(key, value);
  return `#/calls?${next}`;
}

export function Calls({ realtime, query, ask }) {
  const campaigns = use_campaigns(ask);
  const campaign = query.get('campaign') ?? campaigns.names[0] ?? null;
  const [session, phone] = [query.get('session'), query.get('phone')];
  const topic = session !== null ? `session:${session}` : phone !== null ? `phone:${phone}` : campaign && `campaign:${campaign}`;
  return html`<${Room} key=${topic} realtime=${realtime} ask=${ask} topic=${topic} query=${query} campaigns=${campaigns} campaign=${campaign} />`;
}

function Room({ realtime, ask, topic, query, campaigns, campaign: likely }) {
  const { state, problem, is_asking, look_back } = use_calls(realtime, ask, topic);
  const open_id = query.get('call');
  const open = open_id === null ? null : state.calls.get(open_id);
  const of_one = topic !== null && !topic.startsWith('campaign:');
  const own = of_one ? [...state.sessions.values()][0]?.campaign : null;
  const campaign = query.get('campaign') ?? own ?? likely;
  return html`<main class="room calls" data-open=${open_id === null ? 'list' : 'conversation'}>
    <section class="list" aria-label="Calls">
      <${Pickers} campaigns=${campaigns} campaign=${campaign} query=${query} state=${state} of_one=${of_one} topic=${topic} />
      ${problem && html`<${Problem}>${join_sentence(problem, of_one ? 'this session' : 'this campaign')}<//>`}
      ${campaigns.problem && html`<${Problem}>${campaigns.problem}<//>`}
      ${topic && (state.is_loaded || !problem) && html`<${CallList} state=${state} query=${query} of_one=${of_one} is_asking=${is_asking} look_back=${look_back} />`}
    </section>
    <section class="talk" aria-label="Call">
      ${open ? html`<${OpenCall} state=${state} row=${open} query=${query} />`
        : html`<div class="blank"><${Icon} name="phone" size="40" /><p>${open_id === null ? 'Pick a call.'
          : state.is_loaded && !is_asking ? 'This call is not among those listed: it may have been deleted, or be older.' : 'Loading\u2026'}</p>
          ${open_id !== null && html`<a class="quiet" href=${link(query, { call: null })}>Back to the calls</a>`}</div>`}
    </section>
  </main>`;
}

/** Which calls: of a campaign, or of one of its sessions. */
function Pickers({ campaigns, campaign, query, state, of_one, topic }) {
  const names = campaign && !campaigns.names.includes(campaign) ? [campaign, ...campaigns.names] : campaigns.names;
  const sessions = useMemo(() => [...state.sessions.keys()].sort(), [state]);
  const pick = (event) => {
    location.hash = link(new URLSearchParams(), { campaign: event.target.value });
  };
  const pick_session = (event) => {
    if (event.target.value) location.hash = link(query, { session: event.target.value, call: null });
  };
  return html`<div class="picker">
    <label for="campaign">Campaign</label>
    ${names.length > 0 ? html`<select id="campaign" value=${campaign} onChange=${pick}>
        ${names.map((name) => html`<option value=${name} key=${name}>${name}</option>`)}</select>`
      : html`<p class="hint">${campaigns.is_loaded ? 'No campaign to see.' : 'Loading\u2026'}</p>`}
    ${of_one ? html`<p class="only"><span>Only <bdi>${topic.slice(topic.indexOf(':') + 1)}</bdi></span>
        <a href=${link(query, { ...(campaign && { campaign }), session: null, phone: null, call: null })}>All of the campaign</a></p>`
      : html`<label for="session">Session</label>
        <select id="session" value="" onChange=${pick_session}>
          <option value="">All sessions</option>
          ${sessions.map((id) => html`<option value=${id} key=${id}>${id}</option>`)}</select>`}
  </div>`;
}

function CallList({ state, query, of_one, is_asking, look_back }) {
  const [wanted, set_wanted] = useState('');
  const [shown, set_shown] = useState(k_shown_at_once);
  const groups = useMemo(() => grouped_calls(state, wanted), [state, wanted]);
  const now = new Date();
  let room = shown;
  const drawn = groups.flatMap(({ key, batch, calls }) => {
    const part = calls.slice(0, Math.max(0, room));
    room -= calls.length;
    return part.length ? [{ key, batch, calls: part, count: calls.length }] : [];
  });
  return html`
    <form class="finder" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label class="unseen" for="find">Filter calls</label><${Icon} name="search" />
      <input id="find" type="search" placeholder="Filter by id, session, status, batch" autocomplete="off" spellcheck="false"
        value=${wanted} onInput=${(event) => set_wanted(event.target.value)} />
    </form>
    <div class="sessions call-list" tabindex="-1">
      ${drawn.map((group) => html`<${Group} key=${group.key} group=${group} state=${state} query=${query} of_one=${of_one} now=${now} />`)}
      ${room < 0 && html`<button class="quiet" onClick=${() => set_shown(shown + 500)}>Show more</button>`}
      <${Foot} state=${state} is_empty=${groups.length === 0} wanted=${wanted} of_one=${of_one} is_asking=${is_asking} look_back=${look_back} />
    </div>`;
}

/** What is not in the list, said honestly, and the way to it. */
function Foot({ state, is_empty, wanted, of_one, is_asking, look_back }) {
  if (!state.is_loaded || is_asking) return html`<p class="hint pad" role="status">Loading\u2026</p>`;
  const left = of_one ? state.has_more : state.asked.size < state.sessions.size;
  return html`
    ${is_empty && html`<p class="hint pad">${wanted ? 'No call listed here matches.' : 'No calls yet. They appear here as they happen.'}</p>`}
    ${!of_one && left && html`<p class="hint pad">New calls appear as they happen. Older ones are those of the
      ${` ${state.asked.size.toLocaleString()} `}sessions called or active last.</p>`}
    ${left && html`<button class="quiet" onClick=${look_back}>${of_one ? 'Earlier calls' : 'Look into more sessions'}</button>`}
    ${!of_one && !left && state.has_more_sessions && html`<p class="hint pad">These are the calls of the newest 1,000 sessions, and all new ones.</p>`}`;
}

function Group({ group, state, query, of_one, now }) {
  const { batch, calls, count } = group;
  const list = html`<ul>${calls.map(({ row, at }) => html`
    <${Entry} key=${row.call_id} row=${row} at=${at} zone=${zone_of(state.sessions.get(row.session_id))} query=${query} of_one=${of_one} now=${now} />`)}</ul>`;
  if (!batch || count < 2) return list;
  return html`<section class="batch" aria-label=${`Batch ${batch}`}>
    <h2><span>Batch <bdi>${batch}</bdi></span><span>${count} calls</span></h2>${list}</section>`;
}

function Entry({ row, at, zone, query, of_one, now }) {
  const name = of_one ? (at ? `${day_name(at, zone, now)}, ${clock(at, zone)}` : row.call_id) : row.session_id ?? row.call_id;
  const time = !at ? '' : of_one ? ago(at, now) : now - at < 86_400_000 ? clock(at, zone) : ago(at, now);
  return html`<li data-call=${row.call_id}><a href=${link(query, { call: row.call_id })} aria-current=${query.get('call') === row.call_id ? 'true' : null}>
    <span class="who"><bdi>${name}</bdi></span>
    <time title=${at ? `${day_name(at, zone, now)}, ${clock(at, zone)} (${zone})` : null}>${time}</time>
    <span class="line" dir="auto">${call_preview(row)}</span>
    <span class="state"><${CallStatus} status=${row.status} /> <${CallLength} row=${row} at=${at} /></span>
  </a></li>`;
}

function OpenCall({ state, row, query }) {
  const session = state.sessions.get(row.session_id);
  const zone = zone_of(session);
  const campaign = session?.campaign ?? query.get('campaign');
  const links = row.session_id !== null && html`<${SessionLinks} session_id=${row.session_id} campaign=${campaign} rooms=${['candidate', 'chats']} />`;
  return html`<div class="scroll open-call" tabindex="0" aria-label="The open call">
    <a class="back" href=${link(query, { call: null })} aria-label="Back to the calls"><${Icon} name="back" size="22" /></a>
    <${CallCard} key=${row.call_id} row=${row} at=${called_at(state, row)} zone=${zone} links=${links}>
      ${row.session_id !== null && html`<span>Session <bdi>${row.session_id}</bdi></span>`}
      <span>Times in ${zone}</span>
    <//></div>`;
}
