// What Trainer does around the arithmetic: pieces and results, accumulation, early stopping, abort, losses that are not finite, memory, bad input.
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import {
  CharTokenizer,
  type Engine,
  type ExampleDataset,
  evaluateLoss,
  FerroError,
  GPT,
  TextDataset,
  Trainer,
  type TrainerOptions,
} from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { hashParameters, makeText, openEngine, scratch, sharedEngine } from '../support/training';

const TEXT = makeText(8_000);
const TOKENIZER = CharTokenizer.fromText(TEXT);
const DATASET = TextDataset.fromText(TEXT, TOKENIZER);

const create = (engine: Engine, more: object = {}) =>
  GPT.create(engine, { nLayer: 1, nHead: 2, nEmbd: 16, blockSize: 16, tokenizer: TOKENIZER, ...more });
const options = (more: Partial<TrainerOptions> = {}): TrainerOptions => ({
  dataset: DATASET,
  maxSteps: 20,
  batchSize: 4,
  learningRate: 1e-2,
  ...more,
});

const failure = async (work: () => unknown): Promise<FerroError> => {
  try {
    await work();
  } catch (error) {
    expect(error).toBeInstanceOf(FerroError);
    return error as FerroError;
  }
  throw new Error('nothing was thrown');
};

describe('train', () => {
  test('is awaitable, and the loss falls', async () => {
    const model = await create(await sharedEngine());
    const trainer = new Trainer(model, options({ maxSteps: 60 }));
    const before = await trainer.evaluate();
    const result = await trainer.train();
    expect(result).toMatchObject({ step: 60, stopReason: 'maxSteps', outputDir: null });
    expect(result.evalLoss).toBeLessThan(before.loss - 0.5);
    expect(before.tokens).toBe(799); // 800 validation tokens
    expect(Math.abs(before.perplexity - Math.exp(before.loss))).toBeLessThan(1e-9);
  });

  test('the loss of a data set can be had without a trainer, the same to the last bit', async () => {
    const model = await create(await sharedEngine());
    const trainer = new Trainer(model, options({ batchSize: 5 }));
    const { validation } = DATASET.split();
    const evaluation = await evaluateLoss(model, validation, { batchSize: 5 });
    expect(evaluation).toEqual(await trainer.evaluate());
    // One example: fewer tokens than a window are enough to evaluate on.
    expect((await evaluateLoss(model, DATASET.slice(0, 9))).tokens).toBe(8);
    const other = TextDataset.fromText('abc', CharTokenizer.fromText('abc'));
    expect((await failure(() => evaluateLoss(model, other))).code).toBe('VOCABULARY_MISMATCH');
    await trainer.close();
    await model.close();
    expect((await failure(() => evaluateLoss(model, validation))).code).toBe('MODEL_CLOSED');
  });

  test('yields every step with its numbers', async () => {
    const model = await create(await sharedEngine());
    const trainer = new Trainer(model, options({ maxSteps: 5, evalSteps: 2, warmupSteps: 2 }));
    const steps = [];
    for await (const step of trainer.train()) steps.push(step);
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5]);
    expect(steps.map(({ evalLoss }) => evalLoss !== undefined)).toEqual([false, true, false, true, true]);
    expect(steps[0].learningRate).toBe(5e-3);
    expect(steps[1].learningRate).toBe(1e-2);
    expect(steps[4].learningRate).toBeCloseTo(1e-3, 9);
    expect(steps[0].loss).toBeCloseTo(Math.log(TOKENIZER.vocabSize), 1);
    for (const { gradNorm, tokensPerSecond } of steps) {
      expect(gradNorm).toBeGreaterThan(0);
      expect(tokensPerSecond).toBeGreaterThan(0);
    }
  });

  test('runs nothing between two yields', async () => {
    const model = await create(await sharedEngine());
    for await (const { step } of new Trainer(model, options({ maxSteps: 6 })).train()) {
      if (step !== 3) continue;
      const hash = await hashParameters(model);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(await hashParameters(model)).toBe(hash);
    }
  });

  test('accumulates micro-batches to the same gradient as one batch', async () => {
    const engine = await sharedEngine();
    const run = async (batchSize: number, gradientAccumulationSteps: number) => {
      const model = await create(engine);
      const losses: number[] = [];
      const trainer = new Trainer(model, options({ maxSteps: 3, batchSize, gradientAccumulationSteps, evalSteps: 0 }));
      for await (const { loss } of trainer.train()) losses.push(loss);
      return losses;
    };
    const [whole, parts] = [await run(8, 1), await run(2, 4)];
    whole.forEach((loss, i) => {
      expect(Math.abs(loss - parts[i])).toBeLessThan(1e-5);
    });
  });

  test('stops early when evaluations stop improving', async () => {
    const model = await create(await sharedEngine());
    const trainer = new Trainer(model, options({ maxSteps: 100, learningRate: 0, evalSteps: 2, earlyStoppingPatience: 3 }));
    expect(await trainer.train()).toMatchObject({ step: 8, stopReason: 'earlyStopping' });
  });

  test('logs the scores of computeMetrics and lets one of them say what is best', async () => {
    const model = await create(await sharedEngine());
    const outputDir = await scratch();
    const values = [0.2, 0.6, 0.4, 0.5];
    const seen: number[] = [];
    const trainer = new Trainer(
      model,
      options({
        maxSteps: 8,
        evalSteps: 2,
        saveSteps: 0,
        outputDir,
        metricForBestModel: 'answersRight',
        extraFiles: { 'notes.json': '{"kept": true}' },
        computeMetrics: async () => {
          // The weights are those after the step; writing a text between changes nothing later.
          await model.generate('the ', { maxNewTokens: 2, seed: 1 });
          seen.push(trainer.step);
          return { answersRight: values[seen.length - 1], other: 3 };
        },
      }),
    );
    const steps = [];
    for await (const step of trainer.train()) steps.push(step);
    expect(seen).toEqual([2, 4, 6, 8]);
    expect(steps[3].evalMetrics).toEqual({ answersRight: 0.6, other: 3 });
    expect(JSON.parse(await readFile(`${outputDir}/best`, 'utf8'))).toMatchObject({ checkpoint: 'checkpoint-4', step: 4 });
    const lines = (await readFile(`${outputDir}/metrics.jsonl`, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.at(-1)).toMatchObject({ step: 8, eval_answers_right: 0.5, eval_other: 3 });
    for (const folder of ['checkpoint-4', 'final'])
      expect(await readFile(`${outputDir}/${folder}/notes.json`, 'utf8')).toBe('{"kept": true}');
    expect(JSON.parse(await readFile(`${outputDir}/run.json`, 'utf8')).training).toMatchObject({
      metric_for_best_model: 'eval_answers_right',
    });
    await trainer.close();
  });

  test('refuses what only an evaluation reads where there is none, and files that are not extra, before anything is written', async () => {
    const model = await create(await sharedEngine());
    const outputDir = `${await scratch()}/run`;
    const text = async (more: Partial<TrainerOptions>) =>
      (await failure(() => new Trainer(model, options({ maxSteps: 2, outputDir, ...more })).train())).message;
    expect(await text({ evalDataset: null, computeMetrics: () => ({}) })).toContain('"computeMetrics" needs an "evalDataset"');
    expect(await text({ evalDataset: null, metricForBestModel: 'f1' })).toContain('"metricForBestModel" needs an "evalDataset"');
    expect(await text({ extraFiles: { 'trainer_state.json': '' } })).toContain('must not have a file of the state');
    expect(await text({ extraFiles: { 'a.txt': 3 as never } })).toContain('"extraFiles" must be texts, got 3 as "a.txt"');
    expect(await text({ extraFiles: { 'config.json': '{}' } })).toContain('must not have a file of the model, got "config.json"');
    expect(existsSync(outputDir)).toBe(false);
  });

  test('an update whose data could not be read is trained on when it can', async () => {
    const engine = await sharedEngine();
    const run = async (failing: number[]) => {
      const model = await create(engine);
      let reads = 0;
      const dataset: ExampleDataset = {
        length: 40,
        batch(indices) {
          reads += 1;
          if (failing.includes(reads)) throw new Error('the disk is away');
          const ids = Int32Array.from({ length: indices.length * 16 }, (_, i) => (indices[i >> 4] * 7 + i) % TOKENIZER.vocabSize);
          const tensor = { data: ids, shape: [indices.length, 16] };
          return { inputIds: tensor, labels: tensor };
        },
      };
      const trainer = new Trainer(model, options({ dataset, maxSteps: 4, gradientAccumulationSteps: 3 }));
      let failures = 0;
      while (trainer.step < 4 && failures < 9) await Promise.resolve(trainer.train()).catch(() => failures++);
      return { failures, hash: await hashParameters(model) };
    };
    const { hash } = await run([]);
    // The second micro-batch of the first update, and of one that is prepared while another is computed.
    expect(await run([2, 9])).toEqual({ failures: 2, hash });
  });

  test('refuses a deciding score that no evaluation finds', async () => {
    const model = await create(await sharedEngine());
    const error = await failure(() => new Trainer(model, options({ maxSteps: 2, metricForBestModel: 'accuracy' })).train());
    expect(error.code).toBe('INVALID_OPTION');
    expect(error.message).toContain('must be one of "loss", got "accuracy"');
  });

  test('stops at a signal with the state of the last whole step, and can go on', async () => {
    const model = await create(await sharedEngine());
    const controller = new AbortController();
    const trainer = new Trainer(model, options({ signal: controller.signal }));
    const error = await failure(async () => {
      for await (const { step } of trainer.train()) if (step === 4) controller.abort(new Error('enough'));
    });
    expect(error.code).toBe('ABORTED');
    expect((error.cause as Error).message).toBe('enough');
    expect(trainer.step).toBe(4);
  });

  test('refuses a second loop at once', async () => {
    const model = await create(await sharedEngine());
    const trainer = new Trainer(model, options());
    for await (const { step } of trainer.train()) {
      if (step === 1) expect((await failure(() => trainer.train())).code).toBe('BUSY');
      if (step === 2) break;
    }
  });

  test('stops at a loss that is not finite, names the step and keeps the last good checkpoint', async () => {
    const outputDir = `${await scratch()}/run`;
    const model = await create(await sharedEngine());
    const trainer = new Trainer(model, options({ outputDir, saveSteps: 1, saveTotalLimit: 2, evalSteps: 0 }));
    const error = await failure(async () => {
      for await (const { step } of trainer.train()) {
        if (step === 3) await model.parameters.get('transformer.ln_f.weight')!.set(new Float32Array(16).fill(Number.NaN));
      }
    });
    expect(error.code).toBe('NON_FINITE_LOSS');
    expect(error.message).toContain('step 4');
    await trainer.close();
    expect((await readdir(outputDir)).filter((name) => name.startsWith('checkpoint-')).sort()).toEqual(['checkpoint-2', 'checkpoint-3']);
    expect(existsSync(`${outputDir}/final`)).toBe(false);
  });
});

