// What the tasks of the command line do with flags and rows that are unlike the usual: what is refused, what is told, and that nothing goes wrong in silence.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ferroformer, MACHINE, SMALL, workplace } from './support';
import { jsonl, OPINIONS, QUESTIONS, REVERSED, tsv } from './tasks';

const SHAPE = ['--n-layer', '1', '--n-head', '2', '--n-embd', '16', ...MACHINE];
const SIZE = [...SHAPE, '--block-size', '48', '--vocab-size', '280'];
const ENCODER_DECODER = ['--n-layer', '1', '--n-head', '2', '--d-model', '16', '--vocab-size', '280', ...MACHINE];
const SHORT = ['--batch-size', '8', '--max-steps', '2'];

/** A folder with files, and a command that must succeed there (its --json and its notes) or be refused. */
async function scene(files: Record<string, string> = {}) {
  const folder = await workplace();
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const done = async (...args: string[]): Promise<{ result: Record<string, unknown>; notes: string }> => {
    const { code, stdout, stderr } = await ferroformer([...args, '--json'], folder);
    expect(code, stderr).toBe(0);
    return { result: JSON.parse(stdout), notes: stderr };
  };
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await ferroformer([...args, ...MACHINE], folder);
    expect([code, stdout], stderr).toEqual([2, '']);
    return stderr;
  };
  return { folder, done, refused };
}

describe('an adapter of the task lm', () => {
  it('is evaluated, whether its folder is the model or is put on it', async () => {
    const { done } = await scene();
    await done('train', '--data', 'text.txt', '--out', 'base', '--max-steps', '4', ...SMALL);
    const tune = ['train', '--data', 'text.txt', '--init-from', 'base', '--lora-rank', '2', '--learning-rate', '0.05'];
    await done(...tune, '--out', 'lora', '--max-steps', '6', '--batch-size', '4', ...MACHINE);
    const loss = async (...args: string[]) => (await done('eval', ...args, '--data', 'text.txt', ...MACHINE)).result.loss as number;
    const tuned = await loss('--model', 'lora');
    expect(await loss('--model', 'base', '--adapter', 'lora')).toBe(tuned);
    expect(Math.abs((await loss('--model', 'base')) - tuned)).toBeGreaterThan(1e-4);
  });
});

describe('classification', () => {
  it('takes its labels from all rows, tells those without one to train on, and reads rows of no text', async () => {
    const rare = { text: 'the play was so so', label: 'mixed' };
    const { done, refused } = await scene({ 'rows.jsonl': jsonl([...OPINIONS, rare]), 'dev.tsv': `\tpositive\n${tsv(OPINIONS)}` });
    const train = ['train', '--task', 'classify', '--data', 'rows.jsonl', ...SIZE, ...SHORT];
    for (const seed of ['1', '2', '3']) {
      const { result, notes } = await done(...train, '--out', `run${seed}`, '--eval-fraction', '0.5', '--seed', seed);
      expect(result.step).toBe(2);
      expect(notes).toContain('3 labels ["mixed", "negative", "positive"]');
    }
    const few = ['--labels', 'negative', 'positive', 'mixed', 'unheard', '--eval-data', 'dev.tsv', '--overwrite'];
    const { notes } = await done(...train, '--out', 'run1', ...few);
    expect(notes).toContain('warning: training data: no row with the label ["unheard"]');
    expect(notes).toContain('warning: evaluation data: 1 of 65 rows left out: 1 empty');

    const long = await done('generate', '--model', 'run1', '--prompt', 'the film was good', 'x '.repeat(100), ...MACHINE);
    expect(long.notes).toContain('warning: 1 of 2 prompts cut to the context');
    expect(long.result.results).toMatchObject([{}, { truncated: true }]);
    expect(await refused('generate', '--model', 'run1', '--prompt', 'x', '--temperature', '2')).toContain('"--temperature"');
    expect(await refused('eval', '--model', 'run1', '--data', 'dev.tsv', '--block-size', '16')).toContain('"--block-size"');
  });
});

describe('completions', () => {
  const chat = (...turns: string[]) => ({ messages: turns.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content })) });

  it('a vocabulary of characters has the words of the template', async () => {
    const { done } = await scene({ 'q.jsonl': jsonl(QUESTIONS), 'chat.jsonl': jsonl([chat('hi', 'ho'), chat('ho', 'hi', 'so')]) });
    const size = [...SHAPE, '--block-size', '96', ...SHORT];
    const train = ['train', '--task', 'sft', '--tokenizer', 'char', '--eval-fraction', '0', ...size];
    await done(...train, '--data', 'q.jsonl', '--out', 'own', '--template', '#{prompt}\\n@{completion}', '--end-of-text', '%');
    await done(...train, '--data', 'chat.jsonl', '--out', 'chat', '--template', 'chatml');
    const written = await done('generate', '--model', 'chat', '--prompt', 'hi', '--max-new-tokens', '2', ...MACHINE);
    expect(written.result.sequences).toHaveLength(1);
  });

  it('scores only rows that end with an answer, and says how many', async () => {
    const { done } = await scene({ 'chat.jsonl': jsonl([chat('hi', 'ho'), chat('ho', 'hi', 'so'), chat('hu', 'ha')]) });
    const size = [...SHAPE, '--block-size', '128', '--vocab-size', '280', ...SHORT];
    await done('train', '--task', 'sft', '--data', 'chat.jsonl', '--eval-fraction', '0', '--out', 'run', ...size);
    const { result } = await done(
      'eval',
      '--model',
      'run',
      '--data',
      'chat.jsonl',
      '--metrics',
      'chrf',
      '--predictions',
      'p.jsonl',
      ...MACHINE,
    );
    expect(result).toMatchObject({ rows: 3, scored: 2 });
  });

  it('an id ends a text where digits are given', async () => {
    const { folder, done } = await scene({ 'q.jsonl': jsonl(QUESTIONS) });
    await done('train', '--task', 'sft', '--data', 'q.jsonl', '--out', 'run', '--end-of-text', '10', ...SIZE, ...SHORT);
    expect(JSON.parse(await readFile(join(folder, 'run/final/ferroformer.json'), 'utf8'))).toMatchObject({ end_of_text: 10 });
  });

  it('keeps the template of an adapter that is trained further', async () => {
    const { folder, done } = await scene({ 'q.jsonl': jsonl(QUESTIONS) });
    const data = ['--task', 'sft', '--data', 'q.jsonl', '--eval-fraction', '0', ...SHORT];
    await done('train', ...data, '--out', 'base', ...SIZE);
    const tune = ['train', ...data, '--init-from', 'base', ...MACHINE];
    await done(...tune, '--out', 'lora', '--lora-rank', '2', '--template', 'Q {prompt} A {completion}');
    await done(...tune, '--out', 'more', '--adapter', 'lora');
    expect(JSON.parse(await readFile(join(folder, 'more/final/ferroformer.json'), 'utf8'))).toMatchObject({
      template: 'Q {prompt} A {completion}',
    });
  });
});

