// The same numbers as torch.nn.Transformer, its encoder and decoder alone and nn.MultiheadAttention (golden/transformer.py): outputs, the gradient of every
// parameter and input, ten AdamW steps of a copy task; and decoding with caches on the engine.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  AdamW,
  type BoundModule,
  compile,
  countLabels,
  crossEntropy,
  Embedding,
  type Engine,
  Extent,
  type HostTensor,
  input,
  LearnedPositions,
  loadSafetensors,
  Module,
  moduleToSafetensors,
  mul,
  Projection,
  sum,
  type Tensor,
  TransformerAttention,
  TransformerDecoder,
  TransformerEncoder,
  TransformerModule,
  Variable,
} from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { readTensors, writeTensors } from '../support/safetensors';
import { hashParameters, measured, openEngine, scratch, sharedEngine } from '../support/training';

const golden = (name: string) => new URL(`../golden/${name}`, import.meta.url);
type Case = { kind: 'both' | 'encoder' | 'decoder' | 'attention'; causal?: boolean } & Record<string, unknown>;
const info = JSON.parse(await readFile(golden('transformer.json'), 'utf8')) as {
  scriptSha256: string;
  base: Record<string, unknown>;
  cases: Record<string, Case>;
  copy: { losses: number[]; gradNorms: number[] };
};
const all = await readTensors(golden('transformer.safetensors'));

/** The tensors of a case, by their names without it. */
function tensorsOf(name: string): typeof all {
  const prefix = `${name}/`;
  return new Map(Array.from(all).flatMap(([key, tensor]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), tensor] as const] : [])));
}

function makeModel({ kind, causal: _, src: _s, tgt: _t, memory: _m, keys: _k, ...own }: Case) {
  const options = { ...info.base, ...own } as never;
  if (kind === 'both') return new TransformerModule(options);
  if (kind === 'encoder') return new TransformerEncoder(options);
  if (kind === 'decoder') return new TransformerDecoder(options);
  return new TransformerAttention({ dModel: 8, nHead: 2, kDim: own.kDim as number, vDim: own.vDim as number });
}

/** A model whose inputs are parameters too, so that their gradients can be read. */
class WithInputs extends Module {
  readonly inputs: Variable[];
  constructor(
    readonly model: ReturnType<typeof makeModel>,
    readonly names: readonly string[],
    shapes: readonly (readonly number[])[],
    readonly about: Case,
  ) {
    super();
    this.inputs = names.map((name, i) => new Variable({ name, shape: [...shapes[i]] }));
  }
  forward(given: Record<string, Tensor>): Tensor {
    const [first, second, third] = this.inputs.map((variable) => variable.tensor);
    const { model } = this;
    const { kind, causal } = this.about;
    const { dy: _, srcMask, srcKeyMask, ...decoder } = given;
    if (model instanceof TransformerEncoder) return model.forward(first, { mask: srcMask, keyMask: srcKeyMask, causal });
    if (model instanceof TransformerDecoder) return model.forward(second, first, { ...decoder, causal });
    if (model instanceof TransformerAttention) return model.forward(first, second, third, { mask: srcMask });
    expect(kind).toBe('both');
    return model.forward(first, second, { srcMask, srcKeyMask, ...decoder, causal });
  }
}

async function bindCase(engine: Engine, name: string) {
  const about = info.cases[name];
  const tensors = tensorsOf(name);
  const model = makeModel(about);
  const names = ['src', 'tgt', 'key', 'value'].filter((key) => tensors.has(key));
  const wrapped = new WithInputs(
    model,
    names,
    names.map((key) => tensors.get(key)!.shape),
    about,
  );
  const bound = await engine.bind(wrapped);
  const keyOf = (path: string) => (path.startsWith('model.') ? path.slice(6) : names[Number(path.slice(7))]);
  for (const [path, parameter] of bound.parameters) {
    const tensor = tensors.get(keyOf(path));
    expect(tensor?.shape, path).toEqual(parameter.shape);
    await parameter.set(tensor!.data as Float32Array);
  }
  const batch = Object.fromEntries(Array.from(tensors).filter(([key]) => /Mask$|^dy$/.test(key))) as Record<string, HostTensor>;
  return { bound, tensors, batch, keyOf, wrapped };
}

