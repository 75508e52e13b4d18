// Training a sequence-to-sequence model: a task it must learn, checkpoints, padding, smoothed labels, and what bad input gets. PyTorch's numbers are in
// seq2seqGoldens.test.ts.
import { join } from 'node:path';
import { type Engine, type FerroError, GPT, type HostTensor, Seq2SeqDataset, Trainer, Transformer } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { backwards, makeBatch, makeDataset, makeModel, makeWords } from '../support/seq2seq';
import { hashParameters, measured, scratch, sharedEngine } from '../support/training';

const WORDS = makeWords(2600);
const [HELD_OUT, TRAIN] = [WORDS.slice(0, 100), WORDS.slice(100)];
const TRAINING = { batchSize: 64, learningRate: 5e-3, weightDecay: 0.01, seed: 3 };

const worst = (a: ArrayLike<number>, b: ArrayLike<number>) => Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));
const largest = (a: ArrayLike<number>) => Math.max(...Array.from(a, Math.abs));

describe('training', () => {
  test('words it never saw are written backwards, 95 of 100 at least, greedily and by beams', async () => {
    const engine = await sharedEngine();
    const model = await makeModel(engine);
    const dataset = makeDataset(model, TRAIN);
    const trainer = new Trainer(model, {
      ...TRAINING,
      dataset,
      evalDataset: makeDataset(model, HELD_OUT),
      labelSmoothing: 0.1,
      maxSteps: 450,
      evalSteps: 450,
    });
    const { loss, evalLoss } = await trainer.train();
    // Smoothed labels cannot be met: with ε 0.1 and 9 words the entropy of a target is 0.50 nats. What is evaluated is plain cross-entropy.
    expect(loss).toBeGreaterThan(0.45);
    expect(evalLoss!).toBeLessThan(0.2);
    const share = (sequences: readonly { text: string; finishReason: string }[]) =>
      sequences.filter(({ text, finishReason }, i) => finishReason === 'eos' && text === backwards(HELD_OUT[i])).length / HELD_OUT.length;
    const greedy = share((await model.generate(HELD_OUT, { doSample: false })).sequences);
    expect(measured('reversal, exact match, greedy', greedy)).toBeGreaterThanOrEqual(0.95);
    const beams = share((await model.generate(HELD_OUT, { numBeams: 3 })).sequences);
    expect(measured('reversal, exact match, three beams', beams)).toBeGreaterThanOrEqual(0.95);
  });

  test('a run broken off and resumed gives the bits of one that was not', async () => {
    const engine = await sharedEngine();
    const folder = await scratch();
    const run = async (name: string, steps: number[], dropout = 0.1) => {
      let hash = '';
      for (const [i, stop] of steps.entries()) {
        const model = await makeModel(engine, { dropout });
        const dataset = makeDataset(model, TRAIN.slice(0, 200));
        const settings = { ...TRAINING, dataset, labelSmoothing: 0.1, maxSteps: 6, saveSteps: 2, evalSteps: 0, batchSize: 8 };
        const trainer = new Trainer(model, { ...settings, outputDir: join(folder, name), resume: i > 0 });
        for await (const { step } of trainer.train()) if (step === stop) break;
        await trainer.close();
        hash = await hashParameters(model);
        await model.close();
      }
      return hash;
    };
    const whole = await run('whole', [6]);
    expect(await run('parts', [3, 6])).toBe(whole);
    const loaded = await Transformer.fromPretrained(engine, join(folder, 'parts'));
    expect(await hashParameters(loaded)).toBe(whole);
    const again = await makeModel(engine, { dropout: 0.1 });
    const other = {
      ...TRAINING,
      dataset: makeDataset(again, TRAIN.slice(0, 200)),
      maxSteps: 6,
      batchSize: 8,
      outputDir: join(folder, 'parts'),
      resume: true,
    };
    const refused = await new Trainer(again, other).train().then(
      () => undefined,
      (error: unknown) => error as FerroError,
    );
    expect(refused?.code).toBe('CHECKPOINT_MISMATCH');
    expect(refused?.message).toContain('label_smoothing');
  });
});

describe('rows of a user', () => {
  const pairs = (words: readonly string[]) => words.map((word) => ({ source: word, target: backwards(word) }));

  test('Seq2SeqDataset with the model’s ids: batches of several lengths are trained and evaluated', async () => {
    const engine = await sharedEngine();
    const model = await makeModel(engine, { maxSourceLength: 24, maxTargetLength: 24 });
    const { bosId, eosId } = model.config;
    const options = { tokenizer: model.tokenizer!, bosId, eosId, groupByLength: true };
    const long = makeWords(80).map((word, i) => (i % 2 === 0 ? word : `${word}${word}abc`));
    const dataset = new Seq2SeqDataset(pairs(long), options);
    const shapes = new Set((await dataset.batch([0, 2])).inputIds.shape.concat((await dataset.batch([1, 3])).inputIds.shape));
    expect(shapes.size).toBeGreaterThan(2); // 2 rows of 8, 2 rows of 16 or 24
    const settings = { dataset, evalDataset: new Seq2SeqDataset(pairs(long.slice(0, 9)), options), batchSize: 4 };
    const trainer = new Trainer(model, { ...settings, maxSteps: 40, learningRate: 3e-3, labelSmoothing: 0.05, evalSteps: 40 });
    const before = (await trainer.evaluate()).loss;
    const { evalLoss } = await trainer.train();
    expect(evalLoss!).toBeLessThan(before - 0.3);
    await trainer.close();
    // The loss over a data set is the mean over its targets' tokens, whatever they are batched with.
    const [rows] = [makeBatch(model, long.slice(0, 9), 24, 24)];
    const { loss } = await engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 0 } })(rows);
    expect(Math.abs(loss - evalLoss!)).toBeLessThanOrEqual(2e-6);
  });

  test('an adapter is trained on a frozen model, and writes', async () => {
    const engine = await sharedEngine();
    const model = await makeModel(engine);
    const before = await hashParameters(model);
    await model.addAdapter({ rank: 4, targetModules: 'all-linear' });
    const step = engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 1e-2 } });
    const batch = makeBatch(model, TRAIN.slice(0, 16));
    const first = (await step(batch)).loss;
    for (let t = 0; t < 20; t++) await step(batch);
    expect((await step(batch)).loss).toBeLessThan(first - 0.1);
    expect(await hashParameters(model)).toBe(before);
    const adapted = await model.generate('abc', { doSample: false });
    model.setAdapter(null);
    expect((await model.generate('abc', { doSample: false })).logProbs).not.toEqual(adapted.logProbs);
  });
});

