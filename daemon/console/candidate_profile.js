// Who a candidate is and how far things are: the card beside the timeline.
import { html, useState, Icon } from './ui.js';
import { objectives_of, value_words } from './candidate_state.js';
import { SessionLinks } from './session_links.js';
import { ago, clock, day_name, long_time, to_date } from './time.js';

const k_activities = [
  ['last_user_msg_at', 'Candidate wrote'], ['last_agent_msg_at', 'Agent wrote'], ['last_outbound_at', 'Last outbound'],
  ['user_updated', 'Candidate active'], ['agent_updated', 'Agent active'], ['created_at', 'Session began'],
];

export function Profile({ state, topic, zone, now, link }) {
  const { session, phone, also } = state;
  const typed = topic.slice(topic.indexOf(':') + 1);
  const is_phone = topic.startsWith('phone:');
  // On a phone the facts would push the timeline off the screen.
  const [is_wide] = useState(() => matchMedia('(min-width: 721px)').matches);
  const others = also.filter((id) => id !== session?.session_id);
  return html`<div class="profile">
    <h1><bdi>${phone ?? session?.session_id ?? typed}</bdi></h1>
    ${!session && html`<p class="hint">No session ${is_phone ? 'has this number' : 'has this id'} yet. It appears here when it does.</p>`}
    ${session && html`
      <p class="badges">
        ${session.session_status && html`<span class="badge" data-status=${session.session_status}>${session.session_status}</span>`}
        ${session.action_status && html`<span class="badge">${session.action_status.replaceAll('_', ' ')}</span>`}
      </p>
      <${SessionLinks} session_id=${session.session_id} campaign=${session.campaign} rooms=${['chats', 'calls']} />
      <${Progress} state=${state} />
      <details class="about" open=${is_wide}><summary>About</summary>
        <dl>
          <${Fact} name="Session"><bdi>${session.session_id}</bdi><//>
          ${others.length > 0 && html`<${Fact} name="Also with this number">${others.slice(0, 20).map((id) => html`
            <a key=${id} href=${link({ session: id })}><bdi>${id}</bdi></a> `)}<//>`}
          <${Fact} name="Campaign">${session.campaign ? html`<bdi>${session.campaign}</bdi>` : 'none'}<//>
          <${Fact} name="Last action">${session.last_action ? html`<bdi>${session.last_action.replaceAll('_', ' ')}</bdi>` : 'none'}<//>
          <${Fact} name="Next reminder"><${Reminder} session=${session} zone=${zone} now=${now} /><//>
          <${Fact} name="Reminders sent">${session.reminder_count ?? 0}<//>
          ${k_activities.map(([column, name]) => to_date(session[column]) && html`
            <${Fact} key=${column} name=${name}><${When} date=${to_date(session[column])} zone=${zone} now=${now} /><//>`)}
          <${Fact} name="Time zone">${zone}<//>
        </dl>
      </details>`}
  </div>`;
}

function Fact({ name, children }) {
  return html`<div><dt>${name}</dt><dd dir="auto">${children}</dd></div>`;
}

function When({ date, zone, now }) {
  return html`<time datetime=${date.toISOString()} title=${long_time(date, zone)}>${day_name(date, zone, now)}, ${clock(date, zone)}</time>`;
}

/** "Today, 14:05, in 3 h"; one that is past was due. */
function Reminder({ session, zone, now }) {
  const date = to_date(session.next_reminder_at);
  if (!date) return 'none';
  const span = ago(new Date(now - Math.abs(now - date)), now);
  const words = span === 'now' ? 'now' : /^\d+ (min|h|d)$/.test(span) ? (date > now ? `in ${span}` : `due ${span} ago`) : '';
  return html`<${When} date=${date} zone=${zone} now=${now} />${words && html` <span class="hint">${words}</span>`}`;
}

function Progress({ state }) {
  const objectives = objectives_of(state);
  if (objectives.length === 0) return null;
  const met = objectives.filter((one) => one.is_met).length;
  return html`<section class="progress" aria-label="Objectives">
    <h2>Objectives <span>${met} of ${objectives.length} met</span></h2>
    <progress value=${met} max=${objectives.length} aria-label="Objectives met"></progress>
    <ul>${objectives.map(({ name, is_met, value }) => html`<li key=${name} class=${is_met ? 'met' : null}>
      <${Icon} name=${is_met ? 'one' : 'clock'} label=${is_met ? 'Met' : 'Open'} size="15" /><span dir="auto">${name.replaceAll('_', ' ')}</span>
      ${!is_met && value !== null && html`<bdi class="hint">${value_words(value)}</bdi>`}</li>`)}</ul>
  </section>`;
}
