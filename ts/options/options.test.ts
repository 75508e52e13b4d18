// The options table and its reader: every row is consistent, every rule refuses what it should, every message names the option and the value.
import { describe, expect, it } from 'vitest';
import { FerroError } from '../errors';
import {
  COMMAND_OPTIONS,
  camelCase,
  ENGINE_OPTIONS,
  GENERATE_OPTIONS,
  GPT_OPTIONS,
  kebabCase,
  nearest,
  OPTIONS,
  type Option,
  type OptionName,
  readOptions,
  snakeCase,
  TRAINER_OPTIONS,
} from '../options';
import { editDistance } from './names';

function refusal(run: () => unknown): FerroError {
  try {
    run();
  } catch (error) {
    if (error instanceof FerroError) return error;
    throw error;
  }
  throw new Error('expected a refusal');
}

const rows: Option[] = Object.values(OPTIONS);

describe('the table', () => {
  it('has a default that its own check accepts, help, and a name that survives the round trip', () => {
    for (const row of rows) {
      if (row.default !== undefined) expect(row.check.accepts(row.default), row.name).toBe(true);
      expect(row.help.length, row.name).toBeGreaterThan(3);
      expect(camelCase(kebabCase(row.name)), row.name).toBe(row.name);
      expect(camelCase(snakeCase(row.name)), row.name).toBe(row.name);
      expect(row.flag, row.name).toMatch(/^$|^[a-z][a-z0-9]*(-[a-z0-9]+)*$/);
    }
  });

  it('gives each command flags that are unique and exist', () => {
    for (const [command, names] of Object.entries(COMMAND_OPTIONS)) {
      const flags = names.map((name) => OPTIONS[name].flag);
      expect(new Set(flags).size, command).toBe(flags.length);
      expect(flags, command).not.toContain('');
    }
  });

  it('never lets two options of one list share a key', () => {
    for (const names of [ENGINE_OPTIONS, GPT_OPTIONS, TRAINER_OPTIONS, GENERATE_OPTIONS, ...Object.values(COMMAND_OPTIONS)]) {
      const keys = names.flatMap((name: OptionName) => [name as string, ...OPTIONS[name].aliases]);
      expect(new Set(keys).size).toBe(keys.length);
    }
  });

  it('refuses NaN, infinities, numbers as text, null and the wrong type for every number', () => {
    for (const row of rows.filter((r) => r.check.kind === 'number')) {
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, '1', null, true, [], {}, 1n, -1]) {
        if (value === -1 && row.check.rule === 'a finite number') continue; // penalties may be rewards
        expect(row.check.accepts(value), `${row.name} ${String(value)}`).toBe(false);
      }
    }
  });

  it('refuses everything but booleans for booleans, and null for all', () => {
    for (const row of rows) {
      expect(row.check.accepts(null), row.name).toBe(false);
      if (row.check.kind === 'boolean') for (const value of ['true', 1, 0, {}]) expect(row.check.accepts(value), row.name).toBe(false);
    }
  });
});

