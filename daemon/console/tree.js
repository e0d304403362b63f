// Any JSON value as a readable tree: short values in a line, the rest folded.
import { html } from './ui.js';

const k_open_depth = 2;    // levels that are open at first
const k_long_list = 200;   // what is behind is counted, not drawn

const is_branch = (value) => value !== null && typeof value === 'object';
const words = (key) => String(key).replaceAll('_', ' ');

function Leaf({ value }) {
  if (value === null || value === undefined) return html`<span class="leaf none">none</span>`;
  if (typeof value === 'boolean') return html`<span class="leaf" data-type="boolean">${value ? 'yes' : 'no'}</span>`;
  return html`<span class="leaf" data-type=${typeof value} dir="auto">${String(value)}</span>`;
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
        ? html`<details open=${depth < k_open_depth - 1}><summary>${Array.isArray(value) ? `${Number(key) + 1}.` : words(key)}</summary>
            <${Tree} value=${child} depth=${depth + 1} /></details>`
        : html`<span class="key">${Array.isArray(value) ? `${Number(key) + 1}.` : words(key)}</span> <${Leaf} value=${child} />`}
    </li>`)}
    ${entries.length > shown.length && html`<li class="hint">and ${entries.length - shown.length} more</li>`}
  </ul>`;
}