/** The largest difference, as a share of the largest number wanted. */
function share(got: ArrayLike<number>, want: ArrayLike<number>): number {
  expect(got.length).toBe(want.length);
  const largest = Math.max(...Array.from(want, Math.abs));
  expect(largest).toBeGreaterThan(0);
  return Math.max(...Array.from(want, (x, i) => (Number.isNaN(got[i]) ? Number.POSITIVE_INFINITY : Math.abs(got[i] - x)))) / largest;
}

test('the golden file is that of its script', async () => {
  const script = (await readFile(golden('transformer.py'), 'utf8')).replaceAll('\r\n', '\n');
  expect(info.scriptSha256).toBe(createHash('sha256').update(script).digest('hex'));
});

test.each(Object.keys(info.cases))('%s: output and all gradients to 1e-5 of the largest', async (name) => {
  const engine = await sharedEngine();
  const { bound, tensors, batch, keyOf } = await bindCase(engine, name);
  const { data } = (await bound.forward(batch)) as HostTensor;
  let worst = share(data as Float32Array, tensors.get('y')!.data);
  expect(measured(`transformer ${name} output`, worst)).toBeLessThanOrEqual(1e-5);
  const loss = (module: WithInputs, { dy, ...masks }: Record<string, Tensor>) => sum(mul(module.forward(masks), dy));
  const step = engine.trainStep(bound, { loss, optimizer: { learningRate: 0 } });
  await step(batch);
  const problems: string[] = [];
  for (const [path, parameter] of bound.parameters) {
    const key = keyOf(path);
    const apart = share((await parameter.grad())!, tensors.get(`grad.${key}`)!.data);
    if (!(apart <= 1e-5)) problems.push(`${key}: ${apart}`);
    worst = Math.max(worst, apart);
  }
  measured(`transformer ${name} gradients`, worst);
  expect(problems).toEqual([]);
});

/** What golden/transformer.py calls Copy. */
class Copy extends Module {
  readonly tokens = new Embedding(11, 16);
  readonly positions = new LearnedPositions(6, 16);
  readonly transformer = new TransformerModule({
    dModel: 16,
    nHead: 2,
    numEncoderLayers: 2,
    numDecoderLayers: 2,
    dimFeedforward: 32,
    dropout: 0,
  });
  readonly head = new Projection(16, 11);
  forward(src: Tensor, tgt: Tensor): Tensor {
    const embed = (ids: Tensor) => this.positions.forward(this.tokens.forward(ids));
    return this.head.forward(this.transformer.forward(embed(src), embed(tgt), { causal: true }));
  }
}

async function copyModel(engine: Engine): Promise<BoundModule<Copy>> {
  const tensors = tensorsOf('copy');
  const bound = await engine.bind(new Copy());
  for (const [name, parameter] of bound.parameters) {
    await parameter.set(tensors.get(name === 'positions.weight' ? 'positions' : name)!.data as Float32Array);
  }
  return bound;
}

test('losses and gradient norms of ten AdamW steps on a copy task, to 1e-5', async () => {
  const engine = await sharedEngine();
  const bound = await copyModel(engine);
  const loss = (module: Copy, { src, tgt }: Record<string, Tensor>) => ({
    sum: crossEntropy(module.forward(src, tgt), src).loss,
    count: countLabels(src),
  });
  const step = engine.trainStep(bound, { loss, optimizer: new AdamW({ learningRate: 1e-3, adamBeta2: 0.99, weightDecay: 0.1 }) });
  const sources = tensorsOf('copy').get('sources')!.data as Int32Array;
  let worst = 0;
  for (let t = 0; t < 10; t++) {
    const src = sources.slice(t * 48, (t + 1) * 48);
    const tgt = src.map((_, i) => (i % 6 === 0 ? 0 : src[i - 1]));
    const { loss, gradNorm } = await step({ src: { data: src, shape: [8, 6] }, tgt: { data: tgt, shape: [8, 6] } });
    worst = Math.max(worst, Math.abs(loss - info.copy.losses[t]));
    expect(Math.abs(gradNorm / info.copy.gradNorms[t] - 1), `norm of step ${t}`).toBeLessThanOrEqual(1e-5);
  }
  expect(measured('transformer losses of ten steps', worst)).toBeLessThanOrEqual(1e-5);
});

