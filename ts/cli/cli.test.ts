// The small parts of the command line: numbers for people, the progress line, exit codes, output, the run directory's extra files.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SIMD_CHOICES } from '../engine';
import { FerroError } from '../errors';
import { PRESETS } from '../models';
import { Schedule, type ScheduleType } from '../optim';
import { OPTIONS } from '../options';
import { calibrationPath, readCalibration, writeCalibration } from './calibration';
import { freshFolder } from './demo';
import { describeError, EXIT, exitCodeOf } from './exit';
import { formatBytes, formatCount, formatScale, formatSeconds, formatTable } from './format';
import { Output, snakeKeys } from './output';
import { Progress } from './progress';
import { appendSample, readRunJson, truncateSamples, writeRunOptions } from './runFiles';
import { noteUnexpected } from './session';
import { firstWords } from './tasks/lm';
import { isSampleStep, quote } from './training';

function capture(tty: boolean) {
  const out = new PassThrough();
  const err = Object.assign(new PassThrough(), { isTTY: tty, columns: 60 });
  const read = (stream: PassThrough) => String(stream.read() ?? '');
  return { output: (json = false) => new Output(json, out, err), stdout: () => read(out), stderr: () => read(err) };
}

describe('format', () => {
  it('writes numbers for people', () => {
    expect([0, 999.6, 1234567].map(formatCount)).toEqual(['0', '1,000', '1,234,567']);
    expect([0.4, 59.4, 59.6, 65, 3599.6, 7380, Number.NaN, -1].map(formatSeconds)).toEqual([
      '0 s',
      '59 s',
      '1m 00s',
      '1m 05s',
      '1h 00m',
      '2h 03m',
      '?',
      '?',
    ]);
    expect([0, 999, 1000, 1.25e6, 2.5e9].map(formatBytes)).toEqual(['0 B', '999 B', '1.0 kB', '1.3 MB', '2.5 GB']);
    expect([5, 2500, 1.5e12].map(formatScale)).toEqual(['5', '2.5 k', '1.5 T']);
    expect(
      formatTable([
        ['a', '1'],
        ['bcd', '22'],
      ]),
    ).toBe('a     1\nbcd  22');
    expect(formatTable([])).toBe('');
  });
});

describe('Progress', () => {
  const step = (n: number, more = {}) => ({ step: n, loss: 2.5, tokensPerSecond: 12345.6, ...more });

  it('tells step, loss, speed and the time left', () => {
    let now = 0;
    const progress = new Progress(capture(false).output(), 200, () => now);
    progress.update(step(1));
    now = 10_000;
    expect(progress.line(step(101))).toBe('step 101/200  loss 2.5000  12,346 tokens/s  ETA 10 s');
    expect(progress.line(step(101, { evalLoss: 1.5 }))).toContain('eval loss 1.5000');
  });

  it('prints a line now and then to a pipe, always the first, the last and evaluations', () => {
    let now = 0;
    const { output, stderr } = capture(false);
    const progress = new Progress(output(), 100, () => now);
    for (let n = 1; n <= 100; n++) {
      progress.update(step(n, n === 50 ? { evalLoss: 2 } : {}));
      now += 150;
    }
    const lines = stderr().trimEnd().split('\n');
    expect(lines.map((line) => Number(/step +(\d+)/.exec(line)?.[1]))).toEqual([1, 50, 100]);
  });

  it('rewrites the line on a terminal, within its width, and leaves it before a note', () => {
    let now = 0;
    const { output, stderr } = capture(true);
    const progress = new Progress(output(), 100, () => now);
    progress.update(step(1));
    progress.update(step(2)); // too soon
    now = 200;
    progress.update(step(3));
    progress.note('hello');
    progress.end();
    const text = stderr();
    expect(text.split('\r').length - 1).toBe(2);
    expect(text.endsWith('\nhello\n')).toBe(true);
    for (const line of text.split(/[\r\n]/)) expect(line.replace('\x1b[2K', '').length).toBeLessThan(60);
  });
});

describe('exit codes', () => {
  it('tells usage from failure by the code, whatever the class', () => {
    expect(exitCodeOf(new FerroError('INVALID_OPTION', 'x'))).toBe(EXIT.usage);
    expect(exitCodeOf(Object.assign(new Error('x'), { code: 'RUN_EXISTS' }))).toBe(EXIT.usage);
    expect(exitCodeOf(new FerroError('NOT_UTF8', 'x'))).toBe(EXIT.failed);
    expect([new Error('x'), undefined, 'text', null].map(exitCodeOf)).toEqual([1, 1, 1, 1]);
  });

  it('shows code, text and causes', () => {
    const error = new FerroError('ENGINE_DIED', 'run: the engine is gone', { cause: new Error('unreachable') });
    expect(describeError(error)).toBe('error ENGINE_DIED: run: the engine is gone\n  cause: unreachable');
    expect(describeError('odd')).toBe('error: odd');
  });
});

