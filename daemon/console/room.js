// A room is loaded when somebody enters it, so that the first page is small.
import { html, useEffect, useState } from './ui.js';

const k_again_ms = 1000;
const loaded = new Map(); // path -> component

/** Loads the module of a room; while the daemon is away it is tried again, under another address: a
 * browser may remember that the first one failed. */
async function load({ path, view }, tries = 0) {
  try {
    const module = await import(`./${path}.js${tries === 0 ? '' : `?again=${tries}`}`);
    loaded.set(path, module[view]);
  } catch {
    await new Promise((done) => setTimeout(done, k_again_ms));
    await load({ path, view }, tries + 1);
  }
}

/** The room on show; `rest` goes to its component. */
export function Room({ room, ...rest }) {
  const [, redraw] = useState(0);
  const view = loaded.get(room.path);
  useEffect(() => {
    let is_gone = false;
    if (!view) load(room).then(() => !is_gone && redraw((n) => n + 1));
    return () => {
      is_gone = true;
    };
  }, [room, view]);
  if (!view) return html`<main class="room"><p class="hint pad" role="status">Loading\u2026</p></main>`;
  return html`<${view} ...${rest} />`;
}
