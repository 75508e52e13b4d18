// What fine-tuning trains and how fast: freezing by name, rates that fall with depth, single rows of the token table; batches of several lengths in one step. Numbers are PyTorch's
// (test/golden/finetune.py).
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AdamW, CharTokenizer, type Engine, GPT, SGD, TextDataset, Trainer } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { readTensors } from '../support/safetensors';
import { hashParameters, makeText, openEngine, scratch, sharedEngine } from '../support/training';

const golden = (name: string) => new URL(`../golden/${name}`, import.meta.url);
const [B, T] = [3, 8];
const SHAPE = { nLayer: 2, nHead: 2, nEmbd: 16, blockSize: T, vocabSize: 31 } as const;
const FROZEN = ['wte', 'transformer.wpe', 'h.0'];

const load = async (engine: Engine) => {
  const tensors = await readTensors(golden('finetune.safetensors'));
  const model = await GPT.create(engine, SHAPE);
  for (const [name, parameter] of model.parameters) await parameter.set(tensors.get(name)!.data as Float32Array);
  const shape = [B, T];
  const batch = { inputIds: { data: tensors.get('ids')!.data, shape }, labels: { data: tensors.get('labels')!.data, shape } };
  return { model, tensors, batch };
};

const TEXT = makeText(3_000);
const TOKENIZER = CharTokenizer.fromText(TEXT);
const DATASET = TextDataset.fromText(TEXT, TOKENIZER);
const small = (engine: Engine) => GPT.create(engine, { nLayer: 2, nHead: 2, nEmbd: 16, blockSize: 16, tokenizer: TOKENIZER });

describe('layer-wise learning rates and freezing', () => {
  test.each(['all', 'frozen'] as const)('%s: losses, norms and parameters of ten steps as with PyTorch parameter groups', async (name) => {
    const info = JSON.parse(await readFile(golden('finetune.json'), 'utf8'));
    expect(info.scriptSha256).toBe(
      createHash('sha256')
        .update(await readFile(golden('finetune.py')))
        .digest('hex'),
    );
    const engine = await sharedEngine();
    const { model, tensors, batch } = await load(engine);
    const step = engine.trainStep(model, {
      loss: model.loss,
      optimizer: new AdamW({ learningRate: info.learningRate, weightDecay: info.weightDecay }),
      layerwiseLearningRateDecay: info.decay,
      ...(name === 'frozen' ? { freeze: FROZEN } : {}),
    });
    const { losses, gradNorms } = info.runs[name];
    for (let i = 0; i < 10; i++) {
      const { loss, gradNorm } = await step(batch);
      expect(Math.abs(loss - losses[i]), `loss ${i}`).toBeLessThan(1e-5);
      expect(Math.abs(gradNorm - gradNorms[i]), `norm ${i}`).toBeLessThan(1e-4 * gradNorms[i]);
    }
    for (const [key, parameter] of model.parameters) {
      const [want, start] = [tensors.get(`${name}.${key}`)!.data, tensors.get(key)!.data];
      const got = await parameter.data();
      const frozen = name === 'frozen' && /\.(wte|wpe|h\.0)\./.test(key);
      if (frozen) expect(got, key).toEqual(start);
      else expect(Array.from(got).some((value, i) => value !== start[i])).toBe(true);
      // A bias of keys changes nothing (softmax does not see it): its gradient is rounding, which Adam makes large.
      const keyBias = (i: number) => key.endsWith('c_attn.bias') && Math.floor(i / SHAPE.nEmbd) === 1;
      got.forEach((value, i) => {
        if (!keyBias(i)) expect(Math.abs(value - want[i]), `${key}[${i}]`).toBeLessThan(2e-5);
      });
      expect((await parameter.grad()) === null, key).toBe(frozen);
    }
  });

  test('nothing is stored for what is frozen', async () => {
    const engine = await openEngine();
    const model = await small(engine);
    const bytes = async (freeze: string[] | undefined) => {
      const before = (await engine.info.bytes()).regions;
      const trainer = new Trainer(model, { dataset: DATASET, evalDataset: null, maxSteps: 1, freeze });
      await trainer.train();
      const used = (await engine.info.bytes()).regions - before;
      await trainer.close();
      return used;
    };
    const frozen = [...model.parameters].filter(([name]) => name.includes('.wte.') || name.includes('.h.0.'));
    const elements = frozen.reduce((sum, [, { size }]) => sum + size, 0);
    const saved = (await bytes(undefined)) - (await bytes(['wte', 'h.0']));
    // A gradient and two moments, each in regions rounded up to 64 bytes.
    expect(saved).toBeGreaterThanOrEqual(3 * 4 * elements);
    expect(saved).toBeLessThanOrEqual(3 * (4 * elements + 64 * frozen.length) + 4096);
  });

  test('are kept by a resumed run, which gives the bits of one that was not interrupted', async () => {
    const engine = await sharedEngine();
    const folder = await scratch();
    const choice = { freeze: ['h.0', 'wpe'], layerwiseLearningRateDecay: 0.5, trainableTokens: [1, 2, 3] };
    const run = async (outputDir: string, maxSteps: number, more: object) => {
      const model = await small(engine);
      const trainer = new Trainer(model, {
        dataset: DATASET,
        evalDataset: null,
        lrSchedulerType: 'constant',
        maxSteps,
        outputDir,
        ...more,
      });
      await trainer.train();
      await trainer.close();
      return hashParameters(model);
    };
    const whole = await run(`${folder}/whole`, 6, choice);
    await run(`${folder}/cut`, 3, choice);
    expect(await run(`${folder}/cut`, 6, { resume: true })).toBe(whole);
    const { training } = JSON.parse(await readFile(`${folder}/whole/run.json`, 'utf8'));
    expect(training).toMatchObject({ freeze: ['h.0', 'wpe'], layerwise_learning_rate_decay: 0.5, trainable_tokens: [1, 2, 3] });
    const other = run(`${folder}/cut`, 8, { resume: true, freeze: ['h.1'] });
    await expect(other).rejects.toMatchObject({ code: 'CHECKPOINT_MISMATCH', message: expect.stringContaining('training.freeze') });
  });

  test('of an unknown name are an error with the nearest ones, before anything begins', async () => {
    const model = await small(await sharedEngine());
    const make = (more: object) => () => new Trainer(model, { dataset: DATASET, maxSteps: 1, ...more });
    expect(make({ freeze: ['wtf'] })).toThrow('Trainer: "freeze" must name parameters of the model, got "wtf" (the nearest are "wte"');
    expect(make({ freeze: ['h.1*', 'h.2'] })).toThrow('got "h.2" (the nearest are "h.0", "h.1"');
    expect(make({ freeze: [] })).toThrow('"freeze" must be a list of at least one non-empty string');
    expect(make({ layerwiseLearningRateDecay: 0 })).toThrow('"layerwiseLearningRateDecay" must be a positive number, at most 1, got 0');
    const trainer = make({ freeze: ['*'], evalDataset: null })();
    await expect(trainer.train()).rejects.toMatchObject({ code: 'NOT_DIFFERENTIABLE' });
  });
});

