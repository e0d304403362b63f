// The room Operations: how the daemon is, what became of an event, why a token is refused.
import { html, useState, useEffect, Icon } from './ui.js';
import { bytes_words, count_words, number_words, rates, refusals, remember, source_words, span_words, values } from './operations_state.js';
import { EventRoom } from './event_trace.js';
import { TokenInspector } from './token_inspector.js';
import { moment } from './time.js';

const k_interval = 2000;

export function Operations({ ask, query }) {
  const { report, samples, is_refused, fault } = use_report(ask);
  if (is_refused) return html`<main class="room ops"><${Closed} /></main>`;
  if (!report) {
    return html`<main class="room ops"><div class="blank"><p>${fault ? `${fault}.` : 'Loading\u2026'}</p></div></main>`;
  }
  return html`<main class="room ops"><div class="ops-page">
    <h1 class="unseen">Operations</h1>
    <${Source} report=${report} fault=${fault} />
    <${Tiles} report=${report} samples=${samples} />
    <div class="ops-pair">
      <${Topics} topics=${report.topics} />
      <div class="ops-stack">
        <${Threads} threads=${report.threads} />
        <${Refusals} metrics=${report.metrics} />
      </div>
    </div>
    <${EventRoom} events=${report.events} ask=${ask} id=${query.get('event')} />
    <div class="ops-pair">
      <${TokenInspector} ask=${ask} />
      <${Problems} problems=${report.problems} />
    </div>
  </div></main>`;
}

/** The newest answer and those of the last minutes; asked for every 2 s while the page is seen. */
function use_report(ask) {
  const [state, set_state] = useState({ report: null, samples: [], is_refused: false, fault: null });
  useEffect(() => {
    let is_gone = false;
    let timer;
    const load = async () => {
      clearTimeout(timer);
      if (document.visibilityState !== 'visible') return;
      const { body, status, reason } = await ask('api/v1/operations');
      if (is_gone) return;
      if (status === 403) return set_state((before) => ({ ...before, is_refused: true }));
      set_state((before) => (body
        ? { report: body, samples: remember(before.samples, body), is_refused: false, fault: null }
        : { ...before, fault: status === 0 ? 'The daemon does not answer' : `The daemon refuses to tell: ${reason}` }));
      timer = setTimeout(load, k_interval);
    };
    load();
    document.addEventListener('visibilitychange', load);
    return () => {
      is_gone = true;
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', load);
    };
  }, []);
  return state;
}

/** For tokens of other roles. */
function Closed() {
  return html`<div class="blank"><${Icon} name="alert" size="40" />
    <p>This room is shown to tokens of the role <b>service_role</b>: open the console with one that
      <code>pgcast token --role service_role</code> prints.</p></div>`;
}

function Source({ report, fault }) {
  const { tone, title, detail } = fault
    ? { tone: 'bad', title: fault, detail: 'What stands here is what it said last.' }
    : source_words(report.source);
  const up = span_words((Date.parse(report.at) - Date.parse(report.started_at)) / 1000);
  return html`<section class="card source" data-tone=${tone} aria-label="Source">
    <span class="lamp" aria-hidden="true"></span>
    <div role="status"><h2>${title}</h2><p>${detail}</p></div>
    <p class="hint">pgcast ${report.version}, up ${up}, ${count_words(report.threads.length, 'thread')}</p>
  </section>`;
}

function Tiles({ report, samples }) {
  const { metrics, lag } = report;
  const events = rates(samples, 'events');
  const deliveries = rates(samples, 'deliveries');
  const now = samples.at(-1);
  const slow = metrics.pgcast_slow_clients_total;
  const queued = report.threads.reduce((sum, thread) => sum + thread.queued_bytes, 0);
  const per_second = (list) => (list.length > 0 ? number_words(list.at(-1)) : '\u2013');
  const byte_rate = rates(samples, 'bytes').at(-1) ?? 0;
  return html`<section class="tiles" aria-label="Now">
    <${Tile} name="Connections" value=${number_words(now.connections)} line=${values(samples, 'connections')}
      note=${`${count_words(metrics.pgcast_channels, 'channel')} joined`} />
    <${Tile} name="Events a second" value=${per_second(events)} line=${events}
      note=${`${number_words(metrics.pgcast_events_read_total)} since the start`} />
    <${Tile} name="Deliveries a second" value=${per_second(deliveries)} line=${deliveries}
      note=${`${bytes_words(byte_rate)} a second`} />
    <${Tile} name="Lag" value=${span_words(lag.publish.newest)} line=${values(samples, 'lag')}
      note=${lag.publish.longest === null ? 'no event in the last minute' : `longest of a minute ${span_words(lag.publish.longest)}`}
      tone=${lag.publish.longest > 5 ? 'warn' : null} />
    <${Tile} name="Slow clients" value=${number_words(now.slow)} line=${values(samples, 'slow')}
      note=${`${number_words(slow.parked)} parked, ${number_words(slow.closed)} closed; ${bytes_words(queued)} wait`}
      tone=${now.slow > 0 ? 'warn' : null} />
  </section>`;
}

