import { describe, expect, it } from 'vitest';
import { Extent, input } from '../graph';
import {
  countParameters,
  describeConfig,
  estimate,
  GPT,
  type GPTConfigOptions,
  PRESETS,
  resolveConfig,
  resolveSeq2SeqConfig,
  withDropout,
} from './index';

const small = { nLayer: 2, nHead: 2, nEmbd: 8, blockSize: 16, vocabSize: 11 };

/** The parameter names of transformers' GPT2LMHeadModel with two layers: `[n for n, _ in model.named_parameters()]` (5.24). */
const HUGGING_FACE_NAMES = `transformer.wte.weight transformer.wpe.weight
transformer.h.0.ln_1.weight transformer.h.0.ln_1.bias transformer.h.0.attn.c_attn.weight transformer.h.0.attn.c_attn.bias
transformer.h.0.attn.c_proj.weight transformer.h.0.attn.c_proj.bias transformer.h.0.ln_2.weight transformer.h.0.ln_2.bias
transformer.h.0.mlp.c_fc.weight transformer.h.0.mlp.c_fc.bias transformer.h.0.mlp.c_proj.weight transformer.h.0.mlp.c_proj.bias
transformer.h.1.ln_1.weight transformer.h.1.ln_1.bias transformer.h.1.attn.c_attn.weight transformer.h.1.attn.c_attn.bias
transformer.h.1.attn.c_proj.weight transformer.h.1.attn.c_proj.bias transformer.h.1.ln_2.weight transformer.h.1.ln_2.bias
transformer.h.1.mlp.c_fc.weight transformer.h.1.mlp.c_fc.bias transformer.h.1.mlp.c_proj.weight transformer.h.1.mlp.c_proj.bias
transformer.ln_f.weight transformer.ln_f.bias`.split(/\s+/);

const model = (options: GPTConfigOptions = {}) => new GPT(resolveConfig({ ...small, ...options }));
const ids = (batch: number, time: number) => input('ids', [batch, time], 'i32');

describe('GPT', () => {
  it("has exactly transformers' parameter names, in its order", () => {
    expect([...model().namedVariables().keys()]).toEqual(HUGGING_FACE_NAMES);
  });
  it('without biases has the same names less the biases', () => {
    expect([...model({ bias: false }).namedVariables().keys()]).toEqual(HUGGING_FACE_NAMES.filter((name) => !name.endsWith('bias')));
  });
  it('has GPT-2 shapes, Conv1D weights [in, out]', () => {
    const shapes = Object.fromEntries(Array.from(model().namedVariables(), ([name, variable]) => [name, [...variable.shape]]));
    expect(shapes).toMatchObject({
      'transformer.wte.weight': [11, 8],
      'transformer.wpe.weight': [16, 8],
      'transformer.h.1.ln_1.weight': [8],
      'transformer.h.1.attn.c_attn.weight': [8, 24],
      'transformer.h.1.attn.c_attn.bias': [24],
      'transformer.h.1.attn.c_proj.weight': [8, 8],
      'transformer.h.1.mlp.c_fc.weight': [8, 32],
      'transformer.h.1.mlp.c_proj.weight': [32, 8],
      'transformer.ln_f.bias': [8],
    });
  });
  it("has GPT-2's initialisation, every tensor of it", () => {
    for (const [name, { init }] of model({ nLayer: 8 }).namedVariables()) {
      const projection = name.endsWith('c_proj.weight');
      const want = name.endsWith('bias')
        ? { kind: 'zeros' }
        : name.includes('ln_')
          ? { kind: 'ones' }
          : { kind: 'normal', mean: 0, std: projection ? 0.005 : 0.02 };
      expect(init, name).toEqual(want);
    }
  });
  it('decays matrices and embeddings, never norms and biases', () => {
    for (const [name, { decay }] of model().namedVariables()) expect(decay, name).toBe(!name.endsWith('bias') && !name.includes('ln_'));
  });
  it('gives logits, hidden states and a loss per row', () => {
    const gpt = model();
    expect([...gpt.forward(ids(3, 5)).shape]).toEqual([3, 5, 11]);
    expect([...gpt.hidden(ids(3, 16)).shape]).toEqual([3, 16, 8]);
    const { sum, count } = gpt.loss(ids(3, 5), input('labels', [3, 5], 'i32'));
    expect([[...sum.shape], [...count.shape]]).toEqual([[3, 5], [1]]);
  });
  it('refuses ids that are too long or of another kind', () => {
    expect(() => model().forward(ids(1, 17))).toThrow('GPT: ids must have at most blockSize 16 positions, got 17');
    expect(() => model().forward(input('ids', [1, 4]))).toThrow('GPT: ids must be i32 [B, T], got f32 [1, 4]');
    expect(() => model().forward(input('ids', [4], 'i32'))).toThrow('GPT: ids must be i32 [B, T], got i32 [4]');
  });
  it('generates behind a cache of keys and values per layer', () => {
    const gpt = model();
    const cache = gpt.makeCache(2);
    expect(cache.layers.map(({ keys, values }) => [keys.shape, values.shape])).toEqual(
      new Array(2).fill([
        [2, 16, 8],
        [2, 16, 8],
      ]),
    );
    const time = new Extent('time', 16);
    const logits = gpt.forwardCached(input('ids', [2, time], 'i32'), cache, {
      position: new Extent('position', 16),
      keysUsed: new Extent('keysUsed', 16),
    });
    expect([...logits.shape]).toEqual([2, 1, 11]);
  });
  it('can have fixed sinusoidal positions, which are no trained parameter', () => {
    const wpe = model({ positionEmbedding: 'sinusoidal', positionNoise: 0.01 }).transformer.wpe!.weight;
    expect([wpe.trainable, wpe.init]).toEqual([false, { kind: 'sinusoidal', noise: 0.01 }]);
  });
});