describe('the smallest and oddest sizes train', () => {
  test.each([
    ['one token, one dimension, a context of one', 'a', { nEmbd: 1, nHead: 1, blockSize: 1 }],
    ['heads of three', 'ab ', { nEmbd: 9, nHead: 3, blockSize: 5 }],
    ['heads of seven', 'abcde', { nEmbd: 7, nHead: 1, blockSize: 3 }],
  ])('%s', async (_name, letters, sizes) => {
    const tokenizer = CharTokenizer.fromText(letters);
    const model = await GPT.create(await sharedEngine(), { nLayer: 1, tokenizer, ...sizes });
    const dataset = TextDataset.fromText(letters.repeat(40), tokenizer);
    const result = await new Trainer(model, { dataset, maxSteps: 5, batchSize: 1 }).train();
    expect(result.loss).toBeLessThanOrEqual(Math.log(letters.length) + 0.5);
    if (letters.length === 1) expect(result.loss).toBe(0);
    expect((await model.generate(letters[0], { maxNewTokens: 7 })).ids).toHaveLength(7);
  });
});

describe('memory', () => {
  test('live bytes, programs and workers at step 1,000 are those of step 10; closing frees all of a model', async () => {
    const engine = await openEngine();
    const empty = await engine.info.bytes();
    const model = await create(engine);
    const trainer = new Trainer(model, options({ maxSteps: 1000, evalSteps: 5 }));
    let early: unknown;
    for await (const { step } of trainer.train()) {
      if (step % 100 === 10) await model.generate('the ', { maxNewTokens: 20 });
      if (step === 10) early = await engine.info.bytes();
      if (step === 1000) expect(await engine.info.bytes()).toEqual(early);
    }
    await trainer.close();
    await model.close();
    expect(await engine.info.bytes()).toMatchObject({ regions: empty.regions, programs: empty.programs, programsLoaded: 0 });
    await model.close(); // twice is fine
    expect((await failure(() => model.generate('a'))).code).toBe('MODEL_CLOSED');
  }, 120_000);
});

