// One campaign as a card, and the parts that its details show too.
import { html, useMemo } from './ui.js';
import { columns, objectives_of, phase_of, sum_of } from './campaigns_state.js';
import { Chart } from './chart.js';
import { amount, count_of, talk_time } from './numbers.js';
import { ago, clock, long_time, to_date } from './time.js';

const k_span = 5 * 60_000;
const k_piece = 10_000;
const k_objectives = 4;
const k_height = 56;
const k_zone = Intl.DateTimeFormat().resolvedOptions().timeZone;  // the reader's own

const link = (campaign) => `#/campaigns?${new URLSearchParams({ campaign })}`;

/** `live` is null for a card that is not followed: it draws no chart. */
export function CampaignCard({ row, stats, live, now }) {
  const objectives = objectives_of(row, stats);
  const phase = phase_of(row, now);
  return html`<li class="card" data-campaign=${row.campaign}>
    <h2><a href=${link(row.campaign)}><bdi>${row.campaign}</bdi></a>
      <span class="badge" data-status=${phase.tone}>${phase.word}</span></h2>
    <p class="job" dir="auto">${row.job_info || 'No job described'}</p>
    ${stats ? html`<${Counters} stats=${stats} />` : html`<p class="hint">No numbers yet.</p>`}
    ${live
      ? html`<${RecentChart} series=${live.series} now=${now} span=${k_span} piece=${k_piece} height=${k_height} />`
      : html`<div class="recent unwatched"></div>`}
    ${stats && objectives.length > 0 && html`<${Objectives} objectives=${objectives.slice(0, k_objectives)} sessions=${stats.sessions} />`}
    ${objectives.length > k_objectives && html`<p class="hint">and ${objectives.length - k_objectives} more</p>`}
    <${LastActivity} stats=${stats} live=${live} now=${now} />
  </li>`;
}

/** The numbers, each with what it is made of. */
export function Counters({ stats }) {
  const { sessions, active, messages, calls } = stats;
  const parts = [
    { name: 'Sessions', value: sessions, rest: `${amount(active)} active` },
    { name: 'Messages', value: messages.total, rest: `${amount(messages.user)} user, ${amount(messages.agent)} agent` },
    { name: 'Calls', value: calls.total, rest: calls.total > 0 ? `${talk_time(calls.seconds)} talk` : 'none yet' },
  ];
  return html`<dl class="counters">${parts.map(({ name, value, rest }) => html`
    <div key=${name} data-counter=${name.toLowerCase()}><dt>${name}</dt><dd key=${`value ${value}`} class="value">${amount(value)}</dd><dd class="rest">${rest}</dd></div>`)}</dl>`;
}

/** In how many sessions each objective is met. */
export function Objectives({ objectives, sessions }) {
  return html`<ul class="met">${objectives.map(({ name, met }) => {
    const words = name.replaceAll('_', ' ');
    return html`<li key=${name}>
      <span class="goal" title=${words}><bdi>${words}</bdi></span>
      <progress value=${Math.min(met, sessions)} max=${Math.max(1, sessions)} aria-label=${`${words}: met in ${met} of ${sessions}`}></progress>
      <span class="share">${amount(met)} of ${amount(sessions)}</span></li>`;
  })}</ul>`;
}

/** Messages and calls of the last minutes, as they came in. */
export function RecentChart({ series, now, span, piece, height, has_axes }) {
  const at = Math.max(now, Date.now());  // numbers may be younger than the page's clock
  const shown = useMemo(() => columns(series, at, span, piece), [Math.floor(at / piece), series.base, piece]);
  const sum = sum_of(shown);
  const is_young = series.since !== null && series.since > at - span;
  const since = is_young ? `since ${clock(new Date(series.since), k_zone)}` : `last ${span / 60_000} min`;
  const words = sum.is_watched ? `${since}: ${count_of(sum.messages, 'message')}, ${count_of(sum.calls, 'call')}` : 'not watched yet';
  return html`<figure class="recent">
    <${Chart} columns=${shown} height=${height} has_axes=${has_axes} label=${`Messages and calls, ${words}`} />
    <figcaption><span><i class="swatch"></i>Messages <i class="swatch" data-of="calls"></i>Calls
      ${has_axes && sum.has_gap && html` <i class="swatch" data-of="unknown"></i>Not watched`}</span>
      <span class="sum">${words}</span></figcaption>
  </figure>`;
}

export function LastActivity({ stats, live, now }) {
  const at = to_date(stats?.last_activity_at);
  return html`<p class="pulse" data-live=${live?.is_live ? 'yes' : 'no'}>
    <span class="dot" aria-hidden="true"></span>
    ${live?.is_live ? 'Live' : 'Not live'}<span class="when">${at
      ? html`last activity <time datetime=${at.toISOString()} title=${long_time(at, k_zone)}>${said_ago(at, now)}</time>`
      : 'no activity yet'}</span>
  </p>`;
}

function said_ago(at, now) {
  const words = ago(at, now);
  return words === 'now' ? 'just now' : /^\d+ (min|h|d)$/.test(words) ? `${words} ago` : words;
}