describe('readOptions', () => {
  it('fills in the defaults and leaves what has none undefined', () => {
    const read = readOptions('Trainer', {}, TRAINER_OPTIONS);
    expect(read).toMatchObject({
      batchSize: 12,
      adamBeta1: 0.9,
      adamBeta2: 0.99,
      weightDecay: 0.1,
      maxGradNorm: 1,
      seed: 42,
      resume: false,
    });
    expect(read.learningRate).toBeUndefined();
    expect(readOptions('Trainer', undefined, TRAINER_OPTIONS)).toEqual(read);
    expect(readOptions('Trainer', { maxSteps: 3 }, TRAINER_OPTIONS, { defaults: false })).toEqual({ maxSteps: 3 });
  });

  it('takes camelCase, snake_case, kebab-case and aliases, and ignores undefined', () => {
    const values = { learning_rate: 0.5, 'warmup-steps': 0, maxSteps: 7, out: 'runs/x', seed: undefined };
    expect(readOptions('Trainer', values, TRAINER_OPTIONS)).toMatchObject({
      learningRate: 0.5,
      warmupSteps: 0,
      maxSteps: 7,
      outputDir: 'runs/x',
      seed: 42,
    });
    expect(readOptions('Trainer', { output_dir: 'a' }, TRAINER_OPTIONS).outputDir).toBe('a');
    expect(readOptions('train', { tokenizer: 'char' }, COMMAND_OPTIONS.train).tokenizerName).toBe('char');
  });

  it('names the nearest option', () => {
    const typo = refusal(() => readOptions('Trainer', { learningrat: 1 }, TRAINER_OPTIONS));
    expect(typo.code).toBe('UNKNOWN_OPTION');
    expect(typo.message).toBe('Trainer: options must be known ones, got "learningrat" (the nearest is "learningRate")');
    expect(refusal(() => readOptions('generate', { max_tokens: 1 }, GENERATE_OPTIONS)).message).toContain('"maxNewTokens"');
    expect(refusal(() => readOptions('x', { a: 1 }, [])).message).toContain('it takes none');
  });

  it('says the rule and the value', () => {
    const cases: [object, string][] = [
      [{ learningRate: Number.NaN }, 'Trainer: "learningRate" must be 0 or a positive number, got NaN'],
      [{ maxGradNorm: -1 }, 'Trainer: "maxGradNorm" must be 0 or a positive number, got -1'],
      [{ batch_size: 1.5 }, 'Trainer: "batchSize" must be a positive integer (at most 2147483647), got 1.5'],
      [{ seed: 2 ** 53 }, 'Trainer: "seed" must be an integer from 0 to 2^53 - 1, got 9007199254740992'],
      [{ maxSteps: '3' }, 'Trainer: "maxSteps" must be a positive integer (at most 2147483647), got "3"'],
      [{ adamBeta1: 1 }, 'Trainer: "adamBeta1" must be a number from 0 to below 1, got 1'],
      [{ resume: null }, 'Trainer: "resume" must be true or false, got null'],
      [{ loss: 'mse' }, 'Trainer: "loss" must be a function, got "mse"'],
      [{ signal: {} }, 'Trainer: "signal" must be an AbortSignal, got an object (Object)'],
    ];
    for (const [input, message] of cases) {
      const error = refusal(() => readOptions('Trainer', input, TRAINER_OPTIONS));
      expect([error.code, error.message]).toEqual(['INVALID_OPTION', message]);
    }
    expect(refusal(() => readOptions('t', { lrSchedulerType: 'cosin' }, TRAINER_OPTIONS)).message).toContain('must be one of "constant"');
  });

  it('refuses a key given twice and an input that is no object', () => {
    expect(refusal(() => readOptions('t', { max_steps: 1, maxSteps: 2 }, TRAINER_OPTIONS)).message).toBe(
      't: "maxSteps" must be given once, got it again as "maxSteps"',
    );
    for (const input of [null, 3, 'x', [], () => 1])
      expect(refusal(() => readOptions('t', input as object, TRAINER_OPTIONS)).code).toBe('INVALID_OPTION');
  });

  it('is not confused by names of Object.prototype', () => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      const error = refusal(() => readOptions('t', JSON.parse(`{"${key}": 1}`) as object, TRAINER_OPTIONS));
      expect(error.code, key).toBe('UNKNOWN_OPTION');
    }
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
  });

  it('keeps the types that the compiler knows', () => {
    const read = readOptions('t', { maxSteps: 3, loss: () => 1 }, [
      'maxSteps',
      'batchSize',
      'lrSchedulerType',
      'loss',
      'signal',
      'promptIds',
    ]);
    const steps: number | undefined = read.maxSteps;
    const batch: number = read.batchSize;
    const type: 'constant' | 'constant_with_warmup' | 'linear' | 'cosine' | 'cosine_with_min_lr' | 'warmup_stable_decay' | undefined =
      read.lrSchedulerType;
    const loss: () => number = read.loss;
    const signal: AbortSignal | undefined = read.signal;
    expect([steps, batch, type, loss(), signal]).toEqual([3, 12, undefined, 1, undefined]);
  });
});

describe('names', () => {
  it('counts edits', () => {
    const cases: [string, string, number][] = [
      ['', '', 0],
      ['a', '', 1],
      ['kitten', 'sitting', 3],
      ['ab', 'ba', 1],
      ['abc', 'abc', 0],
    ];
    for (const [a, b, edits] of cases) expect(editDistance(a, b), `${a} ${b}`).toBe(edits);
  });

  it('finds the nearest, the first of equals, none of none', () => {
    expect(nearest('top_k', ['topP', 'topK'])).toBe('topK');
    expect(nearest('x', ['a', 'b'])).toBe('a');
    expect(nearest('x', [])).toBeUndefined();
  });
});
