// Training on rows of tasks: masked batches contribute nothing, resumed runs are the same bit for bit with batches of several lengths, wrong data is refused.
import { ByteTokenizer, CharTokenizer, type Engine, type ExampleDataset, GPT, type RowInput, SftDataset, SGD, Trainer } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { hashParameters, scratch, sharedEngine } from '../support/training';

const TOKENIZER = CharTokenizer.fromText(' abcdefghijklmnopqrstuvwxyz0123456789\n');
const SHAPE = { nLayer: 1, nHead: 2, nEmbd: 16, blockSize: 32, seed: 3 };
const create = (engine: Engine) => GPT.create(engine, { ...SHAPE, tokenizer: TOKENIZER });

/** Words to be spelled backwards: 200 different ones of different lengths. */
const ROWS: RowInput[] = Array.from({ length: 200 }, (_, i) => {
  const word = Array.from({ length: 2 + (i % 11) }, (_, k) => String.fromCharCode(97 + ((i * 7 + k * k * 3 + k) % 26))).join('');
  return { source: word, target: [...word].reverse().join('') };
});
const OPTIONS = { tokenizer: TOKENIZER, blockSize: 32, endOfText: '\n' };

describe('batches in which all labels are masked', () => {
  const batch = (masked: boolean) => {
    const { inputIds, labels } = new SftDataset(ROWS, OPTIONS).batch([1, 9]);
    return { inputIds, labels: masked ? { data: new Int32Array(labels.data.length).fill(-100), shape: labels.shape } : labels };
  };

  test('beside another they contribute nothing; alone they change nothing', async () => {
    const engine = await sharedEngine();
    const hashes: string[] = [];
    for (const batches of [[batch(false)], [batch(true), batch(false)], [batch(false), batch(true), batch(true)]]) {
      const model = await create(engine);
      const before = await hashParameters(model);
      const step = engine.trainStep(model, { loss: model.loss, optimizer: new SGD({ learningRate: 0.1 }) });
      const nothing = await step([batch(true)]);
      expect(nothing).toMatchObject({ loss: 0, count: 0, skipped: true });
      expect(await hashParameters(model)).toBe(before);
      const { count, skipped } = await step(batches);
      expect([count > 0, skipped]).toEqual([true, false]);
      hashes.push(await hashParameters(model));
      expect(hashes.at(-1)).not.toBe(before);
    }
    expect(new Set(hashes).size).toBe(1);
  });

  test('a Trainer passes over them: the same weights as without', async () => {
    const engine = await sharedEngine();
    const train = async (dataset: ExampleDataset) => {
      const model = await create(engine);
      const settings = {
        maxSteps: 3,
        batchSize: 1,
        gradientAccumulationSteps: 2,
        weightDecay: 0,
        lrSchedulerType: 'constant',
        warmupSteps: 0,
      } as const;
      await using trainer = new Trainer(model, { dataset, evalDataset: null, ...settings });
      const losses: number[] = [];
      for await (const { loss } of trainer.train()) losses.push(loss);
      expect(losses).toHaveLength(3);
      return { losses, hash: await hashParameters(model) };
    };
    const none = await train({ length: 2, batch: () => batch(true) });
    expect(none.losses).toEqual([0, 0, 0]);
    expect(none.hash).toBe(await hashParameters(await create(engine)));
    // One example of two is masked, so that each update sees it beside the other.
    const half = await train({ length: 2, batch: ([index]) => batch(index === 0) });
    expect(half.hash).not.toBe(none.hash);
    const whole = await train({ length: 1, batch: () => batch(false) });
    expect(half.losses[0]).toBe(whole.losses[0]);
  });
});

