// Preference losses: what they learn, what they tell, and what they refuse. Their numbers beside PyTorch are in adapterGoldens.test.ts.
import {
  dpoLoss,
  type HostTensor,
  logSigmoid,
  Module,
  PreferenceDataset,
  type Tensor,
  Trainer,
  Variable,
  withReference,
} from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { create, createTrained, failure, IDS, options, TEXT, TOKENIZER } from '../support/adapters';
import { scratch, sharedEngine } from '../support/training';

describe('preferences', () => {
  /** Pairs: the text goes on as in the corpus, or in capital nonsense of the same length. */
  const pairs = {
    length: 24,
    batch: (indices: readonly number[]) => {
      const rows = (swap: boolean) =>
        indices.flatMap((i) => {
          const ids = Array.from(TOKENIZER.encode(TEXT.slice(i * 20, i * 20 + 16)));
          return swap ? [...ids.slice(0, 8), ...ids.slice(8).reverse()] : ids;
        });
      const tensor = (values: number[]): HostTensor => ({ data: Int32Array.from(values), shape: [indices.length, 16] });
      const labels = (ids: number[]) => ids.map((_, at) => (at % 16 < 7 || at % 16 === 15 ? -100 : ids[at + 1]));
      const [chosen, rejected] = [rows(false), rows(true)];
      return {
        chosenIds: tensor(chosen),
        chosenLabels: tensor(labels(chosen)),
        rejectedIds: tensor(rejected),
        rejectedLabels: tensor(labels(rejected)),
      };
    },
  };

  test('DPO on an adapter, with the base as reference: margins grow, the log has TRL’s names', async () => {
    const model = await create(await sharedEngine());
    await model.addAdapter({ rank: 4, targetModules: 'all-linear' });
    const dataset = await withReference(model, pairs);
    const trainer = new Trainer(
      model,
      options({ dataset, evalDataset: dataset, loss: dpoLoss({ beta: 0.5 }), maxSteps: 60, evalSteps: 30 }),
    );
    const first = await trainer.evaluate();
    expect(first.loss).toBeCloseTo(Math.LN2, 5); // the model is its reference
    expect(first.tokens).toBe(24); // pairs
    expect(first.metrics!['rewards/margins']).toBeCloseTo(0, 5);
    await trainer.train();
    const last = await trainer.evaluate();
    expect(last.loss).toBeLessThan(0.5);
    expect(last.metrics!['rewards/margins']).toBeGreaterThan(0.3);
    expect(last.metrics!['rewards/accuracies']).toBeGreaterThanOrEqual(0.75);
    const entry = trainer.log.at(-1)!;
    for (const name of ['rewards/chosen', 'rewards/rejected', 'rewards/accuracies', 'rewards/margins', 'logps/chosen', 'logps/rejected']) {
      expect(Number.isFinite(entry[name]), name).toBe(true);
      expect(Number.isFinite(entry[`eval_${name}`]), name).toBe(true);
    }
  });

  test('logSigmoid is finite and right far from 0, and has its gradient at 0', async () => {
    const engine = await sharedEngine();
    const points = [-1e30, -1000, -88, -20, -1e-3, 0, 1e-3, 1, 20, 200, 1e30];
    class At extends Module {
      readonly x = new Variable({ name: 'x', shape: [points.length], init: { kind: 'data', data: Float32Array.from(points) } });
      override forward(): Tensor {
        return logSigmoid(this.x);
      }
    }
    const at = await engine.bind(new At());
    const { data } = await engine.read(at.module.forward());
    const exact = points.map((x) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x))));
    for (const [i, y] of exact.entries())
      expect(Math.abs(data[i] - y), `${points[i]}`).toBeLessThanOrEqual(2e-7 * Math.max(1, Math.abs(y)));
    await engine.trainStep(at, { loss: (module) => module.forward(), optimizer: { learningRate: 0 } })({});
    const gradient = (await at.parameters.get('x')!.grad())!;
    for (const [i, x] of points.entries()) expect(Math.abs(gradient[i] - 1 / (1 + Math.exp(x))), `${x}`).toBeLessThanOrEqual(2e-7);
  });

  test('a PreferenceDataset takes the references itself; batches of several lengths', async () => {
    const engine = await sharedEngine();
    const model = await createTrained(engine);
    await model.addAdapter({ rank: 4, targetModules: 'all-linear' });
    const rows = Array.from({ length: 20 }, (_, i) => ({
      prompt: 'the ',
      chosen: ['ship', 'whale', 'old captain'][i % 3],
      rejected: ['sihp', 'wlahe', 'dlo niatpac'][i % 3],
    }));
    const dataset = new PreferenceDataset(rows, { tokenizer: TOKENIZER, blockSize: 16, endOfText: '\n', groupByLength: true });
    expect(await withReference(model, dataset, { batchSize: 6 })).toBe(dataset);
    const { chosen, rejected } = dataset.references!;
    expect(chosen).toHaveLength(20);
    expect(chosen[0]).toBe(chosen[3]); // the same pair in another batch
    expect(chosen.every((value, i) => value > rejected[i])).toBe(true); // the base knows the words already
    const trainer = new Trainer(model, options({ dataset, loss: dpoLoss({ beta: 0.5 }), maxSteps: 30, evalDataset: null }));
    const margins: number[] = [];
    for await (const { metrics } of trainer.train()) margins.push(metrics!['rewards/margins']);
    expect(margins[29]).toBeGreaterThan(margins[0] + 0.3);
  });

  test('a run is not gone on with under another loss', async () => {
    const folder = await scratch();
    const engine = await sharedEngine();
    const run = async (beta: number, more: object) => {
      const model = await create(engine);
      await model.addAdapter({ rank: 2 });
      const dataset = await withReference(model, pairs);
      const trainer = new Trainer(model, options({ dataset, loss: dpoLoss({ beta }), outputDir: folder, ...more }));
      await trainer.train();
      await trainer.close();
    };
    await run(0.5, { maxSteps: 2 });
    const error = await failure(() => run(0.1, { maxSteps: 4, resume: true }));
    expect(error.code).toBe('CHECKPOINT_MISMATCH');
    expect(error.message).toContain('training.loss.beta 0.5 in the run and 0.1 now');
    await run(0.5, { maxSteps: 4, resume: true });
  });

  test('options are checked', async () => {
    expect((await failure(() => dpoLoss({ beta: 0 }))).message).toContain('"beta" must be a positive number');
    expect((await failure(() => dpoLoss({ lossType: 'ipo', labelSmoothing: 0.1 }))).message).toContain('is for lossType sigmoid');
    const model = await create(await sharedEngine());
    const bad = { length: 1, batch: () => ({ inputIds: IDS }) };
    expect((await failure(() => withReference(model, bad))).message).toContain('must have chosenIds and chosenLabels, got inputIds');
    const trainer = new Trainer(model, options({ dataset: pairs, loss: dpoLoss() }));
    expect((await failure(() => trainer.train())).message).toContain(
      '(withReference gives the last two), got none of the name chosenReference',
    );
  });
});
