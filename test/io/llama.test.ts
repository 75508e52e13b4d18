// Llama folders that transformers made (golden/llama.py): the same logits, gradients, steps and greedy ids, with and without the cache; saved, trained on
// and refused like GPT-2's.
import { readFile } from 'node:fs/promises';
import { AdamW, ByteTokenizer, type Engine, GPT, TextDataset, Trainer } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { readTensors, writeTensors } from '../support/safetensors';
import { hashParameters, makeText, measured, openEngine, scratch, sharedEngine } from '../support/training';

const golden = (name: string) => new URL(`../golden/${name}`, import.meta.url);
const worstDifference = (a: ArrayLike<number>, b: ArrayLike<number>) => Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));
const code = (name: string) => expect.objectContaining({ code: name });

interface Golden {
  info: {
    config: Record<string, unknown>;
    batch: number;
    time: number;
    loss: number;
    losses: number[];
    gradNorms: number[];
    greedy: number[];
  };
  tensors: Awaited<ReturnType<typeof readTensors>>;
}

async function read(name: string): Promise<Golden> {
  const info = JSON.parse(await readFile(golden(`llama-${name}.json`), 'utf8'));
  return { info, tensors: await readTensors(golden(`llama-${name}.safetensors`)) };
}

/** The model's folder as Files; changes to config.json and to the tensors' names may be given. */
function folderOf(
  { info, tensors }: Golden,
  options: { config?: object; rename?: (name: string) => string; bfloat16?: boolean } = {},
): File[] {
  const weights = [...tensors].filter(([name]) => name.startsWith('model.') || name.startsWith('lm_head.'));
  const renamed = new Map(
    weights.map(([name, tensor]) => [options.rename?.(name) ?? name, tensor as { data: Float32Array; shape: number[] }]),
  );
  return [
    new File([JSON.stringify({ ...info.config, ...options.config })], 'config.json'),
    new File([writeTensors(renamed, options.bfloat16)], 'model.safetensors'),
  ];
}

function batchOf({ info, tensors }: Golden) {
  const shape = [info.batch, info.time];
  return { inputIds: { data: tensors.get('ids')!.data, shape }, labels: { data: tensors.get('labels')!.data, shape } };
}

async function open(name: string, engine: Engine) {
  const file = await read(name);
  return { ...file, model: await GPT.fromPretrained(engine, folderOf(file)), batch: batchOf(file) };
}

describe.each(['grouped', 'tied', 'llama3', 'linear', 'biases'])('llama-%s of transformers', (name) => {
  test('logits to 2e-5; greedy ids equal, cached and uncached', async () => {
    const { model, tensors, info, batch } = await open(name, await sharedEngine());
    const { data, shape } = await model.bound.forward(batch.inputIds);
    expect(shape).toEqual([info.batch, info.time, 31]);
    expect(measured(`llama-${name} logits`, worstDifference(data, tensors.get('logits')!.data))).toBeLessThanOrEqual(2e-5);
    const prompt = Array.from(tensors.get('ids')!.data.subarray(0, info.time));
    for (const useCache of [true, false]) {
      const { ids } = await model.generate(prompt, { maxNewTokens: info.greedy.length, temperature: 0, useCache });
      expect(ids, `useCache ${useCache}`).toEqual(info.greedy);
    }
  });

  test('every gradient to 1e-6 + 1e-4·|reference|; losses and norms of ten steps to 1e-5', async () => {
    const engine = await sharedEngine();
    const { model, tensors, info, batch } = await open(name, engine);
    const still = engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 0 } });
    const { loss } = await still(batch);
    expect(Math.abs(loss - info.loss)).toBeLessThanOrEqual(1e-5);
    const problems: string[] = [];
    for (const [key, parameter] of model.parameters) {
      const [gradient, expected] = [(await parameter.grad())!, tensors.get(`grad.${key}`)!.data];
      const wrong = Array.from(gradient).findIndex((g, i) => !(Math.abs(g - expected[i]) <= 1e-6 + 1e-4 * Math.abs(expected[i])));
      if (wrong >= 0) problems.push(`${key}[${wrong}]: ${gradient[wrong]} instead of ${expected[wrong]}`);
      if (gradient.every((g) => g === 0)) problems.push(`${key}: all zero`);
    }
    expect(problems).toEqual([]);

    const again = await open(name, engine);
    const optimizer = new AdamW({ learningRate: 1e-3, adamBeta2: 0.99, weightDecay: 0.1 });
    const step = engine.trainStep(again.model, { loss: again.model.loss, optimizer });
    for (let i = 0; i < 10; i++) {
      const { loss, gradNorm } = await step(batch, { learningRate: 1e-3, maxGradNorm: 1 });
      expect(Math.abs(loss - info.losses[i]), `loss ${i}`).toBeLessThanOrEqual(1e-5);
      expect(Math.abs(gradNorm - info.gradNorms[i]), `norm ${i}`).toBeLessThanOrEqual(1e-4 * info.gradNorms[i]);
    }
  });
});

