// A GPT with rotary positions against PyTorch (golden/rotary_gpt.py): logits, gradients, greedy ids with and without the cache; its folder, which says that it is
// this library's; a longer context than it was trained with; trained, resumed, and evaluated by a sliding window.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ByteTokenizer, evaluateLoss, GPT, TextDataset, Trainer } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { readTensors, writeTensors } from '../support/safetensors';
import { hashParameters, makeText, measured, scratch, sharedEngine } from '../support/training';

const golden = (name: string) => new URL(`../golden/${name}`, import.meta.url);
const worstDifference = (a: ArrayLike<number>, b: ArrayLike<number>) => Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));
const code = (name: string) => expect.objectContaining({ code: name });
const size = { nLayer: 2, nHead: 2, nEmbd: 16, blockSize: 16, positionEmbedding: 'rotary' } as const;

async function open(name: string) {
  const info = JSON.parse(await readFile(golden(`rotary-gpt-${name}.json`), 'utf8'));
  const tensors = await readTensors(golden(`rotary-gpt-${name}.safetensors`));
  const weights = new Map([...tensors].filter(([key]) => key.startsWith('transformer.'))) as Map<
    string,
    { data: Float32Array; shape: number[] }
  >;
  const files = [new File([JSON.stringify(info.config)], 'config.json'), new File([writeTensors(weights)], 'model.safetensors')];
  return { info, tensors, files, model: await GPT.fromPretrained(await sharedEngine(), files) };
}

describe.each(['plain', 'linear'])('rotary-gpt-%s of PyTorch', (name) => {
  test('logits to 2e-5, every gradient to 1e-6 + 1e-4·|reference|, greedy ids equal, cached and uncached', async () => {
    const { info, tensors, model } = await open(name);
    const shape = [info.batch, info.time];
    const batch = { inputIds: { data: tensors.get('ids')!.data, shape }, labels: { data: tensors.get('labels')!.data, shape } };
    const { data } = await model.bound.forward(batch.inputIds);
    expect(measured(`rotary-gpt-${name} logits`, worstDifference(data, tensors.get('logits')!.data))).toBeLessThanOrEqual(2e-5);
    const prompt = Array.from(tensors.get('ids')!.data.subarray(0, info.time));
    for (const useCache of [true, false]) {
      const { ids } = await model.generate(prompt, { maxNewTokens: info.greedy.length, temperature: 0, useCache });
      expect(ids, `useCache ${useCache}`).toEqual(info.greedy);
    }
    const step = (await sharedEngine()).trainStep(model, { loss: model.loss, optimizer: { learningRate: 0 } });
    const { loss } = await step(batch);
    expect(Math.abs(loss - info.loss)).toBeLessThanOrEqual(1e-5);
    const problems: string[] = [];
    for (const [key, parameter] of model.parameters) {
      const [gradient, expected] = [(await parameter.grad())!, tensors.get(`grad.${key}`)!.data];
      const wrong = Array.from(gradient).findIndex((g, i) => !(Math.abs(g - expected[i]) <= 1e-6 + 1e-4 * Math.abs(expected[i])));
      if (wrong >= 0) problems.push(`${key}[${wrong}]: ${gradient[wrong]} instead of ${expected[wrong]}`);
    }
    expect(problems).toEqual([]);
  });
});

