// The newest events, and one of them followed from its statement to the clients.
import { html, useState, useEffect, Problem } from './ui.js';
import { side_words, span_words, trace_words } from './operations_state.js';
import { moment } from './time.js';

const k_again = 700;  // ms, while a thread has not published it

const href_of = (id) => `#/operations?${new URLSearchParams({ event: id })}`;

export function EventRoom({ events, ask, id }) {
  const [typed, set_typed] = useState('');
  const submit = (event) => {
    event.preventDefault();
    if (typed.trim()) location.hash = href_of(typed.trim());
  };
  return html`<section class="card" aria-labelledby="events">
    <div class="card-head"><h2 id="events">Follow an event</h2>
      <form class="asking" onSubmit=${submit}>
        <label class="unseen" for="event-id">Event id</label>
        <input id="event-id" inputmode="numeric" autocomplete="off" placeholder="Event id" value=${typed}
          onInput=${(event) => set_typed(event.target.value)} />
        <button class="plain" type="submit">Follow</button>
      </form></div>
    <div class="follow">
      <${NewestEvents} events=${events} open_id=${id} />
      <div class="trace" aria-live="polite">
        ${id ? html`<${Trace} key=${id} id=${id} ask=${ask} />` : html`<p class="hint pad">Pick one, or type the id that came with it:
          when it was read, which topics it touched and to how many clients it was handed is shown here.</p>`}
      </div>
    </div>
  </section>`;
}

function NewestEvents({ events, open_id }) {
  if (events.length === 0) return html`<p class="hint pad">No event since the start.</p>`;
  return html`<ol class="events" role="list" aria-label="Newest events">${events.map((event) => html`
    <li key=${event.id}><a href=${href_of(event.id)} aria-current=${event.id === open_id ? 'true' : null}>
      <span class="operation" data-operation=${event.operation}>${event.operation.toLowerCase()}</span>
      <bdi class="table">${event.table}</bdi>
      <time datetime=${event.read_at}>${moment(new Date(event.read_at))}</time>
      <bdi class="where">${event.topics[0]?.topic ?? 'no topic'}</bdi>
    </a></li>`)}</ol>`;
}

/** Asks again until every thread has published it. */
function use_trace(ask, id) {
  const [state, set_state] = useState({});
  useEffect(() => {
    let is_gone = false;
    let timer;
    const load = async () => {
      const { body, status, reason } = await ask(`api/v1/operations/events/${encodeURIComponent(id)}`);
      if (is_gone) return;
      if (body) set_state({ trace: body });
      else set_state((before) => ({ ...before, problem: status === 404 ? 'old' : reason }));
      if (body?.threads.includes(null)) timer = setTimeout(load, k_again);
    };
    load();
    return () => {
      is_gone = true;
      clearTimeout(timer);
    };
  }, [id]);
  return state;
}

function Trace({ id, ask }) {
  const { trace, problem } = use_trace(ask, id);
  if (problem === 'old') {
    return html`<${Problem}>Event ${id} is not among the newest 1,024 of this daemon. That says nothing about its delivery.<//>`;
  }
  if (problem) return html`<${Problem}>It could not be followed: ${problem}.<//>`;
  if (!trace) return html`<p class="hint pad">Loading\u2026</p>`;
  const { summary, steps } = trace_words(trace);
  return html`<h3>Event <bdi>${trace.id}</bdi></h3>
    <p class="summary">${summary}</p>
    <ol class="steps" role="list">${steps.map((step) => html`<li key=${step.title} class=${step.is_waiting ? 'waiting' : null}>
      <b>${step.title}</b>
      <span class="after">${step.after !== undefined ? `+${span_words(step.after)}` : step.at ? moment(new Date(step.at)) : ''}</span>
      ${step.detail && html`<span class="detail">${step.detail}</span>`}</li>`)}</ol>
    <h4>Topics</h4>
    ${trace.topics.length === 0
      ? html`<p class="hint">${trace.operation === 'TRUNCATE' ? 'All that carry the table.' : 'None: only postgres_changes can carry it.'}</p>`
      : html`<ul class="touched">${trace.topics.map((one) => html`<li key=${one.topic}><bdi>${one.topic}</bdi>
          ${trace.operation !== 'BROADCAST' && html`<span class="hint">${side_words(one)}</span>`}</li>`)}</ul>`}`;
}
