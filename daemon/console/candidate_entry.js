// One entry of a candidate's timeline: a message, a call, a change of an objective.
import { html, Icon } from './ui.js';
import { CallCard } from './call.js';
import { reading_of, value_words } from './candidate_state.js';
import { Folded } from './folded.js';
import { read_status } from './message.js';
import { clock, day_name, long_time } from './time.js';

export function TimelineEntry({ entry, session, zone, now }) {
  if (entry.kind === 'message') return html`<${Message} entry=${entry} zone=${zone} now=${now} />`;
  if (entry.kind === 'objective') return html`<${Objective} row=${entry.row} time=${entry.time} zone=${zone} />`;
  return html`<${Call} row=${entry.row} time=${entry.time} session=${session} zone=${zone} />`;
}

/** The time of day; with the date where the entry does not stand at its own time. */
function Time({ time, zone, is_odd = false, now }) {
  if (!time) return null;
  return html`<time datetime=${time.toISOString()} title=${long_time(time, zone)}>
    ${is_odd ? `${day_name(time, zone, now)}, ` : ''}${clock(time, zone)}</time>`;
}

const k_names = { user: 'Candidate', agent: 'Agent' };

function Message({ entry, zone, now }) {
  const { row, time, is_odd } = entry;
  const { side, name, text, is_raw, status } = reading_of(row);
  const tick = read_status(status, side);
  return html`<li class=${`message ${side}`} data-entry=${entry.key}>
    <div class=${`bubble ${is_raw ? 'raw' : ''}`}>
      <span class=${side === 'other' ? 'name' : 'unseen'}>${k_names[side] ?? name}: </span>
      <${Folded} text=${text} />
      <span class="meta"><${Time} time=${time} zone=${zone} is_odd=${is_odd} now=${now} />
        ${tick && html`<span class="status" data-tone=${tick.tone} title=${tick.label}>
          ${tick.icon ? html`<${Icon} name=${tick.icon} label=${tick.label} size="15" />` : tick.label}</span>`}</span>
    </div>
  </li>`;
}

function Call({ row, time, session, zone }) {
  const query = new URLSearchParams({ ...(session?.campaign && { campaign: session.campaign }), session: row.session_id, call: row.call_id });
  return html`<li class="entry" data-entry=${`call ${row.call_id}`}>
    <${CallCard} row=${row} at=${time} zone=${zone} is_compact><a href=${`#/calls?${query}`}>Open in Calls</a><//></li>`;
}

function Objective({ row, time, zone }) {
  const { objective, old_value, new_value, source } = row;
  return html`<li class="entry objective" data-entry=${`objective ${row.id}`}>
    <${Icon} name="flag" size="17" />
    <p><b dir="auto">${(objective ?? 'objective').replaceAll('_', ' ')}</b>
      <span class="change"><bdi class="was">${value_words(old_value)}</bdi><span class="unseen"> became </span>
        <span aria-hidden="true">\u2192</span> <bdi>${value_words(new_value)}</bdi></span>
      <span class="facts">${source && html`<span>from ${source}</span>`}<${Time} time=${time} zone=${zone} /></span></p>
  </li>`;
}
