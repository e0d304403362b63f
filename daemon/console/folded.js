// Long text, its beginning first: drawing a megabyte that nobody reads makes a page stutter.
import { html, useState } from './ui.js';

export function Folded({ text, limit = 4000 }) {
  const [is_whole, set_whole] = useState(false);
  if (is_whole || text.length <= limit * 1.2) return html`<p class="folded" dir="auto">${text}</p>`;
  return html`<p class="folded" dir="auto">${text.slice(0, limit)}${'\u2026'}</p>
    <button class="quiet" onClick=${() => set_whole(true)}>Show all ${text.length.toLocaleString()} characters</button>`;
}
