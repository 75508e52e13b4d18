// Adapters and preference losses beside PEFT and PyTorch: logits, loss, every gradient, ten training steps (golden/lora.py, golden/dpo.py). The adapter goes through its
// folder: what PEFT names its tensors is what is read here.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AdamW, dpoLoss, type Engine, GPT, withReference } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { readTensors, writeTensors } from '../support/safetensors';
import { measured, sharedEngine } from '../support/training';

const golden = (name: string) => new URL(`../golden/${name}`, import.meta.url);
const json = async (name: string) => JSON.parse(await readFile(golden(name), 'utf8'));
type Tensors = Awaited<ReturnType<typeof readTensors>>;

const worst = (a: ArrayLike<number>, b: ArrayLike<number>) => Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));
const largest = (a: ArrayLike<number>) => Math.max(...Array.from(a, Math.abs));

/** Tensors whose names begin with `prefix`, without it. */
function group(tensors: Tensors, prefix: string): Tensors {
  return new Map([...tensors].filter(([name]) => name.startsWith(prefix)).map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}

async function setWeights(model: GPT, tensors: Tensors, prefix: string): Promise<void> {
  const weights = group(tensors, prefix);
  for (const [name, parameter] of model.parameters) await parameter.set(weights.get(name)!.data as Float32Array);
}

/** What is wrong with gradients by name: further than 1e-5 of a tensor's largest element, or all zero. Gives the largest share too. */
async function compareGradients(parameters: GPT['parameters'], nameOf: (name: string) => string, expected: Tensors) {
  const problems: string[] = [];
  let share = 0;
  for (const [name, parameter] of parameters) {
    const [gradient, wanted] = [await parameter.grad(), expected.get(nameOf(name))?.data];
    if (gradient === null || wanted === undefined) {
      problems.push(`${name}: ${gradient === null ? 'no gradient here' : 'none in the golden file'}`);
      continue;
    }
    const off = worst(gradient, wanted) / largest(wanted);
    if (!(off <= 1e-5)) problems.push(`${name}: ${off} of its largest element`);
    share = Math.max(share, off);
  }
  return { problems, share, compared: parameters.size };
}

describe.each(['lora-gpt2', 'lora-llama'])('%s equals PEFT', (name) => {
  const load = async (engine: Engine) => {
    const [info, tensors] = [await json(`${name}.json`), await readTensors(golden(`${name}.safetensors`))];
    const { nLayer, nHead, nEmbd, blockSize, vocabSize } = info;
    const sizes = { nLayer, nHead, nEmbd, blockSize, vocabSize };
    const llama = { modelType: 'llama', nKvHead: 1, nInner: 24, rmsNormEps: 1e-6, ...sizes } as const;
    const model = await GPT.create(engine, name === 'lora-llama' ? llama : sizes);
    await setWeights(model, tensors, 'base.');
    const config = {
      peft_type: 'LORA',
      r: info.rank,
      lora_alpha: info.alpha,
      use_rslora: info.useRslora,
      target_modules: info.targetModules,
    };
    const weights = group(tensors, 'adapter.') as Map<string, { data: Float32Array; shape: number[] }>;
    const files = [
      new File([JSON.stringify(config)], 'adapter_config.json'),
      new File([writeTensors(weights)], 'adapter_model.safetensors'),
    ];
    const adapter = await model.loadAdapter(files);
    const shape = [info.batch, blockSize];
    const batch = { inputIds: { data: tensors.get('ids')!.data, shape }, labels: { data: tensors.get('labels')!.data, shape } };
    return { info, tensors, model, adapter, batch };
  };
  const nameOf = (key: string) => `base_model.model.${key.replace('.default', '')}`;

  test('logits to 2e-5, which the base alone does not give', async () => {
    const { model, tensors, batch, adapter } = await load(await sharedEngine());
    expect(adapter.parts.targetModules.length).toBeGreaterThan(0);
    const expected = tensors.get('logits')!.data;
    const { data } = await model.bound.forward(batch.inputIds);
    expect(measured(`${name} logits`, worst(data, expected))).toBeLessThanOrEqual(2e-5);
    model.setAdapter(null);
    expect(worst((await model.bound.forward(batch.inputIds)).data, expected)).toBeGreaterThan(0.1);
  });

  test('gradients of every A and B to 1e-5 of the largest element, none of the base', async () => {
    const engine = await sharedEngine();
    const { model, tensors, batch, info, adapter } = await load(engine);
    const { loss } = await engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 0 } })(batch);
    expect(Math.abs(loss - info.loss)).toBeLessThanOrEqual(1e-5);
    const expected = group(tensors, 'grad.');
    const { problems, share, compared } = await compareGradients(adapter.parameters, nameOf, expected);
    measured(`${name} gradients, share of the largest`, share);
    expect(problems).toEqual([]);
    expect(compared).toBe(expected.size);
    for (const [key, parameter] of model.parameters) expect(await parameter.grad(), key).toBeNull();
  });

  test('ten losses of AdamW to 1e-5, and the adapter after them', async () => {
    const engine = await sharedEngine();
    const { model, tensors, batch, info, adapter } = await load(engine);
    const optimizer = new AdamW({ learningRate: 1e-2, adamBeta2: 0.99, weightDecay: 0 });
    const step = engine.trainStep(model, { loss: model.loss, optimizer });
    let off = 0;
    for (let t = 0; t < 10; t++) off = Math.max(off, Math.abs((await step(batch)).loss - info.losses[t]));
    expect(measured(`${name} losses of ten steps`, off)).toBeLessThanOrEqual(1e-5);
    expect(info.losses[9]).toBeLessThan(info.losses[0] - 0.1);
    const after = group(tensors, 'after.');
    for (const [key, parameter] of adapter.parameters)
      expect(worst(await parameter.data(), after.get(nameOf(key))!.data), key).toBeLessThanOrEqual(2e-4);
    const base = group(tensors, 'base.');
    for (const [key, parameter] of model.parameters) expect(await parameter.data(), key).toEqual(base.get(key)!.data);
  });
});

