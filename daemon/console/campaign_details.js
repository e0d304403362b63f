// One campaign in detail: its numbers, its sessions as they change, and what its agents are told.
import { html, useState, useMemo, Icon, Problem } from './ui.js';
import { apply_to_campaign, campaign_of, empty_campaign, listed } from './chat_state.js';
import { use_channel, join_sentence } from './channel.js';
import { Counters, LastActivity, Objectives, RecentChart } from './campaign_card.js';
import { empty_series, objectives_of, phase_of, progress_of } from './campaigns_state.js';
import { ahead, amount, short_date } from './numbers.js';
import { ago, to_date } from './time.js';
import { Tree } from './tree.js';

const k_span = 15 * 60_000;
const k_piece = 15_000;
const k_sessions = 100;
const k_folded = 320;  // characters
const unwatched = empty_series();

export function CampaignDetails({ realtime, campaign, row: listed_row, live, now }) {
  const { state, problem } = use_channel(realtime, `campaign:${campaign}`, { sessions: 1000 }, {
    empty: empty_campaign, of_snapshot: campaign_of, apply: apply_to_campaign,
  });
  const row = state.is_loaded ? state.row : listed_row;
  const stats = live?.stats ?? null;
  const is_refused = /^Unauthorized/i.test(live?.problem ?? '');
  return html`
    <${Heading} campaign=${campaign} row=${row} is_loaded=${state.is_loaded} stats=${stats} live=${live} now=${now} />
    ${problem && html`<${Problem}>${join_sentence(problem, 'this campaign')}<//>`}
    ${!problem && live?.problem && html`<p class="aside" role="status">${is_refused
      ? 'Your token may follow this campaign, but not its numbers: they count all of its sessions, also those that you may not see.'
      : join_sentence(live.problem, 'the numbers of this campaign')}</p>`}
    ${!problem && html`<div class="details">
      <div class="main-part">
        ${stats && html`<section class="panel" aria-label="Numbers">
          <${Counters} stats=${stats} />
          <${RecentChart} series=${live?.series ?? unwatched} now=${now} span=${k_span} piece=${k_piece} height=${190} has_axes=${true} />
        </section>`}
        <${Sessions} campaign=${campaign} state=${state} now=${now} />
      </div>
      <${Terms} row=${row} stats=${stats} is_loaded=${state.is_loaded} />
    </div>`}`;
}

function Heading({ campaign, row, is_loaded, stats, live, now }) {
  const phase = row && phase_of(row, now);
  const [start, end] = [to_date(row?.start), to_date(row?.end)];
  return html`<header class="heading">
    <a class="back always" href="#/campaigns" aria-label="Back to the campaigns"><${Icon} name="back" size="22" /></a>
    <div>
      <h1><bdi>${campaign}</bdi>${phase && html` <span class="badge" data-status=${phase.tone}>${phase.word}</span>`}</h1>
      <p class="facts">
        ${start && html`<span>From ${short_date(start)}</span>`}
        ${row && html`<span>${end ? `until ${short_date(end)}` : 'open end'}</span>`}
        ${is_loaded && !row && html`<span>No row of campaign_info describes it, or none that you may see</span>`}
      </p>
    </div>
    ${stats && html`<${LastActivity} stats=${stats} live=${live} now=${now} />`}
  </header>`;
}

function Sessions({ campaign, state, now }) {
  const [shown, set_shown] = useState(k_sessions);
  const sessions = useMemo(() => listed(state, ''), [state]);
  return html`<section class="panel" aria-label="Sessions">
    <h2>Sessions <span class="hint">${state.is_loaded ? amount(sessions.length) : ''}${state.has_more ? ', the newest' : ''}</span></h2>
    ${!state.is_loaded && html`<p class="hint">Loading\u2026</p>`}
    ${state.is_loaded && sessions.length === 0 && html`<p class="hint">No session yet, or none that you may see.</p>`}
    <ul class="roster">
      ${sessions.slice(0, shown).map((entry) => html`<${SessionRow} key=${entry.row.session_id} campaign=${campaign} entry=${entry} now=${now} />`)}
    </ul>
    ${sessions.length > shown && html`<button class="quiet" onClick=${() => set_shown(shown + 500)}>Show more</button>`}
  </section>`;
}

function SessionRow({ campaign, entry, now }) {
  const { row, phone, at } = entry;
  const { met, all } = progress_of(row.objectives);
  const reminder = to_date(row.next_reminder_at);
  const href = `#/chats?${new URLSearchParams({ campaign, session: row.session_id })}`;
  return html`<li><a href=${href}>
    <span class="who"><span class=${`life ${row.session_status === 'active' ? 'active' : ''}`} aria-hidden="true"></span><bdi>${row.session_id}</bdi>
      ${phone && html`<span class="hint">${phone}</span>`}</span>
    <span class="what">${row.session_status ?? 'no status'}</span>
    <span class="what">${row.last_action || '\u2013'}</span>
    <span class="what">${reminder ? `reminder ${ahead(reminder, now)}` : 'no reminder'}</span>
    <span class="what">${all > 0 ? `${met} of ${all} met` : 'no objectives'}</span>
    <time>${at ? ago(at, now) : ''}</time>
  </a></li>`;
}

/** What campaign_info says. */
function Terms({ row, stats, is_loaded }) {
  if (!row) return is_loaded ? null : html`<p class="hint pad">Loading\u2026</p>`;
  const objectives = objectives_of(row, stats);
  return html`<aside class="terms" aria-label="What campaign_info says">
    ${stats && objectives.length > 0 && html`<section class="panel"><h2>Objectives met</h2>
      <${Objectives} objectives=${objectives} sessions=${stats.sessions} /></section>`}
    <section class="panel"><h2>Job</h2><${Text} text=${row.job_info} /></section>
    <section class="panel"><h2>Chats</h2>
      <h3>Prompt</h3><${Text} text=${row.prompt_chat} />
      <h3>First message</h3><${Text} text=${row.first_message_chat} /></section>
    <section class="panel"><h2>Calls</h2>
      <h3>Prompt</h3><${Text} text=${row.prompt_call} />
      <h3>First words</h3><${Text} text=${row.first_message_call} /></section>
    <section class="panel"><h2>Objectives template</h2><${Tree} value=${row.objectives_template} /></section>
  </aside>`;
}

/** Text as it was written; a long one is folded behind its beginning. */
function Text({ text }) {
  const [is_open, set_open] = useState(false);
  if (!text) return html`<p class="hint">None.</p>`;
  const is_long = text.length > k_folded;
  return html`<p class="text" dir="auto">${is_long && !is_open ? `${text.slice(0, k_folded)}\u2026` : text}</p>
    ${is_long && html`<button class="quiet" aria-expanded=${is_open} onClick=${() => set_open(!is_open)}>
      ${is_open ? 'Show less' : `Show all ${amount(text.length)} characters`}</button>`}`;
}
