// One conversation, growing live.
import { html, Icon, Problem } from './ui.js';
import { apply_to_conversation, conversation_of, empty_conversation } from './chat_state.js';
import { use_channel, join_sentence } from './channel.js';
import { Messages } from './messages.js';
import { use_older } from './older.js';
import { is_met } from './objective.js';
import { SessionLinks } from './session_links.js';
import { zone_of } from './time.js';

const k_sides = { all: 'All', user: 'Candidate', agent: 'Agent' };

export function Conversation({ realtime, ask, topic, side, set_side, on_snapshot, link }) {
  const { state, problem, set } = use_channel(realtime, topic, { messages: 1000, calls: 1 }, {
    empty: empty_conversation,
    of_snapshot: (snapshot, before) => {
      on_snapshot(snapshot);
      return conversation_of(snapshot, before);
    },
    apply: apply_to_conversation,
  });
  const older = use_older(ask, state, set);
  const shown = Object.hasOwn(k_sides, side) ? side : 'all';
  const zone = zone_of(state.session);
  const typed = topic.slice(topic.indexOf(':') + 1);
  const what = topic.startsWith('phone:') ? 'this number' : 'this session';
  return html`
    <${Heading} state=${state} typed=${typed} is_phone=${topic.startsWith('phone:')} zone=${zone} link=${link}>
      <${Sides} side=${shown} set_side=${set_side} /><//>
    ${problem && html`<${Problem}>${join_sentence(problem, what)}<//>`}
    ${state.is_loaded && !problem && html`<${Messages} key=${shown} state=${state} zone=${zone} side=${shown} older=${older} />`}
    ${!state.is_loaded && !problem && html`<p class="hint pad">Loading\u2026</p>`}`;
}

function Heading({ state, typed, is_phone, zone, link, children }) {
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
    <div class="tools">
      ${session && html`<${SessionLinks} session_id=${session.session_id} campaign=${session.campaign} rooms=${['candidate', 'calls']} />`}
      ${children}<${Objectives} objectives=${session?.objectives} />
    </div>
  </header>`;
}

/** Whose messages are shown. */
function Sides({ side, set_side }) {
  return html`<div class="sides" role="group" aria-label="Whose messages">
    ${Object.entries(k_sides).map(([key, words]) => html`
      <button key=${key} aria-pressed=${String(key === side)} onClick=${() => set_side(key)}>${words}</button>`)}
  </div>`;
}

/** How many objectives are met: JSON true, or an object whose value or met is true. */
function Objectives({ objectives }) {
  if (!objectives || typeof objectives !== 'object' || Array.isArray(objectives)) return null;
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
