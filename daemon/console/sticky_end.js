// A list that grows at its end, and a reader who may look at what was before.
import { useState, useLayoutEffect, useEffect, useRef } from './ui.js';

/** Stays at the newest entry while the reader is there; counts what came while he was not. */
export function use_sticky_end(entries) {
  const box = useRef(null);
  const end = useRef(null);
  const seen = useRef(entries.length);
  const stick = useRef(true);
  const [is_at_end, set_at_end] = useState(true);
  const to_end = () => {
    stick.current = true;
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  };
  const count = entries.length;
  const total = useRef(count);
  total.current = count;
  useLayoutEffect(() => {
    if (stick.current) to_end();
  });
  useEffect(() => {
    const watcher = new IntersectionObserver(([entry]) => {
      stick.current = entry.isIntersecting;
      if (entry.isIntersecting) seen.current = total.current;
      set_at_end(entry.isIntersecting);
    }, { root: box.current, rootMargin: '0px 0px 80px 0px' });
    watcher.observe(end.current);
    return () => watcher.disconnect();
  }, []);
  if (stick.current) seen.current = count;
  return { box, end, is_at_end, missed: Math.max(0, count - seen.current), to_end };
}
