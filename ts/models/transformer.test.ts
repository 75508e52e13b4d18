// The Transformer's graph in f64 arithmetic, without an engine: gradients, masks, the cached path against the plain one, names and errors. PyTorch's
// numbers are in test/training/transformer.test.ts.
import { describe, expect, it } from 'vitest';
import { Extent, input, sum, type Tensor, Variable } from '../graph';
import { gradcheck, weighted } from '../graph/testing/gradcheck';
import { evaluate, randomValues, type Values } from '../graph/testing/interpreter';
import { nameModules, TransformerAttention, TransformerDecoderLayer, TransformerEncoderLayer, type TransformerLayerOptions } from '../nn';
import { decoderCacheVariables, Transformer, TransformerDecoder, TransformerEncoder } from './transformer';

const size = { dModel: 8, nHead: 2, dimFeedforward: 12, dropout: 0 } as const;
const f32 = (name: string, ...shape: number[]): Variable => new Variable({ name, shape });
const ids = (name: string, ...shape: number[]): Tensor => input(name, shape, 'i32');

describe('gradients', () => {
  it.each<Partial<TransformerLayerOptions>>([{}, { normFirst: true, activation: 'gelu' }, { bias: false }])(
    'of encoder and decoder with %o',
    (options) => {
      const model = new Transformer({ ...size, ...options, dModel: 4, dimFeedforward: 5, numEncoderLayers: 1, numDecoderLayers: 1 });
      const [src, tgt] = [f32('src', 2, 3, 4), f32('tgt', 2, 2, 4)];
      const masks = { srcKeyMask: ids('keep', 2, 3), memoryKeyMask: ids('keep', 2, 3), causal: true };
      const variables = [src, tgt, ...nameModules(model).values()];
      const loss = weighted([model.forward(src.tensor, tgt.tensor, masks)]);
      gradcheck(loss, variables, { inputs: { keep: [1, 1, 1, 1, 1, 0] }, tolerance: 2e-5 });
    },
  );

  it('of attention to keys and values of other widths', () => {
    const attention = new TransformerAttention({ dModel: 6, nHead: 3, kDim: 4, vDim: 5 });
    const [q, k, v] = [f32('q', 2, 3, 6), f32('k', 2, 4, 4), f32('v', 2, 4, 5)];
    const variables = [q, k, v, ...nameModules(attention).values()];
    gradcheck(weighted([attention.forward(q.tensor, k.tensor, v.tensor)]), variables);
    expect([...nameModules(attention)].map(([name, { shape }]) => `${name} ${shape}`)).toEqual([
      'q_proj_weight 6,6',
      'k_proj_weight 6,4',
      'v_proj_weight 6,5',
      'in_proj_bias 18',
      'out_proj.weight 6,6',
      'out_proj.bias 6',
    ]);
  });
});

describe('masks', () => {
  const model = new Transformer({ ...size, numEncoderLayers: 1, numDecoderLayers: 1 });
  const parameters = randomValues([...nameModules(model).values()], 8);
  const [src, tgt] = [...randomValues([f32('src', 2, 3, 8), f32('tgt', 2, 4, 8)], 9).values()];
  const run = (masks: Parameters<typeof model.forward>[2], inputs: Record<string, ArrayLike<number>> = {}) =>
    evaluate(
      { outputs: { y: model.forward(input('src', [2, 3, 8]), input('tgt', [2, 4, 8]), masks) }, effects: [] },
      { inputs: { src, tgt, ...inputs }, variables: parameters },
    ).y;
  const drop = (keeps: (i: number) => boolean, count: number) => Int32Array.from({ length: count }, (_, i) => Number(!keeps(i)));
  const added = (dropped: Int32Array) => Float32Array.from(dropped, (no) => (no ? Number.NEGATIVE_INFINITY : 0));

  it('of integers say with 1 what is not allowed, as −Infinity added does; causal is such a mask', () => {
    const later = drop((i) => i % 4 <= Math.floor(i / 4), 16);
    const want = run({ causal: true });
    expect(want).not.toEqual(run({}));
    expect(run({ tgtMask: ids('m', 4, 4) }, { m: later })).toEqual(want);
    expect(run({ tgtMask: input('m', [4, 4]) }, { m: added(later) })).toEqual(want);
    expect(run({ tgtMask: ids('m', 1, 4, 4) }, { m: later })).toEqual(want);
  });

  it('of keys are masks of a sequence for each of its heads and queries', () => {
    const keep = [1, 1, 1, 1, 0, 1];
    const want = run({ srcKeyMask: ids('k', 2, 3), memoryKeyMask: ids('k', 2, 3) }, { k: keep });
    const inSource = drop((i) => keep[Math.floor(i / 9) * 3 + (i % 3)] === 1, 18);
    const inMemory = drop((i) => keep[Math.floor(i / 24) * 3 + (i % 3)] === 1, 48);
    const got = run({ srcMask: ids('s', 2, 3, 3), memoryMask: ids('m', 4, 4, 3) }, { s: inSource, m: inMemory });
    expect(got).toEqual(want);
    expect(run({ srcKeyMask: ids('k', 2, 3) }, { k: keep })).not.toEqual(want); // nothing is taken from the source's for the memory's
  });

  it('that leave a query nothing give it zeros, and everything else its numbers', () => {
    const attention = new TransformerAttention({ dModel: 8, nHead: 2, bias: false });
    const y = evaluate(
      { outputs: { y: attention.forward(input('x', [2, 4, 8]), undefined, undefined, { mask: ids('m', 4, 4) }) }, effects: [] },
      {
        inputs: { x: tgt, m: drop((i) => i >= 4, 16) },
        variables: randomValues([...nameModules(attention).values()], 10),
      },
    ).y;
    expect([...y.subarray(0, 8), ...y.subarray(32, 40)].every((value) => value === 0)).toBe(true);
    expect([...y.subarray(8, 32), ...y.subarray(40)].every((value) => value !== 0 && Number.isFinite(value))).toBe(true);
  });
});

