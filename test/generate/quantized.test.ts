// Models with weights in int8 blocks: what they lose, that they are saved and read back bit for bit, and what they refuse.
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
let quantized: GPT;

beforeAll(async () => {
  engine = await startEngine();
  model = await GPT.create(engine, { nLayer: 2, nHead: 4, nEmbd: 72, blockSize: BLOCK, tokenizer: TOKENIZER, seed: 5 });
  const dataset = TextDataset.fromText(TEXT, TOKENIZER);
  await new Trainer(model, { dataset, maxSteps: 150, batchSize: 12, learningRate: 1e-2, evalSteps: 150 }).train();
  quantized = await model.quantize();
}, 120_000);
afterAll(() => engine.close());

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

describe('a quantised model', () => {
  test('loses less than 0.1 % of its perplexity, and predicts like the weights that its blocks stand for', async () => {
    const [plain, blocks] = [await lossOf(model), await lossOf(quantized)];
    expect(plain).toBeLessThan(1.6); // it has learnt something: a uniform guess costs 3
    const lost = Math.expm1(blocks - plain);
    measured('perplexity lost to int8 blocks, relative', lost);
    expect(Math.abs(lost)).toBeLessThan(1e-3);
    // The same weights in f32: all that remains is the rounding of activations to 16 bits.
    const files = Array.from(await quantized.toFiles(), ([name, blob]) => new File([blob], name));
    const restored = await model.quantize();
    expect(await lossOf(restored)).toBe(blocks);
    await restored.close();
    const again = await GPT.fromPretrained(engine, files);
    expect(again.quantized).toBe('int8');
    expect(await lossOf(again)).toBe(blocks);
    await again.close();
  });

  test('takes 1.125 bytes for each weight, rows padded to 8 and columns to 32', async () => {
    const before = (await engine.host.bytes()).regions;
    const other = await model.quantize();
    const bytes = (await engine.host.bytes()).regions - before;
    const cells = ([rows, columns]: readonly number[]) => Math.ceil(rows / 8) * Math.ceil(columns / 32) * 288;
    const expected = [...other.parameters.values()].reduce(
      (sum, { size, shape, variable }) => sum + (variable.dtype === 'q8' ? cells(shape) : 4 * size),
      0,
    );
    expect(bytes).toBe(expected);
    const plain = [...model.parameters.values()].reduce((sum, { size }) => sum + 4 * size, 0);
    expect(bytes).toBeLessThan(plain * 0.4); // 72 columns take the room of 96 here
    await other.close();
    expect((await engine.host.bytes()).regions).toBe(before);
  });

  test('generates the same with and without the cache, awaited and in pieces', async () => {
    for (const prompt of ['t', 'the whale ', 'the old captain said there upon the sea of a white ship ']) {
      const options = { maxNewTokens: 50, seed: 9 };
      const cached = await quantized.generate(prompt, options);
      expect(cached.ids).toEqual((await quantized.generate(prompt, { ...options, useCache: false })).ids);
      let text = '';
      for await (const piece of quantized.generate(prompt, options)) text += piece.text;
      expect(text).toBe(cached.text);
    }
  });

  test('has the logits of its cache bit for bit: rows alone and together', async () => {
    const logits = async (rows: Int32Array, count: number) =>
      (await quantized.bound.forward([{ data: rows, shape: [count, BLOCK] }])).data as Float32Array;
    const together = await logits(ids.slice(0, 5 * BLOCK), 5);
    for (let row = 0; row < 5; row++) {
      const alone = await logits(ids.slice(row * BLOCK, (row + 1) * BLOCK), 1);
      expect(alone).toEqual(together.slice(row * alone.length, (row + 1) * alone.length));
    }
  });

  test('is saved and comes back bit for bit; saving with quantize gives the same folder', async () => {
    const [first, second] = [`${await scratch()}/a`, `${await scratch()}/b`];
    await quantized.save(first);
    await model.save(second, { quantize: 'int8' });
    for (const file of ['config.json', 'model.safetensors', 'tokenizer.json'])
      expect(await readFile(`${first}/${file}`)).toEqual(await readFile(`${second}/${file}`));
    const loaded = await GPT.fromPretrained(engine, first);
    expect(loaded.quantized).toBe('int8');
    expect(await hashParameters(loaded)).toBe(await hashParameters(quantized));
    const options = { maxNewTokens: 40, seed: 2 };
    expect((await loaded.generate('the ', options)).ids).toEqual((await quantized.generate('the ', options)).ids);
    await loaded.save(second); // over the other: again the same
    expect(await readFile(`${first}/model.safetensors`)).toEqual(await readFile(`${second}/model.safetensors`));
    await loaded.close();
    const config = JSON.parse(await readFile(`${first}/config.json`, 'utf8'));
    expect(config).toMatchObject({
      model_type: 'ferroformer',
      base_model_type: 'gpt2',
      n_embd: 72,
      quantization_config: { quant_method: 'ferroformer-int8', version: 1, bits: 8, block_size: 32, symmetric: true },
    });
  });

  test('is rounded while it is loaded: the same as rounding what is there', async () => {
    const folder = `${await scratch()}/plain`;
    await model.save(folder);
    const loaded = await GPT.fromPretrained(engine, folder, { quantize: 'int8' });
    expect(await hashParameters(loaded)).toBe(await hashParameters(quantized));
    await loaded.close();
  });

  test('cannot be trained, set or quantised again; reads give the numbers it stands for', async () => {
    const dataset = TextDataset.fromText(TEXT, TOKENIZER);
    const trainer = await failure(() => new Trainer(quantized, { dataset, maxSteps: 1 }).train());
    expect([trainer.code, trainer.message]).toEqual([
      'QUANTIZED_MODEL',
      'trainStep: the weights must be f32, got "transformer.wte.weight" in int8 blocks',
    ]);
    expect((await failure(() => engine.trainStep(quantized, { loss: quantized.loss }))).code).toBe('QUANTIZED_MODEL');
    expect((await failure(() => quantized.quantize())).code).toBe('QUANTIZED_MODEL');
    const table = quantized.parameters.get('transformer.wte.weight')!;
    expect((await failure(() => table.set(new Float32Array(table.size)))).code).toBe('QUANTIZED_MODEL');
    const plain = (await model.parameters.get('transformer.wte.weight')!.data()) as Float32Array;
    const rounded = await table.data();
    const largest = plain.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    for (let i = 0; i < plain.length; i++) expect(Math.abs(plain[i] - rounded[i])).toBeLessThanOrEqual((largest / 127) * 0.501);
  });

  test('weights that are not finite are refused before any use', async () => {
    const bad = await GPT.create(engine, { nLayer: 1, nHead: 1, nEmbd: 8, blockSize: 8, tokenizer: TOKENIZER });
    const weight = bad.parameters.get('transformer.h.0.mlp.c_fc.weight')!;
    const data = (await weight.data()) as Float32Array;
    data[37] = Number.NaN;
    await weight.set(data);
    const before = await engine.host.bytes();
    const { code, message } = await failure(() => bad.quantize());
    expect(code).toBe('NON_FINITE_WEIGHTS');
    expect(message).toContain('"transformer.h.0.mlp.c_fc.weight" must be finite, got NaN');
    expect((await engine.host.bytes()).regions).toBe(before.regions);
    await bad.close();
  });
});

