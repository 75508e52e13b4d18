// 256-bit vectors change no bit: one hash of a whole training run with them and without, and a run goes on under the other without a word. What they need is
// there on x64 from Node 24 on; elsewhere the option gives what 'auto' gives, and says why.
import { CharTokenizer, type Engine, type EngineOptions, GPT, TextDataset, Trainer, type TrainerOptions } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { hashParameters, makeText, openEngine, scratch } from '../support/training';

const V8 = process.versions.v8.split('.').map(Number);
const CAN = process.arch === 'x64' && (V8[0] > 13 || (V8[0] === 13 && V8[1] >= 6));
const TEXT = makeText(20_000);
const TOKENIZER = CharTokenizer.fromText(TEXT);

const quiet = { onWarning: () => {} };
const open = (simd: EngineOptions['simd']) => openEngine({ simd, ...quiet });
const create = (engine: Engine) =>
  GPT.create(engine, { nLayer: 2, nHead: 2, nEmbd: 48, blockSize: 40, dropout: 0.1, tokenizer: TOKENIZER, seed: 5 });
const options = (more: Partial<TrainerOptions> = {}): TrainerOptions => ({
  dataset: TextDataset.fromText(TEXT, TOKENIZER),
  maxSteps: 50,
  batchSize: 6,
  gradientAccumulationSteps: 2,
  learningRate: 3e-3,
  evalSteps: 0,
  ...more,
});

async function trained(engine: Engine): Promise<string> {
  const model = await create(engine);
  await new Trainer(model, options()).train();
  return hashParameters(model);
}

function withThem(): void {
  test('give the parameters of 128-bit vectors, bit for bit', async () => {
    const narrow = await open('relaxed');
    expect(narrow.info.vectorBits).toBe(128);
    const hash = await trained(narrow); // before the flag is set, which holds for the whole process
    const wide = await open('auto256');
    expect(wide.info).toMatchObject({ vectorBits: 256, build: 'relaxed', reasons: [], kernelHash: narrow.info.kernelHash });
    expect(await trained(wide)).toBe(hash);
  });

  test('a run goes on with and without them, and no warning is given', async () => {
    const outputDir = `${await scratch()}/run`;
    const warnings: string[] = [];
    const onWarning = ({ code }: { code: string }) => void warnings.push(code);
    for (const [simd, resume, last] of [
      ['auto256', false, 12],
      ['relaxed', true, 31],
      ['auto256', true, 50],
    ] as const) {
      const engine = await open(simd);
      const model = await create(engine);
      const trainer = new Trainer(model, options({ outputDir, resume, saveSteps: 1, onWarning }));
      for await (const { step } of trainer.train()) if (step === last) break;
      await trainer.close();
      if (last === 50) expect(await hashParameters(model)).toBe(await trained(engine));
      await engine.close();
    }
    expect(warnings).toEqual([]);
  });
}

function withoutThem(): void {
  test("'auto256' is 'auto', with the reason", async () => {
    const { info } = await open('auto256');
    expect(info.vectorBits).toBe(128);
    expect(info.reasons).toEqual([expect.stringMatching(/^no 256-bit vectors: /)]);
  });
}

describe('256-bit vectors', CAN ? withThem : withoutThem);