describe('rows of the token table', () => {
  test('are trained alone: all other numbers keep their bits, and those rows have the gradients they have in full training', async () => {
    const engine = await sharedEngine();
    const { model, tensors, batch } = await load(engine);
    const rows = [0, 7, 30];
    const full = engine.trainStep(model, { loss: model.loss, optimizer: new SGD({ learningRate: 0 }), maxGradNorm: 0 });
    await full(batch);
    const table = model.parameters.get('transformer.wte.weight')!;
    const want = (await table.grad())!;
    await full.close();
    const step = engine.trainStep(model, {
      loss: model.loss,
      optimizer: new AdamW({ learningRate: 1e-2, weightDecay: 0.5 }),
      freeze: ['*'],
      trainableRows: new Map([['transformer.wte.weight', rows]]),
    });
    const { gradNorm } = await step(batch);
    const got = (await table.grad())!;
    const C = SHAPE.nEmbd;
    const wanted = Float32Array.from(want, (value, i) => (rows.includes(Math.floor(i / C)) ? value : 0));
    expect(got.map((value) => value + 0)).toEqual(wanted); // zeros may be −0
    expect(Math.abs(gradNorm - Math.hypot(...wanted))).toBeLessThan(1e-5 * gradNorm);
    for (let i = 0; i < 4; i++) await step(batch);
    for (const [name, parameter] of model.parameters) {
      const [now, start] = [await parameter.data(), tensors.get(name)!.data];
      for (let i = 0; i < now.length; i++) {
        const trained = name === 'transformer.wte.weight' && rows.includes(Math.floor(i / C));
        expect(now[i] === start[i], `${name}[${i}]`).toBe(!trained);
      }
    }
  });

  test('must be rows of it', async () => {
    const model = await small(await sharedEngine());
    const train = (trainableTokens: number[]) =>
      new Trainer(model, { dataset: DATASET, evalDataset: null, maxSteps: 1, trainableTokens }).train();
    await expect(train([1, 99])).rejects.toThrow(`must be rows of transformer.wte.weight, from 0 to ${TOKENIZER.vocabSize - 1}, got 99`);
    await expect(train([])).rejects.toThrow('must be rows of transformer.wte.weight');
    model.parameters.get('transformer.wte.weight')!.trainable = false;
    await expect(train([1])).rejects.toThrow('must be rows of transformer.wte.weight, which is not trained here');
  });
});