describe('a folder with rotary positions', () => {
  test("says that it is this library's, and is read again: whole, in shards, in int8 and bf16, with its scaling", async () => {
    const engine = await sharedEngine();
    const tokenizer = new ByteTokenizer();
    const ropeScaling = { kind: 'llama3', factor: 4, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalPositions: 8 } as const;
    const model = await GPT.create(engine, { ...size, tokenizer, ropeTheta: 500, ropeScaling, seed: 3 });
    expect([...model.parameters.keys()].some((name) => name.includes('wpe') || name.includes('rotary'))).toBe(false);
    const folder = await scratch();
    await model.save(join(folder, 'one'));
    const config = JSON.parse(await readFile(join(folder, 'one', 'config.json'), 'utf8'));
    expect(config).toMatchObject({
      model_type: 'ferroformer',
      base_model_type: 'gpt2',
      n_positions: 16,
      ferroformer: { version: 2, position_embedding: 'rotary', rope_theta: 500, rope_scaling: { rope_type: 'llama3', factor: 4 } },
    });
    expect(config).not.toHaveProperty('architectures');
    const back = await GPT.fromPretrained(engine, join(folder, 'one'));
    expect(back.config).toEqual(model.config);
    expect(await hashParameters(back)).toBe(await hashParameters(model));
    await model.save(join(folder, 'shards'), { maxShardSize: '20KB' });
    expect(await hashParameters(await GPT.fromPretrained(engine, join(folder, 'shards')))).toBe(await hashParameters(model));
    for (const quantize of ['int8', 'bf16'] as const) {
      await model.save(join(folder, quantize), { quantize });
      const small = await GPT.fromPretrained(engine, join(folder, quantize));
      expect(small.config).toEqual(model.config);
      const { ids } = await small.generate('abc', { maxNewTokens: 5, temperature: 0 });
      expect(ids).toHaveLength(5);
    }
    await expect(model.toGguf()).rejects.toThrowError(code('NOT_SUPPORTED'));
    const files = new Map(await model.toFiles());
    const asGpt2 = { ...config, model_type: 'gpt2' };
    delete asGpt2.base_model_type;
    const changed = [...files].map(([name, blob]) => new File([name === 'config.json' ? JSON.stringify(asGpt2) : blob], name));
    await expect(GPT.fromPretrained(engine, changed)).rejects.toThrowError(code('NOT_BUILT'));
  });

  test('is opened with a longer context and stretched positions, which a table of positions refuses', async () => {
    const engine = await sharedEngine();
    const { model, files, info, tensors } = await open('plain');
    const longer = await GPT.fromPretrained(engine, files, { blockSize: 256 });
    expect(longer.config).toMatchObject({ blockSize: 256, ropeScaling: null });
    const ids = { data: tensors.get('ids')!.data, shape: [info.batch, info.time] };
    expect((await longer.bound.forward(ids)).data).toEqual((await model.bound.forward(ids)).data);
    const long = { data: Int32Array.from({ length: 200 }, (_, i) => i % 31), shape: [1, 200] };
    expect((await longer.bound.forward(long)).data.every(Number.isFinite)).toBe(true);
    const stretched = await GPT.fromPretrained(engine, files, { blockSize: 256, ropeTheta: 500, ropeScaling: 'linear:4' });
    const linear = await open('linear');
    // Only the angles differ from the other golden model's: the same options as in its folder.
    expect(stretched.config).toMatchObject({ ropeTheta: linear.model.config.ropeTheta, ropeScaling: { kind: 'linear', factor: 4 } });
    expect((await stretched.bound.forward(ids)).data).not.toEqual((await model.bound.forward(ids)).data);
    const folder = await scratch();
    await stretched.save(folder);
    expect((await GPT.fromPretrained(engine, folder)).config).toEqual(stretched.config);

    const llama = await GPT.create(engine, {
      modelType: 'llama',
      nLayer: 1,
      nHead: 2,
      nEmbd: 8,
      blockSize: 8,
      vocabSize: 9,
      ropeScaling: 'linear:2',
    });
    expect(llama.config).toMatchObject({ ropeScaling: { kind: 'linear', factor: 2 } });
    const llamaFiles = [...(await llama.toFiles())].map(([name, blob]) => new File([blob], name));
    expect((await GPT.fromPretrained(engine, llamaFiles, { blockSize: 32 })).config).toMatchObject({
      blockSize: 32,
      ropeScaling: { factor: 2 },
    });

    const learned = await GPT.create(engine, { nLayer: 1, nHead: 2, nEmbd: 8, blockSize: 8, vocabSize: 9 });
    const learnedFiles = [...(await learned.toFiles())].map(([name, blob]) => new File([blob], name));
    await expect(GPT.fromPretrained(engine, learnedFiles, { blockSize: 16 })).rejects.toThrowError(
      'GPT.fromPretrained: "blockSize" can only be given for a model with rotary positions, got 16 for a table of 8',
    );
    await expect(GPT.fromPretrained(engine, learnedFiles, { ropeScaling: 'linear:2' })).rejects.toThrowError(code('INVALID_OPTION'));
    expect((await GPT.fromPretrained(engine, learnedFiles, { blockSize: 8 })).config.blockSize).toBe(8);
  });
});

describe('training and evaluation with rotary positions', () => {
  test('a run that is stopped and resumed has the bits of one that is not, and run.json says the positions', async () => {
    const engine = await sharedEngine();
    const dataset = TextDataset.fromText(makeText(2000), new ByteTokenizer());
    const folder = await scratch();
    await mkdir(folder, { recursive: true });
    const train = async (outputDir: string, maxSteps: number, resume: boolean) => {
      const model = await GPT.create(engine, { ...size, tokenizer: new ByteTokenizer(), ropeScaling: 'linear:2', seed: 5 });
      const options = {
        dataset,
        maxSteps,
        batchSize: 2,
        saveSteps: 3,
        outputDir,
        seed: 5,
        learningRate: 1e-3,
        lrSchedulerType: 'constant',
        resume,
      } as const;
      const trainer = new Trainer(model, options);
      await trainer.train();
      await trainer.close();
      return hashParameters(model);
    };
    const whole = await train(join(folder, 'whole'), 6, false);
    await train(join(folder, 'parts'), 3, false);
    expect(await train(join(folder, 'parts'), 6, true)).toBe(whole);
    const run = JSON.parse(await readFile(join(folder, 'whole', 'run.json'), 'utf8'));
    expect(run.model).toMatchObject({ positionEmbedding: 'rotary', ropeTheta: 10000, ropeScaling: { kind: 'linear', factor: 2 } });
  });

  test('the perplexity of a sliding window is that of each prediction made by itself', async () => {
    const engine = await sharedEngine();
    const model = await GPT.create(engine, { ...size, blockSize: 12, tokenizer: new ByteTokenizer(), seed: 7 });
    for (const parameter of model.parameters.values()) await parameter.set((await parameter.data()).map((x) => x * 6));
    const ids = TextDataset.fromText(makeText(70), new ByteTokenizer()).toIds();
    const dataset = TextDataset.fromTokens(ids, { vocabSize: model.vocabSize });
    const [N, T, V] = [ids.length, 12, model.vocabSize];
    for (const stride of [undefined, 12, 5, 1]) {
      const S = stride ?? T;
      let total = 0;
      for (let n = 1; n < N; n++) {
        const begin = Math.max(0, Math.ceil((n - T) / S)) * S;
        const { data } = await model.bound.forward({ data: ids.slice(begin, n), shape: [1, n - begin] });
        const logits = Array.from(data.subarray((n - begin - 1) * V));
        const most = Math.max(...logits);
        total += most + Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0)) - logits[ids[n]];
      }
      const { loss, perplexity, tokens } = await evaluateLoss(model, dataset, { stride, batchSize: 3 });
      expect(tokens).toBe(N - 1);
      expect(Math.abs(loss - total / (N - 1)), `stride ${stride}`).toBeLessThan(1e-5);
      expect(Math.abs(perplexity / Math.exp(loss) - 1)).toBeLessThan(1e-12);
    }
    await expect(evaluateLoss(model, dataset, { stride: 13 })).rejects.toThrowError(code('INVALID_OPTION'));
  });
});
