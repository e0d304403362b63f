// Bars over time, drawn by uPlot: messages, and calls on top of them.
import { html, useEffect, useRef } from './ui.js';
import uPlot from './vendor/uplot.js';

const k_least_top = 4;  // one message alone is no full bar

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const bars = uPlot.paths.bars({ size: [0.78, 26], radius: 0.2 });
const font = '11px system-ui, sans-serif';

function options({ width, height, has_axes, tint }) {
  const axis = { stroke: () => color('--soft'), font, ticks: { show: false } };
  const grid = { stroke: () => color('--line'), width: 1 };
  return {
    width,
    height,
    padding: has_axes ? [8, 8, 0, 0] : [2, 0, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(k_least_top, high ?? 0)] } },
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

/** Where nobody counted the ground is tinted: nothing known is not nothing happened. */
function tint_unknown(plot) {
  const [times, , messages] = plot.data;
  const half = (times[1] - times[0]) / 2;
  plot.ctx.fillStyle = color('--hover');
  for (let n = 0; n < times.length; n += 1) {
    if (messages[n] !== null) continue;
    const left = Math.max(plot.bbox.left, Math.floor(plot.valToPos(times[n] - half, 'x', true)));
    const right = Math.ceil(plot.valToPos(times[n] + half, 'x', true));
    plot.ctx.fillRect(left, plot.bbox.top, right - left, plot.bbox.height);
  }
}

/** Calls stand on the messages: their bar is drawn first, as high as both. */
function stacked({ times, messages, calls }) {
  return [times, messages.map((count, n) => (count === null ? null : count + calls[n])), messages];
}

/** `columns` as campaigns_state makes them; `label` says the same in words. */
export function Chart({ columns, label, height, has_axes = false }) {
  const box = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    const made = new uPlot(
      options({ width: box.current.clientWidth, height, has_axes, tint: tint_unknown }), stacked(columns), box.current);
    plot.current = made;
    const watcher = new ResizeObserver(([entry]) => made.setSize({ width: entry.contentRect.width, height }));
    watcher.observe(box.current);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const recolor = () => made.redraw(false, true);
    scheme.addEventListener('change', recolor);
    return () => {
      watcher.disconnect();
      scheme.removeEventListener('change', recolor);
      made.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(stacked(columns)), [columns]);
  return html`<div class="chart" role="img" aria-label=${label} ref=${box}></div>`;
}