describe('the run directory', () => {
  test('has run.json, metrics.jsonl, checkpoints, best and final', async () => {
    const outputDir = `${await scratch()}/run`;
    const model = await create(await sharedEngine());
    const trainer = new Trainer(model, options({ outputDir, maxSteps: 20, evalSteps: 10, saveSteps: 5, loggingSteps: 5 }));
    await trainer.train();
    await trainer.close();
    const names = (await readdir(outputDir)).filter((name) => name !== 'run.lock').sort();
    expect(names).toEqual(['best', 'checkpoint-15', 'checkpoint-20', 'final', 'metrics.jsonl', 'run.json']);
    const run = JSON.parse(await readFile(`${outputDir}/run.json`, 'utf8'));
    expect(run.training).toMatchObject({ seed: 42, batch_size: 4, learning_rate: 1e-2, optim: 'adamw', max_grad_norm: 1 });
    expect(run.data.train_length + run.data.eval_length).toBe(8000);
    const lines = (await readFile(`${outputDir}/metrics.jsonl`, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ step }) => step)).toEqual([1, 5, 10, 15, 20]);
    expect(Object.keys(lines[2]).sort()).toEqual(['epoch', 'eval_loss', 'grad_norm', 'learning_rate', 'loss', 'step', 'tokens_per_second']);
    expect(JSON.parse(await readFile(`${outputDir}/best`, 'utf8'))).toMatchObject({ checkpoint: 'checkpoint-20', step: 20 });
  });

  test('gets its final model also when the loop or the process ended right after the last step', async () => {
    const outputDir = `${await scratch()}/run`;
    const engine = await sharedEngine();
    const broken = new Trainer(await create(engine), options({ outputDir, maxSteps: 3, evalSteps: 0 }));
    for await (const { step } of broken.train()) if (step === 3) break;
    await broken.close();
    expect(existsSync(`${outputDir}/final`)).toBe(false);
    const resumed = new Trainer(await create(engine), options({ outputDir, resume: true, maxSteps: 3, evalSteps: 0 }));
    expect(await resumed.train()).toMatchObject({ step: 3, stopReason: 'maxSteps' });
    await resumed.close();
    expect(existsSync(`${outputDir}/final/model.safetensors`)).toBe(true);
    const second = `${await scratch()}/run`;
    const again = new Trainer(await create(engine), options({ outputDir: second, maxSteps: 3, evalSteps: 0 }));
    for await (const { step } of again.train()) if (step === 3) break;
    await again.train();
    await again.close();
    expect(existsSync(`${second}/final/model.safetensors`)).toBe(true);
  });

  test('is not written over, and a resumed run must be the same run', async () => {
    const outputDir = `${await scratch()}/run`;
    const engine = await sharedEngine();
    const model = await create(engine);
    const first = new Trainer(model, options({ outputDir, maxSteps: 4, evalSteps: 0 }));
    await first.train();
    expect((await failure(() => new Trainer(model, options({ outputDir })).train())).code).toMatch(/RUN_EXISTS|RUN_LOCKED/);
    await first.close();
    expect((await failure(() => new Trainer(model, options({ outputDir })).train())).code).toBe('RUN_EXISTS');
    const other = await failure(() => new Trainer(model, options({ outputDir, resume: true, batchSize: 3, weightDecay: 0 })).train());
    expect(other.code).toBe('CHECKPOINT_MISMATCH');
    expect(other.message).toContain('training.batch_size 4 in the run and 3 now');
    expect(other.message).toContain('training.weight_decay');
    const longer = new Trainer(model, options({ outputDir, resume: true, maxSteps: 6, evalSteps: 3 }));
    expect((await longer.train()).step).toBe(6);
    await longer.close();
  });
});

