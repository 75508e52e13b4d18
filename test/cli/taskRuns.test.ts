// Runs of tasks that are broken off, and preferences without an adapter: on the whole model, on texts and on conversations.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ferroformer, MACHINE, start, workplace } from './support';
import { jsonl, OPINIONS, PREFERENCES, QUESTIONS, tsv } from './tasks';

const SHAPE = ['--n-layer', '2', '--n-head', '2', '--n-embd', '32', '--vocab-size', '300', ...MACHINE];
const SIZE = [...SHAPE, '--block-size', '48'];

async function done(args: readonly string[], folder: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await ferroformer([...args, '--json'], folder);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

it('a classifier saves at an interrupt, exits 130, and resumes to the same bits and scores without any flag', async () => {
  const folder = await workplace();
  await writeFile(join(folder, 'rows.tsv'), tsv(OPINIONS));
  const train = [
    'train',
    '--task',
    'classify',
    '--data',
    'rows.tsv',
    ...SIZE,
    '--batch-size',
    '8',
    '--max-steps',
    '200',
    '--eval-steps',
    '50',
  ];
  const whole = await done([...train, '--out', 'whole'], folder);
  const running = start([...train, '--out', 'run'], folder);
  await running.shown('--- step 20 ---');
  running.child.kill('SIGINT');
  const stopped = await running.ended;
  expect(stopped.code, stopped.stderr).toBe(130);
  const step = Number(/^stopped +([\d,]+) of 200/m.exec(stopped.stdout)?.[1]);
  expect(step).toBeGreaterThanOrEqual(20);
  expect(step).toBeLessThan(200);
  expect(await readdir(join(folder, 'run', `checkpoint-${step}`))).toEqual(expect.arrayContaining(['complete.json', 'ferroformer.json']));
  const resumed = await done(['train', '--resume', '--out', 'run'], folder);
  const { accuracy, macro_f1, eval_loss } = whole;
  expect(resumed).toMatchObject({ step: 200, interrupted: false, accuracy, macro_f1, eval_loss });
  const bytes = (run: string) => readFile(join(folder, run, 'final/model.safetensors'));
  expect((await bytes('run')).equals(await bytes('whole'))).toBe(true);
});

it('preferences are taught to a whole model too, and resume with the same reference', async () => {
  const folder = await workplace();
  await writeFile(join(folder, 'q.jsonl'), jsonl(QUESTIONS));
  await writeFile(join(folder, 'pairs.jsonl'), jsonl(PREFERENCES));
  const steps = ['--batch-size', '16', '--eval-steps', '0', '--eval-fraction', '0', '--lr-scheduler-type', 'constant'];
  await done(
    ['train', '--task', 'sft', '--data', 'q.jsonl', '--out', 'base', ...SIZE, ...steps, '--learning-rate', '0.01', '--max-steps', '80'],
    folder,
  );
  const tune = ['train', '--task', 'dpo', '--init-from', 'base', '--data', 'pairs.jsonl', ...steps, '--learning-rate', '0.003', ...MACHINE];
  await done([...tune, '--out', 'whole', '--max-steps', '60'], folder);
  const measured = await done(['eval', '--model', 'whole', '--data', 'pairs.jsonl', ...MACHINE], folder);
  expect(measured).toMatchObject({ task: 'dpo', pairs: 32, pair_accuracy: 1 });
  expect(measured).not.toHaveProperty('reward_accuracy'); // there is no model below an adapter to compare with
  expect(await readdir(join(folder, 'whole/final'))).toEqual(expect.arrayContaining(['config.json', 'model.safetensors']));

  await done([...tune, '--out', 'run', '--max-steps', '30'], folder);
  await done(['train', '--resume', '--out', 'run', '--max-steps', '60'], folder);
  const bytes = (run: string) => readFile(join(folder, run, 'final/model.safetensors'));
  expect((await bytes('run')).equals(await bytes('whole'))).toBe(true);
});

it('preferences may be conversations, which are sampled as they are read', async () => {
  const folder = await workplace();
  const turn = (role: string, content: string) => ({ role, content });
  const rows = PREFERENCES.map(({ prompt, chosen, rejected }, i) => {
    const [asked, good, bad] = [turn('user', prompt), turn('assistant', chosen), turn('assistant', rejected)];
    return i % 2 === 0 ? { prompt: [asked], chosen: [good], rejected: [bad] } : { chosen: [asked, good], rejected: [asked, bad] };
  });
  await writeFile(join(folder, 'pairs.jsonl'), jsonl(rows));
  await writeFile(join(folder, 'q.jsonl'), jsonl(QUESTIONS));
  await done(
    [
      'train',
      '--task',
      'sft',
      '--data',
      'q.jsonl',
      '--out',
      'base',
      ...SHAPE,
      '--block-size',
      '128',
      '--max-steps',
      '2',
      '--batch-size',
      '4',
    ],
    folder,
  );
  const tune = [
    'train',
    '--task',
    'dpo',
    '--init-from',
    'base',
    '--data',
    'pairs.jsonl',
    '--out',
    'run',
    '--max-steps',
    '2',
    '--batch-size',
    '4',
  ];
  expect(await done([...tune, ...MACHINE], folder)).toMatchObject({ step: 2 });
  const [first] = (await readFile(join(folder, 'run/samples.jsonl'), 'utf8')).split('\n');
  expect(JSON.parse(first).prompt).toMatch(/^### User:\n.*\n\n### Assistant:\n$/);
});

it('an adapter makes a classifier of a language model: its labels and its pooling go with it', async () => {
  const folder = await workplace();
  await writeFile(join(folder, 'rows.tsv'), tsv(OPINIONS));
  const bytes = ['--tokenizer', 'byte', ...SIZE.filter((word) => word !== '--vocab-size' && word !== '300')];
  await done(['train', '--data', 'text.txt', '--out', 'base', ...bytes, '--batch-size', '4', '--max-steps', '10'], folder);
  const tune = ['train', '--task', 'classify', '--init-from', 'base', '--data', 'rows.tsv', '--eval-data', 'rows.tsv', ...MACHINE];
  const lora = ['--lora-rank', '4', '--lora-target-modules', 'all-linear', '--pooling', 'mean', '--learning-rate', '0.01'];
  const trained = await done([...tune, ...lora, '--out', 'run', '--batch-size', '16', '--max-steps', '60'], folder);
  for (const source of [
    ['--model', 'run'],
    ['--model', 'base', '--adapter', 'run'],
  ]) {
    const { accuracy, loss } = await done(['eval', ...source, '--data', 'rows.tsv', ...MACHINE], folder);
    expect(accuracy).toBe(trained.accuracy);
    expect(loss).toBeCloseTo(trained.eval_loss as number, 5);
    const said = await done(['generate', ...source, '--prompt', 'the film was awful', ...MACHINE], folder);
    expect(['negative', 'positive']).toContain(said.label);
  }
  const more = await done([...tune.map((word) => (word === 'base' ? 'run' : word)), '--out', 'more', '--max-steps', '2'], folder);
  expect(more.step).toBe(2);
});