describe('a quantised Llama', () => {
  test('keeps its norms in f32, generates alike with and without the cache, and comes back bit for bit', async () => {
    const shape = { modelType: 'llama', nLayer: 2, nHead: 4, nKvHead: 2, nEmbd: 48, blockSize: 40, tokenizer: TOKENIZER, seed: 6 } as const;
    const plain = await GPT.create(engine, shape);
    const blocks = await plain.quantize();
    const kept = [...blocks.parameters].filter(([, { variable }]) => variable.dtype !== 'q8').map(([name]) => name);
    expect(kept.every((name) => name.includes('norm'))).toBe(true);
    expect(kept).toHaveLength(5);
    const options = { maxNewTokens: 40, seed: 1 };
    const { ids: written } = await blocks.generate('the sea ', options);
    expect((await blocks.generate('the sea ', { ...options, useCache: false })).ids).toEqual(written);
    expect(Math.abs((await lossOf(blocks)) - (await lossOf(plain)))).toBeLessThan(1e-3);
    const loaded = await GPT.fromPretrained(
      engine,
      Array.from(await blocks.toFiles(), ([name, blob]) => new File([blob], name)),
    );
    expect(await hashParameters(loaded)).toBe(await hashParameters(blocks));
    expect((await loaded.generate('the sea ', options)).ids).toEqual(written);
    for (const model of [plain, blocks, loaded]) await model.close();
  });
});

describe('a quantised folder that is wrong', () => {
  const damage = async (change: (config: Record<string, unknown>, weights: Buffer) => void): Promise<FerroError> => {
    const files = await quantized.toFiles();
    const config = JSON.parse(await files.get('config.json')!.text());
    const weights = Buffer.from(await files.get('model.safetensors')!.arrayBuffer());
    change(config, weights);
    const changed = [new File([JSON.stringify(config)], 'config.json'), new File([weights], 'model.safetensors')];
    return failure(() => GPT.fromPretrained(engine, changed));
  };

  test('says what is wrong', async () => {
    const version = await damage((config) => void Object.assign(config.quantization_config as object, { version: 2 }));
    expect([version.code, version.message]).toEqual([
      'NOT_BUILT',
      expect.stringContaining('"quantization_config.version" can only be 1, got 2'),
    ]);
    expect((await damage((config) => void Object.assign(config, { base_model_type: 'bert' }))).code).toBe('NOT_BUILT');
    expect((await damage((config) => void Object.assign(config, { base_model_type: 7 }))).code).toBe('INVALID_CHECKPOINT');
    const dropped = await damage((config) => void Object.assign(config, { n_layer: 3 }));
    expect([dropped.code, dropped.message]).toEqual([
      'INVALID_CHECKPOINT',
      expect.stringContaining('missing transformer.h.2.attn.c_attn.weight_scale'),
    ]);
    // A plain configuration over int8 weights.
    const plain = await damage((config) => {
      config.model_type = 'gpt2';
      delete config.quantization_config;
    });
    expect(plain.code).toBe('INVALID_CHECKPOINT');
  });

  test('a scale that is negative or NaN is refused', async () => {
    for (const value of [Number.NaN, -1, Number.POSITIVE_INFINITY]) {
      const error = await damage((_config, weights) => {
        const length = Number(weights.readBigUInt64LE(0));
        const header = JSON.parse(weights.subarray(8, 8 + length).toString());
        weights.writeFloatLE(value, 8 + length + header['transformer.wte.weight_scale'].data_offsets[0] + 4);
      });
      expect([error.code, error.message]).toEqual([
        'INVALID_CHECKPOINT',
        expect.stringContaining(`got ${value} in transformer.wte.weight_scale`),
      ]);
    }
  });
});