test('a training step with gradientCheckpointing gives the same bits', async () => {
  const engine = await sharedEngine();
  const gradients = async (gradientCheckpointing: boolean) => {
    const { bound, batch } = await bindCase(engine, 'pre-heads');
    const loss = (module: WithInputs, { dy, ...masks }: Record<string, Tensor>) => sum(mul(module.forward(masks), dy));
    await engine.trainStep(bound, { loss, optimizer: { learningRate: 0 }, gradientCheckpointing })(batch);
    const found = new Map<string, Float32Array>();
    for (const [name, parameter] of bound.parameters) found.set(name, (await parameter.grad())!);
    await bound.close();
    return found;
  };
  expect(await gradients(true)).toEqual(await gradients(false));
});

test('two steps with dropout give the same bits on one thread and on three', async () => {
  const parameters = async (threads: number) => {
    const engine = await openEngine({ threads });
    const options = { dModel: 16, nHead: 2, numEncoderLayers: 1, numDecoderLayers: 1, dimFeedforward: 32, dropout: 0.1 };
    const bound = await engine.bind(new TransformerModule(options), { seed: 3 });
    const tensor = (seed: number) => ({
      data: Float32Array.from({ length: 4 * 40 * 16 }, (_, i) => ((i * seed) % 97) / 48 - 1),
      shape: [4, 40, 16],
    });
    const loss = (module: TransformerModule, { src, tgt, want }: Record<string, Tensor>) =>
      sum(mul(module.forward(src, tgt, { causal: true }), want));
    const step = engine.trainStep(bound, { loss, optimizer: { learningRate: 1e-2 } });
    for (let t = 1; t <= 2; t++) await step({ src: tensor(31 + t), tgt: tensor(57 + t), want: tensor(71 + t) });
    return hashParameters(bound);
  };
  expect(await parameters(3)).toBe(await parameters(1));
});

describe('decoding with caches', () => {
  test.each(['decoder', 'pre'])('%s: position by position, sources of different lengths, equal to the whole to 1e-6', async (name) => {
    const engine = await sharedEngine();
    const { wrapped, tensors } = await bindCase(engine, name);
    const decoder = wrapped.model instanceof TransformerDecoder ? wrapped.model : (wrapped.model as TransformerModule).decoder;
    const [B, T, S, C] = [2, 4, 5, 8];
    const cache = decoder.makeCache(B, T, S);
    const variables = cache.layers.flatMap(({ self, memory }) => [self.keys, self.values, memory.keys, memory.values]);
    const { host } = engine;
    await host.allocate(variables, { seed: 1, empty: true });
    const memory = input('memory', [B, S, C]);
    const keyMask = input('keep', [B, S], 'i32');
    const tgt = input('tgt', [B, T, C]);
    const whole = compile({
      name: 'whole',
      outputs: { y: decoder.forward(tgt, memory, { memoryKeyMask: keyMask, causal: true }) },
      effects: [],
    });
    const keep = compile({ name: 'keep', outputs: {}, effects: decoder.keepMemory(memory, cache) });
    const place = {
      position: new Extent('position', T),
      keysUsed: new Extent('used', T),
      memoryUsed: new Extent('memoryUsed', S),
      memoryCounts: input('counts', [B], 'i32'),
    };
    const decode = compile({
      name: 'decode',
      outputs: { y: decoder.forwardCached(input('x', [B, new Extent('time', T), C]), cache, place) },
      effects: [],
    });
    const [targets, source] = [tensors.get('tgt')!.data as Float32Array, tensors.get('src')!.data as Float32Array];
    const run = async (program: Parameters<typeof host.load>[0], call: object) =>
      (await host.run({ handle: await host.load(program), ...call }))[0].y as Float32Array;
    const want = await run(whole, { inputs: { tgt: targets, memory: source, keep: Int32Array.of(1, 1, 1, 1, 1, 1, 1, 1, 0, 0) } });
    await run(keep, { inputs: { memory: source } });
    let from = 0;
    let worst = 0;
    for (const time of [2, 1, 1]) {
      const rows = (data: Float32Array) =>
        Float32Array.from([0, 1].flatMap((b) => [...data.subarray((b * T + from) * C, (b * T + from + time) * C)]));
      const extents = { time, position: from, used: from + time, memoryUsed: S };
      const got = await run(decode, { inputs: { x: rows(targets), counts: Int32Array.of(5, 3) }, extents });
      worst = Math.max(worst, share(got, rows(want)));
      from += time;
    }
    expect(measured(`transformer ${name} cached`, worst)).toBeLessThanOrEqual(1e-6);
  });
});