describe('the cached decoder', () => {
  const decoder = new TransformerDecoder({ ...size, numLayers: 2, norm: true });
  const parameters = randomValues([...nameModules(decoder).values()], 3);
  const [B, T, S, P] = [2, 5, 4, 6];
  const random = randomValues([f32('tgt', B, T, 8), f32('memory', B, S, 8)], 4);
  const [tgt, memory] = [...random.values()];
  const counts = [4, 2];
  const want = evaluate(
    {
      outputs: {
        y: decoder.forward(input('tgt', [B, T, 8]), input('memory', [B, S, 8]), { memoryKeyMask: ids('keep', B, S), causal: true }),
      },
      effects: [],
    },
    { inputs: { tgt, memory, keep: [1, 1, 1, 1, 1, 1, 0, 0] }, variables: new Map(parameters) },
  ).y;
  const rows = (from: number, time: number): Float64Array =>
    Float64Array.from({ length: B * time * 8 }, (_, i) => tgt[(Math.floor(i / (time * 8)) * T + from) * 8 + (i % (time * 8))]);
  const fresh = () => {
    const cache = decoder.makeCache(B, P, S + 1);
    const variables: Values = new Map(parameters);
    for (const variable of decoderCacheVariables(cache)) variables.set(variable, new Float64Array(variable.size).fill(Number.NaN));
    evaluate(
      { outputs: {}, effects: decoder.keepMemory(input('memory', [B, new Extent('source', S), 8]), cache) },
      { inputs: { memory }, extents: { source: S }, variables },
    );
    return { cache, variables };
  };
  const check = (got: Float64Array, from: number, time: number) =>
    got.forEach((value, i) => {
      const expected = want[(Math.floor(i / (time * 8)) * T + from) * 8 + (i % (time * 8))];
      expect(Math.abs(value - expected), `${from}: ${i}`).toBeLessThan(1e-12);
    });

  it.each([[[5]], [[1, 1, 1, 1, 1]], [[2, 1, 2]]])('gives in pieces of %o what the plain one gives at once', (pieces) => {
    const { cache, variables } = fresh();
    const place = {
      position: new Extent('position', P),
      keysUsed: new Extent('used', P),
      memoryUsed: new Extent('memoryUsed', S),
      memoryCounts: ids('counts', B),
    };
    let from = 0;
    for (const time of pieces) {
      const y = decoder.forwardCached(input('x', [B, time, 8]), cache, place);
      const extents = { position: from, used: from + time, memoryUsed: S };
      check(evaluate({ outputs: { y }, effects: [] }, { inputs: { x: rows(from, time), counts }, extents, variables }).y, from, time);
      from += time;
    }
  });

  it('takes rows at positions of their own', () => {
    const { cache, variables } = fresh();
    const place = {
      positions: ids('positions', B),
      keysUsed: new Extent('used', P),
      memoryUsed: new Extent('memoryUsed', S),
      memoryCounts: ids('counts', B),
    };
    const y = decoder.forwardCached(input('x', [B, 1, 8]), cache, place);
    // The second sequence is two positions behind the first: its early steps repeat position 0 until it may go on.
    for (let t = 0; t < T; t++) {
      const positions = [t, Math.max(0, t - 2)];
      const x = Float64Array.from([...rows(positions[0], 1).subarray(0, 8), ...rows(positions[1], 1).subarray(8)]);
      const run = { inputs: { x, positions, counts }, extents: { used: t + 1, memoryUsed: S }, variables };
      const got = evaluate({ outputs: { y }, effects: [] }, run).y;
      for (const [b, at] of positions.entries()) {
        for (let c = 0; c < 8; c++)
          expect(Math.abs(got[b * 8 + c] - want[(b * T + at) * 8 + c]), `step ${t}, row ${b}`).toBeLessThan(1e-12);
      }
    }
  });
});

