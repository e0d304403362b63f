// The room Candidate: all that happened with one person on one timeline, and who that is beside it.
import { html, useState, useEffect, useMemo, Icon, Problem } from './ui.js';
import { apply_to_candidate, candidate_of, empty_candidate, timeline } from './candidate_state.js';
import { TimelineEntry } from './candidate_entry.js';
import { Profile } from './candidate_profile.js';
import { use_channel, join_sentence } from './channel.js';
import { Finder, use_now } from './chats.js';
import { use_sticky_end } from './sticky_end.js';
import { day_key, day_name, zone_of } from './time.js';

const k_shown_at_once = 300;

const link = (target) => `#/candidate?${new URLSearchParams(target)}`;

export function Candidate({ realtime, query, ask }) {
  const [session, phone] = [query.get('session'), query.get('phone')];
  const topic = session !== null ? `session:${session}` : phone !== null ? `phone:${phone}` : null;
  const [wanted, set_wanted] = useState('');
  const finder = html`<${Finder} wanted=${wanted} set_wanted=${set_wanted} link=${link} />`;
  if (!topic) {
    return html`<main class="blank candidate-door"><${Icon} name="person" size="40" />
      <h1>Find a candidate</h1><p>Messages, calls and objectives of one number, on one timeline.</p>${finder}</main>`;
  }
  return html`<${One} key=${topic} realtime=${realtime} ask=${ask} topic=${topic} finder=${finder} />`;
}

function One({ realtime, ask, topic, finder }) {
  const { state, problem, set } = use_channel(realtime, topic, { messages: 1000, calls: 200 }, {
    empty: empty_candidate, of_snapshot: candidate_of, apply: apply_to_candidate,
  });
  use_campaign_of(state, set, ask);
  const now = use_now(30_000);
  const zone = zone_of(state.session);
  const is_phone = topic.startsWith('phone:');
  return html`<main class="room candidate">
    <aside class="list" aria-label="Candidate">
      ${finder}
      ${state.is_loaded && !problem && html`<${Profile} state=${state} topic=${topic} zone=${zone} now=${now} link=${link} />`}
    </aside>
    <section class="talk" aria-label="Timeline">
      ${problem && html`<${Problem}>${join_sentence(problem, is_phone ? 'this number' : 'this session')}<//>`}
      ${state.is_loaded && !problem && html`<${Timeline} key=${state.session?.session_id} state=${state} zone=${zone} now=${now} />`}
      ${!state.is_loaded && !problem && html`<p class="hint pad">Loading\u2026</p>`}
    </section>
  </main>`;
}

/** A session that moves tells its new campaign's name only: the row, with its objectives, is asked for. */
function use_campaign_of({ session, campaign }, set, ask) {
  const name = session?.campaign ?? null;
  const is_known = name === null || campaign?.campaign === name;
  useEffect(() => {
    if (is_known) return undefined;
    let is_stale = false;
    ask(`api/v1/campaigns/${encodeURIComponent(name)}`).then(({ body }) => {
      if (body && !is_stale) set((before) => ({ ...before, campaign: body.campaign }));
    });
    return () => {
      is_stale = true;
    };
  }, [name, is_known]);
}

function Timeline({ state, zone, now }) {
  const entries = useMemo(() => timeline(state), [state]);
  const [shown, set_shown] = useState(k_shown_at_once);
  const { box, end, is_at_end, missed, to_end } = use_sticky_end(entries);
  const first = Math.max(0, entries.length - shown);
  const rows = [];
  let day = null;
  for (const entry of entries.slice(first)) {
    if (entry.time && !entry.is_odd && day_key(entry.time, zone) !== day) {
      day = day_key(entry.time, zone);
      rows.push(html`<li class="day" key=${`day ${day} ${entry.key}`}><span>${day_name(entry.time, zone, now)}</span></li>`);
    }
    rows.push(html`<${TimelineEntry} key=${entry.key} entry=${entry} session=${state.session} zone=${zone} now=${now} />`);
  }
  return html`<div class="scroll" ref=${box} tabindex="0" aria-label="Timeline">
      ${first > 0 && html`<button class="quiet" onClick=${() => set_shown(shown + 1000)}>Show earlier</button>`}
      ${first === 0 && (state.has_more || state.has_more_calls) && html`<p class="hint middle">
        These are the newest ${state.messages.length.toLocaleString()} messages and ${state.calls.size.toLocaleString()} calls.</p>`}
      ${entries.length === 0 && html`<div class="blank"><p>Nothing has happened yet.<br />Messages and calls appear here as they come.</p></div>`}
      <div class="messages" role="log" aria-live="polite"><ol class="timeline">${rows}</ol></div>
      <div ref=${end}></div>
    </div>
    ${!is_at_end && html`<button class="to-end" onClick=${to_end}>${missed > 0 ? `${missed} new` : 'Newest'} <${Icon} name="down" size="16" /></button>`}`;
}