describe('weights as safetensors', () => {
  test("written with torch's names and shapes, and read back bit for bit", async () => {
    const engine = await sharedEngine();
    const options = { dModel: 8, nHead: 2, numEncoderLayers: 1, numDecoderLayers: 1, dimFeedforward: 12 };
    const [one, two] = [
      await engine.bind(new TransformerModule(options), { seed: 1 }),
      await engine.bind(new TransformerModule(options), { seed: 2 }),
    ];
    const bytes = await moduleToSafetensors(one);
    const folder = await scratch();
    const { writeFile } = await import('node:fs/promises');
    await writeFile(`${folder}/model.safetensors`, bytes);
    const written = await readTensors(`${folder}/model.safetensors`);
    expect([...written].map(([name, { shape }]) => `${name} ${shape}`).sort()).toEqual(
      [...one.parameters].map(([name, { shape }]) => `${name} ${shape}`).sort(),
    );
    await loadSafetensors(two, bytes);
    for (const [name, parameter] of two.parameters) expect(await parameter.data(), name).toEqual(written.get(name)!.data);
  });

  test('of another module are refused with the names and shapes, nothing is changed', async () => {
    const engine = await sharedEngine();
    const bound = await engine.bind(new Projection(3, 2, { bias: true }), { seed: 1 });
    const before = await bound.parameters.get('weight')!.data();
    const tensor = (...shape: number[]) => ({ data: new Float32Array(shape.reduce((a, b) => a * b)), shape });
    const bytes = writeTensors(
      new Map([
        ['weight', tensor(2, 3)],
        ['bias', tensor(3)],
        ['extra', tensor(1)],
      ]),
    );
    await expect(loadSafetensors(bound, bytes, 'mine.safetensors')).rejects.toMatchObject({
      code: 'INVALID_CHECKPOINT',
      message: 'mine.safetensors: the tensors must be those of the module, got bias [3], not [2]; unexpected extra',
    });
    await expect(loadSafetensors(bound, new Uint8Array(5))).rejects.toMatchObject({ code: 'INVALID_FILE' });
    expect(await bound.parameters.get('weight')!.data()).toEqual(before);
  });
});

test('initial values are uniform within their bounds, from the seed and the name alone', async () => {
  const engine = await sharedEngine();
  const options = { dModel: 32, nHead: 2, numEncoderLayers: 1, numDecoderLayers: 1, dimFeedforward: 64 };
  const read = async (seed: number) => {
    const bound = await engine.bind(new TransformerModule(options), { seed });
    const weights = new Map<string, Float32Array>();
    for (const [name, parameter] of bound.parameters) weights.set(name, (await parameter.data()) as Float32Array);
    await bound.close();
    return weights;
  };
  const [one, again, other] = [await read(5), await read(5), await read(6)];
  expect(one).toEqual(again);
  const name = 'decoder.layers.0.self_attn.in_proj_weight';
  expect(one.get(name)).not.toEqual(other.get(name));
  expect(one.get(name)).not.toEqual(one.get('decoder.layers.0.multihead_attn.in_proj_weight'));
  const bound = Math.sqrt(6 / (32 + 96));
  const values = one.get(name)!;
  expect(values.every((x) => Math.abs(x) <= bound)).toBe(true);
  // 3072 uniform numbers: the largest within 1 % of the bound but for 1e-13, the variance within 4 standard errors (bound²/3, relative 0.016).
  expect(Math.max(...values)).toBeGreaterThan(0.99 * bound);
  expect(Math.min(...values)).toBeLessThan(-0.99 * bound);
  const variance = values.reduce((total, x) => total + x * x, 0) / values.length;
  expect(Math.abs(variance / (bound ** 2 / 3) - 1)).toBeLessThan(0.065);
});