describe('names, initial values, options', () => {
  it("has torch's state-dict keys and shapes in torch's order", () => {
    const names = [...nameModules(new Transformer({ ...size, numEncoderLayers: 1, numDecoderLayers: 1 })).entries()];
    const attention = (at: string) => [
      `${at}.in_proj_weight 24,8`,
      `${at}.in_proj_bias 24`,
      `${at}.out_proj.weight 8,8`,
      `${at}.out_proj.bias 8`,
    ];
    const feed = (at: string) => [
      `${at}.linear1.weight 12,8`,
      `${at}.linear1.bias 12`,
      `${at}.linear2.weight 8,12`,
      `${at}.linear2.bias 8`,
    ];
    const norm = (at: string) => [`${at}.weight 8`, `${at}.bias 8`];
    const [e, d] = ['encoder.layers.0', 'decoder.layers.0'];
    expect(names.map(([name, { shape }]) => `${name} ${shape}`)).toEqual([
      ...attention(`${e}.self_attn`),
      ...feed(e),
      ...[1, 2].flatMap((n) => norm(`${e}.norm${n}`)),
      ...norm('encoder.norm'),
      ...attention(`${d}.self_attn`),
      ...attention(`${d}.multihead_attn`),
      ...feed(d),
      ...[1, 2, 3].flatMap((n) => norm(`${d}.norm${n}`)),
      ...norm('decoder.norm'),
    ]);
    expect(Object.fromEntries(names)['encoder.norm.weight'].decay).toBe(false);
    expect(
      [...nameModules(new TransformerEncoder({ ...size, numLayers: 2, bias: false })).keys()].filter((name) => /bias|^norm/.test(name)),
    ).toEqual([]);
  });

  it("has torch's initial values: nn.Transformer resets matrices to Xavier, its layers alone have those of their parts", () => {
    const bounds = (module: Parameters<typeof nameModules>[0]) =>
      Object.fromEntries(Array.from(nameModules(module), ([name, { init }]) => [name, init.kind === 'uniform' ? init.high : init.kind]));
    const whole = bounds(new Transformer({ ...size, numEncoderLayers: 1, numDecoderLayers: 1 }));
    const alone = bounds(new TransformerEncoder({ ...size, numLayers: 1 }));
    const xavier = (a: number, b: number) => Math.sqrt(6 / (a + b));
    expect([whole['encoder.layers.0.self_attn.in_proj_weight'], alone['layers.0.self_attn.in_proj_weight']]).toEqual([
      xavier(8, 24),
      xavier(8, 24),
    ]);
    expect([whole['decoder.layers.0.multihead_attn.out_proj.weight'], alone['layers.0.self_attn.out_proj.weight']]).toEqual([
      xavier(8, 8),
      1 / Math.sqrt(8),
    ]);
    expect([whole['decoder.layers.0.linear2.weight'], alone['layers.0.linear2.weight']]).toEqual([xavier(12, 8), 1 / Math.sqrt(12)]);
    expect([whole['encoder.layers.0.linear1.bias'], alone['layers.0.linear1.bias']]).toEqual([1 / Math.sqrt(8), 1 / Math.sqrt(8)]);
    expect([
      whole['encoder.layers.0.self_attn.in_proj_bias'],
      whole['encoder.layers.0.self_attn.out_proj.bias'],
      whole['encoder.norm.weight'],
    ]).toEqual(['zeros', 'zeros', 'ones']);
  });

  it("has torch's defaults", () => {
    const { encoder, decoder } = new Transformer();
    expect([encoder.layers.length, decoder.layers.length]).toEqual([6, 6]);
    expect(decoder.layers[0].options).toEqual({
      dModel: 512,
      nHead: 8,
      dimFeedforward: 2048,
      dropout: 0.1,
      activation: 'relu',
      layerNormEps: 1e-5,
      normFirst: false,
      bias: true,
      init: 'xavier',
    });
    expect([encoder.norm === undefined, new TransformerEncoder({ ...size, numLayers: 1 }).norm]).toEqual([false, undefined]);
  });

  it("drops where torch does: attention weights, the hidden layer, each part's output", () => {
    const layer = new TransformerDecoderLayer({ ...size, dropout: 0.25 }).train();
    nameModules(layer);
    const paths = new Set<string>();
    const visit = ({ node }: Tensor): void => {
      const { p, path } = node.attrs as { p?: number; path?: string };
      if (p === 0.25) paths.add(path as string);
      node.inputs.forEach(visit);
    };
    visit(sum(layer.forward(input('tgt', [1, 2, 8]), input('memory', [1, 3, 8]))));
    expect([...paths].sort()).toEqual(['dropout', 'dropout1', 'dropout2', 'dropout3', 'multihead_attn', 'self_attn']);
  });

  it('makes each layer one region with gradientCheckpointing', () => {
    const model = new TransformerEncoder({ ...size, numLayers: 2 });
    const region = () => model.forward(input('x', [1, 2, 8])).node.region;
    expect(region()).toBeUndefined();
    model.enableGradientCheckpointing();
    expect(region()).toBeTypeOf('symbol');
  });
});