describe('packed, padded and accumulated', () => {
  const rows = ROWS.slice(0, 24);
  const padded = new SftDataset(rows, OPTIONS);
  const packed = new SftDataset(rows, { ...OPTIONS, packing: true });
  const all = (dataset: SftDataset) => Array.from({ length: dataset.length }, (_, i) => i);

  test.each(['gpt2', 'llama'] as const)(
    '%s: the gradients of the plain full batch, to 2e-6 of the largest in each tensor',
    async (modelType) => {
      const engine = await sharedEngine();
      const model = await GPT.create(engine, { ...SHAPE, nLayer: 2, modelType, tokenizer: TOKENIZER });
      const gradients = async (batches: ReturnType<SftDataset['batch']>[]) => {
        const step = engine.trainStep(model, { loss: model.loss, optimizer: new SGD({ learningRate: 0 }) });
        const { loss, count } = await step(batches);
        const found = new Map<string, Float32Array>();
        for (const [name, parameter] of model.parameters) found.set(name, (await parameter.grad()) as Float32Array);
        return { loss, count, found };
      };
      const plain = await gradients([padded.batch(all(padded))]);
      expect(plain.count).toBe(padded.report.countedTokens);
      expect(packed.length).toBeLessThan(12);
      const ways = {
        packed: [packed.batch(all(packed))],
        'packed, accumulated': all(packed).map((index) => packed.batch([index])),
        'accumulated, each row padded for itself': all(padded).map((index) => padded.batch([index])),
      };
      for (const [way, batches] of Object.entries(ways)) {
        const { loss, count, found } = await gradients(batches);
        expect(count, way).toBe(plain.count);
        expect(Math.abs(loss / plain.loss - 1), way).toBeLessThan(1e-6);
        for (const [name, want] of plain.found) {
          const got = found.get(name)!;
          const most = want.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
          const worst = want.reduce((largest, value, i) => Math.max(largest, Math.abs(value - got[i])), 0);
          expect(worst, `${way}: ${name}`).toBeLessThanOrEqual(2e-6 * most);
        }
      }
    },
  );

  test('a row’s loss does not change by one bit when its neighbours in the sequence do', async () => {
    const engine = await sharedEngine();
    const model = await create(engine);
    const lossOf = async (others: RowInput[]) => {
      const long = { source: 'abcdefgh', target: 'hgfedcba' }; // the longest: it stands first in its sequence
      const dataset = new SftDataset([long, ...others], { ...OPTIONS, packing: true });
      const { inputIds, labels, starts, positions } = dataset.batch([0]);
      // Only the first document counts.
      const own = { data: labels.data.map((label, t) => (starts.data[t] === 0 ? label : -100)) as Int32Array, shape: labels.shape };
      const step = engine.trainStep(model, { loss: model.loss, optimizer: new SGD({ learningRate: 0 }) });
      return { dataset, loss: (await step([{ inputIds, labels: own, starts, positions }])).loss };
    };
    const one = await lossOf([{ source: 'xyz', target: 'zyx' }]);
    const other = await lossOf([{ source: 'pq', target: 'qppp' }]);
    expect([one.dataset.length, other.dataset.length]).toEqual([1, 1]);
    expect(other.loss).toBe(one.loss);
  });
});

describe('Trainer on SftDataset', () => {
  const settings = { maxSteps: 8, batchSize: 6, evalDataset: null, saveSteps: 4, learningRate: 3e-3, onWarning: () => undefined };

  test.each([{ groupByLength: true }, { groupByLength: false }])(
    'a run resumed in the middle of an epoch ends with the same bits: %o',
    async (extra) => {
      const engine = await sharedEngine();
      const dataset = new SftDataset(ROWS, { ...OPTIONS, ...extra });
      const shapes = new Set(Array.from({ length: 40 }, (_, i) => dataset.batch([i]).inputIds.shape[1]));
      expect(shapes.size).toBeGreaterThan(2);
      const whole = await create(engine);
      await using once = new Trainer(whole, { dataset, ...settings });
      await once.train();
      const outputDir = await scratch();
      const first = await create(engine);
      await using stopped = new Trainer(first, { dataset, ...settings, outputDir });
      for await (const { step } of stopped.train()) if (step === 5) break;
      await stopped.close();
      const second = await create(engine);
      await using resumed = new Trainer(second, {
        dataset: new SftDataset(ROWS, { ...OPTIONS, ...extra }),
        ...settings,
        outputDir,
        resume: true,
      });
      await resumed.train();
      expect(resumed.step).toBe(8);
      expect(await hashParameters(second)).toBe(await hashParameters(whole));
    },
  );

  test('other rows or settings are refused when a run is resumed', async () => {
    const engine = await sharedEngine();
    const outputDir = await scratch();
    const model = await create(engine);
    await using trainer = new Trainer(model, { dataset: new SftDataset(ROWS, OPTIONS), ...settings, maxSteps: 4, outputDir });
    await trainer.train();
    await trainer.close();
    for (const dataset of [new SftDataset(ROWS.slice(1), OPTIONS), new SftDataset(ROWS, { ...OPTIONS, groupByLength: true })]) {
      await using other = new Trainer(model, { dataset, ...settings, outputDir, resume: true });
      await expect(other.train()).rejects.toMatchObject({ code: 'CHECKPOINT_MISMATCH' });
    }
  });

  test('the evaluation loss is that of all learned tokens, whatever the batches and their padding', async () => {
    const engine = await sharedEngine();
    const model = await create(engine);
    const dataset = new SftDataset(ROWS, OPTIONS);
    const losses: number[] = [];
    for (const batchSize of [1, 7, 200]) {
      await using trainer = new Trainer(model, { dataset, evalDataset: dataset, batchSize, maxSteps: 1 });
      const { loss, tokens } = await trainer.evaluate();
      expect(tokens).toBe(dataset.report.countedTokens);
      losses.push(loss);
    }
    for (const loss of losses) expect(Math.abs(loss / losses[0] - 1)).toBeLessThan(1e-6);
  });

  test('rows encoded with another tokenizer are refused', async () => {
    const engine = await sharedEngine();
    const model = await create(engine);
    const other = new SftDataset(ROWS, { ...OPTIONS, tokenizer: new ByteTokenizer() });
    expect(() => new Trainer(model, { dataset: other, maxSteps: 1 })).toThrowError(
      expect.objectContaining({ code: 'VOCABULARY_MISMATCH' }),
    );
    const beyond = new SftDataset(ROWS, { ...OPTIONS, endOfText: 300 });
    expect(() => new Trainer(model, { dataset: beyond, maxSteps: 1 })).toThrowError(
      expect.objectContaining({ code: 'VOCABULARY_MISMATCH', message: expect.stringContaining('got a data set with 301') }),
    );
  });
});
