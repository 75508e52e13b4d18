// Models with weights in bf16: that they compute as the f32 numbers they stand for, bit for bit, how they are saved and read back, and what they refuse.
import { readFile } from 'node:fs/promises';
import { CharTokenizer, type Engine, FerroError, GPT, TextDataset, Trainer } from 'ferroformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEngine } from '../support/engine';
import { hashParameters, makeText, measured, scratch } from '../support/training';

const TEXT = makeText(30_000);
const TOKENIZER = CharTokenizer.fromText(TEXT);
const BLOCK = 32;

let engine: Engine;
let model: GPT;
let halves: GPT;
/** The same numbers as `halves`, in f32. */
let plain: GPT;

beforeAll(async () => {
  engine = await startEngine();
  model = await GPT.create(engine, { nLayer: 2, nHead: 4, nEmbd: 36, blockSize: BLOCK, tokenizer: TOKENIZER, seed: 5 });
  const dataset = TextDataset.fromText(TEXT, TOKENIZER);
  await new Trainer(model, { dataset, maxSteps: 100, batchSize: 12, learningRate: 1e-2, evalSteps: 100 }).train();
  halves = await model.quantize('bf16');
  plain = await GPT.fromPretrained(engine, await filesOf(halves));
}, 120_000);
afterAll(() => engine.close());

const filesOf = async (of: GPT) => Array.from(await of.toFiles(), ([name, blob]) => new File([blob], name));

const failure = async (work: () => unknown): Promise<FerroError> => {
  try {
    await work();
  } catch (error) {
    expect(error).toBeInstanceOf(FerroError);
    return error as FerroError;
  }
  throw new Error('nothing was thrown');
};

const ids = Int32Array.from(TOKENIZER.encode(TEXT).slice(0, 64 * BLOCK + 1));

/** Mean loss in nats over 64 windows of the text. */
async function lossOf(of: GPT): Promise<number> {
  const shape = [64, BLOCK];
  const results = await of.bound.evaluate('loss', ({ inputIds, labels }) => ({ sum: of.bound.module.loss(inputIds, labels).sum }), {
    inputIds: { data: ids.slice(0, -1), shape },
    labels: { data: ids.slice(1), shape },
  });
  return (results.sum.data as Float32Array).reduce((total, loss) => total + loss, 0) / (ids.length - 1);
}

/** The tensors of a safetensors file by name. */
function headerOf(file: Buffer): Record<string, { dtype: string; shape: number[] }> {
  return JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE(0))).toString());
}

