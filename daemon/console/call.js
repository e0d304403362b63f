// One call as a card: status, recording, analysis, transcript. The rooms Calls and Candidate show it.
import { html, useState, useEffect, useMemo, Icon } from './ui.js';
import { duration_words, interval_seconds, read_call_status, recording_address, speaker_turns } from './call_text.js';
import { Folded } from './folded.js';
import { clock, day_name, long_time } from './time.js';
import { Tree } from './tree.js';

const k_turns_at_once = 12;
const k_more_turns = 300;
const k_running_at_most = 4 * 3_600_000;  // a call that rings for longer was forgotten, not made

export function CallStatus({ status }) {
  const { label, tone } = read_call_status(status);
  return html`<span class="badge call-status" data-tone=${tone}>${label}</span>`;
}

/** How long it was, or, while it goes on, has been. */
export function CallLength({ row, at }) {
  const [now, set_now] = useState(Date.now);
  const seconds = interval_seconds(row.duration);
  const runs = seconds === null && at && read_call_status(row.status).tone === 'live';
  useEffect(() => {
    if (!runs) return undefined;
    const timer = setInterval(() => set_now(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [Boolean(runs)]);
  if (seconds !== null) return html`<span class="length" title="Duration">${duration_words(seconds)}</span>`;
  const since = Math.max(now, Date.now()) - at;
  if (!runs || since < 0 || since > k_running_at_most) return null;
  return html`<span class="length" title="So far">${duration_words(since / 1000)}</span>`;
}

/** `is_compact`: within a timeline, where what is long stays shut. `children` are further facts, `links` lead elsewhere. */
export function CallCard({ row, at, zone, is_compact = false, links = null, children }) {
  const { call_id, batch_call_id, recording_url, transcript, analysis } = row;
  const has_more = transcript || analysis !== null;
  return html`<article class="call" data-call=${call_id} aria-label=${`Call ${call_id}`}>
    <header>
      <${Icon} name="phone" size="20" />
      <div>
        ${is_compact ? html`<h2>Call <${CallStatus} status=${row.status} /></h2>`
          : html`<h1><bdi>${call_id}</bdi> <${CallStatus} status=${row.status} /></h1>`}
        <p class="facts">
          ${at ? html`<time datetime=${at.toISOString()} title=${long_time(at, zone)}>
            ${is_compact ? '' : `${day_name(at, zone, new Date())}, `}${clock(at, zone)}</time>` : html`<span>Not called yet</span>`}
          <${CallLength} row=${row} at=${at} />
          ${batch_call_id && html`<span>Batch <bdi>${batch_call_id}</bdi></span>`}
          ${is_compact && html`<bdi>${call_id}</bdi>`}
          ${children}
        </p>
      </div>
      ${links}
    </header>
    ${recording_url && html`<${Recording} key=${recording_url} text=${recording_url} />`}
    ${analysis !== null && analysis !== undefined && html`<${Part} title="Analysis" is_shut=${is_compact}><${Tree} value=${analysis} /><//>`}
    ${transcript && html`<${Part} title="Transcript" is_shut=${is_compact}><${Transcript} text=${transcript} /><//>`}
    ${!has_more && !is_compact && html`<p class="hint">Transcript and analysis appear here when they are written.</p>`}
  </article>`;
}

/** A part that can be shut; what is shut is not drawn. */
function Part({ title, is_shut, children }) {
  const [is_open, set_open] = useState(!is_shut);
  return html`<details class="part" open=${is_open} onToggle=${(event) => event.target === event.currentTarget && set_open(event.target.open)}>
    <summary><h3>${title}</h3></summary>${is_open && children}</details>`;
}

function Recording({ text }) {
  const [has_failed, set_failed] = useState(false);
  const address = recording_address(text);
  if (!address) return html`<p class="recording hint">Recording: <bdi>${text.slice(0, 2000)}</bdi></p>`;
  return html`<div class="recording">
    <audio controls preload="none" src=${address} aria-label="Recording" onError=${() => set_failed(true)}></audio>
    <a href=${address} target="_blank" rel="noreferrer noopener">Open the recording</a>
    ${has_failed && html`<p class="hint" role="status">The recording could not be played: it is gone, or its format is not known here.</p>`}
  </div>`;
}

function Transcript({ text }) {
  const turns = useMemo(() => speaker_turns(text), [text]);
  const [shown, set_shown] = useState(k_turns_at_once);
  if (!turns) return html`<div class="transcript plain"><${Folded} text=${text} /></div>`;
  // Two or three turns more are not worth a button.
  const count = turns.length <= shown + 3 ? turns.length : shown;
  return html`<ol class="transcript">
      ${turns.slice(0, count).map(({ name, side, text: said }, at) => html`<li key=${at} data-side=${side}>
        <span class="speaker" dir="auto">${name}</span><div><${Folded} text=${said} limit="2000" /></div></li>`)}
    </ol>
    ${count < turns.length && html`<button class="quiet" onClick=${() => set_shown(shown + k_more_turns)}>
      Show more of the transcript, ${(turns.length - count).toLocaleString()} lines</button>`}`;
}
