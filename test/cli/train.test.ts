// `ferroformer train`: the run folder, resuming, interrupts, fine-tuning, and what a wrong command gets.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ferroformer, SMALL, start, workplace } from './support';

const TRAIN = ['train', '--data', 'text.txt', '--out', 'run', ...SMALL];

async function metrics(folder: string): Promise<Record<string, number>[]> {
  const text = await readFile(join(folder, 'metrics.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);
}

async function modelBytes(folder: string, run: string): Promise<Buffer> {
  return readFile(join(folder, run, 'final/model.safetensors'));
}

describe('train', () => {
  it('writes the run folder and tells the result', async () => {
    const folder = await workplace();
    const { code, stdout, stderr } = await ferroformer(
      [...TRAIN, '--max-steps', '20', '--logging-steps', '5', '--save-steps', '10', '--json'],
      folder,
    );
    expect(code, stderr).toBe(0);
    const result = JSON.parse(stdout) as Record<string, unknown>;
    expect(result).toMatchObject({ step: 20, max_steps: 20, interrupted: false, output_dir: 'run', model: join('run', 'final') });
    expect(result.loss).toBeGreaterThan(0);
    expect(result.eval_loss).toBeGreaterThan(0);
    expect(result.tokens_per_second).toBeGreaterThan(0);

    const files = await readdir(join(folder, 'run'));
    for (const name of ['run.json', 'metrics.jsonl', 'report.html', 'samples.jsonl', 'final', 'checkpoint-20', 'best'])
      expect(files).toContain(name);
    const run = JSON.parse(await readFile(join(folder, 'run/run.json'), 'utf8'));
    expect(run.options).toMatchObject({ data: ['text.txt'], max_steps: 20, n_embd: 16 });
    const lines = await metrics(join(folder, 'run'));
    expect(lines.at(-1)).toMatchObject({
      step: 20,
      epoch: expect.any(Number),
      loss: expect.any(Number),
      grad_norm: expect.any(Number),
      eval_loss: expect.any(Number),
    });
    const report = await readFile(join(folder, 'run/report.html'), 'utf8');
    expect(report).toContain('after step 20');
    expect(stderr).toMatch(/step +20\/20 {2}loss \d+\.\d+.*tokens\/s {2}ETA/);
    expect(stderr).toContain('--- step 2 ---');
  });

  it('tells people the way on', async () => {
    const folder = await workplace();
    const { code, stdout } = await ferroformer([...TRAIN, '--max-steps', '2'], folder);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^done {6}2 of 2 steps .* tokens\/s$/m);
    expect(stdout).toContain(`report    ${join('run', 'report.html')}`);
    expect(stdout).toContain('npx ferroformer generate --model run --prompt');
    expect(stdout).toContain(`GPT2LMHeadModel.from_pretrained(${JSON.stringify(join('run', 'final'))})`);
  });

  it('saves at an interrupt, exits 130, and resumes to the same bits without any flag', async () => {
    const folder = await workplace();
    const whole = await ferroformer(['train', '--data', 'text.txt', '--out', 'whole', ...SMALL, '--max-steps', '400'], folder);
    expect(whole.code, whole.stderr).toBe(0);

    const running = start([...TRAIN, '--max-steps', '400'], folder);
    await running.shown('--- step 40 ---');
    running.child.kill('SIGINT');
    const stopped = await running.ended;
    expect(stopped.code, stopped.stderr).toBe(130);
    expect(stopped.stdout).toContain('npx ferroformer train --resume --out run');
    const step = Number(/^stopped +([\d,]+) of 400/m.exec(stopped.stdout)?.[1]);
    expect(step).toBeGreaterThanOrEqual(40);
    expect(step).toBeLessThan(400);
    expect(await readdir(join(folder, 'run', `checkpoint-${step}`))).toContain('complete.json');

    const resumed = await ferroformer(['train', '--resume', '--out', 'run', '--json'], folder);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(JSON.parse(resumed.stdout)).toMatchObject({ step: 400 });
    expect((await modelBytes(folder, 'run')).equals(await modelBytes(folder, 'whole'))).toBe(true);
    const drop = ({ tokens_per_second: _, ...line }: Record<string, number>) => line;
    expect((await metrics(join(folder, 'run'))).map(drop)).toEqual((await metrics(join(folder, 'whole'))).map(drop));
  });

  it('quits at once at a second interrupt', async () => {
    const folder = await workplace();
    // A step of this run takes seconds, so that it cannot end between the two interrupts.
    const size = ['--preset', 'gpt-mini', '--block-size', '64', '--batch-size', '512', ...SMALL.slice(-4)];
    const running = start(['train', '--data', 'text.txt', '--out', 'run', '--max-steps', '50', ...size], folder);
    await running.shown('run       run');
    running.child.kill('SIGINT');
    await running.shown('again to quit at once');
    const second = performance.now();
    running.child.kill('SIGINT');
    const { code, stdout } = await running.ended;
    expect([code, stdout]).toEqual([130, '']);
    expect(performance.now() - second).toBeLessThan(2000);
    expect((await readdir(join(folder, 'run')).catch(() => [])).filter((name) => name.startsWith('checkpoint'))).toEqual([]);
  });

  it('goes on for more steps, and refuses another configuration', async () => {
    const folder = await workplace();
    expect((await ferroformer([...TRAIN, '--max-steps', '6', '--lr-scheduler-type', 'constant'], folder)).code).toBe(0);
    const more = await ferroformer(['train', '--resume', '--out', 'run', '--max-steps', '9', '--json'], folder);
    expect(more.code, more.stderr).toBe(0);
    expect(JSON.parse(more.stdout)).toMatchObject({ step: 9 });
    const other = await ferroformer(['train', '--resume', '--out', 'run', '--max-steps', '12', '--learning-rate', '0.5'], folder);
    expect(other.code).toBe(1);
    expect(other.stderr).toContain('CHECKPOINT_MISMATCH');
    expect(other.stderr).toContain('learning_rate');
  });

  it('leaves a folder with a run alone unless told', async () => {
    const folder = await workplace();
    expect((await ferroformer([...TRAIN, '--max-steps', '2'], folder)).code).toBe(0);
    const again = await ferroformer([...TRAIN, '--max-steps', '2'], folder);
    expect(again.code).toBe(2);
    expect(again.stderr).toContain('RUN_EXISTS');
    expect((await ferroformer([...TRAIN, '--max-steps', '3', '--overwrite', '--json'], folder)).code).toBe(0);
    expect((await metrics(join(folder, 'run'))).at(-1)?.step).toBe(3);
  });

  it('takes options from a file and repeats a run from its run.json', async () => {
    const folder = await workplace();
    await writeFile(
      join(folder, 'small.yaml'),
      'data: text.txt\nn_layer: 1\nnHead: 2\nn-embd: 16\nblock_size: 16\nbatch_size: 4\nmax_steps: 4\n'.replace('text.txt', '[text.txt]'),
    );
    const machine = SMALL.slice(-4);
    expect((await ferroformer(['train', '--config', 'small.yaml', '--out', 'a', ...machine], folder)).code).toBe(0);
    const again = await ferroformer(['train', '--config', join('a', 'run.json'), '--out', 'b', ...machine], folder);
    expect(again.code, again.stderr).toBe(0);
    expect((await modelBytes(folder, 'b')).equals(await modelBytes(folder, 'a'))).toBe(true);
  });

  it('fine-tunes a saved model, which brings its own architecture', async () => {
    const folder = await workplace();
    expect((await ferroformer([...TRAIN, '--max-steps', '3'], folder)).code).toBe(0);
    const tuned = await ferroformer(
      ['train', '--data', 'text.txt', '--init-from', 'run', '--out', 'tuned', '--max-steps', '2', '--json', ...SMALL.slice(-4)],
      folder,
    );
    expect(tuned.code, tuned.stderr).toBe(0);
    const run = JSON.parse(await readFile(join(folder, 'tuned/run.json'), 'utf8'));
    expect(run.training).toMatchObject({ learning_rate: 5e-5, lr_scheduler_type: 'linear' });
    const refused = await ferroformer(['train', '--data', 'text.txt', '--init-from', 'run', '--out', 'x', '--n-layer', '2'], folder);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('--init-from');
  });
});

describe('train refuses', () => {
  const cases: { name: string; args: string[]; code: number; says: string[] }[] = [
    { name: 'no data', args: ['--out', 'o'], code: 2, says: ['--data', 'must be given'] },
    { name: 'no folder', args: ['--data', 'text.txt'], code: 2, says: ['--out', 'must be given'] },
    { name: 'a missing file', args: ['--data', 'none.txt', '--out', 'o'], code: 1, says: ['FILE_NOT_FOUND', 'none.txt'] },
    { name: 'an empty file', args: ['--data', 'empty.txt', '--out', 'o'], code: 1, says: ['EMPTY_DATA', 'empty.txt'] },
    { name: 'a file that is not UTF-8', args: ['--data', 'latin1.txt', '--out', 'o'], code: 1, says: ['NOT_UTF8', 'latin1.txt'] },
    { name: 'a text shorter than a window', args: ['--data', 'short.txt', '--out', 'o'], code: 1, says: ['DATA_TOO_SHORT'] },
    {
      name: 'heads that do not divide the width',
      args: ['--data', 'text.txt', '--out', 'o', '--n-head', '3', '--n-embd', '16'],
      code: 2,
      says: ['INVALID_OPTION', '16', '3'],
    },
    {
      name: 'a model beyond 4 GiB',
      args: ['--data', 'text.txt', '--out', 'o', '--n-embd', '65536', '--n-head', '16'],
      code: 1,
      says: ['OUT_OF_MEMORY', 'bytes'],
    },
    {
      name: 'a learning rate of NaN',
      args: ['--data', 'text.txt', '--out', 'o', '--learning-rate', 'NaN'],
      code: 2,
      says: ['--learning-rate', 'NaN'],
    },
    { name: 'a clip of -1', args: ['--data', 'text.txt', '--out', 'o', '--max-grad-norm', '-1'], code: 2, says: ['--max-grad-norm', '-1'] },
    { name: 'an unknown option', args: ['--learning-rat', '1'], code: 2, says: ['UNKNOWN_OPTION', '--learning-rate'] },
    {
      name: 'a BPE smaller than its bytes',
      args: ['--data', 'text.txt', '--out', 'o', '--tokenizer', 'bpe', '--vocab-size', '100'],
      code: 2,
      says: ['INVALID_OPTION', '257'],
    },
    {
      name: 'resume and overwrite together',
      args: ['--data', 'text.txt', '--out', 'o', '--resume', '--overwrite'],
      code: 2,
      says: ['resume', 'overwrite'],
    },
  ];

  it.each(cases)('$name', async ({ args, code, says }) => {
    const folder = await workplace();
    await writeFile(join(folder, 'empty.txt'), '');
    await writeFile(join(folder, 'short.txt'), 'short');
    await writeFile(join(folder, 'latin1.txt'), Buffer.from([0x61, 0xe9, 0x62]));
    const before = await readdir(folder);
    const ended = await ferroformer(
      ['train', '--preset', 'gpt-nano', '--block-size', '16', '--max-steps', '2', ...SMALL.slice(-4), ...args],
      folder,
    );
    expect(ended.code, ended.stderr).toBe(code);
    for (const text of says) expect(ended.stderr).toContain(text);
    expect(ended.stdout).toBe('');
    expect(await readdir(folder)).toEqual(before); // nothing half-written
  });

  it('a folder that cannot be written', async () => {
    const folder = await workplace();
    await writeFile(join(folder, 'file'), 'x');
    await mkdir(join(folder, 'd'));
    const ended = await ferroformer(['train', '--data', 'text.txt', '--out', join('file', 'run'), '--max-steps', '2', ...SMALL], folder);
    expect(ended.code, ended.stderr).toBe(1);
    expect(ended.stderr).toMatch(/error (FILE_ERROR|FILE_NOT_FOUND)/);
  });
});