describe('bad input gets a typed error', () => {
  const cases: [string, string, (engine: Engine, model: GPT) => unknown][] = [
    ['a learning rate that is NaN', 'INVALID_OPTION', (_, model) => new Trainer(model, options({ learningRate: Number.NaN }))],
    ['clip -1', 'INVALID_OPTION', (_, model) => new Trainer(model, options({ maxGradNorm: -1 }))],
    ['batch 0', 'INVALID_OPTION', (_, model) => new Trainer(model, options({ batchSize: 0 }))],
    ['an unknown option', 'UNKNOWN_OPTION', (_, model) => new Trainer(model, { ...options(), learningrate2: 1 } as TrainerOptions)],
    ['no data set', 'INVALID_OPTION', (_, model) => new Trainer(model, {} as TrainerOptions)],
    [
      'a text shorter than a window',
      'DATA_TOO_SHORT',
      (_, model) => new Trainer(model, options({ dataset: TextDataset.fromText('the whale', TOKENIZER) })),
    ],
    ['an empty text', 'EMPTY_DATA', () => TextDataset.fromText('', TOKENIZER)],
    [
      'data of another vocabulary',
      'VOCABULARY_MISMATCH',
      (_, model) => new Trainer(model, options({ dataset: TextDataset.fromText('xyz'.repeat(99), CharTokenizer.fromText('xyz')) })),
    ],
    ['nEmbd that nHead does not divide', 'INVALID_OPTION', (engine) => create(engine, { nEmbd: 18, nHead: 4 })],
    ['a model too large for the memory', 'OUT_OF_MEMORY', (engine) => GPT.create(engine, { preset: 'gpt2-xl', vocabSize: 50257 })],
    ['an unknown preset', 'INVALID_OPTION', (engine) => create(engine, { preset: 'gpt-5' })],
    ['a token outside the vocabulary', 'TOKEN_OUT_OF_RANGE', (_, model) => model.generate([1, 99])],
    ['a character outside the vocabulary', 'UNKNOWN_CHARACTER', (_, model) => model.generate('é')],
    ['a negative temperature', 'INVALID_OPTION', (_, model) => model.generate('the', { temperature: -1 })],
  ];
  test.each(cases)('%s', async (_name, code, work) => {
    const engine = await openEngine();
    const model = await create(engine);
    const before = await engine.info.bytes();
    const error = await failure(() => work(engine, model));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(/got|needs/);
    expect(await engine.info.bytes()).toEqual(before);
  });

  test('a label out of range stops the step, and the parameters stay', async () => {
    const engine = await sharedEngine();
    const model = await create(engine);
    const hash = await hashParameters(model);
    const step = engine.trainStep(model, { loss: model.loss });
    const batch = { inputIds: { data: new Int32Array(16), shape: [1, 16] }, labels: { data: new Int32Array(16).fill(3), shape: [1, 16] } };
    batch.labels.data[5] = TOKENIZER.vocabSize;
    const error = await failure(() => step(batch));
    expect(error.code).toBe('LABEL_OUT_OF_RANGE');
    expect(error.message).toContain(String(TOKENIZER.vocabSize));
    expect(await hashParameters(model)).toBe(hash);
    batch.labels.data[5] = -100;
    expect((await step(batch)).count).toBe(15);
    batch.labels.data.fill(-100);
    const after = await hashParameters(model);
    expect(await step(batch)).toMatchObject({ count: 0, skipped: true });
    expect(await hashParameters(model)).toBe(after);
  });
});
