// Paste a token and see how the daemon reads it, or why it refuses it.
import { html, useState, Icon, Problem } from './ui.js';
import { token_words } from './operations_state.js';
import { Tree } from './tree.js';
import { long_moment } from './time.js';

export function TokenInspector({ ask }) {
  const [text, set_text] = useState('');
  const [answer, set_answer] = useState({});
  const submit = async (event) => {
    event.preventDefault();
    const token = text.trim().replace(/^Bearer\s+/i, '');
    if (!token) return;
    const { body, reason } = await ask('api/v1/operations/token', { token });
    set_answer(body ? { report: body } : { problem: reason });
  };
  return html`<section class="card" aria-labelledby="inspector">
    <h2 id="inspector">Token inspector</h2>
    <form class="inspect" onSubmit=${submit}>
      <label for="inspected">Token or key that a client sends</label>
      <textarea id="inspected" rows="4" spellcheck="false" autocomplete="off" autocapitalize="off" aria-describedby="inspected-help"
        value=${text} onInput=${(event) => set_text(event.target.value)}
        onKeyDown=${(event) => event.key === 'Enter' && !event.shiftKey && submit(event)} />
      <div class="inspect-foot"><p class="hint" id="inspected-help">It goes to the daemon alone, which neither keeps nor logs it.</p>
        <button class="main" type="submit">Explain</button></div>
    </form>
    <div aria-live="polite">
      ${answer.problem && html`<${Problem}>The daemon did not look at it: ${answer.problem}.<//>`}
      ${answer.report && html`<${Explanation} report=${answer.report} />`}
    </div>
  </section>`;
}

function Explanation({ report }) {
  const { is_accepted, title, facts } = token_words(report, (at) => long_moment(new Date(at)));
  return html`<div class="verdict" data-tone=${is_accepted ? 'good' : 'bad'}>
      <${Icon} name=${is_accepted ? 'one' : 'alert'} /><p>${title}</p></div>
    ${report.faults.length > 0 && html`<ul class="faults">${report.faults.map((fault) => html`<li key=${fault.code}>
      <p>${fault.sentence}. <code>${fault.code}</code></p><p class="remedy">What to do: ${fault.remedy}.</p></li>`)}</ul>`}
    ${facts.length > 0 && html`<dl class="token-facts">${facts.map(([name, words, tone]) => html`
      <div key=${name} data-tone=${tone}><dt>${name}</dt><dd><bdi>${words}</bdi></dd></div>`)}</dl>`}
    ${report.claims !== null && html`<h3>Claims ${!report.claims_verified && html`<span class="badge unverified">not verified</span>`}</h3>
      ${!report.claims_verified && html`<p class="hint">Nobody known here has signed them: anyone may have written this.</p>`}
      <${Tree} value=${report.claims} />`}`;
}