describe('a Llama folder', () => {
  test('in bfloat16 gives the same numbers; tables and a missing prefix do not matter; what is left out is listed', async () => {
    const engine = await sharedEngine();
    const file = await read('tied');
    const plain = await GPT.fromPretrained(engine, folderOf(file));
    const half = await GPT.fromPretrained(engine, folderOf(file, { bfloat16: true }));
    expect(await hashParameters(half)).toBe(await hashParameters(plain));
    const bare = await GPT.fromPretrained(engine, folderOf(file, { rename: (name) => name.replace(/^model\./, '') }));
    expect(await hashParameters(bare)).toBe(await hashParameters(plain));
    const extra = new Map(file.tensors).set('model.layers.0.self_attn.rotary_emb.inv_freq', { data: new Float32Array(4), shape: [4] });
    const withTable = await GPT.fromPretrained(engine, folderOf({ ...file, tensors: extra }));
    expect(withTable.loadReport).toMatchObject({ unexpected: [], tiedHead: true });
    const stranger = new Map(file.tensors).set('model.stranger', { data: new Float32Array(4), shape: [4] });
    expect((await GPT.fromPretrained(engine, folderOf({ ...file, tensors: stranger }))).loadReport?.unexpected).toEqual(['model.stranger']);
  });

  test('comes back whole from save, also as Mistral; rotary tables are not saved', async () => {
    const engine = await sharedEngine();
    for (const name of ['grouped', 'llama3']) {
      const file = await read(name);
      const model = await GPT.fromPretrained(engine, folderOf(file));
      const folder = `${await scratch()}/model`;
      await model.save(folder);
      const loaded = await GPT.fromPretrained(engine, folder);
      expect(await hashParameters(loaded)).toBe(await hashParameters(model));
      expect(loaded.config).toEqual(model.config);
      expect([...loaded.parameters.keys()].filter((key) => key.includes('rotary'))).toEqual([]);
      expect([...loaded.parameters.keys()].sort()).toEqual([...file.tensors.keys()].filter((key) => /^(model|lm_head)\./.test(key)).sort());
    }
    const mistral = { model_type: 'mistral', architectures: ['MistralForCausalLM'], sliding_window: null };
    const file = await read('grouped');
    const model = await GPT.fromPretrained(engine, folderOf(file, { config: mistral }));
    expect(worstDifference((await model.bound.forward(batchOf(file).inputIds)).data, file.tensors.get('logits')!.data)).toBeLessThan(2e-5);
  });

  test.each([
    ['another activation', { hidden_act: 'gelu' }, 'NOT_BUILT'],
    ['another kind of stretched positions', { rope_parameters: { rope_type: 'yarn', factor: 4, rope_theta: 1e4 } }, 'NOT_SUPPORTED'],
    ['a factor that is none', { rope_parameters: { rope_type: 'linear', factor: -1, rope_theta: 1e4 } }, 'INVALID_CHECKPOINT'],
    ['heads that do not divide', { num_key_value_heads: 3 }, 'INVALID_CHECKPOINT'],
    ['no width', { hidden_size: undefined }, 'INVALID_CHECKPOINT'],
    ['a short sliding window', { model_type: 'mistral', sliding_window: 16 }, 'NOT_SUPPORTED'],
    ['another architecture', { model_type: 'qwen2' }, 'NOT_BUILT'],
    ['biases that are not there', { attention_bias: true }, 'INVALID_CHECKPOINT'],
    ['a quantisation', { quantization_config: { bits: 4 } }, 'NOT_BUILT'],
  ])('with %s is refused', async (_, config, error) => {
    const engine = await openEngine();
    const before = (await engine.host.bytes()).live;
    await expect(GPT.fromPretrained(engine, folderOf(await read('grouped'), { config }))).rejects.toThrow(code(error));
    expect((await engine.host.bytes()).live).toBe(before);
  });
});

