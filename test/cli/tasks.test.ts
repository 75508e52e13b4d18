// The tasks of the command line besides sft: labels, sequence to sequence, preferences and adapters, each learned on generated rows; resuming; what wrong rows and flags get.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ferroformer, MACHINE, workplace } from './support';
import { jsonl, OPINIONS, OTHER_ANSWERS, PREFERENCES, QUESTIONS, REVERSED, tsv } from './tasks';

const SIZE = ['--n-layer', '1', '--n-head', '2', '--n-embd', '32', '--block-size', '32', '--vocab-size', '300', ...MACHINE];
const read = async (...path: string[]) => readFile(join(...path), 'utf8');
const lines = async (...path: string[]) =>
  (await read(...path))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

/** Runs a command that must succeed; its --json. */
async function done(args: readonly string[], folder: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await ferroformer([...args, '--json'], folder);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

describe('classification', () => {
  it('learns labels, tells how each fares, and labels a prompt', async () => {
    const folder = await workplace();
    await writeFile(join(folder, 'opinions.tsv'), `stars\treview\n${tsv(OPINIONS.map(({ text, label }) => ({ label, text })))}`);
    const data = ['--data', 'opinions.tsv', '--columns', 'label=stars', 'text=review'];
    const steps = ['--batch-size', '16', '--max-steps', '80', '--learning-rate', '0.01', '--eval-steps', '20', '--eval-fraction', '0.25'];
    const result = await done(
      [
        'train',
        '--task',
        'classify',
        ...data,
        '--out',
        'run',
        ...SIZE,
        ...steps,
        '--pooling',
        'mean',
        '--metric-for-best-model',
        'accuracy',
      ],
      folder,
    );
    expect(result).toMatchObject({ accuracy: 1, macro_f1: 1, f1: 1 });
    expect((await lines(folder, 'run/metrics.jsonl')).at(-1)).toMatchObject({ step: 80, eval_accuracy: 1, eval_macro_f1: 1 });
    const report = await read(folder, 'run/report.html');
    expect(report).toContain('Labels on the evaluation data');
    expect(report).toContain('<td>negative</td>');
    expect(JSON.parse(await read(folder, 'run/final/config.json')).id2label).toEqual({ 0: 'negative', 1: 'positive' });

    const measured = await done(['eval', '--model', 'run', ...data, '--predictions', 'p.jsonl', ...MACHINE], folder);
    expect(measured).toMatchObject({
      task: 'classify',
      accuracy: 1,
      examples: 64,
      confusion: [
        [32, 0],
        [0, 32],
      ],
    });
    expect(measured.labels).toMatchObject([
      { label: 'negative', support: 32, precision: 1 },
      { label: 'positive', recall: 1 },
    ]);
    const predictions = await lines(folder, 'p.jsonl');
    expect(predictions).toHaveLength(64);
    expect(predictions[0]).toMatchObject({ text: OPINIONS[0].text, label: 'positive', prediction: 'positive' });
    expect(predictions[0].probabilities.positive).toBeGreaterThan(0.5);
    const people = await ferroformer(['eval', '--model', 'run', ...data, ...MACHINE], folder);
    expect(people.stdout).toMatch(/^negative +1\.0000 +1\.0000 +1\.0000 +32 +32$/m);

    const said = await done(['generate', '--model', 'run', '--prompt', 'the film was awful', 'her song was great', ...MACHINE], folder);
    expect(said).toMatchObject({ label: 'negative', results: [{ label: 'negative' }, { label: 'positive' }] });

    // A classifier goes on from a classifier, with its labels; one that it does not know is named with its place.
    await writeFile(join(folder, 'new.jsonl'), jsonl([...OPINIONS, { text: 'the play was so so', label: 'mixed' }]));
    const unseen = await ferroformer(
      ['train', '--task', 'classify', '--init-from', 'run', '--data', 'new.jsonl', '--out', 'more', '--max-steps', '2', ...MACHINE],
      folder,
    );
    expect(unseen.code).toBe(1);
    expect(unseen.stderr).toMatch(/INVALID_DATA: .*new\.jsonl:65:\d+: labels must be among .*got "mixed"/);
    expect(await readdir(folder)).not.toContain('more');
  });
});

describe('sequence to sequence', () => {
  it('learns to turn sources into targets, and scores them', async () => {
    const folder = await workplace();
    await writeFile(join(folder, 'pairs.tsv'), tsv(REVERSED));
    const size = [
      '--n-encoder-layer',
      '1',
      '--n-decoder-layer',
      '1',
      '--n-head',
      '2',
      '--d-model',
      '32',
      '--vocab-size',
      '300',
      ...MACHINE,
    ];
    const steps = [
      '--batch-size',
      '32',
      '--max-steps',
      '150',
      '--learning-rate',
      '0.01',
      '--label-smoothing',
      '0.05',
      '--eval-steps',
      '50',
    ];
    const result = await done(
      [
        'train',
        '--task',
        'seq2seq',
        '--data',
        'pairs.tsv',
        '--eval-data',
        'pairs.tsv',
        '--out',
        'run',
        '--task-prefix',
        'turn ',
        ...size,
        ...steps,
      ],
      folder,
    );
    expect(result.exact_match).toBeGreaterThan(0.95);
    expect(result.word_error_rate).toBeLessThan(0.05);
    const measured = await done(
      [
        'eval',
        '--model',
        'run',
        '--data',
        'pairs.tsv',
        '--metrics',
        'exact_match',
        'cer',
        '--num-beams',
        '2',
        '--predictions',
        'p.jsonl',
        ...MACHINE,
      ],
      folder,
    );
    expect(measured).toMatchObject({ task: 'seq2seq', rows: 64 });
    expect(measured.exact_match).toBeGreaterThan(0.95);
    expect(measured).not.toHaveProperty('bleu');
    expect((await lines(folder, 'p.jsonl'))[1]).toMatchObject({ prompt: 'turn cat dog', references: ['dog cat'] });
    const written = await ferroformer(['generate', '--model', 'run', '--prompt', 'cow fox', '--do-sample', 'false', ...MACHINE], folder);
    expect([written.code, written.stdout]).toEqual([0, 'fox cow\n']);
  });
});

describe('adapters and preferences', () => {
  it('trains an adapter on a saved model, which --model finds with its base, and teaches preferences', async () => {
    const folder = await workplace();
    await writeFile(join(folder, 'q.jsonl'), jsonl(QUESTIONS));
    await writeFile(join(folder, 'other.jsonl'), jsonl(OTHER_ANSWERS));
    await writeFile(join(folder, 'pairs.jsonl'), jsonl(PREFERENCES));
    const model = ['--n-layer', '2', '--n-head', '2', '--n-embd', '32', '--block-size', '48', '--vocab-size', '300', ...MACHINE];
    const steps = ['--batch-size', '16', '--learning-rate', '0.01', '--eval-steps', '0'];
    await done(
      ['train', '--task', 'sft', '--data', 'q.jsonl', '--out', 'base', ...model, ...steps, '--max-steps', '80', '--eval-fraction', '0'],
      folder,
    );
    const metrics = ['--metrics', 'exact_match', ...MACHINE];
    expect(await done(['eval', '--model', 'base', '--data', 'q.jsonl', ...metrics], folder)).toMatchObject({ exact_match: 1 });

    const lora = ['--lora-rank', '4', '--lora-alpha', '16', '--lora-target-modules', 'all-linear'];
    const tune = ['train', '--task', 'sft', '--init-from', 'base', '--data', 'other.jsonl', '--eval-fraction', '0', ...steps, ...MACHINE];
    await done([...tune, '--out', 'lora', ...lora, '--quantize', 'int8', '--max-steps', '60'], folder);
    expect(await readdir(join(folder, 'lora/final'))).toEqual(
      expect.arrayContaining(['adapter_config.json', 'adapter_model.safetensors', 'ferroformer.json']),
    );
    const after = await done(['eval', '--model', 'lora', '--data', 'other.jsonl', ...metrics], folder);
    expect(after).toMatchObject({ exact_match: 1 });
    // The base is as it was, and the adapter can be put on it by name.
    expect(await done(['eval', '--model', 'base', '--data', 'other.jsonl', ...metrics], folder)).toMatchObject({ exact_match: 0 });
    const named = await done(['eval', '--model', 'base', '--adapter', 'lora', '--data', 'other.jsonl', ...metrics], folder);
    expect(named.loss).toBe(after.loss);
    for (const command of [
      ['eval', '--model', 'base', '--data', 'other.jsonl'],
      ['generate', '--model', 'base', '--prompt', 'x'],
      [...tune, '--out', 'z'],
    ]) {
      const { code, stderr } = await ferroformer([...command, '--adapter', 'base', ...MACHINE], folder);
      expect([code, stderr]).toEqual([1, expect.stringContaining('INVALID_CHECKPOINT')]);
      expect(stderr).toContain('adapter_config.json');
    }
    const written = await ferroformer(
      ['generate', '--model', 'lora', '--prompt', 'sound of a cat?', '--do-sample', 'false', ...MACHINE],
      folder,
    );
    expect(written.stdout).toBe(' woof\n');

    const evalPairs = async (source: string) =>
      done(['eval', '--task', 'dpo', '--model', source, '--data', 'pairs.jsonl', ...MACHINE], folder);
    expect(await evalPairs('base')).toMatchObject({ task: 'dpo', pairs: 32, pair_accuracy: 0 });
    const dpo = ['train', '--task', 'dpo', '--init-from', 'base', '--data', 'pairs.jsonl', '--eval-data', 'pairs.jsonl', ...MACHINE];
    const preferring = ['--batch-size', '16', '--max-steps', '40', '--learning-rate', '0.005', '--beta', '0.1', '--eval-steps', '20'];
    await done([...dpo, '--out', 'dpo', ...lora, ...preferring], folder);
    const pairs = await evalPairs('dpo');
    expect(pairs).toMatchObject({ pair_accuracy: 1, reward_accuracy: 1 });
    expect(pairs.loss).toBeLessThan(Math.LN2);
  });
});

describe('a run of a task', () => {
  it.each([
    { task: 'classify', rows: OPINIONS, size: SIZE },
    { task: 'seq2seq', rows: REVERSED, size: ['--n-layer', '1', '--n-head', '2', '--d-model', '16', '--vocab-size', '300', ...MACHINE] },
  ])('$task resumes to the same bits', async ({ task, rows, size }) => {
    const folder = await workplace();
    await writeFile(join(folder, 'rows.tsv'), tsv(rows));
    const train = [
      'train',
      '--task',
      task,
      '--data',
      'rows.tsv',
      ...size,
      '--batch-size',
      '8',
      '--lr-scheduler-type',
      'constant',
      '--eval-steps',
      '0',
    ];
    await done([...train, '--out', 'whole', '--max-steps', '6'], folder);
    await done([...train, '--out', 'run', '--max-steps', '3', '--save-steps', '3'], folder);
    const resumed = await done(['train', '--resume', '--out', 'run', '--max-steps', '6'], folder);
    expect(resumed).toMatchObject({ step: 6 });
    const bytes = (run: string) => readFile(join(folder, run, 'final/model.safetensors'));
    expect((await bytes('run')).equals(await bytes('whole'))).toBe(true);
  });
});

describe('a task refuses', () => {
  const cases: { name: string; args: string[]; code: number; says: string[] }[] = [
    { name: 'an unknown task', args: ['--task', 'translate'], code: 2, says: ['--task', '"seq2seq"'] },
    {
      name: 'a row that is no JSON',
      args: ['--task', 'sft', '--data', 'broken.jsonl'],
      code: 1,
      says: ['INVALID_DATA', 'broken.jsonl:2:'],
    },
    {
      name: 'a row with too few columns',
      args: ['--task', 'classify', '--data', 'short.tsv'],
      code: 1,
      says: ['INVALID_DATA', 'short.tsv:2:'],
    },
    {
      name: 'rows of another task',
      args: ['--task', 'classify', '--data', 'q.jsonl'],
      code: 1,
      says: ['INVALID_DATA', 'q.jsonl:1:', '"label"'],
    },
    {
      name: 'a field that no row has',
      args: ['--task', 'sft', '--data', 'q.jsonl', '--columns', 'prompt=ask'],
      code: 1,
      says: ['INVALID_DATA', '"ask"'],
    },
    {
      name: 'rows that are all too long',
      args: ['--task', 'sft', '--data', 'q.jsonl', '--block-size', '2'],
      code: 1,
      says: ['EMPTY_DATA', 'too long'],
    },
    {
      name: 'half a mapping of columns',
      args: ['--task', 'sft', '--data', 'q.jsonl', '--columns', 'prompt=ask', 'completion'],
      code: 2,
      says: ['--columns'],
    },
    {
      name: 'a flag of another task',
      args: ['--task', 'classify', '--data', 'q.jsonl', '--packing', 'true'],
      code: 2,
      says: ['--packing', '--task sft'],
    },
    {
      name: 'a size of another architecture',
      args: ['--task', 'seq2seq', '--data', 'q.jsonl', '--n-embd', '8'],
      code: 2,
      says: ['--n-embd'],
    },
    { name: 'preferences without a model', args: ['--task', 'dpo', '--data', 'q.jsonl'], code: 2, says: ['--init-from'] },
    {
      name: 'an unknown metric',
      args: ['--task', 'sft', '--data', 'q.jsonl', '--metrics', 'meteor'],
      code: 2,
      says: ['--metrics', 'chrf'],
    },
    {
      name: 'an unknown template',
      args: ['--task', 'sft', '--data', 'q.jsonl', '--template', 'llama'],
      code: 2,
      says: ['template', '"alpaca"'],
    },
    {
      name: 'parts of an adapter without a rank',
      args: ['--task', 'sft', '--data', 'q.jsonl', '--lora-alpha', '3'],
      code: 2,
      says: ['--lora-rank'],
    },
    {
      name: 'a dropout of an adapter without a rank',
      args: ['--task', 'sft', '--data', 'q.jsonl', '--lora-dropout', '0.1'],
      code: 2,
      says: ['"--lora-dropout" needs "--lora-rank"'],
    },
  ];

  it.each(cases)('$name', async ({ args, code, says }) => {
    const folder = await workplace();
    await writeFile(join(folder, 'q.jsonl'), jsonl(QUESTIONS));
    await writeFile(join(folder, 'broken.jsonl'), '{"prompt": "a", "completion": "b"}\n{"prompt": "a", "completion"\n');
    await writeFile(join(folder, 'short.tsv'), 'good\tyes\nbad\n');
    const before = await readdir(folder);
    const ended = await ferroformer(['train', '--out', 'o', '--max-steps', '2', ...MACHINE, ...args], folder);
    expect(ended.code, ended.stderr).toBe(code);
    for (const text of says) expect(ended.stderr).toContain(text);
    expect(ended.stdout).toBe('');
    expect(await readdir(folder)).toEqual(before); // nothing half-written
  });
});
