// Any JSON value as a readable tree: short values in a line, the rest folded.
import { html, useState } from './ui.js';
import { Folded } from './folded.js';

const k_open_depth = 2;    // levels that are open at first
const k_long_text = 2000;  // characters of a text that are drawn at first
const k_long_list = 200;   // what is behind is counted, not drawn

const is_branch = (value) => value !== null && typeof value === 'object';
const words = (key) => String(key).replaceAll('_', ' ');

function Leaf({ value }) {
  if (value === null || value === undefined) return html`<span class="leaf none">none</span>`;
  if (typeof value === 'boolean') return html`<span class="leaf" data-type="boolean">${value ? 'yes' : 'no'}</span>`;
  if (typeof value === 'string' && value.length > k_long_text) return html`<div class="leaf"><${Folded} text=${value} limit=${k_long_text} /></div>`;
  return html`<span class="leaf" data-type=${typeof value} dir="auto">${String(value)}</span>`;
}

/** Draws what is in it only once it is open: a value may be thousands of levels deep. */
function Branch({ name, value, depth }) {
  const [is_open, set_open] = useState(depth < k_open_depth - 1);
  const follow = (event) => event.target === event.currentTarget && set_open(event.target.open);
  return html`<details open=${is_open} onToggle=${follow}><summary>${name}</summary>
    ${is_open && html`<${Tree} value=${value} depth=${depth + 1} />`}</details>`;
}

/** A branch is a list of names and values; `depth` counts from the root. */
export function Tree({ value, depth = 0 }) {
  if (!is_branch(value)) return html`<${Leaf} value=${value} />`;
  const entries = Object.entries(value);
  if (entries.length === 0) return html`<span class="leaf none">empty</span>`;
  const shown = entries.slice(0, k_long_list);
  return html`<ul class="tree">
    ${shown.map(([key, child]) => html`<li key=${key}>
      ${is_branch(child)
        ? html`<${Branch} name=${Array.isArray(value) ? `${Number(key) + 1}.` : words(key)} value=${child} depth=${depth} />`
        : html`<span class="key">${Array.isArray(value) ? `${Number(key) + 1}.` : words(key)}</span> <${Leaf} value=${child} />`}
    </li>`)}
    ${entries.length > shown.length && html`<li class="hint">and ${entries.length - shown.length} more</li>`}
  </ul>`;
}
