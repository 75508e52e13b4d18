// The report: safe for any text, whole without a network, honest about lines it cannot read.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readJsonLines, writeReport } from './report';
import { column, embedJson, escapeHtml, reportPage } from './reportPage';

const HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">&\'\u0000\u2028';

describe('escaping', () => {
  it('leaves no markup in text', () => {
    expect(escapeHtml(HOSTILE)).toBe(
      '&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=&quot;alert(2)&quot;&gt;&amp;&#39;\ufffd\u2028',
    );
    expect(escapeHtml('a\tb\nc')).toBe('a\tb\nc');
  });

  it('leaves no end of a script in JSON and keeps its value', () => {
    const text = embedJson({ a: HOSTILE });
    expect(text).not.toMatch(/[<>&\u2028]/);
    expect(JSON.parse(text)).toEqual({ a: HOSTILE });
  });
});

describe('reportPage', () => {
  const page = reportPage({
    title: HOSTILE,
    facts: [[HOSTILE, HOSTILE]],
    metrics: [
      { step: 1, loss: 4, tokens_per_second: 100, grad_norm: 0 },
      { step: 2, loss: null, eval_loss: 3.5, tokens_per_second: 120 },
    ],
    samples: [{ step: 1, prompt: HOSTILE, text: HOSTILE }],
  });

  it('shows hostile text as text everywhere', () => {
    expect(page).not.toContain('<script>alert');
    expect(page).not.toContain('<img');
    expect(page.split('&lt;script&gt;alert(1)').length - 1).toBe(6);
    expect(page.match(/<\/script>/g)).toHaveLength(3);
  });

  it('asks the network for nothing', () => {
    expect(page).toContain("default-src 'none'");
    expect(page).toContain('.uplot {'); // the style sheet is really inlined
    expect(page).toContain('uPlot');
    expect(page).not.toMatch(/(src|href)\s*=\s*["']?(https?:)?\/\//);
  });

  it('draws the scores of evaluations, those to 100 apart, and shows tables as text', () => {
    const scored = reportPage({
      title: 'x',
      facts: [],
      metrics: [{ step: 1, loss: 2, eval_loss: 1, eval_accuracy: 0.5, eval_bleu: 20, eval_macro_f1: 0.25, tokens_per_second: 7 }],
      samples: [],
      unit: 'examples',
      tables: [{ title: HOSTILE, head: ['label', 'f1'], rows: [[HOSTILE, '0.5']] }],
    });
    const { charts } = JSON.parse(/<script type="application\/json" id="data">(.*?)<\/script>/s.exec(scored)?.[1] ?? '');
    const ofCharts = charts.map((chart: { id: string; data: unknown[] }) => [chart.id, ...chart.data.slice(1)]);
    expect(ofCharts).toEqual([
      ['loss', [2], [1]],
      ['scores', [0.5], [0.25]],
      ['percents', [20]],
      ['speed', [7]],
    ]);
    expect(scored).toContain('<h2>Throughput (examples per second)</h2>');
    expect(page).toContain('<h2>Throughput (tokens per second)</h2>');
    expect(scored).toContain('<th>label</th><th>f1</th>');
    expect(scored).toContain('<td>0.5</td>');
    expect(scored).not.toContain('<script>alert');
  });

  it('embeds the columns, with null where there is no number', () => {
    const data = JSON.parse(/<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page)?.[1] ?? '');
    expect(data.charts.map((chart: { id: string }) => chart.id)).toEqual(['loss', 'speed', 'norm']);
    expect(data.charts[0].data).toEqual([
      [1, 2],
      [4, null],
      [null, 3.5],
    ]);
    expect(data.charts[2].log).toBe(false); // a norm of 0 has no logarithm
  });

  it('works without metrics and samples', () => {
    const empty = reportPage({ title: 'x', facts: [], metrics: [], samples: [] });
    expect(empty).toContain('No metrics yet.');
    expect(empty).toContain('No samples yet.');
  });
});

describe('column', () => {
  it('takes finite numbers alone', () => {
    expect(column([{ a: 1 }, {}, { a: null }, { a: Number.NaN }], 'a')).toEqual([1, null, null, null]);
  });
});

describe('files', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ferro-report-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('reads lines, skips an unfinished one, and takes a missing file as empty', async () => {
    await writeFile(join(folder, 'metrics.jsonl'), '{"step":1,"loss":2}\n\n[1]\n7\n{"step":2,"lo');
    expect(await readJsonLines(join(folder, 'metrics.jsonl'))).toEqual([{ step: 1, loss: 2 }, [1]]);
    expect(await readJsonLines(join(folder, 'none.jsonl'))).toEqual([]);
    await expect(readJsonLines(folder)).rejects.toThrow();
  });

  it('writes the page beside them', async () => {
    const path = await writeReport(folder, 'a run', [['model', 'small']]);
    expect(path).toBe(join(folder, 'report.html'));
    expect(await readFile(path, 'utf8')).toContain('<dt>model</dt><dd>small</dd>');
  });
});
