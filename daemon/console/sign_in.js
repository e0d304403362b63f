// The door: a field for the token, and why the last one was refused.
import { html, useState, Problem } from './ui.js';

/** What the daemon said about a token, as a sentence with what to do. */
export function token_sentence(reason) {
  if (/expired/i.test(reason)) return 'This token has expired. Paste a new one.';
  if (/signature/i.test(reason)) return 'This token was signed with another secret than the daemon\u2019s.';
  if (/role/i.test(reason)) return `This token\u2019s role is not accepted. (${reason})`;
  return `The daemon refused this token. (${reason})`;
}

export function SignIn({ sign_in, reason }) {
  const [text, set_text] = useState('');
  const submit = (event) => {
    event.preventDefault();
    if (text.trim()) sign_in(text.trim().replace(/^Bearer\s+/i, ''));
  };
  return html`<main class="door">
    <form onSubmit=${submit}>
      <img src="console/icon.svg" alt="" width="40" height="40" />
      <h1>pgcast</h1>
      <p id="door-help">Paste a token to watch conversations live. It stays in this tab only.</p>
      ${reason && html`<${Problem}>${token_sentence(reason)}<//>`}
      <label for="token">Token</label>
      <textarea id="token" rows="4" spellcheck="false" autocomplete="off" autocapitalize="off" autofocus
        aria-describedby="door-help" value=${text} onInput=${(event) => set_text(event.target.value)}
        onKeyDown=${(event) => event.key === 'Enter' && submit(event)} />
      <button class="main" type="submit">Connect</button>
      <p class="hint">Make one with <code>pgcast token --role service_role</code></p>
    </form>
  </main>`;
}
