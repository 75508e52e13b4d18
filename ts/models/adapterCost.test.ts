// What training an adapter costs beside full fine-tuning, read off the compiled programs of config M without running them: memory and arithmetic are planned to the byte.
import { describe, expect, it } from 'vitest';
import type { Quantization } from '../nn';
import { estimate, resolveModelConfig } from './index';

/** As `ferroformer bench` has it: 16 windows of 256 tokens. */
const CONFIG = resolveModelConfig({ nLayer: 6, nHead: 6, nEmbd: 384, blockSize: 256, vocabSize: 65 }, 'test');
const BATCH = 16;

describe('an adapter of rank 8 at config M', () => {
  const full = estimate(CONFIG, { batchSize: BATCH });
  const cases: [string, readonly string[], Quantization | undefined][] = [
    ['on c_attn', ['c_attn'], undefined],
    ['on all layers', ['c_attn', 'c_proj', 'c_fc'], undefined],
    ['on c_attn, the base in bf16', ['c_attn'], 'bf16'],
    ['on c_attn, the base in int8', ['c_attn'], 'int8'],
  ];
  it.each(cases)('%s takes at most 0.6 of the memory and 0.75 of the arithmetic of full fine-tuning', (_name, targets, quantization) => {
    const { memory, flops } = estimate(CONFIG, { batchSize: BATCH, adapter: { rank: 8, targetModules: targets }, quantize: quantization });
    expect(memory.peak / full.memory.peak).toBeLessThanOrEqual(0.6);
    expect(memory.peak / full.memory.peak).toBeGreaterThan(0.4); // a plan that forgot something
    expect(flops.perStep / full.flops.perStep).toBeLessThanOrEqual(0.75);
  });

  it('counts what is trained apart, and checkpoints hold it alone', () => {
    const { parameters, memory, checkpointBytes, modelBytes } = estimate(CONFIG, { adapter: {} });
    const branches = 6 * 8 * (384 + 3 * 384); // c_attn of six blocks
    expect(parameters).toEqual({ ...full.parameters, trainable: branches, adapter: branches });
    expect(memory).toMatchObject({ parameters: 4 * (full.parameters.total + branches), gradients: 4 * branches, optimizer: 8 * branches });
    expect([checkpointBytes, modelBytes]).toEqual([12 * branches, full.modelBytes]);
  });

  it.each([
    [{ quantize: 'int8' }, '"quantize" must go with "adapter"'],
    [{ adapter: {}, frozen: ['transformer.wte.weight'] }, '"frozen" must not go with "adapter"'],
    [{ adapter: { rank: 0 } }, '"rank" must be a positive integer (at most 2147483647), got 0'],
    [{ adapter: { alpha: -1 } }, '"alpha" must be a positive number, got -1'],
    [{ adapter: { dropout: 1 } }, '"dropout" must be a number from 0 to below 1, got 1'],
    [{ adapter: { targetModules: ['c_atn'] } }, 'the nearest is "c_attn"'],
    [{ adapter: { ranks: 8 } }, 'the nearest is "rank"'],
    [{ batchsize: 8 }, 'the nearest is "batchSize"'],
  ])('refuses %j', (options, message) => {
    expect(() => estimate(CONFIG, options as never)).toThrow(message);
  });
});