describe('padding', () => {
  const words = ['abc', 'hgfedcba', 'aaaa', 'bdfh'];
  /** Loss and gradients of some batches of one update. */
  const gradients = async (model: Transformer, batches: Record<string, HostTensor>[], engine: Engine) => {
    const step = engine.trainStep(model, { loss: model.smoothedLoss(0.1), optimizer: { learningRate: 0 } });
    const { loss, count } = await step(batches);
    const found = new Map<string, Float32Array | null>();
    for (const [name, parameter] of model.parameters) found.set(name, await parameter.grad());
    await step.close();
    return { loss, count, found };
  };

  test('a padded batch has the loss and the gradients of its rows alone, to 2e-6 of the largest', async () => {
    const engine = await sharedEngine();
    const model = await makeModel(engine, { nLayer: 2 });
    const padded = await gradients(model, [makeBatch(model, words, 10, 12)], engine);
    const alone = await gradients(
      model,
      words.map((word) => makeBatch(model, [word], word.length, word.length + 1)),
      engine,
    );
    expect(padded.count).toBe(words.join('').length + words.length);
    expect(alone.count).toBe(padded.count);
    expect(Math.abs(padded.loss - alone.loss)).toBeLessThanOrEqual(1e-6);
    for (const [name, gradient] of alone.found) {
      if (gradient === null) expect(name).toMatch(/_positions/);
      else expect(worst(padded.found.get(name)!, gradient) / largest(gradient), name).toBeLessThanOrEqual(2e-6);
    }
  });

  test('what fills up a source changes no bit', async () => {
    const engine = await sharedEngine();
    const model = await makeModel(engine);
    const [one, other] = [makeBatch(model, words), makeBatch(model, words)];
    other.inputIds.data.forEach((_, i) => {
      if (other.inputMask.data[i] === 0) other.inputIds.data[i] = 1;
    });
    const [a, b] = [await gradients(model, [one], engine), await gradients(model, [other], engine)];
    expect(b.loss).toBe(a.loss);
    expect(b.found.get('encoder.layers.0.linear1.weight')).toEqual(a.found.get('encoder.layers.0.linear1.weight'));
  });
});

describe('errors', () => {
  test('a decoder without its encoder input, without labels, with too long a source', async () => {
    const engine = await sharedEngine();
    const model = await makeModel(engine);
    const { inputIds, inputMask, decoderInputIds, labels } = makeBatch(model, ['abc']);
    const step = engine.trainStep(model, { loss: model.loss, optimizer: {} });
    const code = async (batch: Record<string, HostTensor>) => {
      const error = await step(batch).then(
        () => undefined,
        (thrown: unknown) => thrown as FerroError,
      );
      return `${error?.code}: ${error?.message}`;
    };
    expect(await code({ decoderInputIds, labels })).toMatch(/^INVALID_OPTION.*a decoder needs its encoder's input "inputIds"/);
    expect(await code({ inputIds, inputMask, labels } as never)).toMatch(/^INVALID_OPTION.*"decoderInputIds"/);
    expect(await code({ inputIds, inputMask, decoderInputIds })).toMatch(/^INVALID_OPTION.*"labels"/);
    const long = makeBatch(model, ['abc'], 11);
    expect(await code(long)).toMatch(/^INVALID_SHAPE.*maxSourceLength 10 positions, got 11/);
    const wrong = makeBatch(model, ['abc']);
    wrong.inputIds.data[0] = 99;
    expect(await code(wrong)).toMatch(/^TOKEN_OUT_OF_RANGE/);
    expect((await step(makeBatch(model, ['abc']))).skipped).toBe(false);
  });

  test('labelSmoothing is refused where no loss has it, and beside a loss of one’s own', async () => {
    const engine = await sharedEngine();
    const gpt = await GPT.create(engine, { nLayer: 1, nHead: 1, nEmbd: 8, blockSize: 8, vocabSize: 9 });
    const model = await makeModel(engine);
    const dataset = makeDataset(model, TRAIN.slice(0, 20));
    expect(() => new Trainer(gpt, { dataset, labelSmoothing: 0.1 })).toThrow(/"labelSmoothing" must be 0 for a model without/);
    expect(() => new Trainer(model, { dataset, labelSmoothing: 0.1, loss: model.loss })).toThrow(
      /"labelSmoothing" must be 0 with a "loss"/,
    );
  });

  test('a batch whose labels are all left out teaches nothing', async () => {
    const engine = await sharedEngine();
    const model = await makeModel(engine);
    const before = await hashParameters(model);
    const batch = makeBatch(model, ['abc']);
    batch.labels.data.fill(-100);
    const { count, skipped } = await engine.trainStep(model, { loss: model.smoothedLoss(0.1), optimizer: {} })(batch);
    expect({ count, skipped }).toEqual({ count: 0, skipped: true });
    expect(await hashParameters(model)).toBe(before);
  });
});