describe('a new Llama', () => {
  const options = {
    modelType: 'llama',
    nLayer: 2,
    nHead: 4,
    nKvHead: 2,
    nEmbd: 32,
    blockSize: 24,
    tokenizer: new ByteTokenizer(),
    seed: 5,
  } as const;

  test('has its own defaults and refuses options of the other architecture', async () => {
    const engine = await sharedEngine();
    const model = await GPT.create(engine, options);
    expect(model.config).toEqual({
      modelType: 'llama',
      nLayer: 2,
      nHead: 4,
      nKvHead: 2,
      headDim: 8,
      nEmbd: 32,
      nInner: 96,
      blockSize: 24,
      vocabSize: 256,
      dropout: 0,
      rmsNormEps: 1e-5,
      ropeTheta: 10000,
      ropeScaling: null,
      tieWordEmbeddings: true,
      attentionBias: false,
      mlpBias: false,
    });
    const bad = (more: object) => GPT.create(engine, { ...options, ...more } as never);
    await expect(bad({ bias: false })).rejects.toThrow('"bias" is for modelType gpt2');
    await expect(bad({ nKvHead: 3 })).rejects.toThrow('"nHead" must be divisible by nKvHead');
    await expect(bad({ headDim: 7 })).rejects.toThrow('"headDim" must be even');
    await expect(bad({ modelType: 'gpt2' })).rejects.toThrow('"nKvHead" is for modelType llama');
  });

  test('trains with dropout and checkpointed blocks, saves, resumes and goes on from its folder', async () => {
    const engine = await sharedEngine();
    const folder = await scratch();
    const dataset = TextDataset.fromText(makeText(4000), options.tokenizer);
    const settings = { dataset, batchSize: 4, learningRate: 3e-3, lrSchedulerType: 'constant', seed: 1, saveSteps: 20 } as const;
    const train = async (model: GPT, more: object) => {
      const trainer = new Trainer(model, { ...settings, ...more });
      await trainer.train();
      await trainer.close();
    };
    const first = await GPT.create(engine, { ...options, dropout: 0.1 });
    await train(first, { maxSteps: 20, outputDir: `${folder}/run` });
    const resumed = await GPT.create(engine, { ...options, dropout: 0.1 });
    await train(resumed, { maxSteps: 40, outputDir: `${folder}/run`, resume: true });
    const straight = await GPT.create(engine, { ...options, dropout: 0.1 });
    await train(straight, { maxSteps: 40, outputDir: `${folder}/straight`, gradientCheckpointing: true });
    expect(await hashParameters(resumed)).toBe(await hashParameters(straight));
    const again = await GPT.fromPretrained(engine, `${folder}/run`);
    expect(await hashParameters(again)).toBe(await hashParameters(resumed));
    expect(again.tokenizer?.hash).toBe(options.tokenizer.hash);
    expect(again.description).toMatchObject({ model_type: 'llama', nKvHead: 2 });
  });

  test('norms are not decayed, everything else is', async () => {
    const engine = await sharedEngine();
    const model = await GPT.create(engine, options);
    const undecayed = [...model.parameters].filter(([, { variable }]) => !variable.decay).map(([name]) => name);
    expect(undecayed).toEqual([...model.parameters.keys()].filter((name) => name.includes('norm')));
  });

  test('writes the same ids cached and uncached over several contexts', async () => {
    const engine = await sharedEngine();
    const model = await GPT.create(engine, options);
    for (const temperature of [0, 1]) {
      const run = async (useCache: boolean) => (await model.generate('the ', { maxNewTokens: 60, temperature, seed: 2, useCache })).ids;
      expect(await run(true)).toEqual(await run(false));
    }
  });

  test('can be kept in int8 blocks: near the same numbers, saved and read back bit for bit', async () => {
    const engine = await sharedEngine();
    const model = await GPT.create(engine, options);
    const quantized = await model.quantize();
    const ids = { data: Int32Array.from({ length: 48 }, (_, i) => (i * 37) % 256), shape: [2, 24] };
    const [plain, blocks] = [await model.bound.forward(ids), await quantized.bound.forward(ids)];
    const largest = Math.max(...Array.from(plain.data, Math.abs));
    const difference = worstDifference(plain.data, blocks.data);
    expect(difference).toBeGreaterThan(0); // the blocks are really read
    expect(difference).toBeLessThan(0.02 * largest);
    const files = Array.from(await quantized.toFiles(), ([name, blob]) => new File([blob], name));
    const again = await GPT.fromPretrained(engine, files);
    expect((await again.bound.forward(ids)).data).toEqual(blocks.data);
  });
});
