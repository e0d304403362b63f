// Bars over time, drawn by uPlot: messages, and calls on top of them.
import { html, useEffect, useRef } from './ui.js';

const k_least_top = 4;  // one message alone is no full bar

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const font = '11px system-ui, sans-serif';

function options(uPlot, { width, height, has_axes, tint }) {
  const bars = uPlot.paths.bars({ size: [0.78, 26], radius: 0.2 });
  const axis = { stroke: () => color('--soft'), font, ticks: { show: false } };
  const grid = { stroke: () => color('--line'), width: 1 };
  return {
    width,
    height,
    padding: has_axes ? [8, 8, 0, 0] : [2, 0, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: true, range: whole_pieces }, y: { range: (_, low, high) => [0, Math.max(k_least_top, high ?? 0)] } },
    axes: has_axes
      ? [{ ...axis, grid: { show: false }, space: 90, size: 24, values: '{HH}:{mm}' },
        { ...axis, grid, size: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10_000, 50_000] }]
      : [{ show: false }, { show: false }],
    series: [{},
      { paths: bars, points: { show: false }, fill: () => color('--calls'), width: 0 },
      { paths: bars, points: { show: false }, fill: () => color('--accent'), width: 0 }],
    hooks: { drawClear: [tint] },
  };
}

/** Room for the first and the last bar, which stand in the middle of their pieces. */
function whole_pieces(plot, first, last) {
  const half = (plot.data[0][1] - plot.data[0][0]) / 2;
  return [first - half, last + half];
}

/** Where nobody counted the ground is tinted: nothing known is not nothing happened. */
function tint_unknown(plot, unknown) {
  const [times] = plot.data;
  const half = (times[1] - times[0]) / 2;
  plot.ctx.fillStyle = color('--hover');
  for (let n = 0; n < times.length; n += 1) {
    if (!unknown[n]) continue;
    const left = Math.floor(plot.valToPos(times[n] - half, 'x', true));
    const right = Math.ceil(plot.valToPos(times[n] + half, 'x', true));
    plot.ctx.fillRect(left, plot.bbox.top, right - left, plot.bbox.height);
  }
}

/** Calls stand on the messages: their bar is drawn first, as high as both. */
function stacked({ times, messages, calls }) {
  return [times, messages.map((count, n) => (count === null ? null : count + calls[n])), messages];
}

/** Follows the width of its box and the colours of the system; gives what ends that. */
function keep_in_shape(plot, box, height) {
  const watcher = new ResizeObserver(([entry]) => plot.setSize({ width: entry.contentRect.width, height }));
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  const recolor = () => plot.redraw(false, true);
  watcher.observe(box);
  scheme.addEventListener('change', recolor);
  return () => {
    watcher.disconnect();
    scheme.removeEventListener('change', recolor);
  };
}

/** `columns` as campaigns_state makes them; `label` says the same in words. */
export function Chart({ columns, label, height, has_axes = false }) {
  const box = useRef(null);
  const plot = useRef(null);
  const latest = useRef(columns);
  latest.current = columns;
  useEffect(() => {
    let is_gone = false;
    let remove = () => {};
    // Loaded with the first chart: who only reads chats does not wait for it. Without it the caption
    // still says the numbers.
    import('./vendor/uplot.js').then(({ default: uPlot }) => {
      if (is_gone || !box.current) return;
      const width = box.current.clientWidth;
      const tint = (made) => tint_unknown(made, latest.current.unknown);
      plot.current = new uPlot(options(uPlot, { width, height, has_axes, tint }), stacked(latest.current), box.current);
      remove = keep_in_shape(plot.current, box.current, height);
    }, () => {});
    return () => {
      is_gone = true;
      remove();
      plot.current?.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(stacked(columns)), [columns]);
  return html`<div class="chart" role="img" aria-label=${label} ref=${box}></div>`;
}