describe('errors', () => {
  const x = (...shape: number[]) => input('x', shape);
  const none = undefined as unknown as Tensor;
  const decoder = new TransformerDecoder({ ...size, numLayers: 1 });
  const whole = new Transformer({ ...size, numEncoderLayers: 1, numDecoderLayers: 1 });
  const encoder = new TransformerEncoder({ ...size, numLayers: 1 });
  it.each<[string, () => unknown, string]>([
    [
      'INVALID_OPTION',
      () => new Transformer({ dModel: 10, nHead: 4 }),
      'TransformerEncoderLayer: "dModel" must be divisible by nHead, got dModel 10 and nHead 4',
    ],
    [
      'INVALID_OPTION',
      () => new TransformerEncoder({ ...size, numLayers: 0 }),
      'TransformerEncoder: "numLayers" must be a positive integer, got 0',
    ],
    [
      'INVALID_OPTION',
      () => new Transformer({ numDecoderLayers: 1.5 }),
      'Transformer: "numDecoderLayers" must be a positive integer, got 1.5',
    ],
    [
      'INVALID_OPTION',
      () => new TransformerEncoderLayer({ ...size, dropout: 1 }),
      'TransformerEncoderLayer: "dropout" must be a number from 0 to below 1, got 1',
    ],
    [
      'INVALID_OPTION',
      () => new TransformerEncoderLayer({ ...size, activation: 'tanh' as 'relu' }),
      'TransformerEncoderLayer: "activation" must be relu or gelu, got "tanh"',
    ],
    ['UNKNOWN_OPTION', () => new Transformer({ nhead: 4 } as object), 'got "nhead"'],
    [
      'INVALID_OPTION',
      () => decoder.forward(x(2, 3, 8), none),
      "TransformerDecoder: a decoder needs the memory beside its own sequence (the encoder's output for its input), got none",
    ],
    ['INVALID_OPTION', () => whole.forward(none, x(2, 3, 8)), "Transformer: a decoder needs its encoder's input, src, got none"],
    ['INVALID_SHAPE', () => encoder.forward(x(2, 3, 7)), 'TransformerEncoder: src must be f32 [B, T, 8], got f32[2, 3, 7]'],
    [
      'INVALID_SHAPE',
      () => decoder.forward(x(2, 3, 8), x(3, 3, 8)),
      'TransformerDecoder: tgt and memory must have the same batch, got f32[2, 3, 8] and f32[3, 3, 8]',
    ],
    ['INVALID_SHAPE', () => encoder.forward(x(2, 3, 8), { keyMask: ids('m', 2, 4) }), 'keyMask must be [B, Tk]'],
    ['INVALID_SHAPE', () => encoder.forward(x(2, 3, 8), { mask: x(3, 4) }), 'mask must be [Tq, Tk] or [G, Tq, Tk] with G 1, B or B·nHead'],
    [
      'INVALID_SHAPE',
      () => encoder.forward(x(2, 3, 8), { mask: ids('m', 3, 3, 3) }),
      'mask must be [Tq, Tk] or [G, Tq, Tk] with G 1, B or B·nHead',
    ],
    ['INVALID_DTYPE', () => encoder.forward(x(2, 3, 8), { keyMask: x(2, 3) }), 'keyMask must be i32'],
    [
      'INVALID_SHAPE',
      () => new TransformerAttention({ dModel: 8, nHead: 2, kDim: 4 }).forward(x(1, 2, 8)),
      'TransformerAttention: key must be f32 [B, T, 4], got f32[1, 2, 8]',
    ],
  ])('%s (%#)', (code, run, message) => {
    expect(run).toThrow(message);
    expect(run).toThrow(expect.objectContaining({ code }));
  });
});
