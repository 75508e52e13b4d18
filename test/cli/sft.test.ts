// `ferroformer train --task sft`, `eval` and `generate` of what it made: the template goes with the model, scores are told and saved, wrong rows are named.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ferroformer, MACHINE, workplace } from './support';
import { jsonl, QUESTIONS, tsv } from './tasks';

const MODEL = ['--n-layer', '2', '--n-head', '2', '--n-embd', '32', '--block-size', '48', '--vocab-size', '300', ...MACHINE];
const STEPS = ['--batch-size', '16', '--max-steps', '120', '--learning-rate', '0.01', '--eval-steps', '60'];
const read = async (...path: string[]) => readFile(join(...path), 'utf8');

describe('supervised fine-tuning', () => {
  it('learns completions, scores what it writes, and keeps its template', async () => {
    const folder = await workplace();
    await writeFile(join(folder, 'q.jsonl'), jsonl(QUESTIONS));
    const template = ['--template', 'Q: {prompt}\\nA:{completion}', '--task-prefix', '[animals] '];
    const trained = await ferroformer(
      [
        'train',
        '--task',
        'sft',
        '--data',
        'q.jsonl',
        '--eval-data',
        'q.jsonl',
        '--out',
        'run',
        ...template,
        '--metrics',
        'exact_match',
        'chrf',
        '--metric-for-best-model',
        'exact_match',
        ...MODEL,
        ...STEPS,
        '--json',
      ],
      folder,
    );
    expect(trained.code, trained.stderr).toBe(0);
    const result = JSON.parse(trained.stdout);
    expect(result.exact_match).toBe(1);
    expect(result.chrf).toBeCloseTo(100, 6);
    expect(result.examples_per_second).toBeGreaterThan(0);
    expect(JSON.parse(await read(folder, 'run/final/ferroformer.json'))).toEqual({
      version: 1,
      task: 'sft',
      template: 'Q: {prompt}\nA:{completion}',
      task_prefix: '[animals] ',
    });
    const lines = (await read(folder, 'run/metrics.jsonl'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.at(-1)).toMatchObject({ step: 120, eval_exact_match: 1 });
    expect(await read(folder, 'run/report.html')).toContain('Scores on the evaluation data');
    expect((await read(folder, 'run/samples.jsonl')).split('\n')[0]).toContain('[animals] Q: what does the cat?\\nA:');

    // The template and the prefix are put around a prompt, and an answer ends by itself.
    const written = await ferroformer(
      ['generate', '--model', 'run', '--prompt', 'sound of a pig?', '--do-sample', 'false', ...MACHINE],
      folder,
    );
    expect(written.code, written.stderr).toBe(0);
    expect(written.stdout).toBe(' oink\n');
    const asJson = await ferroformer(
      [
        'generate',
        '--model',
        'run',
        '--prompt',
        'sound of a pig?',
        '{"prompt": "how goes the owl?"}',
        '--temperature',
        '0',
        '--json',
        ...MACHINE,
      ],
      folder,
    );
    expect(JSON.parse(asJson.stdout)).toMatchObject({
      prompt: ['sound of a pig?', '{"prompt": "how goes the owl?"}'],
      sequences: [{ text: ' oink' }, { text: ' hoot' }],
    });
    // Without them the prompt is the text itself, and is shown.
    const plain = await ferroformer(
      ['generate', '--model', 'run', '--task', 'lm', '--prompt', 'sound', '--max-new-tokens', '1', '--seed', '1', ...MACHINE],
      folder,
    );
    expect(plain.stdout).toMatch(/^sound/);
    const several = await ferroformer(
      ['generate', '--model', 'run', '--template', '{passage} {question}', '--prompt', 'x', ...MACHINE],
      folder,
    );
    expect([several.code, several.stderr]).toEqual([2, expect.stringContaining('must be a JSON object with "passage", "question"')]);

    const measured = await ferroformer(
      ['eval', '--model', 'run', '--data', 'q.jsonl', '--metrics', 'exact_match', 'bleu', '--predictions', 'p.jsonl', '--json', ...MACHINE],
      folder,
    );
    expect(measured.code, measured.stderr).toBe(0);
    const scores = JSON.parse(measured.stdout);
    expect(scores).toMatchObject({ task: 'sft', rows: 32, exact_match: 1, unfinished: 0 });
    expect(scores.loss).toBeCloseTo(result.eval_loss, 5);
    expect(scores.perplexity).toBeCloseTo(Math.exp(scores.loss), 9);
    expect(scores.signatures.bleu).toContain('tok:13a');
    const predictions = (await read(folder, 'p.jsonl'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(predictions).toHaveLength(32);
    expect(predictions[0]).toEqual({
      prompt: '[animals] Q: what does the cat?\nA:',
      prediction: ' meow',
      references: [' meow'],
      finish_reason: 'eos',
    });
  });

  it('packs rows, resumes to the same bits, and reads TSV files with names of its own', async () => {
    const folder = await workplace();
    await mkdir(join(folder, 'data'));
    await writeFile(join(folder, 'data/q.tsv'), `ask\tsay\n${tsv(QUESTIONS)}`);
    const data = ['--task', 'sft', '--data', 'data/q.tsv', '--columns', 'prompt=ask', 'completion=say', '--packing', 'true'];
    const steps = ['--batch-size', '2', '--save-steps', '4', '--lr-scheduler-type', 'constant'];
    const whole = await ferroformer(['train', ...data, '--out', 'whole', ...MODEL, ...steps, '--max-steps', '8'], folder);
    expect(whole.code, whole.stderr).toBe(0);
    expect((await ferroformer(['train', ...data, '--out', 'run', ...MODEL, ...steps, '--max-steps', '4'], folder)).code).toBe(0);
    const resumed = await ferroformer(['train', '--resume', '--out', 'run', '--max-steps', '8'], folder);
    expect(resumed.code, resumed.stderr).toBe(0);
    const bytes = (run: string) => readFile(join(folder, run, 'final/model.safetensors'));
    expect((await bytes('run')).equals(await bytes('whole'))).toBe(true);
  });

  it('gives a model of characters a token that ends an answer, and freezes what it is told', async () => {
    const folder = await workplace(QUESTIONS.map(({ prompt, completion }) => `${prompt}${completion}\n`).join(''));
    await writeFile(join(folder, 'q.jsonl'), jsonl(QUESTIONS));
    const size = [...MODEL.slice(0, 6), '--block-size', '48', ...MACHINE];
    const lm = await ferroformer(['train', '--data', 'text.txt', '--out', 'lm', ...size, '--max-steps', '4', '--batch-size', '4'], folder);
    expect(lm.code, lm.stderr).toBe(0);
    const tune = ['train', '--task', 'sft', '--init-from', 'lm', '--data', 'q.jsonl', '--max-steps', '3', '--freeze', 'transformer.h.0.*'];
    const tuned = await ferroformer([...tune, '--out', 'run', ...MACHINE], folder);
    expect(tuned.code, tuned.stderr).toBe(0);
    expect(tuned.stderr).toContain("1 special token added to the model's vocabulary: <|endoftext|>");
    expect(JSON.parse(await read(folder, 'run/final/config.json')).vocab_size).toBe(
      JSON.parse(await read(folder, 'lm/final/config.json')).vocab_size + 1,
    );
    const written = await ferroformer(
      ['generate', '--model', 'run', '--prompt', 'Z', '--max-new-tokens', '2', '--seed', '1', ...MACHINE],
      folder,
    );
    expect(written.stderr).toContain('UNKNOWN_CHARACTER'); // its characters are those of its text
  });
});
