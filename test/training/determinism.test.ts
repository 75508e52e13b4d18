// The promise of bits: the same parameters for any number of threads, after a resume at any step, with sampling and evaluation in between.
import { readFile } from 'node:fs/promises';
import { CharTokenizer, type Engine, GPT, TextDataset, Trainer, type TrainerOptions } from 'ferroformer';
import { beforeAll, describe, expect, test } from 'vitest';
import { startEngine } from '../support/engine';
import { hashParameters, makeText, openEngine, scratch } from '../support/training';

const TEXT = makeText(20_000);
const TOKENIZER = CharTokenizer.fromText(TEXT);
const STEPS = 50;

const create = (engine: Engine) =>
  GPT.create(engine, { nLayer: 2, nHead: 2, nEmbd: 32, blockSize: 24, dropout: 0.1, tokenizer: TOKENIZER, seed: 5 });
const options = (more: Partial<TrainerOptions> = {}): TrainerOptions => ({
  dataset: TextDataset.fromText(TEXT, TOKENIZER),
  maxSteps: STEPS,
  batchSize: 6,
  gradientAccumulationSteps: 2,
  learningRate: 3e-3,
  evalSteps: 0,
  seed: 9,
  ...more,
});

async function trained(engine: Engine, more: Partial<TrainerOptions> = {}): Promise<string> {
  const model = await create(engine);
  const result = await new Trainer(model, options(more)).train();
  expect(result.step).toBe(STEPS);
  return hashParameters(model);
}

/** The hash of one thread's uninterrupted run, which all others must have. */
let whole = '';
beforeAll(async () => {
  const engine = await startEngine({ threads: 1 });
  whole = await trained(engine);
  await engine.close();
});

describe('the same bits', () => {
  test('for 1, 2, 3 and 4 threads', async () => {
    for (const threads of [1, 2, 3, 4]) expect(await trained(await openEngine({ threads })), `${threads} threads`).toBe(whole);
  });

  test('when activations are computed again instead of kept, on 1 and on 3 threads', async () => {
    for (const threads of [1, 3])
      expect(await trained(await openEngine({ threads }), { gradientCheckpointing: true }), `${threads} threads`).toBe(whole);
  });

  test('with generation, evaluation, saving and reading between the steps', async () => {
    const folder = await scratch();
    const engine = await openEngine();
    const model = await create(engine);
    const trainer = new Trainer(model, options());
    for await (const { step } of trainer.train()) {
      if (step % 10 === 3) await model.generate('the ', { maxNewTokens: 30, seed: step });
      if (step % 10 === 5) await trainer.evaluate();
      if (step === 27) await trainer.save(`${folder}/at-27`);
      if (step === 31) await model.parameters.get('transformer.wte.weight')?.data();
    }
    expect(await hashParameters(model)).toBe(whole);
  });

  test('when the loop is broken off and continued', async () => {
    const engine = await openEngine();
    const model = await create(engine);
    const trainer = new Trainer(model, options());
    for await (const { step } of trainer.train()) if (step === 17) break;
    expect(trainer.step).toBe(17);
    const rest: number[] = [];
    for await (const { step } of trainer.train()) rest.push(step);
    expect(rest[0]).toBe(18);
    expect(await hashParameters(model)).toBe(whole);
  });

  test('when a step failed and was tried again', async () => {
    const model = await create(await openEngine());
    const trainer = new Trainer(model, options());
    const norm = model.parameters.get('transformer.ln_f.weight')!;
    let kept: Float32Array | undefined;
    const failed = (async () => {
      for await (const { step } of trainer.train()) {
        if (step !== 11) continue;
        kept = (await norm.data()) as Float32Array;
        await norm.set(new Float32Array(kept.length).fill(Number.POSITIVE_INFINITY));
      }
    })();
    await expect(failed).rejects.toMatchObject({ code: 'NON_FINITE_LOSS' });
    expect(trainer.step).toBe(11);
    await norm.set(kept!);
    await trainer.train();
    expect(await hashParameters(model)).toBe(whole);
  });

  test('after resuming at any step, in another process as far as the engine can tell', async () => {
    for (const cut of [1, 13, 49]) {
      const outputDir = `${await scratch()}/run`;
      const first = await openEngine();
      const begun = await create(first);
      const trainer = new Trainer(begun, options({ outputDir, saveSteps: cut }));
      for await (const { step } of trainer.train()) if (step === cut) break;
      await trainer.close();
      await first.close();

      const second = await openEngine();
      const resumed = await create(second);
      const again = new Trainer(resumed, options({ outputDir, resume: true, saveSteps: 0 }));
      const rates: number[] = [];
      for await (const { step, learningRate } of again.train()) {
        if (rates.length === 0) expect(step).toBe(cut + 1);
        rates.push(learningRate);
      }
      await again.close();
      expect(rates).toEqual(Array.from({ length: STEPS - cut }, (_, i) => again.settings.schedule.at(cut + 1 + i)));
      expect(await hashParameters(resumed), `cut at ${cut}`).toBe(whole);
    }
  });

  test('when a resumed run begins or ceases to compute activations again', async () => {
    const outputDir = `${await scratch()}/run`;
    for (const [until, gradientCheckpointing] of [
      [10, false],
      [30, true],
      [STEPS, false],
    ] as const) {
      const model = await create(await openEngine());
      const trainer = new Trainer(model, options({ outputDir, resume: until > 10, saveSteps: 10, gradientCheckpointing }));
      for await (const { step } of trainer.train()) if (step === until) break;
      await trainer.close();
      const { intervals } = JSON.parse(await readFile(`${outputDir}/run.json`, 'utf8'));
      expect(intervals.gradient_checkpointing).toBe(gradientCheckpointing);
      if (until === STEPS) expect(await hashParameters(model)).toBe(whole);
    }
  });
});