describe('batches of several lengths', () => {
  // Rows of several lengths: alone, in micro-batches by length, and padded into one batch.
  const rows = [5, 8, 3, 8, 5, 1].map((length, r) => Array.from({ length }, (_, i) => (r * 11 + i * 7) % 31));
  const batchOf = (some: readonly number[][], time: number, masked = false) => {
    const inputIds = new Int32Array(some.length * time);
    const labels = new Int32Array(some.length * time).fill(-100);
    for (const [r, ids] of some.entries()) {
      inputIds.set(ids, r * time);
      if (!masked)
        labels.set(
          Int32Array.from(ids, (id) => (id * 3 + 1) % 31),
          r * time,
        );
    }
    const shape = [some.length, time];
    return { inputIds: { data: inputIds, shape }, labels: { data: labels, shape } };
  };
  const gradients = async (engine: Engine, micro: ReturnType<typeof batchOf>[]) => {
    const { model } = await load(engine);
    const step = engine.trainStep(model, {
      loss: model.loss,
      optimizer: new SGD({ learningRate: 0 }),
      maxGradNorm: 0,
    });
    const result = await step(micro);
    const found = new Map<string, Float32Array>();
    for (const [name, parameter] of model.parameters) found.set(name, (await parameter.grad())!);
    await model.close();
    return { result, found };
  };

  test('accumulate to the gradients of one padded batch; a batch with all labels masked adds nothing', async () => {
    const engine = await sharedEngine();
    const whole = await gradients(engine, [batchOf(rows, T)]);
    const cuts = [
      rows.map((row) => batchOf([row], row.length)),
      [batchOf([rows[2], rows[5]], 3), batchOf([rows[0], rows[4]], 5), batchOf([rows[1], rows[3]], 8)],
      [batchOf([rows[2], rows[5]], 3, true), batchOf(rows.slice(0, 3), T), batchOf(rows.slice(3), T)],
    ];
    for (const micro of cuts) {
      const { result, found } = await gradients(engine, micro);
      expect(result.count).toBe(whole.result.count);
      expect(Math.abs(result.loss - whole.result.loss)).toBeLessThan(1e-6);
      for (const [name, want] of whole.found) {
        const most = Math.max(...want.map(Math.abs));
        found.get(name)!.forEach((value, i) => {
          expect(Math.abs(value - want[i]), `${name}[${i}]`).toBeLessThanOrEqual(2e-6 * most);
        });
      }
    }
    const nothing = await gradients(engine, [batchOf(rows, T, true)]);
    expect(nothing.result).toEqual({ loss: 0, gradNorm: 0, count: 0, skipped: true });
  });

  test('keep a bounded number of programs, and losses do not depend on what was unloaded', async () => {
    const engine = await openEngine();
    const model = await GPT.create(engine, { ...SHAPE, nLayer: 1, blockSize: 64 });
    const long = (time: number) => batchOf([Array.from({ length: time }, (_, i) => (i * 5) % 31)], time);
    const dataset = {
      length: 60,
      batch: (indices: readonly number[]) => long(1 + indices[0]),
    };
    const trainer = new Trainer(model, { dataset, evalDataset: dataset, maxSteps: 60, batchSize: 1, learningRate: 0, evalSteps: 0 });
    const before = (await engine.info.bytes()).programsLoaded;
    const losses = new Map<number, number>();
    for await (const { loss, epoch } of trainer.train()) losses.set(Math.round(epoch * 60), loss);
    const first = await trainer.evaluate();
    expect((await engine.info.bytes()).programsLoaded - before).toBeLessThanOrEqual(24 + 1 + 16);
    expect(await trainer.evaluate()).toEqual(first);
    const mean = [...losses.values()].reduce((a, b) => a + b, 0) / 60;
    expect(losses.size).toBe(60);
    expect(Number.isFinite(mean)).toBe(true);
    await trainer.close();
    expect((await engine.info.bytes()).programsLoaded).toBe(before);
  });
});
