// The one place that binds templates to the renderer, and the icons.
import { h, render, Fragment } from './vendor/preact.js';
import htm from './vendor/htm.js';

export { render, Fragment };
export { useState, useEffect, useLayoutEffect, useMemo, useRef, useCallback } from './vendor/hooks.js';

/** Template tag: html`<p>${text}</p>`; values are always text or nodes, never markup. */
export const html = htm.bind(h);

const k_paths = {
  search: 'M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM20 20l-4.8-4.8',
  back: 'M14.5 5.5 8 12l6.5 6.5',
  down: 'M12 5v13M6.5 12.5 12 18l5.5-5.5',
  phone: 'M6.5 4h3l1.5 4-2 1.5a11 11 0 0 0 5.5 5.5l1.5-2 4 1.5v3a2 2 0 0 1-2.2 2A16 16 0 0 1 4.5 6.2 2 2 0 0 1 6.5 4z',
  chat: 'M4.5 7A2.5 2.5 0 0 1 7 4.5h10A2.5 2.5 0 0 1 19.5 7v6.5A2.5 2.5 0 0 1 17 16h-5.5L7 20v-4a2.5 2.5 0 0 1-2.5-2.5z',
  clock: 'M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM12 7.5V12l3 2',
  one: 'm5 12.5 4.5 4.5L19 7.5',
  two: 'm2 12.5 4.5 4.5L16 7.5M11.5 16l1 1L22 7.5',
  person: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20a7.5 7.5 0 0 1 15 0',
  flag: 'M6 21V4.5M6 5c4-2 8 2 12 0v8c-4 2-8-2-12 0',
  alert: 'M12 8v5M12 16.2v.3M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17z',
};

/** A line icon; decoration unless `label` names it for a screen reader. */
export function Icon({ name, label, size = 18 }) {
  const said = label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' };
  return html`<svg class="icon" viewBox="0 0 24 24" width=${size} height=${size} ...${said}>
    ${label && html`<title>${label}</title>`}<path d=${k_paths[name]} /></svg>`;
}

/** A sentence about something that went wrong, read out at once. */
export function Problem({ children, action }) {
  return html`<div class="problem" role="alert"><${Icon} name="alert" /><p>${children}</p>${action}</div>`;
}