describe('resolveConfig', () => {
  it('knows every preset of the design', () => {
    expect(Object.keys(PRESETS)).toEqual(['gpt-nano', 'gpt-micro', 'gpt-mini', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl']);
    for (const preset of Object.keys(PRESETS) as (keyof typeof PRESETS)[]) {
      expect(resolveConfig({ preset, vocabSize: 65 }), preset).toMatchObject({ ...PRESETS[preset], vocabSize: 65, bias: true, dropout: 0 });
    }
  });
  it('lets parts win over the preset and takes snake_case', () => {
    const config = resolveConfig({ preset: 'gpt-micro', n_layer: 2, block_size: 32, vocabSize: 65 } as GPTConfigOptions);
    expect(config).toEqual({
      modelType: 'gpt2',
      nLayer: 2,
      nHead: 4,
      nEmbd: 128,
      blockSize: 32,
      vocabSize: 65,
      dropout: 0,
      embdPdrop: 0,
      residPdrop: 0,
      attnPdrop: 0,
      bias: true,
      nInner: 512,
      activationFunction: 'gelu_new',
      layerNormEpsilon: 1e-5,
      tieWordEmbeddings: true,
      positionEmbedding: 'learned',
      positionNoise: 0,
    });
    expect(Object.isFrozen(config)).toBe(true);
  });
  it('describes GPT-2 without what every GPT-2 has, and everything else', () => {
    const plain = { preset: 'gpt-micro', vocabSize: 65, dropout: 0.2 } as const;
    expect(describeConfig(resolveConfig(plain))).toEqual({
      modelType: 'gpt2',
      nLayer: 4,
      nHead: 4,
      nEmbd: 128,
      blockSize: 64,
      vocabSize: 65,
      dropout: 0.2,
      bias: true,
      positionEmbedding: 'learned',
      positionNoise: 0,
    });
    const other = { attnPdrop: 0, nInner: 100, activationFunction: 'relu', layerNormEpsilon: 1e-6, tieWordEmbeddings: false } as const;
    expect(describeConfig(resolveConfig({ ...plain, ...other }))).toMatchObject(other);
    expect(withDropout(resolveConfig({ ...plain, ...other }), 0.5)).toMatchObject({
      dropout: 0.5,
      embdPdrop: 0.5,
      residPdrop: 0.5,
      attnPdrop: 0.5,
    });
  });
  it.each([
    [{ nHead: 3 }, '"nEmbd" must be divisible by nHead, got nEmbd 8 and nHead 3'],
    [{ nLayer: 0 }, '"nLayer" must be a positive integer (at most 2147483647), got 0'],
    [{ nLayer: 1.5 }, '"nLayer"'],
    [{ nLayer: 1e9 }, '"nLayer" must be at most 4096, got 1000000000'],
    [{ nEmbd: Number.NaN }, '"nEmbd"'],
    [{ nEmbd: '8' as unknown as number }, 'got "8"'],
    [{ vocabSize: 2 ** 53 }, '"vocabSize"'],
    [{ blockSize: -1 }, '"blockSize"'],
    [{ dropout: 1 }, '"dropout" must be a number from 0 to below 1, got 1'],
    [{ dropout: -0.1 }, '"dropout"'],
    [{ bias: 'no' as unknown as boolean }, '"bias" must be true or false, got "no"'],
    [{ positionEmbedding: 'alibi' as 'learned' }, '"positionEmbedding" must be one of "learned", "sinusoidal", "rotary", got "alibi"'],
    [{ ropeTheta: 500 }, '"ropeTheta" is for positionEmbedding "rotary", got 500 with "learned"'],
    [{ ropeScaling: 'linear:4' }, '"ropeScaling" is for positionEmbedding "rotary", got "linear:4" with "learned"'],
    [
      { positionEmbedding: 'rotary' as const, nHead: 8 },
      '"nEmbd" must be an even number of times nHead with rotary positions, got 8 and 8',
    ],
    [{ positionEmbedding: 'rotary' as const, ropeScaling: 'linear:0' }, '"ropeScaling" must be "none", "linear:FACTOR"'],
    [{ positionEmbedding: 'rotary' as const, ropeScaling: { kind: 'yarn', factor: 4 } as never }, '"ropeScaling" must be'],
    [{ positionEmbedding: 'rotary' as const, ropeScaling: { kind: 'linear' } as never }, '"ropeScaling" must be'],
    [{ positionEmbedding: 'rotary' as const, ropeScaling: 'llama3:8:1:4' }, '"ropeScaling" must be'],
    [{ positionNoise: 0.1 }, '"positionNoise" is for positionEmbedding "sinusoidal", got 0.1 with "learned"'],
    [{ preset: 'gpt-5' as 'gpt2' }, '"preset" must be one of'],
    [{ vocabSize: undefined }, '"vocabSize" must be given, or a tokenizer, got none'],
    [{ nEmbd: undefined }, '"nEmbd" must be given, or a preset, got none'],
  ])('rejects %o', (change, message) => {
    const options: GPTConfigOptions = { ...small, ...change };
    expect(() => resolveConfig(options)).toThrow(message);
    expect(() => resolveConfig(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
  it('names the nearest option', () => {
    expect(() => resolveConfig({ ...small, nLayers: 3 } as GPTConfigOptions)).toThrow('the nearest is "nLayer"');
    expect(() => resolveConfig({ ...small, nLayers: 3 } as GPTConfigOptions)).toThrow(expect.objectContaining({ code: 'UNKNOWN_OPTION' }));
  });
  it('lists what is missing without any option', () => {
    expect(() => resolveConfig({})).toThrow('must be given');
  });
});

describe('estimate', () => {
  // GPT-2's sizes as transformers counts them: sum(p.numel() for p in GPT2LMHeadModel(config).parameters()).
  it.each([
    ['gpt2', 50257, 124_439_808],
    ['gpt2-medium', 50257, 354_823_168],
    ['gpt2-large', 50257, 774_030_080],
    ['gpt2-xl', 50257, 1_557_611_200],
    ['gpt-nano', 65, 91_104],
    ['gpt-micro', 65, 809_856],
    ['gpt-mini', 65, 2_694_336],
  ] as const)('counts the parameters of %s', (preset, vocabSize, total) => {
    const counts = countParameters(resolveConfig({ preset, vocabSize }));
    expect(counts.total).toBe(total);
    expect(counts.tokenEmbedding + counts.positionEmbedding + counts.attention + counts.mlp + counts.norms).toBe(total);
    expect(counts.trainable).toBe(total);
  });
  it('counts by part', () => {
    expect(countParameters(resolveConfig({ preset: 'gpt2', vocabSize: 50257 }))).toEqual({
      total: 124_439_808,
      head: 0,
      tokenEmbedding: 50257 * 768,
      positionEmbedding: 1024 * 768,
      attention: 12 * (768 * 3 * 768 + 3 * 768 + 768 * 768 + 768),
      mlp: 12 * (768 * 3072 + 3072 + 3072 * 768 + 768),
      norms: 25 * 2 * 768,
      trainable: 124_439_808,
    });
    const fixed = countParameters(resolveConfig({ ...small, positionEmbedding: 'sinusoidal' }));
    expect(fixed.total - fixed.trainable).toBe(16 * 8);
  });

  it('reads arithmetic and memory off the compiled training program', () => {
    const config = resolveConfig({ preset: 'gpt-micro', vocabSize: 65, blockSize: 64 });
    const { flops, memory, modelBytes, int8Bytes, checkpointBytes, parameters } = estimate(config, { batchSize: 12 });
    // 6 per matrix parameter and token (2 forward, 4 backward), the head's table included, plus attention: 12·T·C per layer, causal or not.
    const matrices = parameters.attention + parameters.mlp + parameters.tokenEmbedding;
    const analytic = 6 * matrices + 12 * 4 * 64 * 128;
    expect(flops.perToken / analytic).toBeGreaterThan(0.9);
    expect(flops.perToken / analytic).toBeLessThan(1.2);
    expect(flops.perStep).toBe(flops.perToken * 12 * 64);
    expect(memory.parameters).toBe(parameters.total * 4);
    expect(memory.gradients).toBe(parameters.total * 4);
    expect(memory.optimizer).toBe(parameters.total * 8);
    expect(memory.peak).toBe(memory.parameters + memory.gradients + memory.optimizer + memory.activations + memory.io);
    // Backward needs at least the block inputs of every layer: B·T·C each.
    expect(memory.activations).toBeGreaterThan(4 * 12 * 64 * 128 * 4);
    expect(modelBytes).toBe(memory.parameters);
    // Matrices but the position table take 1.125 bytes (rows padded to 8: 65 characters count as 72), the rest four.
    const padded = parameters.attention + parameters.mlp + parameters.tokenEmbedding + 7 * 128;
    const biases = 4 * (3 * 128 + 128 + 4 * 128 + 128);
    expect(int8Bytes).toBe((padded - biases) * 1.125 + (biases + parameters.norms + parameters.positionEmbedding) * 4);
    expect(checkpointBytes).toBe(memory.parameters * 3);
  });
  it('grows activations with the batch and not with accumulation', () => {
    const config = resolveConfig({ ...small });
    const one = estimate(config, { batchSize: 2 });
    expect(estimate(config, { batchSize: 8 }).memory.activations).toBeGreaterThan(2 * one.memory.activations);
    const accumulated = estimate(config, { batchSize: 2, gradientAccumulationSteps: 4 });
    expect(accumulated.flops.perStep).toBe(4 * one.flops.perStep);
    expect(accumulated.memory.activations).toBeLessThan(2 * one.memory.activations);
    expect(estimate(config, { batchSize: 2, optimizerSlots: 0 }).memory.optimizer).toBe(0);
  });
  it('grows with the context and not with its square: no scores of all queries with all keys', () => {
    const [one, two, four] = [1024, 2048, 4096].map((blockSize) => {
      const config = resolveConfig({ nLayer: 6, nHead: 6, nEmbd: 384, blockSize, vocabSize: 65 });
      return estimate(config, { batchSize: 1 }).memory.activations;
    });
    const growth = (four - two) / (two - one);
    expect(growth).toBeGreaterThan(1.98);
    expect(growth).toBeLessThan(2.02);
    // The scores of one layer's heads alone would be more than half of what there is.
    expect(four).toBeLessThan(2 * 6 * 4096 * 4096 * 4);
  });
  it('knows recomputed activations: less memory, the arithmetic of the blocks once more', () => {
    const config = resolveConfig({ preset: 'gpt-micro', vocabSize: 65, blockSize: 64, nLayer: 8 });
    const kept = estimate(config, { batchSize: 12 });
    const recomputed = estimate(config, { batchSize: 12, gradientCheckpointing: true });
    expect(recomputed.memory.activations).toBeLessThan(0.3 * kept.memory.activations);
    expect(recomputed.memory.activations).toBeGreaterThan(8 * 12 * 64 * 128 * 4); // every block's input
    expect({ ...recomputed.memory, activations: 0, peak: 0 }).toEqual({ ...kept.memory, activations: 0, peak: 0 });
    // All products of a block but the last one of its MLP: 8 of 12 C² parameters, 2 FLOP each, and attention: half of 4·T·C.
    const again = recomputed.flops.perToken - kept.flops.perToken;
    const products = 8 * (2 * 8 * 128 * 128 + 2 * 64 * 128);
    expect(again / products).toBeGreaterThan(1);
    expect(again / products).toBeLessThan(1.1);
  });
  it('leaves gradients and moments of frozen parameters out', () => {
    const config = resolveConfig(small);
    const all = estimate(config);
    const frozen = estimate(config, { frozen: ['transformer.wte.weight', 'transformer.wpe.weight'] });
    const tables = (11 + 16) * 8;
    expect(all.parameters.trainable - frozen.parameters.trainable).toBe(tables);
    expect(all.memory.gradients - frozen.memory.gradients).toBe(tables * 4);
    expect(all.memory.optimizer - frozen.memory.optimizer).toBe(tables * 8);
    expect(frozen.flops.perStep).toBeLessThan(all.flops.perStep);
    expect(() => estimate(config, { frozen: ['wte'] })).toThrow('estimate: "frozen" must name parameters, got "wte"');
  });
  it('can say what GPT-2 XL needs, without any memory of that size', () => {
    const { memory } = estimate(resolveConfig({ preset: 'gpt2-xl', vocabSize: 50257 }), { batchSize: 1 });
    expect(memory.parameters).toBe(1_557_611_200 * 4);
    expect(memory.peak).toBeGreaterThan(4 * memory.parameters);
  });
  it('rejects batches that are no batches', () => {
    for (const batchSize of [0, -1, 1.5, Number.NaN])
      expect(() => estimate(resolveConfig(small), { batchSize })).toThrow('"batchSize" must be a positive integer');
  });
});

describe('the cost of an encoder-decoder', () => {
  const options = {
    inputDim: 20,
    outputDim: 20,
    dModel: 16,
    nHead: 2,
    nEncoderLayer: 2,
    nDecoderLayer: 1,
    maxSourceLength: 12,
    maxTargetLength: 8,
  };
  it('is counted by part, its fixed positions untrained', () => {
    const { parameters, memory, flops, int8Bytes } = estimate(resolveSeq2SeqConfig({ ...options, shareEmbeddings: true }), {
      batchSize: 2,
    });
    const attention = 4 * 16 * 16 + 4 * 16;
    const mlp = 2 * 16 * 64 + 64 + 16;
    expect(parameters).toEqual({
      total: 320 + 20 * 16 + 4 * attention + 3 * mlp + 9 * 32,
      tokenEmbedding: 320,
      positionEmbedding: 20 * 16,
      attention: 4 * attention,
      mlp: 3 * mlp,
      norms: 9 * 32,
      head: 0,
      trainable: 320 + 4 * attention + 3 * mlp + 9 * 32,
    });
    expect(memory.gradients).toBe(4 * parameters.trainable);
    expect(flops.perToken).toBe(flops.perStep / 16);
    expect(int8Bytes).toBeUndefined();
  });
  it('grows with tables of their own, and holds features too', () => {
    const apart = countParameters(resolveSeq2SeqConfig({ ...options, tieWordEmbeddings: false }));
    expect([apart.tokenEmbedding, apart.head]).toEqual([640, 320]);
    const features = resolveSeq2SeqConfig({ ...options, inputKind: 'features', inputDim: 3 });
    expect(countParameters(features).tokenEmbedding).toBe(320 + 3 * 16 + 16);
    expect(estimate(features).memory.activations).toBeGreaterThan(0);
  });
});
