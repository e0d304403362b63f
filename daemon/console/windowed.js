// A long list of which only what is near the viewport is in the document.
import { html, useState, useMemo, useLayoutEffect, useEffect, useRef } from './ui.js';

const k_margin = 800;    // px beyond the viewport that are drawn too
const k_near_end = 80;   // px from the end that still count as being there

/** Index of the item at that distance from the start of the list; offsets[i] is where item i starts. */
export function item_at(offsets, distance) {
  let low = 0;
  let high = offsets.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (offsets[middle] <= distance) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}

/**
 * Draws `items` by draw(item, index), each as one element with a key, inside `box`: a ref to the element
 * that scrolls. Heights are guessed by estimate(item) until they have been drawn and measured.
 *
 * `place` is where the reader is: {is_at_end, key, index, past}. At the end the list stays at its end;
 * elsewhere the item `key` keeps its place on the screen (`past` px of it are above the edge), whatever
 * comes or goes before it. key = null leaves scrolling alone. on_scroll(place, px from the top) tells
 * of a new place.
 */
export function Windowed({ box, items, key_of, estimate, draw, place, keeps_place, on_scroll, margin = k_margin, ...rest }) {
  const list = useRef(null);
  const heights = useRef(new Map()).current;
  const known_top = useRef(0);
  const now = useRef({}).current;
  const [measured, set_measured] = useState(0);
  const [, redraw] = useState(0);
  // The reader scrolls before the browser says so: never hold a place that he has left already.
  if (box.current && list.current && box.current.scrollTop !== known_top.current) now.follow();
  const offsets = useMemo(() => {
    const all = new Float64Array(items.length + 1);
    items.forEach((item, index) => {
      all[index + 1] = all[index] + (heights.get(key_of(item)) ?? estimate(item));
    });
    return all;
  }, [items, measured]);

  const [first, last] = range(box.current, offsets, seen_from(box.current, list.current, place, items, key_of, offsets), margin);
  Object.assign(now, {
    on_scroll,
    follow: () => {
      known_top.current = box.current.scrollTop;
      if (!keeps_place) return;
      const top = known_top.current - list_top(box.current, list.current);
      place.is_at_end = box.current.scrollHeight - known_top.current - box.current.clientHeight < k_near_end;
      if (items.length === 0) return;
      place.index = item_at(offsets, top);
      place.key = key_of(items[place.index]);
      place.past = top - offsets[place.index];
    },
    is_drawn: () => {
      const top = box.current.scrollTop - list_top(box.current, list.current);
      const bottom = top + box.current.clientHeight;
      return (first === 0 || offsets[first] < top - margin / 2) && (last === items.length || offsets[last] > bottom + margin / 2);
    },
  });

  useLayoutEffect(() => {
    if (measure(list.current, items, first, heights, key_of)) set_measured((count) => count + 1);
    hold(box.current, list.current, place, items, first, key_of);
    known_top.current = box.current.scrollTop;
    now.on_scroll?.(place, known_top.current);
  });
  useEffect(() => {
    const scroll = () => {
      now.follow();
      if (!now.is_drawn()) redraw((count) => count + 1);
      now.on_scroll?.(place, known_top.current);
    };
    let width = box.current.clientWidth;
    let frame = null;
    const watcher = new ResizeObserver(() => {
      if (box.current && box.current.clientWidth !== width) heights.clear();
      width = box.current?.clientWidth;
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => redraw((count) => count + 1));
    });
    watcher.observe(box.current);
    watcher.observe(list.current);
    const scroller = box.current;
    scroller.addEventListener('scroll', scroll, { passive: true });
    return () => {
      scroller.removeEventListener('scroll', scroll);
      cancelAnimationFrame(frame);
      watcher.disconnect();
    };
  }, []);

  const before = offsets[first];
  const after = offsets[items.length] - offsets[last];
  return html`<ol ref=${list} ...${rest} style=${{ paddingTop: `${before}px`, paddingBottom: `${after}px` }}>
    ${items.slice(first, last).map((item, at) => draw(item, first + at))}</ol>`;
}

const list_top = (box, list) => list.getBoundingClientRect().top - box.getBoundingClientRect().top + box.scrollTop;

/** Where the screen begins, in px from the start of the list. */
function seen_from(box, list, place, items, key_of, offsets) {
  if (place.is_at_end) return offsets[items.length];
  if (place.key !== null) return offsets[index_of(place, items, key_of)] + place.past;
  return box && list ? box.scrollTop - list_top(box, list) : 0;
}

function index_of(place, items, key_of) {
  if (items.length === 0) return 0;
  if (items[place.index] && key_of(items[place.index]) === place.key) return place.index;
  const index = items.findIndex((item) => key_of(item) === place.key);
  // The item is gone: the one that took its place.
  return index === -1 ? Math.min(place.index, items.length - 1) : index;
}

function range(box, offsets, from, margin) {
  const count = offsets.length - 1;
  if (count === 0) return [0, 0];
  const height = box?.clientHeight || 800;
  const top = Math.max(0, Math.min(from, offsets[count] - height));
  return [item_at(offsets, top - margin), Math.min(count, item_at(offsets, top + height + margin) + 1)];
}

/** Takes the true heights of what is drawn; true when one was another. */
function measure(list, items, first, heights, key_of) {
  let has_changed = false;
  for (let at = 0; at < list.children.length; at += 1) {
    const key = key_of(items[first + at]);
    const { height } = list.children[at].getBoundingClientRect();
    if (Math.abs((heights.get(key) ?? -1) - height) < 0.5) continue;
    heights.set(key, height);
    has_changed = true;
  }
  return has_changed;
}

/** Puts the screen back to where the reader is. */
function hold(box, list, place, items, first, key_of) {
  if (place.is_at_end) {
    box.scrollTop = box.scrollHeight;
    return;
  }
  if (place.key === null) return;
  const element = list.children[index_of(place, items, key_of) - first];
  if (!element) return;
  const off = element.getBoundingClientRect().top - box.getBoundingClientRect().top + place.past;
  if (Math.abs(off) >= 1) box.scrollTop += off;
}
