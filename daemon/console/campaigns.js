// The room Campaigns: a card for each campaign with its live numbers, or one campaign in detail.
import { html, useState, useEffect, useRef, Icon, Problem } from './ui.js';
import { CampaignCard } from './campaign_card.js';
import { CampaignDetails } from './campaign_details.js';
import { followed, total_of } from './campaigns_state.js';
import { use_campaign_rows, use_numbers } from './campaigns_live.js';
import { amount, count_of, talk_time } from './numbers.js';

const k_followed = 50;  // of the 100 channels that a client may have
const k_settle = 150;   // a card that is scrolled past is not joined
const k_shown = 60;     // cards at first, and more each time one asks

export function Campaigns({ realtime, query, ask }) {
  const { rows, is_loaded, problem } = use_campaign_rows(ask);
  const [on_screen, set_on_screen] = useState([]);
  const before = useRef([]);
  const open = query.get('campaign');
  // The cards stay joined behind the details: their charts go on.
  const names = rows.map(({ campaign }) => campaign);
  before.current = followed(before.current, open === null ? on_screen : [open], names, k_followed);
  const live = use_numbers(realtime, before.current);
  const now = use_seconds();
  const row = rows.find(({ campaign }) => campaign === open);
  const numbers_of = ({ campaign, stats }) => {
    const last = live.get(campaign)?.stats;
    return (before.current.includes(campaign) ? last ?? stats : stats ?? last) ?? null;
  };

  if (open !== null) {
    return html`<main class="room campaigns" aria-label="Campaign">
      <${CampaignDetails} key=${open} realtime=${realtime} campaign=${open} row=${row ?? null} live=${live.get(open) ?? null} now=${now} />
    </main>`;
  }
  return html`<main class="room campaigns" aria-label="Campaigns">
    ${problem && html`<${Problem}>${problem}<//>`}
    ${!is_loaded && !problem && html`<p class="hint pad">Loading\u2026</p>`}
    ${is_loaded && rows.length === 0 && html`<div class="blank"><p>No campaign to see.<br />
      They appear here when campaign_info has rows that your token may read.</p></div>`}
    ${rows.length > 0 && html`<${Overview} rows=${rows} live=${live} followed_now=${before.current} numbers_of=${numbers_of} now=${now} set_on_screen=${set_on_screen} />`}
  </main>`;
}

function Overview({ rows, live, followed_now, numbers_of, now, set_on_screen }) {
  const [wanted, set_wanted] = useState('');
  const text = wanted.trim().toLowerCase();
  const listed = text ? rows.filter((row) => `${row.campaign} ${row.job_info ?? ''}`.toLowerCase().includes(text)) : rows;
  const [count, set_count] = useState(k_shown);
  const shown = listed.slice(0, count);
  const grid = use_on_screen(shown, set_on_screen);
  const total = total_of(rows.map(numbers_of).filter(Boolean));
  return html`
    <header class="overview">
      <h1>${count_of(rows.length, 'campaign')}</h1>
      <p class="facts">
        <span>${count_of(total.sessions, 'session')}, ${amount(total.active)} active</span>
        <span>${count_of(total.messages, 'message')}</span>
        <span>${count_of(total.calls, 'call')}, ${talk_time(total.seconds)} of talk</span>
      </p>
      <div class="narrow" role="search">
        <label class="unseen" for="narrow">Find a campaign</label>
        <${Icon} name="search" />
        <input id="narrow" type="search" placeholder="Find a campaign" autocomplete="off" spellcheck="false"
          value=${wanted} onInput=${(event) => set_wanted(event.target.value)} />
      </div>
    </header>
    ${listed.length === 0 && html`<p class="hint pad">No campaign matches.</p>`}
    <ul class="cards" ref=${grid}>
      ${shown.map((row) => html`<${CampaignCard} key=${row.campaign} row=${row} stats=${numbers_of(row)}
        live=${followed_now.includes(row.campaign) ? live.get(row.campaign) ?? null : null} now=${now} />`)}
    </ul>
    ${listed.length > count && html`<div class="more"><button class="quiet" onClick=${() => set_count(count + k_shown)}>
      Show more of ${amount(listed.length)}</button></div>`}`;
}

/** Tells which cards of the list can be seen, once the scrolling has settled. */
function use_on_screen(rows, set_on_screen) {
  const list = useRef(null);
  const names = rows.map(({ campaign }) => campaign).join('\n');
  useEffect(() => {
    const seen = new Set();
    let timer;
    const observer = new IntersectionObserver((changes) => {
      for (const { target, isIntersecting } of changes) {
        if (isIntersecting) seen.add(target.dataset.campaign);
        else seen.delete(target.dataset.campaign);
      }
      clearTimeout(timer);
      timer = setTimeout(() => set_on_screen([...seen]), k_settle);
    });
    for (const card of list.current.children) observer.observe(card);
    return () => {
      clearTimeout(timer);
      observer.disconnect();
    };
  }, [names]);
  return list;
}

/** The time, each second while the page can be seen: charts move on also when nothing happens. */
function use_seconds() {
  const [now, set_now] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && set_now(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