function Tile({ name, value, note, line, tone }) {
  return html`<div class="card tile" data-tone=${tone}>
    <h2>${name}</h2><p class="value">${value}</p><p class="hint">${note}</p><${Spark} line=${line} /></div>`;
}

/** The last two minutes as a line; decoration, the number beside it says the newest. */
function Spark({ line }) {
  if (line.length < 2) return html`<svg class="spark" viewBox="0 0 120 28" aria-hidden="true"></svg>`;
  const top = Math.max(...line) || 1;
  const step = 120 / (line.length - 1);
  const points = line.map((value, i) => `${(i * step).toFixed(1)},${(26 - (value / top) * 24).toFixed(1)}`);
  return html`<svg class="spark" viewBox="0 0 120 28" preserveAspectRatio="none" aria-hidden="true">
    <polygon points=${`0,28 ${points.join(' ')} 120,28`} /><polyline points=${points.join(' ')} /></svg>`;
}

function Topics({ topics }) {
  const most = topics[0]?.subscribers ?? 1;
  return html`<section class="card" aria-labelledby="busiest">
    <h2 id="busiest">Busiest topics</h2>
    ${topics.length === 0 ? html`<p class="hint">Nobody has joined a topic.</p>` : html`<table>
      <thead><tr><th scope="col">Topic</th><th scope="col" class="number">Subscribers</th></tr></thead>
      <tbody>${topics.map(({ topic, subscribers }) => html`<tr key=${topic}>
        <td class="topic"><bdi>${topic}</bdi><${Share} part=${subscribers / most} /></td>
        <td class="number">${number_words(subscribers)}</td></tr>`)}</tbody></table>`}
  </section>`;
}

function Share({ part }) {
  return html`<svg class="share" viewBox="0 0 100 3" preserveAspectRatio="none" aria-hidden="true">
    <rect width="100" height="3" /><rect class="part" width=${Math.max(1, part * 100)} height="3" /></svg>`;
}

function Threads({ threads }) {
  return html`<section class="card" aria-labelledby="threads">
    <h2 id="threads">Threads</h2>
    <table>
      <thead><tr><th scope="col">Thread</th><th scope="col" class="number">Clients</th><th scope="col" class="number">Topics</th>
        <th scope="col" class="number">Queued</th><th scope="col" class="number">Lag</th></tr></thead>
      <tbody>${threads.map((thread, i) => html`<tr key=${i}>
        <th scope="row">${i + 1}</th><td class="number">${number_words(thread.connections)}</td>
        <td class="number">${number_words(thread.topics)}</td>
        <td class="number">${bytes_words(thread.queued_bytes)}${thread.slow_clients > 0 && html`<span class="note">${count_words(thread.slow_clients, 'slow client')}</span>`}</td>
        <td class="number">${span_words(thread.lag.newest)}</td></tr>`)}</tbody>
    </table>
  </section>`;
}

function Problems({ problems }) {
  return html`<section class="card" aria-labelledby="problems">
    <h2 id="problems">Warnings and errors</h2>
    ${problems.length === 0 ? html`<p class="hint">None since the start.</p>` : html`
      <ol class="log" tabindex="0" role="list" aria-labelledby="problems">${problems.map((one, i) => html`<li key=${`${one.at}${i}`} data-level=${one.level}>
        <time datetime=${one.at}>${moment(new Date(one.at))}</time><span class="level">${one.level}</span><bdi>${one.message}</bdi></li>`)}</ol>`}
  </section>`;
}

function Refusals({ metrics }) {
  const rows = refusals(metrics);
  return html`<section class="card" aria-labelledby="refusals">
    <h2 id="refusals">Refused and lost</h2>
    ${rows.length === 0 ? html`<p class="hint">Nothing since the start.</p>` : html`<table>
      <thead class="unseen"><tr><th scope="col">What</th><th scope="col">Times</th></tr></thead>
      <tbody>${rows.map(({ what, why, count }) => html`<tr key=${what + why}>
        <td>${what}${why && html` <span class="why">${why}</span>`}</td><td class="number">${number_words(count)}</td></tr>`)}</tbody></table>`}
  </section>`;
}
