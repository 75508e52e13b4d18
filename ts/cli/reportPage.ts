// The HTML of a report: a pure function of its data. Self-contained (a content security policy forbids every request) and safe for any text in the data.

import uplotScript from 'uplot/dist/uPlot.iife.min.js?raw';
import uplotStyle from 'uplot/dist/uPlot.min.css?raw';
import type { MetricsLine, ReportData, ReportTable } from './report';

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Text as HTML shows it. Characters that are not text (controls besides tab and line end) become U+FFFD. */
export function escapeHtml(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, '\ufffd').replace(/[&<>"']/g, (character) => ESCAPES[character]);
}

/** JSON that may stand in a script element: no `<`, and no line separators that older parsers choke on. */
export function embedJson(value: unknown): string {
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A column of the metrics with null where a line has no finite number. */
export function column(metrics: readonly MetricsLine[], key: string): (number | null)[] {
  return metrics.map((line) => (typeof line[key] === 'number' && Number.isFinite(line[key]) ? line[key] : null));
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2330; --dim: #667085; --line: #d8dde6; --paper: #ffffff; --card: #f6f7f9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --dim: #98a2b3; --line: #343b48; --paper: #14181f; --card: #1c222b; } }
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 62rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.5rem; margin: 0 0 1rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: 0; } dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; } td, th { padding: .15rem 1rem .15rem 0; text-align: right; } td:first-child, th:first-child { text-align: left; } th { color: var(--dim); font-weight: 400; }
.chart { min-height: 20rem; } .u-legend { color: var(--ink); } .empty { color: var(--dim); }
article { border: 1px solid var(--line); border-radius: 6px; margin: 0 0 .8rem; background: var(--card); }
article h3 { font-size: .85rem; font-weight: 600; margin: 0; padding: .4rem .8rem; color: var(--dim); border-bottom: 1px solid var(--line); }
pre { margin: 0; padding: .7rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font: .85rem/1.45 ui-monospace, monospace; } pre b { color: var(--dim); font-weight: 400; }
`;

// Runs in the page. `data` is [steps, ...columns] of each chart.
const SCRIPT = `
const { charts } = JSON.parse(document.getElementById('data').textContent);
const ink = getComputedStyle(document.body).color;
const grid = { stroke: ink, width: 0.15 };
const short = (v) => (v == null ? '' : v !== 0 && Math.abs(v) < 0.01 ? v.toExponential(1) : v.toLocaleString('en-US'));
for (const { id, series, data, log } of charts) {
  const place = document.getElementById(id);
  const axis = { stroke: ink, grid, ticks: grid };
  const options = {
    width: place.clientWidth, height: 320, legend: { live: true },
    scales: { x: { time: false }, y: log ? { distr: 3 } : {} },
    axes: [{ ...axis, label: 'step' }, { ...axis, size: 70, values: (_, values) => values.map(short) }],
    series: [{ label: 'step' }, ...series.map((s) => ({ label: s.label, stroke: s.colour, width: s.points ? 2 : 1.2, spanGaps: true, points: { show: s.points, size: 6 } }))],
  };
  const plot = new uPlot(options, data, place);
  addEventListener('resize', () => plot.setSize({ width: place.clientWidth, height: 320 }));
}
`;

interface Chart {
  id: string;
  title: string;
  log: boolean;
  series: { key: string; label: string; colour: string; points: boolean }[];
}

/** The charts of every run. @param unit what the speed counts, in the log too, whose word is tokens_per_second */
const chartsOf = (unit: string): readonly Chart[] => [
  {
    id: 'loss',
    title: 'Loss (nats)',
    log: false,
    series: [
      { key: 'loss', label: 'training', colour: '#3f7fd1', points: false },
      { key: 'eval_loss', label: 'evaluation', colour: '#d1603f', points: true },
    ],
  },
  {
    id: 'speed',
    title: `Throughput (${unit} per second)`,
    log: false,
    series: [{ key: 'tokens_per_second', label: `${unit}/s`, colour: '#2f9e6f', points: false }],
  },
  {
    id: 'rate',
    title: 'Learning rate',
    log: false,
    series: [{ key: 'learning_rate', label: 'learning rate', colour: '#8b5fbf', points: false }],
  },
  {
    id: 'norm',
    title: 'Gradient norm before clipping',
    log: true,
    series: [{ key: 'grad_norm', label: 'norm', colour: '#b08a2e', points: false }],
  },
];

const COLOURS = ['#d1603f', '#3f7fd1', '#2f9e6f', '#8b5fbf', '#b08a2e', '#4aa3a3', '#a34a77', '#6b7280'];
/** Scores that run to 100; the others are shares, or error rates. */
const PERCENT = /^eval_(bleu|chrf)/;

/** Charts of the scores that evaluations found beside the loss. */
function scoreCharts(rows: readonly MetricsLine[]): Chart[] {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((key) => key.startsWith('eval_') && key !== 'eval_loss');
  const chart = (id: string, title: string, chosen: string[]): Chart => ({
    id,
    title,
    log: false,
    series: chosen.map((key, i) => ({ key, label: key.slice(5).replaceAll('_', ' '), colour: COLOURS[i % COLOURS.length], points: true })),
  });
  return [
    chart(
      'scores',
      'Evaluation: scores',
      keys.filter((key) => !PERCENT.test(key)),
    ),
    chart(
      'percents',
      'Evaluation: BLEU and chrF',
      keys.filter((key) => PERCENT.test(key)),
    ),
  ];
}

function htmlTable({ title, head, rows }: ReportTable): string {
  const line = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  return `<h2>${escapeHtml(title)}</h2>\n<table>${line(head, 'th')}${rows.map((row) => line(row, 'td')).join('\n')}</table>`;
}

/** The whole page. */
export function reportPage({ title, facts, metrics, samples, tables = [], unit = 'tokens' }: ReportData): string {
  const steps = column(metrics, 'step');
  const rows = metrics.filter((_, i) => steps[i] !== null);
  const [loss, ...others] = chartsOf(unit);
  const present = [loss, ...scoreCharts(rows), ...others]
    .map((chart) => ({
      ...chart,
      series: chart.series.filter(({ key }) => column(rows, key).some((value) => value !== null)),
    }))
    .filter(({ series }) => series.length > 0);
  const charts = present.map(({ id, log, series }) => ({
    id,
    log: log && series.every(({ key }) => column(rows, key).every((value) => value === null || value > 0)),
    series,
    data: [column(rows, 'step'), ...series.map(({ key }) => column(rows, key))],
  }));
  const factList = facts.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`).join('\n');
  const chartList = present.map(({ id, title: heading }) => `<h2>${heading}</h2>\n<div class="chart" id="${id}"></div>`).join('\n');
  const sampleList = [...samples]
    .reverse()
    .map(
      ({ step, prompt, text }) =>
        `<article><h3>after step ${Number(step)}</h3><pre><b>${escapeHtml(String(prompt))}</b>${escapeHtml(String(text))}</pre></article>`,
    )
    .join('\n');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${uplotStyle}${STYLE}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
<dl>
${factList}
</dl>
${tables.map(htmlTable).join('\n')}
${chartList || '<p class="empty">No metrics yet.</p>'}
<h2>Samples, newest first</h2>
${sampleList || '<p class="empty">No samples yet.</p>'}
<script type="application/json" id="data">${embedJson({ charts })}</script>
<script>${uplotScript}</script>
<script>${SCRIPT}</script>
</body>
</html>
`;
}