describe('Output', () => {
  it('keeps results apart from notes, and pieces out of JSON', () => {
    const { output, stdout, stderr } = capture(false);
    const text = output();
    text.piece('ab');
    text.note('note');
    text.result({ a: 1 }, 'done');
    expect([stdout(), stderr()]).toEqual(['abdone\n', 'note\n']);
    const json = output(true);
    json.piece('ab');
    json.result({ evalLoss: 1.5, none: undefined, list: [{ aB: Int32Array.of(1, 2) }] }, 'done');
    expect(stdout()).toBe('{"eval_loss":1.5,"list":[{"a_b":[1,2]}]}\n');
  });

  it('renames keys at every depth', () => {
    expect(snakeKeys({ aB: { cD: [{ eF: null }] } })).toEqual({ a_b: { c_d: [{ e_f: null }] } });
  });
});

describe('the option table', () => {
  it('offers the presets, builds and schedules that exist', () => {
    expect(OPTIONS.preset.check.choices).toEqual(Object.keys(PRESETS));
    expect(OPTIONS.simd.check.choices).toEqual(SIMD_CHOICES);
    for (const lrSchedulerType of OPTIONS.lrSchedulerType.check.choices ?? []) {
      const schedule = new Schedule({ lrSchedulerType: lrSchedulerType as ScheduleType, learningRate: 1, maxSteps: 10 });
      expect(schedule.at(10), lrSchedulerType).toBeGreaterThanOrEqual(0);
    }
  });
});

describe('small choices', () => {
  it('samples after the first step, every tenth and the last', () => {
    const steps = (max: number) => Array.from({ length: max }, (_, i) => i + 1).filter((n) => isSampleStep(n, max));
    expect(steps(300)).toEqual([1, 30, 60, 90, 120, 150, 180, 210, 240, 270, 300]);
    expect(steps(3)).toEqual([1, 2, 3]);
    expect(steps(25)).toContain(25);
  });

  it('starts a sample at a whole word', () => {
    expect(firstWords('CHAPTER 1. Loomi')).toBe('CHAPTER 1. ');
    expect(firstWords('\n\nOne\nTwo')).toBe('One');
    expect(firstWords('')).toBe('');
  });

  it('quotes for a shell', () => {
    expect(quote('runs/a-1')).toBe('runs/a-1');
    expect(quote('a "b" $c')).toBe('"a \\"b\\" \\$c"');
  });

  it('finds a folder that does not exist', () => {
    expect(freshFolder('r', () => false)).toBe('r');
    expect(freshFolder('r', (path) => path === 'r' || path === 'r-2')).toBe('r-3');
  });
});

describe('files of a run', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ferro-run-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('adds the options to run.json and leaves the rest', async () => {
    expect(await readRunJson(folder)).toBeUndefined();
    await writeFile(join(folder, 'run.json'), '{"version":1}');
    await writeRunOptions(folder, { max_steps: 3 });
    expect(await readRunJson(folder)).toEqual({ version: 1, options: { max_steps: 3 } });
    for (const text of ['{', '[]', 'null']) {
      await writeFile(join(folder, 'run.json'), text);
      await expect(readRunJson(folder), text).rejects.toMatchObject({ code: 'INVALID_FILE' });
    }
  });

  it('drops the samples that a resumed run writes again', async () => {
    for (const n of [1, 5, 9]) await appendSample(folder, { step: n, prompt: 'p', text: `t${n}\n` });
    await truncateSamples(folder, 5);
    const text = await readFile(join(folder, 'samples.jsonl'), 'utf8');
    expect(
      text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).step),
    ).toEqual([1, 5]);
  });

  it('keeps a calibration and shrugs at a broken one', async () => {
    const path = calibrationPath({ FERRO_CACHE: join(folder, 'cache') });
    expect(await readCalibration(path)).toBeUndefined();
    const measured = { flopsPerSecond: 1e9, threads: 2, build: 'relaxed', runtime: 'Node' };
    await writeCalibration(measured, path);
    expect(await readCalibration(path)).toEqual(measured);
    for (const text of ['{', '{"flopsPerSecond": -1}', '{"flopsPerSecond": "1"}']) {
      await writeFile(path, text);
      expect(await readCalibration(path), text).toBeUndefined();
    }
  });
});

describe('tensors that were left out', () => {
  const notes = (unexpected: string[] | null): string => {
    const err = new PassThrough();
    const loadReport = unexpected === null ? null : { unexpected, tiedHead: true, dtypes: ['F32'] };
    noteUnexpected(new Output(false, new PassThrough(), err), { loadReport });
    return String(err.read() ?? '');
  };

  it('are told by name, ten at most', () => {
    expect(notes(null)).toBe('');
    expect(notes([])).toBe('');
    expect(notes(['score.weight', '__proto__'])).toBe(
      'warning: tensors without a place in this model were left out: score.weight, __proto__\n',
    );
    expect(notes(Array.from({ length: 12 }, (_, i) => `t${i}`))).toMatch(/t9 and 2 more\n$/);
  });
});