describe('a model in bf16', () => {
  test('has the bits of the f32 model with the same numbers: losses, logits of few and many rows, generated ids', async () => {
    expect([halves.quantized, plain.quantized]).toEqual(['bf16', null]);
    const loss = await lossOf(halves);
    expect(loss).toBe(await lossOf(plain));
    const lost = Math.abs(Math.expm1(loss - (await lossOf(model))));
    measured('perplexity lost to bf16 weights, relative', lost);
    expect(lost).toBeLessThan(1e-3);
    for (const count of [1, 5]) {
      const input = [{ data: ids.slice(0, count * BLOCK), shape: [count, BLOCK] }] as const;
      expect((await halves.bound.forward(input)).data).toEqual((await plain.bound.forward(input)).data);
    }
    for (const prompt of ['t', 'the whale ', 'the old captain said there upon the sea of a white ship ']) {
      const options = { maxNewTokens: 50, seed: 9 };
      const { ids: written } = await halves.generate(prompt, options);
      expect(written).toEqual((await plain.generate(prompt, options)).ids);
      expect(written).toEqual((await halves.generate(prompt, { ...options, useCache: false })).ids);
    }
    const several = ['the ', 'a white ', 'sea'];
    const { sequences } = await halves.generate(several, { maxNewTokens: 20, seed: 3 });
    expect(sequences.map((one) => one.ids)).toEqual(
      (await plain.generate(several, { maxNewTokens: 20, seed: 3 })).sequences.map((one) => one.ids),
    );
  });

  test('takes two bytes for each weight', async () => {
    const before = (await engine.host.bytes()).regions;
    const other = await model.quantize('bf16');
    const bytes = (await engine.host.bytes()).regions - before;
    const expected = [...other.parameters.values()].reduce(
      (sum, { size, variable }) => sum + (variable.dtype === 'bf16' ? Math.ceil(size / 2) * 4 : 4 * size),
      0,
    );
    expect(bytes).toBe(expected);
    const f32 = [...model.parameters.values()].reduce((sum, { size }) => sum + 4 * size, 0);
    expect(bytes).toBeLessThan(f32 * 0.6);
    await other.close();
    expect((await engine.host.bytes()).regions).toBe(before);
  });

  test('is saved in the ordinary layout with BF16 tensors, and comes back bit for bit', async () => {
    const [first, second, third] = await Promise.all(['a', 'b', 'c'].map(async (name) => `${await scratch()}/${name}`));
    await halves.save(first);
    await model.save(second, { quantize: 'bf16' });
    for (const file of ['config.json', 'model.safetensors'])
      expect(await readFile(`${first}/${file}`)).toEqual(await readFile(`${second}/${file}`));
    const header = headerOf(await readFile(`${first}/model.safetensors`));
    expect(header['transformer.h.1.mlp.c_fc.weight']).toMatchObject({ dtype: 'BF16', shape: [36, 144] });
    expect(header['transformer.wte.weight'].dtype).toBe('BF16');
    for (const name of ['transformer.ln_f.weight', 'transformer.h.0.mlp.c_fc.bias', 'transformer.wpe.weight'])
      expect(header[name].dtype).toBe('F32');
    expect(JSON.parse(await readFile(`${first}/config.json`, 'utf8')).model_type).toBe('gpt2');
    const loaded = await GPT.fromPretrained(engine, first, { quantize: 'bf16' });
    expect(await hashParameters(loaded)).toBe(await hashParameters(halves));
    await loaded.save(third);
    expect(await readFile(`${third}/model.safetensors`)).toEqual(await readFile(`${first}/model.safetensors`));
    await loaded.close();
    // From a folder in f32: rounded while it is read.
    await model.save(third);
    const rounded = await GPT.fromPretrained(engine, third, { quantize: 'bf16' });
    expect(await hashParameters(rounded)).toBe(await hashParameters(halves));
    await rounded.close();
    // From int8 blocks: the numbers they stand for, rounded.
    const int8 = await model.quantize('int8');
    const both = await GPT.fromPretrained(engine, await filesOf(int8), { quantize: 'bf16' });
    expect(both.quantized).toBe('bf16');
    expect((await failure(() => int8.save(third, { quantize: 'bf16' }))).code).toBe('INVALID_OPTION');
    for (const one of [int8, both]) await one.close();
  });

  test('reads as f32, is set by rounding to the nearest even, also in part, and cannot be trained or rounded again', async () => {
    const other = await model.quantize('bf16');
    const table = other.parameters.get('transformer.wte.weight')!;
    // 1 + 2^-8 is a tie and goes to the even 1; one step of f32 above it goes up.
    await table.set(Float32Array.of(1 + 2 ** -8, 1 + 2 ** -8 + 2 ** -23, 1 + 3 * 2 ** -8, -3.4e38, Number.NaN), { start: 3 });
    expect([...(await table.data({ start: 3, end: 8 }))]).toEqual([1, 1 + 2 ** -7, 1 + 2 ** -6, Number.NEGATIVE_INFINITY, Number.NaN]);
    const before = (await halves.parameters.get('transformer.wte.weight')!.data()) as Float32Array;
    expect(await table.data({ start: 0, end: 3 })).toEqual(before.slice(0, 3));
    expect(await table.data({ start: 8, end: 11 })).toEqual(before.slice(8, 11));
    const step = await failure(() => engine.trainStep(other, { loss: other.loss }));
    expect([step.code, step.message]).toEqual([
      'QUANTIZED_MODEL',
      'trainStep: the weights must be f32, got "transformer.wte.weight" in bf16',
    ]);
    const trainable = await failure(() => {
      table.trainable = true;
    });
    expect(trainable.code).toBe('QUANTIZED_MODEL');
    expect((await failure(() => other.quantize('int8'))).code).toBe('QUANTIZED_MODEL');
    await other.close();
  });

  test('a Llama keeps its norms in f32 and computes alike', async () => {
    const shape = { modelType: 'llama', nLayer: 2, nHead: 4, nKvHead: 2, nEmbd: 48, blockSize: 40, tokenizer: TOKENIZER, seed: 6 } as const;
    const llama = await GPT.create(engine, shape);
    const small = await llama.quantize('bf16');
    const same = await GPT.fromPretrained(engine, await filesOf(small));
    const kept = [...small.parameters].filter(([, { variable }]) => variable.dtype === 'f32').map(([name]) => name);
    expect(kept).toHaveLength(5);
    expect(kept.every((name) => name.includes('norm'))).toBe(true);
    const options = { maxNewTokens: 30, seed: 1 };
    expect((await small.generate('the sea ', options)).ids).toEqual((await same.generate('the sea ', options)).ids);
    for (const one of [llama, small, same]) await one.close();
  });
});