describe('sequence to sequence', () => {
  it('passes over an empty source when it samples, cuts what it scores as what it trains on, and keeps the architecture of --init-from', async () => {
    const { done, refused } = await scene({ 'rows.tsv': `\tnothing\n${tsv(REVERSED)}`, 'long.tsv': `${'cat '.repeat(20)}\tcat\n` });
    const size = [...ENCODER_DECODER, '--max-source-length', '16'];
    const train = ['train', '--task', 'seq2seq', '--data', 'rows.tsv', '--eval-data', 'rows.tsv'];
    const { notes } = await done(...train, '--out', 'run', ...size, ...SHORT);
    expect(notes).toContain('1 of 65 rows left out: 1 empty');
    const { result } = await done('eval', '--model', 'run', '--data', 'long.tsv', '--overflow', 'truncate', ...MACHINE);
    expect(result).toMatchObject({ rows: 1, scored: 1 });
    const more = [...train, '--init-from', 'run', '--out', 'more', ...SHORT];
    expect(await refused(...more, '--d-model', '32')).toContain('"--d-model" must not be given with --init-from');
    expect(await refused(...more, '--target-tokenizer', 'char')).toContain('"--target-tokenizer" must not be given with --init-from');
  });
});

describe('rows', () => {
  it('are read in the format that is named, whatever their file is called', async () => {
    const story = '1 Mary is in the hall.\n2 Where is Mary?\thall\t1\n';
    const { done } = await scene({ 'qa1_train.txt': story.repeat(10), 'pairs.data': tsv(QUESTIONS) });
    const train = ['train', '--task', 'sft', ...SIZE, ...SHORT];
    await done(...train, '--data', 'qa1_train.txt', '--data-format', 'babi', '--out', 'babi');
    await done(...train, '--data', 'pairs.data', '--data-format', 'tsv', '--out', 'tsv');
  });

  it('must be left to train on', async () => {
    const { folder } = await scene({ 'q.jsonl': jsonl(QUESTIONS.map((row) => ({ ...row, group: 1 }))) });
    const before = await readdir(folder);
    const args = ['train', '--task', 'sft', '--data', 'q.jsonl', '--split-by', 'group', '--out', 'run', ...SIZE, ...SHORT];
    const { code, stderr } = await ferroformer(args, folder);
    expect([code, stderr.includes('"--split-by" must leave rows to train on, got 32 rows')]).toEqual([1, true]);
    expect(await readdir(folder)).toEqual(before);
  });
});

it('flags that mean nothing are refused before anything is read', async () => {
  const parts = 'template:\n  prompt: "{prompt}"\n  completion: "{completion}"\n';
  const { done, refused } = await scene({ 'q.jsonl': jsonl(QUESTIONS), 'parts.yaml': parts });
  await done('train', '--task', 'sft', '--data', 'q.jsonl', '--out', 'run', ...SIZE, ...SHORT);
  const evaluate = ['eval', '--model', 'run', '--data', 'none.jsonl'];
  expect(await refused(...evaluate, '--predictions', 'p.jsonl')).toContain('"--predictions" of sft needs "--metrics"');
  expect(await refused(...evaluate, '--num-beams', '2')).toContain('"--num-beams" of sft needs "--metrics"');
  expect(await refused(...evaluate, '--stride', '2')).toContain('"--stride" must be given with --task lm');
  expect(await refused(...evaluate, '--task', 'dpo', '--predictions', 'p.jsonl')).toContain(
    '"--predictions" must be given with --task sft',
  );
  const train = ['train', '--task', 'sft', '--data', 'none.jsonl', '--out', 'o'];
  expect(await refused(...train, '--quantize', 'int8', '--lora-rank', '2')).toContain('"--quantize" needs "--init-from"');
  expect(await refused(...train, '--adapter', 'run')).toContain('"--adapter" needs "--init-from"');
  expect(await refused(...train, '--config', 'parts.yaml')).toContain('"--template" must be a name or a text');
  expect(await refused(...train, '--max-new-tokens', '4')).toContain('"--max-new-tokens" of sft needs "--metrics"');
  expect((await refused('plan', '--d-model', '64')).split('\n')[0]).toContain('"--d-model" must be given with --task seq2seq');
});