describe('dpoLoss equals PyTorch', async () => {
  const info = await json('dpo.json');
  const load = async (engine: Engine) => {
    const tensors = await readTensors(golden('dpo.safetensors'));
    const { nLayer, nHead, nEmbd, blockSize, vocabSize } = info;
    const model = await GPT.create(engine, { nLayer, nHead, nEmbd, blockSize, vocabSize });
    await setWeights(model, tensors, 'base.');
    const names = ['chosenIds', 'chosenLabels', 'chosenReference', 'rejectedIds', 'rejectedLabels', 'rejectedReference'];
    const batch = Object.fromEntries(names.map((key) => [key, { data: tensors.get(key)!.data, shape: tensors.get(key)!.shape }]));
    return { tensors, model, batch };
  };

  test.each(Object.keys(info.kinds))('%s: gradients to 1e-5 of the largest, what is told, ten losses to 1e-5', async (kind) => {
    const engine = await sharedEngine();
    const { tensors, model, batch } = await load(engine);
    const expected = info.kinds[kind];
    const probe = engine.trainStep(model, { loss: dpoLoss(expected.options), optimizer: { learningRate: 0 } });
    const { loss, metrics, count } = await probe(batch);
    expect(count).toBe(info.batch);
    expect(Math.abs(loss - expected.loss)).toBeLessThanOrEqual(1e-5);
    for (const [key, value] of Object.entries(expected.told)) expect(metrics![key], key).toBeCloseTo(value as number, 4);
    expect(Object.keys(metrics!).sort()).toEqual(Object.keys(expected.told).sort());
    const gradients = group(tensors, `${kind}.grad.`);
    const { problems, share } = await compareGradients(model.parameters, (key) => key, gradients);
    measured(`dpo ${kind} gradients, share of the largest`, share);
    expect(problems).toEqual([]);
    await probe.close();
    const optimizer = new AdamW({ learningRate: 1e-3, adamBeta2: 0.99, weightDecay: 0 });
    const step = engine.trainStep(model, { loss: dpoLoss(expected.options), optimizer });
    let off = 0;
    for (let t = 0; t < 10; t++) off = Math.max(off, Math.abs((await step(batch)).loss - expected.losses[t]));
    expect(measured(`dpo ${kind} losses of ten steps`, off)).toBeLessThanOrEqual(1e-5);
  });

  test('withReference computes the frozen model’s log-probabilities', async () => {
    const engine = await sharedEngine();
    const { tensors, model, batch } = await load(engine);
    await setWeights(model, tensors, 'reference.');
    const { chosenIds, chosenLabels, rejectedIds, rejectedLabels } = batch;
    const T = info.blockSize;
    const rows = (tensor: (typeof batch)[string], indices: readonly number[]) => ({
      data: Int32Array.from(indices.flatMap((i) => Array.from(tensor.data.subarray(i * T, (i + 1) * T)))),
      shape: [indices.length, T],
    });
    const pairs = {
      length: info.batch,
      batch: (indices: readonly number[]) => ({
        chosenIds: rows(chosenIds, indices),
        chosenLabels: rows(chosenLabels, indices),
        rejectedIds: rows(rejectedIds, indices),
        rejectedLabels: rows(rejectedLabels, indices),
      }),
    };
    const told: number[] = [];
    const dataset = await withReference(model, pairs, { batchSize: 2, onProgress: (done) => told.push(done) });
    expect(told).toEqual([2, 3]);
    const { chosenReference, rejectedReference, ...rest } = await dataset.batch([2, 0, 1]);
    expect(Object.keys(rest).sort()).toEqual(['chosenIds', 'chosenLabels', 'rejectedIds', 'rejectedLabels']);
    for (const [mine, theirs] of [
      [chosenReference, batch.chosenReference],
      [rejectedReference, batch.rejectedReference],
    ]) {
      expect(
        worst(
          mine.data,
          [2, 0, 1].map((i) => theirs.data[i]),
        ),
      ).toBeLessThanOrEqual(2e-5);
      expect(mine.shape).toEqual([3]);
    }
  });
});

test('every golden file was made by the script beside it as it is now', async () => {
  for (const name of ['lora-gpt2.json', 'lora-llama.json', 'dpo.json']) {
    const { script, scriptSha256 } = await json(name);
    const source = (await readFile(golden(script), 'utf8')).replaceAll('\r\n', '\n');
    expect(createHash('sha256').update(source).digest('hex'), `${name}: run ${script} again`).toBe(scriptSha256);
  }
});
